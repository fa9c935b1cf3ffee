//! What a recipe may fix of the settings, and how [`TrainOverrides`](crate::TrainOverrides) and
//! [`TrainSettings`](crate::TrainSettings) follow from one list.

use model::scaling::LearningRates;
use serde::{Deserialize, Serialize};

/// Learning rates that a recipe fixes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "each field is the one of LearningRates")]
pub struct LearningRateOverrides {
    pub matrix: Option<f64>,
    pub embedding: Option<f64>,
    pub head: Option<f64>,
    pub gain: Option<f64>,
}

/// What a recipe says of a setting of type `T`.
pub(crate) trait Override<T> {
    fn or(self, derived: impl FnOnce() -> T) -> T;
    fn fixed(value: T) -> Self;
}

impl<T> Override<T> for Option<T> {
    fn or(self, derived: impl FnOnce() -> T) -> T {
        self.unwrap_or_else(derived)
    }

    fn fixed(value: T) -> Self {
        Some(value)
    }
}

/// Of a setting that may be absent: absent in a recipe leaves it open.
impl Override<Option<f64>> for Option<f64> {
    fn or(self, derived: impl FnOnce() -> Option<f64>) -> Option<f64> {
        self.or_else(derived)
    }

    fn fixed(value: Option<f64>) -> Self {
        value
    }
}

impl Override<LearningRates> for LearningRateOverrides {
    fn or(self, derived: impl FnOnce() -> LearningRates) -> LearningRates {
        let rates = derived();
        LearningRates {
            matrix: self.matrix.unwrap_or(rates.matrix),
            embedding: self.embedding.unwrap_or(rates.embedding),
            head: self.head.unwrap_or(rates.head),
            gain: self.gain.unwrap_or(rates.gain),
        }
    }

    fn fixed(LearningRates { matrix, embedding, head, gain }: LearningRates) -> Self {
        Self { matrix: Some(matrix), embedding: Some(embedding), head: Some(head), gain: Some(gain) }
    }
}

/// The type of an override: an option where the list names no other.
macro_rules! override_of {
    ($type:ty) => { Option<$type> };
    ($type:ty, $override:ty) => { $override };
}

/// From `name: type = derived` to [`TrainSettings`], [`TrainOverrides`] and what leads from one to the other.
///
/// The groups are there for the order in which both are written, which the hashes of runs depend on.
macro_rules! settings {
    (
        |$derived:ident|
        first { $($(#[$first_meta:meta])* $first:ident: $first_type:ty $(as $first_override:ty)? = $first_value:expr,)* }
        then { $($(#[$then_meta:meta])* $then:ident: $then_type:ty $(as $then_override:ty)? = $then_value:expr,)* }
    ) => {
        /// Every number of a training run. Nothing has a default here: the caller derives what its recipe leaves open.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct TrainSettings {
            /// Seed of initial weights and data order.
            pub seed: u64,
            $($(#[$first_meta])* pub $first: $first_type,)*
            /// Peak learning rates.
            pub learning_rates: LearningRates,
            $($(#[$then_meta])* pub $then: $then_type,)*
        }

        /// Settings that a recipe fixes; the rest follows from the budget.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct TrainOverrides {
            $($(#[$first_meta])* pub $first: override_of!($first_type $(, $first_override)?),)*
            $($(#[$then_meta])* pub $then: override_of!($then_type $(, $then_override)?),)*
            /// Peak learning rates.
            pub learning_rates: LearningRateOverrides,
            /// Tokens for each matrix parameter; decides the width that a budget is given.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub tokens_per_param: Option<f64>,
        }

        impl TrainOverrides {
            /// What is fixed, and of the rest what follows.
            pub(crate) fn resolve(&self, $derived: &Derived) -> TrainSettings {
                TrainSettings {
                    seed: $derived.seed,
                    $($first: Override::<$first_type>::or(self.$first, || $first_value),)*
                    learning_rates: self.learning_rates.or(|| $derived.learning_rates),
                    $($then: Override::<$then_type>::or(self.$then, || $then_value),)*
                }
            }

            /// Everything fixed as it was resolved: what a run's own recipe holds.
            pub fn fixed(settings: &TrainSettings) -> Self {
                Self {
                    $($first: Override::<$first_type>::fixed(settings.$first),)*
                    $($then: Override::<$then_type>::fixed(settings.$then),)*
                    learning_rates: LearningRateOverrides::fixed(settings.learning_rates),
                    tokens_per_param: None, // the width is fixed
                }
            }
        }
    };
}

pub(crate) use {override_of, settings};
