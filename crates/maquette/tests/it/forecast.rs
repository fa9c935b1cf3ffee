//! Points in, a forecast out; sealed, verified and judged, also on what other trainers left.

use std::fs;

use serde_json::{Value, json};

use crate::scene::Scene;

const TARGET: [&str; 2] = ["--at-flops", "1e18"];

/// The loss of a run of `flops`: a law that the fit can find.
fn law(flops: f64) -> f64 {
    1.8 + 900.0 * flops.powf(-0.17)
}

/// Nine runs on the law, a little beside it.
fn points() -> String {
    let mut text = "run,n_params,n_tokens,flops,loss,seed\n".to_owned();
    for i in 0..9 {
        let flops = 1e13 * 3f64.powi(i);
        let n_params = (0.1 * flops.powf(0.48)).round();
        let loss = law(flops) * (1.0 + 0.002 * f64::from((i * 7) % 5 - 2));
        text += &format!("r{i},{n_params},{},{flops:e},{loss},1\n", (flops / 6.0 / n_params).round());
    }
    text
}

fn scene() -> Scene {
    let scene = Scene::new();
    scene.write("points.csv", points().as_bytes());
    scene
}

/// With a sealed forecast in `forecast.json`.
fn sealed() -> Scene {
    let scene = scene();
    scene.ok(&["forecast", "seal", "points.csv", TARGET[0], TARGET[1], "--out", "forecast.json"]);
    scene
}

/// Adds the folder of a finished run that took its first step at `first_step_at`.
fn add_run(scene: &Scene, dir: &str, first_step_at: Option<f64>, loss: f64) {
    let summary = json!({
        "n_params": 5000, "n_matrix_params": 4000, "steps": 10, "tokens": 700, "flops": 1e18, "elapsed_s": 1.0,
        "tokens_per_second": 700.0,
        "validation": {
            "loss_nats": loss, "loss_stderr": 0.01, "bits_per_byte": 1.0, "n_tokens": 10, "n_bytes": 20,
        },
        "machine": {}, "maquette_version": "0.6.0",
    });
    scene.write(&format!("{dir}/pretrain/summary.json"), summary.to_string().as_bytes());
    let mut metrics = first_step_at.map_or(String::new(), |unix_s| {
        format!("{}\n", json!({ "kind": "begun", "step": 0, "unix_s": unix_s }))
    });
    metrics += "{\"kind\":\"resumed\",\"step\":3}\n";
    scene.write(&format!("{dir}/pretrain/metrics.jsonl"), metrics.as_bytes());
}

#[test]
fn a_fit_finds_the_law_and_brackets_what_it_says() {
    let scene = scene();
    let fit = |more: &[&str]| scene.ok(&[&["forecast", "fit", "points.csv"], &TARGET[..], more].concat());
    let found = fit(&["--json"]).json();
    let prediction = |name: &str| found["prediction"][name].as_f64().unwrap();
    assert!(found["law"].is_string() && found["coefficients"].is_object(), "{found}");
    let bounds = ["lo95", "lo80", "lo50", "median", "hi50", "hi80", "hi95"].map(prediction);
    assert!(bounds.is_sorted() && bounds[0] < bounds[6], "{bounds:?}");
    let truth = law(1e18);
    assert!((bounds[0]..=bounds[6]).contains(&truth), "{truth} {bounds:?}");
    assert!((bounds[3] / truth - 1.0).abs() < 0.03, "{truth} {bounds:?}");
    assert_eq!(fit(&["--json"]).stdout, fit(&["--json"]).stdout, "same points, same bytes");

    let text = fit(&["--law", "compute"]).stdout;
    assert!(text.starts_with("law       L = a·C^-b") && text.contains("\n  80 %    "), "{text}");
    let shape = ["forecast", "fit", "points.csv", "--at-params", "4e7", "--at-tokens", "4e9", "--json"];
    assert_eq!(scene.ok(&shape).json()["target"]["flops"], 9.6e17);
}

#[test]
fn a_table_with_the_mark_of_a_spreadsheet_is_read() {
    let scene = scene();
    let fit = |table: &str| scene.ok(&["forecast", "fit", table, TARGET[0], TARGET[1], "--json"]).stdout;
    scene.write("marked.csv", format!("\u{feff}{}", points()).as_bytes());
    assert_eq!(fit("marked.csv"), fit("points.csv"));
}

#[test]
fn a_plot_is_an_svg_that_stands_alone() {
    let scene = scene();
    let said =
        scene.ok(&["forecast", "fit", "points.csv", TARGET[0], TARGET[1], "--plot", "f.svg", "--json"]);
    assert_eq!(said.stderr.trim_end().lines().last(), Some("wrote f.svg"));
    said.json();
    let svg = scene.read("f.svg");
    assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"), "{svg:.200}");
    assert_eq!(svg.matches("<title>r").count(), 9, "one note a run");
    assert!(
        !svg.contains("NaN") && !svg.contains("inf%") && !svg.contains("http://www.w3.org/1999"),
        "{svg}"
    );
}

#[test]
fn a_backtest_gives_every_forecast_and_the_coverage() {
    let scene = scene();
    let found = scene.ok(&["forecast", "backtest", "points.csv", "--fit-max-flops", "1e15", "--json"]).json();
    let points = found["points"].as_array().unwrap();
    assert_eq!(points.len(), 4, "{found}");
    let n_inside = points.iter().filter(|p| {
        let value = |name: &str| p[name].as_f64().unwrap();
        (value("lo80")..=value("hi80")).contains(&value("actual"))
    });
    assert_eq!(found["coverage"]["80"], n_inside.count() as f64 / 4.0);
    assert!(found["coverage"]["50"].is_number() && found["coverage"]["95"].is_number());
    assert!(found["median_abs_error_pct"].as_f64().unwrap() < 5.0, "{found}");

    let text = scene.ok(&["forecast", "backtest", "points.csv"]).stdout;
    assert!(text.contains("\nr8 ") && text.contains("intervals contain"), "{text}");
}

#[test]
fn a_seal_is_written_once_and_verified() {
    let scene = scene();
    let args = ["forecast", "seal", "points.csv", TARGET[0], TARGET[1], "--out", "forecast.json"];
    let shown = scene.ok(&[&args[..], &["--json"]].concat()).json();
    let seal: Value = serde_json::from_str(&scene.read("forecast.json")).unwrap();
    assert_eq!(seal["seal"], shown["seal"]);
    assert_eq!(seal["points"].as_array().unwrap().len(), 9);
    assert_eq!(seal["forecast"]["draws"].as_array().unwrap().len(), 1000);
    assert_eq!(seal["maquette_version"], env!("CARGO_PKG_VERSION"));
    let fit = scene.ok(&["forecast", "fit", "points.csv", TARGET[0], TARGET[1], "--json"]).json();
    assert_eq!(seal["forecast"]["prediction"], fit["prediction"]);
    scene.refuses(
        &args,
        "error: expected no file at `forecast.json`, found one: a sealed forecast is not replaced\n\
         hint: choose another --out, or move `forecast.json` away",
    );

    let hash = shown["seal"].as_str().unwrap();
    let text = scene.ok(&["forecast", "verify", "forecast.json", "--seal", hash]).stdout;
    assert!(text.contains(&format!("seal      {hash}, unchanged\n")), "{text}");
    assert!(text.contains("refit     gives the same forecast"), "{text}");
    let found = scene.ok(&["forecast", "verify", "forecast.json", "--json"]).json();
    assert_eq!((&found["seal"], &found["refit_error_pct"]), (&shown["seal"], &json!(0.0)));
    let error = scene.fails(&["forecast", "verify", "forecast.json", "--seal", "abc"]);
    assert!(error.starts_with("error: expected the seal abc, found ") && error.contains(hash), "{error}");
}

/// Runs that reach a thousand times beyond [`points`], on other data.
fn reference() -> String {
    let mut text = "run,n_params,n_tokens,flops,loss\n".to_owned();
    for i in 0..16 {
        let flops = 1e13 * 3f64.powi(i);
        let n_params = (0.1 * flops.powf(0.48)).round();
        text +=
            &format!("k{i},{n_params},{},{flops:e},{}\n", flops / 6.0 / n_params, 0.9 * law(flops).powf(1.1));
    }
    text
}

#[test]
fn reference_runs_are_sealed_with_the_forecast() {
    let scene = scene();
    scene.write("other.csv", reference().as_bytes());
    let args =
        [&["forecast", "seal", "points.csv"], &TARGET[..], &["--reference", "other.csv", "--out", "f.json"]];
    scene.ok(&args.concat());
    let seal: Value = serde_json::from_str(&scene.read("f.json")).unwrap();
    assert_eq!(
        (&seal["reference_runs"][0]["name"], seal["reference_runs"][0]["points"].as_array().unwrap().len()),
        (&json!("other"), 16)
    );
    assert_eq!(seal["forecast"]["laws"][0]["reference_runs"], "other", "{}", seal["forecast"]["laws"]);
    let median = seal["forecast"]["prediction"]["median"].as_f64().unwrap();
    assert!((median / law(1e18) - 1.0).abs() < 0.01, "{median} and {}", law(1e18));
    let found = scene.ok(&["forecast", "verify", "f.json", "--json"]).json();
    assert_eq!(found["refit_error_pct"], 0.0);

    let changed = scene.read("f.json").replacen("\"name\": \"other\"", "\"name\": \"another\"", 1);
    scene.write("f.json", changed.as_bytes());
    assert!(scene.fails(&["forecast", "verify", "f.json"]).contains("changed"));
    let error = scene.fails(&["forecast", "fit", "points.csv", TARGET[0], TARGET[1], "--reference", "none"]);
    assert!(error.contains("finished run, or a table of runs, at `none`: No such file"), "{error}");
    assert!(error.contains("\nhint: reference runs are finished runs of the same design"), "{error}");
}

#[test]
fn a_seal_that_was_touched_is_refused() {
    let scene = sealed();
    let json = scene.read("forecast.json");
    let refused = |content: &str, part: &str| {
        scene.write("touched.json", content.as_bytes());
        for command in ["verify", "verdict"] {
            let actual: &[&str] = if command == "verdict" { &["--actual", "2.5"] } else { &[] };
            let error = scene.fails(&[&["forecast", command, "touched.json"], actual].concat());
            assert!(error.starts_with("error: in `touched.json`: ") && error.contains(part), "{error}");
        }
    };
    let year = json.split("\"sealed_at\": \"").nth(1).unwrap()[..4].to_owned();
    refused(&json.replace(&format!("\"{year}-"), "\"2020-"), "changed after sealing\nhint: ");
    refused(&json.replacen("\"r3\"", "\"r33\"", 1), "changed after sealing\nhint: ");
    refused(&json[..json.len() / 2], "expected a sealed forecast as JSON, found a fault: EOF while parsing");
    refused("", "expected a sealed forecast as JSON");
    refused("{}", "found JSON without `format` and `seal`\nhint: `maquette forecast seal` writes one");
    refused(
        &json.replace("\"format\": 2", "\"format\": 7"),
        "expected a sealed forecast of format 2, found format 7\nhint: read it with the maquette that wrote it",
    );
    scene.refuses(
        &["forecast", "verify", "none.json"],
        "error: expected a sealed forecast at `none.json`: No such file or directory (os error 2)\n\
         hint: `maquette forecast seal` writes one",
    );
    let error = scene.fails(&["forecast", "verify", "."]);
    assert!(error.contains("Is a directory"), "{error}");
}

#[test]
fn a_verdict_says_where_the_loss_fell() {
    let scene = sealed();
    let judged =
        |loss: &str| scene.ok(&["forecast", "verdict", "forecast.json", "--actual", loss, "--json"]).json();
    let held = judged(&law(1e18).to_string());
    assert_eq!((&held["inside"]["95"], &held["timing"]), (&json!(true), &json!("unknown")));
    assert!(held["error_pct"].as_f64().unwrap().abs() < 3.0, "{held}");
    let missed = judged("9.5");
    assert_eq!(missed["inside"], json!({ "50": false, "80": false, "95": false }));
    assert!(missed["quantile"].as_f64().unwrap() > 0.99 && missed["error_pct"].as_f64().unwrap() > 100.0);

    let args =
        ["forecast", "verdict", "forecast.json", "--actual", "9.5", "--out", "v.json", "--plot", "v.svg"];
    let text = scene.ok(&args).stdout;
    assert!(text.contains("outside the 95 % interval") && text.contains("does not contain it"), "{text}");
    let written: Value = serde_json::from_str(&scene.read("v.json")).unwrap();
    assert_eq!(written, missed);
    assert!(scene.read("v.svg").contains("actual 9.500"));

    for (actual, found) in [(&["--actual", "2", "--run", "r"][..], "twice"), (&[], "nowhere")] {
        scene.refuses(
            &[&["forecast", "verdict", "forecast.json"], actual].concat(),
            &format!(
                "error: expected the final loss of the run once, found it {found}\n\
                 hint: give --actual LOSS or --run DIR"
            ),
        );
    }
    for loss in ["nan", "inf", "0", "-2"] {
        let error = scene.fails(&["forecast", "verdict", "forecast.json", "--actual", loss]);
        assert!(error.contains("final loss as a finite number above 0, found"), "{error}");
    }
}

#[test]
fn a_forecast_counts_only_if_it_is_older_than_the_run() {
    let scene = sealed();
    let (past, future) = (1.6e9, 4e9);
    add_run(&scene, "late", Some(past), 2.6);
    add_run(&scene, "in-time", Some(future), 2.6);
    add_run(&scene, "old", None, 2.6);
    fs::create_dir(scene.path("new")).unwrap();

    let verify = |run| ["forecast", "verify", "forecast.json", "--run", run];
    let error = scene.fails(&verify("late"));
    assert!(
        error.starts_with(
            "error: expected a seal from before the run's first step at 2020-09-13T12:26:40.000Z, \
             found one sealed late, at "
        ),
        "{error}"
    );
    for (run, said) in [
        ("in-time", "in time   first step at 2096-10-02T07:06:40.000Z"),
        ("old", "in time   unknown: the run's metrics do not say when it took its first step"),
        ("new", "in time   the run has not taken its first step"),
    ] {
        assert_eq!(scene.ok(&verify(run)).stdout.trim_end().lines().last(), Some(said));
    }
    scene.refuses(
        &verify("none"),
        "error: expected the folder of a run at `none`, found none\n\
         hint: give a folder such as runs/quickstart",
    );

    let timing = |run| {
        let verdict = scene.ok(&["forecast", "verdict", "forecast.json", "--run", run, "--json"]).json();
        assert_eq!((&verdict["actual"], &verdict["actual_flops"]), (&json!(2.6), &json!(1e18)), "{verdict}");
        verdict["timing"].as_str().unwrap().to_owned()
    };
    assert_eq!(["late", "in-time", "old"].map(timing), ["late", "in_time", "unknown"]);
    let error = scene.fails(&["forecast", "verdict", "forecast.json", "--run", "new"]);
    assert!(error.contains("expected a finished run in `new`, found no `pretrain/summary.json`"), "{error}");
}

#[test]
fn a_target_is_named_once_and_is_possible() {
    let scene = scene();
    let refuses = |target: &[&str], message: &str| {
        for command in ["fit", "seal"] {
            scene.refuses(&[&["forecast", command, "points.csv"], target].concat(), message);
        }
    };
    let ways = "hint: give --at-flops, or --at-params and --at-tokens";
    refuses(&[], &format!("error: expected a run to forecast, found none\n{ways}"));
    refuses(
        &["--at-flops", "1e18", "--at-params", "1e6"],
        &format!("error: expected one way to name the run to forecast, found two\n{ways}"),
    );
    refuses(
        &["--at-tokens", "1e9"],
        "error: expected --at-params and --at-tokens, found one of them\n\
         hint: give both, or only --at-flops",
    );
    for (given, found) in [("0", "0"), ("-5", "-5"), ("nan", "NaN"), ("inf", "inf"), ("1e999", "inf")] {
        refuses(
            &["--at-flops", given],
            &format!(
                "error: expected a finite number above 0 for `flops` of the target, found {found}\n\
                 hint: name the run to forecast by its compute in FLOPs, or by parameters and tokens"
            ),
        );
        let error = scene.fails(&["forecast", "backtest", "points.csv", "--fit-max-flops", given]);
        assert!(error.contains("`--fit-max-flops`"), "{error}");
    }
    assert!(!scene.path("forecast.json").exists(), "nothing was sealed");
}

#[test]
fn a_table_that_cannot_be_fitted() {
    let scene = scene();
    let hint = "hint: give a CSV file with the columns run,n_params,n_tokens,flops,loss; \
                `maquette forecast import` makes one";
    let fit = |table, more: &[&str]| scene.fails(&[&["forecast", "fit", table], &TARGET[..], more].concat());
    assert_eq!(
        fit("none.csv", &[]),
        format!(
            "error: expected a table of runs at `none.csv`: No such file or directory (os error 2)\n{hint}"
        )
    );
    fs::create_dir(scene.path("folder")).unwrap();
    assert!(fit("folder", &[]).starts_with("error: expected a table of runs at `folder`: Is a directory"));
    let with = |from: &str, to: &str| {
        scene.write("bad.csv", points().replacen(from, to, 1).as_bytes());
        fit("bad.csv", &[])
    };
    scene.write("bad.csv", b"");
    assert!(
        fit("bad.csv", &[]).starts_with("error: in `bad.csv`: expected a column `loss`, found no header")
    );
    scene.write("bad.csv", b"run,flops,loss\n");
    assert!(fit("bad.csv", &[]).starts_with("error: in `bad.csv`: expected at least 3 different config"));
    let error = with(",loss,", ",los,");
    assert!(error.contains("expected a column `loss`, found `run`, `n_params`"), "{error}");

    let error = fit("points.csv", &["--draws", "100000000"]);
    assert!(error.starts_with("error: expected at most 100000 draws"), "{error}");
    let error = fit("points.csv", &["--draws", "3"]);
    assert!(error.contains("expected at least") && error.contains("found 3"), "{error}");
    let error = fit("points.csv", &["--irreducible", "50"]);
    assert!(error.starts_with("error: expected `--irreducible` below the least loss of the runs"), "{error}");
    let error = fit("points.csv", &["--plot", "points.csv/such.svg"]);
    assert!(
        error.starts_with("error: cannot write `points.csv/such.svg`") && error.ends_with("with --plot"),
        "{error}"
    );
}

#[test]
fn an_export_of_weights_and_biases_becomes_points() {
    let scene = Scene::new();
    scene.write(
        "export.csv",
        b"\"Name\",\"State\",\"model.n_params\",\"total_tokens\",\"val/loss\",\"train/loss\",\"seed\"\n\
          \"big, one\",\"finished\",\"2000\",\"4e4\",\"3.5\",\"3.1\",\"7\"\n\
          \"small\",\"finished\",\"1000\",\"20000\",\"4.25\",\"4.1\",\"\"\n\
          \"gone\",\"crashed\",\"1000\",\"20000\",\"4.25\",\"4.1\",\"\"\n\
          \"wild\",\"finished\",\"1000\",\"20000\",\"NaN\",\"4.1\",\"\"\n\
          \"early\",\"finished\",\"1000\",\"20000\",\"\",\"4.1\",\"\"\n",
    );
    fn import<'a>(more: &[&'a str]) -> Vec<&'a str> {
        [&["forecast", "import", "wandb", "export.csv"], more].concat()
    }
    let said = scene.ok(&import(&["--out", "points.csv"]));
    let table = "run,n_params,n_tokens,flops,loss,seed\n\
                 small,1000,20000,120000000,4.25,\n\
                 \"big, one\",2000,40000,480000000,3.5,7\n";
    assert_eq!(scene.read("points.csv"), table);
    for part in [
        "columns: `Name` as run, `model.n_params` as n_params, `total_tokens` as n_tokens, `val/loss` as loss",
        "taken as 6·n_params·n_tokens",
        "1 run did not finish and was left out: `gone` (crashed).",
        "2 of 4 rows hold no usable run and were left out: line 5 (`wild`): `val/loss` is `NaN`, not finite and above 0; \
         line 6 (`early`): `val/loss` is empty.",
        "wrote 2 runs to points.csv",
    ] {
        assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
    }
    assert_eq!(scene.ok(&import(&[])).stdout, table);
    let other = scene.ok(&import(&["--loss-column", "train/loss"])).stdout;
    assert!(other.contains("small,1000,20000,120000000,4.1,"), "{other}");

    scene.refuses(
        &import(&["--loss-column", "nll"]),
        "error: in `export.csv`: expected a column `nll`, found `Name`, `State`, `model.n_params`, `total_tokens`, \
         `val/loss`, `train/loss`, `seed`\nhint: write the name exactly as in the first line",
    );
    let error = scene.fails(&import(&["--params-column", "State"]));
    assert!(error.contains("line 2 (`big, one`): `State` is `finished`, not a number"), "{error}");
    let refuses = |content: &str, message: &str| {
        scene.write("export.csv", content.as_bytes());
        let error = scene.fails(&import(&[]));
        assert!(error.contains(message), "{error}");
    };
    refuses("", "expected a column `loss`, found no header\nhint: ");
    refuses("Name,flops\n", "expected a column `loss`, found `Name`, `flops`\nhint: ");
    refuses("Name,loss\n", "expected a column `flops`, found `Name`, `loss`");
    refuses("Name,loss,params\n", "expected a column `n_tokens`");
    refuses("Name,loss,flops\na,,1\n", "found 1 of 1 rows unusable: line 2 (`a`): `loss` is empty");
    refuses("Step,a - val/loss,a - val/loss__MIN\n", "found the export of a chart");
}

#[test]
fn run_folders_become_points() {
    let scene = Scene::new();
    add_run(&scene, "runs/one", None, 2.25);
    scene.write("runs/one/recipe.toml", b"name = \"one\"\nseed = 9\ndata.sources = []\n");
    let table = "run,n_params,n_tokens,flops,loss,seed\none,4000,700,1e18,2.25,9\n";
    let import = ["forecast", "import", "runs", "runs/one/"];
    scene.ok(&[&import[..], &["--out", "points.csv"]].concat());
    assert_eq!(scene.read("points.csv"), table);
    let error = scene.fails(&["forecast", "import", "runs", "none"]);
    assert!(
        error.contains("expected a finished run in `none`, found no `pretrain/summary.json` there"),
        "{error}"
    );
    scene.write("runs/one/ladder/c.json", b"{\"run\": ");
    let error = scene.fails(&import);
    assert!(error.contains("`runs/one/ladder/c.json` is damaged"), "{error}");
}
