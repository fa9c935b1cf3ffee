//! What a person says of answers becomes files that trainings read: in a terminal, and on a page.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Stdio},
};

use crate::scene::{Said, Scene};

fn prompted() -> Scene {
    let scene = Scene::new();
    scene.ok(&["run", "tiny.toml", "--out", "run", "--set", "train.seq_len=96"]);
    let rows: String = (0..12).map(|i| format!("{{\"prompt\":\"question {i}?\"}}\n")).collect();
    scene.write("prompts.jsonl", rows.as_bytes());
    scene
}

const FEEDBACK: [&str; 10] = [
    "feedback",
    "run",
    "--prompts",
    "prompts.jsonl",
    "--out",
    "said",
    "--max-tokens",
    "8",
    "--temperature",
    "1.5",
];

/// With lines typed.
fn typed(scene: &Scene, input: &str) -> Said {
    let mut child = scene
        .command(&FEEDBACK)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Said {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn rows(scene: &Scene, name: &str) -> Vec<serde_json::Value> {
    scene.read(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_is_typed_becomes_pairs_and_better_answers() {
    let scene = prompted();
    let said = typed(&scene, "1\n2\nperhaps\ns\nw\nIt is so.\nTruly.\n\nq\n");
    assert!(said.status.success(), "{}", said.stderr);
    assert!(said.stderr.contains("expected 1, 2, s, w or q, found `perhaps`"), "{}", said.stderr);
    let pairs = rows(&scene, "said/pairs.jsonl");
    assert_eq!(pairs.len(), 4);
    assert_eq!(pairs[2]["chosen"], "It is so.\nTruly.");
    assert_eq!(rows(&scene, "said/better.jsonl")[0]["messages"][1]["content"], "It is so.\nTruly.");
    assert_eq!(rows(&scene, "said/judged.jsonl").len(), 4);
    // A crash left half a line; the next call goes on behind what is whole, and asks nothing twice.
    let mut whole = scene.read("said/pairs.jsonl");
    whole.push_str("{\"prompt\":[{\"ro");
    scene.write("said/pairs.jsonl", whole.as_bytes());
    let said = typed(&scene, &"1\n".repeat(20));
    assert!(
        said.status.success() && said.stdout.contains("all were asked"),
        "{} {}",
        said.stdout,
        said.stderr
    );
    let judged = rows(&scene, "said/judged.jsonl");
    assert!(judged.len() > 8 && judged.len() <= 12, "{}", judged.len());
    assert_eq!(rows(&scene, "said/pairs.jsonl").len(), judged.len());
    // What was written is what trainings read.
    scene.ok(&["reward", "run", "--data", "said/pairs.jsonl", "--out", "rm"]);
    // Files of others are not touched.
    std::fs::create_dir(scene.path("mine")).unwrap();
    scene.write("mine/pairs.jsonl", b"precious");
    let mut args = FEEDBACK;
    args[5] = "mine";
    let error = scene.fails(&args);
    assert!(error.contains("found other files") && error.contains("hint:"), "{error}");
    assert_eq!(scene.read("mine/pairs.jsonl"), "precious");
}

struct Page {
    child: Child,
    address: String,
    token: String,
}

impl Page {
    fn open(scene: &Scene) -> Self {
        let args = [&FEEDBACK[..], &["--page"]].concat();
        let mut child = scene.command(&args).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (address, token) = loop {
            let line = lines.next().unwrap().unwrap();
            if let Some((_, rest)) = line.split_once("http://") {
                let (address, token) = rest.split_once("/#").unwrap();
                break (address.to_owned(), token.to_owned());
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, token }
    }

    /// The status and the body of an answer.
    fn ask(&self, method: &str, path: &str, host: &str, token: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Token: {token}\r\n");
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        let (head, body) = all.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn post(&self, path: &str, body: &str) -> (u16, serde_json::Value) {
        let (status, body) = self.ask("POST", path, &self.address, &self.token, body);
        (status, serde_json::from_str(&body).unwrap())
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_page_asks_and_others_cannot() {
    let scene = prompted();
    let page = Page::open(&scene);
    let (status, html) = page.ask("GET", "/", &page.address, "", "");
    assert!(status == 200 && html.contains("Which answer is better?"));
    let (status, said) = page.post("/question", "{}");
    assert_eq!((status, said["judged"].as_u64()), (200, Some(0)));
    let number = said["question"]["number"].as_u64().unwrap();
    let first = said["question"]["answers"][0].as_str().unwrap().to_owned();
    // Other pages in the browser know no token, and other names are not this machine.
    for (host, token) in [(&page.address[..], "0"), ("evil.example", &page.token[..])] {
        assert_eq!(page.ask("POST", "/question", host, token, "{}").0, 403);
    }
    assert_eq!(page.ask("GET", "/said/pairs.jsonl", &page.address, &page.token, "").0, 404);
    for wrong in [
        "",
        "[1]",
        "{\"number\":0}",
        "{\"number\":-1,\"verdict\":\"first\"}",
        "{\"number\":0,\"verdict\":\"better\",\"text\":\" \"}",
    ] {
        let (status, said) = page.post("/judge", wrong);
        assert!(status == 400 && said["error"].is_string(), "{wrong}: {said}");
    }
    // What is no request at all, and one that claims too much, end nothing.
    let _ = TcpStream::connect(&page.address).unwrap().write_all(b"\x00\xff\r\n\r\n");
    let mut stream = TcpStream::connect(&page.address).unwrap();
    let _ = write!(
        stream,
        "POST /judge HTTP/1.1\r\nHost: {}\r\nContent-Length: 99999999999\r\n\r\n",
        page.address
    );
    let _ = stream.read_to_string(&mut String::new());
    let (status, said) = page.post("/judge", &format!("{{\"number\":{number},\"verdict\":\"first\"}}"));
    assert_eq!((status, said["judged"].as_u64()), (200, Some(1)));
    // The same again is of a question that is closed.
    assert_eq!(page.post("/judge", &format!("{{\"number\":{number},\"verdict\":\"first\"}}")).0, 400);
    let next = said["question"]["number"].as_u64().unwrap();
    let (status, _) =
        page.post("/judge", &format!("{{\"number\":{next},\"verdict\":\"better\",\"text\":\"So.\"}}"));
    assert_eq!(status, 200);
    drop(page);
    let pairs = rows(&scene, "said/pairs.jsonl");
    assert_eq!(pairs.len(), 3);
    assert_eq!(pairs[0]["chosen"], first.as_str());
    assert_eq!(rows(&scene, "said/better.jsonl").len(), 1);
}
