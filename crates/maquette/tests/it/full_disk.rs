//! Disks that are full, and output that nobody takes: an error in words, and never a damaged run.

use std::{fs, os::unix::fs::symlink, process::Command};

use crate::scene::{CHECKPOINT, Said, Scene};

/// `/dev/full` refuses every byte.
#[test]
fn metrics_that_do_not_fit() {
    let scene = Scene::trained();
    for gone in ["stage.json", "metrics.jsonl"] {
        fs::remove_file(scene.path("run/pretrain").join(gone)).unwrap();
    }
    fs::remove_dir_all(scene.path("run/pretrain/checkpoints")).unwrap();
    symlink("/dev/full", scene.path("run/pretrain/metrics.jsonl")).unwrap();
    scene.refuses(
        &["run", "tiny.toml", "--out", "run"],
        "error: cannot write `run/pretrain/metrics.jsonl`: No space left on device (os error 28)\n\
         hint: free some space, then give the same command again: the run continues from its last checkpoint",
    );
}

/// A limit on the size of files stops the larger ones: the checkpoint before stays whole, and the run goes on
/// to the same bits once there is room.
#[test]
fn checkpoints_that_do_not_fit() {
    let scene = Scene::trained();
    let finished = scene.files(CHECKPOINT);
    fs::remove_file(scene.path("run/pretrain/stage.json")).unwrap();
    fs::remove_dir_all(scene.path(CHECKPOINT)).unwrap();
    let before = scene.files("run/pretrain/checkpoints");
    let limited = "ulimit -f 200; trap '' XFSZ; exec \"$0\" run tiny.toml --out run";
    let mut shell = Command::new("sh");
    shell.args(["-c", limited, env!("CARGO_BIN_EXE_maquette")]).current_dir(scene.path(""));
    let error = Said::by(&mut shell).error(1);
    assert!(error.starts_with("error: cannot write `run/pretrain/checkpoints/.step-24.maquette-"), "{error}");
    assert!(
        error.ends_with(
            "model.safetensors`: File too large (os error 27)\n\
             hint: free some space, then give the same command again: finished checkpoints are kept"
        ),
        "{error}"
    );
    assert!(
        scene.files("run/pretrain/checkpoints") == before,
        "the earlier checkpoint stays, and nothing half done"
    );
    let said = scene.ok(&["run", "tiny.toml", "--out", "run"]);
    assert!(said.stderr.contains("continues after step 16 of 24"), "{}", said.stderr);
    let again = scene.files(CHECKPOINT);
    for file in ["model.safetensors", "state/optimizer.safetensors"] {
        assert!(again[std::path::Path::new(file)] == finished[std::path::Path::new(file)], "{file}");
    }
}

/// Nobody listens on stderr, and stdout is full or was closed: no panic, and the run is whole.
#[test]
fn output_that_nobody_takes() {
    let scene = Scene::new();
    let run = |redirected: &str| {
        let mut shell = Command::new("sh");
        let line = format!("\"$0\" {redirected}");
        shell.args(["-c", &line, env!("CARGO_BIN_EXE_maquette")]).current_dir(scene.path(""));
        Said::by(&mut shell)
    };
    assert!(run("run tiny.toml --out run 2>/dev/full").status.success());
    assert!(scene.path("run/report.html").is_file());
    let error = run("inspect run/pretrain/checkpoints/step-24 >/dev/full").error(1);
    assert_eq!(
        error,
        "error: cannot write to stdout: No space left on device (os error 28)\nhint: free some space where it leads"
    );
    scene.write("many.txt", "some line\n".repeat(100_000).as_bytes());
    let said = run("tokenizer encode run/tokenizer many.txt | head -n 1");
    assert_eq!((said.stdout.lines().count(), said.stderr.as_str()), (1, ""));
}
