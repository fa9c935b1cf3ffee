//! The forms of the law that compete.

use serde::{Deserialize, Serialize};

use crate::chain::Sigmoid;

/// How a bucket's scale of difficulty, or its mean pass rate, changes with compute or with loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PassRateForm {
    /// `−E[ln p] = α·C^−k`: the report's.
    PowerLaw,
    /// `−E[ln p] = α·C^−k + plateau`.
    PowerPlateau,
    /// Mean pass rate: sigmoid of ln C.
    LogisticCompute,
    /// Mean pass rate: sigmoid of the loss, into which the forecast of the loss is put.
    TwoStep,
}

/// One run's place: ln C about the largest run's, and its loss.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) ln_flops: f64,
    pub(crate) loss_nats: f64,
}

impl PassRateForm {
    /// All of them; where back-tests cannot tell them apart, the first is taken.
    pub(crate) const ALL: [Self; 4] =
        [Self::PowerLaw, Self::TwoStep, Self::LogisticCompute, Self::PowerPlateau];

    /// Coefficients.
    pub(crate) fn n_coefficients(self) -> usize {
        if self == Self::PowerPlateau { 3 } else { 2 }
    }

    /// What the form is a function of.
    pub(crate) fn x(self, place: &Place) -> f64 {
        if self == Self::TwoStep { -place.loss_nats } else { place.ln_flops }
    }

    /// ln q, or the mean pass rate, at `place` under `coefficients`.
    pub(crate) fn value(self, coefficients: &[f64], place: &Place, chance: f64) -> Value {
        let x = self.x(place);
        match self {
            Self::PowerLaw => Value::LnQ(coefficients[0] - coefficients[1] * x),
            Self::PowerPlateau => {
                Value::LnQ(((coefficients[0] - coefficients[1] * x).exp() + coefficients[2].exp()).ln())
            }
            Self::LogisticCompute | Self::TwoStep => {
                let step = Sigmoid { lo: chance, hi: 1.0, slope: 1.0, midpoint: 0.0 };
                Value::PassRate(step.at(coefficients[0] + coefficients[1] * x))
            }
        }
    }
}

/// What a form predicts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    /// ln of `−E[ln p]`.
    LnQ(f64),
    /// `E[p]`.
    PassRate(f64),
}
