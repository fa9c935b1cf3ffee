//! `maquette serve` from outside.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Stdio},
};

use crate::scene::{CHECKPOINT, Scene};

/// A server on a free port, and where it listens.
fn start(scene: &Scene, args: &[&str]) -> (Child, String) {
    let all = [&["serve", "run", "--port", "0", "--threads", "1"], args].concat();
    let mut child = scene.command(&all).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = loop {
        let line = lines.next().unwrap().unwrap();
        if let Some((_, rest)) = line.split_once("http://") {
            break rest.split(' ').next().unwrap().to_owned();
        }
    };
    std::thread::spawn(move || lines.for_each(drop));
    (child, address)
}

fn ask(address: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n");
    write!(stream, "{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    assert!(all.starts_with("HTTP/1.1 200 "), "{all}");
    all.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn a_run_is_served_and_sigterm_ends_it_in_good_order() {
    let scene = Scene::trained();
    let (mut child, address) = start(&scene, &[]);
    let models: serde_json::Value = serde_json::from_str(&ask(&address, "GET", "/v1/models", "")).unwrap();
    assert_eq!(models["data"][0]["id"], "run");
    // A run that was never taught to chat.
    assert_eq!(models["data"][0]["is_chat"], false);
    // The text of the same request to `generate`.
    let body = r#"{"model": "run", "prompt": "Once", "seed": 7, "max_tokens": 20, "temperature": 0.8}"#;
    let answer: serde_json::Value =
        serde_json::from_str(&ask(&address, "POST", "/v1/completions", body)).unwrap();
    let args = [
        "generate",
        CHECKPOINT,
        "--prompt",
        "Once",
        "--seed",
        "7",
        "--max-tokens",
        "20",
        "--temperature",
        "0.8",
        "--json",
    ];
    assert_eq!(answer["choices"][0]["text"], scene.ok(&args).json()["text"]);
    assert!(ask(&address, "GET", "/", "").contains("<!doctype html>"));

    let status = std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(status.success());
    assert!(child.wait().unwrap().success());
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn what_cannot_be_served_is_said_before_anything_listens() {
    let scene = Scene::new();
    let message = scene.fails(&["serve", "nothing", "--port", "0"]);
    assert!(message.contains("found nothing there\nhint: "), "{message}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let message = scene.fails(&["serve", "nothing", "--port", &port]);
    assert!(message.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{message}");
    assert!(
        message.contains(
            "hint: the address must be one of this machine, and the port free: choose another --port"
        ),
        "{message}"
    );
    scene.write("empty.txt", b"\n \n");
    let message = scene.fails(&["serve", "nothing", "--port", "0", "--api-keys", "empty.txt"]);
    assert!(message.contains("expected a key or more in `empty.txt`, found none\nhint: "), "{message}");
    let message = scene.fails(&["serve", "nothing", "--max-sequences", "0"]);
    assert!(message.contains("--max-sequences must be at least 1, found 0\nhint: "), "{message}");
}

#[test]
fn a_server_is_measured_by_many_clients() {
    let scene = Scene::trained();
    let (mut child, address) = start(&scene, &["--max-sequences", "3"]);
    let url = format!("http://{address}");
    let args =
        ["bench", "serve", "--url", &url, "--clients", "5", "--requests", "9", "--prompt-tokens", "20"];
    let more = ["--max-tokens", "8", "--verify", "--json"];
    let measured = scene.ok(&[&args[..], &more].concat()).json();
    assert_eq!(
        (&measured["requests"], &measured["failed"], &measured["different"]),
        (&9.into(), &0.into(), &0.into())
    );
    assert_eq!((&measured["model"], &measured["prompt_tokens"]), (&"run".into(), &180.into()));
    let new_tokens = measured["new_tokens"].as_u64().unwrap();
    assert!((9..=72).contains(&new_tokens), "{measured}");
    for name in ["first_token_ms", "next_token_ms", "request_ms"] {
        let times = &measured[name];
        let of = |which: &str| times[which].as_f64().unwrap();
        assert!(
            0.0 < of("p50") && of("p50") <= of("p90") && of("p90") <= of("p99") && of("p99") <= of("max"),
            "{times}"
        );
    }
    // For a time in place of a number of requests; what is cut is the beginning of what comes alone.
    let args = [
        "bench",
        "serve",
        "--url",
        &url,
        "--clients",
        "4",
        "--seconds",
        "1",
        "--prompt-tokens",
        "9",
        "--verify",
    ];
    let measured = scene.ok(&[&args[..], &["--json"]].concat()).json();
    assert_eq!((&measured["failed"], &measured["different"]), (&0.into(), &0.into()));
    assert!(
        measured["requests"].as_u64().unwrap() >= 4 && measured["cut"].as_u64().unwrap() <= 4,
        "{measured}"
    );
    assert!((0.9..5.0).contains(&measured["seconds"].as_f64().unwrap()), "{measured}");
    child.kill().unwrap();
    child.wait().unwrap();
    let message = scene.fails(&["bench", "serve", "--url", &url]);
    assert!(message.contains(&format!("cannot reach {address}")) && message.contains("hint: "), "{message}");
    let message = scene.fails(&["bench", "serve", "--url", "localhost"]);
    assert!(message.contains("in --url, found `localhost`\nhint: "), "{message}");
}
