//! What `ppo` and `grpo` share: where problems and rewards come from, and the training.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::Duration,
};

use align::{
    OnRow, RewardModel,
    environment::{Calculator, Chat, Environment, Grid, Judge, Program, Prompts, Reverse, Side, Verify},
    policy::{KlTarget, Method, PolicyGradient, PolicySettings, Rewarder, RolloutSettings, VALUE, too_long},
    rbrm::{RbrmFile, RbrmJudge},
};
use anyhow::Context as _;
use clap::ValueEnum;
use data::Message;
use model::{Sampling, checkpoint};
use serde_json::json;
use tensor::Cpu;

use super::grader::GraderArgs;
use crate::{
    output, progress,
    tune::{Base, Made, Shown, TrainingOptions, Tuned, finished, steps, with_margin},
};

/// Peak learning rate of all weights where none is given.
const LEARNING_RATE: f64 = 1e-5;
/// Most sets of answers.
const MAX_ITERATIONS: u64 = 1_000_000;
/// Part of the prompts that is held out.
const HELD_OUT: f64 = 0.1;

/// Where problems and rewards come from, and how answers are drawn.
#[derive(Debug, clap::Args)]
pub(super) struct PolicyOptions {
    /// Prompts to answer: .jsonl or .json with `prompt` or `messages`, also .gz and .zst
    #[arg(long, value_name = "FILE", value_delimiter = ',', required_unless_present_any = ["env", "program"])]
    prompts: Vec<PathBuf>,
    /// Rule that rewards an answer to a prompt, by the field `answer` of its row, or by its `label`
    #[arg(long, value_enum, value_name = "RULE", requires = "prompts")]
    rule: Option<Rule>,
    /// Weight of the rule beside other rewards
    #[arg(long, value_name = "W", default_value_t = 1.0, requires = "rule")]
    rule_weight: f64,
    /// The grader of `--rule rbrm`, which `maquette rbrm` makes
    #[arg(long, value_name = "FILE", requires = "rule")]
    rbrm: Option<PathBuf>,
    #[command(flatten)]
    grader: GraderArgs,
    /// A reward model's folder, such as DIR/model of `maquette reward`
    #[arg(long, value_name = "DIR")]
    reward: Option<PathBuf>,
    /// Weight of the reward model's normalised score beside other rewards
    #[arg(long, value_name = "W", default_value_t = 1.0, requires = "reward")]
    reward_weight: f64,
    /// An environment that is built in
    #[arg(long, value_enum, value_name = "NAME", conflicts_with_all = ["prompts", "program"])]
    env: Option<BuiltIn>,
    /// A program that is the environment: JSON lines on its standard input and output
    #[arg(long, value_name = "COMMAND", conflicts_with = "prompts")]
    program: Option<String>,
    /// Seconds that the program may be silent
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, requires = "program")]
    env_timeout: f64,
    /// Sets of answers
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = super::positive::<u64>())]
    iterations: u64,
    /// Answers in each set
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = super::positive::<usize>())]
    rollouts: usize,
    /// How often each set is learned from
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = super::positive::<usize>())]
    policy_epochs: usize,
    /// How far the ratio of probabilities may go from 1
    #[arg(long, value_name = "E", default_value_t = 0.2)]
    clip: f64,
    /// Weight of the divergence from the model given: the optimum is that model times e^(reward/beta)
    #[arg(long, value_name = "B", default_value_t = 0.05)]
    beta: f64,
    /// Let beta follow this divergence, in nats an answer
    #[arg(long, value_name = "NATS")]
    kl_target: Option<f64>,
    /// Answers over which a beta that is off by all of the target is corrected
    #[arg(long, value_name = "N", default_value_t = 10_000.0, requires = "kl_target")]
    kl_horizon: f64,
    /// End where the divergence is above this, in nats an answer
    #[arg(long, value_name = "NATS")]
    max_kl: Option<f64>,
    /// Taken from the reward of an answer that was cut at its longest length
    #[arg(long, value_name = "R", default_value_t = 0.0)]
    cut_penalty: f64,
    /// Most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = super::positive::<usize>())]
    max_tokens: usize,
    /// Most answers in one dialogue with an environment
    #[arg(long, value_name = "N", default_value_t = 16)]
    max_turns: usize,
    /// Divides logits when answers are drawn
    #[arg(long, value_name = "T", default_value_t = 1.0)]
    temperature: f64,
    /// Draw from the K most likely tokens alone; 0 draws from all
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: usize,
    /// Draw from the fewest tokens whose probabilities sum to P
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f64,
    /// Draw from tokens at least P times as likely as the most likely
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    min_p: f64,
    /// Make tokens that were seen less likely
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    repetition_penalty: f64,
    /// Problems that are answered in a validation
    #[arg(long, value_name = "N", default_value_t = 64)]
    n_held_out: usize,
    /// Answers that are decoded at a time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = super::positive::<usize>())]
    parallel: usize,
    /// Leave rows out that cannot be read, and count them
    #[arg(long)]
    skip_bad_rows: bool,
    #[command(flatten)]
    training: TrainingOptions,
}

/// Rules that compare with the field `answer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Rule {
    /// Equal, but for white space around it
    Exact,
    /// Contains it
    Contains,
    /// The last whole number is the same
    Number,
    /// Propositions about the answer, weighted by what the prompt's `label` asks for
    Rbrm,
}

/// Environments that are built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum BuiltIn {
    /// Write a word backwards
    Reverse,
    /// Compute with a calculator
    Calculator,
    /// Walk to a goal on a grid
    Grid,
}

impl BuiltIn {
    pub(super) fn environment(self) -> Box<dyn Environment> {
        match self {
            Self::Reverse => Box::new(Reverse),
            Self::Calculator => Box::new(Calculator),
            Self::Grid => Box::new(Grid),
        }
    }
}

impl PolicyOptions {
    /// The environment, and what it is called in the folder.
    fn environment(
        &self,
        base: &Base,
        seq_len: usize,
        kernels: &Arc<Cpu>,
    ) -> anyhow::Result<(Box<dyn Environment>, String)> {
        if let Some(command) = &self.program {
            anyhow::ensure!(
                self.env_timeout > 0.0 && self.env_timeout <= 86_400.0,
                "--env-timeout must be above 0 and at most 86,400, found {}\nhint: leave it out for the default",
                self.env_timeout
            );
            let program = Program::start(command, Duration::from_secs_f64(self.env_timeout))?;
            return Ok((Box::new(program), format!("program: {command}")));
        }
        if let Some(env) = self.env {
            let environment = env.environment();
            let asked = environment.begin(Side::Training, 0)?.messages();
            let n_tokens = base.template.encode(&base.tokenizer, &asked, true)?.len();
            anyhow::ensure!(
                n_tokens < seq_len,
                "expected room for an answer to `{}`, whose first question has {n_tokens} tokens, found --seq-len {seq_len}\nhint: give a longer --seq-len, or a model that reads more",
                environment.name()
            );
            let name = environment.name().to_owned();
            return Ok((environment, name));
        }
        anyhow::ensure!(
            self.rule.is_some() || self.reward.is_some(),
            "expected something that rewards answers, found neither --reward nor --rule\nhint: `maquette reward` makes a reward model; --rule compares with the field `answer`"
        );
        let rule = self.rule.map(|rule| self.judge(rule, kernels)).transpose()?;
        let named = rule
            .as_ref()
            .map_or_else(|| "none".into(), |rule| format!("{} × {}", rule.name(), self.rule_weight));
        let grader = self.rbrm.as_ref().map(|file| checkpoint::sha256_of(file)).transpose()?;
        let named = grader.map_or(named.clone(), |grader| format!("{named}, grader {grader}"));
        let judges: Vec<(f64, Box<dyn Judge>)> =
            rule.map(|rule| (self.rule_weight, rule)).into_iter().collect();
        let on_row = if self.skip_bad_rows { OnRow::Skip } else { OnRow::Refuse };
        let is_too_long = |messages: &[Message]| {
            let n_tokens = base.template.encode(&base.tokenizer, messages, true)?.len();
            Ok((n_tokens >= seq_len).then(|| too_long(seq_len)))
        };
        let seed = self.training.seed;
        let (prompts, dropped) = Prompts::read(&self.prompts, judges, HELD_OUT, seed, on_row, is_too_long)?;
        let left_out = if dropped.0.is_empty() { String::new() } else { format!("; left out: {dropped}") };
        progress::say(
            "prompts",
            &format!("{}, {} held out{left_out}", prompts.len(Side::Training), prompts.len(Side::HeldOut)),
        );
        let name = format!("prompts {:016x}, rule {named}", prompts.fingerprint());
        Ok((Box::new(prompts), name))
    }

    fn judge(&self, rule: Rule, kernels: &Arc<Cpu>) -> anyhow::Result<Box<dyn Judge>> {
        let path = match (rule, &self.rbrm) {
            (Rule::Exact, _) => return Ok(Box::new(Verify::Exact)),
            (Rule::Contains, _) => return Ok(Box::new(Verify::Contains)),
            (Rule::Number, _) => return Ok(Box::new(Verify::Number)),
            (Rule::Rbrm, file) => file.as_ref(),
        };
        let path = path.context("expected a grader for --rule rbrm, found none\nhint: name one with --rbrm; `maquette rbrm` makes it")?;
        let file = RbrmFile::read(path)?;
        let grader = self.grader.reopen(&file.grader, file.questions.as_ref(), kernels);
        let grader = grader.with_context(|| format!("the grader of `{}`", path.display()))?;
        let judge = RbrmJudge::new(file, grader).map_err(|found| {
            anyhow::anyhow!(
                "expected the grader that `{}` was validated with, found {found}\nhint: put it back, or validate this one with `maquette rbrm`",
                path.display()
            )
        })?;
        Ok(Box::new(judge))
    }

    fn policy(&self, method: Method, stop: Vec<u32>) -> PolicySettings {
        let &Self { temperature, top_k, top_p, min_p, repetition_penalty, .. } = self;
        PolicySettings {
            method,
            rollout: RolloutSettings {
                sampling: Sampling { repetition_penalty, temperature, top_k, top_p, min_p },
                max_new_tokens: self.max_tokens,
                max_turns: self.max_turns,
                stop,
                n_parallel: self.parallel,
            },
            n_rollouts: self.rollouts,
            n_epochs: self.policy_epochs,
            clip: self.clip,
            beta: self.beta,
            kl_target: self.kl_target.map(|kl| KlTarget { kl, horizon: self.kl_horizon }),
            max_kl: self.max_kl,
            cut_penalty: self.cut_penalty,
            n_held_out: self.n_held_out,
        }
    }
}

/// Trains with a method.
pub(super) fn run(
    title: &'static str,
    base: &std::path::Path,
    options: &PolicyOptions,
    method: Method,
) -> anyhow::Result<()> {
    let training = &options.training;
    training.check()?;
    for (option, weight) in [("rule", options.rule_weight), ("reward", options.reward_weight)] {
        anyhow::ensure!(
            weight.is_finite(),
            "--{option}-weight must be a finite number, found {weight}\nhint: leave it out for 1"
        );
    }
    let base = Base::open(base)?;
    let policy = options.policy(method, base.tokenizer.stops());
    policy.rollout.sampling.validate()?;
    policy.validate(training.batch)?;
    let steps_each = policy.steps_per_iteration(training.batch) as u64;
    anyhow::ensure!(
        options.iterations <= MAX_ITERATIONS,
        "--iterations must be at most 1,000,000, found {}\nhint: leave it out for the default",
        options.iterations
    );
    let seq_len = training.seq_len(&base)?;
    let settings =
        training.settings(&base, seq_len, (options.iterations * steps_each).max(1), LEARNING_RATE)?;
    let rewarder = match &options.reward {
        Some(dir) => Some(Rewarder { model: RewardModel::open(dir)?, weight: options.reward_weight }),
        None => None,
    };
    let reward_weights = options
        .reward
        .as_ref()
        .map(|dir| checkpoint::sha256_of(&dir.join("model.safetensors")))
        .transpose()?;
    let kernels = Arc::new(Cpu::new(training.threads));
    let (environment, named) = options.environment(&base, seq_len, &kernels)?;
    let mut tuning = training.tuning();
    if matches!(method, Method::Ppo { .. }) {
        tuning.heads.insert(VALUE.into(), 1);
    }
    let reference = checkpoint::read_model(&base.dir)?.with_dtype(settings.dtype.into());
    let named = format!(
        "{named}; reward model {} × {}",
        reward_weights.as_deref().unwrap_or("none"),
        options.reward_weight
    );
    let chat = Chat::new(environment, base.template.clone(), base.tokenizer.clone());
    let objective =
        PolicyGradient::new(Box::new(chat), rewarder, reference, policy.clone(), &settings, &named)?;
    let left_out = objective.left_out();
    let objective = training.replay.beside(Box::new(objective), &base, &settings)?;
    let made = Made {
        method: title.into(),
        base_weights: base.weights.clone(),
        data: objective.fingerprint().to_owned(),
        train: settings,
        tuning,
        settings: json!({ "environment": named, "policy": policy }),
    };
    let folder = Tuned::open(&training.out, &made)?;
    let shown = Shown { title, validated: "held-out reward", sign: -1.0 };
    let (trainer, summary) = steps(shown, &folder, &made, &base, objective, &kernels)?;
    let validation = summary.validation;
    let finished = finished(&folder, &made, &base, &trainer, summary)?;
    let left_out = left_out.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if !left_out.0.is_empty() {
        progress::say("left out", &format!("answers that could not be learned from: {left_out}"));
    }
    if training.json {
        return output::json(&json!({
            "left_out": left_out.0,
            "model": finished.model,
            "held_out_reward": -validation.loss_nats,
            "held_out_reward_stderr": (validation.n_tokens > 1).then_some(validation.loss_stderr),
            "summary": finished.summary,
        }));
    }
    output::words(format_args!(
        "held-out reward: {} (95 %, {} problems)",
        with_margin(&validation, -1.0),
        validation.n_tokens
    ))?;
    output::words(format_args!("model: {}", finished.model.display()))?;
    super::next::after_import(&finished.model);
    Ok(())
}
