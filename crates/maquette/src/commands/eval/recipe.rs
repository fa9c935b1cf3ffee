//! A file with benchmarks and their settings.

use std::{fs, path::Path};

use anyhow::Context as _;
use serde::Deserialize;

use super::{
    Args,
    benchmark::{self, Asked},
    chosen::chosen,
};

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    /// Heading of the page.
    title: String,
    #[serde(rename = "benchmark")]
    benchmarks: Vec<Benchmarks>,
}

/// Benchmarks with the same settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Benchmarks {
    tasks: Vec<String>,
    shots: Option<usize>,
    limit: Option<usize>,
    max_tokens: Option<usize>,
}

/// Scores every benchmark of a recipe whose data are there, and writes the page.
pub(super) fn run(args: &Args, path: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(path).with_context(|| {
        format!("cannot read `{}`\nhint: give a file such as recipes/exams.toml", path.display())
    })?;
    let recipe: Recipe = toml::from_str(&text).map_err(|error| {
        anyhow::anyhow!(
            "expected benchmarks in `{}`, found {error}\nhint: compare recipes/exams.toml",
            path.display()
        )
    })?;
    let mut asked = Vec::new();
    for benchmarks in &recipe.benchmarks {
        let Benchmarks { tasks, shots, limit, max_tokens } = benchmarks;
        anyhow::ensure!(
            *limit != Some(0),
            "`limit` must be at least 1 in `{}`, found 0\nhint: leave it out for all items",
            path.display()
        );
        for task in chosen(tasks).with_context(|| format!("in `{}`", path.display()))? {
            let is_again = |other: &Asked| other.task.name == task.name && other.shots == *shots;
            anyhow::ensure!(
                !asked.iter().any(is_again),
                "expected each benchmark once in `{}`, found `{}` twice\nhint: remove one, or give it other shots",
                path.display(),
                task.name
            );
            // The caller may ask for less than the recipe.
            let least = |own: Option<usize>, given: Option<usize>| own.into_iter().chain(given).min();
            asked.push(Asked {
                task,
                shots: *shots,
                limit: least(*limit, args.limit),
                max_tokens: least(*max_tokens, args.max_tokens),
            });
        }
    }
    benchmark::run_asked(args, asked)?;
    let out =
        args.out.as_deref().context("expected --out, found none\nhint: give a folder for the scores")?;
    let run = args.checkpoint.as_deref().filter(|path| crate::open_model::is_run(path));
    let page = crate::commands::scores::write_report(out, Some(&recipe.title), run)?;
    crate::output::talk(format_args!("report: {}", page.display()));
    Ok(())
}
