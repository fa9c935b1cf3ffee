//! A table read from what people and other trainers write.

use std::io::Read;

use crate::{
    ColumnChoice, ForecastError, Point, Sheet, Table, Warning, WarningKind,
    column::{Column, Columns},
    number,
    sheet::Line,
    stats::interval::median,
    table::names,
    units::{self, PLAUSIBLE_RATIO, Sizes, Verdict},
};

/// Rows that are shown with their reasons.
const SHOWN: usize = 5;
/// Share of unusable rows from which a table is doubted as a whole.
const MANY: f64 = 0.2;
/// Losses above this in the middle of a table are no nats a token.
const LARGE_LOSS: f64 = 20.0;

impl Table {
    /// [`Table::read`] with columns found by their names.
    ///
    /// ```
    /// let text = "loss,run,flops\n3.0,small,1e15\n2.5,large,1e17\n";
    /// let table = forecast::Table::read_csv(text.as_bytes())?;
    /// assert_eq!(table.points()[1].run, "large");
    /// # Ok::<(), forecast::ForecastError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Table::read`], and if `reader` fails.
    pub fn read_csv(mut reader: impl Read) -> Result<Self, ForecastError> {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(csv::Error::from)?;
        Self::read(&bytes, &ColumnChoice::default())
    }

    /// Reads finished runs: `run,n_params,n_tokens,flops,loss[,seed]` in any order and under the names that other trainers
    /// give them, in what [`Sheet::read`] reads; other columns are ignored.
    ///
    /// `flops` is taken as 6·N·D where it is empty or missing. Rows without a usable run are left out with a warning, up to
    /// half of them. A column `decayed` (`true`/`false`, `1`/`0`) leaves out runs whose learning rate had not decayed, since
    /// their loss lies above the law of finished runs; a column `state` those that crashed or are still running.
    ///
    /// # Errors
    /// If a column is missing, most rows hold no usable run, or [`Table::new`] refuses the points.
    pub fn read(bytes: &[u8], choice: &ColumnChoice) -> Result<Self, ForecastError> {
        let sheet = Sheet::read(bytes)?;
        let columns = Columns::find(&sheet, choice)?;
        let mut rows = Rows::default();
        for line in sheet.lines() {
            Row { line, columns: &columns, header: sheet.header() }.sort_into(&mut rows);
        }
        let names = columns.names(sheet.header());
        rows.drop_strangers(&names);
        rows.check()?;
        let sizes: Vec<Sizes> = rows.runs.iter().map(|run| run.sizes).collect();
        let verdict = units::check(&sizes, &names, columns.units());
        let warnings = rows.warnings(&sheet.header()[columns.loss]);
        let mut table = Self::new(rows.runs.into_iter().map(|run| run.point).collect())?;
        let found = std::mem::take(&mut table.warnings);
        table.warnings = [sheet.warnings(), &columns.warnings, &found, &warnings].concat();
        table.n_checked = sizes.iter().filter(|sizes| sizes.ratio().is_some()).count();
        table.column_units = columns.units();
        match verdict {
            Verdict::Plausible => {}
            Verdict::Odd(text) => table.warnings.push(Warning::new(WarningKind::Units, text)),
            Verdict::Wrong(fault) => table.unit_fault = Some(fault),
        }
        Ok(table)
    }

    /// Whether the columns that this table was read from can stand in the units that they were taken for: compute near 6·N·D,
    /// and sizes that models are trained at.
    ///
    /// # Errors
    /// If they cannot, with the columns that are probably to blame.
    pub fn check_units(&self) -> Result<(), ForecastError> {
        match &self.unit_fault {
            None => Ok(()),
            Some(fault) => Err(ForecastError::WrongUnits(fault.clone())),
        }
    }

    /// Whether this table was read with parameters, tokens and compute for some run, so that the three can be held together.
    pub fn has_compute(&self) -> bool {
        self.n_checked > 0
    }

    /// What 1 in the columns with parameters, tokens and compute was taken for, as the header or the reader's choice said.
    pub fn column_units(&self) -> [f64; 3] {
        self.column_units
    }

    /// Takes the units as they stand: what speaks against them becomes a warning.
    #[must_use]
    pub fn with_units_kept(mut self) -> Self {
        if let Some(fault) = self.unit_fault.take() {
            let text = fault.to_string();
            let text = text.split("\nhint: ").next().unwrap_or_default();
            self.warnings
                .push(Warning::new(WarningKind::Units, format!("The units were kept as given: {text}.")));
        }
        self
    }
}

/// One usable row.
struct Run {
    point: Point,
    sizes: Sizes,
    number: u64,
}

/// What makes a row unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It has no loss or no size, or has diverged.
    Empty,
    /// A cell holds something else than its column.
    Malformed,
    /// Its cells are fewer or more than the names.
    Uneven,
}

/// What the rows of a sheet came to.
#[derive(Default)]
struct Rows {
    runs: Vec<Run>,
    /// What is wrong with each unusable row.
    bad: Vec<(String, Fault)>,
    undecayed: Vec<String>,
    unfinished: Vec<String>,
}

impl Rows {
    /// Takes out the rows whose units differ from those of the others.
    fn drop_strangers(&mut self, names: &[String; 3]) {
        const FAR: f64 = 100.0;
        let middle = median(self.runs.iter().filter_map(|run| run.sizes.ratio()));
        let middle_of =
            |of: fn(&Sizes) -> Option<f64>| median(self.runs.iter().filter_map(|run| of(&run.sizes)));
        let (params, tokens) = (middle_of(|sizes| sizes.params), middle_of(|sizes| sizes.tokens));
        let wrong = |sizes: &Sizes| -> Option<String> {
            let [n, d, c] = names;
            if let Some(ratio) = sizes.ratio().filter(|_| PLAUSIBLE_RATIO.contains(&middle)) {
                let is_far = !(middle / FAR..=middle * FAR).contains(&ratio);
                return is_far
                    .then(|| format!("`{c}` is {ratio:.3e} times 6·`{n}`·`{d}`, in other rows {middle:.3}"));
            }
            let small = |value: Option<f64>, middle: f64| value.filter(|value| *value < 1e3 && middle > 1e6);
            let of = |name: &str, value: f64| format!("`{name}` is {value}, in other rows around {{}}");
            if let Some(value) = small(sizes.params, params) {
                return Some(of(n, value).replace("{}", &format!("{params:.1e}")));
            }
            small(sizes.tokens, tokens).map(|value| of(d, value).replace("{}", &format!("{tokens:.1e}")))
        };
        let (mut kept, mut dropped) = (Vec::new(), Vec::new());
        for run in std::mem::take(&mut self.runs) {
            match wrong(&run.sizes) {
                Some(why) => dropped
                    .push((format!("line {} (`{}`): {why}", run.number, run.point.run), Fault::Malformed)),
                None => kept.push(run),
            }
        }
        self.runs = kept;
        self.bad.extend(dropped);
    }

    fn n_rows(&self) -> usize {
        self.runs.len() + self.bad.len()
    }

    /// The first of each kind, those that are hardest to see first.
    fn first_bad(&self) -> String {
        let of = |fault| self.bad.iter().filter(move |(_, other)| *other == fault);
        let all = of(Fault::Uneven).chain(of(Fault::Malformed)).chain(of(Fault::Empty));
        let shown: Vec<&str> = all.take(SHOWN).map(|(why, _)| why.as_str()).collect();
        let rest = self.bad.len() - shown.len();
        let more = if rest > 0 { format!("; and {rest} more") } else { String::new() };
        format!("{}{more}", shown.join("; "))
    }

    /// Refuses a table of which most was read as no run, as where the delimiter or a column is another one. Any number of
    /// runs without a loss may stand beside the others, as in an export of all runs of a project.
    fn check(&self) -> Result<(), ForecastError> {
        let count = |fault| self.bad.iter().filter(|(_, other)| *other == fault).count();
        let n_wrong = count(Fault::Malformed) + count(Fault::Uneven);
        if 2 * n_wrong <= self.n_rows() && (self.bad.is_empty() || !self.runs.is_empty()) {
            return Ok(());
        }
        let hint = if 2 * count(Fault::Uneven) > self.bad.len() {
            "give every row as many cells as the header; quote numbers with commas, and name the first column too"
        } else if n_wrong == 0 {
            "export the runs after they have ended, with the column of their final loss"
        } else {
            "correct the cells, or choose another column, as with --loss-column"
        };
        Err(ForecastError::BadRows {
            n_bad: self.bad.len(),
            n_rows: self.n_rows(),
            first: self.first_bad(),
            hint,
        })
    }

    fn warnings(&self, loss: &str) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let n_derived = self.runs.iter().filter(|run| run.sizes.flops.is_none()).count();
        if n_derived > 0 {
            let text =
                format!("`flops` was not given for {n_derived} runs and was taken as 6·n_params·n_tokens.");
            warnings.push(Warning::new(WarningKind::DerivedFlops, text));
        }
        if !self.undecayed.is_empty() {
            let text = format!(
                "{} runs had not decayed their learning rate and were left out: {}.",
                self.undecayed.len(),
                names(&self.undecayed)
            );
            warnings.push(Warning::new(WarningKind::UndecayedRun, text));
        }
        if !self.unfinished.is_empty() {
            let all = self.unfinished.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            let rest = self.unfinished.len().saturating_sub(SHOWN);
            let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            let n = self.unfinished.len();
            let (runs, were) = if n == 1 { ("run", "was") } else { ("runs", "were") };
            let text = format!("{n} {runs} did not finish and {were} left out: {all}{more}.");
            warnings.push(Warning::new(WarningKind::UnfinishedRun, text));
        }
        if !self.bad.is_empty() {
            let (n_bad, n_rows, first) = (self.bad.len(), self.n_rows(), self.first_bad());
            let were = if n_bad == 1 { "holds no usable run and was" } else { "hold no usable run and were" };
            let mut text = format!("{n_bad} of {n_rows} rows {were} left out: {first}.");
            if self.bad.len() as f64 > MANY * self.n_rows() as f64 {
                text.push_str(
                    " That is more than a fifth of the table: check that the right columns were read, and that no \
                     important run was left out.",
                );
            }
            warnings.push(Warning::new(WarningKind::BadRow, text));
        }
        let middle = median(self.runs.iter().map(|run| run.point.loss));
        if middle > LARGE_LOSS {
            let text = format!(
                "The losses in `{loss}` lie around {middle:.3}: if they are perplexities, take the natural logarithm."
            );
            warnings.push(Warning::new(WarningKind::OddLoss, text));
        }
        warnings
    }
}

/// One line of the sheet.
struct Row<'a> {
    line: &'a Line,
    columns: &'a Columns,
    header: &'a [String],
}

impl Row<'_> {
    fn sort_into(&self, rows: &mut Rows) {
        let run = self.name();
        if let Some(state) = self.unfinished() {
            rows.unfinished.push(format!("`{run}` ({state})"));
            return;
        }
        let bad = |why: String| format!("line {} (`{run}`): {why}", self.line.number);
        if let Some(why) = self.uneven() {
            rows.bad.push((bad(why), Fault::Uneven));
            return;
        }
        match self.is_decayed().and_then(|is_decayed| Ok((is_decayed, self.run(run.clone())?))) {
            Ok((true, found)) => rows.runs.push(found),
            Ok((false, _)) => rows.undecayed.push(run),
            Err((why, fault)) => rows.bad.push((bad(why), fault)),
        }
    }

    fn run(&self, run: String) -> Result<Run, (String, Fault)> {
        let params = self.number(self.columns.params)?;
        let tokens = self.number(self.columns.tokens)?;
        let given = self.number(self.columns.flops)?;
        let derived = params.zip(tokens).map(|(n, d)| 6.0 * n * d);
        let flops = given.or(derived).ok_or_else(|| {
            let empty = [self.columns.flops, self.columns.params, self.columns.tokens].into_iter().flatten();
            let empty: Vec<String> = empty
                .filter(|column| self.cell(Some(column.idx)).is_none())
                .map(|column| format!("`{}`", self.header[column.idx]))
                .collect();
            (format!("{} is empty", empty.join(" and ")), Fault::Empty)
        })?;
        let loss = Column { idx: self.columns.loss, unit: 1.0 };
        let loss = self
            .number(Some(loss))?
            .ok_or_else(|| (format!("`{}` is empty", self.header[loss.idx]), Fault::Empty))?;
        let seed = self.seed()?;
        let point = Point { run, n_params: params, n_tokens: tokens, flops, loss, seed };
        Ok(Run { point, sizes: Sizes { params, tokens, flops: given }, number: self.line.number })
    }

    fn name(&self) -> String {
        let name = self.columns.run.and_then(|idx| self.line.cells.get(idx)).filter(|name| !name.is_empty());
        name.map_or_else(|| format!("line-{}", self.line.number), Clone::clone)
    }

    /// Why cells may stand under the wrong names.
    fn uneven(&self) -> Option<String> {
        let (n_cells, n_names) = (self.line.cells.len(), self.header.len());
        let is_even = n_cells >= n_names && self.line.cells[n_names..].iter().all(String::is_empty);
        (!is_even).then(|| format!("{n_cells} cells, the header has {n_names}"))
    }

    /// The state of a run that has not ended as it should.
    fn unfinished(&self) -> Option<&str> {
        const STATES: [&str; 7] =
            ["crashed", "running", "failed", "killed", "pending", "preempted", "preempting"];
        self.cell(self.columns.state).filter(|state| STATES.contains(&state.to_lowercase().as_str()))
    }

    fn is_decayed(&self) -> Result<bool, (String, Fault)> {
        let Some(idx) = self.columns.decayed else { return Ok(true) };
        match self.cell(Some(idx)).map(str::to_lowercase).as_deref() {
            None | Some("1" | "1.0" | "true" | "yes") => Ok(true),
            Some("0" | "0.0" | "false" | "no") => Ok(false),
            Some(cell) => {
                let why = format!("`{}` is `{}`, neither true nor false", self.header[idx], shortened(cell));
                Err((why, Fault::Malformed))
            }
        }
    }

    fn seed(&self) -> Result<Option<u64>, (String, Fault)> {
        let Some(idx) = self.columns.seed else { return Ok(None) };
        let Some(cell) = self.cell(Some(idx)) else { return Ok(None) };
        // A column with an empty cell comes out of pandas as floats.
        let whole =
            cell.split_once('.').filter(|(_, rest)| rest.bytes().all(|b| b == b'0')).map_or(cell, |(w, _)| w);
        whole.parse().map(Some).map_err(|_| {
            let why =
                format!("`{}` is `{}`, not a whole number from 0 up", self.header[idx], shortened(cell));
            (why, Fault::Malformed)
        })
    }

    fn number(&self, column: Option<Column>) -> Result<Option<f64>, (String, Fault)> {
        let Some(column) = column else { return Ok(None) };
        let Some(cell) = self.cell(Some(column.idx)) else { return Ok(None) };
        let name = &self.header[column.idx];
        let number = number::parse(cell, self.columns.mark)
            .ok_or_else(|| (format!("`{name}` is `{}`, not a number", shortened(cell)), Fault::Malformed))?;
        let number = if column.unit == 1.0 { number } else { number * column.unit };
        if number.is_finite() && number > 0.0 {
            return Ok(Some(number));
        }
        // A loss that is no number is how a run that diverged ends.
        let is_diverged = !number.is_finite() && column.idx == self.columns.loss;
        let fault = if is_diverged { Fault::Empty } else { Fault::Malformed };
        Err((format!("`{name}` is `{}`, not finite and above 0", shortened(cell)), fault))
    }

    /// The text of a cell; `None` where it is empty or its column is missing.
    fn cell(&self, idx: Option<usize>) -> Option<&str> {
        const EMPTY: [&str; 9] = ["", "null", "None", "N/A", "NA", "n/a", "-", "—", "#N/A"];
        let cell = self.line.cells.get(idx?)?.as_str();
        (!EMPTY.contains(&cell)).then_some(cell)
    }
}

/// The beginning of a cell, for a message.
fn shortened(cell: &str) -> String {
    const MOST: usize = 40;
    if cell.chars().count() > MOST {
        format!("{}…", cell.chars().take(MOST).collect::<String>())
    } else {
        cell.to_owned()
    }
}
