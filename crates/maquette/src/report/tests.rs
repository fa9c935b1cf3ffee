//! A small run in a temporary folder, and what its report must and must not do.

use std::path::Path;

use super::number::grouped;
use super::{render, write};
use crate::run_dir::{MANIFEST, METRICS, RECIPE, SAMPLES, SUMMARY};

const METRIC_LINES: &str = r#"{"kind":"train","step":1,"loss_nats":9.01,"grad_norm":4.0,"lr_matrix":0.002,"lr_embedding":0.001,"lr_head":0.001,"lr_gain":0.001,"tokens":1000,"flops":1e12,"tokens_per_second":900.0,"elapsed_s":1.1}
{"kind":"validation","step":1,"tokens":1000,"flops":1e12,"loss_nats":8.875,"loss_stderr":0.1,"bits_per_byte":3.1415,"n_tokens":1234,"n_bytes":5042}
{"kind":"resumed","step":1}
{"kind":"train","step":2,"loss_nats":8.02,"grad_norm":3.0,"lr_matrix":0.004,"lr_embedding":0.003,"lr_head":0.001,"lr_gain":0.001,"tokens":2000,"flops":2e12,"tokens_per_second":910.0,"elapsed_s":2.2}
{"kind":"spike","step":2,"of":"grad_norm","value":3.0,"mean":0.8765,"z":16.25}
{"kind":"validation","step":2,"tokens":2000,"flops":2e12,"loss_nats":7.8125,"loss_stderr":0.05,"bits_per_byte":2.7654,"n_tokens":4321,"n_bytes":17654}
"#;

/// A run of two steps whose texts try to break out of the page.
fn small_run() -> tempfile::TempDir {
    let run = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = run.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        RECIPE,
        "name = \"tiny <b>run</b>\"\nseed = 7\n[model]\nn_layers = 3\n[train.learning_rates]\nmatrix = 0.004\n",
    );
    write(
        MANIFEST,
        r#"{"kind":"source","name":"books","path":"../texts/books/*.txt","weight":3.0,"licence":"<i>Public domain</i>"}
{"kind":"source","name":"notes","path":"../texts/notes","weight":1.0,"licence":null}
{"kind":"file","path":"../texts/books/a&b.txt","source":"books","split":["train","validation"],"bytes":54321,"sha256":"abcdef0123456789","licence":"<i>Public domain</i>","documents":12,"train_tokens":10101,"validation_tokens":777,"dropped":{"too_short":17,"duplicate":0,"invalid_utf8":2,"replaced_utf8":0}}
{"kind":"file","path":"../texts/notes/c.txt","source":"notes","split":["train"],"bytes":321,"sha256":"fedcba9876543210","licence":null,"documents":1,"train_tokens":99,"validation_tokens":0,"dropped":{"too_short":0,"duplicate":0,"invalid_utf8":0,"replaced_utf8":0}}
{"kind":"shard","path":"train-00000.tokens","split":"train","source_idx":0,"documents":11,"tokens":10200,"text_bytes":45678,"xxh3":"0123"}
{"kind":"shard","path":"validation-00000.tokens","split":"validation","source_idx":0,"documents":2,"tokens":777,"text_bytes":3456,"xxh3":"4567"}
"#,
    );
    write(METRICS, METRIC_LINES);
    write(
        SUMMARY,
        r#"{"n_params":1234567,"n_matrix_params":1200000,"steps":2,"tokens":2000,"flops":2e12,"elapsed_s":2.25,"tokens_per_second":888.9,"validation":{"loss_nats":7.8125,"loss_stderr":0.05,"bits_per_byte":2.7654,"n_tokens":4321,"n_bytes":17654},"machine":{"cpu":"Some <CPU>","n_cores":4,"threads":2,"instruction_sets":["avx2","fma"],"memory_gb":15.5},"maquette_version":"0.1.0"}"#,
    );
    write(
        SAMPLES,
        r#"{"prompt":"Once </p><script>alert(1)</script>","text":" upon\u0000 a time\r\n\r\nthere","temperature":0.8,"top_p":0.95,"seed":3,"step":2,"n_tokens":4}
"#,
    );
    run
}

/// Renders `run` and gives the error's text.
#[track_caller]
fn refusal(run: &Path) -> String {
    format!("{:#}", render(run).expect_err("this run must be refused"))
}

#[test]
fn the_page_holds_the_figures_of_the_files() {
    let run = small_run();
    let page = render(run.path()).unwrap().replace('\u{a0}', " ");
    let from_summary =
        ["2.765", "± 0.035", "7.812", "± 0.098", "1.23 M", "2.00 × 10¹²", "2.25 s", "889", "avx2, fma"];
    let from_recipe = ["3 layers", "learning_<wbr>rates.<wbr>matrix", "0.004"];
    let from_manifest = [
        "10,200 training tokens, 777 held out. The training read 19.6 % of the training tokens.",
        "17 too short, 2 not UTF-8",
        "75.0 %",
        r#"title="../texts/books/a&amp;b.txt">a&amp;b.txt<"#,
        r#"title="abcdef0123456789">abcdef012345<"#,
        "54.3 kB",
        "45.7 kB",
    ];
    let from_metrics = [
        "at step 2: gradient norm 3.000, 16.2 standard deviations above its running mean of 0.8765",
        "after step 1, from its checkpoint",
        "3.142 ± 0.069",
        "interval, n = 1,234 tokens",
        "interval, n = 4,321 tokens",
        "step 1: 8.88 ± 0.20 nats per token, n = 1,234 tokens",
        "on the same amount of text",
    ];
    for figure in [&from_summary[..], &from_recipe, &from_manifest, &from_metrics].concat() {
        assert!(page.contains(figure), "`{figure}` is missing");
    }
    let bytes = std::fs::read(run.path().join(METRICS)).unwrap();
    for figure in [grouped(METRIC_LINES.len() as u64), format!("{:016x}", base::hash::xxh3_64(&bytes))] {
        assert!(page.contains(&figure), "`{figure}` of the sources is missing");
    }
    assert_eq!(page, render(run.path()).unwrap().replace('\u{a0}', " "), "same files, same page");
}

#[test]
fn hostile_text_stays_text() {
    let page = render(small_run().path()).unwrap();
    assert!(page.contains("Once &lt;/p&gt;&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(page.contains("upon\u{fffd} a time\n\nthere"), "line ends of any kind are line ends");
    for raw in ["<script", "<b>", "<i>", "Some <CPU>", "a&b", "http://", "https://", "\0"] {
        assert!(!page.contains(raw), "`{raw}` stands unescaped");
    }
}

#[test]
fn without_any_one_of_its_files_there_is_no_report() {
    for path in [RECIPE, MANIFEST, METRICS, SUMMARY, SAMPLES] {
        let run = small_run();
        std::fs::remove_file(run.path().join(path)).unwrap();
        let error = refusal(run.path());
        assert!(error.contains(path) && error.contains("hint:"), "{path}: {error}");
        assert!(write(run.path()).is_err() && !run.path().join("report.html").exists());
    }
}

#[test]
fn a_last_line_cut_by_a_crash_is_left_out_and_said_so() {
    let run = small_run();
    let whole = render(run.path()).unwrap();
    assert!(!whole.contains("last line is incomplete"));
    // The last of them ends inside a letter of two bytes.
    for cut in [&b"{"[..], b"{\"kind\":\"tra", b"{\"kind\":\"train\",\"note\":\"\xc3"] {
        std::fs::write(run.path().join(METRICS), [METRIC_LINES.as_bytes(), cut].concat()).unwrap();
        assert!(render(run.path()).unwrap().contains("last line is incomplete"), "{}", cut.escape_ascii());
    }
    std::fs::write(run.path().join(METRICS), METRIC_LINES.trim_end()).unwrap();
    assert!(
        !render(run.path()).unwrap().contains("last line is incomplete"),
        "a whole object without its line end is kept"
    );
}

/// The error of a run whose metrics hold `line` before the third.
#[track_caller]
fn refusal_of_line(line: &str) -> String {
    let run = small_run();
    let third = METRIC_LINES.match_indices('\n').nth(1).unwrap().0 + 1;
    let metrics = format!("{}{line}\n{}", &METRIC_LINES[..third], &METRIC_LINES[third..]);
    std::fs::write(run.path().join(METRICS), metrics).unwrap();
    refusal(run.path())
}

#[test]
fn a_broken_line_is_named_by_its_number() {
    for broken in [r#"{"kind":"train","#, r#"{"kind":"train","step":3}"#] {
        let error = refusal_of_line(broken);
        assert!(
            error.starts_with("`pretrain/metrics.jsonl` is not what a run writes: at line 3, "),
            "{error}"
        );
        assert!(!error.contains("column") && error.contains("hint:"), "{error}");
    }
    let run = small_run();
    std::fs::write(run.path().join(METRICS), format!("{METRIC_LINES}{{\"kind\":\n")).unwrap();
    assert!(refusal(run.path()).contains("line 7,"), "a broken line that has its end was not cut by a crash");
}

#[test]
fn a_line_of_an_unknown_kind_is_passed_over() {
    let run = small_run();
    let page = render(run.path()).unwrap();
    let more = "{\"kind\":\"something_newer\",\"step\":2,\"value\":0.5}\n";
    std::fs::write(run.path().join(METRICS), format!("{more}{METRIC_LINES}{more}")).unwrap();
    let with_more = render(run.path()).unwrap();
    let without_sources = |page: &str| page.split("id=\"sources\"").next().unwrap().to_owned();
    assert_eq!(without_sources(&with_more), without_sources(&page));
}

#[test]
fn steps_that_do_not_rise_are_refused() {
    let again = METRIC_LINES.lines().next().unwrap();
    assert!(refusal_of_line(again).contains("its steps should rise, found step 1 after step 1"));
}

#[test]
fn files_of_another_shape_are_refused_by_name() {
    for (path, text) in [
        (RECIPE, "name = "),
        (RECIPE, "seed = 1"),
        (MANIFEST, "{}\n"),
        (MANIFEST, ""),
        (METRICS, ""),
        (SUMMARY, "{}"),
        (SAMPLES, "[1\n"),
    ] {
        let run = small_run();
        std::fs::write(run.path().join(path), text).unwrap();
        let error = refusal(run.path());
        assert!(error.contains(path) && error.contains("hint:"), "{path}: {error}");
    }
}

#[test]
fn a_long_run_has_a_short_page() {
    let run = small_run();
    let line = |step: u64| {
        let (loss, lr) = (3.0 + (step as f64).sin(), 1.0 / step as f64);
        format!(
            r#"{{"kind":"train","step":{step},"loss_nats":{loss},"grad_norm":1.5,"lr_matrix":{lr},"lr_embedding":{lr},"lr_head":{lr},"lr_gain":{lr},"tokens":{step}000,"flops":{step}e9,"tokens_per_second":900.0,"elapsed_s":{step}.5}}"#
        ) + "\n"
    };
    let metrics: String = (1..=20_000).map(line).collect();
    std::fs::write(run.path().join(METRICS), metrics).unwrap();
    let n_bytes = render(run.path()).unwrap().len();
    assert!(n_bytes < 200_000, "{n_bytes} bytes"); // 95,000 in fact; whole curves would take 2 million
}

#[test]
fn of_many_spikes_the_furthest_are_listed() {
    let run = small_run();
    let spike = |z: u64| {
        format!(r#"{{"kind":"spike","step":2,"of":"loss_nats","value":8.0,"mean":5.0,"z":{z}.0}}"#) + "\n"
    };
    let spikes: String = (101..=150).map(spike).collect();
    std::fs::write(run.path().join(METRICS), format!("{METRIC_LINES}{spikes}")).unwrap();
    let page = render(run.path()).unwrap();
    assert!(page.contains("51 spikes, of which the 12 largest are listed."));
    assert!(page.contains("8.000, 139 standard") && !page.contains("8.000, 138 standard"));
}

#[test]
fn writing_replaces_an_older_report_and_leaves_nothing_else() {
    let run = small_run();
    std::fs::write(run.path().join("report.html"), "older").unwrap();
    let path = write(run.path()).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), render(run.path()).unwrap());
    let mut names: Vec<_> = std::fs::read_dir(run.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["data", "pretrain", "recipe.toml", "report.html"]);
}
