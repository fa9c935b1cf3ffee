//! The kinds of metrics that a training records.

use serde::{Deserialize, Serialize};

use crate::{Metric, MetricKind, Spike, Validation};

/// The run began, before its first step: what a forecast must be older than.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunBegun {
    /// 0.
    pub step: u64,
    /// Seconds since 1970, UTC.
    pub unix_s: f64,
    /// Hash of the forecast that was sealed before; empty where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<String>,
    /// When that forecast was sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_at: Option<String>,
}

/// One optimizer step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainStep {
    /// Its number, from 1.
    pub step: u64,
    /// Mean loss of its batch before the step, in nats.
    pub loss_nats: f64,
    /// That of its text alone, where something else is learned beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_loss_nats: Option<f64>,
    /// Norm of the whole gradient before clipping.
    pub grad_norm: f64,
    /// Learning rate of matrices between hidden vectors, at this step.
    pub lr_matrix: f64,
    /// That of the embedding.
    pub lr_embedding: f64,
    /// That of the head.
    pub lr_head: f64,
    /// That of the gains.
    pub lr_gain: f64,
    /// Tokens trained on so far.
    pub tokens: u64,
    /// FLOPs spent so far.
    pub flops: f64,
    /// Speed of this step.
    pub tokens_per_second: f64,
    /// Seconds of training so far.
    pub elapsed_s: f64,
}

impl TrainStep {
    /// The loss that a forecast of the text's is compared with.
    pub fn loss_of_text_nats(&self) -> f64 {
        self.text_loss_nats.unwrap_or(self.loss_nats)
    }
}

/// A validation after a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validated {
    /// The step's number.
    pub step: u64,
    /// Tokens trained on so far.
    pub tokens: u64,
    /// FLOPs spent so far.
    pub flops: f64,
    /// The result.
    #[serde(flatten)]
    pub validation: Validation,
}

/// A loss or gradient norm that stands out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spiked {
    /// The step's number.
    pub step: u64,
    /// `loss_nats` or `grad_norm`.
    pub of: String,
    /// How far it stands out.
    #[serde(flatten)]
    pub spike: Spike,
}

/// Rows of tokens that were trained on before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowsRepeated {
    /// The step's number.
    pub step: u64,
    /// Part of the last rows.
    pub share: f64,
}

/// A parameter that no longer changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParamStalled {
    /// The step's number.
    pub step: u64,
    /// Its name.
    pub param: String,
}

/// What was recorded up to this step is gone from here on: the file was lost or damaged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordLost {
    /// The step's number.
    pub step: u64,
}

/// The run went on from a checkpoint after this step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResumed {
    /// The step's number.
    pub step: u64,
}

macro_rules! kinds {
    ($($name:literal => $kind:ident,)*) => {
        $(impl MetricKind for $kind {
            const KIND: &'static str = $name;
        })*

        impl Metric {
            /// Refuses a line whose kind a training records, but without the fields of that kind.
            pub(crate) fn check(&self) -> Result<(), serde_json::Error> {
                match self.kind.as_str() {
                    $($name => self.read::<$kind>().map(|_| ()),)*
                    _ => Ok(()),
                }
            }
        }
    };
}

kinds! {
    "begun" => RunBegun,
    "train" => TrainStep,
    "validation" => Validated,
    "spike" => Spiked,
    "repeated" => RowsRepeated,
    "stalled" => ParamStalled,
    "lost" => RecordLost,
    "resumed" => RunResumed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_line<K: MetricKind + PartialEq + std::fmt::Debug>(fields: &K, line: &str) {
        let metric = Metric::of(fields);
        assert_eq!(serde_json::to_string(&metric).unwrap(), line);
        let read: Metric = serde_json::from_str(line).unwrap();
        assert_eq!(read, metric);
        assert_eq!(read.read::<K>().unwrap(), *fields);
        read.check().unwrap();
    }

    #[test]
    fn every_kind_is_one_flat_object() {
        let (of, param) = ("grad_norm".to_owned(), "layers.0.wq".to_owned());
        let (seal, sealed_at) = (Some("ab".to_owned()), Some("2026-01-02T03:04:05.000Z".to_owned()));
        let validation =
            Validation { loss_nats: 2.5, loss_stderr: 0.1, bits_per_byte: 1.25, n_tokens: 7, n_bytes: 9 };
        let train = TrainStep {
            step: 3,
            loss_nats: 2.5,
            text_loss_nats: None,
            grad_norm: 0.1,
            lr_matrix: 1e-3,
            lr_embedding: 2e-3,
            lr_head: 3e-3,
            lr_gain: 4e-3,
            tokens: (1 << 53) + 1,
            flops: 1e15,
            tokens_per_second: 900.5,
            elapsed_s: 4.25,
        };
        check_line(
            &RunBegun { step: 0, unix_s: 1.5, seal, sealed_at },
            r#"{"kind":"begun","step":0,"seal":"ab","sealed_at":"2026-01-02T03:04:05.000Z","unix_s":1.5}"#,
        );
        check_line(
            &train,
            "{\"kind\":\"train\",\"step\":3,\"elapsed_s\":4.25,\"flops\":1000000000000000.0,\"grad_norm\":0.1,\"loss_nats\":2.5,\
             \"lr_embedding\":0.002,\"lr_gain\":0.004,\"lr_head\":0.003,\"lr_matrix\":0.001,\"tokens\":9007199254740993,\
             \"tokens_per_second\":900.5}",
        );
        let beside = TrainStep { text_loss_nats: Some(2.0), ..train.clone() };
        assert_eq!((train.loss_of_text_nats(), beside.loss_of_text_nats()), (2.5, 2.0));
        assert_eq!(Metric::of(&beside).read::<TrainStep>().unwrap(), beside);
        check_line(
            &Validated { step: 3, tokens: 96, flops: 1e9, validation },
            "{\"kind\":\"validation\",\"step\":3,\"bits_per_byte\":1.25,\"flops\":1000000000.0,\"loss_nats\":2.5,\
             \"loss_stderr\":0.1,\"n_bytes\":9,\"n_tokens\":7,\"tokens\":96}",
        );
        check_line(
            &Spiked { step: 3, of, spike: Spike { value: 3.0, mean: 0.5, z: 16.25 } },
            r#"{"kind":"spike","step":3,"mean":0.5,"of":"grad_norm","value":3.0,"z":16.25}"#,
        );
        check_line(&RowsRepeated { step: 3, share: 0.5 }, r#"{"kind":"repeated","step":3,"share":0.5}"#);
        check_line(&ParamStalled { step: 3, param }, r#"{"kind":"stalled","step":3,"param":"layers.0.wq"}"#);
        check_line(&RecordLost { step: 3 }, r#"{"kind":"lost","step":3}"#);
        check_line(&RunResumed { step: 3 }, r#"{"kind":"resumed","step":3}"#);
    }

    #[test]
    fn a_known_kind_without_one_of_its_fields_is_refused_by_name() {
        let line = r#"{"kind":"repeated","step":3,"part":0.5}"#;
        let error = serde_json::from_str::<Metric>(line).unwrap().check().unwrap_err();
        assert_eq!(error.to_string(), "kind `repeated`: missing field `share`");
        let line = r#"{"kind":"reward","step":3,"mean":0.5}"#;
        serde_json::from_str::<Metric>(line).unwrap().check().unwrap();
    }
}
