//! `maquette ppo`

use std::path::PathBuf;

use align::policy::Method;

use super::policy::{self, PolicyOptions};

/// Learn from rewards: proximal policy optimisation
///
/// The model answers prompts, or talks to an environment; what was rewarded gets more likely. A value head says what was to be
/// expected. The reward is that of a reward model, of a rule, of an environment, or their sum, less a divergence from the model
/// given for each token.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of a fine-tuned model, of a checkpoint, or of a run
    base: PathBuf,
    /// Discount of later rewards
    #[arg(long, value_name = "G", default_value_t = 1.0)]
    gamma: f64,
    /// Between looking one step ahead, 0, and to the end, 1, when advantages are estimated
    #[arg(long, value_name = "L", default_value_t = 0.95)]
    lambda: f64,
    /// How far a value may move from what it was
    #[arg(long, value_name = "E", default_value_t = 0.2)]
    clip_value: f64,
    /// Weight of the value loss beside the policy's
    #[arg(long, value_name = "W", default_value_t = 0.1)]
    value_weight: f64,
    /// Leave advantages as they are, instead of shifting and scaling them to mean 0 and standard deviation 1
    #[arg(long)]
    no_whitening: bool,
    #[command(flatten)]
    options: PolicyOptions,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let &Args { gamma, lambda, clip_value, value_weight, no_whitening, .. } = args;
    let method = Method::Ppo { gamma, lambda, clip_value, value_weight, whiten: !no_whitening };
    policy::run("ppo", &args.base, &args.options, method)
}
