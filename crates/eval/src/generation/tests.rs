use std::fs;

use data::Tokenizer;
use model::{Gpt, scaling::ModelOverrides};
use serde_json::Value;
use tensor::Cpu;

use super::*;
use crate::{DataFolder, ItemScore, Items, ItemsFile, Output, Target, Task, rescore};

/// What the filters of lm-evaluation-harness find, and whether they take it for right: `tools/reference/extractors.py`.
#[test]
fn extractors_find_what_those_of_the_harness_find() {
    let path = std::env::var("EXTRACTOR_CASES").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/extractors.jsonl").to_owned()
    });
    let tasks = Task::all();
    let text = fs::read_to_string(path).unwrap();
    let (mut n_cases, mut n_gsm8k, mut wrong) = (0, 0, Vec::new());
    for line in text.lines().skip(1) {
        let case: Value = serde_json::from_str(line).unwrap();
        let name = case["task"].as_str().unwrap();
        let task = tasks.iter().find(|task| task.name == name).unwrap_or_else(|| panic!("no {name}"));
        let item = written(name, case["target"].as_str().unwrap(), case["text"].as_str().unwrap());
        let item = ItemScore { reference: Some(case["reference"].clone()), ..item };
        let found = rescore(task, &item);
        for (filter, expected) in case["answers"].as_object().unwrap() {
            // One without filters is called "none" there.
            let (answer, metric) = match filter.as_str() {
                "none" => (found.outputs[0].text.clone(), "exact_match".to_owned()),
                _ => (found.outputs[0].answers[filter].clone(), format!("exact_match,{filter}")),
            };
            let is_right = found.metrics[&metric] == 1.0;
            if expected[0] != answer.as_str() || expected[1] != is_right {
                wrong.push(format!("{filter}: {answer:?} {is_right}, expected {expected} in\n{line}"));
            }
        }
        n_cases += 1;
        n_gsm8k += usize::from(name == "gsm8k");
    }
    assert!(wrong.is_empty(), "{} of {n_cases}:\n{}", wrong.len(), wrong[..wrong.len().min(5)].join("\n"));
    assert!(n_cases >= 300 && n_gsm8k >= 50, "{n_cases} {n_gsm8k}");
}

fn written(task: &str, target: &str, text: &str) -> ItemScore {
    let output = Output {
        text: text.to_owned(),
        n_tokens: 1,
        finish: "stop".to_owned(),
        answers: Default::default(),
        program: None,
        judged: None,
        verdicts: Default::default(),
    };
    ItemScore {
        task: task.to_owned(),
        doc_id: 0,
        target: Target::Text(target.to_owned()),
        context_ids: None,
        choices: Vec::new(),
        outputs: vec![output],
        reference: None,
        failure: None,
        metrics: Default::default(),
    }
}

const TASK: &str = r#"
    name = "echo"
    version = 1
    about = ""
    source = ""
    licence = ""
    kind = "generate"
    metrics = ["exact_match"]
    prompt = "{{question}} ="
    test = "test"
    fewshot = { draw = "first", samples = [{ question = "1 + 1", target = "2" }, { question = "2 + 1", target = "3" }] }
    [generate]
    until = ["e", "aa"]
    max_tokens = 12
    filters = [{ name = "first", steps = [{ function = "regex", regex_pattern = "[a-z]+" }] }]
    [[data]]
    split = ["test"]
    files = ["rows.jsonl"]
    fields = { question = "{{q}}", target = "{{a}}" }
"#;

fn scene() -> (tempfile::TempDir, Task, Gpt) {
    let dir = tempfile::tempdir().unwrap();
    let rows: String =
        (0..23).map(|i| format!("{{\"q\": \"{}{i}\", \"a\": {i}}}\n", "x".repeat(i % 5))).collect();
    fs::write(dir.path().join("rows.jsonl"), rows).unwrap();
    let shape =
        ModelOverrides { n_layers: Some(2), d_model: Some(32), n_heads: Some(2), ..Default::default() };
    let mut gpt = Gpt::new(shape.config(Tokenizer::bytes().vocab_size(), 64, 16), 3);
    gpt.params_mut().iter_mut().for_each(|param| param.f32_mut().iter_mut().for_each(|x| *x *= 3.0));
    (dir, Task::parse(TASK).unwrap().remove(0), gpt)
}

#[test]
fn answers_are_the_same_whatever_is_written_beside_them() {
    let (dir, task, gpt) = scene();
    let tokenizer = Tokenizer::bytes();
    let items = Items::of(&task, &DataFolder::new(dir.path()), 2, None).unwrap();
    assert_eq!(items.items[6].contexts, ["1 + 1 = 2\n\n2 + 1 = 3\n\nx6 ="]);
    let settings = GenerationSettings { n_samples: 3, seed: 5, temperature: Some(1.0), max_tokens: None };
    for settings in [settings, GenerationSettings::default()] {
        let drawing = task.drawing(&settings).unwrap().unwrap();
        let run = |n_sequences: usize, n_threads: usize, stops: &[usize]| {
            let kernels = Cpu::new(n_threads);
            let mut file = ItemsFile::in_memory();
            for stop in stops.iter().chain(&[usize::MAX]) {
                let mut go_on = |n: usize| n < *stop;
                let writer = Writer {
                    gpt: &gpt,
                    kernels: &kernels,
                    tokenizer: &tokenizer,
                    n_sequences,
                    template: None,
                    sandbox: None,
                };
                examine_generated(&task, &items, &writer, &drawing, &mut file, &mut go_on).unwrap();
            }
            file.items().unwrap()
        };
        let alone = run(1, 1, &[]);
        assert_eq!(alone.iter().map(|item| item.doc_id).collect::<Vec<_>>(), (0..23).collect::<Vec<_>>());
        assert!(alone.iter().all(|item| item.outputs.len() == settings.n_samples));
        assert!(alone.iter().flat_map(|item| &item.outputs).all(|output| !output.text.contains('e')));
        let finishes =
            |end: &str| alone.iter().flat_map(|item| &item.outputs).any(|output| output.finish == end);
        assert!(finishes("length"), "{alone:?}");
        for (n_sequences, n_threads, stops) in [(7, 2, &[][..]), (64, 1, &[]), (5, 2, &[1, 4, 20])] {
            assert_eq!(run(n_sequences, n_threads, stops), alone, "{n_sequences} {n_threads} {stops:?}");
        }
    }
}

#[test]
fn a_file_of_written_answers_is_read_back_and_judged_again() {
    let (_, task, _) = scene();
    let mut item = written("echo", "abc", "1 abc d");
    item.outputs.push(Output { text: "no".to_owned(), ..item.outputs[0].clone() });
    let judged = rescore(&task, &item);
    assert_eq!(judged.metrics["exact_match,first"], 0.5);
    assert_eq!((judged.metrics["pass@1,first"], judged.metrics["pass@2,first"]), (0.5, 1.0));
    let json = serde_json::to_string(&judged).unwrap();
    let read: ItemScore = serde_json::from_str(&json).unwrap();
    assert_eq!(read, judged);
    assert_eq!(rescore(&task, &read), judged);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let (dir, task, gpt) = scene();
    let refused = |settings: GenerationSettings| task.drawing(&settings).unwrap_err().to_string();
    let plain = GenerationSettings::default();
    assert!(refused(GenerationSettings { n_samples: 0, ..plain }).contains("`--samples` must be at least 1"));
    for temperature in [-1.0, f64::NAN] {
        let settings = GenerationSettings { temperature: Some(temperature), ..plain };
        assert!(refused(settings).contains("`--temperature` must be from 0"));
    }
    let same = GenerationSettings { n_samples: 2, temperature: Some(0.0), ..plain };
    assert!(refused(same).contains("several samples"));
    let none = GenerationSettings { max_tokens: Some(0), ..plain };
    assert!(refused(none).contains("`--max-tokens`"));
    let long = GenerationSettings { max_tokens: Some(64), ..plain };
    let drawing = task.drawing(&long).unwrap().unwrap();
    let items = Items::of(&task, &DataFolder::new(dir.path()), 0, Some(1)).unwrap();
    let (kernels, tokenizer) = (Cpu::new(1), Tokenizer::bytes());
    let writer = Writer {
        gpt: &gpt,
        kernels: &kernels,
        tokenizer: &tokenizer,
        n_sequences: 1,
        template: None,
        sandbox: None,
    };
    let mut file = ItemsFile::in_memory();
    let error = examine_generated(&task, &items, &writer, &drawing, &mut file, &mut |_| true).unwrap_err();
    assert!(error.to_string().contains("64 for a context of 64 tokens"), "{error}");
}

#[test]
fn every_task_has_a_name_of_its_own() {
    let tasks = Task::all();
    let mut names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), tasks.len());
}
