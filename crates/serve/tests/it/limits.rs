//! What is too much, and what cannot be honoured.

use std::time::Duration;

use serde_json::{Value, json};
use serve::Settings;

use crate::scene::{MAX_SEQ_LEN, Scene, config};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

#[test]
fn a_full_queue_says_when_to_come_again() {
    let settings = Settings { max_sequences: 1, max_queue: 1, ..Settings::default() };
    let model = model::ModelConfig { max_seq_len: 8 * MAX_SEQ_LEN, ..config() };
    let scene = Scene::serving(settings, model, None);
    let bias: serde_json::Map<String, Value> =
        data::Tokenizer::bytes().stops().iter().map(|id| (id.to_string(), json!(-100))).collect();
    let long = json!({"prompt": "x", "max_tokens": 4000, "logit_bias": bias});
    let mut clients: Vec<_> = (0..2).map(|_| scene.client()).collect();
    clients.iter_mut().for_each(|client| client.begin_post(COMPLETIONS, &long));
    scene.becomes("maquette_places_taken", 2.0);
    for stream in [false, true] {
        let reply = scene.post(COMPLETIONS, &json!({"prompt": "x", "stream": stream}));
        assert_eq!((reply.status, reply.error().1), (429, json!("queue_full")));
        let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds));
    }
    // More than there are places for will never fit.
    let reply = scene.post(COMPLETIONS, &json!({"prompt": ["x", "y", "z"]}));
    assert_eq!((reply.status, reply.error().0), (400, json!("prompt")));
    let reply = scene.post(COMPLETIONS, &json!({"prompt": ["x", "y"], "n": 2}));
    assert_eq!((reply.status, reply.error().0), (400, json!("n")));
    drop(clients);
    scene.becomes("maquette_places_taken", 0.0);
    scene.complete(&json!({"prompt": "x"}));
}

#[test]
fn every_field_is_honoured_or_refused_by_name() {
    let scene = Scene::new();
    let messages = json!([{"role": "user", "content": "Hi"}]);
    let mut cases: Vec<(&str, Value, &str)> = Vec::new();
    let both = [
        ("n", json!(0)),
        ("n", json!(1_000_000_000)),
        ("n", json!(1.5)),
        ("n", json!("2")),
        ("temperature", json!(-0.1)),
        ("temperature", json!(2.5)),
        ("temperature", json!("hot")),
        ("top_p", json!(1.1)),
        ("top_p", json!(-1)),
        ("frequency_penalty", json!(2.5)),
        ("frequency_penalty", json!("much")),
        ("presence_penalty", json!(-2.1)),
        ("repetition_penalty", json!(0)),
        ("seed", json!(1.5)),
        ("seed", json!("x")),
        ("stop", json!("")),
        ("stop", json!([1])),
        ("stop", json!(vec!["x"; 17])),
        ("stream", json!("yes")),
        ("stream_options", json!({"include_usage": true})),
        ("logit_bias", json!({"99999": 1})),
        ("logit_bias", json!({"x": 1})),
        ("logit_bias.20", json!({"20": 101})),
        ("logit_bias", json!([1])),
        ("max_tokens", json!(-1)),
        ("best_of", json!(3)),
        ("model", json!(7)),
        ("no_such_field", json!(1)),
        ("no_such_field", json!({"a": []})),
    ];
    for (name, value) in both {
        cases.push((COMPLETIONS, value.clone(), name));
        cases.push((CHAT, value, name));
    }
    for (name, value) in [
        ("prompt", json!({})),
        ("prompt", json!([])),
        ("prompt[0]", json!([[]])),
        ("prompt", json!([272])),
        ("prompt", json!([-1])),
        ("prompt", json!([1.5])),
        ("prompt", json!(vec![20; MAX_SEQ_LEN + 1])),
        ("prompt", json!("x".repeat(MAX_SEQ_LEN + 1))),
        ("prompt[1]", json!(["x", 3])),
        ("suffix", json!("end")),
        ("logprobs", json!(21)),
        ("logprobs", json!(true)),
        ("echo", json!(1)),
    ] {
        cases.push((COMPLETIONS, value, name));
    }
    for (name, value) in [
        ("messages", json!([])),
        ("messages", json!("Hi")),
        ("messages", json!([{"role": "user", "content": "x".repeat(MAX_SEQ_LEN)}])),
        ("messages[0]", json!(["Hi"])),
        ("messages[0].role", json!([{"content": "Hi"}])),
        ("messages[0].role", json!([{"role": "king", "content": "Hi"}])),
        ("messages[0].content", json!([{"role": "user"}])),
        ("messages[0].content", json!([{"role": "user", "content": 1}])),
        (
            "messages[0].content[0].type",
            json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]),
        ),
        ("messages[0].content[0].text", json!([{"role": "user", "content": [{"type": "text"}]}])),
        ("messages[0].name", json!([{"role": "user", "content": "Hi", "name": "Ann"}])),
        ("messages[0].colour", json!([{"role": "user", "content": "Hi", "colour": "red"}])),
        ("top_logprobs", json!(2)),
        ("max_tokens", json!(0)),
        ("tools", json!([{"type": "function", "function": {"name": "f"}}])),
        ("tool_choice", json!("required")),
        ("functions", json!([{}])),
        ("modalities", json!(["audio"])),
        ("audio", json!({})),
        ("prediction", json!({})),
        ("reasoning_effort", json!("high")),
        ("web_search_options", json!({})),
        ("store", json!(true)),
        ("metadata", json!({"a": "b"})),
        ("service_tier", json!("flex")),
        ("add_generation_prompt", json!(false)),
    ] {
        cases.push((CHAT, value, name));
    }
    for (path, value, name) in cases {
        let mut body = if path == CHAT { json!({"messages": messages}) } else { json!({"prompt": "x"}) };
        let field = name.split(['.', '[']).next().unwrap();
        body[field] = value.clone();
        let reply = scene.post(path, &body);
        let what = format!("{path} {name} = {}", value.to_string().chars().take(60).collect::<String>());
        assert_eq!(reply.status, 400, "{what}: {}", reply.text());
        assert_eq!(reply.error().0, name, "{what}");
    }
    assert_eq!(scene.metric("maquette_requests_begun_total"), 0.0);
    // What says nothing, or what holds anyway.
    scene.ok(CHAT, &json!({"messages": messages, "max_tokens": 1, "model": "tiny", "n": null, "stop": null, "tools": [], "user": "me",
        "frequency_penalty": 0, "store": false, "response_format": {"type": "text"}, "service_tier": "auto", "top_p": 0, "no_such": null}));
    scene
        .complete(&json!({"prompt": "x", "max_tokens": 1, "model": "runs/tiny", "best_of": 1, "suffix": ""}));
    let reply = scene.post(COMPLETIONS, &json!({"prompt": "x", "model": "gpt-4"}));
    assert_eq!((reply.status, reply.error()), (404, (json!("model"), json!("model_not_found"))));
}

#[test]
fn bodies_are_of_a_size_and_come_in_time() {
    let settings =
        Settings { max_body_bytes: 1000, read_timeout: Duration::from_millis(300), ..Settings::default() };
    let scene = Scene::with(settings);
    let reply = scene.post(COMPLETIONS, &json!({"prompt": "x".repeat(1000)}));
    assert_eq!((reply.status, reply.error().1), (413, json!("body_too_large")));
    // The same where no length was announced.
    let mut client = scene.client();
    client.write(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    client.write(format!("7d0\r\n{}\r\n0\r\n\r\n", "x".repeat(2000)).as_bytes());
    assert_eq!(client.reply().status, 413);
    // A body that never comes, and a head that never ends.
    let mut client = scene.client();
    client.write(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 20\r\nConnection: close\r\n\r\n{");
    assert_eq!(client.reply().status, 408);
    let mut client = scene.client();
    client.write(b"POST /v1/completions HTTP/1.1\r\nHost: loc");
    let mut all = Vec::new();
    std::io::Read::read_to_end(&mut client.stream, &mut all).unwrap();
    // So is one who says nothing at all.
    let mut client = scene.client();
    std::io::Read::read_to_end(&mut client.stream, &mut all).unwrap();
    assert_eq!(scene.get("/health").status, 200);
}

#[test]
fn a_reader_who_does_not_read_holds_nobody_up() {
    let settings =
        Settings { write_timeout: Duration::from_millis(300), max_connections: 1, ..Settings::default() };
    let model = model::ModelConfig { max_seq_len: 8 * MAX_SEQ_LEN, ..config() };
    let scene = Scene::serving(settings, model, None);
    let mut client = scene.client();
    // Megabytes, so that no buffer takes them.
    let body = json!({"prompt": "x", "max_tokens": 4000, "n": 8, "logprobs": 20, "stream": true});
    client.begin_post(COMPLETIONS, &body);
    // There is one connection: whoever comes next is served once the first is given up.
    assert_eq!(scene.get("/health").status, 200);
}

#[test]
fn keys_are_asked_for() {
    let scene =
        Scene::with(Settings { api_keys: vec!["s3cret".into(), "other".into()], ..Settings::default() });
    let ask = |headers: &[(&str, &str)]| scene.client().send("GET", "/v1/models", headers, b"");
    for wrong in [
        &[][..],
        &[("Authorization", "Bearer s3cre")],
        &[("Authorization", "Bearer ")],
        &[("Authorization", "s3cret")],
    ] {
        let reply = ask(wrong);
        assert_eq!((reply.status, reply.error().1), (401, json!("invalid_api_key")));
    }
    assert_eq!(ask(&[("Authorization", "Bearer s3cret")]).status, 200);
    assert_eq!(ask(&[("Authorization", "Bearer other")]).status, 200);
    for open in ["/", "/health", "/page/chat.js"] {
        assert_eq!(scene.get(open).status, 200, "{open}");
    }
    assert_eq!(scene.get("/metrics").status, 401);
}
