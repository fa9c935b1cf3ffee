//! A client that sends what it likes.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// A connection to the server.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { stream }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Begins a request and reads nothing.
    pub(crate) fn begin(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head.push_str("Host: localhost\r\n");
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\nConnection: close\r\n\r\n", body.len()));
        self.write(&[head.as_bytes(), body].concat());
    }

    pub(crate) fn begin_post(&mut self, path: &str, body: &Value) {
        self.begin("POST", path, &[("Content-Type", "application/json")], body.to_string().as_bytes());
    }

    pub(crate) fn send(mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.begin(method, path, headers, body);
        self.reply()
    }

    pub(crate) fn post(mut self, path: &str, body: &Value) -> Reply {
        self.begin_post(path, body);
        self.reply()
    }

    /// All that comes until the server closes the connection.
    pub(crate) fn reply(mut self) -> Reply {
        let mut all = Vec::new();
        // A server that refuses early may close while something is still sent to it.
        let _ = self.stream.read_to_end(&mut all);
        Reply::parse(&all)
    }

    /// What has come by the time that `end` is in it.
    pub(crate) fn read_until(&mut self, end: &str) -> String {
        let (mut all, mut part) = (Vec::new(), [0; 4096]);
        loop {
            let n = self.stream.read(&mut part).unwrap();
            assert!(n > 0, "it ended before {end:?}: {}", String::from_utf8_lossy(&all));
            all.extend_from_slice(&part[..n]);
            let text = String::from_utf8_lossy(&all);
            if text.contains(end) {
                return text.into_owned();
            }
        }
    }
}

impl Reply {
    fn parse(all: &[u8]) -> Self {
        let end = all.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(all)));
        let head = String::from_utf8_lossy(&all[..end]).into_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut body = all[end + 4..].to_vec();
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            body = unchunked(&body);
        }
        Self { status, head, body }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The error in OpenAI's shape: its parameter and its code.
    #[track_caller]
    pub(crate) fn error(&self) -> (Value, Value) {
        let json = self.json();
        let error = &json["error"];
        for key in ["message", "type", "param", "code"] {
            assert!(error.get(key).is_some(), "no `{key}` in {error}");
        }
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains("\nhint: ") && error["code"].is_string(), "{error}");
        (error["param"].clone(), error["code"].clone())
    }
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(at) = body.windows(2).position(|window| window == b"\r\n") {
        let n = usize::from_str_radix(std::str::from_utf8(&body[..at]).unwrap(), 16).unwrap();
        if n == 0 {
            break;
        }
        whole.extend_from_slice(&body[at + 2..at + 2 + n]);
        body = &body[at + 2 + n + 2..];
    }
    whole
}
