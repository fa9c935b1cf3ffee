//! A run compared with its sealed forecast, step by step.

use std::{path::Path, time::SystemTime};

use anyhow::Context as _;
use base::Timestamp;
use forecast::{Actual, Alarm, Channel, CurveForecast, Prediction, Seal, Verdict, Watch};
use train::{Sealed, Summary};

use crate::{
    progress,
    run_dir::{
        self, FORECAST, PassRates, Recorded, RunFile as _, Watched, first_step_at, judged_answers, read_seal,
        section,
    },
};

/// Part of healthy runs in which any of the curves raises an alarm.
pub(crate) const FALSE_ALARM_RATE: f64 = 0.01;

/// Tests on every curve of a sealed forecast.
pub(crate) struct Watcher {
    seal: Seal,
    watches: Vec<Watch>,
    /// The record of the run has a gap: what comes after it is not watched.
    has_ended: bool,
}

impl Watcher {
    /// Watches the run in `dir` from its first step; none where it has no sealed forecast with curves.
    ///
    /// A resumed run is watched from the record of its steps: the decisions are those of a run never stopped.
    ///
    /// # Errors
    /// If the seal was changed, or is later than the run's first step.
    pub(crate) fn open(run_dir: &Path, metrics: &Path, step: u64) -> anyhow::Result<Option<Self>> {
        let began = match step {
            0 => Some(Timestamp::from(SystemTime::now())),
            _ => first_step_at(metrics)?,
        };
        let Some(mut watcher) = Self::sealed_before(run_dir, began)? else { return Ok(None) };
        if step > 0 {
            let recorded = Recorded::read(metrics)?;
            for (i, (loss, norm)) in recorded.steps.iter().take(step as usize).enumerate() {
                watcher.observe(i as u64 + 1, *loss, *norm)?;
            }
            watcher.has_ended = recorded.has_gap;
        }
        Ok(Some(watcher))
    }

    /// The watch of the run in `dir`, whatever it has recorded, before its first step.
    ///
    /// # Errors
    /// If the seal was changed, or is later than the run's first step.
    pub(crate) fn unseen(run_dir: &Path, metrics: &Path) -> anyhow::Result<Option<Self>> {
        let began = if metrics.exists() { first_step_at(metrics)? } else { None };
        Self::sealed_before(run_dir, began)
    }

    fn sealed_before(run_dir: &Path, began: Option<Timestamp>) -> anyhow::Result<Option<Self>> {
        let path = run_dir.join(FORECAST);
        let Some(seal) = read_seal(&path)? else { return Ok(None) };
        run_dir::check(run_dir, &path, &seal)?;
        if let Some(began) = began {
            seal.check_before(began).with_context(|| format!("in `{}`", path.display()))?;
        }
        let curves: Vec<CurveForecast> = match seal.extra.get(section::CURVES) {
            Some(curves) => serde_json::from_value(curves.clone())
                .with_context(|| format!("in `{}`: the curves are from another version", path.display()))?,
            None => Vec::new(),
        };
        let rate = FALSE_ALARM_RATE / curves.len().max(1) as f64;
        let watches =
            curves.into_iter().map(|curve| Watch::new(curve, rate)).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Self { seal, watches, has_ended: false }))
    }

    /// [`Seal::seal`] of the forecast.
    pub(crate) fn seal(&self) -> &str {
        &self.seal.seal
    }

    /// The final loss as it was sealed.
    pub(crate) fn sealed(&self) -> &Prediction {
        &self.seal.forecast.prediction
    }

    /// Steps of the run; `None` where no curve was predicted.
    pub(crate) fn n_steps(&self) -> Option<u64> {
        self.watches.first().map(|watch| watch.forecast().steps)
    }

    /// Pass rates that were predicted, where they were.
    pub(super) fn capability(&self) -> anyhow::Result<Option<PassRates>> {
        let predicted = self.seal.extra.get(section::PASS_RATES).cloned().map(serde_json::from_value);
        predicted.transpose().context("reading the sealed pass rates")
    }

    /// Takes in a step; returns the alarms that it raises.
    pub(crate) fn observe(
        &mut self,
        step: u64,
        loss_nats: f64,
        grad_norm: f64,
    ) -> anyhow::Result<Vec<Alarm>> {
        let mut raised = Vec::new();
        if self.has_ended {
            return Ok(raised);
        }
        for watch in &mut self.watches {
            let value = match watch.forecast().channel {
                Channel::Loss => loss_nats,
                Channel::GradNorm => grad_norm,
            };
            raised.extend(watch.observe(step, value)?.cloned());
        }
        Ok(raised)
    }

    /// The forecast of the training loss at `step`: median and 80 % interval of the curve without batch noise.
    pub(crate) fn predicted(&self, step: u64) -> Option<(f64, f64, f64)> {
        let curve = self.watches.iter().map(Watch::forecast).find(|curve| curve.channel == Channel::Loss)?;
        let point = curve.at(step as f64 / curve.steps as f64);
        let (low, high) = point.interval(0.8, None);
        Some((point.median, low, high))
    }

    /// The final loss as the steps so far revise the sealed forecast: median and 80 % interval.
    pub(crate) fn revised(&self) -> Option<(f64, f64, f64)> {
        let is_of_loss = |watch: &&Watch| watch.forecast().channel == Channel::Loss;
        let watch = self.watches.iter().filter(|_| !self.has_ended).find(is_of_loss)?;
        Some(watch.revised(self.seal.forecast.prediction.median))
    }

    /// Writes what was seen so far, unless more was seen before the record of it was lost.
    pub(super) fn write(&self, run_dir: &Path) -> anyhow::Result<()> {
        let n_seen = self.watches.iter().map(Watch::n_seen).max().unwrap_or(0);
        let before = Watched::read(run_dir).filter(|before| before.seal == self.seal.seal);
        if self.has_ended && before.is_some_and(|before| before.n_steps > n_seen) {
            return Ok(());
        }
        let watched = Watched {
            seal: self.seal.seal.clone(),
            false_alarm_rate: FALSE_ALARM_RATE,
            n_steps: n_seen,
            alarms: self.watches.iter().filter_map(|watch| watch.alarm().cloned()).collect(),
        };
        watched.write(run_dir)
    }

    /// The verdict on the forecast, written to the run's folder and said.
    pub(super) fn judge(&self, run_dir: &Path, metrics: &Path, summary: &Summary) -> anyhow::Result<()> {
        // What an earlier verdict knew is not forgotten with the record.
        let before = || {
            let before = Verdict::read(run_dir);
            before.filter(|before| before.seal == self.seal.seal)?.first_step_at
        };
        let actual = Actual {
            loss: summary.validation.loss_nats,
            flops: Some(run_dir::of_text(run_dir, summary).1),
            first_step_at: first_step_at(metrics)?.or_else(before),
        };
        let verdict = Verdict::new(&self.seal, actual)?.with_parts(judged_answers(&self.seal, summary)?);
        verdict.write(run_dir)?;
        let p = &verdict.predicted;
        let inside = match (verdict.inside.i80, verdict.inside.i95) {
            (true, _) => "inside the 80 % interval",
            (false, true) => "outside the 80 %, inside the 95 % interval",
            (false, false) => "OUTSIDE the 95 % interval",
        };
        progress::say(
            "verdict",
            &format!(
                "forecast {:.4} ({:.4} to {:.4}), actual {:.4}: {:+.2} %, {inside}",
                p.median, p.lo80, p.hi80, verdict.actual, verdict.error_pct
            ),
        );
        for part in &verdict.parts {
            progress::say("verdict", &format!("answers about pictures, {part}"));
        }
        Ok(())
    }
}

/// What the record of a run says of its forecast.
pub(super) fn recorded(seal: &Seal) -> Sealed {
    Sealed { seal: seal.seal.clone(), sealed_at: seal.sealed_at.to_string() }
}

/// An alarm in a line.
pub(crate) fn described(alarm: &Alarm) -> String {
    let what = match alarm.channel {
        Channel::Loss => "loss",
        Channel::GradNorm => "gradient norm",
    };
    let seen = alarm.observed.map_or_else(|| "no number".into(), |observed| format!("{observed:.4}"));
    format!(
        "ALARM at step {} ({:.1} % of the run): {what} {seen}, forecast {:.4}: {}",
        alarm.step,
        100.0 * alarm.fraction,
        alarm.forecast,
        alarm.meaning
    )
}
