//! The stages that the command line knows.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::{
    pipeline::{
        ExplainAnswers, PrepareData, Pretrain, Run, SealForecast, Stage, TrainLadder, TrainTokenizer,
        WriteSamples,
    },
    progress,
    recipe::Recipe,
    report,
};

/// A stage, as the command line hands it on.
pub(super) type StageRef = &'static dyn Stage;

/// All stages, in their order.
const ALL: [StageRef; 8] = [
    &TrainTokenizer,
    &PrepareData,
    &TrainLadder,
    &SealForecast { is_optional: false },
    &Pretrain,
    &WriteSamples,
    &ExplainAnswers,
    &WriteReport,
];

/// The stages of a recipe from end to end.
pub(super) fn of(recipe: &Recipe) -> Vec<StageRef> {
    let forecast = recipe.ladder.is_some().then_some(&SealForecast { is_optional: true } as StageRef);
    let before: [StageRef; 2] = [&TrainTokenizer, &PrepareData];
    let after: [StageRef; 2] = [&Pretrain, &WriteSamples];
    let explain = recipe.data.pictures.is_some().then_some(&ExplainAnswers as StageRef);
    let report = [&WriteReport as StageRef];
    before.into_iter().chain(forecast).chain(after).chain(explain).chain(report).collect()
}

/// The named stages in their order. A forecast trains its own ladder.
pub(super) fn named(names: &[String]) -> Vec<StageRef> {
    let has = |name: &str| names.iter().any(|there| there == name);
    let is_ladder_of_forecast = |stage: &StageRef| stage.name() == TrainLadder.name() && has("forecast");
    ALL.into_iter().filter(|stage| has(stage.name()) && !is_ladder_of_forecast(stage)).collect()
}

/// Reads the name of a stage.
pub(super) fn parser() -> impl TypedValueParser {
    PossibleValuesParser::new(ALL.map(|stage| PossibleValue::new(stage.name()).help(stage.about())))
}

/// Builds the page from the files of the run alone.
#[derive(Debug)]
struct WriteReport;

impl Stage for WriteReport {
    fn name(&self) -> &'static str {
        "report"
    }

    fn about(&self) -> &'static str {
        "Build the report"
    }

    fn inputs(&self, run: &Run) -> anyhow::Result<String> {
        // It shows what the last stage left, and is built again each time.
        WriteSamples.inputs(run)
    }

    fn run(&self, run: &Run) -> anyhow::Result<()> {
        progress::say("report", &report::write(run.dir())?.display().to_string());
        Ok(())
    }
}
