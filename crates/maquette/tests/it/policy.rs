//! Learning from rewards on the command line: prompts and environments to a model, whatever stops it on the way.

use std::fs;

use crate::scene::{Said, Scene};

/// A model that reads enough for a conversation.
fn trained() -> Scene {
    let scene = Scene::new();
    scene.ok(&["run", "tiny.toml", "--out", "run", "--set", "train.seq_len=96"]);
    let pair = |i: usize| serde_json::json!({"prompt": format!("{i}?"), "chosen": "aaaa", "rejected": "zzz"});
    let rows: String = (0..40).map(|i| format!("{}\n", pair(i))).collect();
    scene.write("pairs.jsonl", rows.as_bytes());
    let prompt = |i: usize| serde_json::json!({"prompt": format!("{i}?"), "answer": "a"});
    let rows: String = (0..40).map(|i| format!("{}\n", prompt(i))).collect();
    scene.write("prompts.jsonl", rows.as_bytes());
    scene
}

fn with<'a>(args: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [args, more].concat()
}

const SMALL: [&str; 16] = [
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
    "--policy-epochs",
    "2",
    "--lr",
    "0.003",
    "--threads",
    "1",
];

/// The lines of a record about steps.
fn steps(scene: &Scene, folder: &str) -> Vec<serde_json::Value> {
    let lines = scene.read(&format!("{folder}/metrics.jsonl"));
    let lines = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["kind"] == "train").collect()
}

/// A scalar of a line, wherever the record keeps it.
fn scalar(line: &serde_json::Value, name: &str) -> f64 {
    let found = line.get(name).or_else(|| line["scalars"].get(name));
    found.and_then(serde_json::Value::as_f64).unwrap_or_else(|| panic!("no `{name}` in {line}"))
}

#[test]
fn a_policy_learns_from_a_reward_model_and_goes_on_after_a_kill() {
    let scene = trained();
    scene.ok(&["reward", "run", "--data", "pairs.jsonl", "--out", "rm", "--epochs", "4", "--lr", "0.003"]);
    let ppo = [
        "ppo",
        "run",
        "--prompts",
        "prompts.jsonl",
        "--reward",
        "rm/model",
        "--iterations",
        "4",
        "--beta",
        "0.01",
    ];
    let args = |out: &'static str| with(&with(&ppo, &SMALL), &["--out", out, "--json"]);
    let said = scene.ok(&args("whole"));
    let model = said.json()["model"].as_str().unwrap().to_owned();
    scene.ok(&["generate", &model, "--max-tokens", "4"]);
    let lines = steps(&scene, "whole");
    assert_eq!(lines.len(), 4 * 2 * 2);
    // The first batch is of what the policy just drew.
    assert!(
        (scalar(&lines[0], "ratio") - 1.0).abs() < 1e-9 && scalar(&lines[0], "kl_k1") == 0.0,
        "{}",
        lines[0]
    );
    assert!(
        scalar(&lines[15], "kl_k3") > 0.0 && (scalar(&lines[15], "iteration") - 3.0).abs() < 1e-6,
        "{}",
        lines[15]
    );

    let log = scene.path("operations");
    let logged =
        Said::by(scene.command(&args("logged")).env("MAQUETTE_FAULT", format!("log:{}", log.display())));
    assert!(logged.status.success(), "{}", logged.stderr);
    let n = fs::read_to_string(&log).unwrap().lines().count();
    for at in [n / 5, 2 * n / 5, 3 * n / 5, 4 * n / 5, n - 2] {
        let _ = fs::remove_dir_all(scene.path("killed"));
        let killed = Said::by(scene.command(&args("killed")).env("MAQUETTE_FAULT", format!("kill:{at}")));
        assert!(!killed.status.success(), "operation {at} of {n}");
        scene.ok(&args("killed"));
        for file in ["model.safetensors", "state/added.safetensors", "state/optimizer.safetensors"] {
            let read =
                |folder: &str| fs::read(scene.path(folder).join("checkpoints/step-16").join(file)).unwrap();
            assert!(read("killed") == read("whole"), "{file} after a kill at operation {at} of {n}");
        }
    }
    // A reward model whose scale nobody knows.
    fs::remove_file(scene.path("rm/model/reward.json")).unwrap();
    let error = scene.fails(&args("other"));
    assert!(error.contains("reward.json") || error.contains("damaged"), "{error}");
}

#[test]
fn groups_learn_from_environments_and_rules() {
    let scene = trained();
    let grpo = |more: &[&'static str]| {
        with(&with(&["grpo", "run", "--group", "4", "--iterations", "2"], &SMALL), more)
    };
    for (env, out) in [("reverse", "reverse"), ("calculator", "calculator"), ("grid", "grid")] {
        let said = scene.ok(&grpo(&["--env", env, "--out", out, "--json"]));
        assert!(said.json()["held_out_reward"].as_f64().is_some(), "{}", said.stdout);
        assert_eq!(steps(&scene, out).len(), 8);
    }
    let said = scene.ok(&grpo(&[
        "--prompts",
        "prompts.jsonl",
        "--rule",
        "contains",
        "--out",
        "rule",
        "--rank",
        "4",
    ]));
    assert!(said.stdout.contains("held-out reward"), "{}", said.stdout);
    // The divergence ends it, in good order.
    let far = [
        "--prompts",
        "prompts.jsonl",
        "--rule",
        "contains",
        "--out",
        "far",
        "--max-kl",
        "0.000001",
        "--json",
    ];
    let said = scene.ok(&grpo(&far));
    assert!(said.json()["summary"]["steps"].as_u64().unwrap() < 8, "{}", said.stdout);
}

#[cfg(unix)]
#[test]
fn a_program_is_an_environment_and_its_death_is_named() {
    let scene = trained();
    // Rewards answers of which it hears an `a`.
    let script = "#!/bin/sh\nwhile read -r line; do\n\
        episode=$(printf '%s' \"$line\" | sed -E 's/.*\"episode\":([0-9]+).*/\\1/')\n\
        case \"$line\" in\n\
        *'\"reset\"'*) echo \"{\\\"episode\\\":$episode,\\\"messages\\\":[{\\\"role\\\":\\\"user\\\",\\\"content\\\":\\\"hi\\\"}]}\";;\n\
        *'\"answer\":\"'*a*'\"'*) echo \"{\\\"episode\\\":$episode,\\\"reward\\\":1,\\\"observation\\\":null}\";;\n\
        *) echo \"{\\\"episode\\\":$episode,\\\"reward\\\":0,\\\"observation\\\":null}\";;\n\
        esac\ndone\n";
    scene.write("env.sh", script.as_bytes());
    let grpo = |more: &[&'static str]| {
        with(&with(&["grpo", "run", "--group", "4", "--iterations", "1"], &SMALL), more)
    };
    let said = scene.ok(&grpo(&["--program", "sh env.sh", "--out", "program", "--json"]));
    assert!(said.json()["held_out_reward"].as_f64().is_some(), "{}", said.stdout);
    for (program, found) in [
        ("sh -c 'echo lost >&2; exit 7'", "exit status: 7"),
        ("sleep 60", "said nothing for 0.5 s"),
        ("yes", "expected one line of JSON"),
    ] {
        let _ = fs::remove_dir_all(scene.path("dead"));
        let error = scene.fails(&grpo(&["--program", program, "--env-timeout", "0.5", "--out", "dead"]));
        assert!(error.contains(found) && error.contains("hint:"), "{program}: {error}");
    }
}

#[test]
fn what_cannot_be_learned_from_is_named() {
    let scene = trained();
    let prompts = ["ppo", "run", "--prompts", "prompts.jsonl", "--out", "bad"];
    let error = scene.fails(&prompts);
    assert!(error.contains("found neither --reward nor --rule"), "{error}");
    for (option, value) in
        [("--rollouts", "15"), ("--clip", "0"), ("--beta", "NaN"), ("--temperature", "0"), ("--lambda", "2")]
    {
        let error = scene.fails(&with(&prompts, &["--rule", "contains", option, value]));
        assert!(error.contains("found") && error.contains("hint:"), "{option}: {error}");
    }
    let error = scene.fails(&with(&prompts, &["--rule", "number"]));
    assert!(error.contains("row 1: expected a number in `answer`"), "{error}");
    assert!(!scene.path("bad").exists());
    let long = format!(
        "{{\"prompt\":\"{}\",\"answer\":\"a\"}}\n{{\"prompt\":\"b\",\"answer\":\"a\"}}\n",
        "a".repeat(300)
    );
    scene.write("long.jsonl", long.as_bytes());
    let error = scene.fails(&["ppo", "run", "--prompts", "long.jsonl", "--rule", "contains", "--out", "bad"]);
    assert!(error.contains("hint:"), "{error}");
}
