//! Problems are right, split and mixed as promised.

use std::{
    collections::{BTreeMap, HashSet},
    iter::Peekable,
    ops::ControlFlow,
    path::Path,
    str::Chars,
    sync::Arc,
};

use super::*;
use crate::{
    BatchStream, DataConfig, Documents, Prepared, SourceConfig, Split, Tokenizer, ValidationConfig, prepare,
};

/// Both sides of the split, every task and difficulty.
fn problems(n_per_level: usize) -> Vec<Problem> {
    let levels = Task::ALL.into_iter().flat_map(|task| (1..=task.max_difficulty()).map(move |d| (task, d)));
    levels
        .flat_map(|(task, difficulty)| {
            let mut rng = Rng::named(1, &format!("{task}{difficulty}"));
            (0..n_per_level).map(move |_| task.draw(difficulty, &mut rng)).collect::<Vec<_>>()
        })
        .collect()
}

/// What stands between the task's name and the arrow.
fn question(problem: &Problem) -> &str {
    let (name, rest) = problem.prompt.split_once(": ").unwrap();
    assert_eq!(name, problem.task.name());
    rest.strip_suffix(" =>").unwrap()
}

#[test]
fn answers_are_those_of_another_solver() {
    for problem in problems(300) {
        let question = question(&problem);
        let n = problem.difficulty as usize;
        let expected = match problem.task {
            Task::Copy => {
                assert_eq!(question.len(), n);
                question.to_owned()
            }
            Task::Lookup => {
                let (pairs, key) = question.split_once(", ").unwrap();
                let found: Vec<&str> = pairs.split(' ').filter_map(|pair| pair.strip_prefix(key)).collect();
                assert_eq!((pairs.split(' ').count(), found.len()), (n, 1), "{question}");
                found[0].to_owned()
            }
            Task::Close => {
                let closers = close(question);
                assert_eq!(closers.len(), n, "{question}");
                closers
            }
            Task::Sort => {
                let count = |letter: char| question.chars().filter(|&c| c == letter).count();
                assert_eq!(question.len(), n + 1);
                ('a'..='z').map(|letter| letter.to_string().repeat(count(letter))).collect()
            }
            Task::Add => {
                let (a, b) = question.split_once('+').unwrap();
                assert_eq!((a.len(), b.len()), (n, n), "{question}");
                (a.parse::<u64>().unwrap() + b.parse::<u64>().unwrap()).to_string()
            }
            Task::Python => {
                let n_operations = question.matches(['+', '-', '*']).count()
                    + ["max", "min", "len"]
                        .map(|name| question.matches(&format!("{name}(")).count())
                        .iter()
                        .sum::<usize>();
                assert_eq!(n_operations, n, "{question}");
                let mut rest = question.chars().peekable();
                let value = sum(&mut rest);
                assert_eq!(rest.next(), None, "{question}");
                value.to_string()
            }
            Task::Shuffle => {
                let letters: HashSet<char> = question.chars().collect();
                assert_eq!((question.len(), letters.len()), (n + 1, n + 1));
                let reversed: String = question.chars().rev().collect();
                for right in [question, &reversed] {
                    assert!(problem.accepts(&format!(" {right}\n")), "{problem:?}");
                }
                for wrong in [
                    question.to_owned(),
                    format!(" {question}"),
                    format!("  {question}\n"),
                    format!(" {question}\n\n"),
                    format!(" {question}a\n"),
                    format!(" {}\n", &question[1..]),
                    format!(" {}{}\n", &question[1..2], &question[1..]),
                    String::new(),
                ] {
                    assert!(!problem.accepts(&wrong), "{wrong:?} for {problem:?}");
                }
                continue;
            }
        };
        assert_eq!(problem.answer, format!(" {expected}\n"), "{}", problem.prompt);
        assert!(problem.accepts(&problem.answer) && !problem.accepts(&expected));
    }
}

/// What closes the open brackets: pairs that stand side by side are crossed out until none is left.
fn close(question: &str) -> String {
    let mut open = question.to_owned();
    while let Some(at) = ["()", "[]", "{}", "<>"].iter().find_map(|pair| open.find(pair)) {
        open.replace_range(at..at + 2, "");
    }
    let closer = |left| char::from(b")]}>"["([{<".find(left).unwrap()]);
    open.chars().rev().map(closer).collect()
}

/// Python's grammar for these expressions, read from the text: `sum = product (± product)*`.
fn sum(rest: &mut Peekable<Chars>) -> i64 {
    let mut value = product(rest);
    while let Some(sign) = rest.next_if(|c| "+-".contains(*c)) {
        let right = product(rest);
        value += if sign == '+' { right } else { -right };
    }
    value
}

/// `product = atom (* atom)*`
fn product(rest: &mut Peekable<Chars>) -> i64 {
    let mut value = atom(rest);
    while rest.next_if_eq(&'*').is_some() {
        value *= atom(rest);
    }
    value
}

/// `atom = digit | (sum) | len("letters") | max(sum,sum) | min(sum,sum)`
fn atom(rest: &mut Peekable<Chars>) -> i64 {
    let name: String = std::iter::from_fn(|| rest.next_if(char::is_ascii_lowercase)).collect();
    match rest.next().unwrap() {
        digit if digit.is_ascii_digit() => digit.to_digit(10).unwrap().into(),
        '(' => {
            let value = if name == "len" {
                let text: String = rest.by_ref().skip(1).take_while(|&c| c != '"').collect();
                text.len() as i64
            } else {
                let first = sum(rest);
                match name.as_str() {
                    "" => first,
                    name => {
                        assert_eq!(rest.next(), Some(','));
                        let second = sum(rest);
                        if name == "max" { first.max(second) } else { first.min(second) }
                    }
                }
            };
            assert_eq!(rest.next(), Some(')'));
            value
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_problem_is_one_short_line() {
    let longest =
        problems(3000).into_iter().map(|problem| problem.prompt + &problem.answer).max_by_key(String::len);
    let longest = longest.unwrap();
    // Behind end-of-text, in a context of 64 bytes.
    assert!(longest.len() <= 64, "{longest}");
    assert!(
        problems(20).iter().all(|p| p.answer.find('\n') == Some(p.answer.len() - 1) && p.prompt.is_ascii())
    );
}

/// Losses and pass rates of different runs can be compared only while these stay.
#[test]
fn problems_are_fixed_for_ever() {
    let hash = |texts: &[String]| format!("{:016x}", xxh3_64(texts.concat().as_bytes()));
    let suite: Vec<String> = suite(1, 8).into_iter().map(|p| p.prompt + &p.answer).collect();
    assert_eq!(hash(&suite), "518763e030a61b28");
    let documents: Vec<String> = TaskDocuments::new(&TasksConfig::new(0.1)).take(10).collect();
    assert_eq!(hash(&documents), "45000887c06925ff");
}

#[test]
fn a_suite_has_every_level_and_grows_by_appending() {
    let (small, large) = (suite(5, 8), suite(5, 32));
    let by_level = |suite: &[Problem]| {
        let mut levels: BTreeMap<(Task, u32), Vec<String>> = BTreeMap::new();
        for problem in suite {
            assert!(problem.is_test());
            levels.entry((problem.task, problem.difficulty)).or_default().push(problem.prompt.clone());
        }
        levels
    };
    let (small, large) = (by_level(&small), by_level(&large));
    let n_levels = Task::ALL.iter().map(|task| task.max_difficulty() as usize).sum::<usize>();
    assert_eq!(large.len(), n_levels);
    for (level, prompts) in &large {
        let n = match level {
            (task, 1) if let Some(all) = all_of_level_one(*task) => {
                let n = all.iter().filter(|prompt| is_held_out(prompt)).count();
                assert!((3..32).contains(&n), "{task}: {n} of {}", all.len());
                n
            }
            (Task::Shuffle, _) => 4,
            _ => 32,
        };
        assert_eq!(prompts.len(), n, "{level:?}");
        assert_eq!(prompts.iter().collect::<HashSet<_>>().len(), n, "{level:?}");
        assert!(prompts.starts_with(&small[level]));
    }
    assert_ne!(suite(6, 8), suite(5, 8));
}

/// Every prompt of the lowest level, where these are few.
fn all_of_level_one(task: Task) -> Option<Vec<String>> {
    match task {
        Task::Copy => Some(('a'..='z').chain('0'..='9').map(|c| format!("copy: {c} =>")).collect()),
        Task::Add => Some((0..100).map(|i| format!("add: {}+{} =>", i / 10, i % 10)).collect()),
        Task::Lookup => {
            let keys = ('a'..='z').flat_map(|key| (0..10).map(move |value| (key, value)));
            Some(keys.map(|(key, value)| format!("lookup: {key}{value}, {key} =>")).collect())
        }
        Task::Close => {
            let gaps = ["", "()", "[]", "{}", "<>"];
            let all = gaps.iter().flat_map(|before| gaps.iter().map(move |after| (before, after)));
            let all = all.flat_map(|(before, after)| {
                ["(", "[", "{", "<"].map(|open| format!("close: {before}{open}{after} =>"))
            });
            Some(all.collect())
        }
        _ => None,
    }
}

/// The rule of the split, spelled out once more.
fn is_held_out(prompt: &str) -> bool {
    xxh3_64(prompt.as_bytes()).is_multiple_of(8)
}

/// The lines of a few megabytes of generated text.
fn lines(seed: u64) -> Vec<String> {
    let config = TasksConfig { bytes: 2_000_000, seed, ..TasksConfig::new(1.0) };
    TaskDocuments::new(&config).flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn no_test_problem_is_trained_on() {
    let prompts: HashSet<String> = (lines(1).iter().chain(&lines(2)))
        .map(|line| format!("{} =>", line.split_once(" =>").unwrap().0))
        .collect();
    assert!(prompts.len() > 50_000);
    assert!(prompts.iter().all(|prompt| !is_held_out(prompt)));
    let suite = suite(1, 500);
    assert!(suite.iter().all(|problem| !prompts.contains(&problem.prompt)));
    // The small levels are trained on whole, but for what is held out.
    for task in [Task::Copy, Task::Lookup, Task::Close, Task::Add] {
        for prompt in all_of_level_one(task).unwrap() {
            assert_ne!(
                prompts.contains(&prompt),
                suite.iter().any(|problem| problem.prompt == prompt),
                "{prompt}"
            );
        }
    }
}

#[test]
fn every_task_and_difficulty_is_trained_on_alike() {
    let n_draws = 20_000;
    let mut counts: BTreeMap<(Task, u32), u32> = BTreeMap::new();
    let mut rng = Rng::new(3, 0);
    for _ in 0..n_draws {
        let problem = Problem::to_train_on(&mut rng);
        *counts.entry((problem.task, problem.difficulty)).or_default() += 1;
    }
    for task in Task::ALL {
        for difficulty in 1..=task.max_difficulty() {
            let n = f64::from(counts[&(task, difficulty)]);
            let p = 1.0 / Task::ALL.len() as f64 / f64::from(task.max_difficulty());
            let (mean, sd) = (p * f64::from(n_draws), (p * (1.0 - p) * f64::from(n_draws)).sqrt());
            assert!((n - mean).abs() < 5.0 * sd, "{task} {difficulty}: {n} of {mean}");
        }
    }
    let lines = lines(4);
    let n_copies = lines.iter().filter(|line| line.starts_with("copy: ")).count();
    assert!((n_copies as f64 * 7.0 / lines.len() as f64 - 1.0).abs() < 0.05, "{n_copies} of {}", lines.len());
}

/// One file of text beside tasks, split by tail.
fn mixed(dir: &Path, tasks: Option<TasksConfig>) -> DataConfig {
    let text: String = (0..4000).map(|i| format!("This is sentence {i} of the text. ")).collect();
    std::fs::write(dir.join("a.txt"), text).unwrap();
    let mut source = SourceConfig::new(dir.join("a.txt").display().to_string());
    source.weight = 3.0;
    DataConfig {
        tasks,
        validation: ValidationConfig::Tail { fraction: 0.1 },
        ..DataConfig::new(vec![source])
    }
}

fn prepared(config: &DataConfig, tokenizer: &Tokenizer, out: &Path) -> Arc<Prepared> {
    Arc::new(prepare(config, tokenizer, out, &mut |_| ControlFlow::Continue(())).unwrap())
}

#[test]
fn tasks_hold_their_weight_and_stay_out_of_validation() {
    let dir = tempfile::tempdir().unwrap();
    let tasks = TasksConfig { bytes: 60_000, seed: 7, weight: 1.0 };
    let mut config = mixed(dir.path(), Some(tasks));
    // No filter is for the tasks.
    config.filter.min_chars = 2000;
    let tokenizer = Tokenizer::bytes();
    let data = prepared(&config, &tokenizer, &dir.path().join("out"));

    let manifest = data.manifest();
    let [_, source] = &manifest.sources[..] else { panic!("{:?}", manifest.sources) };
    assert_eq!((source.name.as_str(), source.path.as_str()), ("tasks", "generated tasks, seed 7"));
    assert_eq!((source.weight, source.licence.as_deref()), (1.0, Some("generated")));
    let file = &manifest.files[1];
    assert_eq!((file.source.as_str(), file.licence.as_deref()), ("tasks", Some("generated")));
    assert_eq!((&file.split[..], file.validation_tokens), (&[Split::Train][..], 0));
    assert!((59_000..=60_000).contains(&file.bytes), "{}", file.bytes);
    assert_eq!(file.train_tokens, file.bytes + file.documents); // one for each end
    assert_eq!(file.sha256.len(), 64);

    let without = prepared(&mixed(dir.path(), None), &tokenizer, &dir.path().join("without"));
    let held_out = |data: &Prepared| {
        let entries = data.manifest().shards_of(Split::Validation);
        entries.map(|shard| (shard.tokens, shard.xxh3.clone())).collect::<Vec<_>>()
    };
    assert_eq!(held_out(&data), held_out(&without));

    let mut stream = BatchStream::new(data, 128, 1).unwrap();
    let mut n_of_tasks = 0;
    let mut n = 0;
    while n < 200_000 {
        let batch = stream.next_batch(8);
        for segment in &batch.segments {
            let text = tokenizer.decode(&batch.targets[segment.start..][..segment.len]);
            n_of_tasks += if text.contains("entence") || text.contains("the te") { 0 } else { segment.len };
            n += segment.len;
        }
    }
    let share = n_of_tasks as f64 / n as f64;
    assert!((share - 0.25).abs() < 0.01, "{share}");
}

#[test]
fn same_seed_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let with_seed = |seed| mixed(dir.path(), Some(TasksConfig { bytes: 30_000, seed, weight: 1.0 }));
    let files = |seed, n_threads, out: &str| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        let data = pool.install(|| prepared(&with_seed(seed), &Tokenizer::bytes(), &dir.path().join(out)));
        (data.fingerprint().to_owned(), std::fs::read(dir.path().join(out).join("manifest.jsonl")).unwrap())
    };
    let first = files(1, 1, "a");
    assert_eq!(files(1, 3, "b"), first);
    assert_ne!(files(2, 1, "c").0, first.0);
}

/// A tokenizer sees the tasks as it sees other text, and its merges keep to the border of the answer.
#[test]
fn merges_do_not_cross_the_border_of_the_answer() {
    let texts: Vec<String> = TaskDocuments::new(&TasksConfig::new(1.0)).take(300).collect();
    let tokenizer = Tokenizer::train_on(&texts, 600).unwrap();
    for problem in problems(50) {
        let (prompt, answer) = (tokenizer.encode(&problem.prompt), tokenizer.encode(&problem.answer));
        let whole = tokenizer.encode(&format!("{}{}", problem.prompt, problem.answer));
        assert_eq!(whole, [prompt, answer].concat(), "{problem:?}");
        // Nor does what follows in a document change the ids of a problem.
        let two = format!("{0}{1}{0}{1}", problem.prompt, problem.answer);
        assert_eq!(tokenizer.encode(&two), whole.repeat(2), "{problem:?}");
    }
    assert!(tokenizer.encode("lookup: a").len() < 5, "merges were learned");
}

#[test]
fn progress_counts_what_is_generated() {
    let dir = tempfile::tempdir().unwrap();
    let config = mixed(dir.path(), Some(TasksConfig { bytes: 30_000, ..TasksConfig::new(1.0) }));
    let mut documents = Documents::open(&config).unwrap();
    let total = documents.n_bytes_total();
    while documents.next_document().unwrap().is_some() {
        assert!(documents.n_bytes_read() <= total);
    }
    assert_eq!(documents.n_bytes_read(), documents.n_bytes_total());
    assert!(documents.next_document().unwrap().is_none(), "the end stays the end");
}

#[test]
fn settings_out_of_range_are_refused() {
    let check = |tasks: TasksConfig, name: &str| {
        let config = DataConfig { tasks: Some(tasks), ..DataConfig::new(vec![SourceConfig::new("a.txt")]) };
        let error = config.validate().unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{name}` must be")) && error.contains("\nhint: "), "{error}");
    };
    for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        check(TasksConfig::new(weight), "tasks.weight");
    }
    for bytes in [0, 4095, u64::MAX] {
        check(TasksConfig { bytes, ..TasksConfig::new(0.1) }, "tasks.bytes");
    }
    let parse = |tasks: &str| {
        serde_json::from_str::<DataConfig>(&format!(
            r#"{{"sources": [{{"path": "a.txt"}}], "tasks": {tasks}}}"#
        ))
    };
    let error = parse(r#"{"weight": 0.1, "documents": 3}"#).unwrap_err().to_string();
    assert!(error.contains("unknown field `documents`"), "{error}");
    assert!(parse(r#"{"seed": 3}"#).unwrap_err().to_string().contains("missing field `weight`"));
    let config = parse(r#"{"weight": 0.1}"#).unwrap();
    assert_eq!(config.tasks, Some(TasksConfig::new(0.1)));
    // A recipe without tasks stays the text that it was.
    assert!(!serde_json::to_string(&DataConfig::new(vec![])).unwrap().contains("tasks"));
}
