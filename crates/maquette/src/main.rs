//! `maquette`: train GPT-4-style models, from raw text to a model that writes.
//!
//! The only crate that knows argv and recipes. `commands/` has one file a subcommand, in the order of the
//! pipeline; `pipeline/` has the stages that they share; `report/` builds the page; both know
//! the files of a run from `run_dir/` and nothing of each other.
#![forbid(unsafe_code)]

mod commands;
mod disk;
mod edits;
mod input_file;
mod machine;
mod open_model;
mod output;
mod output_file;
mod pipeline;
mod progress;
mod recipe;
mod report;
mod run_dir;
mod stop;
mod terminal;

use std::process::ExitCode;

fn main() -> ExitCode {
    match commands::Cli::read().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<output::Closed>() => ExitCode::SUCCESS,
        Err(error) if error.is::<stop::Interrupted>() => {
            output::talk(error);
            ExitCode::from(130) // as shells report a Ctrl-C
        }
        Err(error) => {
            output::talk(format_args!("error: {}", message(&error)));
            ExitCode::FAILURE
        }
    }
}

/// The causes in one sentence, outermost first, and then the outermost hint: what to do stands last and once.
fn message(error: &anyhow::Error) -> String {
    let (mut said, mut hint) = (String::new(), None);
    for cause in error.chain().map(ToString::to_string) {
        let (what, advice) = match cause.split_once("\nhint: ") {
            Some((what, advice)) => (what, Some(advice.to_owned())),
            None => (cause.as_str(), None),
        };
        // Messages that quote their source are followed by it.
        if !said.contains(what) {
            said.push_str(if said.is_empty() { "" } else { ": " });
            said.push_str(what);
        }
        hint = hint.or(advice);
    }
    hint.map_or_else(|| said.clone(), |hint| format!("{said}\nhint: {hint}"))
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    #[test]
    fn the_outermost_hint_stands_last_and_once() {
        let error = Err::<(), _>(std::io::Error::other("no space"))
            .context("cannot write `a`: no space\nhint: free some")
            .context("the stage failed\nhint: look below")
            .context("in `r.toml`")
            .unwrap_err();
        assert_eq!(
            super::message(&error),
            "in `r.toml`: the stage failed: cannot write `a`: no space\nhint: look below"
        );
        assert_eq!(super::message(&anyhow::anyhow!("alone")), "alone");
    }
}
