//! Multiplies each column of every table that records parameters, tokens and FLOPs by a thousand, a million and a billion,
//! and by one over each, and counts how often the fault is found and the right column is named.
//!
//! `cargo run --release -p forecast --example wrong_units -- PATH...`
//!
//! A PATH is a table or a folder of tables; `PATH@LOSS` reads the loss from the column LOSS, `PATH@LOSS@FLOPS` the compute
//! from the column FLOPS. Ends with an error if a table as it stands raises an alarm, or a wrong unit raises none.

use std::{error::Error, fs, path::PathBuf};

use forecast::{ColumnChoice, ForecastError, Quantity, Table, UnitFault, WrongUnit};

const FACTORS: [f64; 6] = [1e-9, 1e-6, 1e-3, 1e3, 1e6, 1e9];

#[derive(Default)]
struct Count {
    cases: usize,
    found: usize,
    /// With the right column and factor among the causes.
    named: usize,
    /// With them as the only cause.
    alone: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut tables: Vec<(PathBuf, ColumnChoice)> = Vec::new();
    for argument in std::env::args().skip(1) {
        let mut parts = argument.split('@');
        let path = PathBuf::from(parts.next().unwrap_or_default());
        let choice = ColumnChoice {
            loss: parts.next().map(str::to_owned),
            flops: parts.next().map(str::to_owned),
            ..ColumnChoice::default()
        };
        if path.is_dir() {
            let mut paths: Vec<PathBuf> =
                fs::read_dir(&path)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
            paths.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
            paths.sort();
            tables.extend(paths.into_iter().map(|path| (path, choice.clone())));
        } else {
            tables.push((path, choice));
        }
    }
    let (mut total, mut n_tables, mut n_alarms) = (Count::default(), 0, 0);
    for (path, choice) in &tables {
        let bytes = fs::read(path)?;
        let name = path.display();
        let table = match Table::read(&bytes, choice) {
            Ok(table) => table,
            Err(error) => {
                println!("{name}: not read: {}", error.to_string().lines().next().unwrap_or_default());
                continue;
            }
        };
        if let Err(error) = table.check_units() {
            n_alarms += 1;
            println!("{name}: ALARM as it stands: {error}");
            continue;
        }
        if !table.has_compute() {
            println!("{name}: no alarm; no compute beside parameters and tokens, nothing to multiply");
            continue;
        }
        n_tables += 1;
        let count = cases(&bytes, choice, table.column_units())?;
        println!(
            "{name}: no alarm; {} of {} wrong units found, {} named, {} of them as the only cause",
            count.found, count.cases, count.named, count.alone
        );
        total.cases += count.cases;
        total.found += count.found;
        total.named += count.named;
        total.alone += count.alone;
    }
    println!(
        "{n_tables} tables with all three, {n_alarms} alarms on tables as they are; {} of {} wrong units found, {} named, {} \
         of them as the only cause",
        total.found, total.cases, total.named, total.alone
    );
    if n_alarms > 0 || total.found < total.cases {
        Err("not every table is judged rightly".into())
    } else {
        Ok(())
    }
}

fn cases(bytes: &[u8], choice: &ColumnChoice, units: [f64; 3]) -> Result<Count, Box<dyn Error>> {
    let mut count = Count::default();
    for (quantity, right) in [Quantity::Params, Quantity::Tokens, Quantity::Flops].into_iter().zip(units) {
        for factor in FACTORS {
            let mut wrong = choice.clone();
            let unit = match quantity {
                Quantity::Params => &mut wrong.params_unit,
                Quantity::Tokens => &mut wrong.tokens_unit,
                Quantity::Flops => &mut wrong.flops_unit,
            };
            *unit = Some(right * factor);
            count.cases += 1;
            let Some(fault) = fault(bytes, &wrong)? else {
                println!("  not found: {quantity:?} times {factor:e}");
                continue;
            };
            count.found += 1;
            let is_right = |cause: &Vec<WrongUnit>| matches!(cause.as_slice(), [one] if one.quantity == quantity && (one.factor * factor - 1.0).abs() < 1e-9);
            if fault.causes.iter().any(is_right) {
                count.named += 1;
                count.alone += usize::from(fault.causes.len() == 1);
            } else {
                println!("  found, but not named: {quantity:?} times {factor:e}: {fault}");
            }
        }
    }
    Ok(count)
}

fn fault(bytes: &[u8], choice: &ColumnChoice) -> Result<Option<Box<UnitFault>>, ForecastError> {
    match Table::read(bytes, choice)?.check_units() {
        Ok(()) => Ok(None),
        Err(ForecastError::WrongUnits(fault)) => Ok(Some(fault)),
        Err(error) => Err(error),
    }
}
