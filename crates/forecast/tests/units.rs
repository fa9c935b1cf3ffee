//! Wrong units are named by column and factor; tables as they are raise no alarm.

#![allow(clippy::unwrap_used, reason = "a helper of a test is part of the test")]

use std::{fs, path::PathBuf};

use forecast::{ColumnChoice, ForecastError, Quantity, Table, UnitFault, WarningKind, WrongUnit};

const FACTORS: [f64; 6] = [1e-9, 1e-6, 1e-3, 1e3, 1e6, 1e9];

/// Every table of runs of this repository.
fn tables() -> Vec<(String, Vec<u8>)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    for folder in ["crates/forecast/tests/tables", "recipes/references", "benches/results"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let is_table = path.extension().is_some_and(|extension| extension == "csv");
            let bytes = if is_table { fs::read(&path).unwrap() } else { continue };
            if bytes.starts_with(b"run,n_params,n_tokens,flops,loss") {
                found.push((path.file_name().unwrap().to_string_lossy().into_owned(), bytes));
            }
        }
    }
    assert!(found.len() > 20, "found only {} tables: is this test looking in the right place?", found.len());
    found
}

fn fault(bytes: &[u8], choice: &ColumnChoice) -> Option<Box<UnitFault>> {
    match Table::read(bytes, choice).unwrap().check_units() {
        Ok(()) => None,
        Err(ForecastError::WrongUnits(fault)) => Some(fault),
        Err(error) => panic!("{error}"),
    }
}

fn with_unit(quantity: Quantity, unit: f64) -> ColumnChoice {
    let mut choice = ColumnChoice::default();
    match quantity {
        Quantity::Params => choice.params_unit = Some(unit),
        Quantity::Tokens => choice.tokens_unit = Some(unit),
        Quantity::Flops => choice.flops_unit = Some(unit),
    }
    choice
}

#[test]
fn a_column_off_by_a_thousand_a_million_or_a_billion_is_named_with_the_factor() {
    let mut n_alone = 0;
    let mut n_cases = 0;
    for (name, bytes) in tables() {
        assert_eq!(fault(&bytes, &ColumnChoice::default()), None, "{name} as it is");
        for quantity in [Quantity::Params, Quantity::Tokens, Quantity::Flops] {
            for factor in FACTORS {
                let what = format!("{name}: {quantity:?} times {factor:e}");
                let fault =
                    fault(&bytes, &with_unit(quantity, factor)).unwrap_or_else(|| panic!("{what}: no alarm"));
                let is_right = |cause: &Vec<WrongUnit>| matches!(cause.as_slice(), [one] if one.quantity == quantity && (one.factor * factor - 1.0).abs() < 1e-9);
                assert!(fault.causes.iter().any(is_right), "{what}: {fault}");
                n_cases += 1;
                n_alone += usize::from(fault.causes.len() == 1);
            }
        }
    }
    assert!(10 * n_alone > 8 * n_cases, "only {n_alone} of {n_cases} are told apart from other columns");
}

/// Runs with N, D and C in these units; compute is `ratio` times 6·N·D.
fn ladder(units: [f64; 3], ratio: f64) -> String {
    let mut text = "run,n_params,n_tokens,flops,loss\n".to_owned();
    for (i, n) in [19e7, 37e7, 76e7, 13e8, 32e8].into_iter().enumerate() {
        for times in [10.0, 20.0, 50.0] {
            let d = (times * n * (1.0 + 0.01 * i as f64)).round();
            let flops = ratio * 6.0 * n * d;
            let loss = 1.8 + 400.0 / f64::powf(n, 0.34) + 400.0 / f64::powf(d, 0.28);
            let [n, d, c] = [n / units[0], d / units[1], flops / units[2]];
            text += &format!("r{i}-{times},{n},{d},{c},{loss}\n");
        }
    }
    text
}

#[test]
fn other_units_and_several_at_once_are_named() {
    let hint = |units: [f64; 3], ratio: f64| {
        fault(ladder(units, ratio).as_bytes(), &ColumnChoice::default()).map(|fault| fault.to_string())
    };
    for (units, options) in [
        ([1.0, 1e9, 1.0], "--tokens-unit 1e9"),
        ([1e6, 1.0, 1.0], "--params-unit 1e6"),
        ([1.0, 1e12, 1.0], "--tokens-unit 1e12"),
        ([1.0, 1.0, 1e18], "--flops-unit 1e18"),
        ([1.0, 1.0, 1e21], "--flops-unit 1e21"),
        ([1.0, 1.0, 8.64e19], "--flops-unit 8.64e19"),
        ([1e6, 1e9, 1.0], "--params-unit 1e6 --tokens-unit 1e9"),
        ([1e9, 1e9, 1.0], "--params-unit 1e9 --tokens-unit 1e9"),
        ([1e9, 1e12, 1e21], "--params-unit 1e9 --tokens-unit 1e12 --flops-unit 1e21"),
    ] {
        for ratio in [1.0, 1.4] {
            let said = hint(units, ratio).unwrap_or_else(|| panic!("{options}, {ratio}: no alarm"));
            assert!(said.contains(options) && said.contains("hint: "), "{options}: {said}");
        }
    }
    for ratio in [0.04, 0.1, 0.3, 1.0, 2.0, 4.0, 20.0] {
        assert_eq!(hint([1.0; 3], ratio), None, "{ratio}");
    }
}

#[test]
fn an_option_or_the_header_sets_the_unit_right() {
    let text = ladder([1e6, 1e9, 1e18], 1.2);
    assert!(fault(text.as_bytes(), &ColumnChoice::default()).is_some());
    let choice = ColumnChoice {
        params_unit: ColumnChoice::unit("M"),
        tokens_unit: ColumnChoice::unit("billions"),
        flops_unit: ColumnChoice::unit("1e18"),
        ..ColumnChoice::default()
    };
    let right = Table::read(text.as_bytes(), &choice).unwrap();
    assert!(right.check_units().is_ok());
    let expected = Table::read(ladder([1.0; 3], 1.2).as_bytes(), &ColumnChoice::default()).unwrap();
    let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-12;
    for (a, b) in right.points().iter().zip(expected.points()) {
        assert!(near(a.flops, b.flops) && near(a.n_tokens.unwrap(), b.n_tokens.unwrap()), "{a:?} {b:?}");
    }
    let named = text.replacen("run,n_params,n_tokens,flops,loss", "Run,Params (M),Tokens (B),EFLOPs,Loss", 1);
    let table = Table::read_csv(named.as_bytes()).unwrap();
    assert!(table.check_units().is_ok());
    assert_eq!(table.points(), right.points());
    let said = &table.warnings()[0].text;
    assert!(said.contains("`Tokens (B)` times 1e9 as n_tokens, `EFLOPs` times 1e18 as flops"), "{said}");
    // A header that names a unit which is not that of the numbers is found out, too.
    let wrong = ladder([1.0; 3], 1.2).replacen("n_tokens", "tokens (B)", 1);
    let error = Table::read_csv(wrong.as_bytes()).unwrap().check_units().unwrap_err().to_string();
    assert!(
        error.contains("`tokens (B)` is 1e9 times too large") && error.contains("--tokens-unit 1e0"),
        "{error}"
    );
    for bad in ["", "0", "-3", "nan", "apples", "m/s", "1e"] {
        assert_eq!(ColumnChoice::unit(bad), None, "{bad}");
    }
}

#[test]
fn units_that_are_kept_become_a_warning() {
    let table = Table::read_csv(ladder([1.0, 1e9, 1.0], 1.0).as_bytes()).unwrap();
    let kept = table.with_units_kept();
    assert!(kept.check_units().is_ok());
    let warning = kept.warnings().iter().find(|warning| warning.kind == WarningKind::Units).unwrap();
    assert!(warning.text.contains("`n_tokens` is 1e9 times too small"), "{}", warning.text);
}

#[test]
fn without_compute_only_sizes_tell() {
    let without = |units: [f64; 3]| {
        let text = ladder(units, 1.0);
        let lines = text.lines().map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            [cells[0], cells[1], cells[2], cells[4]].join(",") + "\n"
        });
        Table::read_csv(lines.collect::<String>().as_bytes()).unwrap()
    };
    assert!(without([1.0; 3]).check_units().is_ok());
    let kinds = |table: &Table| table.warnings().iter().map(|warning| warning.kind).collect::<Vec<_>>();
    assert!(!kinds(&without([1.0; 3])).contains(&WarningKind::Units));
    let error = without([1.0, 1e9, 1.0]).check_units().unwrap_err().to_string();
    assert!(error.contains("--tokens-unit 1e9"), "{error}");
    let error = without([1e6, 1e9, 1.0]).check_units().unwrap_err().to_string();
    assert!(error.contains("--params-unit 1e6 --tokens-unit 1e9"), "{error}");
    // A thousandth may still be right: said, not refused.
    let odd = without([1.0, 1e3, 1.0]);
    assert!(odd.check_units().is_ok() && kinds(&odd).contains(&WarningKind::Units), "{:?}", odd.warnings());
}

#[test]
fn compute_of_one_token_is_no_unit_of_the_whole() {
    let mut text = "run,n_params,n_tokens,flops,loss\n".to_owned();
    for (i, n) in [1e8, 2e8, 4e8, 8e8].into_iter().enumerate() {
        for (j, d) in [1e9, 8e9, 64e9].into_iter().enumerate() {
            text += &format!("r{i}{j},{n},{d},{},{}\n", 6.0 * n * 1.02, 4.0 - 0.1 * (i + j) as f64);
        }
    }
    let error = Table::read_csv(text.as_bytes()).unwrap().check_units().unwrap_err().to_string();
    assert!(error.contains("FLOPs of one token or one step") && error.contains("--flops-column"), "{error}");
}

#[test]
fn one_row_in_another_unit_is_left_out() {
    let text = ladder([1.0; 3], 1.1) + "odd,1.9e8,3.8,4.7e18,3.5\n";
    let table = Table::read_csv(text.as_bytes()).unwrap();
    assert!(table.check_units().is_ok());
    assert!(table.points().iter().all(|point| point.run != "odd"));
    let said = &table.warnings().iter().find(|w| w.kind == WarningKind::BadRow).unwrap().text;
    assert!(said.contains("`odd`") && said.contains("6·`n_params`·`n_tokens`"), "{said}");
}

#[test]
fn of_several_computes_the_one_that_agrees_is_taken() {
    let text = ladder([1.0; 3], 1.0);
    let lines = text.lines().enumerate().map(|(i, line)| {
        let cells: Vec<&str> = line.split(',').collect();
        let step = if i == 0 {
            "flops".to_owned()
        } else {
            format!("{}", 6.0 * cells[1].parse::<f64>().unwrap() * 1e3)
        };
        let total = if i == 0 { "iso_flop" } else { cells[3] };
        [cells[0], cells[1], cells[2], &step, total, cells[4]].join(",") + "\n"
    });
    let table = Table::read_csv(lines.collect::<String>().as_bytes()).unwrap();
    assert!(table.check_units().is_ok(), "{:?}", table.check_units());
    assert!(table.warnings()[0].text.contains("`iso_flop` as flops"), "{:?}", table.warnings());
}
