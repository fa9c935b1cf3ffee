//! `maquette forecast watch`

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use forecast::Alarm;
use serde::Serialize;

use crate::{
    output,
    pipeline::watch::{FALSE_ALARM_RATE, Watcher, described},
    progress::{self, Field, Progress},
    run_dir::{Growth, METRICS, Recorded},
    stop,
};

/// Compare a run with its sealed forecast, while it trains or afterwards
///
/// Reads the run's metrics and raises the same alarms as `pretrain`. The final loss estimated from the steps so far is
/// shown beside the sealed forecast and never replaces it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of a run with a sealed forecast, such as runs/quickstart
    run: PathBuf,
    /// Keep watching until the last planned step, or Ctrl-C
    #[arg(long)]
    follow: bool,
    /// Print the state of the watch as JSON on stdout
    #[arg(long)]
    json: bool,
}

/// Pause between two looks at a run that goes on.
const PAUSE: Duration = Duration::from_millis(500);

/// A run without a new step for so long may have been stopped.
const STALLED: Duration = Duration::from_secs(60);

/// A median and its 80 % interval, in nats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Interval {
    median: f64,
    lo80: f64,
    hi80: f64,
}

/// What the watch says at one moment.
#[derive(Debug, Serialize)]
struct State {
    seal: String,
    false_alarm_rate: f64,
    step: u64,
    n_steps: u64,
    /// Training loss of the last step.
    loss_nats: Option<f64>,
    /// Predicted of it before the run, without the noise of one batch.
    predicted: Option<Interval>,
    /// Final validation loss as it was sealed.
    sealed: Interval,
    /// The same as the steps so far revise it: no forecast made before the run.
    revised: Option<Interval>,
    alarms: Vec<Alarm>,
    /// Part of rows that were trained on before, where the run found such rows.
    repeated_rows: Option<f64>,
    /// Parameters that stalled.
    stalled: Vec<String>,
    /// The record has a gap after `step`: what came behind it is not watched.
    has_gap: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.run.is_dir(),
        "expected the folder of a run at `{}`, found none\nhint: give a folder such as runs/quickstart",
        args.run.display()
    );
    let metrics = args.run.join(METRICS);
    let mut recorded = Recorded::read(&metrics)?;
    let mut watch = Follower::open(&args.run, &metrics, &recorded)?;
    let mut bar = Progress::new("watch");
    for alarm in &watch.alarms {
        bar.say(&described(alarm));
    }
    let mut last_step_at = Instant::now();
    let mut is_still = false;
    while args.follow && !is_over(&watch, &recorded) && stop::check().is_continue() {
        thread::sleep(PAUSE);
        let n_seen = watch.n_seen;
        // A run that begins, or goes on from a checkpoint, may do so with another seal.
        let is_again = recorded.read_on()? == Growth::Again;
        if is_again || (n_seen == 0 && !recorded.steps.is_empty()) {
            let before = std::mem::replace(&mut watch, Follower::open(&args.run, &metrics, &recorded)?);
            for alarm in watch.alarms.iter().filter(|alarm| !before.alarms.contains(alarm)) {
                bar.say(&described(alarm));
            }
        }
        for alarm in watch.catch_up(&recorded)? {
            bar.say(&described(&alarm));
        }
        if watch.n_seen != n_seen {
            (last_step_at, is_still) = (Instant::now(), false);
        } else if last_step_at.elapsed() > STALLED && !is_still {
            is_still = true;
            bar.say(&format!("no new step for {} s: is the run still going?", STALLED.as_secs()));
        }
        bar.update(watch.n_seen, watch.n_steps, fields(&watch.state(&recorded)));
    }
    let state = watch.state(&recorded);
    bar.finish(&line(&state));
    if args.json {
        return output::json(&state);
    }
    output::words(described_state(&state))
}

/// Whether the run has taken its last step, as far as its record shows.
fn is_over(watch: &Follower, recorded: &Recorded) -> bool {
    watch.n_seen.max(recorded.last_step) >= watch.n_steps
}

/// A watch and how far it has come.
struct Follower {
    watcher: Watcher,
    n_steps: u64,
    n_seen: u64,
    alarms: Vec<Alarm>,
}

impl Follower {
    fn open(run: &Path, metrics: &Path, recorded: &Recorded) -> anyhow::Result<Self> {
        let watcher = Watcher::unseen(run, metrics)?.with_context(|| {
            format!(
                "expected a sealed forecast in `{}`, found no `forecast.json` there\n\
                 hint: `maquette ladder RECIPE --seal` makes one before the run begins",
                run.display()
            )
        })?;
        let n_steps = watcher.n_steps().with_context(|| {
            format!(
                "expected the curve of the run in `{}`, found a forecast of the final loss alone\n\
                 hint: only a forecast from a ladder of this program predicts the curve",
                run.join("forecast.json").display()
            )
        })?;
        let mut watch = Self { watcher, n_steps, n_seen: 0, alarms: Vec::new() };
        watch.catch_up(recorded)?;
        Ok(watch)
    }

    /// Takes in the steps that are new; returns the alarms that they raise.
    fn catch_up(&mut self, recorded: &Recorded) -> anyhow::Result<Vec<Alarm>> {
        let mut raised = Vec::new();
        for (loss_nats, grad_norm) in recorded.steps.iter().skip(self.n_seen as usize) {
            self.n_seen += 1;
            raised.extend(self.watcher.observe(self.n_seen, *loss_nats, *grad_norm)?);
        }
        self.alarms.extend(raised.iter().cloned());
        Ok(raised)
    }

    fn state(&self, recorded: &Recorded) -> State {
        let interval = |(median, lo80, hi80)| Interval { median, lo80, hi80 };
        let sealed = self.watcher.sealed();
        let has_begun = self.n_seen > 0;
        State {
            seal: self.watcher.seal().to_owned(),
            false_alarm_rate: FALSE_ALARM_RATE,
            step: self.n_seen,
            n_steps: self.n_steps,
            loss_nats: recorded.steps.last().map(|(loss_nats, _)| *loss_nats),
            predicted: self.watcher.predicted(self.n_seen).filter(|_| has_begun).map(interval),
            sealed: Interval { median: sealed.median, lo80: sealed.lo80, hi80: sealed.hi80 },
            revised: self.watcher.revised().filter(|_| has_begun).map(interval),
            alarms: self.alarms.clone(),
            repeated_rows: recorded.repeated_rows,
            stalled: recorded.stalled.clone(),
            has_gap: recorded.has_gap,
        }
    }
}

/// What the progress line shows.
fn fields(state: &State) -> Vec<Field> {
    let step = Field::new(5, format!("step {}/{}", state.step, state.n_steps));
    let forecast = state.predicted.map(|forecast| (forecast.median, forecast.lo80, forecast.hi80));
    std::iter::once(step).chain(state.loss_nats.map(|loss| progress::loss(loss, forecast))).collect()
}

fn line(state: &State) -> String {
    let mut line = format!("step {}/{}", state.step, state.n_steps);
    if let (Some(loss), Some(predicted)) = (state.loss_nats, state.predicted) {
        line.push_str(&format!(
            "  loss {loss:.3} (forecast {:.3}, 80 % interval {:.3} to {:.3})",
            predicted.median, predicted.lo80, predicted.hi80
        ));
    }
    line
}

fn described_state(state: &State) -> String {
    let interval = |i: &Interval| format!("{:.4}, 80 % interval {:.4} to {:.4}", i.median, i.lo80, i.hi80);
    let mut lines = vec![
        format!("seal      {}", state.seal),
        format!("watched   {}", line(state)),
        format!("sealed    {}", interval(&state.sealed)),
    ];
    if let Some(revised) = &state.revised {
        let revised = interval(revised);
        lines.push(format!(
            "so far    {revised} (estimated from the steps so far; the sealed forecast stays)"
        ));
    }
    if state.has_gap {
        lines.push(format!(
            "LOST: the run's metrics have a gap after step {}: later steps are not checked",
            state.step
        ));
    }
    lines.extend(state.alarms.iter().map(described));
    if let Some(share) = state.repeated_rows {
        lines.push(format!("ALARM: up to {:.0} % of the rows were trained on before", 100.0 * share));
    }
    lines.extend(state.stalled.iter().map(|param| format!("ALARM: `{param}` stalled")));
    if state.alarms.is_empty() && state.repeated_rows.is_none() && state.stalled.is_empty() {
        lines.push(format!(
            "no alarm  (of healthy runs, {:.0} % or fewer raise one)",
            100.0 * state.false_alarm_rate
        ));
    }
    lines.join("\n")
}
