//! `maquette`: train, forecast, align, examine and serve GPT-4-style models.
//!
//! The only crate that knows argv and recipes. `commands/` has one file a subcommand, in the order of the
//! pipeline; `pipeline/` has the stages that they share; `report/` builds the page.
#![forbid(unsafe_code)]

mod commands;
mod machine;
mod pipeline;
mod progress;
mod recipe;
mod report;
mod stop;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match commands::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<stop::Interrupted>() => {
            eprintln!("{error}");
            ExitCode::from(130) // as shells report a Ctrl-C
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
