//! SFT, reward models and PPO, killed with SIGKILL at moments spread over their time, rollouts included: the same command goes on
//! to the same bits.
//!
//! `cargo test -p maquette --test it alignment_kills -- --ignored --nocapture` does it and prints what was found.
#![cfg(unix)]

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use crate::scene::Scene;

const N_MOMENTS: u32 = 20;

/// A model, and what it is to learn from.
fn trained() -> Scene {
    let scene = Scene::new();
    scene.ok(&["run", "tiny.toml", "--out", "run", "--set", "train.seq_len=96"]);
    let rows = |row: &dyn Fn(usize) -> serde_json::Value| -> String {
        (0..60).map(|i| format!("{}\n", row(i))).collect()
    };
    let chats = rows(&|i| serde_json::json!({"prompt": format!("{i}?"), "completion": "yes, it is"}));
    let pairs =
        rows(&|i| serde_json::json!({"prompt": format!("{i}?"), "chosen": "aaaa", "rejected": "zzz"}));
    let prompts = rows(&|i| serde_json::json!({"prompt": format!("{i}?"), "answer": "a"}));
    for (name, text) in [("chats.jsonl", chats), ("pairs.jsonl", pairs), ("prompts.jsonl", prompts)] {
        scene.write(name, text.as_bytes());
    }
    scene
}

/// Runs a command to its end, then `N_MOMENTS` times with a kill in between; `weights` are files below its folder.
fn killed_at_every_moment(scene: &Scene, args: &[&str], weights: &[&str]) {
    let all = |out: &'static str| [args, &["--out", out]].concat();
    let began = Instant::now();
    scene.ok(&all("whole"));
    let took = began.elapsed();
    let read = |folder: &str, name: &str| {
        let steps = fs::read_dir(scene.path(folder).join("checkpoints")).unwrap();
        let steps = steps.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let newest = steps
            .filter(|name| name.starts_with("step-"))
            .max_by_key(|name| name["step-".len()..].parse::<u64>().unwrap())
            .unwrap();
        fs::read(scene.path(folder).join(name.replace("newest", &format!("checkpoints/{newest}")))).unwrap()
    };
    let (mut n_killed, mut n_resumed) = (0, 0);
    for moment in 0..N_MOMENTS {
        let _ = fs::remove_dir_all(scene.path("killed"));
        let after = took.mul_f64(f64::from(moment + 1) / f64::from(N_MOMENTS + 1));
        let mut child =
            scene.command(&all("killed")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(after.max(Duration::from_millis(1)));
        child.kill().unwrap();
        n_killed += u32::from(!child.wait().unwrap().success());
        n_resumed += u32::from(scene.path("killed/checkpoints").is_dir());
        scene.ok(&all("killed"));
        for name in weights {
            assert!(read("killed", name) == read("whole", name), "{name} after a kill at {after:?}");
        }
    }
    let _ = fs::remove_dir_all(scene.path("whole"));
    println!(
        "{}: {n_killed} of {N_MOMENTS} killed, {n_resumed} with a checkpoint, all to the same bits",
        args[0]
    );
    assert!(n_killed >= N_MOMENTS / 2, "{n_killed}");
}

/// Of the first file that a fine-tuning writes, a kill may leave its temporary name alone.
#[test]
fn what_a_kill_left_of_the_first_file_is_not_foreign() {
    let scene = trained();
    fs::create_dir(scene.path("half")).unwrap();
    scene.write("half/.tuning.json.maquette-1-0123456789abcdef.tmp", b"{");
    let sft = ["sft", "run", "--data", "chats.jsonl", "--epochs", "1", "--batch", "16", "--out", "half"];
    scene.ok(&sft);
    scene.write("other/mine.txt", b"mine");
    assert!(scene.fails(&[&sft[..8], &["--out", "other"]].concat()).contains("no fine-tuning wrote"));
}

#[test]
#[ignore = "minutes; named in CONTRIBUTING.md"]
fn fine_tuning_goes_on_to_the_same_bits() {
    let scene = trained();
    let sft = ["sft", "run", "--data", "chats.jsonl", "--epochs", "12", "--batch", "4", "--threads", "1"];
    killed_at_every_moment(&scene, &sft, &["newest/model.safetensors"]);
    let sft = [&sft[..], &["--replay", "run", "--replay-rows", "1"]].concat();
    killed_at_every_moment(&scene, &sft, &["newest/model.safetensors"]);
}

#[test]
#[ignore = "minutes; named in CONTRIBUTING.md"]
fn reward_models_go_on_to_the_same_bits() {
    let scene = trained();
    let reward =
        ["reward", "run", "--data", "pairs.jsonl", "--epochs", "12", "--batch", "4", "--threads", "1"];
    killed_at_every_moment(&scene, &reward, &["model/model.safetensors", "model/reward.json"]);
}

#[test]
#[ignore = "minutes; named in CONTRIBUTING.md"]
fn policies_go_on_to_the_same_bits() {
    let scene = trained();
    scene.ok(&["reward", "run", "--data", "pairs.jsonl", "--out", "rm", "--epochs", "2"]);
    let ppo = "ppo run --prompts prompts.jsonl --reward rm/model --rule contains --iterations 8 --rollouts 32 --batch 8 \
        --micro-batch 4 --max-tokens 24 --n-held-out 8 --threads 1";
    let ppo: Vec<&str> = ppo.split_whitespace().collect();
    let weights = ["model.safetensors", "state/added.safetensors", "state/optimizer.safetensors"]
        .map(|name| format!("checkpoints/step-64/{name}"));
    killed_at_every_moment(&scene, &ppo, &weights.each_ref().map(String::as_str));
}
