//! The header of a table: the usual names of columns, and which column has which.

use super::name::{Text, is_a_total, is_loss, split_unit, text_of};
use crate::{ForecastError, Warning, WarningKind};

/// Usual names, plain (see [`name::plain`]), the most likely first.
pub(super) const RUN: &[&str] =
    &["run", "name", "run_name", "display_name", "model", "model_name", "run_id", "exp_name", "id"];
pub(super) const PARAMS: &[&str] = &[
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
pub(super) const TOKENS: &[&str] = &[
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
pub(super) const FLOPS: &[&str] = &[
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
pub(super) const HELD_OUT: &[&str] = &[
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
pub(super) const LOSS: &[&str] = &["loss", "final_loss"];
pub(super) const SEED: &[&str] = &["seed", "random_seed"];

/// Whether a name is that of a column that a table of runs has.
pub(crate) fn is_known(name: &str) -> bool {
    let header = Header::new(&[name.to_owned()]);
    let any = |usual: &[&[&str]]| usual.iter().any(|usual| header.guess(usual).is_some());
    any(&[PARAMS, TOKENS, FLOPS, HELD_OUT, LOSS, SEED])
        || header.first(RUN).is_some()
        || matches!(name.trim(), "C" | "N" | "D")
}

/// The name of one column.
pub(super) struct Name {
    /// As it stands in the file.
    pub(super) written: String,
    /// Without what differs between habits and without its unit.
    pub(super) plain: String,
    /// What 1 in the column stands for, as far as the name says.
    pub(super) unit: f64,
}

pub(super) struct Header {
    pub(super) names: Vec<Name>,
}

impl Header {
    pub(super) fn new(names: &[String]) -> Self {
        let name = |written: &String| {
            let (plain, unit) = split_unit(written);
            Name { written: written.clone(), plain, unit }
        };
        Self { names: names.iter().map(name).collect() }
    }

    pub(super) fn found(&self) -> Vec<String> {
        self.names.iter().map(|name| name.written.clone()).filter(|name| !name.is_empty()).collect()
    }

    /// The column of exactly this name.
    pub(super) fn named(&self, wanted: &str) -> Result<usize, ForecastError> {
        let exact = |name: &Name| name.written.trim() == wanted.trim();
        let alike = |name: &Name| name.written.trim().eq_ignore_ascii_case(wanted.trim());
        let idx = self.names.iter().position(exact).or_else(|| self.names.iter().position(alike));
        idx.ok_or_else(|| ForecastError::NoSuchColumn { wanted: wanted.to_owned(), found: self.found() })
    }

    pub(super) fn exact(&self, plain: &str) -> Option<usize> {
        self.names.iter().position(|name| name.plain == plain)
    }

    /// The column with the first of these names.
    pub(super) fn first(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.exact(name))
    }

    /// The column with the first usual name; or else the first that ends with one, as `model.n_params` does.
    pub(super) fn guess(&self, usual: &[&str]) -> Option<usize> {
        let ending = |usual: &&str| {
            let ending = format!("_{usual}");
            self.names.iter().position(|name| name.plain.ends_with(&ending) && is_a_total(&name.plain))
        };
        self.first(usual).or_else(|| usual.iter().find_map(ending))
    }

    /// Whether this is the export of a chart: steps, and one column of a metric for each run.
    pub(super) fn is_chart(&self) -> bool {
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

    /// Every column that may hold the training compute, the most likely first.
    pub(super) fn flops(&self) -> Vec<usize> {
        let mut found: Vec<usize> = FLOPS.iter().filter_map(|usual| self.exact(usual)).collect();
        let ends = |name: &Name| FLOPS.iter().any(|usual| name.plain.ends_with(&format!("_{usual}")));
        let others = self.names.iter().enumerate().filter(|(_, name)| ends(name) && is_a_total(&name.plain));
        found.extend(others.map(|(idx, _)| idx).filter(|idx| !found.contains(idx)).collect::<Vec<_>>());
        found
    }

    /// The column with the loss: one on held-out text before one of the training.
    pub(super) fn loss(&self, warnings: &mut Vec<Warning>) -> Result<usize, ForecastError> {
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
