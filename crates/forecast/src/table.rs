//! A checked table of finished runs.

use std::{cmp::Ordering, collections::BTreeMap, io::Read};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{ForecastError, Warning, WarningKind};

/// One finished run: what it cost and how well it came out.
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
        let mut table = Self { points, warnings: Vec::new() };
        table.points.sort_by(order);
        table.drop_duplicates()?;
        Ok(table)
    }

    /// Reads `run,n_params,n_tokens,flops,loss[,seed]` in any order; other columns are ignored.
    ///
    /// `flops` is taken as 6·N·D where it is empty or missing. A column `decayed` (`true`/`false`, `1`/`0`) leaves
    /// out runs whose learning rate had not decayed, since their loss lies above the law of finished runs.
    ///
    /// ```
    /// let text = "loss,run,flops\n3.0,small,1e15\n2.5,large,1e17\n";
    /// let table = forecast::Table::read_csv(text.as_bytes())?;
    /// assert_eq!(table.points()[1].run, "large");
    /// # Ok::<(), forecast::ForecastError>(())
    /// ```
    ///
    /// # Errors
    /// If a column is missing, a cell is no number, or [`Table::new`] refuses the points.
    pub fn read_csv(reader: impl Read) -> Result<Self, ForecastError> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(reader);
        let columns = Columns::find(reader.headers()?)?;
        let (mut points, mut n_derived, mut undecayed) = (Vec::new(), 0, Vec::new());
        for record in reader.records() {
            let row = Row { record: &record?, columns: &columns };
            let (point, is_derived) = row.point()?;
            if row.is_decayed()? {
                n_derived += usize::from(is_derived);
                points.push(point);
            } else {
                undecayed.push(point.run);
            }
        }
        let mut table = Self::new(points)?;
        if n_derived > 0 {
            let text =
                format!("`flops` was not given for {n_derived} runs and was taken as 6·n_params·n_tokens.");
            table.warnings.push(Warning::new(WarningKind::DerivedFlops, text));
        }
        if !undecayed.is_empty() {
            let text = format!(
                "{} runs had not decayed their learning rate and were left out: {}.",
                undecayed.len(),
                names(&undecayed)
            );
            table.warnings.push(Warning::new(WarningKind::UndecayedRun, text));
        }
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
            hash.update(format!("{}:{},{numbers},{seed}\n", point.run.len(), point.run));
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The runs that `keep` accepts; warnings are left behind.
    pub(crate) fn filtered(&self, keep: impl Fn(&Point) -> bool) -> Self {
        Self {
            points: self.points.iter().filter(|point| keep(point)).cloned().collect(),
            warnings: Vec::new(),
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
            let text = format!(
                "{n} lines repeated another line to the last digit and were dropped: {}.",
                names(&dropped)
            );
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

/// Where each column stands in a line.
struct Columns {
    run: usize,
    loss: usize,
    flops: Option<usize>,
    n_params: Option<usize>,
    n_tokens: Option<usize>,
    seed: Option<usize>,
    decayed: Option<usize>,
}

impl Columns {
    fn find(header: &csv::StringRecord) -> Result<Self, ForecastError> {
        // A spreadsheet may put a byte order mark before the first name.
        let find = |name: &str| header.iter().position(|cell| cell.trim_start_matches('\u{feff}') == name);
        let missing = |wanted| {
            let found = header.iter().filter(|cell| !cell.is_empty()).map(str::to_owned).collect();
            ForecastError::MissingColumn { wanted, found }
        };
        let columns = Self {
            run: find("run").ok_or_else(|| missing("run"))?,
            loss: find("loss").ok_or_else(|| missing("loss"))?,
            flops: find("flops"),
            n_params: find("n_params"),
            n_tokens: find("n_tokens"),
            seed: find("seed"),
            decayed: find("decayed"),
        };
        if columns.flops.is_none() && (columns.n_params.is_none() || columns.n_tokens.is_none()) {
            return Err(missing("flops"));
        }
        Ok(columns)
    }
}

/// One line of the file.
struct Row<'a> {
    record: &'a csv::StringRecord,
    columns: &'a Columns,
}

impl Row<'_> {
    /// The run, and whether its compute was derived.
    fn point(&self) -> Result<(Point, bool), ForecastError> {
        let n_params = self.number("n_params", self.columns.n_params)?;
        let n_tokens = self.number("n_tokens", self.columns.n_tokens)?;
        let given = self.number("flops", self.columns.flops)?;
        let derived = n_params.zip(n_tokens).map(|(n, d)| 6.0 * n * d);
        let flops = given
            .or(derived)
            .ok_or_else(|| self.bad("flops", "compute in FLOPs, or both n_params and n_tokens", ""))?;
        let loss =
            self.number("loss", Some(self.columns.loss))?.ok_or_else(|| self.bad("loss", "a number", ""))?;
        let run = self.record.get(self.columns.run).filter(|name| !name.is_empty());
        let run = run.ok_or_else(|| self.bad("run", "a name", ""))?.to_owned();
        let seed = match self.cell(self.columns.seed) {
            Some(cell) => Some(cell.parse().map_err(|_| self.bad("seed", "a whole number from 0 up", cell))?),
            None => None,
        };
        Ok((Point { run, n_params, n_tokens, flops, loss, seed }, given.is_none()))
    }

    fn is_decayed(&self) -> Result<bool, ForecastError> {
        match self.cell(self.columns.decayed) {
            None => Ok(true),
            Some("1" | "true" | "True" | "yes") => Ok(true),
            Some("0" | "false" | "False" | "no") => Ok(false),
            Some(cell) => Err(self.bad("decayed", "true or false", cell)),
        }
    }

    fn number(&self, column: &'static str, idx: Option<usize>) -> Result<Option<f64>, ForecastError> {
        let Some(cell) = self.cell(idx) else { return Ok(None) };
        let number: f64 = cell.parse().map_err(|_| self.bad(column, "a number", cell))?;
        if !(number.is_finite() && number > 0.0) {
            return Err(self.bad(column, "a finite number above 0", cell));
        }
        Ok(Some(number))
    }

    /// The text of a cell; `None` where it is empty or its column is missing.
    fn cell(&self, idx: Option<usize>) -> Option<&str> {
        self.record.get(idx?).filter(|cell| !cell.is_empty())
    }

    fn bad(&self, column: &'static str, expected: &'static str, found: &str) -> ForecastError {
        let line = self.record.position().map_or(0, csv::Position::line);
        ForecastError::BadCell { line, column, expected, found: found.to_owned() }
    }
}
