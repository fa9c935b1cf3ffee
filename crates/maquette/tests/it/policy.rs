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

/// Whoever goes on with another setting is told which it is, not which hashes differ.
#[test]
fn a_setting_that_changed_is_named() {
    let scene = trained();
    let ppo = with(&["ppo", "run", "--prompts", "prompts.jsonl", "--rule", "contains", "--out", "a"], &SMALL);
    let ppo = with(&ppo, &["--iterations", "1"]);
    scene.ok(&ppo);
    let changed = |option: &'static str, value: &'static str| -> Vec<&str> {
        let at = ppo.iter().position(|word| *word == option);
        let mut args = ppo.clone();
        match at {
            Some(at) => args[at + 1] = value,
            None => args.extend([option, value]),
        }
        args
    };
    for (option, value, part) in [
        ("--beta", "0.1", "found one with --beta 0.05 where this has 0.1\n"),
        ("--clip", "0.3", "found one with --clip 0.2 where this has 0.3\n"),
        ("--lr", "0.001", "found one with --lr 0.003 where this has 0.001\n"),
        ("--rollouts", "32", "--rollouts 16 where this has 32"),
        ("--rule", "exact", "environment or rewards `rule contains × 1` where this has `rule exact × 1`\n"),
    ] {
        let error = scene.fails(&changed(option, value));
        assert!(error.contains(part) && error.contains("hint: "), "{error}");
    }
    scene.ok(&ppo);
    let rows = scene.read("prompts.jsonl") + "{\"prompt\": \"more\", \"answer\": \"a\"}\n";
    scene.write("prompts.jsonl", rows.as_bytes());
    let error = scene.fails(&ppo);
    assert!(error.contains("found one with environment or rewards `prompts "), "{error}");
    // Of preferences and conversations as well.
    let dpo = ["dpo", "run", "--data", "pairs.jsonl", "--out", "b", "--batch", "8", "--threads", "1"];
    scene.ok(&dpo);
    let error = scene.fails(&with(&dpo, &["--beta", "0.2"]));
    assert!(error.contains("found one with --beta 0.1 where this has 0.2\n"), "{error}");
    let error = scene.fails(&with(&dpo, &["--epochs", "2"]));
    assert!(
        error.contains("found one with steps, of --epochs or --iterations, 5 where this has 10\n"),
        "{error}"
    );
    let rows = scene.read("pairs.jsonl").replacen("zzz", "yyy", 1);
    scene.write("pairs.jsonl", rows.as_bytes());
    let error = scene.fails(&dpo);
    assert!(error.contains("found one with other examples\n"), "{error}");
}

#[test]
fn what_cannot_be_learned_from_is_named() {
    let scene = trained();
    let prompts = ["ppo", "run", "--prompts", "prompts.jsonl", "--out", "bad"];
    let error = scene.fails(&prompts);
    assert!(error.contains("found neither --reward nor --rule"), "{error}");
    for (option, value, part) in [
        ("--rollouts", "15", "found 15 with a batch of 16"),
        ("--rollouts", "16777216", "--rollouts must be from 1 to 1,048,576, found 16777216"),
        ("--clip", "0", "found 0"),
        ("--beta", "NaN", "found NaN"),
        ("--temperature", "0", "found 0"),
        ("--lambda", "2", "found 2"),
        ("--n-held-out", "0", "--n-held-out must be from 1 to 1,048,576, found 0"),
        ("--n-held-out", "99999999999", "found 99999999999"),
        ("--parallel", "1025", "--parallel must be from 1 to 1,024, found 1025"),
        ("--policy-epochs", "100000", "--policy-epochs must be from 1 to 1,000"),
        ("--iterations", "18446744073709551615", "--iterations must be at most 1,000,000"),
        ("--seq-len", "0", "--seq-len must be from 1 to 96"),
        (
            "--seq-len",
            "5",
            "found none in 40 rows: 40 longer than 4 tokens, which leaves no room for an answer",
        ),
    ] {
        let error = scene.fails(&with(&prompts, &["--rule", "contains", option, value]));
        assert!(error.contains(part) && error.contains("hint:"), "{option}: {error}");
    }
    let grpo = ["grpo", "run", "--env", "calculator", "--out", "bad"];
    let error = scene.fails(&with(&grpo, &["--seq-len", "5"]));
    assert!(
        error.contains("expected room for an answer to `calculator`, whose first question has"),
        "{error}"
    );
    assert!(error.contains("found --seq-len 5") && error.contains("hint:"), "{error}");
    let error = scene.fails(&with(&grpo, &["--rollouts", "48", "--group", "5"]));
    assert!(error.contains("found 48 with a batch of 16 in groups of 5"), "{error}");
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
