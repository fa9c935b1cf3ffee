//! A run that was interrupted ends with the bits of one that was not, and refuses what it cannot continue.

use std::{fs, path::Path, sync::atomic::AtomicBool};

use model::ModelConfig;
use train::{
    Event, Metric, MetricKind as _, OptimizerKind, Precision, RunResumed, TrainError, TrainSettings,
};

use crate::scene::{Run, Scene};

#[test]
fn threads_change_no_bit_of_a_run() {
    use {OptimizerKind::*, Precision::*};
    for (optimizer, dtype) in [(Muon, F32), (AdamW, F32), (Muon, Bf16), (AdamW, Bf16)] {
        let mut scene = Scene::new();
        (scene.settings.optimizer, scene.settings.dtype) = (optimizer, dtype);
        let [one, two] = [1, 2].map(|n_threads| {
            let run = scene.run(&format!("threads-{n_threads}"));
            run.finish(n_threads);
            run
        });
        one.check_same("2 threads", &two);
        // The comparison sees a difference where there is one.
        let mut other = Scene::new();
        other.settings = TrainSettings { seed: 8, optimizer, dtype, ..other.settings };
        let other = other.run("other");
        other.finish(1);
        assert_ne!(one.metrics(), other.metrics());
        let (begun, steps) = (["begun"], ["train", "train", "train", "validation"].repeat(3));
        assert_eq!(kinds(&one), [&begun[..], &steps].concat());
    }
}

fn kinds(run: &Run) -> Vec<String> {
    run.metrics().iter().map(|line| line["kind"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_stopped_run_continues_to_the_same_bits() {
    for dtype in [Precision::F32, Precision::Bf16] {
        let mut scene = Scene::new();
        scene.settings.dtype = dtype;
        check_that_stopped_runs_continue(&scene);
    }
}

fn check_that_stopped_runs_continue(scene: &Scene) {
    let whole = scene.run("whole");
    whole.finish(1);
    for step in 1..scene.settings.steps {
        let run = scene.run(&format!("stopped-at-{step}"));
        run.stop_at(step, 1);
        assert_eq!(run.checkpoints().last(), Some(&format!("step-{step}")));
        run.finish(2);
        run.check_same(&format!("stopped at {step}"), &whole);
    }
    let run = scene.run("stopped-often");
    for step in [2, 3, 4, 7] {
        run.stop_at(step, 2);
    }
    run.finish(1);
    run.check_same("stopped often", &whole);
    // A finished run may be told to continue: it says so and changes nothing.
    run.finish(1);
    run.check_same("finished twice", &whole);
}

#[test]
fn what_a_crash_lost_is_computed_again() {
    let scene = Scene::new();
    let whole = scene.run("whole");
    whole.finish(1);
    for step in [1, 4, 5, 7, 9] {
        let run = scene.run(&format!("crashed-after-{step}"));
        run.crash_after(step);
        // Half a line, half a checkpoint: the crash came while both were written.
        let mut metrics = fs::read(run.metrics_path()).unwrap();
        metrics.extend(br#"{"kind":"train","step":"#);
        fs::write(run.metrics_path(), metrics).unwrap();
        let half = base::temporary::beside(&run.folder.join("checkpoints/step-9"));
        fs::create_dir_all(half.join("state")).unwrap();
        fs::write(half.join("model.safetensors"), b"half").unwrap();

        let trainer = run.open(2).unwrap();
        assert_eq!(trainer.step(), (step - 1) / 4 * 4, "the last checkpoint before step {step} ended");
        drop(trainer);
        assert!(!half.exists(), "what is half written is cleared away");
        run.finish(2);
        run.check_same(&format!("crashed after {step}"), &whole);
    }
}

/// A checkpoint comes before the validation of its step, and knows nothing of it.
#[test]
fn a_validation_after_the_last_checkpoint_is_made_again() {
    let mut scene = Scene::new();
    scene.settings.checkpoint_every_steps = scene.settings.eval_every_steps;
    let whole = scene.run("whole");
    whole.finish(1);
    for step in [4, 6, 8] {
        let run = scene.run(&format!("crashed-after-{step}"));
        run.crash_after(step);
        run.finish(1);
        run.check_same(&format!("crashed after {step}"), &whole);
    }
}

#[test]
fn the_newest_checkpoints_are_kept() {
    let mut scene = Scene::new();
    scene.settings = TrainSettings { checkpoint_every_steps: 2, keep_checkpoints: 2, ..scene.settings };
    let run = scene.run("run");
    run.stop_at(5, 1);
    assert_eq!(run.checkpoints(), ["step-4", "step-5"]);
    run.finish(1);
    assert_eq!(run.checkpoints(), ["step-8", "step-9"]);
    scene.settings = TrainSettings { keep_checkpoints: 1, ..scene.settings };
    let run = scene.run("one");
    run.finish(1);
    assert_eq!(run.checkpoints(), ["step-9"]);
}

#[track_caller]
fn refusal(result: Result<train::Trainer, TrainError>) -> String {
    let message = result.err().expect("it is refused").to_string();
    assert!(message.contains("\nhint: "), "{message}");
    message
}

type Change<T> = fn(&mut T);

#[test]
fn a_run_of_other_settings_data_or_shape_is_refused_by_name() {
    let scene = Scene::new();
    let run = scene.run("run");
    run.stop_at(2, 1);

    let changes: [(&str, Change<TrainSettings>); 5] = [
        ("weight_decay = 0.1, this run has weight_decay = 0.2", |s| s.weight_decay = 0.2),
        ("steps = 9, this run has steps = 10", |s| s.steps = 10),
        ("optimizer = \"muon\", this run has optimizer = \"adamw\"", |s| s.optimizer = OptimizerKind::AdamW),
        ("seed = 7, this run has seed = 8", |s| s.seed = 8),
        ("\"head\":0.02", |s| s.learning_rates.head = 0.02),
    ];
    for (expected, change) in changes {
        let message = refusal(run.open_with(1, |inputs| change(&mut inputs.settings)));
        assert!(message.contains("step-2/state/trainer.json` was written with the settings "), "{message}");
        assert!(message.contains(expected), "{message}");
    }

    let message =
        refusal(run.open_with(1, |inputs| inputs.objective = scene.pretraining(scene.other_data())));
    assert!(message.contains("step-2/state/trainer.json` was written with data "), "{message}");

    // One that changes the shape of a weight, and two that do not.
    let changes: [(&str, Change<ModelConfig>); 3] = [
        ("d_ff = 40, this run has d_ff = 41", |c| c.d_ff = 41),
        ("norm_eps = 1e-6, this run has norm_eps = 0.00001", |c| c.norm_eps = 1e-5),
        ("d_head = 6, this run has d_head = 12", |c| (c.n_heads, c.n_kv_heads, c.d_head) = (2, 1, 12)),
    ];
    for (expected, change) in changes {
        let message = refusal(run.open_with(1, |inputs| change(&mut inputs.config)));
        assert!(message.contains("step-2/state/trainer.json` was written with the model "), "{message}");
        assert!(message.contains(expected), "{message}");
    }
    // All of that left the run as it was.
    run.finish(1);
}

#[test]
fn settings_out_of_range_are_refused_before_anything_is_written() {
    let scene = Scene::new();
    let run = scene.run("run");
    let changes: [(&str, Change<TrainSettings>); 4] = [
        ("`seq_len` must be at most the model's `max_seq_len`, found 21", |s| s.seq_len = 21),
        ("`micro_batch_rows` must be at least 1, found 0", |s| s.micro_batch_rows = 0),
        ("`learning_rates.head` must be positive, found NaN", |s| s.learning_rates.head = f64::NAN),
        ("`warmup_steps` must be at most `steps`, together with `decay_steps`, found 10", |s| {
            s.warmup_steps = 7
        }),
    ];
    for (expected, change) in changes {
        let message = refusal(run.open_with(1, |inputs| change(&mut inputs.settings)));
        assert!(message.starts_with(expected), "{message}");
    }
    let message = refusal(run.open_with(1, |inputs| inputs.config.vocab_size = 300));
    assert!(message.starts_with("the tokenizer has 272 tokens, the model 300"), "{message}");
    assert!(!run.folder.exists());
}

#[test]
fn a_diverged_run_stops_with_its_batch_and_keeps_the_checkpoint_before() {
    let mut scene = Scene::new();
    let settings = &mut scene.settings;
    (settings.learning_rates.matrix, settings.learning_rates.head) = (1e30, 1e30);
    settings.checkpoint_every_steps = 1;
    let run = scene.run("run");
    let mut taken = 0;
    let mut count = |event: Event| taken += u64::from(matches!(event, Event::Step { .. }));
    let error = run.open(1).unwrap().run(&AtomicBool::new(false), &mut count).unwrap_err();
    let TrainError::NotFinite { step, ref cursor, .. } = error else { panic!("{error}") };
    assert_eq!(step, taken + 1);
    assert!(step > 1, "the first loss is that of fresh weights");
    // The cursor is where the data stood before the batch: as the kept checkpoint has it.
    let path = run.checkpoint(taken).join("state/trainer.json");
    let state: train::TrainerState = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!(*cursor, serde_json::to_string(&state.cursor).unwrap());
    let message = error.to_string();
    assert!(message.starts_with(&format!("step {step}: the ")), "{message}");
    assert!(message.contains("expected a finite number; batch at {"), "{message}");
    assert!(message.contains("\nhint: lower the learning rates"), "{message}");
    assert_eq!(run.metrics().iter().filter(|line| line["kind"] == "train").count() as u64, taken);
    // Nothing is lost, and nothing got better by itself.
    let again = run.open(1).unwrap().run(&AtomicBool::new(false), &mut |_| {}).unwrap_err();
    assert_eq!(again.to_string(), message);
}

#[test]
fn a_run_goes_on_from_the_newest_checkpoint_that_is_whole() {
    let scene = Scene::new();
    let whole = scene.run("whole");
    whole.finish(1);
    let files = ["model.safetensors", "state/optimizer.safetensors", "state/trainer.json", "config.json"];
    for file in files {
        let run = scene.run(&format!("damaged-{}", file.replace('/', "-")));
        run.stop_at(5, 1);
        assert_eq!(run.checkpoints(), ["step-4", "step-5"]);
        let path = run.checkpoint(5).join(file);
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 9;
        bytes[last] ^= 1;
        fs::write(&path, bytes).unwrap();
        let trainer = run.open(1).unwrap();
        assert_eq!(trainer.step(), 4);
        let [damaged] = trainer.damaged() else { panic!("{:?}", trainer.damaged()) };
        let problem = &damaged.problem;
        assert!(problem.contains(&format!("step-5/{file}` is damaged: expected ")), "{problem}");
        assert!(damaged.aside.join(file).is_file(), "it is kept, out of the way");
        drop(trainer);
        run.finish(1);
        run.check_same(file, &whole);
    }
    // Lost files are damage too; with no whole checkpoint left the run starts over.
    for file in files.into_iter().chain(["state/repetition.bin", "tokenizer.json"]) {
        let run = scene.run(&format!("lost-{}", file.replace('/', "-")));
        run.stop_at(3, 1);
        fs::remove_file(run.checkpoint(3).join(file)).unwrap();
        let trainer = run.open(1).unwrap();
        assert_eq!((trainer.step(), trainer.damaged().len()), (0, 1), "{file}");
        drop(trainer);
        run.finish(1);
        run.check_same(file, &whole);
    }
}

/// The record is lost, cut or damaged between two lines: the run goes on, says so, and ends with the same bits.
#[test]
fn a_run_goes_on_without_its_record() {
    let scene = Scene::new();
    let whole = scene.run("whole");
    whole.finish(1);
    type Damage = fn(&Path);
    let damages: [(&str, usize, Damage); 4] = [
        ("lost", 0, |path| fs::remove_file(path).unwrap()),
        ("emptied", 0, |path| fs::write(path, b"").unwrap()),
        ("cut", 3, |path| {
            let text = fs::read_to_string(path).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            fs::write(path, lines[..3].join("\n") + "\n{\"kind\":\"tr").unwrap();
        }),
        ("damaged", 2, |path| {
            let text = fs::read_to_string(path).unwrap();
            fs::write(path, text.replacen("\"step\":2", "\"step\":x", 1)).unwrap();
        }),
    ];
    for (name, n_kept, damage) in damages {
        let run = scene.run(name);
        run.stop_at(5, 1);
        let before = run.metrics();
        damage(&run.metrics_path());
        let trainer = run.open(1).unwrap();
        assert!(trainer.step() == 5 && trainer.has_lost_record(), "{name}");
        drop(trainer);
        // Once more before the next checkpoint, with steps that were recorded since.
        run.crash_after(7);
        run.finish(1);
        let lines = run.metrics();
        assert_eq!(lines[..n_kept], before[..n_kept], "{name}");
        assert_eq!(lines[n_kept], serde_json::json!({ "kind": "lost", "step": 5 }), "{name}");
        let rest: Vec<_> =
            whole.metrics().into_iter().filter(|line| line["step"].as_u64() > Some(5)).collect();
        assert_eq!(lines[n_kept + 1..], rest, "{name}");
        let [a, b] = [&run, &whole].map(|run| fs::read(run.checkpoint(9).join("model.safetensors")).unwrap());
        assert!(a == b, "{name}");
        let is_kept_aside = run.folder.join("metrics-damaged-1.jsonl").exists();
        assert_eq!(is_kept_aside, name == "damaged", "{name}");
    }
}

/// Copies in the data and parameters that stall are noticed at the step of a run that was never stopped.
#[test]
fn a_resumed_run_raises_the_same_alarms() {
    let mut scene = Scene::new();
    scene.repeat_data();
    // No step of any size: every parameter stands still.
    let rates = &mut scene.settings.learning_rates;
    (rates.matrix, rates.embedding, rates.head, rates.gain) = (1e-30, 1e-30, 1e-30, 1e-30);
    scene.settings.weight_decay = 0.0;
    scene.settings.steps = 40;
    let whole = scene.run("whole");
    whole.finish(1);
    let alarms = |run: &Run| -> Vec<serde_json::Value> {
        let lines = run.metrics();
        lines.into_iter().filter(|line| line["kind"] == "repeated" || line["kind"] == "stalled").collect()
    };
    let expected = alarms(&whole);
    for kind in ["repeated", "stalled"] {
        assert!(expected.iter().any(|line| line["kind"] == kind), "no alarm of {kind}: {expected:?}");
    }
    for steps in [&[1][..], &[7], &[19, 20, 21], &[3, 15, 30, 39]] {
        let run = scene.run(&format!("stopped-at-{steps:?}"));
        for step in steps {
            run.stop_at(*step, 1);
        }
        run.finish(1);
        assert_eq!(alarms(&run), expected, "stopped at {steps:?}");
        run.check_same("alarms", &whole);
    }
}

#[test]
fn metrics_say_where_a_run_was_resumed() {
    let scene = Scene::new();
    let run = scene.run("run");
    run.stop_at(5, 1);
    run.finish(1);
    let text = fs::read_to_string(run.metrics_path()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Metric>(line).unwrap());
    let resumed: Vec<Metric> = lines.filter(|line| line.kind == RunResumed::KIND).collect();
    assert_eq!(resumed, [Metric::of(&RunResumed { step: 5 })]);
}
