//! One line of `metrics.jsonl`: its kind, its step, and flat values under plain names.

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned, de::Error as _};
use serde_json::{Map, Value};

/// One line of `metrics.jsonl`, of whatever kind: `{"kind": …, "step": …}` and scalars.
///
/// A reader takes the kinds that it knows and passes over the others, so that a new kind breaks none.
///
/// ```
/// use train::{Metric, MetricKind, RowsRepeated};
///
/// let metric = Metric::of(&RowsRepeated { step: 7, share: 0.25 });
/// let line = r#"{"kind":"repeated","step":7,"share":0.25}"#;
/// assert_eq!(serde_json::to_string(&metric)?, line);
/// assert_eq!(metric.kind, RowsRepeated::KIND);
/// assert_eq!(metric.read::<RowsRepeated>()?.share, 0.25);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// What was recorded, such as `train`.
    pub kind: String,
    /// After how many optimizer steps.
    pub step: u64,
    /// What else the line holds, sorted by name; no value is an object or an array.
    #[serde(flatten, deserialize_with = "scalars")]
    pub scalars: Map<String, Value>,
}

/// A kind of metric, as a structure of a `step` and scalars.
pub trait MetricKind: Serialize + DeserializeOwned {
    /// Its name in the file.
    const KIND: &'static str;
}

impl Metric {
    /// The line that holds `fields`.
    pub fn of<K: MetricKind>(fields: &K) -> Self {
        let value = serde_json::to_value(fields).expect("plain data is valid JSON");
        let Value::Object(mut scalars) = value else { unreachable!("a structure is an object") };
        let step = scalars.remove("step").and_then(|step| step.as_u64()).expect("a metric has a step");
        debug_assert!(scalars.values().all(is_scalar), "`{}` is not flat: {scalars:?}", K::KIND);
        Self { kind: K::KIND.to_owned(), step, scalars }
    }

    /// The line as one of kind `K`; for the caller to have looked at [`Metric::kind`] before.
    ///
    /// # Errors
    /// If a field of that kind is missing, or is of another type.
    pub fn read<K: MetricKind>(&self) -> Result<K, serde_json::Error> {
        let mut fields = self.scalars.clone();
        fields.insert("step".to_owned(), self.step.into());
        serde_json::from_value(Value::Object(fields))
            .map_err(|error| serde_json::Error::custom(format_args!("kind `{}`: {error}", K::KIND)))
    }

    /// Whether this is the line of kind `K` at `step`.
    pub(crate) fn is<K: MetricKind>(&self, step: u64) -> bool {
        self.kind == K::KIND && self.step == step
    }
}

fn is_scalar(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

fn scalars<'de, D: Deserializer<'de>>(fields: D) -> Result<Map<String, Value>, D::Error> {
    let scalars = Map::deserialize(fields)?;
    match scalars.iter().find(|(_, value)| !is_scalar(value)) {
        None => Ok(scalars),
        Some((name, _)) => {
            Err(D::Error::custom(format_args!("`{name}`: expected a number, a text or a truth value")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_any_kind_is_read_and_written_to_the_same_bytes() {
        for line in [
            r#"{"kind":"reward","step":9007199254740993,"is_last":true,"mean":-0.1,"n":3,"policy":"a","spread":null}"#,
            r#"{"kind":"resumed","step":0}"#,
            r#"{"kind":"spike","step":3,"loss_nats":5.4321098765432101e-300}"#,
        ] {
            let metric: Metric = serde_json::from_str(line).unwrap();
            let again = serde_json::to_string(&metric).unwrap();
            assert_eq!(serde_json::from_str::<Metric>(&again).unwrap(), metric);
            assert!(line.contains("e-300") || again == line, "{again}");
        }
    }

    #[test]
    fn what_is_not_flat_or_has_no_step_is_no_metric() {
        for (line, expected) in [
            (r#"{"kind":"train","step":1,"lr":{"matrix":1.0}}"#, "`lr`: expected a number"),
            (r#"{"kind":"train","step":1,"rows":[1]}"#, "`rows`: expected a number"),
            (r#"{"kind":"begun"}"#, "missing field `step`"),
            (r#"{"step":1}"#, "missing field `kind`"),
            (r#"{"kind":"train","step":-1}"#, "-1"),
            (r#"{"kind":"train","step":1.5}"#, "1.5"),
            (r#"{"kind":1,"step":1}"#, "expected a string"),
            ("[]", "expected"),
            ("7", "expected"),
        ] {
            let error = serde_json::from_str::<Metric>(line).unwrap_err().to_string();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
