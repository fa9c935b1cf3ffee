//! The page, for this machine alone.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::Duration,
};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Session, Verdict};
use crate::{output::talk, stop};

const PAGE: &str = include_str!("page.html");
/// Of a request's head and of its body.
const MAX_BYTES: u64 = 1 << 16;
const TIMEOUT: Duration = Duration::from_secs(5);

/// Serves the page until all is judged or the program is stopped. One request at a time: one person looks at it.
pub(crate) fn serve(session: &mut Session, port: u16) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| {
        format!("cannot listen on port {port}\nhint: choose another with --port, or 0 for any")
    })?;
    let port = listener.local_addr()?.port();
    // Other pages in the same browser may send requests here, but do not know it.
    let token = base::hash::hex(u128::from(fresh()) << 64 | u128::from(fresh()));
    listener.set_nonblocking(true)?;
    talk(format_args!("open http://127.0.0.1:{port}/#{token}\nCtrl+C ends; what was judged is saved"));
    while !stop::flag().load(std::sync::atomic::Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                if let Err(error) = answer(session, &stream, port, &token) {
                    talk(format_args!("{error:#}"));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error).context("cannot take requests"),
        }
    }
    Ok(())
}

/// A number that nobody can guess: the standard library's hasher has keys from the system.
fn fresh() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// What is read of a request.
struct Request {
    method: String,
    path: String,
    host: String,
    token: String,
    body: Vec<u8>,
}

fn read(stream: &TcpStream) -> anyhow::Result<Request> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut reader = BufReader::new(stream.take(2 * MAX_BYTES));
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request { method, path, host: String::new(), token: String::new(), body: Vec::new() };
    let (mut n_head, mut n_body) = (0, 0);
    loop {
        line.clear();
        n_head += reader.read_line(&mut line)?;
        anyhow::ensure!((n_head as u64) < MAX_BYTES, "a request with a head that is too long");
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "host" => request.host = value.trim().to_owned(),
            "x-token" => request.token = value.trim().to_owned(),
            "content-length" => n_body = value.trim().parse::<u64>().context("a request without a length")?,
            _ => {}
        }
    }
    anyhow::ensure!(n_body <= MAX_BYTES, "a request of {n_body} bytes: more than {MAX_BYTES}");
    reader.take(n_body).read_to_end(&mut request.body)?;
    Ok(request)
}

fn answer(session: &mut Session, stream: &TcpStream, port: u16, token: &str) -> anyhow::Result<()> {
    // A connection without a whole request is closed without a word.
    let Ok(request) = read(stream) else { return Ok(()) };
    let is_local = [format!("127.0.0.1:{port}"), format!("localhost:{port}")].contains(&request.host);
    let (status, kind, body) = match (request.method.as_str(), request.path.as_str()) {
        _ if !is_local => {
            ("403 Forbidden", "application/json", json!({ "error": "not from this machine" }).to_string())
        }
        ("GET", "/") => ("200 OK", "text/html; charset=utf-8", PAGE.to_owned()),
        ("POST", _) if request.token != token => {
            let error = "the page is of another session: open the address that the terminal shows";
            ("403 Forbidden", "application/json", json!({ "error": error }).to_string())
        }
        ("POST", "/question") => reply(shown(session)),
        ("POST", "/judge") => reply(judge(session, &request.body)),
        _ => ("404 Not Found", "application/json", json!({ "error": "there is nothing here" }).to_string()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\ncache-control: no-store\r\n\
         x-content-type-options: nosniff\r\nx-frame-options: DENY\r\ncontent-security-policy: default-src 'self' 'unsafe-inline'\r\n\r\n",
        body.len()
    );
    let mut stream = stream;
    // Who has gone does not hear it.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    Ok(())
}

fn reply(said: anyhow::Result<Value>) -> (&'static str, &'static str, String) {
    match said {
        Ok(value) => ("200 OK", "application/json", value.to_string()),
        Err(error) => {
            ("400 Bad Request", "application/json", json!({ "error": format!("{error:#}") }).to_string())
        }
    }
}

fn shown(session: &mut Session) -> anyhow::Result<Value> {
    let [judged, of] = session.progress();
    Ok(json!({ "question": session.question()?, "judged": judged, "of": of }))
}

fn judge(session: &mut Session, body: &[u8]) -> anyhow::Result<Value> {
    let said: Value = serde_json::from_slice(body).context("expected JSON")?;
    let number = said["number"].as_u64().context("expected `number`")?;
    let text = said["text"].as_str().unwrap_or_default().trim();
    let verdict = match said["verdict"].as_str() {
        Some("first") => Verdict::First,
        Some("second") => Verdict::Second,
        Some("skip") => Verdict::Skip,
        Some("better") if !text.is_empty() => Verdict::Better(text.to_owned()),
        _ => anyhow::bail!("expected `verdict` first, second or skip, or better with a `text`"),
    };
    let is_open = session.judge(usize::try_from(number)?, &verdict)?;
    anyhow::ensure!(is_open, "another question is open: reload the page");
    shown(session)
}
