//! Requests that are made to harm: bytes that no client sends, and requests that cost more than they seem to.

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use serve::Settings;

use crate::{client::Client, scene::Scene};

const COMPLETIONS: &str = "/v1/completions";
const CHAT: &str = "/v1/chat/completions";
const HEAD: &str = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

/// What comes back for these bytes, until the server closes.
fn raw(scene: &Scene, bytes: &[u8]) -> String {
    let mut client = scene.client();
    // A server that refuses early may close while something is still sent to it.
    let _ = client.stream.write_all(bytes);
    let mut all = Vec::new();
    let _ = client.stream.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}

fn soon() -> Settings {
    let short = Duration::from_millis(400);
    Settings { read_timeout: short, write_timeout: short, ..Settings::default() }
}

#[track_caller]
fn is_refused(answer: &str, status: u16) {
    assert_eq!(answer.split(' ').nth(1), Some(status.to_string().as_str()), "{answer:?}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    let error = &body["error"];
    assert!(error["message"].as_str().is_some_and(|message| message.contains("\nhint: ")), "{answer}");
    assert!(error["code"].is_string(), "{answer}");
}

#[test]
fn what_is_no_http_is_refused_with_a_word() {
    let scene = Scene::with(soon());
    for head in [
        "GARBAGE\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\nHost: localhost\r\n\r\n".into(),
        "GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost : localhost\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n".into(),
        format!("{HEAD}Content-Length: 99999999999999999999\r\n\r\n"),
        format!("{HEAD}Content-Length: -1\r\n\r\n"),
        format!("{HEAD}Content-Length: +2\r\n\r\n"),
        format!("{HEAD}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"),
        format!("{HEAD}Transfer-Encoding: gzip\r\n\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
        "\x16\x03\x01\x02\x01\x01".into(),
        "\x16\x03\x01\x02\x01\x01\r\n\r\n".into(),
    ] {
        let answer = raw(&scene, head.as_bytes());
        // What may still become a head is waited for, and closed; so is HTTP/2.
        if !answer.is_empty() || head.contains("\r\n\r\n") && !head.starts_with("PRI") {
            is_refused(&answer, 400);
        }
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(70_000));
    is_refused(&raw(&scene, long.as_bytes()), 414);
    let many = "X-Y: z\r\n".repeat(200);
    is_refused(&raw(&scene, format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n").as_bytes()), 431);
    is_refused(&raw(&scene, b"GET / HTTP/1.0\r\n\r\n"), 400);
    assert_eq!(scene.get("/health").status, 200);
}

#[test]
fn bodies_that_do_not_end_as_they_should_are_refused() {
    let scene = Scene::with(Settings { max_body_bytes: 5000, ..soon() });
    let chunked = format!("{HEAD}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    // Chunks without end: too many, too slow, or with a size that is none.
    let endless = format!("{chunked}{}", "3e8\r\n".to_owned() + &" ".repeat(1000) + "\r\n").repeat(1);
    let more = format!("3e8\r\n{}\r\n", " ".repeat(1000)).repeat(20);
    is_refused(&raw(&scene, format!("{endless}{more}").as_bytes()), 413);
    is_refused(&raw(&scene, format!("{chunked}5\r\n{{\"pro\r\n").as_bytes()), 408);
    for size in ["zz", "-1", "fffffffffffffffff"] {
        is_refused(&raw(&scene, format!("{chunked}{size}\r\n{{}}\r\n0\r\n\r\n").as_bytes()), 400);
    }
    // A size in a megabyte of extensions.
    let long = format!("{chunked}2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(1 << 20));
    is_refused(&raw(&scene, long.as_bytes()), 400);
    // Less than was announced, and then nothing.
    let mut client = scene.client();
    client.write(format!("{HEAD}Content-Length: 50\r\nConnection: close\r\n\r\n{{}}").as_bytes());
    client.stream.shutdown(Shutdown::Write).unwrap();
    let mut all = String::new();
    let _ = client.stream.read_to_string(&mut all);
    assert!(all.is_empty() || all.starts_with("HTTP/1.1 400"), "{all}");
    // Two ways of saying how long it is: one that a proxy might believe, and another.
    let both = format!(
        "{HEAD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    );
    let answer = raw(&scene, both.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 400") && !answer.contains("maquette_"), "{answer}");
    // A body that is packed.
    let packed = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")];
    let reply = scene.client().send("POST", COMPLETIONS, &packed, b"\x1f\x8b");
    assert_eq!((reply.status, reply.error().1), (415, json!("unsupported_encoding")));
}

#[test]
fn requests_one_behind_another_are_answered_in_their_order() {
    let scene = Scene::new();
    let body = json!({"prompt": "ab", "max_tokens": 3, "seed": 1}).to_string();
    let post = format!("{HEAD}Content-Length: {}\r\n\r\n{body}", body.len());
    let last = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = raw(&scene, format!("{}{last}", post.repeat(5)).as_bytes());
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 6, "{answer}");
    assert!(answer.ends_with("{\"status\":\"ok\"}"), "{answer}");
    // Who waits to be asked for his body is asked.
    let mut client = scene.client();
    let head =
        format!("{HEAD}Expect: 100-continue\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    client.write(head.as_bytes());
    client.read_until("100 Continue");
    client.write(body.as_bytes());
    client.read_until("200 OK");
}

#[test]
fn json_that_programs_read_differently_is_refused() {
    let scene = Scene::new();
    for (body, code) in [
        (r#"{"prompt": "x", "n": 1, "n": 1000000000}"#, "invalid_json"),
        (r#"{"prompt": "x", "logit_bias": {"20": 1, "20": 2}}"#, "invalid_json"),
        (r#"{"prompt": "x", "logit_bias": {"020": 1}}"#, "invalid_value"),
        (r#"{"prompt": "\ud800"}"#, "invalid_json"),
        (r#"{"prompt": "\udc00\ud800"}"#, "invalid_json"),
        (r#"{"prompt": "x", "temperature": NaN}"#, "invalid_json"),
        (r#"{"prompt": "x", "temperature": Infinity}"#, "invalid_json"),
        (r#"{"prompt": "x", "temperature": -0.0, "top_p": 1e999}"#, "invalid_json"),
        (r#"{"prompt": "x", "seed": 1e400}"#, "invalid_json"),
        ("{\"prompt\": \"x\u{1}\"}", "invalid_json"),
        ("\u{feff}{\"prompt\": \"x\"}", "invalid_json"),
        ("{'prompt': 'x'}", "invalid_json"),
        ("{\"prompt\": \"x\",}", "invalid_json"),
        ("{\"prompt\": \"x\"} // comment", "invalid_json"),
        (r#"{"prompt": "x", "__proto__": {"n": 2}}"#, "unknown_parameter"),
        (r#"{"prompt": "x", "seed": 18446744073709551616}"#, "invalid_value"),
        (r#"{"prompt": "x", "max_tokens": 1.0000001}"#, "invalid_value"),
        (r#"{"prompt": "x", "stop": [["a"]]}"#, "invalid_value"),
    ] {
        let reply = scene.client().send(
            "POST",
            COMPLETIONS,
            &[("Content-Type", "application/json")],
            body.as_bytes(),
        );
        assert_eq!((reply.status, reply.error().1), (400, json!(code)), "{body}: {}", reply.text());
    }
    let stop = json!({"prompt": "x", "stop": "y".repeat(1001)});
    assert_eq!(scene.post(COMPLETIONS, &stop).error().0, "stop");
    // A NUL and whatever Unicode has are text.
    scene.complete(&json!({"prompt": "\0\u{202e}\u{10ffff}", "max_tokens": 1}));
}

/// How long others wait beside a request.
#[track_caller]
fn is_quick(scene: &Scene, path: &str, body: &Value, what: &str) {
    let since = Instant::now();
    let reply = scene.post(path, body);
    let took = since.elapsed();
    assert!([200, 400].contains(&reply.status), "{what}: {} {}", reply.status, reply.text());
    if reply.status == 400 {
        reply.error();
    }
    // A debug build on a machine that is busy; the work is bounded, not the clock.
    assert!(took < Duration::from_secs(20), "{what} took {took:?}");
}

#[test]
fn requests_that_would_cost_much_cost_little() {
    let scene = Scene::new();
    let large = 7 << 20;
    is_quick(&scene, COMPLETIONS, &json!({"prompt": "a".repeat(large)}), "a prompt of 7 MiB");
    is_quick(
        &scene,
        CHAT,
        &json!({"messages": [{"role": "user", "content": " ".repeat(large)}]}),
        "a message of 7 MiB",
    );
    let many = vec![json!({"role": "user", "content": "a"}); 100_000];
    is_quick(&scene, CHAT, &json!({"messages": many}), "100,000 messages");
    is_quick(&scene, COMPLETIONS, &json!({"prompt": vec!["a"; 100_000]}), "100,000 prompts");
    is_quick(&scene, COMPLETIONS, &json!({"prompt": vec![20; 1_000_000]}), "a million ids");
    let bias: serde_json::Map<String, Value> = (0..272).map(|id| (id.to_string(), json!(1))).collect();
    is_quick(&scene, COMPLETIONS, &json!({"prompt": "a", "logit_bias": bias}), "a bias of every token");
    let stops: Vec<String> = (0..16).map(|i| format!("{}{i}", "ab".repeat(400))).collect();
    is_quick(
        &scene,
        COMPLETIONS,
        &json!({"prompt": "a", "stop": stops, "max_tokens": 400}),
        "long stop texts",
    );
    let ask = |schema: Value| {
        json!({"messages": [{"role": "user", "content": "x"}], "max_tokens": 60, "seed": 1,
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}})
    };
    let lengths: Vec<Value> =
        (0..1000).map(|i| json!({"type": "string", "minLength": i, "maxLength": 10_000})).collect();
    is_quick(&scene, CHAT, &ask(json!({"anyOf": lengths})), "1,000 strings of other lengths");
    let lists: Vec<Value> = (0..200)
        .map(|i| json!({"type": "array", "items": {"type": "array", "minItems": i}, "minItems": i}))
        .collect();
    is_quick(&scene, CHAT, &ask(json!({"anyOf": lists})), "200 lists of lists");
    let listed: Vec<String> = (0..4096).map(|i| format!("{}{i}", "y".repeat(900))).collect();
    is_quick(&scene, CHAT, &ask(json!({"enum": listed})), "4,096 long texts");
    let fields: serde_json::Map<String, Value> = (0..4000)
        .map(|i| (format!("field{i}"), json!({"anyOf": [{"type": "string"}, {"type": "number"}]})))
        .collect();
    is_quick(
        &scene,
        CHAT,
        &ask(json!({"type": "object", "properties": fields})),
        "4,000 fields that may be left out",
    );
    let mut twins = json!({"type": "boolean"});
    (0..60).for_each(|_| twins = json!({"type": "object", "properties": {"a": twins}, "required": ["a"]}));
    is_quick(&scene, CHAT, &ask(twins), "60 objects within each other");
    assert_eq!(scene.complete(&json!({"prompt": "x", "max_tokens": 1}))["usage"]["prompt_tokens"], 1);
}

#[test]
fn clients_that_say_nothing_hold_nobody_up() {
    let scene = Scene::with(Settings { max_connections: 8, ..soon() });
    // As many as there is room for: silent ones, halves of heads, and one that closed its sending half.
    let mut idle: Vec<Client> = (0..8).map(|_| scene.client()).collect();
    for (i, client) in idle.iter_mut().enumerate() {
        match i % 3 {
            0 => client.write(b"GET / HT"),
            1 => client.stream.shutdown(Shutdown::Write).unwrap(),
            _ => {}
        }
    }
    assert_eq!(scene.get("/health").status, 200);
    // A letter now and then keeps no connection open.
    let mut slow = scene.client();
    let since = Instant::now();
    while slow.stream.write_all(b"X").is_ok() && since.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(since.elapsed() < Duration::from_secs(20));
}

#[test]
fn many_large_bodies_do_not_fill_the_memory() {
    let scene = Scene::with(soon());
    let head = format!("{HEAD}Content-Length: 8000000\r\n\r\n");
    let slow: Vec<Client> = (0..40)
        .map(|_| {
            let mut client = scene.client();
            client.write(head.as_bytes());
            client
        })
        .collect();
    // Small requests pass them by.
    scene.complete(&json!({"prompt": "x", "max_tokens": 1}));
    let refused: Vec<u16> = slow
        .into_iter()
        .map(|mut client| {
            let text = client.read_until("}}");
            text.split(' ').nth(1).unwrap().parse().unwrap()
        })
        .collect();
    assert!(refused.iter().all(|status| [408, 429].contains(status)), "{refused:?}");
}

#[test]
fn who_closes_his_sending_half_is_taken_for_gone() {
    let scene = Scene::new();
    let mut client = scene.client();
    client.begin_post(COMPLETIONS, &json!({"prompt": "x", "max_tokens": 500, "stream": true}));
    client.read_until("data: ");
    client.stream.shutdown(Shutdown::Write).unwrap();
    scene.becomes("maquette_places_taken", 0.0);
    let mut rest = String::new();
    let _ = client.stream.read_to_string(&mut rest);
}
