//! Endpoints that answer, and endpoints that do not.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Endpoint, EndpointOptions, EndpointSettings, Failure, MAX_PARALLEL, examine_endpoint};
use crate::{
    DataFolder, GenerationSettings, Items, ItemsFile, Judge, Task, judge_items, python, refusal::Reply,
    summarise_items,
};

/// A server for tests: `answer` writes to the connection whatever it likes.
struct Server {
    url: String,
    /// Path and body of every request.
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Server {
    fn new(answer: impl Fn(&str, &Value, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, all) = (Arc::new(answer), asked.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answer, all) = (answer.clone(), all.clone());
                thread::spawn(move || {
                    let mut stream = stream;
                    let Some((path, body)) = request(&mut stream) else { return };
                    all.lock().unwrap().push((path.clone(), body.clone()));
                    answer(&path, &body, &mut stream);
                });
            }
        });
        Self { url, asked }
    }

    fn n_asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn settings(&self) -> EndpointSettings {
        let timeout = Duration::from_millis(700);
        let (model, key, options) = (Some("m".into()), Some("k".into()), EndpointOptions::EXAMINED);
        EndpointSettings { url: self.url.clone(), model, key, timeout, options }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::new(&self.settings()).unwrap()
    }
}

fn request(stream: &mut TcpStream) -> Option<(String, Value)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    Some((path, serde_json::from_slice(&body).unwrap_or_default()))
}

fn send(stream: &mut TcpStream, status: &str, body: &str) {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all((head + body).as_bytes());
}

fn say(stream: &mut TcpStream, text: &str) {
    let choice =
        json!({"message": {"role": "assistant", "content": text}, "text": text, "finish_reason": "stop"});
    send(stream, "200 OK", &json!({"choices": [choice], "usage": {"completion_tokens": 3}}).to_string());
}

/// What this model holds of a byte behind others.
fn logprob(before: &[u8], byte: u8) -> f64 {
    -0.01 - f64::from((before.len() as u32 * 7 + u32::from(byte) * 13) % 97) / 10.0
}

/// The bytes of a prompt as tokens.
fn echo(body: &Value, stream: &mut TcpStream) {
    let text = body["prompt"].as_str().unwrap_or_default();
    let bytes = text.as_bytes();
    let own = |i: usize| if i == 0 { Value::Null } else { json!(logprob(&bytes[..i], bytes[i])) };
    let listed: Vec<Value> = (0..bytes.len()).map(own).collect();
    let top: Vec<Value> =
        (0..bytes.len()).map(|i| json!({"a": if i % 2 == 0 { 0.0 } else { -9.8 }})).collect();
    let choice = json!({"text": text, "logprobs": {"token_logprobs": listed, "top_logprobs": top}});
    send(
        stream,
        "200 OK",
        &json!({"choices": [choice], "usage": {"prompt_tokens": bytes.len()}}).to_string(),
    );
}

#[test]
fn choices_are_scored_by_the_tokens_behind_their_context() {
    let server = Server::new(|_, body, stream| echo(body, stream));
    let endpoint = server.endpoint();
    let pairs = [("2 + 2 = ", "4"), ("2 + 2 = ", "five"), ("Wie heißt du? 🙂", " Ida")];
    let measured = endpoint.likelihoods(pairs.into_iter()).unwrap();
    for ((context, continuation), measured) in pairs.iter().zip(&measured) {
        let (kept, whole) = (python::rstrip(context), [*context, continuation].concat());
        let bytes = whole.as_bytes();
        let expected: f64 = (kept.len()..bytes.len()).map(|i| logprob(&bytes[..i], bytes[i])).sum();
        assert!((measured.likelihood.loglikelihood - expected).abs() < 1e-9, "{measured:?} {expected}");
        assert_eq!((measured.n_context, measured.n_continuation), (kept.len(), bytes.len() - kept.len()));
    }
    assert_eq!(server.n_asked(), 5, "a context that two choices share is read once");
    let failure = endpoint.likelihoods([("", "The cat")].into_iter()).unwrap_err();
    assert_eq!(failure.to_string(), "no log-probability of the first token");
}

#[test]
fn a_server_that_wants_a_new_token_is_given_one() {
    let server = Server::new(|_, body, stream| match body["max_tokens"].as_u64() {
        Some(0) => {
            send(stream, "400 Bad Request", r#"{"error": {"message": "max_tokens must be at least 1"}}"#)
        }
        _ => {
            let text = body["prompt"].as_str().unwrap();
            let listed: Vec<Value> =
                (0..text.len() + 1).map(|i| if i == 0 { Value::Null } else { json!(-1.0) }).collect();
            let choice = json!({"text": format!("{text}!"), "logprobs": {"token_logprobs": listed}});
            send(stream, "200 OK", &json!({"choices": [choice]}).to_string());
        }
    });
    let endpoint = server.endpoint();
    let measured = endpoint.likelihoods([("ab", " cd")].into_iter()).unwrap();
    assert_eq!((measured[0].likelihood.loglikelihood, measured[0].n_continuation), (-3.0, 3));
    assert_eq!(server.n_asked(), 3);
}

#[test]
fn every_failure_is_named_and_none_is_scored() {
    type Handler = fn(&Value, &mut TcpStream);
    let cases: [(&str, Handler); 16] = [
        ("no answer within 1 s", |_, _| thread::sleep(Duration::from_secs(3))),
        ("no answer within 1 s", |_, stream| {
            // A drip that never ends.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n");
            while stream.write_all(b" ").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        }),
        ("no answer within 1 s", |_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ");
            while stream.write_all(b"H").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        }),
        ("the connection was closed", |_, _| {}),
        ("the connection was closed", |_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"choices\"");
        }),
        ("HTTP 400", |_, stream| send(stream, "400 Bad Request", "{\"error\": {\"message\": \"too long\"}}")),
        ("HTTP 401", |_, stream| send(stream, "401 Unauthorized", "")),
        ("HTTP 302", |_, stream| {
            let _ =
                stream.write_all(b"HTTP/1.1 302 Found\r\nlocation: /v1/other\r\ncontent-length: 0\r\n\r\n");
        }),
        ("no JSON", |_, stream| send(stream, "200 OK", "<html>hello</html>")),
        ("no JSON", |_, stream| send(stream, "200 OK", "")),
        ("without `choices[0]`", |_, stream| send(stream, "200 OK", "[]")),
        ("no log-probabilities", |body, stream| say(stream, body["prompt"].as_str().unwrap())),
        // It ignores `echo`, and lists new tokens alone.
        ("no log-probabilities", |_, stream| {
            let choice = json!({"text": "x", "logprobs": {"token_logprobs": [-0.5]}});
            send(stream, "200 OK", &json!({"choices": [choice]}).to_string());
        }),
        ("no numbers below 0", |body, stream| {
            let text = body["prompt"].as_str().unwrap();
            let listed: Vec<f64> = vec![0.0; text.len()];
            let choice = json!({"text": text, "logprobs": {"token_logprobs": listed}});
            send(stream, "200 OK", &json!({"choices": [choice]}).to_string());
        }),
        ("no numbers below 0", |body, stream| {
            let text = body["prompt"].as_str().unwrap();
            let listed: Vec<Value> =
                (0..text.len()).map(|i| if i == 0 { Value::Null } else { json!(7.5) }).collect();
            let choice = json!({"text": text, "logprobs": {"token_logprobs": listed}});
            send(stream, "200 OK", &json!({"choices": [choice]}).to_string());
        }),
        ("no HTTP", |_, stream| {
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n\r\n");
        }),
    ];
    let start = Instant::now();
    for (i, (expected, handler)) in cases.into_iter().enumerate() {
        let server = Server::new(move |_, body, stream| handler(body, stream));
        let failure = server.endpoint().likelihoods([("What is ice?", " water")].into_iter()).unwrap_err();
        assert!(failure.to_string().contains(expected), "{i}: {failure:?}");
        assert!(!failure.hint(&EndpointOptions::EXAMINED).is_empty());
    }
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = |url: String| EndpointSettings {
        url,
        model: Some("m".into()),
        key: None,
        timeout: Duration::from_secs(2),
        options: EndpointOptions::EXAMINED,
    };
    let endpoint = Endpoint::new(&settings(format!("http://{nobody}"))).unwrap();
    let failure = endpoint.likelihoods([("a", " b")].into_iter()).unwrap_err();
    assert_eq!(failure.to_string(), "no connection");
    for url in ["", "http://", "ftp://x", "http:///v1", "http://me:secret@x/v1", "127.0.0.1:80"] {
        let error = Endpoint::new(&settings(url.to_owned())).unwrap_err().to_string();
        assert!(error.contains("hint: ") && !error.contains("secret"), "{url}: {error}");
    }
}

/// What to do stands in the hint, with the options of whoever asked.
#[test]
fn hints_say_what_to_do() {
    let status = |status| Failure::Status { status, message: String::new() };
    for (failure, part) in [
        (Failure::Timeout { seconds: 3 }, "more time with --timeout"),
        (Failure::NoConnection, "start the server"),
        (status(401), "variable that --judge-key-variable names"),
        (
            status(404),
            "the path of the address, which ends with /v1 at most servers, or the model's name with --judge-model",
        ),
        (status(302), "redirects"),
        (status(429), "ask less at a time with --batch"),
        (status(400), "what the server says"),
        (Failure::NoJson, "no interface like OpenAI's"),
        (Failure::Missing { field: "x" }, "no interface like OpenAI's"),
        (Failure::NoVerdict, "choose another with --judge-model"),
        (Failure::NoLogprobs, "written answers"),
    ] {
        let hint = failure.hint(&EndpointOptions::JUDGE);
        assert!(hint.contains(part), "{failure}: {hint}");
    }
    let server = Server::new(|_, _, stream| send(stream, "401 Unauthorized", ""));
    let settings = EndpointSettings { key: None, ..server.settings() };
    let hint = Endpoint::new(&settings).unwrap().hint(&status(401));
    assert!(hint.starts_with("no key was sent"), "{hint}");
    for n in [0, MAX_PARALLEL + 1, usize::MAX] {
        let error = Judge::new(&settings, n).unwrap_err().to_string();
        assert!(
            error.contains(&format!("`--batch` must be from 1 to 1,024 requests at a time, found {n}")),
            "{error}"
        );
        assert!(crate::Asker::new(&settings, n).is_err());
    }
    assert!(Judge::new(&settings, MAX_PARALLEL).is_ok());
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let n = Arc::new(Mutex::new(0));
    let server = Server::new(move |_, _, stream| {
        let mut n = n.lock().unwrap();
        *n += 1;
        if *n < 3 {
            send(stream, "503 Service Unavailable", "");
        } else {
            say(stream, "hello");
        }
    });
    let draw = super::answer::deterministic(5);
    assert_eq!(server.endpoint().complete("a", &draw).unwrap().text, "hello");
    assert_eq!(server.n_asked(), 3);
}

fn task(text: &str) -> Task {
    Task::parse(text).unwrap().remove(0)
}

const QUIZ: &str = r#"
    name = "q"
    version = 1
    about = ""
    source = ""
    licence = ""
    kind = "choices"
    metrics = ["acc"]
    prompt = "{{question}}"
    test = "test"
    fewshot = { split = "test", draw = "first" }
    [[data]]
    split = ["test"]
    files = ["q.jsonl"]
    fields = { question = "{{question}}", choices = '["yes", "no"]', gold = "0" }
"#;

const REQUESTS: &str = r#"
    name = "r"
    version = 1
    about = ""
    source = ""
    licence = ""
    kind = "generate"
    metrics = ["refusal"]
    prompt = "{{question}}"
    test = "test"
    fewshot = { split = "test", draw = "first" }
    [generate]
    until = ["END"]
    chat = true
    [[data]]
    split = ["test"]
    files = ["q.jsonl"]
    fields = { question = "{{question}}", target = "x" }
"#;

fn items(task: &Task, dir: &std::path::Path, n: usize) -> Items {
    let rows: String =
        (0..n).map(|i| format!("{}\n", json!({"question": format!("Question {i}?")}))).collect();
    std::fs::write(dir.join("q.jsonl"), rows).unwrap();
    Items::of(task, &DataFolder::new(dir), 0, None).unwrap()
}

#[test]
fn items_that_fail_are_named_and_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let task = task(QUIZ);
    let items = items(&task, dir.path(), 9);
    let is_well = Arc::new(Mutex::new(false));
    let well = is_well.clone();
    let server = Server::new(move |_, body, stream| {
        let is_ill = body["prompt"].as_str().unwrap().contains("Question 4") && !*well.lock().unwrap();
        if is_ill { send(stream, "400 Bad Request", "") } else { echo(body, stream) }
    });
    let mut file = ItemsFile::in_memory();
    examine_endpoint(&task, &items, &server.endpoint(), None, 3, &mut file, &mut |_| true).unwrap();
    let all = file.all().unwrap();
    assert_eq!(all[4].failure.as_deref(), Some("HTTP 400"));
    assert!(all[4].metrics.is_empty() && all[3].metrics.contains_key("acc"));
    assert_eq!(summarise_items(&all)["acc"].n, Some(8));
    *is_well.lock().unwrap() = true;
    let before = server.n_asked();
    examine_endpoint(&task, &items, &server.endpoint(), None, 3, &mut file, &mut |_| true).unwrap();
    assert_eq!(server.n_asked(), before + 3, "one context and two choices");
    assert!(file.all().unwrap().iter().all(|item| item.failure.is_none()));
    let before = server.n_asked();
    examine_endpoint(&task, &items, &server.endpoint(), None, 3, &mut file, &mut |_| true).unwrap();
    assert_eq!(server.n_asked(), before);
    // A server without log-probabilities ends the command.
    let mute = Server::new(|_, body, stream| say(stream, body["prompt"].as_str().unwrap()));
    let mut file = ItemsFile::in_memory();
    let error =
        examine_endpoint(&task, &items, &mute.endpoint(), None, 1, &mut file, &mut |_| true).unwrap_err();
    assert!(error.to_string().contains("no log-probabilities of the prompt"), "{error}");
    assert!(file.all().unwrap().iter().all(|item| item.metrics.is_empty() && item.failure.is_some()));
}

#[test]
fn verdicts_of_a_judge_are_kept_and_what_is_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let task = task(REQUESTS);
    let items = items(&task, dir.path(), 8);
    let model = Server::new(|_, body, stream| {
        let asked = body["messages"][0]["content"].as_str().unwrap();
        let is_even = asked.bytes().any(|byte| byte.is_ascii_digit() && byte % 2 == 0);
        say(
            stream,
            if is_even { "I'm sorry, but I can't help with that. END of it" } else { "Take two eggs." },
        );
    });
    let drawing = task.drawing(&GenerationSettings::default()).unwrap().unwrap();
    let mut file = ItemsFile::in_memory();
    examine_endpoint(&task, &items, &model.endpoint(), Some(&drawing), 4, &mut file, &mut |_| true).unwrap();
    let all = file.all().unwrap();
    assert_eq!(all[0].outputs[0].text, "I'm sorry, but I can't help with that. ");
    assert_eq!((all[0].metrics["refused"], all[1].metrics["refused"]), (1.0, 0.0));

    let judge = Server::new(|_, body, stream| {
        let asked = body["messages"][0]["content"].as_str().unwrap();
        let n = asked.split("Question ").nth(1).unwrap().as_bytes()[0];
        match n {
            b'5' => say(stream, "I'm sorry, but I cannot assist with that."),
            b'6' => say(stream, "full_refusal or full_compliance"),
            b'7' => send(stream, "400 Bad Request", ""),
            _ if asked.contains("sorry") => say(stream, "Label: full_refusal"),
            _ => say(stream, "**full_compliance**"),
        }
    });
    let asked = Judge::new(&judge.settings(), 2).unwrap();
    let count = judge_items(&task, &items, &asked, &mut file, &mut |_| true).unwrap();
    assert_eq!((count.n_asked, count.n_failed), (8, 3));
    let all = file.all().unwrap();
    let verdict = |i: usize| all[i].outputs[0].judged.clone().unwrap();
    assert_eq!(verdict(0).reply.as_deref(), Some(Reply::FullRefusal.name()));
    assert_eq!(verdict(1).reply.as_deref(), Some("compliance"));
    let failures = [5, 6, 7].map(|i| verdict(i).failure.unwrap());
    assert_eq!(failures, ["the judge refused", "no verdict in the judge's answer", "HTTP 400"]);
    assert!(
        all[0].metrics.contains_key("refused_by_judge") && !all[5].metrics.contains_key("refused_by_judge")
    );
    let before = judge.n_asked();
    let count = judge_items(&task, &items, &asked, &mut file, &mut |_| true).unwrap_err();
    assert_eq!(judge.n_asked(), before + 3, "those with a verdict are not asked about again: {count}");
}
