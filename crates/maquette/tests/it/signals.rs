//! Requests to end from outside: an orderly stop, unless whoever started the program had them ignored.

use std::{
    fs,
    process::{Child, Command, Stdio},
    sync::{Arc, Once},
    thread,
    time::{Duration, Instant},
};

use crate::scene::{Said, Scene};

const STEPS: &str = "train.steps=400";

/// A run of some seconds, behind a line of shell.
fn start(scene: &Scene, before: &str) -> Child {
    // Whoever runs these tests may have had SIGHUP ignored, which a child inherits; one that is handled here is not.
    static HANDLED: Once = Once::new();
    HANDLED.call_once(|| {
        signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::default()).unwrap();
    });
    let line = format!(
        "{before} exec \"$0\" run tiny.toml --out run --threads 1 --set {STEPS} --set train.checkpoint_every_steps=1"
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &line, env!("CARGO_BIN_EXE_maquette")]).current_dir(scene.path(""));
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = shell.spawn().unwrap();
    let (begun, path) = (Instant::now(), scene.path("run/pretrain/metrics.jsonl"));
    while fs::read_to_string(&path).map_or(0, |text| text.lines().count()) < 5 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no step after a minute");
        thread::sleep(Duration::from_millis(2));
    }
    child
}

fn send(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_terminal_that_closes_does_not_stop_what_nohup_started() {
    let scene = Scene::new();
    let child = start(&scene, "trap '' HUP;");
    send(&child, "-HUP");
    let said = Said::from(child.wait_with_output().unwrap());
    assert!(said.status.success() && !said.stderr.contains("stopping"), "{}: {}", said.status, said.stderr);
    assert!(scene.path("run/pretrain/checkpoints/step-400").is_dir());
}

#[test]
fn a_terminal_that_closes_and_a_request_to_terminate_stop_in_good_order() {
    for signal in ["-HUP", "-TERM"] {
        let scene = Scene::new();
        let child = start(&scene, "");
        send(&child, signal);
        if signal == "-HUP" {
            // A shell and the system may both say so.
            send(&child, signal);
        }
        let said = Said::from(child.wait_with_output().unwrap());
        assert_eq!(said.status.code(), Some(130), "{signal}: {}", said.stderr);
        let step = said.stderr.split("stopped after step ").nth(1).and_then(|rest| rest.split(' ').next());
        let step = step.unwrap_or_else(|| panic!("{signal}: {}", said.stderr));
        assert!(scene.path(&format!("run/pretrain/checkpoints/step-{step}")).is_dir(), "{signal}");
        let end = "\nhint: give the same command again to go on\n";
        assert!(said.stderr.ends_with(end), "{signal}: {}", said.stderr);
    }
}
