//! `maquette`: train GPT-style language models, from raw text to a model that generates text.
//!
//! The only crate that knows argv and recipes. Data pass through its modules in this order:
//!
//! - `commands/` has one file a subcommand; what is typed becomes a recipe and a list of stages;
//! - `recipe.rs` reads the recipe and checks it; a text without one is given one;
//! - `pipeline/` runs the stages: tokenizer, data, ladder, forecast, pretrain. A stage whose inputs are unchanged is kept;
//! - `run_dir/` owns the files of a run: for each, one type that writes and reads it;
//! - `report/` builds the page from these files alone.
//!
//! `pipeline/` and `report/` know the files of a run and nothing of each other. What people see goes through `output.rs`
//! (results on stdout, messages on stderr), `progress.rs` and `terminal.rs`; files that a user names for output are
//! `output_file.rs`'s.
#![forbid(unsafe_code)]

mod commands;
mod disk;
mod edits;
mod explanation;
mod feedback;
mod folder_lock;
mod heat_map;
mod image_files;
mod input_file;
mod item_files;
mod machine;
mod open_model;
mod output;
mod output_file;
mod own_folder;
mod pipeline;
mod progress;
mod recipe;
mod report;
mod run_dir;
mod safety;
mod stop;
mod terminal;
mod tune;
mod video_files;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else: the launcher of programs must have one thread.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == commands::eval::RUN_PROGRAM) {
        return eval::sandbox::launch(&arguments.collect::<Vec<_>>());
    }
    match commands::Cli::read().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<output::Closed>() => ExitCode::SUCCESS,
        Err(error) if stop::reason(&error).is_some() => {
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
