//! Which runs a ladder is made of.

use std::collections::BTreeSet;

use data::pictures::PicturesConfig;
use model::{ModelConfig, eyes::VisionOverrides, scaling};
use train::{TrainOverrides, TrainSettings};

use crate::pipeline::{budget::text_share, plan::flops};
use crate::{
    recipe::{LadderConfig, Recipe},
    run_dir::Role,
};

/// One run of the ladder.
#[derive(Clone, Debug)]
pub(crate) struct Rung {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) config: ModelConfig,
    pub(crate) settings: TrainSettings,
    pub(crate) lr_factor: f64,
    /// Documents of pictures of each step, as many for each token of text as the large run has, where there are pictures.
    pub(crate) pictures_per_step: Option<usize>,
}

impl Rung {
    /// Those of its text, as a law reads them.
    pub(crate) fn flops(&self) -> f64 {
        flops(&self.config, &self.settings)
    }

    /// With its documents of pictures, about.
    pub(super) fn flops_with(&self, pictures: Option<&PicturesConfig>) -> f64 {
        let per_step = self.pictures_per_step.unwrap_or(0);
        self.flops() / text_share(pictures, per_step, &self.config, &self.settings)
    }
}

/// Fewest steps of a rung: below, there is no room for warmup and decay.
const MIN_STEPS: u64 = 400;
/// The same where all rungs have the large run's own model and batches, which are made for many short steps.
const MIN_STEPS_OF_ONE_MODEL: u64 = 100;
/// Fewest different widths and lengths: a law has as many coefficients.
const MIN_CONFIGS: usize = 4;
/// Up to this part of the large run's FLOPs a rung is repeated with every seed; above, once.
const CHEAP: f64 = 0.01;
/// Above this part only the best width is trained.
const DEAR: f64 = 0.02;
/// Parts of the large run's FLOPs that the largest rung may have, where a recipe leaves it open: a thousandth, or more
/// where the run is too short for rungs that small.
const FRACTIONS: [f64; 7] = [1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1];
/// Budgets of a ladder whose fraction is open: sixteen times from the smallest rung to the largest.
const MIN_BUDGETS: usize = 5;
/// What the sweep multiplies the rule's learning rates with.
pub(crate) const SWEEP_FACTORS: [f64; 2] = [0.5, 2.0];

/// A run that has no room for small ones below it.
#[derive(Debug, thiserror::Error)]
#[error(
    "the ladder needs at least {MIN_CONFIGS} different runs below {below:.2e} FLOPs, found {n_configs} that are long enough\n\
     hint: give the run a larger budget or a smaller vocabulary, or the ladder a larger `max_fraction` (now {max_fraction})"
)]
pub(crate) struct TooSmall {
    below: f64,
    n_configs: usize,
    max_fraction: f64,
}

/// The rungs below `big`: budgets each half the one before, from `max_fraction` of the large run down; at each the best
/// width and its neighbours on the grid, with which the law can separate parameters from tokens; several seeds, so that their noise is known. Rungs above 1/100 of the run are made
/// once, those above 1/50 at the best width alone. Then the sweep on the smallest.
///
/// Where the recipe fixes the width, every rung is the large run's own model with its batches, in fewer steps.
///
/// # Errors
/// If the recipe fixes what must change along the ladder, or the large run is too small to have one.
pub(super) fn rungs(
    recipe: &Recipe,
    ladder: &LadderConfig,
    vocab_size: usize,
    big: &(ModelConfig, TrainSettings),
) -> anyhow::Result<Vec<Rung>> {
    ladder.validate()?;
    let is_one_model = recipe.model.d_model.is_some();
    for (name, is_fixed) in [
        ("train.steps", recipe.train.steps.is_some() && !is_one_model),
        ("train.batch_rows", recipe.train.batch_rows.is_some() && !is_one_model),
        ("train.warmup_steps", recipe.train.warmup_steps.is_some()),
        ("train.decay_steps", recipe.train.decay_steps.is_some()),
    ] {
        anyhow::ensure!(
            !is_fixed,
            "the ladder's runs are the recipe at smaller budgets, but `{name}` is fixed\n\
             hint: give [budget] `train_flops` or `minutes` and leave `{name}` to the rules{}",
            match name {
                "train.steps" | "train.batch_rows" => {
                    ", or fix `model.d_model` too: then all runs are the same model, in fewer steps"
                }
                _ => "",
            }
        );
    }
    let big_flops = flops(&big.0, &big.1);
    let ratio = recipe.train.tokens_per_param.unwrap_or(scaling::TOKENS_PER_PARAM);
    let design = Design { recipe, vocab_size, big, ratio, is_one_model };
    let max_fraction = match ladder.max_fraction {
        Some(fraction) => fraction,
        None => design.open_fraction(ladder, big_flops)?,
    };
    let mut rungs = Vec::new();
    for i in 0..ladder.n_budgets {
        let budget = max_fraction * big_flops / f64::from(1 << i);
        let n_neighbours = if budget <= DEAR * big_flops { ladder.n_neighbours } else { 0 };
        let n_seeds = if budget <= CHEAP * big_flops { ladder.seeds } else { 1 };
        for width in design.widths_at(budget, n_neighbours, ladder.ratio_span) {
            for seed in 0..n_seeds {
                rungs.extend(design.rung(budget, width, seed, None)?);
            }
        }
    }
    let configs: BTreeSet<_> = rungs
        .iter()
        .map(|rung| (rung.config.d_model, rung.settings.steps, rung.settings.batch_rows))
        .collect();
    let n_configs = configs.len();
    if n_configs < MIN_CONFIGS {
        return Err(TooSmall { below: max_fraction * big_flops, n_configs, max_fraction }.into());
    }
    if ladder.sweep.unwrap_or(max_fraction <= CHEAP) {
        let swept = sweep_bases(&rungs, ratio);
        for (budget, width) in swept {
            for seed in 0..ladder.seeds {
                for factor in SWEEP_FACTORS {
                    rungs.extend(design.rung(budget, width, seed, Some(factor))?);
                }
            }
        }
    }
    Ok(rungs)
}

/// Where the learning-rate rule is tested: the best width at the smallest budget, and the same width over about four times as
/// many steps, so that a rate which must change with the horizon shows.
fn sweep_bases(rungs: &[Rung], ratio: f64) -> Vec<(f64, usize)> {
    let least = rungs.iter().map(Rung::flops).fold(f64::INFINITY, f64::min);
    let ratio_off = |rung: &Rung| {
        let tokens = (rung.settings.steps * rung.settings.batch_tokens()) as f64;
        (tokens / rung.config.n_matrix_params() as f64 / ratio).ln().abs()
    };
    // A batch is whole rows: runs of one budget differ in compute by a step.
    let smallest = rungs.iter().filter(|rung| rung.flops() < 1.2 * least);
    let Some(base) = smallest.min_by(|a, b| ratio_off(a).total_cmp(&ratio_off(b))) else {
        return Vec::new();
    };
    let (steps, width) = (base.settings.steps as f64, base.config.d_model);
    let off = |rung: &Rung| (rung.settings.steps as f64 / steps / 4.0).ln().abs();
    let longer = rungs
        .iter()
        .filter(|rung| rung.config.d_model == width && rung.flops() > 1.5 * base.flops())
        .min_by(|a, b| off(a).total_cmp(&off(b)).then(a.flops().total_cmp(&b.flops())))
        .map(Rung::flops);
    std::iter::once((base.flops(), width)).chain(longer.map(|flops| (flops, width))).collect()
}

struct Design<'a> {
    recipe: &'a Recipe,
    vocab_size: usize,
    big: &'a (ModelConfig, TrainSettings),
    ratio: f64,
    /// Whether every rung is the large run's model with its batches.
    is_one_model: bool,
}

impl Design<'_> {
    /// The smallest of [`FRACTIONS`] at which every one of [`MIN_BUDGETS`] budgets has a rung; the largest if none has.
    fn open_fraction(&self, ladder: &LadderConfig, big_flops: f64) -> anyhow::Result<f64> {
        for fraction in FRACTIONS {
            let mut is_whole = true;
            for i in 0..MIN_BUDGETS.min(ladder.n_budgets) {
                let budget = fraction * big_flops / f64::from(1 << i);
                let best = self.widths_at(budget, 0, ladder.ratio_span);
                is_whole &= match best.first() {
                    Some(&width) => self.rung(budget, width, 0, None)?.is_some(),
                    None => false,
                };
            }
            if is_whole {
                return Ok(fraction);
            }
        }
        Ok(FRACTIONS[FRACTIONS.len() - 1])
    }

    /// The width nearest to the recipe's tokens for each parameter at this budget, and its neighbours.
    fn widths_at(&self, budget: f64, n_neighbours: usize, ratio_span: f64) -> Vec<usize> {
        if self.is_one_model {
            return vec![self.big.0.d_model];
        }
        let seq_len = self.big.1.seq_len;
        let off = |width: usize| {
            let config = self.recipe.model.config(self.vocab_size, seq_len, width);
            let tokens = budget / config.train_flops_per_token(seq_len);
            (tokens / config.n_matrix_params() as f64 / self.ratio).ln()
        };
        let widths: Vec<usize> = scaling::widths()
            .take_while(|width| *width <= self.big.0.d_model)
            .filter(|width| self.recipe.model.config(self.vocab_size, seq_len, *width).validate().is_ok())
            .collect();
        let Some(best) =
            (0..widths.len()).min_by(|a, b| off(widths[*a]).abs().total_cmp(&off(widths[*b]).abs()))
        else {
            return Vec::new();
        };
        let near = best.saturating_sub(n_neighbours)..=(best + n_neighbours).min(widths.len() - 1);
        near.filter(|i| *i == best || off(widths[*i]).abs() <= ratio_span.ln()).map(|i| widths[i]).collect()
    }

    /// The run at this budget and width; none if it would be too short.
    fn rung(
        &self,
        budget: f64,
        width: usize,
        seed: u64,
        lr_factor: Option<f64>,
    ) -> anyhow::Result<Option<Rung>> {
        let (recipe, big) = (self.recipe, &self.big.1);
        let vision = recipe.model.vision.clone().zip(self.big.0.vision.as_ref());
        // Which token stands for images was looked up in the vocabulary.
        let vision = vision.map(|(open, big)| VisionOverrides { image_token: Some(big.image_token), ..open });
        let model = scaling::ModelOverrides { d_model: Some(width), vision, ..recipe.model.clone() };
        let train = TrainOverrides {
            // What the losses are compared in must be the same: context, precision, validation text.
            seq_len: Some(big.seq_len),
            dtype: Some(big.dtype),
            final_eval_tokens: Some(big.final_eval_tokens),
            steps: None,
            batch_rows: self.is_one_model.then_some(big.batch_rows),
            eval_every_steps: Some(u64::MAX),
            checkpoint_every_steps: Some(u64::MAX),
            // A large rung takes hours too.
            checkpoint_every_minutes: recipe.train.checkpoint_every_minutes.or(Some(10.0)),
            ..recipe.train.clone()
        };
        // Seeds of their own: the large run's data order is not the rungs'.
        let seed = recipe.seed.wrapping_add(1000 + seed);
        let (config, mut settings) = train::plan(Some(budget), self.vocab_size, &model, &train, seed)?;
        let min_steps = if self.is_one_model { MIN_STEPS_OF_ONE_MODEL } else { MIN_STEPS };
        if settings.steps < min_steps {
            return Ok(None);
        }
        let factor = lr_factor.unwrap_or(1.0);
        let rates = &mut settings.learning_rates;
        for rate in [&mut rates.matrix, &mut rates.embedding, &mut rates.head, &mut rates.gain] {
            *rate *= factor;
        }
        let role = if lr_factor.is_some() { Role::Sweep } else { Role::Rung };
        let mut name = format!("w{width}-{:.1e}-s{seed}", flops(&config, &settings));
        if let Some(factor) = lr_factor {
            name.push_str(&format!("-lr{factor}"));
        }
        let pictures_per_step = recipe.data.pictures.as_ref().map(|pictures| {
            let share = settings.batch_tokens() as f64 / big.batch_tokens() as f64;
            (share * pictures.per_step as f64).round().max(1.0) as usize
        });
        Ok(Some(Rung { name, role, config, settings, lr_factor: factor, pictures_per_step }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(extra: &str) -> Recipe {
        let text = format!(
            "name = \"a\"\n{extra}\n[data]\nsources = [{{ path = \"x.txt\" }}]\n[tokenizer]\nkind = \"bytes\"\n"
        );
        toml::from_str(&text).unwrap()
    }

    fn design(recipe: &Recipe) -> anyhow::Result<Vec<Rung>> {
        let big = train::plan(recipe.budget.train_flops, 258, &recipe.model, &recipe.train, 1)?;
        rungs(recipe, &LadderConfig { max_fraction: Some(1e-3), ..LadderConfig::default() }, 258, &big)
    }

    #[test]
    fn no_rung_is_larger_than_a_thousandth_and_their_sum_is_small() {
        let recipe = recipe("[budget]\ntrain_flops = 4e14");
        let rungs = design(&recipe).unwrap();
        let total: f64 = rungs.iter().map(Rung::flops).sum();
        // A batch is whole rows, so a run's FLOPs are its budget only to within a step.
        assert!(rungs.iter().all(|rung| rung.flops() <= 4e14 / 990.0));
        assert!(total < 0.05 * 4e14, "{:.3}", total / 4e14);
        let widths: BTreeSet<_> = rungs.iter().map(|rung| rung.config.d_model).collect();
        assert!(widths.len() >= 3, "{widths:?}");
        let names: BTreeSet<_> = rungs.iter().map(|rung| &rung.name).collect();
        assert_eq!(names.len(), rungs.len(), "every rung has a file of its own");
        assert!(rungs.iter().any(|rung| rung.role == Role::Sweep));
    }

    #[test]
    fn a_wide_ladder_strays_from_the_best_shape_and_a_narrow_one_keeps_it() {
        let recipe = recipe("[budget]\ntrain_flops = 4e14");
        let big = train::plan(recipe.budget.train_flops, 258, &recipe.model, &recipe.train, 1).unwrap();
        let widths = |n_neighbours, ratio_span| {
            let config = LadderConfig {
                max_fraction: Some(1e-3),
                n_neighbours,
                ratio_span,
                seeds: 1,
                ..LadderConfig::default()
            };
            let rungs = rungs(&recipe, &config, 258, &big).unwrap();
            let most = rungs.iter().map(Rung::flops).fold(0.0, f64::max);
            let top = rungs.iter().filter(|r| r.role == Role::Rung && r.flops() > 0.9 * most);
            (top.map(|r| r.config.d_model).collect::<BTreeSet<_>>(), rungs)
        };
        let (wide, rungs) = widths(8, 64.0);
        assert!(wide.len() >= 5, "{wide:?}");
        assert_eq!(widths(8, 1.0).0.len(), 1, "the best width stays, however far off its ratio");
        // The longer half of the sweep has four times the steps of the shorter, to within a rung.
        let mut steps: Vec<u64> =
            rungs.iter().filter(|r| r.role == Role::Sweep).map(|r| r.settings.steps).collect();
        steps.sort_unstable();
        let ratio = steps[steps.len() - 1] as f64 / steps[0] as f64;
        assert!((2.0..8.0).contains(&ratio), "{steps:?}");
    }

    /// Vocabulary and largest rung by the rules, over budgets from a minute to years on two cores.
    #[test]
    fn an_open_ladder_has_rungs_enough_at_every_budget() {
        let ladder = LadderConfig::default();
        let mut fractions = Vec::new();
        for exponent in 0..14 {
            let flops = 1e13 * 10f64.powf(f64::from(exponent) / 2.0);
            let recipe = recipe(&format!("[budget]\ntrain_flops = {flops:e}"));
            let vocab_size = scaling::vocab_size(flops, 1e9);
            let big = train::plan(Some(flops), vocab_size, &recipe.model, &recipe.train, 1).unwrap();
            let rungs = rungs(&recipe, &ladder, vocab_size, &big).unwrap();
            let largest = rungs.iter().map(Rung::flops).fold(0.0, f64::max);
            let smallest = rungs.iter().map(Rung::flops).fold(f64::INFINITY, f64::min);
            assert!(largest / smallest > 12.0, "{flops:e}: {smallest:e} to {largest:e}");
            assert!(largest <= 0.11 * flops, "{flops:e}: {largest:e}");
            fractions.push(largest / flops);
        }
        assert!(fractions[0] > 0.02 && fractions[13] < 1.1e-3, "{fractions:?}");
    }

    #[test]
    fn what_must_change_along_the_ladder_may_not_be_fixed() {
        let recipe = recipe("[budget]\ntrain_flops = 4e14\n[train]\nbatch_rows = 8");
        let error = design(&recipe).unwrap_err().to_string();
        assert!(error.contains("`train.batch_rows` is fixed\nhint: "), "{error}");
    }

    #[test]
    fn a_fixed_width_makes_a_ladder_of_shorter_runs_of_the_same_model() {
        let recipe = recipe(
            "[model]\nd_model = 32\n[model.vision]\nimage_size = 32\n[train]\nsteps = 3200\nbatch_rows = 4\n\
             [data.pictures]\nper_step = 24",
        );
        let big = train::plan(None, 258, &recipe.model, &recipe.train, 1).unwrap();
        let ladder = LadderConfig { max_fraction: Some(0.25), ..LadderConfig::default() };
        let rungs = rungs(&recipe, &ladder, 258, &big).unwrap();
        let steps: Vec<u64> = rungs.iter().map(|rung| rung.settings.steps).collect();
        assert_eq!(steps, [800, 400, 200, 100], "a sixth budget would have no room for warmup and decay");
        for rung in &rungs {
            assert_eq!(rung.config, big.0);
            assert_eq!((rung.settings.batch_rows, rung.pictures_per_step), (4, Some(24)));
            assert_eq!(rung.settings.learning_rates, big.1.learning_rates);
            let pictures = recipe.data.pictures.as_ref();
            assert!(rung.flops_with(pictures) > 2.0 * rung.flops() && rung.flops_with(None) == rung.flops());
        }
    }

    #[test]
    fn every_rung_has_as_many_pictures_for_each_token_of_text_as_the_run() {
        let recipe = recipe("[budget]\ntrain_flops = 4e14\n[data.pictures]\nper_step = 640\n[model.vision]");
        let big = train::plan(recipe.budget.train_flops, 258, &recipe.model, &recipe.train, 1).unwrap();
        let rungs = design(&recipe).unwrap();
        let per_token = |n: usize, settings: &TrainSettings| n as f64 / settings.batch_tokens() as f64;
        let expected = per_token(640, &big.1);
        let batches: BTreeSet<usize> = rungs.iter().map(|rung| rung.settings.batch_rows).collect();
        assert!(batches.len() > 1 && !batches.contains(&big.1.batch_rows), "{batches:?}");
        for rung in &rungs {
            let found = per_token(rung.pictures_per_step.unwrap(), &rung.settings);
            assert!((found / expected - 1.0).abs() < 0.1, "{}: {found} of {expected}", rung.name);
        }
    }

    #[test]
    fn a_run_too_small_for_a_ladder_is_told_so() {
        let error = design(&recipe("[budget]\ntrain_flops = 1e11")).unwrap_err().to_string();
        assert!(error.contains("needs at least 4 different runs") && error.contains("\nhint: "), "{error}");
    }
}
