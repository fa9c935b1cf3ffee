//! Same seed, same bits: after any kill, any stop, and on any number of threads.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use base::Rng;
use serde_json::Value;

use crate::scene::{Said, Scene};

/// Saves after every step, so that most of the time goes into saving.
const STEPS: usize = 120;

/// The same run in `out`, whoever calls.
fn args<'a>(out: &'a str, threads: &'a str) -> Vec<&'a str> {
    let changes = [
        "train.steps=120",
        "train.checkpoint_every_steps=1",
        "train.eval_every_steps=7",
        "samples.prompts=[]",
        "train.dtype=bf16",
    ];
    let mut args = vec!["run", "tiny.toml", "--out", out, "--threads", threads];
    args.extend(changes.iter().flat_map(|change| ["--set", change]));
    args
}

fn start(scene: &Scene, out: &str, threads: &str) -> Child {
    scene.command(&args(out, threads)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[track_caller]
fn assert_same_run(scene: &Scene, one: &str, other: &str) {
    for file in ["model.safetensors", "state/optimizer.safetensors"] {
        let read = |out: &str| {
            fs::read(scene.path(&format!("{out}/pretrain/checkpoints/step-{STEPS}/{file}"))).unwrap()
        };
        assert!(read(one) == read(other), "{file} differs");
    }
    assert_eq!(metrics(scene, one), metrics(scene, other));
    let names = |out: &str| scene.files(out).into_keys().collect::<Vec<_>>();
    assert_eq!(names(one), names(other), "a kill leaves nothing behind");
}

/// The lines of the metrics but for what a clock says; when a run began and that it went on are no differences either.
fn metrics(scene: &Scene, out: &str) -> Vec<Value> {
    let text = scene.read(&format!("{out}/pretrain/metrics.jsonl"));
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| line["kind"] != "resumed" && line["kind"] != "begun")
        .map(|mut line| {
            let fields = line.as_object_mut().unwrap();
            fields.retain(|name, _| name != "elapsed_s" && name != "tokens_per_second");
            line
        })
        .collect()
}

#[test]
fn a_run_survives_twenty_kills_to_the_bit() {
    let scene = Scene::new();
    let start_of_whole = Instant::now();
    scene.ok(&args("whole", "2"));
    // Twenty kills at a twentieth of the way each, on average, whatever the speed of this machine.
    let longest_ms = start_of_whole.elapsed().as_millis() as u64 / 10;
    let mut rng = Rng::named(20, "moments to kill at");
    let (mut n_killed, mut n_torn, mut resumed_at) = (0, 0, Vec::new());
    for i in 0..20 {
        let mut child = start(&scene, "killed", if i % 2 == 0 { "1" } else { "2" });
        thread::sleep(Duration::from_millis(20 + rng.below(longest_ms.max(40))));
        child.kill().unwrap();
        let said = Said::from(child.wait_with_output().unwrap());
        assert!(!said.stderr.contains("panicked") && !said.stderr.contains("error: "), "{}", said.stderr);
        n_killed += usize::from(said.status.code().is_none());
        let at = said.stderr.split("continues after step ").nth(1).and_then(|rest| rest.split(' ').next());
        resumed_at.extend(at.map(|step| step.parse::<u64>().unwrap()));
        let checkpoints = fs::read_dir(scene.path("killed/pretrain/checkpoints"));
        let mut names = checkpoints.into_iter().flatten().map(|entry| entry.unwrap().file_name());
        n_torn += usize::from(names.any(|name| name.to_str().is_some_and(base::temporary::is_temporary)));
    }
    let seen = format!("{n_killed} killed, {n_torn} while saving, resumed at {resumed_at:?}");
    assert!(n_killed >= 10 && n_torn >= 2, "{seen}");
    assert!(resumed_at.is_sorted(), "a kill costs what came after the last checkpoint and no more: {seen}");
    resumed_at.dedup();
    assert!(resumed_at.len() >= 5, "{seen}");
    scene.ok(&args("killed", "2"));
    assert_same_run(&scene, "whole", "killed");
    eprintln!("{seen}");
}

#[test]
fn threads_do_not_change_a_bit() {
    let scene = Scene::new();
    for threads in ["1", "2", "3"] {
        scene.ok(&["run", "tiny.toml", "--out", threads, "--threads", threads]);
    }
    let weights =
        |out: &str| fs::read(scene.path(out).join("pretrain/checkpoints/step-24/model.safetensors")).unwrap();
    assert!(weights("1") == weights("2") && weights("1") == weights("3"));
    assert_eq!(metrics(&scene, "1"), metrics(&scene, "2"));
    assert_eq!(scene.read("1/pretrain/samples.jsonl"), scene.read("2/pretrain/samples.jsonl"));
}

#[test]
fn ctrl_c_stops_in_good_order() {
    let scene = Scene::new();
    scene.ok(&args("whole", "2"));
    let child = start(&scene, "stopped", "2");
    wait_for_steps(&scene, "stopped", 5);
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let said = Said::from(child.wait_with_output().unwrap());
    assert_eq!((said.status.code(), said.stdout.as_str()), (Some(130), ""), "{}", said.stderr);
    assert!(
        said.stderr.contains("stopping after the work at hand; Ctrl-C again ends at once"),
        "{}",
        said.stderr
    );
    let end = said.stderr.lines().rev().take(2).collect::<Vec<_>>();
    assert_eq!(end[0], "hint: give the same command again to go on");
    let step =
        end[1].strip_prefix("stopped after step ").and_then(|rest| rest.strip_suffix(" of 120, saved"));
    let step: u64 = step.unwrap_or_else(|| panic!("{}", end[1])).parse().unwrap();
    assert!(scene.path(&format!("stopped/pretrain/checkpoints/step-{step}")).is_dir());
    let said = scene.ok(&args("stopped", "1"));
    assert!(said.stderr.contains(&format!("continues after step {step} of 120")), "{}", said.stderr);
    assert_same_run(&scene, "whole", "stopped");
}

/// Until the metrics have so many lines.
fn wait_for_steps(scene: &Scene, out: &str, n: usize) {
    let start = Instant::now();
    let path = scene.path(&format!("{out}/pretrain/metrics.jsonl"));
    while fs::read_to_string(&path).map_or(0, |text| text.lines().count()) < n {
        assert!(start.elapsed() < Duration::from_secs(60), "no step after a minute");
        thread::sleep(Duration::from_millis(2));
    }
}
