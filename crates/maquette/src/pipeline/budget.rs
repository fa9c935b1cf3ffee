//! Minutes on this machine as FLOPs.

use std::{sync::Arc, time::Instant};

use base::Rng;
use data::pictures::PicturesConfig;
use model::{Gpt, ModelConfig, Tokens};
use tensor::Kernels;
use train::{Learner, MicroBatch, TrainOverrides, TrainSettings, Update};

use crate::{
    machine,
    progress::{self, duration},
    recipe::Recipe,
};

/// FLOP/s that the first guess of a model's size is made with; measured once and measured again on that size.
const FIRST_GUESS: f64 = 1e11;
/// Seconds of measuring, and the most of the budget that it may take.
const MEASURE_S: f64 = 2.0;
const MOST_MEASURING: f64 = 0.04;
/// The most of the budget that validations take, where the recipe leaves them open.
const MOST_VALIDATING: f64 = 0.15;
/// Fewest tokens of a validation on the way: fewer say little.
const FEWEST_EVAL_TOKENS: f64 = 4096.0;
/// A validation computes the forward pass alone: a third of training's FLOPs.
const VALIDATION_COST: f64 = 1.0 / 3.0;
/// Tokens of a question about a picture and its answer, about.
const QUESTION_TOKENS: usize = 32;
/// Bytes of a checkpoint that are written, hashed and flushed a second: a common disk. What a slow one takes beyond that
/// is not foreseen.
const SAVED_BYTES_PER_SECOND: f64 = 3e8;

/// What a budget of minutes comes to.
pub(super) struct Afforded {
    pub(super) train_flops: f64,
    /// The recipe's own, with validations that fit.
    pub(super) train: TrainOverrides,
}

/// What fits into `minutes` here, counted from `began`: measuring, training, validations and checkpoints together.
///
/// The speed is measured on steps of a model about as large.
pub(super) fn within_minutes(
    recipe: &Recipe,
    kernels: &Arc<dyn Kernels>,
    vocab_size: usize,
    minutes: f64,
    began: Instant,
    n_validation_tokens: u64,
) -> anyhow::Result<Afforded> {
    let total_s = 60.0 * minutes;
    let plan = |flops: f64, train: &TrainOverrides| {
        train::plan(Some(flops), vocab_size, &recipe.model, train, recipe.seed)
    };
    let speed = measured_speed(recipe, kernels, vocab_size, total_s)?;
    // Measuring a large model may take long; half of the budget is for training whatever comes.
    let left_s = (total_s - began.elapsed().as_secs_f64()).max(0.5 * total_s);
    let is_continued = recipe.model.from.is_some();
    let cost = |config: &ModelConfig, settings: &TrainSettings| {
        Cost::of(config, settings, speed, is_continued, n_validation_tokens)
    };

    let (config, settings) = plan(speed * left_s, &recipe.train)?;
    let first = cost(&config, &settings);
    let is_open = recipe.train.eval_tokens.is_none() && recipe.train.final_eval_tokens.is_none();
    let most_validating_s = if is_open { MOST_VALIDATING * left_s } else { 0.5 * left_s };
    let other_s = first.validating_s.min(most_validating_s) + first.saving_s;
    let training_s = (left_s - other_s).max(0.3 * left_s);
    let pictures = recipe.data.pictures.as_ref();
    let per_step = pictures.map_or(0, |pictures| pictures.per_step);
    let train_flops = three_digits(speed * training_s * text_share(pictures, per_step, &config, &settings));
    let mut train = recipe.train.clone();
    let (config, settings) = plan(train_flops, &train)?;
    if cost(&config, &settings).validating_s > most_validating_s {
        let token_s = config.train_flops_per_token(settings.seq_len) / speed;
        fit_validations(&mut train, &settings, most_validating_s / (VALIDATION_COST * token_s), is_continued);
    }
    let (config, settings) = plan(train_flops, &train)?;
    let last = cost(&config, &settings);
    progress::say(
        "budget",
        &format!(
            "{}: about {} of training, {} of validations and checkpoints",
            duration(total_s),
            duration(training_s),
            duration(last.validating_s + last.saving_s)
        ),
    );
    Ok(Afforded { train_flops, train })
}

/// The part of a step's work that its text is, beside `per_step` documents of pictures: budgets in FLOPs count that alone.
pub(super) fn text_share(
    pictures: Option<&PicturesConfig>,
    per_step: usize,
    config: &ModelConfig,
    settings: &TrainSettings,
) -> f64 {
    let (Some(pictures), Some(vision)) = (pictures, &config.vision) else { return 1.0 };
    let token = config.train_flops_per_token(settings.seq_len);
    let n_images = pictures.mean_images();
    let n_tokens = n_images * vision.n_patches() as f64 + QUESTION_TOKENS as f64;
    let document = n_images * vision.train_flops_per_image(config.d_model) + n_tokens * token;
    let text = settings.batch_tokens() as f64 * token;
    text / (text + per_step as f64 * document)
}

/// About how many FLOPs `minutes` come to here, everything beside the training left out.
pub(super) fn measured_flops(
    recipe: &Recipe,
    kernels: &Arc<dyn Kernels>,
    vocab_size: usize,
    minutes: f64,
) -> anyhow::Result<f64> {
    let seconds = 60.0 * minutes;
    Ok(three_digits(measured_speed(recipe, kernels, vocab_size, seconds)? * seconds))
}

/// FLOP/s of a model of the size that `seconds` of training give.
fn measured_speed(
    recipe: &Recipe,
    kernels: &Arc<dyn Kernels>,
    vocab_size: usize,
    seconds: f64,
) -> anyhow::Result<f64> {
    let measure_s = 0.5 * MEASURE_S.min(MOST_MEASURING * seconds);
    let (mut speed, mut measured) = (FIRST_GUESS, None);
    // The size decides the speed and the speed the size: two rounds settle it.
    for _ in 0..2 {
        let (config, settings) =
            train::plan(Some(speed * seconds), vocab_size, &recipe.model, &recipe.train, recipe.seed)?;
        machine::check_memory(&config, &settings)?;
        let shape = (config.clone(), settings.batch_rows, settings.seq_len);
        if measured.as_ref() == Some(&shape) {
            break;
        }
        speed = flops_per_second(&**kernels, &config, &settings, measure_s);
        measured = Some(shape);
    }
    Ok(speed)
}

/// Makes validations of at most `n_tokens` in all: half of them for the last one.
fn fit_validations(train: &mut TrainOverrides, settings: &TrainSettings, n_tokens: f64, is_continued: bool) {
    let row = settings.seq_len as f64;
    let last = (0.5 * n_tokens).clamp(row, (settings.final_eval_tokens as f64).max(row));
    train.final_eval_tokens.get_or_insert(last as u64);
    let n = n_validations(settings, is_continued) as f64;
    let fewest = FEWEST_EVAL_TOKENS.min(settings.eval_tokens as f64).max(row);
    let each = (0.5 * n_tokens / n.max(1.0)).min(settings.eval_tokens as f64).max(fewest);
    train.eval_tokens.get_or_insert(each as u64);
    // Too few tokens for so many: fewer of them.
    let n_afforded = (0.5 * n_tokens / each).floor().max(1.0);
    if n_afforded < n {
        train.eval_every_steps.get_or_insert(settings.steps.div_ceil(n_afforded as u64).max(1));
    }
}

/// Validations before the last: on the way, and of a model that is continued one before the first step.
fn n_validations(settings: &TrainSettings, is_continued: bool) -> u64 {
    settings.steps.saturating_sub(1) / settings.eval_every_steps + u64::from(is_continued)
}

/// Seconds that a run takes beside its steps.
struct Cost {
    validating_s: f64,
    saving_s: f64,
}

impl Cost {
    fn of(
        config: &ModelConfig,
        settings: &TrainSettings,
        speed: f64,
        is_continued: bool,
        n_validation_tokens: u64,
    ) -> Self {
        let token_s = VALIDATION_COST * config.train_flops_per_token(settings.seq_len) / speed;
        let tokens = |most: u64| most.min(n_validation_tokens) as f64;
        let n = n_validations(settings, is_continued) as f64;
        let validating_s = token_s * (n * tokens(settings.eval_tokens) + tokens(settings.final_eval_tokens));
        let save_s = train::checkpoint_bytes(config, settings.optimizer) as f64 / SAVED_BYTES_PER_SECOND;
        let n_saves = (settings.steps / settings.checkpoint_every_steps).max(1) as f64;
        let saving_s = match settings.checkpoint_every_minutes {
            None => n_saves * save_s,
            // The first and the last; those between take no more than a fiftieth of the time.
            Some(_) => {
                let steps_s = 3.0 * token_s * (settings.steps * settings.batch_tokens()) as f64;
                n_saves.min(2.0) * save_s + ((n_saves - 2.0).max(0.0) * save_s).min(0.02 * steps_s)
            }
        };
        Self { validating_s, saving_s }
    }
}

/// What is measured is not known better, and the recipe is easier to read.
fn three_digits(flops: f64) -> f64 {
    let unit = 10f64.powf(flops.log10().floor() - 2.0);
    (flops / unit).round() * unit
}

/// Training speed of a model of this shape on random tokens, from about `seconds` of rows and one update.
///
/// Rows and update are timed apart: whole steps of a large model would take minutes.
pub(super) fn flops_per_second(
    kernels: &dyn Kernels,
    config: &ModelConfig,
    settings: &TrainSettings,
    seconds: f64,
) -> f64 {
    let gpt = Gpt::new(config.clone(), 0)
        .with_dtype(settings.dtype.into())
        .with_recomputation(settings.recompute_activations);
    let mut learner = Learner::new(gpt, settings.optimizer);
    let mut rng = Rng::new(0, 0);
    let (most_rows, seq_len) = (settings.micro_batch_rows.min(settings.batch_rows), settings.seq_len);
    let ids: Vec<u32> =
        (0..most_rows * seq_len).map(|_| rng.below(config.vocab_size as u64) as u32).collect();
    let rows = |learner: &mut Learner, n: usize| {
        let (start, ids) = (Instant::now(), &ids[..n * seq_len]);
        let tokens = Tokens::packed(ids.to_vec(), vec![seq_len; n]);
        learner.add_gradients(kernels, &MicroBatch::new(tokens, ids.to_vec()), 1e-3);
        start.elapsed().as_secs_f64()
    };
    learner.clear_gradients();
    // As many rows at a time as a real step has, or as there is time for.
    let one_s = rows(&mut learner, 1);
    let n = ((seconds / one_s.max(1e-9)) as usize).clamp(1, most_rows);
    if n > 1 {
        rows(&mut learner, n); // the first pays for memory
    }
    let (mut rows_s, mut n_rows) = (0.0, 0);
    while n_rows == 0 || rows_s < seconds {
        rows_s += rows(&mut learner, n);
        n_rows += n;
    }
    let mut update = || {
        let start = Instant::now();
        let grad_norm = learner.grad_norm(kernels);
        learner.update(kernels, settings, grad_norm, Update { lr_fraction: 1e-6, step: 1 });
        start.elapsed().as_secs_f64()
    };
    let first_s = update();
    let update_s = if first_s < seconds { update() } else { first_s };
    let step_s = settings.batch_rows as f64 * rows_s / n_rows as f64 + update_s;
    (settings.batch_rows * seq_len) as f64 * config.train_flops_per_token(seq_len) / step_s
}

#[cfg(test)]
mod tests {
    use model::scaling::ModelOverrides;

    use super::*;

    /// Of a model whose encoder is as large as its text model, an image costs about as much again as its rows.
    #[test]
    fn pictures_take_their_part_of_the_minutes() {
        let vision = Some(model::eyes::VisionOverrides { n_layers: Some(2), ..Default::default() });
        let model = ModelOverrides { d_model: Some(64), n_layers: Some(2), vision, ..Default::default() };
        let rows =
            TrainOverrides { steps: Some(9), batch_rows: Some(8), seq_len: Some(96), ..Default::default() };
        let (config, settings) = train::plan(None, 512, &model, &rows, 1).unwrap();
        let share =
            |per_step: usize| text_share(Some(&PicturesConfig::default()), per_step, &config, &settings);
        // Eight rows of 96 tokens, and as many pictures of 64 rows and 32 tokens: the encoder is what is more.
        assert!((0.25..0.45).contains(&share(8)), "{}", share(8));
        assert!(share(1) > 0.75 && share(64) < 0.1, "{} {}", share(1), share(64));
        assert_eq!(text_share(None, 0, &config, &settings), 1.0);
    }

    #[test]
    fn validations_are_made_to_fit() {
        for steps in [1, 2, 7, 60, 600] {
            for n_tokens in [100.0, 5000.0, 20_000.0, 60_000.0, 1e9] {
                for is_continued in [false, true] {
                    let model = ModelOverrides { d_model: Some(64), ..Default::default() };
                    let train = TrainOverrides { steps: Some(steps), ..Default::default() };
                    let (_, settings) = train::plan(None, 512, &model, &train, 1).unwrap();
                    let mut fitted = train;
                    fit_validations(&mut fitted, &settings, n_tokens, is_continued);
                    let (_, settings) = train::plan(None, 512, &model, &fitted, 1).unwrap();
                    let way = n_validations(&settings, is_continued) * settings.eval_tokens;
                    // One of each there is always, of so many tokens at least.
                    let least = FEWEST_EVAL_TOKENS + settings.seq_len as f64;
                    let all = (way + settings.final_eval_tokens) as f64;
                    assert!(all <= n_tokens.max(least) + least, "{steps} steps: {all} of {n_tokens}");
                    assert!(settings.eval_tokens >= settings.seq_len as u64);
                }
            }
        }
    }

    #[test]
    fn what_a_recipe_fixes_is_not_cut() {
        let model = ModelOverrides { d_model: Some(64), ..Default::default() };
        let train = TrainOverrides {
            steps: Some(100),
            eval_tokens: Some(1 << 20),
            eval_every_steps: Some(3),
            final_eval_tokens: Some(1 << 22),
            ..Default::default()
        };
        let (_, settings) = train::plan(None, 512, &model, &train, 1).unwrap();
        let mut fitted = train.clone();
        fit_validations(&mut fitted, &settings, 10.0, true);
        assert_eq!(fitted, train);
    }
}
