//! When a run saves.

use std::time::{Duration, Instant};

use crate::TrainSettings;

/// Saving takes at most this part of the time,
const MOST_OF_THE_TIME: f64 = 0.02;
/// unless more than this would be lost in a crash;
const MOST_LOST: Duration = Duration::from_secs(3600);
/// even then no more than this.
const MOST_AT_ALL: f64 = 0.1;

/// When the next checkpoint is due: every `checkpoint_every_steps` steps, and where the settings hold
/// `checkpoint_every_minutes` also after so many minutes, but never so soon that saving takes more than 2 % of the time. A
/// large model on a slow disk is saved less often: once an hour, or less often where even that takes a tenth of the time.
#[derive(Clone, Copy, Debug)]
pub struct Cadence {
    every_steps: u64,
    every: Option<Duration>,
    /// The last one made or gone on from: its step, when it was made, and how long it took.
    step: u64,
    at: Instant,
    took: Duration,
}

impl Cadence {
    /// From step `step` on, of which there is a checkpoint or the beginning.
    pub fn new(settings: &TrainSettings, step: u64, now: Instant) -> Self {
        let every = settings.checkpoint_every_minutes.map(|minutes| {
            // Beyond what a clock counts is never.
            Duration::try_from_secs_f64(60.0 * minutes).unwrap_or(Duration::MAX)
        });
        Self { every_steps: settings.checkpoint_every_steps, every, step, at: now, took: Duration::ZERO }
    }

    /// Whether step `step`, just taken, is to be saved.
    pub fn is_due(&self, step: u64, now: Instant) -> bool {
        let Some(every) = self.every else { return step.is_multiple_of(self.every_steps) };
        let since = now.saturating_duration_since(self.at);
        since >= self.pause() && (step - self.step >= self.every_steps || since >= every)
    }

    /// Step `step` was saved from `began` to `ended`.
    pub fn saved(&mut self, step: u64, began: Instant, ended: Instant) {
        (self.step, self.at, self.took) = (step, ended, ended.saturating_duration_since(began));
    }

    /// Least time from the end of one checkpoint to the beginning of the next.
    fn pause(&self) -> Duration {
        self.took.div_f64(MOST_OF_THE_TIME).min(MOST_LOST.max(self.took.div_f64(MOST_AT_ALL)))
    }
}

#[cfg(test)]
mod tests {
    use model::scaling::ModelOverrides;

    use super::*;
    use crate::{TrainOverrides, plan};

    /// Steps that are saved of 1,000 of `step_s` seconds each, where a checkpoint takes `save_s`.
    fn saved(train: &TrainOverrides, step_s: f64, save_s: f64) -> Vec<u64> {
        let model = ModelOverrides { d_model: Some(32), ..Default::default() };
        let train = TrainOverrides { steps: Some(1000), ..train.clone() };
        let (_, settings) = plan(None, 512, &model, &train, 1).unwrap();
        let mut now = Instant::now();
        let mut cadence = Cadence::new(&settings, 0, now);
        let mut saved = Vec::new();
        for step in 1..=1000 {
            now += Duration::from_secs_f64(step_s);
            if cadence.is_due(step, now) {
                let began = now;
                now += Duration::from_secs_f64(save_s);
                cadence.saved(step, began, now);
                saved.push(step);
            }
        }
        saved
    }

    #[test]
    fn a_short_run_is_saved_ten_times() {
        assert_eq!(
            saved(&TrainOverrides::default(), 0.1, 0.01),
            (1..=10).map(|i| 100 * i).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_long_run_loses_no_more_than_minutes() {
        let steps = saved(&TrainOverrides::default(), 60.0, 1.0); // 17 hours
        assert!(steps.windows(2).all(|pair| pair[1] - pair[0] <= 10), "{steps:?}");
        assert!(steps[0] <= 10);
    }

    #[test]
    fn slow_saving_takes_a_fiftieth_of_the_time() {
        for (step_s, save_s) in [(0.01, 0.5), (1.0, 6.0), (10.0, 60.0)] {
            let n = saved(&TrainOverrides::default(), step_s, save_s).len() as f64;
            // The first is made before it is known how long one takes.
            let share = (n - 1.0).max(0.0) * save_s / (1000.0 * step_s);
            assert!(share <= 0.02, "{n} of {save_s} s in {} s", 1000.0 * step_s);
        }
        // Ten minutes a checkpoint, 28 hours in all: less often than every hour, and a tenth of the time.
        let steps = saved(&TrainOverrides::default(), 100.0, 600.0);
        assert!((10..=17).contains(&steps.len()), "{steps:?}");
    }

    #[test]
    fn fixed_steps_are_kept_exactly() {
        let fixed = TrainOverrides { checkpoint_every_steps: Some(7), ..Default::default() };
        let expected: Vec<u64> = (1..=1000).filter(|step| step % 7 == 0).collect();
        assert_eq!(saved(&fixed, 60.0, 600.0), expected);
        // Minutes beside them let the clock decide too.
        let both = TrainOverrides { checkpoint_every_minutes: Some(2.0), ..fixed };
        assert_eq!(saved(&both, 60.0, 0.1), (1..=500).map(|i| 2 * i).collect::<Vec<_>>());
    }
}
