//! A checked table of finished runs.

mod read;

use std::{cmp::Ordering, collections::BTreeMap};

use base::hash::Sha256;
use serde::{Deserialize, Serialize};

use crate::{ForecastError, UnitFault, Warning, WarningKind};

/// One finished run: what it cost and its final loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Name of the run.
    pub run: String,
    /// N: parameters, counted in the same way for every run.
    pub n_params: Option<f64>,
    /// D: tokens seen in training.
    pub n_tokens: Option<f64>,
    /// C: training compute in FLOPs.
    pub flops: f64,
    /// L: final loss on held-out data, in nats a token or any other unit that falls towards a positive floor.
    pub loss: f64,
    /// Seed, where a configuration was trained more than once.
    pub seed: Option<u64>,
}

impl Point {
    /// N and D, where both are known.
    pub fn shape(&self) -> Option<(f64, f64)> {
        self.n_params.zip(self.n_tokens)
    }

    /// What makes two runs repetitions of one configuration: everything but name, seed and loss.
    pub(crate) fn configuration(&self) -> [u64; 3] {
        [self.flops, self.n_params.unwrap_or(0.0), self.n_tokens.unwrap_or(0.0)].map(f64::to_bits)
    }
}

/// Finished runs in ascending order of compute; every number is finite and positive.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    points: Vec<Point>,
    warnings: Vec<Warning>,
    /// Why the columns that the points were read from cannot stand in the units they were taken for.
    unit_fault: Option<Box<UnitFault>>,
    /// Runs that were read with N, D and C.
    n_checked: usize,
    /// What 1 in the columns with N, D and C was taken for.
    column_units: [f64; 3],
}

impl Table {
    /// Checks `points` and sorts them by compute, then shape, name, seed and loss, so that their order does not matter.
    ///
    /// # Errors
    /// If a number is not finite and positive, or one run and seed comes with two losses.
    pub fn new(points: Vec<Point>) -> Result<Self, ForecastError> {
        for point in &points {
            check(point)?;
        }
        let mut table =
            Self { points, warnings: Vec::new(), unit_fault: None, n_checked: 0, column_units: [1.0; 3] };
        table.points.sort_by(order);
        table.drop_duplicates()?;
        Ok(table)
    }

    /// The runs, in ascending order of compute.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// What was noticed while reading.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// SHA-256, in hexadecimal, of the points in their order, each number as the bits of its double.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for point in &self.points {
            let bits = |x: Option<f64>| x.map_or("-".to_owned(), |x| format!("{:016x}", x.to_bits()));
            let seed = point.seed.map_or("-".to_owned(), |seed| seed.to_string());
            let numbers =
                [point.n_params, point.n_tokens, Some(point.flops), Some(point.loss)].map(bits).join(",");
            // The length keeps a name with commas apart from another name and its numbers.
            hash.update(format!("{}:{},{numbers},{seed}\n", point.run.len(), point.run).as_bytes());
        }
        hash.finish()
    }

    /// The runs that `keep` accepts; warnings are left behind.
    pub(crate) fn filtered(&self, keep: impl Fn(&Point) -> bool) -> Self {
        Self {
            points: self.points.iter().filter(|point| keep(point)).cloned().collect(),
            warnings: Vec::new(),
            unit_fault: None,
            n_checked: 0,
            column_units: [1.0; 3],
        }
    }

    /// Whether every run has N and D.
    pub(crate) fn has_shapes(&self) -> bool {
        self.points.iter().all(|point| point.shape().is_some())
    }

    /// For each run the number of its configuration, counted from 0 in order of appearance.
    pub(crate) fn clusters(&self) -> Vec<usize> {
        let mut known = BTreeMap::new();
        self.points
            .iter()
            .map(|point| {
                let next = known.len();
                *known.entry(point.configuration()).or_insert(next)
            })
            .collect()
    }

    fn drop_duplicates(&mut self) -> Result<(), ForecastError> {
        let before = self.points.len();
        let mut dropped = Vec::new();
        self.points.dedup_by(|b, a| {
            let is_same = a == b;
            if is_same {
                dropped.push(a.run.clone());
            }
            is_same
        });
        for pair in self.points.windows(2) {
            let (a, b) = (&pair[0], &pair[1]);
            if a.run == b.run && a.seed == b.seed && a.configuration() == b.configuration() {
                return Err(ForecastError::ContradictoryRun {
                    run: a.run.clone(),
                    first: a.loss,
                    second: b.loss,
                });
            }
        }
        if !dropped.is_empty() {
            let n = before - self.points.len();
            let text =
                format!("{n} lines were exact copies of another line and were dropped: {}.", names(&dropped));
            self.warnings.push(Warning::new(WarningKind::DuplicateRun, text));
        }
        Ok(())
    }
}

fn check(point: &Point) -> Result<(), ForecastError> {
    let columns = [
        ("n_params", point.n_params),
        ("n_tokens", point.n_tokens),
        ("flops", Some(point.flops)),
        ("loss", Some(point.loss)),
    ];
    for (column, value) in columns {
        let Some(found) = value else { continue };
        if !(found.is_finite() && found > 0.0) {
            let expected = "a finite number above 0";
            return Err(ForecastError::BadValue { run: point.run.clone(), column, expected, found });
        }
    }
    Ok(())
}

fn order(a: &Point, b: &Point) -> Ordering {
    let numbers = |p: &Point| [p.flops, p.n_params.unwrap_or(0.0), p.n_tokens.unwrap_or(0.0)];
    let by_number = numbers(a).iter().zip(numbers(b)).map(|(x, y)| x.total_cmp(&y)).find(|o| o.is_ne());
    by_number
        .unwrap_or(Ordering::Equal)
        .then_with(|| (&a.run, a.seed).cmp(&(&b.run, b.seed)))
        .then_with(|| a.loss.total_cmp(&b.loss))
}

/// The first few names, for a message.
pub(crate) fn names<S: AsRef<str>>(all: &[S]) -> String {
    const SHOWN: usize = 5;
    let shown =
        all.iter().take(SHOWN).map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ");
    if all.len() > SHOWN { format!("{shown} and {} more", all.len() - SHOWN) } else { shown }
}
