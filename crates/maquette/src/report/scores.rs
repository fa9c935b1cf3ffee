//! The page of an evaluation: scores in the manner of the GPT-4 report's tables 1 and 2 and figures 5 and 8.

use std::{borrow::Cow, collections::BTreeMap};

use eval::{Calibration, MetricSummary, Reliability};
use forecast::Prediction;
use maud::{Markup, html};

use super::{
    axis::Axis,
    number::{duration, grouped, scientific, significant},
    plot::{Mark, Plot, Point, Series},
    read::Source,
    scores_safety::{self, SafetyTask},
    shell::{self, Place, section},
    tables,
};

/// What the page shows; every number in it comes from `sources`.
pub(crate) struct ScoresPage {
    /// Its heading.
    pub(crate) name: String,
    pub(crate) tasks: Vec<TaskRow>,
    pub(crate) exams: Vec<ExamRow>,
    pub(crate) safety: Vec<SafetyTask>,
    /// The forecast of the run that the model comes from.
    pub(crate) sealed: Option<SealedLoss>,
    /// Of every task with choices together, if there are any.
    pub(crate) calibration: Option<Calibration>,
    /// Path and bytes of the files that were read.
    pub(crate) sources: Vec<(String, Vec<u8>)>,
}

/// A task, or a group of tasks.
pub(crate) struct TaskRow {
    pub(crate) task: String,
    /// What it asks for.
    pub(crate) about: String,
    pub(crate) shots: usize,
    pub(crate) n: usize,
    pub(crate) n_all: usize,
    /// The metric that is reported.
    pub(crate) metric: String,
    pub(crate) value: MetricSummary,
    /// What guessing reaches; none where it is unknown.
    pub(crate) chance: Option<f64>,
    /// Share of contaminated items and the value without them, where they were looked for.
    pub(crate) contamination: Option<(f64, Option<f64>)>,
    /// Tokens that the model read and wrote.
    pub(crate) n_tokens: u64,
    /// Time on the clock, where it was recorded for all items.
    pub(crate) seconds: Option<f64>,
    pub(crate) flops: Option<f64>,
    /// Items without an answer, by the reason.
    pub(crate) failures: BTreeMap<String, usize>,
    pub(crate) notes: Vec<String>,
}

/// An exam: `LSAT`, `150`, `143 to 155`, and for each population a percentile with its range.
pub(crate) struct ExamRow {
    pub(crate) title: String,
    pub(crate) score: String,
    pub(crate) range: String,
    /// Population, percentile, range, and the three as numbers.
    pub(crate) percentiles: Vec<(String, String, String, Option<[f64; 3]>)>,
    pub(crate) about: String,
}

/// A sealed forecast of the final loss, and the loss.
pub(crate) struct SealedLoss {
    pub(crate) seal: String,
    pub(crate) sealed_at: String,
    pub(crate) predicted: Prediction,
    pub(crate) actual: Option<f64>,
}

/// The whole page. Same scores, same page.
pub(crate) fn render(page: &ScoresPage) -> String {
    let sources: Vec<Source> = page.sources.iter().map(|(path, bytes)| Source::of(path, bytes)).collect();
    let n_items: usize = page.tasks.iter().map(|task| task.n).sum();
    let main = html! {
        header.title {
            p.kicker { "Maquette · evaluation" }
            h1 { (page.name) }
            p.lede { (grouped(n_items as u64)) " items of " (page.tasks.len()) " tasks." }
            nav {
                a href="#tasks" { "Tasks" }
                @if !page.exams.is_empty() { a href="#exams" { "Exams" } }
                @if !page.safety.is_empty() { a href="#safety" { "Safety" } }
                @if page.sealed.is_some() { a href="#forecast" { "Forecast" } }
                @if page.calibration.is_some() { a href="#calibration" { "Calibration" } }
                a href="#sources" { "Sources" }
            }
        }
        @if !page.exams.is_empty() { (section("exams", "Exams", &[], &exams(&page.exams))) }
        (section("tasks", "Tasks", &[], &tasks(&page.tasks)))
        @if !page.safety.is_empty() { (section("safety", "Safety", &[], &scores_safety::section(&page.safety))) }
        @if let Some(sealed) = &page.sealed { (section("forecast", "Forecast of the run", &[], &of_forecast(sealed))) }
        @if let Some(calibration) = &page.calibration {
            (section("calibration", "Calibration", &[], &of_calibration(calibration)))
        }
        (section("sources", "Sources", &[], &tables::sources(&sources)))
    };
    shell::page(&format!("{} · Maquette evaluation", page.name), Place::Anywhere, &main).into_string()
}

fn exams(rows: &[ExamRow]) -> Markup {
    html! {
        p.intro {
            "Scores on the exam's own scale, from the shares of right answers in its sections. A percentile depends on who is \
             compared with; ranges are those of the 95 % interval of the share."
        }
        div.scroll tabindex="0" role="region" aria-label="Exams" { table {
            thead { tr { th { "Exam" } th.n { "Score" } th.n { "95 % interval" } th.n { "Percentile" } th.n { "Range" } th { "Population" } } }
            tbody { @for row in rows { @for (i, (population, percentile, range, _)) in row.percentiles.iter().enumerate() { tr {
                @if i == 0 { td { (row.title) } td.n { (row.score) } td.n { (row.range) } }
                @else { td {} td {} td {} }
                td.n { (percentile) } td.n { (range) } td.wrap { (population) }
            } } } }
        } }
        div.plots { (by_percentile(rows).figure()) }
        @for row in rows { @if !row.about.is_empty() { p.from { (row.title) ": " (row.about) } } }
    }
}

pub(super) fn shown(metric: &str, x: f64) -> String {
    match metric {
        "likelihood_diff" => format!("{}\u{a0}nats", significant(x, 3)),
        _ if eval::is_share(metric) => format!("{:.1}\u{a0}%", 100.0 * x),
        _ => significant(x, 4),
    }
}

fn tasks(rows: &[TaskRow]) -> Markup {
    let has_contamination = rows.iter().any(|row| row.contamination.is_some());
    html! {
        p.intro {
            "Intervals hold the true value in 95 %: Wilson's for shares, Student's for other means. Cost is what the model read and wrote, the time on the clock, and the FLOPs \
             of its forward passes."
        }
        div.scroll tabindex="0" role="region" aria-label="Scores" { table {
            thead { tr {
                th.n { "No." } th { "Task" } th.n { "Shots" } th.n { "Items" } th { "Metric" } th.n { "Score" } th.n { "95 % interval" } th.n { "Chance" }
                @if has_contamination { th.n { "Contaminated" } th.n { "Clean items" } th.n { "Lower of both" } }
                th.n { "Tokens" } th.n { "Time" } th.n { "FLOPs" }
            } }
            tbody { @for (i, row) in rows.iter().enumerate() { tr {
                td.n { (i + 1) }
                td.wrap { (row.task) @if !row.about.is_empty() { p.from { (row.about) } } }
                td.n { (row.shots) }
                td.n { (grouped(row.n as u64)) @if row.n < row.n_all { " of " (grouped(row.n_all as u64)) } }
                td { (row.metric) }
                td.n { (shown(&row.metric, row.value.value)) }
                td.n { @if let Some((lo, hi)) = row.value.lo95.zip(row.value.hi95) {
                    (shown(&row.metric, lo)) " to " (shown(&row.metric, hi))
                } }
                td.n { @if let Some(chance) = row.chance { (shown(&row.metric, chance)) } }
                @if has_contamination {
                    @if let Some((share, clean)) = row.contamination {
                        td.n { (shown("acc", share)) }
                        td.n { @match clean { Some(clean) => (shown(&row.metric, clean)), None => "none" } }
                        td.n { (shown(&row.metric, clean.map_or(row.value.value, |clean| clean.min(row.value.value)))) }
                    } @else { td.n { "not looked for" } td {} td {} }
                }
                td.n { (grouped(row.n_tokens)) }
                td.n { @if let Some(seconds) = row.seconds { (duration(seconds)) } }
                td.n { @if let Some(flops) = row.flops { (scientific(flops)) } }
            } } }
        } }
        @for row in rows { @for note in &row.notes { p.from { (row.task) ": the data differ from the original: " (note) } } }
        @for row in rows { @for (reason, n) in &row.failures { p.from { (row.task) ": not scored: " (n) " items: " (reason) } } }
        div.plots { (by_task(rows).figure()) }
    }
}

/// In the manner of the GPT-4 report's figure 4: percentiles of exams with their ranges, from low to high.
fn by_percentile(rows: &[ExamRow]) -> Plot {
    let all = rows.iter().flat_map(|row| row.percentiles.iter().map(move |percentile| (row, percentile)));
    let mut points: Vec<(String, [f64; 3])> = all
        .filter_map(|(row, (population, _, _, numbers))| {
            Some((format!("{}, {population}", row.title), (*numbers)?))
        })
        .collect();
    points.sort_by(|a, b| a.1[0].total_cmp(&b.1[0]));
    let n = points.len() as f64;
    let point = |(i, (note, [at, low, high])): (usize, (String, [f64; 3]))| Point {
        x: i as f64 + 1.0,
        y: at,
        low,
        high,
        note: format!("{note}: {at:.0}"),
    };
    Plot {
        title: "Percentiles of exams".into(),
        caption: "From low to high, one for each exam and population of the table, with the range of the 95 % interval.".to_owned(),
        x: Axis::linear("exam and population, by percentile").over(0.5, n.max(1.0) + 0.5),
        y: Axis::linear("percentile").over(0.0, 100.0),
        series: vec![Series { label: "percentile".to_owned(), tone: 1, mark: Mark::Points(points.into_iter().enumerate().map(point).collect()) }],
        is_wide: true,
    }
}

fn of_forecast(sealed: &SealedLoss) -> Markup {
    let SealedLoss { seal, sealed_at, predicted, actual } = sealed;
    html! {
        p.intro {
            "The final loss of the run that the model comes from, as it was forecast before its first step; sealed " (sealed_at) "."
        }
        div.scroll tabindex="0" role="region" aria-label="Forecast" { table {
            thead { tr { th { "Quantity" } th.n { "Forecast" } th.n { "95 % interval" } th.n { "Result" } th { "Seal" } } }
            tbody { tr {
                td { "final loss" }
                td.n { (significant(predicted.median, 5)) }
                td.n { (significant(predicted.lo95, 5)) " to " (significant(predicted.hi95, 5)) }
                td.n { @match actual { Some(actual) => (significant(*actual, 5)), None => "none yet" } }
                td { (&seal[..seal.len().min(16)]) }
            } }
        } }
    }
}

/// In the manner of the GPT-4 report's figure 5: a row of points with their intervals, chance below them.
fn by_task(rows: &[TaskRow]) -> Plot {
    let shares = || rows.iter().enumerate().filter(|(_, row)| eval::is_share(&row.metric));
    let point = |(i, row): (usize, &TaskRow)| Point {
        x: i as f64 + 1.0,
        y: row.value.value,
        low: row.value.lo95.unwrap_or(f64::NAN),
        high: row.value.hi95.unwrap_or(f64::NAN),
        note: format!("{}: {}", row.task, shown(&row.metric, row.value.value)),
    };
    let chance = |(i, row): (usize, &TaskRow)| {
        let y = row.chance?;
        let note = format!("{}: chance {}", row.task, shown("acc", y));
        Some(Point { x: i as f64 + 1.0, y, low: f64::NAN, high: f64::NAN, note })
    };
    let n = rows.len() as f64;
    Plot {
        title: "Scores by task".into(),
        caption: "By the number in the table, with 95 % intervals; rings are what guessing reaches."
            .to_owned(),
        x: Axis::linear("number of the task").over(0.5, n.max(1.0) + 0.5),
        y: Axis::linear("share of right answers").over(0.0, 1.0),
        series: vec![
            Series {
                label: "chance".to_owned(),
                tone: 5,
                mark: Mark::Rings(shares().filter_map(chance).collect()),
            },
            Series { label: "score".to_owned(), tone: 1, mark: Mark::Points(shares().map(point).collect()) },
        ],
        is_wide: true,
    }
}

fn of_calibration(calibration: &Calibration) -> Markup {
    let (every, top) = (&calibration.all_choices, &calibration.top_choice);
    html! {
        p.intro {
            "Over " (grouped(calibration.n_items as u64)) " items with choices. The expected calibration error of every choice is "
            strong { (error(every)) } ", of the most likely choice " strong { (error(top)) }
            ", what chance adds taken off. Brier score " (significant(calibration.brier, 3)) "."
        }
        div.plots {
            (reliability_plot("Every choice of every question", every).figure())
            (reliability_plot("The most likely choice", top).figure())
        }
    }
}

fn error(error: &Reliability) -> String {
    let interval = error.lo95.zip(error.hi95);
    let interval = interval.map(|(lo, hi)| format!(" ({} to {})", significant(lo, 2), significant(hi, 2)));
    significant(error.ece_debiased, 2) + &interval.unwrap_or_default()
}

/// In the manner of the GPT-4 report's figure 8.
pub(super) fn reliability_plot(title: impl Into<Cow<'static, str>>, reliability: &Reliability) -> Plot {
    let point = |bin: &eval::Bin| Point {
        x: bin.confidence,
        y: bin.accuracy,
        low: bin.lo95,
        high: bin.hi95,
        note: format!(
            "{} probabilities around {:.3}: right in {:.3}",
            grouped(bin.n as u64),
            bin.confidence,
            bin.accuracy
        ),
    };
    Plot {
        title: title.into(),
        caption: "Share of right choices by their probability, in tenths, with 95 % intervals; on the line they agree.".to_owned(),
        x: Axis::linear("probability").over(0.0, 1.0),
        y: Axis::linear("share that was right").over(0.0, 1.0),
        series: vec![
            Series { label: "as probable as right".to_owned(), tone: 5, mark: Mark::Faint(vec![(0.0, 0.0), (1.0, 1.0)]) },
            Series { label: "bins".to_owned(), tone: 1, mark: Mark::Points(reliability.bins.iter().map(point).collect()) },
        ],
        is_wide: false,
    }
}
