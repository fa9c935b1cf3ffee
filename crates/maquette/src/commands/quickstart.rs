//! `maquette quickstart`

use std::path::{Path, PathBuf};

use super::{RunOptions, align, eval, stages};
use crate::{output, recipe::Recipe};

/// Train a small GPT on the books that ship with the project: the default recipe
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Minutes of training on this machine
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// Then train a second model, which reads images, and ask it about pictures that it has never seen: five to twenty minutes
    /// more. Its folder is runs/eyes, or DIR-eyes beside --out; --set eyes.train.steps=500 changes its recipe,
    /// recipes/eyes.toml
    #[arg(long, conflicts_with = "json")]
    eyes: bool,
    /// Then teach it to chat on synthetic requests, and say what that did and cost: DIR/align
    #[arg(long, conflicts_with = "json")]
    align: bool,
    #[command(flatten)]
    options: RunOptions,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let (of_eyes, changes): (Vec<String>, Vec<String>) = args
        .options
        .changes(args.minutes)
        .into_iter()
        .partition(|change| change.starts_with(PREFIX) && args.eyes);
    // Before minutes are spent, so that a slip in it is reported at once.
    let of_eyes: Vec<String> = of_eyes.iter().map(|change| change[PREFIX.len()..].to_owned()).collect();
    let eyes = args.eyes.then(|| Recipe::eyes(&of_eyes)).transpose()?;
    let recipe = Recipe::quickstart(&changes)?;
    let stages = stages::of(&recipe);
    let run = args.options.out.clone().unwrap_or_else(|| Path::new("runs").join(&recipe.name));
    args.options.run_recipe(recipe, &stages)?;
    if args.align {
        align::run_usual(&run, &run.join("align"), args.options.threads)?;
    }
    eyes.map_or(Ok(()), |recipe| train_eyes(args, recipe))
}

/// Of changes of the second recipe.
const PREFIX: &str = "eyes.";

fn train_eyes(args: &Args, recipe: Recipe) -> anyhow::Result<()> {
    let stages = stages::of(&recipe);
    let beside = |out: &PathBuf| {
        let mut name = out.file_name().unwrap_or_default().to_os_string();
        name.push("-eyes");
        out.with_file_name(name)
    };
    let out = args.options.out.as_ref().map(beside);
    let folder = out.clone().unwrap_or_else(|| Path::new("runs").join(&recipe.name));
    let options = RunOptions { out, changes: Vec::new(), threads: args.options.threads, json: false };
    options.run_recipe(recipe, &stages)?;
    output::talk("\nquestions about pictures with faces, colours and contents that no training picture has:");
    eval::ask_about_pictures(&folder, args.options.threads)
}
