//! `maquette scores`

mod abstention;
mod calibration;
mod compare;
mod contamination;
mod exam;
mod folder;
mod grade;
mod report;

use clap::Subcommand;

pub(crate) use report::write as write_report;

/// What scores of `maquette eval` say: calibration, comparison, contamination, exams, grades
///
/// These read the items that `maquette eval --out DIR` wrote; no model is opened.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Calibration(calibration::Args),
    Abstention(abstention::Args),
    Compare(compare::Args),
    Contamination(contamination::Args),
    Exam(exam::Args),
    Grade(grade::Args),
    Report(report::Args),
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Calibration(args) => calibration::run(args),
        Command::Abstention(args) => abstention::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Contamination(args) => contamination::run(args),
        Command::Exam(args) => exam::run(args),
        Command::Grade(args) => grade::run(args),
        Command::Report(args) => report::run(args),
    }
}
