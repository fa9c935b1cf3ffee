//! `maquette grpo`

use std::path::PathBuf;

use align::policy::Method;

use super::policy::{self, PolicyOptions};

/// Learn from rewards that can be checked: group-relative policy optimisation
///
/// Several answers to each prompt are compared with each other; there is no value head.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of a fine-tuned model, of a checkpoint, or of a run
    base: PathBuf,
    /// Answers to each prompt
    #[arg(long, value_name = "N", default_value_t = 8)]
    group: usize,
    /// Divide advantages by the standard deviation of their group; the optimum is another then
    #[arg(long)]
    normalise: bool,
    #[command(flatten)]
    options: PolicyOptions,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let method = Method::Grpo { group: args.group, normalise: args.normalise };
    policy::run("grpo", &args.base, &args.options, method)
}
