//! Which column of a sheet is which: by its name, by what was asked for, and in which unit.

pub(crate) mod header;
mod name;

use self::header::{Header, PARAMS, RUN, SEED, TOKENS};
use crate::{
    ForecastError, Warning, WarningKind,
    number::{self, DecimalMark},
    sheet::Sheet,
    stats::interval::median,
    units::PLAUSIBLE_RATIO,
};

/// What was asked for; `None` where a column is to be found by its name, or its unit to be read off that.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnChoice {
    /// Name of the column with the names of the runs.
    pub run: Option<String>,
    /// Name of the column with the parameters.
    pub params: Option<String>,
    /// Name of the column with the tokens.
    pub tokens: Option<String>,
    /// Name of the column with the training compute.
    pub flops: Option<String>,
    /// Name of the column with the final loss.
    pub loss: Option<String>,
    /// Name of the column with the seeds.
    pub seed: Option<String>,
    /// What 1 in the column of the parameters stands for.
    pub params_unit: Option<f64>,
    /// What 1 in the column of the tokens stands for.
    pub tokens_unit: Option<f64>,
    /// What 1 in the column of the compute stands for.
    pub flops_unit: Option<f64>,
}

impl ColumnChoice {
    /// The number that a unit is worth, as in `1e9`, `B`, `billions`, `GFLOPs` or `PF-days`.
    pub fn unit(text: &str) -> Option<f64> {
        number::unit(text)
    }
}

/// A column and what 1 in it stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Column {
    pub(crate) idx: usize,
    pub(crate) unit: f64,
}

/// Where each column stands.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    pub(crate) run: Option<usize>,
    pub(crate) params: Option<Column>,
    pub(crate) tokens: Option<Column>,
    pub(crate) flops: Option<Column>,
    pub(crate) loss: usize,
    pub(crate) seed: Option<usize>,
    pub(crate) decayed: Option<usize>,
    pub(crate) state: Option<usize>,
    pub(crate) mark: DecimalMark,
    pub(crate) warnings: Vec<Warning>,
}

/// Spread of ln of compute over 6·N·D, above the least among several columns, up to which one may hold the compute of whole
/// trainings: attention and embeddings make as much.
const STEADY: f64 = 0.3;

impl Columns {
    pub(crate) fn find(sheet: &Sheet, choice: &ColumnChoice) -> Result<Self, ForecastError> {
        let header = Header::new(sheet.header());
        if header.is_chart() {
            return Err(ForecastError::Chart);
        }
        let chosen = |given: &Option<String>| given.as_ref().map(|name| header.named(name)).transpose();
        let (run, params, tokens) = (chosen(&choice.run)?, chosen(&choice.params)?, chosen(&choice.tokens)?);
        let (flops, loss, seed) = (chosen(&choice.flops)?, chosen(&choice.loss)?, chosen(&choice.seed)?);
        let letters = ["n", "d"].iter().all(|letter| header.exact(letter).is_some());
        let letter = |name: &str| if letters { header.exact(name) } else { None };
        let params = params.or_else(|| header.guess(PARAMS)).or_else(|| letter("n"));
        let tokens = tokens.or_else(|| header.guess(TOKENS)).or_else(|| letter("d"));
        let mut warnings = Vec::new();
        let loss = match loss {
            Some(idx) => idx,
            None => header.loss(&mut warnings)?,
        };
        let columns = [params, tokens, flops].into_iter().flatten().chain(header.flops());
        let numbers = columns.flat_map(|idx| sheet.column(idx));
        let mark = DecimalMark::of(numbers, sheet.column(loss), sheet.delimiter());
        if mark == DecimalMark::Comma {
            let text = "Numbers were read with a comma before their decimals.".to_owned();
            warnings.push(Warning::new(WarningKind::DecimalComma, text));
        }
        let with_unit = |idx: Option<usize>, given: Option<f64>| {
            idx.map(|idx| Column { idx, unit: given.unwrap_or(header.names[idx].unit) })
        };
        let params = with_unit(params, choice.params_unit);
        let tokens = with_unit(tokens, choice.tokens_unit);
        let flops =
            flops.or_else(|| best_flops(&header, sheet, params, tokens, mark)).or_else(|| letter("c"));
        let flops = with_unit(flops, choice.flops_unit);
        if flops.is_none() {
            let found = || header.found();
            if params.is_none() && tokens.is_none() {
                return Err(ForecastError::MissingColumn { wanted: "flops", found: found() });
            }
            for (column, wanted) in [(params, "n_params"), (tokens, "n_tokens")] {
                if column.is_none() {
                    return Err(ForecastError::MissingColumn { wanted, found: found() });
                }
            }
        }
        let run = run.or_else(|| header.first(RUN));
        let seed = seed.or_else(|| header.guess(SEED));
        let decayed = header.exact("decayed");
        let state = header.exact("state");
        let mut columns = Self { run, params, tokens, flops, loss, seed, decayed, state, mark, warnings };
        columns.say(sheet.header());
        Ok(columns)
    }

    /// What 1 in the columns with N, D and C stands for.
    pub(crate) fn units(&self) -> [f64; 3] {
        [self.params, self.tokens, self.flops].map(|column| column.map_or(1.0, |column| column.unit))
    }

    /// The names of the columns with N, D and C, as they stand in the header.
    pub(crate) fn names(&self, header: &[String]) -> [String; 3] {
        let name = |column: Option<Column>, usual: &str| {
            column.and_then(|column| header.get(column.idx)).map_or(usual.to_owned(), Clone::clone)
        };
        [name(self.params, "n_params"), name(self.tokens, "n_tokens"), name(self.flops, "flops")]
    }

    /// Says what was taken for what, where a name or a unit is not the documented one: a guess may be wrong.
    fn say(&mut self, header: &[String]) {
        let plain = |idx: usize| Some(Column { idx, unit: 1.0 });
        let all = [
            ("run", self.run.and_then(plain)),
            ("n_params", self.params),
            ("n_tokens", self.tokens),
            ("flops", self.flops),
            ("loss", plain(self.loss)),
            ("seed", self.seed.and_then(plain)),
        ];
        let is_documented = |(to, column): &(&str, Option<Column>)| {
            column.is_none_or(|column| header[column.idx] == *to && column.unit == 1.0)
        };
        if all.iter().all(is_documented) {
            return;
        }
        let pair = |(to, column): &(&str, Option<Column>)| {
            let column = (*column)?;
            let times = if column.unit == 1.0 { String::new() } else { format!(" times {:e}", column.unit) };
            Some(format!("`{}`{times} as {to}", header[column.idx]))
        };
        let pairs: Vec<String> = all.iter().filter_map(pair).collect();
        self.warnings.insert(0, Warning::new(WarningKind::Columns, format!("columns: {}", pairs.join(", "))));
    }
}

/// The most likely column with compute; of several, the most likely that agrees with 6·N·D, or goes with it most steadily.
fn best_flops(
    header: &Header,
    sheet: &Sheet,
    params: Option<Column>,
    tokens: Option<Column>,
    mark: DecimalMark,
) -> Option<usize> {
    let all = header.flops();
    let (Some(params), Some(tokens), [_, _, ..]) = (params, tokens, all.as_slice()) else {
        return all.first().copied();
    };
    let value = |cells: &[String], column: Column| {
        let cell = cells.get(column.idx).map_or("", String::as_str);
        number::parse(cell, mark).map(|number| number * column.unit)
    };
    let ratios = |idx: usize| -> Vec<f64> {
        let flops = Column { idx, unit: header.names[idx].unit };
        let ratio = |cells: &[String]| {
            Some(value(cells, flops)? / (6.0 * value(cells, params)? * value(cells, tokens)?))
        };
        let ratios = sheet.lines().iter().filter_map(|line| ratio(&line.cells));
        ratios.filter(|ratio| ratio.is_finite() && *ratio > 0.0).collect()
    };
    let agrees = |idx: &usize| {
        let ratios = ratios(*idx);
        let n_near = ratios.iter().filter(|ratio| PLAUSIBLE_RATIO.contains(ratio)).count();
        n_near > 0 && 2 * n_near >= ratios.len()
    };
    // Whatever the units, the ratio of compute to 6·N·D differs little between runs; that of the FLOPs of one step does.
    let spread = |idx: &usize| {
        let logs: Vec<f64> = ratios(*idx).iter().map(|ratio| ratio.ln()).collect();
        let middle = median(logs.iter().copied());
        if logs.is_empty() { f64::INFINITY } else { median(logs.iter().map(|log| (log - middle).abs())) }
    };
    let least = all.iter().map(spread).fold(f64::INFINITY, f64::min);
    let steady: Vec<usize> = all.iter().copied().filter(|idx| spread(idx) <= least + STEADY).collect();
    steady.iter().find(|idx| agrees(idx)).or(steady.first()).or(all.first()).copied()
}
