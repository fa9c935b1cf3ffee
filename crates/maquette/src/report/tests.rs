//! A small run in a temporary folder, and what its report must and must not do.

use std::path::Path;

use super::read::{MANIFEST, METRICS, RECIPE, SAMPLES, SUMMARY};
use super::{render, write};

const METRIC_LINES: &str = r#"{"kind":"train","step":1,"loss_nats":9.01,"grad_norm":4.0,"lr":{"embedding":0.001,"matrix":0.002},"tokens":1000,"flops":1e12,"tokens_per_second":900.0,"elapsed_s":1.1}
{"kind":"train","step":2,"loss_nats":null,"grad_norm":null,"lr":{"embedding":0.003,"matrix":0.004},"tokens":2000,"flops":2e12,"tokens_per_second":910.0,"elapsed_s":2.2}
{"kind":"resumed","step":1}
{"kind":"train","step":2,"loss_nats":8.02,"grad_norm":3.0,"lr":{"embedding":0.003,"matrix":0.004},"tokens":2000,"flops":2e12,"tokens_per_second":910.0,"elapsed_s":2.2}
{"kind":"validation","step":2,"tokens":2000,"flops":2e12,"loss_nats":7.8125,"loss_stderr":0.05,"bits_per_byte":2.7654,"n_tokens":4321,"n_bytes":17654}
{"kind":"spike","step":2,"loss_nats":8.02,"z":6.5,"is_skipped":true}
{"kind":"something_newer","step":2}
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
        "name = \"tiny <b>run</b>\"\nseed = 7\n[model]\nn_layers = 3\n[train.lr]\nmatrix = 0.004\n",
    );
    write(
        MANIFEST,
        r#"{"kind":"source","path":"books/a&b.txt","split":"train","bytes":54321,"documents":12,"tokens":10101,"sha256":"abcdef0123456789","licence":"<i>Public domain</i>","dropped":{"too_short":17},"language":"en"}
{"kind":"shard","path":"data/train-0.bin","split":"train","bytes":22222,"documents":12,"tokens":11111,"sha256":"0123"}
"#,
    );
    write(METRICS, METRIC_LINES);
    write(
        SUMMARY,
        r#"{"n_params":1234567,"n_matrix_params":1200000,"steps":2,"tokens":2000,"flops":2e12,"elapsed_s":2.25,"tokens_per_second":888.9,"validation":{"loss_nats":7.8125,"loss_stderr":0.05,"bits_per_byte":2.7654,"n_tokens":4321,"n_bytes":17654},"machine":{"cpu":"Some <CPU>","threads":2,"instruction_sets":["avx2","fma"],"memory_gb":15.5},"maquette_version":"0.1.0"}"#,
    );
    write(
        SAMPLES,
        r#"{"prompt":"Once </p><script>alert(1)</script>","text":" upon\u0000 a time\nthere","temperature":0.8,"top_p":0.95,"seed":3,"step":2,"n_tokens":4}
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
    let from_others =
        ["54.3 kB", "11,111", "too_short 17", "language", "Once", "top-p 0.95", "lr.matrix", "0.004"];
    let events = ["at step 2: loss 8.020", "6.5 standard deviations", "is_skipped true", "at step 1 after"];
    for figure in [&from_summary[..], &from_others, &events].concat() {
        assert!(page.contains(figure), "`{figure}` is missing");
    }
    let bytes = std::fs::read(run.path().join(METRICS)).unwrap();
    for figure in [
        METRIC_LINES.len().to_string().replacen('1', "1,", 1),
        format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&bytes)),
    ] {
        assert!(page.contains(&figure), "`{figure}` of the sources is missing");
    }
    assert!(!page.contains("NaN"), "the repeated step replaces the one whose loss is not a number");
    assert_eq!(page, render(run.path()).unwrap().replace('\u{a0}', " "), "same files, same page");
}

#[test]
fn hostile_text_stays_text() {
    let page = render(small_run().path()).unwrap();
    assert!(page.contains("Once &lt;/p&gt;&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(page.contains("upon\u{fffd} a time"));
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
    assert!(!whole.contains("cut short"));
    // The last of them ends inside a letter of two bytes.
    for cut in [&b"{"[..], b"{\"kind\":\"tra", b"{\"kind\":\"train\",\"note\":\"\xc3"] {
        std::fs::write(run.path().join(METRICS), [METRIC_LINES.as_bytes(), cut].concat()).unwrap();
        assert!(render(run.path()).unwrap().contains("cut short"), "{}", cut.escape_ascii());
    }
    std::fs::write(run.path().join(METRICS), METRIC_LINES.trim_end()).unwrap();
    assert!(
        !render(run.path()).unwrap().contains("cut short"),
        "a whole object without its line end is kept"
    );
}

#[test]
fn a_broken_line_is_named_by_its_number() {
    let run = small_run();
    let third = METRIC_LINES.match_indices('\n').nth(1).unwrap().0 + 1;
    for broken in ["{\"kind\":\"train\",\n", "{\"kind\":\"train\",\"step\":3}\n"] {
        let metrics = format!("{}{broken}{}", &METRIC_LINES[..third], &METRIC_LINES[third..]);
        std::fs::write(run.path().join(METRICS), metrics).unwrap();
        let error = refusal(run.path());
        assert!(error.contains("metrics.jsonl`, line 3,") && error.contains("hint:"), "{error}");
    }
    let last = format!("{METRIC_LINES}{{\"kind\":\n");
    std::fs::write(run.path().join(METRICS), last).unwrap();
    assert!(refusal(run.path()).contains("line 8,"), "a broken line that has its end was not cut by a crash");
}

#[test]
fn files_of_another_shape_are_refused_by_name() {
    for (path, text) in
        [(RECIPE, "name = "), (MANIFEST, "{}\n"), (METRICS, ""), (SUMMARY, "{}"), (SAMPLES, "[1\n")]
    {
        let run = small_run();
        std::fs::write(run.path().join(path), text).unwrap();
        let error = refusal(run.path());
        assert!(error.contains(path) && error.contains("hint:"), "{path}: {error}");
    }
}

#[test]
fn a_run_that_diverged_from_the_start_still_has_its_report() {
    let run = small_run();
    for path in [METRICS, SUMMARY] {
        let mut text = std::fs::read_to_string(run.path().join(path)).unwrap();
        for number in ["9.01", "8.02", "7.8125", "0.05", "2.7654", "6.5", "4.0,", "3.0,"] {
            text =
                text.replace(&format!(":{number}"), if number.ends_with(',') { ":null," } else { ":null" });
        }
        std::fs::write(run.path().join(path), text).unwrap();
    }
    let page = render(run.path()).unwrap();
    assert!(page.contains("not a number") && !page.contains("NaN") && !page.contains("inf%"));
}

#[test]
fn a_long_run_has_a_short_page() {
    let run = small_run();
    let line = |step: u64| {
        let (loss, lr) = (3.0 + (step as f64).sin(), 1.0 / step as f64);
        format!(
            r#"{{"kind":"train","step":{step},"loss_nats":{loss},"grad_norm":1.5,"lr":{{"matrix":{lr}}},"tokens":{step}000,"flops":{step}e9,"tokens_per_second":900.0}}"#
        ) + "\n"
    };
    let metrics: String = (1..=20_000).map(line).collect();
    std::fs::write(run.path().join(METRICS), metrics).unwrap();
    let n_bytes = render(run.path()).unwrap().len();
    assert!(n_bytes < 200_000, "{n_bytes} bytes"); // 95,000 in fact; whole curves would take 2 million
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
