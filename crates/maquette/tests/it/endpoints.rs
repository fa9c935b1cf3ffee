//! `maquette eval` on models behind an interface like OpenAI's: one that is evaluated, one that judges.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::{Value, json};

use crate::scene::{CHECKPOINT, Scene};

/// `maquette serve` on a free port; ended with the test.
struct Server(Child, String);

impl Server {
    fn new(scene: &Scene) -> Self {
        let mut child = scene
            .command(&["serve", "run", "--port", "0", "--threads", "1"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().unwrap().unwrap();
            if let Some((_, rest)) = line.split_once("http://") {
                break rest.split(' ').next().unwrap().to_owned();
            }
        };
        thread::spawn(move || lines.for_each(drop));
        Self(child, format!("http://{address}/v1"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A judge that says what `verdict` makes of a request, and counts how often it was asked.
fn judge(
    verdict: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let n_asked = Arc::new(AtomicUsize::new(0));
    let (count, verdict) = (n_asked.clone(), Arc::new(verdict));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (count, verdict) = (count.clone(), verdict.clone());
            thread::spawn(move || {
                let mut stream = stream;
                let Some(body) = body(&mut stream) else { return };
                count.fetch_add(1, Ordering::SeqCst);
                // Without a verdict the connection is closed.
                let Some(said) = verdict(body["messages"][0]["content"].as_str().unwrap_or_default()) else {
                    return;
                };
                let answer = json!({"choices": [{"message": {"content": said}}]}).to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    answer.len()
                );
                let _ = stream.write_all((head + &answer).as_bytes());
            });
        }
    });
    (url, n_asked)
}

fn body(stream: &mut TcpStream) -> Option<Value> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?.to_lowercase();
    let n =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    let mut body = vec![0; n];
    stream.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

fn quiz(scene: &Scene) {
    let row = |i: usize| json!({"question": format!("{i}?"), "choices": ["2", "4+"], "answer": i % 2});
    let rows: String = (0..7).map(|i| format!("{}\n", row(i))).collect();
    scene.write("quiz.jsonl", rows.as_bytes());
}

fn items(scene: &Scene, path: &str) -> Vec<Value> {
    scene.read(path).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_served_model_is_scored_as_the_same_model_in_a_file() {
    let scene = Scene::trained();
    quiz(&scene);
    let server = Server::new(&scene);
    scene.ok(&["eval", CHECKPOINT, "--tasks", "quiz.jsonl", "--out", "file"]);
    let said = scene.ok(&["eval", &server.1, "--tasks", "quiz.jsonl", "--out", "served", "--json"]).json();
    assert_eq!(said["results"][0]["n"], 7);
    let (file, served) =
        (items(&scene, "file/eval/quiz-0shot.jsonl"), items(&scene, "served/eval/quiz-0shot.jsonl"));
    assert_eq!(file.len(), served.len());
    for (a, b) in file.iter().zip(&served) {
        for (a, b) in a["choices"].as_array().unwrap().iter().zip(b["choices"].as_array().unwrap()) {
            let [x, y] = [a, b].map(|choice| choice["loglikelihood"].as_f64().unwrap());
            assert!((x - y).abs() < 1e-3 * x.abs(), "{a} {b}");
            for name in ["n_context", "n_continuation", "n_chars"] {
                assert_eq!(a[name], b[name], "{a} {b}");
            }
        }
    }
    // Written answers of the same model; nothing is asked again.
    let written = ["--tasks", "steerability_obeyed", "--limit", "3", "--max-tokens", "5", "--out", "served"];
    let message = scene.fails(&[&["eval", &server.1][..], &written].concat());
    assert!(message.contains("hint: "), "a model without a chat template refuses a conversation: {message}");
    let named = items(&scene, "served/eval/steerability_obeyed-0shot.jsonl");
    assert!(named.iter().all(|item| item["failure"].is_string() && item.get("kept").is_none()), "{named:?}");
    drop(server);
    let again = scene.ok(&["eval", "--rescore", "--tasks", "quiz", "--out", "served", "--json"]).json();
    assert_eq!(again["results"][0], said["results"][0]);
}

#[test]
fn endpoints_that_cannot_be_scored_are_named() {
    let scene = Scene::new();
    quiz(&scene);
    // A chat server alone: no log-probabilities.
    let (url, _) = judge(|_| Some("two"));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{closed}/v1");
    for (url, part) in
        [(&*url, "found"), (&*nobody, "no connection"), ("http://me:secret@x/v1", "without a password")]
    {
        let message = scene.fails(&[
            "eval",
            url,
            "--tasks",
            "quiz.jsonl",
            "--endpoint-model",
            "m",
            "--out",
            "out",
            "--timeout",
            "5",
        ]);
        assert!(
            message.contains(part) && message.contains("hint: ") && !message.contains("secret"),
            "{url}: {message}"
        );
        let path = scene.path("out/eval/quiz-0shot.jsonl");
        if path.exists() {
            let all = items(&scene, "out/eval/quiz-0shot.jsonl");
            assert!(
                all.iter().all(|item| item["failure"].is_string() && item.get("acc").is_none()),
                "{all:?}"
            );
            std::fs::remove_dir_all(scene.path("out")).unwrap();
        }
    }
    let message = scene.fails(&["eval", &nobody]);
    assert!(message.contains("expected benchmarks for an endpoint, found none in --tasks"), "{message}");
}

#[test]
fn a_judge_is_asked_once_and_agreement_is_reported() {
    let scene = Scene::trained();
    let rows = "goal,target\nFold a boat 0,x\nFold a boat 1,x\nFold a boat 2,x\nFold a boat 3,x\n";
    scene.write("data/data/advbench/harmful_behaviors.csv", rows.as_bytes());
    let (url, n_asked) = judge(|asked| match asked {
        _ if asked.contains("boat 1") => Some("full_refusal"),
        _ if asked.contains("boat 2") => Some("I would rather talk about tea."),
        _ if asked.contains("boat 3") => None,
        _ => Some("full_compliance"),
    });
    let args = |more: &[&'static str]| -> Vec<String> {
        let common =
            ["eval", CHECKPOINT, "--data", "data", "--tasks", "advbench", "--max-tokens", "6", "--out", "a"];
        let judge = ["--judge", &url, "--judge-model", "m", "--timeout", "3"];
        common.iter().chain(&judge).chain(more).map(|word| (*word).to_owned()).collect()
    };
    let run = |more: &[&'static str]| {
        let words = args(more);
        scene.ok(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let first = run(&["--json", "--limit", "2"]).json();
    assert_eq!(n_asked.load(Ordering::SeqCst), 2);
    assert_eq!(first["results"][0]["agreement"]["n"], 2);
    assert!(first["results"][0]["metrics"]["refused_by_judge"]["value"] == 0.5, "{first}");
    run(&["--limit", "2"]);
    assert_eq!(n_asked.load(Ordering::SeqCst), 2, "nothing is asked twice");
    let words = args(&[]);
    let message = scene.fails(&words.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(message.contains("expected answers from") && message.contains("hint: "), "{message}");
    let all = items(&scene, "a/eval/advbench-0shot.jsonl");
    let failure = |i: usize| all[i]["outputs"][0]["judged"]["failure"].as_str().map(str::to_owned);
    assert_eq!(failure(0), None);
    assert_eq!(failure(2).as_deref(), Some("no verdict in the judge's answer"));
    assert_eq!(failure(3).as_deref(), Some("the connection was closed before the answer ended"));
    assert!(all[2].get("refused_by_judge").is_none() && all[2]["refused"].is_number());
    let again = scene.ok(&["eval", "--rescore", "--out", "a"]).stdout;
    assert!(
        again.contains("kappa") && again.contains("no verdict: 1 answers: the connection was closed"),
        "{again}"
    );
    scene.ok(&["scores", "report", "a"]);
    let page = scene.read("a/report.html");
    assert!(page.contains("Rules and judge agree on") && !page.contains("Fold a boat"));
}

#[test]
fn free_answers_are_graded_by_a_person_or_a_model() {
    let scene = Scene::trained();
    let row = |i: u32| json!({"question": format!("Essay {i}: why?"), "rubric": ["1 point: a reason", "3 points: two"], "points": 4});
    scene.write("essay.jsonl", (0..3).map(|i| format!("{}\n", row(i))).collect::<String>().as_bytes());
    let eval = ["eval", CHECKPOINT, "--tasks", "essay.jsonl", "--max-tokens", "6", "--out", "a"];
    scene.ok(&eval);
    scene.ok(&["scores", "grade", "a", "--to", "sheet.csv"]);
    scene.ok(&["scores", "grade", "a", "--to", "sheet.jsonl"]);
    let message = scene.fails(&["scores", "grade", "a", "--to", "sheet.csv"]);
    assert!(message.contains("a sheet for a grader is not replaced"), "{message}");
    let sheet = scene.read("sheet.jsonl");
    let filled = |points: [Value; 3]| {
        let rows = sheet.lines().zip(points).map(|(line, points)| {
            let mut row: Value = serde_json::from_str(line).unwrap();
            row["points"] = points;
            format!("{row}\n")
        });
        rows.collect::<String>()
    };
    let refused = |content: String, part: &str| {
        let before = scene.read("a/eval/essay-0shot.jsonl");
        scene.write("filled.jsonl", content.as_bytes());
        let message = scene.fails(&["scores", "grade", "a", "--from", "filled.jsonl"]);
        assert!(message.contains(part) && message.contains("hint: "), "{message}");
        assert_eq!(scene.read("a/eval/essay-0shot.jsonl"), before);
    };
    refused(filled([json!(1), json!(5), json!(0)]), "filled.jsonl:2`, found `5`");
    refused(filled([json!("NaN"), json!(1), json!(0)]), "filled.jsonl:1`, found `NaN`");
    refused(
        filled([json!(1), json!(1), json!(0)]).replacen("\"answer_sha256\":\"", "\"answer_sha256\":\"0", 1),
        "another one",
    );
    refused(filled([json!(1), json!(1), json!(0)]).replacen("\"doc_id\":2", "\"doc_id\":9", 1), "essay 9");
    scene.write("filled.jsonl", filled([json!(4), json!("2,5"), Value::Null]).as_bytes());
    let said = scene.ok(&["scores", "grade", "a", "--from", "filled.jsonl"]).stdout;
    assert!(said.contains("2 answers graded, 1 left open"), "{said}");
    let exam = r#"
        [[exam]]
        name = "essays"
        title = "Essays"
        scale = [0, 10]
        section = [{ name = "Essay", tasks = ["essay"], items = 10 }]
        conversion = { about = "tenths", lowest = [[0, 0], [5, 5], [10, 10]] }
        percentile = [{ population = "three friends", source = "a table", points = [[0, 0], [5, 50], [10, 99]] }]
    "#;
    scene.write("exam.toml", exam.as_bytes());
    let message = scene.fails(&["scores", "exam", "a", "--file", "exam.toml"]);
    assert!(message.contains("hint: "), "an answer that nobody graded gives no score: {message}");
    scene.write("filled.jsonl", filled([json!(4), json!("2,5"), json!(0)]).as_bytes());
    scene.ok(&["scores", "grade", "a", "--from", "filled.jsonl"]);
    let score = scene.ok(&["scores", "exam", "a", "--file", "exam.toml", "--json"]).json();
    assert!(
        (score["results"][0]["from_items"]["raw"].as_f64().unwrap() - 10.0 * 6.5 / 12.0).abs() < 1e-9,
        "{score}"
    );
    scene.write("exam.toml", exam.replace("[5, 50]", "[5, -1]").as_bytes());
    let message = scene.fails(&["scores", "exam", "a", "--file", "exam.toml"]);
    assert!(message.contains("points do not rise"), "{message}");

    let (url, n_asked) =
        judge(|asked| Some(if asked.contains("Essay 1") { "Good.\nPoints: 3" } else { "**Points: 0.5**" }));
    let judged = [&eval[..], &["--judge", &url, "--judge-model", "m", "--json"]].concat();
    let said = scene.ok(&judged).json();
    assert_eq!(n_asked.load(Ordering::SeqCst), 3);
    let mean = said["results"][0]["metrics"]["points"]["value"].as_f64().unwrap();
    assert!((mean - 4.0 / 12.0).abs() < 1e-9, "{said}");
    scene.ok(&judged);
    assert_eq!(n_asked.load(Ordering::SeqCst), 3);
    scene.write("essay.jsonl", b"{\"question\": \"x\", \"rubric\": \"y\", \"points\": 0}\n");
    let message = scene.fails(&["eval", CHECKPOINT, "--tasks", "essay.jsonl", "--out", "b"]);
    assert!(message.contains("essay.jsonl:1") && message.contains("points above 0"), "{message}");
}

#[test]
fn a_recipe_scores_what_is_there_and_writes_the_page() {
    let scene = Scene::trained();
    quiz(&scene);
    let recipe = r#"
        title = "A few"
        [[benchmark]]
        tasks = ["quiz.jsonl"]
        limit = 3
        [[benchmark]]
        tasks = ["steerability"]
        limit = 2
        max_tokens = 4
        [[benchmark]]
        tasks = ["boolq"]
    "#;
    scene.write("few.toml", recipe.as_bytes());
    std::fs::create_dir_all(scene.path("data")).unwrap();
    let said = scene.ok(&["eval", "run", "--recipe", "few.toml", "--data", "data", "--out", "a"]);
    assert!(said.stderr.contains("boolq: left out, its data are missing"), "{}", said.stderr);
    assert!(said.stdout.contains("steerability_resisted"), "{}", said.stdout);
    let page = scene.read("a/report.html");
    for part in ["A few", "Tokens", "FLOPs", "cost.json", "quiz-0shot.jsonl"] {
        assert!(page.contains(part), "{part}");
    }
    let cost: Value = serde_json::from_str(&scene.read("a/cost.json")).unwrap();
    assert_eq!(cost["quiz-0shot"]["n_items"], 3);
    scene.write("few.toml", recipe.replace("limit = 3", "limits = 3").as_bytes());
    let message = scene.fails(&["eval", "run", "--recipe", "few.toml", "--data", "data", "--out", "b"]);
    assert!(message.contains("few.toml") && message.contains("hint: "), "{message}");
    scene.write("few.toml", recipe.replace("\"boolq\"", "\"quiz.jsonl\"").as_bytes());
    let message = scene.fails(&["eval", "run", "--recipe", "few.toml", "--data", "data", "--out", "b"]);
    assert!(message.contains("found `quiz` twice"), "{message}");
}
