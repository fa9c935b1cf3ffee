//! Reports losses and gradients that stand out.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Monitor, StepView};
use crate::{Metric, Spiked};

/// Values that the present one is compared with.
const WINDOW: usize = 128;
/// Standard deviations from which a value is reported: six, as in OLMo's spike score.
const THRESHOLD: f64 = 6.0;

/// A value far above those before it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spike {
    /// The value.
    pub value: f64,
    /// Mean of the window before it.
    pub mean: f64,
    /// How many standard deviations above the mean.
    pub z: f64,
}

/// Compares each value with the last 128; reports, and changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpikeDetector {
    window: VecDeque<f64>,
}

impl SpikeDetector {
    /// Takes the next value in; the first 128 are never reported.
    pub fn push(&mut self, value: f64) -> Option<Spike> {
        let n = self.window.len() as f64;
        let mean = self.window.iter().sum::<f64>() / n.max(1.0);
        let variance = self.window.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        let z = (value - mean) / variance.sqrt().max(1e-12);
        let is_spike = self.window.len() == WINDOW && z > THRESHOLD;
        if self.window.len() == WINDOW {
            self.window.pop_front();
        }
        // A spike enters the window no higher than the threshold: one must not hide the next.
        self.window.push_back(if is_spike { mean + THRESHOLD * variance.sqrt() } else { value });
        is_spike.then_some(Spike { value, mean, z })
    }
}

/// Watches one value of each step.
struct Spikes {
    of: &'static str,
    value: fn(&StepView) -> f64,
    detector: SpikeDetector,
}

/// Watches the loss.
pub(crate) fn loss_spikes() -> Box<dyn Monitor> {
    Box::new(Spikes { of: "loss_nats", value: |view| view.loss_nats, detector: SpikeDetector::default() })
}

/// Watches the norm of the gradient.
pub(crate) fn grad_norm_spikes() -> Box<dyn Monitor> {
    Box::new(Spikes { of: "grad_norm", value: |view| view.grad_norm, detector: SpikeDetector::default() })
}

impl Monitor for Spikes {
    fn name(&self) -> &'static str {
        self.of
    }

    fn step(&mut self, view: &StepView) -> Vec<Metric> {
        let spike = self.detector.push((self.value)(view));
        let metric = |spike| Metric::of(&Spiked { step: view.step, of: self.of.into(), spike });
        spike.map(metric).into_iter().collect()
    }

    fn state(&self) -> Value {
        super::state_of(&self.detector)
    }

    fn restore(&mut self, state: &Value, _: Option<&[u8]>) {
        self.detector = super::restored(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_is_reported_and_noise_is_not() {
        let mut rng = base::Rng::new(1, 0);
        let mut detector = SpikeDetector::default();
        for i in 0..2000 {
            let falling = 4.0 - f64::from(i) * 1e-3 + 0.05 * rng.normal();
            assert_eq!(detector.push(falling), None, "at {i}");
        }
        let spike = detector.push(3.0).expect("ten standard deviations above");
        assert!(spike.z > 8.0 && spike.mean < 2.2, "{spike:?}");
        assert!(detector.push(3.0).is_some(), "the first does not hide the second");
        assert!(detector.push(2.0).is_none());
    }

    #[test]
    fn early_values_are_never_reported() {
        let mut detector = SpikeDetector::default();
        assert!((0..128).all(|i| detector.push(f64::from(i * i)).is_none()));
    }
}
