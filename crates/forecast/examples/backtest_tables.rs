//! Back-tests every table of a folder by the rolling protocol of `docs/forecast-statistics.md` and sums them up.
//!
//! `cargo run --release -p forecast --example backtest_tables -- DIR [--points FILE.csv] [--law auto|compute|chinchilla]`
//!
//! With `--reference siblings` every table has as reference runs those of the same family (name up to the first hyphen) and the same loss
//! (name from the last hyphen): the same runs on other data.
//!
//! `--transfer-error MEAN` and `--transfer-error-per-log-ratio MEAN` change the priors on the model error of a transferred law.
//!
//! With `--leave-out families` the prior on the model error is chosen again for each family of tables (the name up
//! to its first hyphen) from all the others, and the family is back-tested with that.

use std::{
    collections::BTreeSet,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use forecast::{Backtest, BacktestPoint, LawChoice, Priors, ReferenceRuns, Settings, Table, backtest_with};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("expected a folder of CSV tables, found no argument")?);
    let (mut points_path, mut settings, mut leaves_out, mut has_references) =
        (None, Settings::default(), false, false);
    let mut priors = Priors::default();
    while let Some(option) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("expected a value after `{option}`"))?;
        match (option.as_str(), value.as_str()) {
            ("--points", path) => points_path = Some(PathBuf::from(path)),
            ("--law", "auto") => settings.law = LawChoice::Auto,
            ("--law", "compute") => settings.law = LawChoice::Compute,
            ("--law", "chinchilla") => settings.law = LawChoice::Chinchilla,
            ("--leave-out", "families") => leaves_out = true,
            ("--reference", "siblings") => has_references = true,
            ("--transfer-error", mean) => priors.transfer_error.mean = mean.parse()?,
            ("--transfer-error-per-log-ratio", mean) => {
                priors.transfer_error_per_log_ratio.mean = mean.parse()?
            }
            _ => return Err(format!("unknown option `{option} {value}`").into()),
        }
    }
    let mut paths: Vec<PathBuf> =
        fs::read_dir(&folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
    paths.sort();

    if leaves_out {
        return leave_families_out(&paths, &settings);
    }
    let (mut all, mut rows) = (Vec::new(), Vec::new());
    println!(
        "{:<44} {:>5} {:>3} {:>7} {:>7} {:>7} {:>6} {:>6} {:>6}",
        "table", "n", "k", "error%", "w80%", "w95%", "in50", "in80", "in95"
    );
    for path in &paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let table = Table::read_csv(fs::File::open(path)?)?;
        let references = if has_references { siblings(path, &paths)? } else { Vec::new() };
        if has_references && references.is_empty() {
            continue;
        }
        match backtest_with(&table, None, &settings, &references, &priors) {
            Ok(result) => {
                print_row(&name, &result);
                rows.extend(result.points.iter().map(|point| row(&name, point)));
                all.push(result);
            }
            Err(error) => println!("{name:<44} {error}"),
        }
    }
    println!();
    let pooled: Vec<BacktestPoint> = all.iter().flat_map(|result| result.points.clone()).collect();
    print_row("every held-out run", &Backtest::from_points(pooled.clone(), thresholds(&all)));
    print_row("the largest run of each threshold", &Backtest::from_points(largest(&all), thresholds(&all)));
    for (name, lo, hi) in [
        ("up to 3 x", 0.0, 3.0),
        ("3 to 10 x", 3.0, 10.0),
        ("10 to 100 x", 10.0, 100.0),
        ("beyond 100 x", 100.0, f64::INFINITY),
    ] {
        let inside: Vec<BacktestPoint> =
            pooled.iter().filter(|p| p.extrapolation > lo && p.extrapolation <= hi).cloned().collect();
        print_row(&format!("extrapolation {name}"), &Backtest::from_points(inside, Vec::new()));
    }
    println!("each threshold weighing the same: {}", equal_weights(&all));
    if let Some(path) = points_path {
        let header =
            "table,run,flops,fit_max_flops,n_fit,extrapolation,actual,median,lo50,hi50,lo80,hi80,lo95,hi95\n";
        fs::write(path, format!("{header}{}", rows.concat()))?;
    }
    Ok(())
}

/// The tables of the same family and loss but on other data.
fn siblings(path: &Path, paths: &[PathBuf]) -> Result<Vec<ReferenceRuns>, Box<dyn Error>> {
    let floor_prior = |path: &Path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (family, rest) = name.split_once('-').unwrap_or((&name, ""));
        (family.to_owned(), rest.rsplit('-').next().unwrap_or("").to_owned())
    };
    let others = paths.iter().filter(|other| *other != path && floor_prior(other) == floor_prior(path));
    others
        .map(|other| {
            let name = other.file_stem().unwrap_or_default().to_string_lossy();
            Ok(ReferenceRuns::new(name, &Table::read_csv(fs::File::open(other)?)?)?)
        })
        .collect()
}

/// Means of the prior on ln of the model error that compete.
const ERROR_MEANS: [f64; 6] = [-3.4, -3.0, -2.6, -2.2, -1.8, -1.4];

fn leave_families_out(paths: &[PathBuf], settings: &Settings) -> Result<(), Box<dyn Error>> {
    let mut tables = Vec::new();
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let family = name.split('-').next().unwrap_or_default().to_owned();
        tables.push((family, Table::read_csv(fs::File::open(path)?)?));
    }
    // results[k][t]: table t with prior k.
    let results: Vec<Vec<Option<Backtest>>> = ERROR_MEANS
        .iter()
        .map(|mean| {
            let mut priors = Priors::default();
            priors.model_error.mean = *mean;
            tables.iter().map(|(_, table)| backtest_with(table, None, settings, &[], &priors).ok()).collect()
        })
        .collect();
    let pool = |k: usize, keep: &dyn Fn(&str) -> bool| {
        let kept = results[k].iter().zip(&tables).filter(|(_, (family, _))| keep(family));
        let points =
            kept.filter_map(|(result, _)| result.as_ref()).flat_map(|result| result.points.clone()).collect();
        Backtest::from_points(points, Vec::new())
    };
    let families: BTreeSet<&str> = tables.iter().map(|(family, _)| family.as_str()).collect();
    let mut pooled = Vec::new();
    for family in families {
        let miss = |k: &usize| (pool(*k, &|other| other != family).coverage.c80 - 0.8).abs();
        let best = (0..ERROR_MEANS.len()).min_by(|a, b| miss(a).total_cmp(&miss(b))).unwrap_or(0);
        let result = pool(best, &|other| other == family);
        print_row(&format!("{family}, prior {} from the others", ERROR_MEANS[best]), &result);
        pooled.extend(result.points);
    }
    print_row("all", &Backtest::from_points(pooled, Vec::new()));
    Ok(())
}

fn thresholds(all: &[Backtest]) -> Vec<f64> {
    all.iter().flat_map(|result| result.thresholds.clone()).collect()
}

fn print_row(name: &str, result: &Backtest) {
    let Backtest { coverage, .. } = result;
    println!(
        "{name:<44} {:>5} {:>3} {:>7.2} {:>7.2} {:>7.2} {:>6.3} {:>6.3} {:>6.3}",
        result.points.len(),
        result.thresholds.len(),
        result.median_abs_error_pct,
        result.median_width80_pct,
        result.median_width95_pct,
        coverage.c50,
        coverage.c80,
        coverage.c95
    );
}

/// The points of one threshold of one table.
fn of_threshold(result: &Backtest, threshold: f64) -> impl Iterator<Item = &BacktestPoint> {
    result.points.iter().filter(move |point| point.fit_max_flops == threshold)
}

fn largest(all: &[Backtest]) -> Vec<BacktestPoint> {
    let of = |result: &Backtest| -> Vec<BacktestPoint> {
        result.thresholds.iter().filter_map(|t| of_threshold(result, *t).last().cloned()).collect()
    };
    all.iter().flat_map(of).collect()
}

fn equal_weights(all: &[Backtest]) -> String {
    let mut sums = [0.0; 3];
    let mut n = 0.0;
    for result in all {
        for threshold in &result.thresholds {
            let one = Backtest::from_points(of_threshold(result, *threshold).cloned().collect(), Vec::new());
            n += 1.0;
            for (sum, share) in sums.iter_mut().zip([one.coverage.c50, one.coverage.c80, one.coverage.c95]) {
                *sum += share;
            }
        }
    }
    format!("50 % {:.3}, 80 % {:.3}, 95 % {:.3} over {n} thresholds", sums[0] / n, sums[1] / n, sums[2] / n)
}

fn row(table: &str, point: &BacktestPoint) -> String {
    let p = &point.prediction;
    let numbers =
        [point.extrapolation, point.actual, p.median, p.lo50, p.hi50, p.lo80, p.hi80, p.lo95, p.hi95];
    let numbers: Vec<String> = numbers.iter().map(|x| format!("{x:.6}")).collect();
    format!(
        "{table},{},{:e},{:e},{},{}\n",
        point.run,
        point.flops,
        point.fit_max_flops,
        point.n_fit,
        numbers.join(",")
    )
}
