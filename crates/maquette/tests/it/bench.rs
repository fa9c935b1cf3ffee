//! What `maquette bench` prints and what it refuses; how fast anything is, no test says.

use serde_json::Value;

use crate::scene::{CHECKPOINT, Said, Scene, maquette};

const IN_MODEL: &str = "hint: set it in the recipe's [model] table";
const IN_TRAIN: &str = "hint: set it in the recipe's [train] table";

/// Sizes that differ, as far as they may.
const TINY: &str =
    "--n-layers 1 --d-model 42 --n-heads 3 --n-kv-heads 1 --d-ff 17 --vocab-size 301 --threads 2";

/// Runs what must succeed, with options between spaces.
#[track_caller]
fn measured(command: &str, options: &str) -> Value {
    let said = Said::by(maquette().args(["bench", command, "--json"]).args(options.split(' ')));
    assert!(said.status.success(), "{options}: {}", said.stderr);
    said.json()
}

#[track_caller]
fn refuses(command: &str, args: &[&str], message: &str) {
    assert_eq!(Said::by(maquette().args(["bench", command]).args(args)).error(1), message, "{args:?}");
}

#[track_caller]
fn are_positive(result: &Value, keys: &[&str]) {
    for key in keys {
        assert!(result[key].as_f64().is_some_and(|value| value > 0.0), "{key} in {result}");
    }
}

#[test]
fn training_keeps_its_contract() {
    for dtype in ["f32", "bf16"] {
        let result = measured("train", &format!("{TINY} --batch 3 --seq-len 7 --steps 3 --dtype {dtype}"));
        are_positive(&result, &["tokens_per_second", "gflops", "peak_gflops", "step_ms", "peak_rss_mb"]);
        assert_eq!(
            (&result["threads"], &result["steps"], &result["dtype"]),
            (&2.into(), &3.into(), &dtype.into())
        );
    }
}

#[test]
fn decoding_keeps_its_contract() {
    let of_rates = [
        "prefill_tokens_per_second",
        "decode_tokens_per_second",
        "step_ms",
        "weight_gb_per_second",
        "read_gb_per_second",
        "fraction_of_read_peak",
        "peak_rss_mb",
    ];
    let options = "--prompt-tokens 5 --new-tokens 3 --batch 2";
    for dtype in ["f32", "bf16"] {
        let result = measured("decode", &format!("{TINY} {options} --dtype {dtype}"));
        are_positive(&result, &of_rates);
        // One layer of four attention and three feed-forward matrices with two gains, a gain, and a tied head.
        let n_params = 42 * (42 + 14 + 14 + 42) + 3 * 42 * 17 + 2 * 42 + 42 + 301 * 42;
        for (key, value) in
            [("prompt_tokens", 5), ("new_tokens", 3), ("batch", 2), ("threads", 2), ("n_params", n_params)]
        {
            assert_eq!(result[key], value, "{key}");
        }
        assert_eq!(result["dtype"], dtype);
        assert!(result["instruction_set"].is_string());
        let [step_ms, rate] =
            ["step_ms", "decode_tokens_per_second"].map(|key| result[key].as_f64().unwrap());
        assert!((rate * step_ms / 1e3 - 2.0).abs() < 1e-9, "two tokens a step: {result}");
    }

    let scene = Scene::trained();
    let command: Vec<&str> = ["bench", "decode", CHECKPOINT].into_iter().chain(options.split(' ')).collect();
    let result = scene.ok(&[&command[..], &["--json"]].concat()).json();
    are_positive(&result, &of_rates);
    let shown = scene.ok(&["inspect", CHECKPOINT]).json();
    assert_eq!(result["n_params"], shown["n_params"]);
    let said = scene.ok(&command);
    assert!(said.stdout.starts_with("prefill ") && said.stdout.lines().count() == 1, "{}", said.stdout);
}

#[test]
fn operations_keep_their_contract() {
    let options = "--only rope,rmsnorm --seconds 0 --dtype f32 --threads 2";
    let result = measured("kernels", options);
    let lines = result.as_array().unwrap();
    let operations: Vec<&Value> = lines.iter().map(|line| &line["operation"]).collect();
    assert_eq!(operations, ["rmsnorm_forward", "rmsnorm_backward", "rope_forward", "rope_backward"]);
    for line in lines {
        are_positive(line, &["time_ms", "n_calls", "rate", "peak", "fraction_of_peak"]);
        assert_eq!(
            (&line["unit"], &line["dtype"], &line["threads"]),
            (&"GB/s".into(), &"f32".into(), &2.into())
        );
    }
    let said = Said::by(maquette().args(["bench", "kernels"]).args(options.split(' ')));
    assert!(said.status.success(), "{}", said.stderr);
    assert_eq!(said.stdout.lines().count(), 3 + lines.len(), "{}", said.stdout);
    assert_eq!(said.stdout.matches(" GB/s  ").count(), lines.len(), "{}", said.stdout);
}

#[test]
fn shapes_that_cannot_be_measured() {
    let train = "error: this shape cannot be trained: ";
    let decode = "error: this shape cannot be measured: ";
    for (command, args, message) in [
        (
            "train",
            ["--n-heads", "5"],
            format!(
                "{train}`n_kv_heads` is 6 and must divide `n_heads`, which is 5\nhint: choose a divisor of 5"
            ),
        ),
        ("train", ["--n-layers", "0"], format!("{train}`n_layers` must be at least 1, found 0\n{IN_MODEL}")),
        (
            "train",
            ["--d-model", "385"],
            format!(
                "{train}`n_heads` is 6 and must divide `d_model`, which is 385\nhint: choose a divisor of 385"
            ),
        ),
        (
            "train",
            ["--batch", "18446744073709551615"],
            format!("{train}`batch_rows` must be below 2^32, found 18446744073709551615\n{IN_TRAIN}"),
        ),
        (
            "train",
            ["--seq-len", "0"],
            format!("{train}`max_seq_len` must be at least 1, found 0\n{IN_MODEL}"),
        ),
        (
            "decode",
            ["--n-kv-heads", "5"],
            format!(
                "{decode}`n_kv_heads` is 5 and must divide `n_heads`, which is 12\nhint: choose a divisor of 12"
            ),
        ),
        // 12 heads of 33: odd, which rotary embedding cannot turn.
        (
            "decode",
            ["--d-model", "396"],
            format!("{decode}`d_head` must be even (rotary embedding turns pairs), found 33\n{IN_MODEL}"),
        ),
        (
            "decode",
            ["--vocab-size", "0"],
            format!("{decode}`vocab_size` must be at least 1, found 0\n{IN_MODEL}"),
        ),
        (
            "decode",
            ["--d-ff", "18446744073709551615"],
            format!("{decode}`d_ff` must be below 2^32, found 18446744073709551615\n{IN_MODEL}"),
        ),
    ] {
        refuses(command, &args, &message);
    }
    for (command, args, message) in [
        ("train", ["--d-model", "6000000"], "error: this training takes at least "),
        ("decode", ["--d-ff", "600000000"], "error: this decoding takes at least "),
        ("decode", ["--batch", "18446744073709551615"], "error: this decoding takes at least "),
    ] {
        let error = Said::by(maquette().args(["bench", command]).args(args)).error(1);
        assert!(error.starts_with(message) && error.contains(" GB of memory, this machine has "), "{error}");
    }
}

#[test]
fn decodings_that_cannot_be_measured() {
    let usual = "hint: leave it out for the default";
    for option in ["--prompt-tokens", "--new-tokens", "--batch"] {
        let message = format!("error: `{option}` must be at least 1, found 0\n{usual}");
        refuses("decode", &[option, "0"], &message);
    }
    for option in ["--prompt-tokens", "--new-tokens"] {
        let error = Said::by(maquette().args(["bench", "decode", option, "18446744073709551615"])).error(1);
        assert!(error.starts_with("error: this shape cannot be measured: `max_seq_len` must be "), "{error}");
    }

    let scene = Scene::trained();
    scene.refuses(
        &["bench", "decode", "nowhere"],
        "error: expected a checkpoint or the folder of a run at `nowhere`, found nothing there\n\
         hint: give a folder such as runs/NAME, which `maquette run` or `maquette quickstart` makes",
    );
    scene.refuses(
        &["bench", "decode", CHECKPOINT, "--prompt-tokens", "30", "--new-tokens", "3"],
        "error: expected at most 32 tokens of prompt and continuation, found 30 and 3\n\
         hint: that is the longest sequence of this model; lower --prompt-tokens or --new-tokens",
    );
    scene.ok(&["bench", "decode", CHECKPOINT, "--prompt-tokens", "31", "--new-tokens", "1"]);
    // What clap refuses ends with 2: a checkpoint has its own sizes.
    assert_eq!(scene.run(&["bench", "decode", CHECKPOINT, "--d-ff", "9"]).status.code(), Some(2));
}

#[test]
fn operations_that_cannot_be_measured() {
    for seconds in ["-1", "nan", "inf"] {
        let error = Said::by(maquette().args(["bench", "kernels", &format!("--seconds={seconds}")])).error(1);
        assert!(error.starts_with("error: `--seconds` must be 0 or more and finite, found "), "{error}");
    }
    assert_eq!(Said::by(maquette().args(["bench", "kernels", "--only", "magic"])).status.code(), Some(2));
}
