//! Which column of a sheet is which: by its name, by what was asked for, and in which unit.

mod name;

use self::name::{Text, is_a_total, is_loss, split_unit, text_of};
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

/// Usual names, plain (see [`name::plain`]), the likeliest first.
const RUN: &[&str] =
    &["run", "name", "run_name", "display_name", "model", "model_name", "run_id", "exp_name", "id"];
const PARAMS: &[&str] = &[
    "n_params",
    "num_params",
    "n_parameters",
    "num_parameters",
    "parameter_count",
    "param_count",
    "params_count",
    "model_params",
    "model_parameters",
    "total_params",
    "total_parameters",
    "parameters",
    "params",
    "model_size",
    "non_embedding_params",
    "n_matrix_params",
];
const TOKENS: &[&str] = &[
    "n_tokens",
    "total_tokens",
    "num_tokens",
    "tokens",
    "token_count",
    "train_tokens",
    "training_tokens",
    "total_training_tokens",
    "tokens_seen",
    "num_tokens_seen",
    "consumed_tokens",
    "train_tokens_seen",
    "pretraining_data_size",
    "training_data_size",
    "dataset_size",
];
const FLOPS: &[&str] = &[
    "flops",
    "train_flops",
    "training_flops",
    "training_flop",
    "total_flops",
    "total_training_flops",
    "num_flops",
    "total_flos",
    "iso_flop",
    "flop",
    "compute",
    "training_compute",
];
/// Names of a loss on held-out text, the plainest first.
const HELD_OUT: &[&str] = &[
    "val_loss",
    "eval_loss",
    "validation_loss",
    "valid_loss",
    "test_loss",
    "loss_val",
    "loss_eval",
    "final_val_loss",
    "final_eval_loss",
];
/// Names of a loss that do not say on what text.
const LOSS: &[&str] = &["loss", "final_loss"];
const SEED: &[&str] = &["seed", "random_seed"];

/// Spread of ln of compute over 6·N·D, above the least among several columns, up to which one may hold the compute of whole
/// trainings: attention and embeddings make as much.
const STEADY: f64 = 0.3;

/// Whether a name is that of a column that a table of runs has.
pub(crate) fn is_known(name: &str) -> bool {
    let header = Header::new(&[name.to_owned()]);
    let any = |usual: &[&[&str]]| usual.iter().any(|usual| header.guess(usual).is_some());
    any(&[PARAMS, TOKENS, FLOPS, HELD_OUT, LOSS, SEED])
        || header.first(RUN).is_some()
        || matches!(name.trim(), "C" | "N" | "D")
}

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
        let flops = flops.or_else(|| header.best_flops(sheet, params, tokens, mark)).or_else(|| letter("c"));
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

/// The name of one column.
struct Name {
    /// As it stands in the file.
    written: String,
    /// Without what differs between habits and without its unit.
    plain: String,
    /// What 1 in the column stands for, as far as the name says.
    unit: f64,
}

struct Header {
    names: Vec<Name>,
}

impl Header {
    fn new(names: &[String]) -> Self {
        let name = |written: &String| {
            let (plain, unit) = split_unit(written);
            Name { written: written.clone(), plain, unit }
        };
        Self { names: names.iter().map(name).collect() }
    }

    fn found(&self) -> Vec<String> {
        self.names.iter().map(|name| name.written.clone()).filter(|name| !name.is_empty()).collect()
    }

    /// The column of exactly this name.
    fn named(&self, wanted: &str) -> Result<usize, ForecastError> {
        let exact = |name: &Name| name.written.trim() == wanted.trim();
        let alike = |name: &Name| name.written.trim().eq_ignore_ascii_case(wanted.trim());
        let idx = self.names.iter().position(exact).or_else(|| self.names.iter().position(alike));
        idx.ok_or_else(|| ForecastError::NoSuchColumn { wanted: wanted.to_owned(), found: self.found() })
    }

    fn exact(&self, plain: &str) -> Option<usize> {
        self.names.iter().position(|name| name.plain == plain)
    }

    /// The column with the first of these names.
    fn first(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.exact(name))
    }

    /// The column with the first usual name; or else the first that ends with one, as `model.n_params` does.
    fn guess(&self, usual: &[&str]) -> Option<usize> {
        let ending = |usual: &&str| {
            let ending = format!("_{usual}");
            self.names.iter().position(|name| name.plain.ends_with(&ending) && is_a_total(&name.plain))
        };
        self.first(usual).or_else(|| usual.iter().find_map(ending))
    }

    /// Whether this is the export of a chart: steps, and one column of a metric for each run.
    fn is_chart(&self) -> bool {
        let is_axis = |name: &Name| {
            let axes =
                ["step", "global_step", "trainer_global_step", "relative_time_wall", "relative_time_process"];
            axes.contains(&name.plain.as_str()) || name.plain.ends_with("_step")
        };
        let is_curve = |name: &&Name| name.written.contains(" - ");
        let has_ranges = self.names.iter().any(|name| name.written.ends_with("__MIN"));
        let n_curves = self.names.iter().filter(is_curve).count();
        has_ranges
            || (self.names.first().is_some_and(is_axis) && n_curves > 0 && n_curves + 2 >= self.names.len())
    }

    /// Every column that may hold the training compute, the likeliest first.
    fn flops(&self) -> Vec<usize> {
        let mut found: Vec<usize> = FLOPS.iter().filter_map(|usual| self.exact(usual)).collect();
        let ends = |name: &Name| FLOPS.iter().any(|usual| name.plain.ends_with(&format!("_{usual}")));
        let others = self.names.iter().enumerate().filter(|(_, name)| ends(name) && is_a_total(&name.plain));
        found.extend(others.map(|(idx, _)| idx).filter(|idx| !found.contains(idx)).collect::<Vec<_>>());
        found
    }

    /// The likeliest column with compute; of several, the likeliest that agrees with 6·N·D, or goes with it most steadily.
    fn best_flops(
        &self,
        sheet: &Sheet,
        params: Option<Column>,
        tokens: Option<Column>,
        mark: DecimalMark,
    ) -> Option<usize> {
        let all = self.flops();
        let (Some(params), Some(tokens), [_, _, ..]) = (params, tokens, all.as_slice()) else {
            return all.first().copied();
        };
        let value = |cells: &[String], column: Column| {
            let cell = cells.get(column.idx).map_or("", String::as_str);
            number::parse(cell, mark).map(|number| number * column.unit)
        };
        let ratios = |idx: usize| -> Vec<f64> {
            let flops = Column { idx, unit: self.names[idx].unit };
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

    /// The column with the loss: one on held-out text before one of the training.
    fn loss(&self, warnings: &mut Vec<Warning>) -> Result<usize, ForecastError> {
        let has = |name: &str| self.names.iter().any(|other| other.written == name);
        let is_documented =
            has("run") && has("loss") && (has("flops") || (has("n_params") && has("n_tokens")));
        let losses: Vec<usize> =
            (0..self.names.len()).filter(|idx| is_loss(&self.names[*idx].plain)).collect();
        let of = |kind: Text| -> Vec<usize> {
            losses.iter().copied().filter(|idx| text_of(&self.names[*idx].plain) == kind).collect()
        };
        let (held_out, training, open) = (of(Text::HeldOut), of(Text::Training), of(Text::Open));
        let main = |usual: &[&str], among: &[usize]| {
            usual.iter().find_map(|usual| among.iter().copied().find(|idx| self.names[*idx].plain == *usual))
        };
        let documented = self.names.iter().position(|name| name.written == "loss").filter(|_| is_documented);
        let idx = documented
            .or_else(|| main(HELD_OUT, &held_out))
            .or(if let [one] = held_out.as_slice() { Some(*one) } else { None })
            .or_else(|| if held_out.is_empty() { main(LOSS, &open) } else { None })
            .or(match (held_out.is_empty(), open.as_slice(), training.as_slice()) {
                (true, [one], _) | (true, [], [one]) => Some(*one),
                _ => None,
            });
        let written = |idx: &usize| self.names[*idx].written.clone();
        let Some(idx) = idx else {
            if losses.is_empty() {
                return Err(ForecastError::MissingColumn { wanted: "loss", found: self.found() });
            }
            let among = if held_out.is_empty() { &losses } else { &held_out };
            return Err(ForecastError::SeveralLosses { found: among.iter().map(written).collect() });
        };
        let others = |all: &[usize]| {
            let others: Vec<String> = all.iter().filter(|other| **other != idx).map(written).collect();
            crate::table::names(&others)
        };
        let name = written(&idx);
        let mut warn = |text: String| warnings.push(Warning::new(WarningKind::LossColumn, text));
        if training.contains(&idx) {
            warn(format!(
                "The only loss is that of the training, `{name}`: it is noisy and lies below that of held-out text \
                 where text was seen again. Export a loss on held-out text if there is one."
            ));
        } else if held_out.contains(&idx) && losses.len() > 1 {
            let others = others(&losses);
            warn(format!(
                "Of several losses `{name}` was taken, on held-out text, before {others}; --loss-column takes another."
            ));
        } else if !held_out.is_empty() && !held_out.contains(&idx) {
            let others = others(&held_out);
            warn(format!(
                "`{name}` was taken as the loss; {others} is there too, which --loss-column takes."
            ));
        }
        Ok(idx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(names: &[&str]) -> Header {
        Header::new(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn columns_are_found_by_what_they_are_usually_called() {
        let guess = |names: &[&str], usual: &[&str]| header(names).guess(usual);
        assert_eq!(guess(&["lr", "config.model.n_params"], PARAMS), Some(1));
        assert_eq!(guess(&["tokens_per_second"], TOKENS), None);
        assert_eq!(guess(&["flops_per_token", "Train-FLOPs"], FLOPS), Some(1));
        assert_eq!(guess(&["throughput/tokens", "throughput/total_tokens"], TOKENS), Some(1));
        assert_eq!(guess(&["loss_val_tokens"], TOKENS), None);
        assert_eq!(guess(&["Parameter Count"], PARAMS), Some(0));
        assert_eq!(guess(&["ModelSize"], PARAMS), Some(0));
        let documented = ["run", "n_params", "n_tokens", "flops", "loss", "seed"];
        assert!(documented.iter().all(|name| is_known(name)) && !is_known("d_model"));
    }

    #[test]
    fn a_loss_on_held_out_text_comes_first() {
        let loss = |names: &[&str]| header(names).loss(&mut Vec::new()).map(|idx| names[idx].to_owned()).ok();
        assert_eq!(loss(&["Name", "train/loss", "val/loss"]).as_deref(), Some("val/loss"));
        assert_eq!(loss(&["Eval Loss", "loss"]).as_deref(), Some("Eval Loss"));
        assert_eq!(loss(&["train/loss", "eval/c4/loss"]).as_deref(), Some("eval/c4/loss"));
        assert_eq!(loss(&["eval/loss", "eval/c4/loss", "eval/macro_loss"]).as_deref(), Some("eval/loss"));
        assert_eq!(loss(&["eval/a/loss", "eval/b/loss", "train/loss"]), None);
        assert_eq!(loss(&["train/loss", "train/aux_loss"]).as_deref(), Some("train/loss"));
        assert_eq!(loss(&["smooth loss", "loss"]).as_deref(), Some("loss"));
        assert_eq!(loss(&["run", "loss", "flops", "val_loss"]).as_deref(), Some("loss"));
        assert_eq!(loss(&["eval/c4/CrossEntropyLoss"]).as_deref(), Some("eval/c4/CrossEntropyLoss"));
        assert_eq!(loss(&["loss_scale", "lr"]), None);
    }
}
