//! Tables of other trainers through the binary: right, or named with what to do.

use serde_json::Value;

use crate::scene::Scene;

/// Runs with N, D and C; some repeated with another seed.
fn rows() -> Vec<(String, f64, f64, f64, f64, u64)> {
    let mut rows = Vec::new();
    for (i, n) in [1.9e8, 3.7e8, 7.6e8, 1.3e9, 3.2e9].into_iter().enumerate() {
        for (j, ratio) in [10.0, 20.0, 50.0].into_iter().enumerate() {
            let d: f64 = (ratio * n * (1.0 + 0.03 * i as f64)).round();
            let loss = 1.8 + 400.0 / f64::powf(n, 0.34) + 400.0 / d.powf(0.28);
            let loss = loss * (1.0 + 0.001 * ((3 * i + 5 * j) % 4) as f64);
            rows.push((format!("r{i}-{j}"), n, d, 1.3 * 6.0 * n * d, loss, j as u64));
        }
    }
    rows
}

fn plain() -> String {
    let mut text = "run,n_params,n_tokens,flops,loss,seed\n".to_owned();
    for (run, n, d, c, loss, seed) in rows() {
        text += &format!("{run},{n},{d},{c},{loss},{seed}\n");
    }
    text
}

const FIT: [&str; 5] = ["fit", "--at-flops", "1e23", "--json", "points.csv"];

fn prediction(scene: &Scene, text: &[u8], more: &[&str]) -> Value {
    scene.write("points.csv", text);
    let said = scene.ok(&[&["forecast"], &FIT[..], more].concat());
    let json: Value = serde_json::from_str(&said.stdout).unwrap();
    json["prediction"].clone()
}

#[test]
fn tokens_in_billions_are_refused_with_the_option_that_mends_them() {
    let scene = Scene::new();
    let right = prediction(&scene, plain().as_bytes(), &[]);
    let mut billions = "run,n_params,n_tokens,flops,loss,seed\n".to_owned();
    for (run, n, d, c, loss, seed) in rows() {
        billions += &format!("{run},{n},{},{c},{loss},{seed}\n", d / 1e9);
    }
    scene.write("points.csv", billions.as_bytes());
    for command in [
        &["fit", "points.csv", "--at-flops", "1e23"][..],
        &["seal", "points.csv", "--at-flops", "1e23"],
        &["backtest", "points.csv"],
    ] {
        let error = scene.fails(&[&["forecast"], command].concat());
        assert!(
            error.starts_with("error: in `points.csv`: expected `flops` near 6·`n_params`·`n_tokens`, found 1.30e9 times that"),
            "{error}"
        );
        assert!(
            error.contains("`n_tokens` is 1e9 times too small") && error.contains("tokens in billions?"),
            "{error}"
        );
        assert!(error.contains("hint: give --tokens-unit 1e9"), "{error}");
    }
    assert!(!scene.path("forecast.json").exists(), "nothing was sealed");
    for unit in ["1e9", "B", "billions"] {
        let mended = prediction(&scene, billions.as_bytes(), &["--tokens-unit", unit]);
        let (a, b) = (mended["median"].as_f64().unwrap(), right["median"].as_f64().unwrap());
        assert!((a / b - 1.0).abs() < 1e-6, "{mended} {right}");
    }
    assert_ne!(prediction(&scene, billions.as_bytes(), &["--keep-units"])["median"], right["median"]);
    let kept = scene.ok(&["forecast", "fit", "points.csv", "--at-flops", "1e23", "--keep-units"]);
    assert!(kept.stderr.contains("warning: The units were kept as given"), "{}", kept.stderr);
    let error = scene.fails(&[
        "forecast",
        "fit",
        "points.csv",
        "--at-flops",
        "1e23",
        "--tokens-unit",
        "B",
        "--reference",
        "points.csv",
    ]);
    assert!(error.contains("`n_tokens` is 1e9 times too small"), "{error}");
    let error =
        scene.fails(&["forecast", "fit", "points.csv", "--at-flops", "1e23", "--tokens-unit", "apples"]);
    assert!(error.contains("billions, GFLOPs or PF-days"), "{error}");
}

#[test]
fn delimiters_encodings_and_marks_change_no_byte_of_the_forecast() {
    let scene = Scene::new();
    let right = prediction(&scene, plain().as_bytes(), &[]);
    let semicolons = plain().replace(',', ";").replace('.', ",");
    let utf16: Vec<u8> =
        format!("\u{feff}{}", plain().replace(',', "\t")).encode_utf16().flat_map(u16::to_le_bytes).collect();
    let tables = [
        semicolons.clone().into_bytes(),
        format!("\u{feff}sep=;\r\n{}", semicolons.replace('\n', "\r\n")).into_bytes(),
        plain().replace(',', "\t").into_bytes(),
        plain().replace(',', " | ").into_bytes(),
        utf16,
        format!("# a comment\n{}", plain()).into_bytes(),
    ];
    for table in tables {
        assert_eq!(prediction(&scene, &table, &[]), right, "{}", String::from_utf8_lossy(&table[..80]));
    }
    scene.write("points.csv", b"PK\x03\x04 a workbook");
    let error = scene.fails(&["forecast", "fit", "points.csv", "--at-flops", "1e23"]);
    assert!(error.contains("an .xlsx workbook\nhint: save the sheet as CSV"), "{error}");
}

#[test]
fn a_bad_row_is_said_on_stderr_and_in_json() {
    let scene = Scene::new();
    scene.write("points.csv", format!("{}wild,1e9,2e10,1.2e20,NaN,1\n", plain()).as_bytes());
    let why = "1 of 16 rows holds no usable run and was left out: line 17 (`wild`): `loss` is `NaN`";
    for command in [&["fit", "--at-flops", "1e23"][..], &["backtest"], &["seal", "--at-flops", "1e23"]] {
        let said = scene.ok(&[&["forecast"], command, &["points.csv", "--json"]].concat());
        assert!(said.stderr.contains(&format!("warning: {why}")), "{command:?}: {}", said.stderr);
        let json: Value = serde_json::from_str(&said.stdout).unwrap();
        let warnings = json["warnings"].as_array().unwrap();
        let bad = warnings.iter().find(|warning| warning["kind"] == "bad_row").unwrap();
        assert!(bad["text"].as_str().unwrap().starts_with(why), "{bad}");
    }
    // Where too little is left, what was left out is said beside the refusal.
    scene.write("points.csv", b"run,flops,loss\na,1e15,3\nb,1e16,2.5\nc,1e17,oops\n");
    let error = scene.run(&["forecast", "fit", "points.csv", "--at-flops", "1e23"]).stderr;
    assert!(
        error.contains("`loss` is `oops`, not a number") && error.contains("expected at least 3"),
        "{error}"
    );
}

/// An export of runs logged with throughput/total_gflops and several metrics.
fn export(losses: &str, values: impl Fn(f64) -> String) -> String {
    let mut text = format!(
        "\"Name\",\"State\",\"parameter_count\",\"throughput/total_tokens\",\"throughput/total_gflops\",{losses}\n"
    );
    for (run, n, d, c, loss, _) in rows() {
        text += &format!("\"{run}\",\"finished\",\"{n}\",\"{d:e}\",\"{}\",{}\n", c / 1e9, values(loss));
    }
    text
}

#[test]
fn gflops_and_held_out_losses_of_an_export_are_recognised_and_told() {
    let scene = Scene::new();
    let text = export("\"train/loss\",\"eval/c4/loss\"", |loss| format!("\"{}\",\"{loss}\"", loss - 0.1))
        + "\"gone\",\"crashed\",\"1e9\",\"2e9\",\"1e10\",\"3.9\",\"3.95\"\n\"now\",\"running\",\"1e9\",\"2e9\",\"1e10\",\"3.9\",\"\"\n";
    scene.write("export.csv", text.as_bytes());
    let said = scene.ok(&["forecast", "import", "wandb", "export.csv", "--out", "points.csv"]);
    for part in [
        "columns: `Name` as run, `parameter_count` as n_params, `throughput/total_tokens` as n_tokens, \
         `throughput/total_gflops` times 1e9 as flops, `eval/c4/loss` as loss",
        "Of several losses `eval/c4/loss` was taken, on held-out text, before `train/loss`; --loss-column takes another",
        "2 runs did not finish and were left out: `gone` (crashed), `now` (running)",
    ] {
        assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
    }
    let imported = scene.read("points.csv");
    let (run, n, d, c, loss, _) = &rows()[0];
    let first: Vec<&str> = imported.lines().nth(1).unwrap().split(',').collect();
    assert_eq!(first[0], run);
    for (cell, number) in first[1..].iter().zip([n, d, c, loss]) {
        assert!((cell.parse::<f64>().unwrap() / number - 1.0).abs() < 1e-12, "{imported}");
    }
    // The name of the column says its unit to the option, too.
    let import = ["forecast", "import", "wandb", "export.csv", "--flops-column", "throughput/total_gflops"];
    assert_eq!(scene.ok(&import).stdout, imported);
    // And the export can be fitted as it is.
    let fitted = |table| scene.ok(&["forecast", "fit", table, "--at-flops", "1e23"]).stdout;
    assert_eq!(fitted("export.csv"), fitted("points.csv"));

    let several = export("\"eval/c4/loss\",\"eval/pile/loss\"", |loss| format!("\"{loss}\",\"{loss}\""));
    scene.write("export.csv", several.as_bytes());
    scene.refuses(
        &["forecast", "import", "wandb", "export.csv"],
        "error: in `export.csv`: expected one column with the loss, found `eval/c4/loss`, `eval/pile/loss`\n\
         hint: choose one with --loss-column",
    );
    scene.ok(&["forecast", "import", "wandb", "export.csv", "--loss-column", "eval/pile/loss"]);
    let training = export("\"train/loss\"", |loss| format!("\"{loss}\""));
    scene.write("export.csv", training.as_bytes());
    let said = scene.ok(&["forecast", "import", "wandb", "export.csv"]);
    assert!(said.stderr.contains("The only loss is that of the training, `train/loss`"), "{}", said.stderr);

    scene
        .write("export.csv", b"\"Step\",\"a-1xC - eval/loss\",\"b-1xC - eval/loss\"\n\"100\",\"5.1\",\"\"\n");
    for command in [&["import", "wandb"][..], &["fit", "--at-flops", "1e23"]] {
        let error = scene.fails(&[&["forecast"], command, &["export.csv"]].concat());
        assert!(
            error.contains("found the export of a chart")
                && error.contains("hint: export the table of runs instead"),
            "{error}"
        );
    }
}
