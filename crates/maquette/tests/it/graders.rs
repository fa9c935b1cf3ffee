//! `maquette rbrm` with graders that are models, and trainings that they reward.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::scene::{CHECKPOINT, Scene};

const CLASSES: &str = "prompt_template: |-\n  Answer yes or no.\n  {question}\n  ASSISTANT: {response}\ncompletion_class_order:\n  - ideal\n  - bad\ncompletion_classes:\n  ideal:\n    hard_refuse:\n      apology: true\n    comply:\n      apology: false\n  bad:\n    hard_refuse:\n      apology: false\n    comply:\n      apology: true\nderived_propositions:\n  polite:\n    apology: true\nsimple_propositions:\n  apology:\n    prompt: Does it apologise?\n  judgement:\n    prompt: Does it judge?\n";

/// What an endpoint does with a request.
enum Reply {
    Say(&'static str),
    Status(&'static str),
    Close,
    Wait,
}

/// An endpoint that is asked questions in words, and counts them.
struct Endpoint {
    url: String,
    n_asked: Arc<AtomicUsize>,
}

fn endpoint(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let n_asked = Arc::new(AtomicUsize::new(0));
    let (count, reply) = (n_asked.clone(), Arc::new(reply));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (count, reply) = (count.clone(), reply.clone());
            thread::spawn(move || answer(stream, &count, &*reply));
        }
    });
    Endpoint { url, n_asked }
}

fn answer(mut stream: TcpStream, count: &AtomicUsize, reply: &dyn Fn(&str) -> Reply) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read_exact(&mut byte).is_err() {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let n = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; n.unwrap_or(0)];
    if stream.read_exact(&mut body).is_err() {
        return;
    }
    let (status, body) = match n {
        // The list of models.
        None => ("200 OK", json!({"data": [{"id": "grader"}]})),
        Some(_) => {
            count.fetch_add(1, Ordering::SeqCst);
            let body: Value = serde_json::from_slice(&body).unwrap();
            match reply(body["messages"][0]["content"].as_str().unwrap_or_default()) {
                Reply::Say(said) => ("200 OK", json!({"choices": [{"message": {"content": said}}]})),
                Reply::Status(status) => (status, json!({"error": {"message": "not today"}})),
                Reply::Close => return,
                Reply::Wait => {
                    thread::sleep(Duration::from_secs(5));
                    return;
                }
            }
        }
    };
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all((head + &body).as_bytes());
}

/// What the answer says decides; a question about judgement is answered with nonsense.
fn sensible(asked: &str) -> Reply {
    let said = asked.rsplit("ASSISTANT:").next().unwrap_or_default();
    match asked.contains("judge") {
        true => Reply::Say("perhaps"),
        false => Reply::Say(if said.contains("Sorry") { "Yes." } else { "no" }),
    }
}

fn labelled(scene: &Scene) {
    scene.write("classes.yaml", CLASSES.as_bytes());
    let row = |i: usize| {
        let (is_sorry, kind) = (i.is_multiple_of(2), if i % 4 < 2 { "Hard Refuse" } else { "Comply" });
        json!({
            "prompt": [{"role": "user", "content": format!("{i}?")}],
            "completion": [{"role": "assistant", "content": if is_sorry { "Sorry, no." } else { "Sure." }}],
            "response_type": kind,
            "propositions": {"apology": is_sorry, "judgement": i.is_multiple_of(3)},
        })
    };
    let rows: String = (0..12).map(|i| format!("{}\n", row(i))).collect();
    scene.write("gold.jsonl", rows.as_bytes());
    let prompt = |i: usize| json!({"prompt": format!("{i}?"), "label": if i.is_multiple_of(2) { "disallowed" } else { "allowed" }});
    let rows: String = (0..40).map(|i| format!("{}\n", prompt(i))).collect();
    scene.write("prompts.jsonl", rows.as_bytes());
}

fn rbrm<'a>(grader: &'a str, out: &'a str) -> Vec<&'a str> {
    let fixed =
        ["rbrm", "classes.yaml", "--gold", "gold.jsonl", "--fit", "gold.jsonl", "--grader-timeout", "1"];
    [&fixed[..], &["--grader", grader, "--out", out]].concat()
}

const PPO: [&str; 26] = [
    "ppo",
    "run",
    "--prompts",
    "prompts.jsonl",
    "--rule",
    "rbrm",
    "--iterations",
    "2",
    "--rollouts",
    "16",
    "--batch",
    "8",
    "--micro-batch",
    "4",
    "--max-tokens",
    "6",
    "--n-held-out",
    "8",
    "--lr",
    "0.003",
    "--threads",
    "1",
    "--grader-timeout",
    "1",
    "--grader-parallel",
    "4",
];

fn ppo<'a>(grader: &'a str, out: &'a str) -> Vec<&'a str> {
    [&PPO[..], &["--rbrm", grader, "--out", out, "--json"]].concat()
}

fn trained() -> Scene {
    let scene = Scene::new();
    scene.ok(&["run", "tiny.toml", "--out", "run", "--set", "train.seq_len=192"]);
    labelled(&scene);
    scene
}

#[test]
fn an_endpoint_grades_and_what_it_does_not_answer_is_counted() {
    let scene = Scene::new();
    labelled(&scene);
    let grader = endpoint(sensible);
    let said = scene.ok(&[&rbrm(&grader.url, "rbrm.json")[..], &["--json"]].concat()).json();
    let apology = &said["validation"]["apology"];
    assert_eq!((&apology["f1"], &apology["n"], &apology["n_true"]), (&json!(1.0), &json!(12), &json!(6)));
    assert!(apology["lo95"].as_f64().unwrap() < 0.9, "twelve items prove little: {apology}");
    let judgement = &said["validation"]["judgement"];
    assert_eq!(judgement["n"], 0);
    assert_eq!(judgement["unanswered"], json!({"no verdict in the judge's answer": 12}));
    assert_eq!(said["grader"], json!({"endpoint": {"url": grader.url, "model": "grader"}}));
    for weights in said["weights"].as_object().unwrap().values() {
        assert_eq!(weights["of"].as_object().unwrap().keys().collect::<Vec<_>>(), ["apology"]);
    }
    // What was answered is not asked again, what was not is.
    let n_asked = grader.n_asked.load(Ordering::SeqCst);
    assert_eq!(n_asked, 24);
    let said = scene.ok(&rbrm(&grader.url, "rbrm.json"));
    assert_eq!(grader.n_asked.load(Ordering::SeqCst), n_asked + 12);
    assert!(said.stdout.contains("no verdict on 12: no verdict in the judge's answer"), "{}", said.stdout);
    assert!(said.stdout.contains("F1 of `grader` at http://"), "{}", said.stdout);
}

#[test]
fn a_grader_that_is_not_there_is_named_and_what_it_said_is_kept() {
    let scene = Scene::new();
    labelled(&scene);
    // Nobody listens.
    let error = scene.fails(&rbrm("http://127.0.0.1:9/v1", "a.json"));
    assert!(error.contains("no connection") && error.contains("hint: start the server"), "{error}");
    let error =
        scene.fails(&[&rbrm("http://127.0.0.1:9/v1", "a.json")[..], &["--grader-model", "m"]].concat());
    assert!(error.contains("no connection") && error.contains("hint: start the server"), "{error}");
    for n in ["0", "1025", "99999999999"] {
        let args = [&rbrm("http://127.0.0.1:9/v1", "a.json")[..], &["--grader-parallel", n]].concat();
        let said = scene.run(&args);
        assert_eq!(said.status.code(), Some(2), "{}", said.stderr);
        assert!(
            said.stderr.contains("1..=1024") && said.stderr.contains("--grader-parallel"),
            "{}",
            said.stderr
        );
    }
    // It dies after eight answers.
    let n = AtomicUsize::new(0);
    let dying = endpoint(move |asked| match n.fetch_add(1, Ordering::SeqCst) {
        0..16 => Reply::Say(if asked.contains("judge") { "no" } else { "yes" }),
        16..18 => Reply::Close,
        _ => Reply::Status("503 Service Unavailable"),
    });
    let args = [&rbrm(&dying.url, "b.json")[..], &["--grader-parallel", "1"]].concat();
    let error = scene.fails(&args);
    assert!(
        error.contains("expected verdicts of `grader`") && error.contains("goes on after 8 of 12"),
        "{error}"
    );
    assert!(!scene.path("b.json").exists());
    assert_eq!(scene.read("b.json.verdicts.jsonl").lines().count(), 8);
    // Too slow.
    let slow = endpoint(|_| Reply::Wait);
    let error = scene.fails(&rbrm(&slow.url, "c.json"));
    assert!(error.contains("no answer within 1 s") && error.contains("with --grader-timeout"), "{error}");
    // What it wants, and what is not there.
    for (status, part) in [
        (
            "401 Unauthorized",
            "hint: no key was sent: put one into the environment variable that --grader-key-variable",
        ),
        ("404 Not Found", "or the model's name with --grader-model; the same command goes on after 0 of 12"),
    ] {
        let strict = endpoint(move |_| Reply::Status(status));
        let error = scene.fails(&rbrm(&strict.url, "e.json"));
        assert!(error.contains(part), "{error}");
    }
    // A file of somebody else where verdicts would be kept.
    scene.write("d.json.verdicts.jsonl", b"mine\n");
    let error = scene.fails(&rbrm(&endpoint(sensible).url, "d.json"));
    assert!(error.contains("expected verdicts of a grader at `d.json.verdicts.jsonl`"), "{error}");
    assert_eq!(scene.read("d.json.verdicts.jsonl"), "mine\n");
}

/// What no grader can mend is said before one is asked.
#[test]
fn files_are_checked_before_anything_is_graded() {
    let scene = Scene::new();
    labelled(&scene);
    let grader = endpoint(sensible);
    let gold = scene.read("gold.jsonl");
    let first = gold.lines().next().unwrap().to_owned() + "\n";
    let alike: String = (0..5).map(|_| first.clone()).collect();
    for (file, content, found) in [
        ("gold.jsonl", first, "found one of each in 1"),
        ("gold.jsonl", alike, "found those alike: 5 of hard_refuse"),
        ("gold.jsonl", gold.replace("judgement", "kindness"), "found `kindness`"),
        ("gold.jsonl", String::new(), "found none"),
        ("classes.yaml", CLASSES.replace("comply", "complyy"), "the unknown key `complyy`"),
        (
            "classes.yaml",
            CLASSES.replace("prompt: Does it judge?", "question: x"),
            "the unknown key `question`",
        ),
        ("classes.yaml", String::new(), "an empty file"),
    ] {
        labelled(&scene);
        scene.write(file, content.as_bytes());
        let error = scene.fails(&rbrm(&grader.url, "a.json"));
        assert!(error.contains(found) && error.contains("expected ") && error.contains("hint: "), "{error}");
        assert!(!scene.path("a.json").exists() && !scene.path("a.json.lock").exists());
    }
    assert_eq!(grader.n_asked.load(Ordering::SeqCst), 0);
}

/// Two at once would mix their verdicts.
#[test]
fn one_rbrm_at_a_time_writes_a_file() {
    let scene = Scene::new();
    labelled(&scene);
    let slow = endpoint(|_| Reply::Wait);
    let args = rbrm(&slow.url, "a.json").into_iter().map(|word| if word == "1" { "30" } else { word });
    let args: Vec<&str> = args.collect();
    let mut first = scene.command(&args).stderr(std::process::Stdio::null()).spawn().unwrap();
    while slow.n_asked.load(Ordering::SeqCst) == 0 {
        thread::sleep(Duration::from_millis(20));
    }
    let error = scene.fails(&rbrm(&endpoint(sensible).url, "a.json"));
    assert!(error.contains("expected `a.json` to be free") && error.contains("hint: "), "{error}");
    scene.ok(&rbrm(&endpoint(sensible).url, "b.json"));
    first.kill().unwrap();
    first.wait().unwrap();
    // What a kill left is no obstacle.
    scene.ok(&rbrm(&endpoint(sensible).url, "a.json"));
}

/// Answers without a grade are left out and counted, and a grader that died ends the training by name.
#[test]
fn ppo_learns_from_an_endpoint_and_leaves_out_what_it_does_not_grade() {
    let scene = trained();
    let mode = Arc::new(AtomicUsize::new(0));
    let (now, n) = (mode.clone(), AtomicUsize::new(0));
    let grader = endpoint(move |asked| match now.load(Ordering::SeqCst) {
        1 if n.fetch_add(1, Ordering::SeqCst).is_multiple_of(3) => Reply::Say("I would rather not say"),
        2 => Reply::Status("404 Not Found"),
        _ => sensible(asked),
    });
    scene.ok(&rbrm(&grader.url, "rbrm.json"));
    let said = scene.ok(&ppo("rbrm.json", "whole")).json();
    assert_eq!(said["left_out"], json!({}));
    mode.store(1, Ordering::SeqCst);
    let said = scene.ok(&ppo("rbrm.json", "some"));
    let left_out = said.json()["left_out"].clone();
    let (reason, n_left_out) = left_out.as_object().unwrap().iter().next().unwrap();
    assert!(reason.contains("no verdict of the grader on `apology`"), "{left_out}");
    assert!((5..=20).contains(&n_left_out.as_u64().unwrap()), "{left_out}");
    assert!(said.stderr.contains("answers that could not be learned from"), "{}", said.stderr);
    mode.store(2, Ordering::SeqCst);
    let error = scene.fails(&ppo("rbrm.json", "dead"));
    assert!(error.contains("found none of 8: 8 without a reward") && error.contains("HTTP 404"), "{error}");
    // Once it is back, the same command goes on.
    mode.store(0, Ordering::SeqCst);
    scene.ok(&ppo("rbrm.json", "dead"));
}

#[test]
fn a_model_in_a_file_grades_and_another_one_is_refused() {
    let scene = trained();
    let grader = format!("model:{}", scene.path("run").display());
    let args = [&rbrm(&grader, "rbrm.json")[..], &["--json", "--threads", "1"]].concat();
    let said = scene.ok(&args).json();
    assert_eq!(said["validation"]["apology"]["n"], 12, "{said}");
    assert!(said["grader"]["model"]["weights"].as_str().unwrap().len() == 64, "{said}");
    let verdicts = scene.read("rbrm.json.verdicts.jsonl");
    assert_eq!(verdicts.lines().count(), 12);
    // The same again, from what was kept, and from the beginning.
    assert_eq!(scene.ok(&args).json(), said);
    std::fs::remove_file(scene.path("rbrm.json.verdicts.jsonl")).unwrap();
    assert_eq!(scene.ok(&args).json(), said);
    assert_eq!(scene.read("rbrm.json.verdicts.jsonl"), verdicts);
    assert!(!scene.path("rbrm.json.lock").exists());
    // So small a model can tell nothing. As if it had graded well:
    let mut able: Value = serde_json::from_str(&scene.read("rbrm.json")).unwrap();
    able["validation"]["apology"]["f1"] = json!(0.9);
    let weights = json!({"bias": 0.5, "of": {"apology": 0.5}, "n": 6, "r2": 1.0});
    able["weights"] = json!({"hard_refuse": weights, "comply": weights});
    scene.write("rbrm.json", serde_json::to_string_pretty(&able).unwrap().as_bytes());
    scene.ok(&ppo("rbrm.json", "learned"));

    // A bar that it misses; a file in which somebody lowered it; other weights.
    let said = scene.ok(&[&rbrm(&grader, "strict.json")[..], &["--min-f1", "1"]].concat());
    assert!(
        said.stderr.contains("found none: no F1 is above that of always saying yes and at least 1")
            && said.stdout.contains("no weight"),
        "{}",
        said.stderr
    );
    let error = scene.fails(&ppo("strict.json", "none"));
    assert!(error.contains("expected a proposition with a weight, found none: no F1 is above"), "{error}");
    // Six of twelve are true: always saying yes has an F1 of 2/3.
    for (name, from, to, found) in [
        ("raised.json", "\"min_f1\": 0.0", "\"min_f1\": 0.99", "and at least 0.99"),
        (
            "lowered.json",
            "\"f1\": 0.9",
            "\"f1\": 0.66",
            "an F1 of 0.660 of `apology` on 12, where always saying yes has 0.667",
        ),
    ] {
        let changed = scene.read("rbrm.json").replace(from, to);
        assert_ne!(changed, scene.read("rbrm.json"));
        scene.write(name, changed.as_bytes());
        let error = scene.fails(&ppo(name, "none"));
        assert!(error.contains(found), "{error}");
    }
    scene.ok(&["run", "tiny.toml", "--out", "other", "--set", "train.seq_len=192", "--set", "seed=2"]);
    let moved = scene.read("rbrm.json").replace("/run/pretrain", "/other/pretrain");
    scene.write("moved.json", moved.as_bytes());
    let error = scene.fails(&ppo("moved.json", "none"));
    assert!(error.contains("expected the grader that `moved.json` was validated with"), "{error}");
    let error = scene.fails(&rbrm("model:nowhere", "x.json"));
    assert!(error.contains("nowhere"), "{error}");
    assert!(scene.path(CHECKPOINT).exists());
}
