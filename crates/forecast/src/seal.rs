//! A forecast that nobody can change without it showing: what was fitted, what was forecast and when, under one hash.

use std::collections::BTreeMap;

use base::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BandPoint, Forecast, ForecastError, Point, ReferenceRuns, Table};

/// The format that this version writes and reads.
pub const SEAL_FORMAT: u32 = 2;

/// A sealed forecast.
///
/// The hash holds the content together: it cannot keep anyone from making another seal with another time. Whoever
/// publishes [`Seal::seal`] before the run begins has shown that this forecast was there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// [`SEAL_FORMAT`] of the version that wrote it.
    pub format: u32,
    /// The version of Maquette that made the forecast.
    pub maquette_version: String,
    /// When it was made.
    pub sealed_at: Timestamp,
    /// The runs fitted: all that is needed to make the same forecast again.
    pub points: Vec<Point>,
    /// Runs of the same design on other data, which show the bend of the curve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference_runs: Vec<ReferencePoints>,
    /// What was forecast, for which run, with which settings.
    pub forecast: Forecast,
    /// The same law over the range of the points and the target; empty where no figure is wanted.
    pub band: Vec<BandPoint>,
    /// Further forecasts of the same run, each under its own name.
    pub extra: BTreeMap<String, Value>,
    /// SHA-256, in hexadecimal, of all the rest: see [`Seal::verify`].
    pub seal: String,
}

/// Finished runs of the same design on other data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferencePoints {
    /// Its name.
    pub name: String,
    /// Its runs.
    pub points: Vec<Point>,
}

impl ReferencePoints {
    /// Those of these runs.
    pub fn of(runs: &ReferenceRuns) -> Self {
        Self { name: runs.name().to_owned(), points: runs.points().to_vec() }
    }

    /// The runs, ready for a fit.
    ///
    /// # Errors
    /// If they give no law.
    pub fn runs(&self) -> Result<ReferenceRuns, ForecastError> {
        ReferenceRuns::new(&self.name, &Table::new(self.points.clone())?)
    }
}

impl Seal {
    /// Seals what was fitted to `table`.
    ///
    /// # Errors
    /// If the forecast was made from another table, or holds a number that is not finite.
    pub fn new(
        table: &Table,
        forecast: Forecast,
        sealed_at: Timestamp,
        maquette_version: &str,
    ) -> Result<Self, SealError> {
        let seal = Self {
            format: SEAL_FORMAT,
            maquette_version: maquette_version.to_owned(),
            sealed_at,
            points: table.points().to_vec(),
            reference_runs: Vec::new(),
            forecast,
            band: Vec::new(),
            extra: BTreeMap::new(),
            seal: String::new(),
        };
        let seal = seal.sealed();
        seal.verify()?;
        // JSON has no NaN: it would come back as nothing.
        let read = serde_json::from_value(seal.value());
        if read.is_ok_and(|read: Self| read == seal) { Ok(seal) } else { Err(SealError::NotFinite) }
    }

    /// The same with the band of its figure, under a new hash.
    pub fn with_band(self, band: Vec<BandPoint>) -> Self {
        Self { band, ..self }.sealed()
    }

    /// The same with the reference runs that the forecast was made with, under a new hash.
    pub fn with_references(self, references: &[ReferenceRuns]) -> Self {
        Self { reference_runs: references.iter().map(ReferencePoints::of).collect(), ..self }.sealed()
    }

    /// Whether the forecast was made with these reference runs.
    pub fn is_with_references(&self, references: &[ReferenceRuns]) -> bool {
        let is_same = |(own, other): (&ReferencePoints, &ReferenceRuns)| own.points == other.points();
        self.reference_runs.len() == references.len()
            && self.reference_runs.iter().zip(references).all(is_same)
    }

    /// The reference runs that the forecast was made with.
    ///
    /// # Errors
    /// If they no longer give a law.
    pub fn references(&self) -> Result<Vec<ReferenceRuns>, ForecastError> {
        self.reference_runs.iter().map(ReferencePoints::runs).collect()
    }

    /// The same with one more forecast, under a new hash.
    pub fn with_extra(mut self, name: &str, value: Value) -> Self {
        self.extra.insert(name.to_owned(), value);
        self.sealed()
    }

    /// The file: JSON that people can read too.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(&self.value()).expect("a JSON value can be written") + "\n"
    }

    /// Reads a file and checks it as [`Seal::verify`] does.
    ///
    /// # Errors
    /// If it is no sealed forecast, of another format, or was changed.
    pub fn read(json: &[u8]) -> Result<Self, SealError> {
        let value: Value = serde_json::from_slice(json).map_err(SealError::Json)?;
        let format = value.get("format").and_then(Value::as_u64);
        let Some(format) = format.filter(|_| value.get("seal").is_some_and(Value::is_string)) else {
            return Err(SealError::NoSeal);
        };
        if format != u64::from(SEAL_FORMAT) {
            let by = value.get("maquette_version").and_then(Value::as_str).unwrap_or("another version");
            return Err(SealError::Format { found: format, by: by.to_owned() });
        }
        check_hash(&value)?;
        let seal: Self = serde_json::from_value(value).map_err(SealError::Json)?;
        seal.check_fit_set()?;
        Ok(seal)
    }

    /// Computes both hashes again: that of the points, [`Table::fingerprint`], and that of all but `seal`, taken of
    /// the JSON without spaces, keys in ascending order and numbers as short as they stay exact.
    ///
    /// # Errors
    /// If one is another than the one written down.
    pub fn verify(&self) -> Result<(), SealError> {
        check_hash(&self.value())?;
        self.check_fit_set()
    }

    /// Refuses a seal that is not from before the first step of the run that it forecasts.
    ///
    /// # Errors
    /// If it is later.
    pub fn check_before(&self, first_step_at: Timestamp) -> Result<(), SealError> {
        if self.sealed_at <= first_step_at {
            return Ok(());
        }
        Err(SealError::Late { sealed_at: self.sealed_at, first_step_at })
    }

    fn check_fit_set(&self) -> Result<(), SealError> {
        let found = Table::new(self.points.clone()).map_err(SealError::Points)?.fingerprint();
        if found == self.forecast.fingerprint {
            return Ok(());
        }
        Err(SealError::OtherPoints { expected: self.forecast.fingerprint.clone(), found })
    }

    fn sealed(mut self) -> Self {
        self.seal = hash(&self.value());
        self
    }

    fn value(&self) -> Value {
        serde_json::to_value(self).expect("numbers, texts and lists under names are valid JSON")
    }
}

fn check_hash(value: &Value) -> Result<(), SealError> {
    let expected = value.get("seal").and_then(Value::as_str).unwrap_or_default().to_owned();
    let found = hash(value);
    if expected == found { Ok(()) } else { Err(SealError::Changed { expected, found }) }
}

fn hash(value: &Value) -> String {
    content_hash(value, "seal")
}

/// SHA-256, in hexadecimal, of a value without its own entry `but`: of its JSON without spaces, keys in ascending order and
/// numbers as short as they stay exact.
pub fn content_hash(value: &Value, but: &str) -> String {
    let mut text = String::new();
    match value {
        Value::Object(entries) => {
            let rest = entries.iter().filter(|(key, _)| *key != but);
            write_object(rest.collect(), &mut text);
        }
        other => write_canonical(other, &mut text),
    }
    base::hash::sha256(text.as_bytes())
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(entries) => write_object(entries.iter().collect(), text),
        Value::Array(items) => {
            text.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                write_canonical(item, text);
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

/// The map sorts: how `serde_json` orders keys depends on a feature that any crate may turn on.
fn write_object(entries: BTreeMap<&String, &Value>, text: &mut String) {
    text.push('{');
    for (i, (key, value)) in entries.into_iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        text.push_str(&Value::from(key.as_str()).to_string());
        text.push(':');
        write_canonical(value, text);
    }
    text.push('}');
}

/// Why a sealed forecast was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The text is not the JSON of a seal.
    #[error(
        "expected a sealed forecast as JSON, found a fault: {0}\nhint: take the file as `maquette forecast seal` wrote it; an incomplete file cannot be checked"
    )]
    Json(serde_json::Error),
    /// JSON of something else.
    #[error(
        "expected a sealed forecast, found JSON without `format` and `seal`\nhint: `maquette forecast seal` writes one"
    )]
    NoSeal,
    /// Written by a version with another format.
    #[error(
        "expected a sealed forecast of format {SEAL_FORMAT}, found format {found}\nhint: read it with the maquette that wrote it ({by})"
    )]
    Format {
        /// Its format.
        found: u64,
        /// The version that it says it is from.
        by: String,
    },
    /// The content has another hash.
    #[error(
        "expected the content to have the hash {expected}, found {found}: the forecast was changed after sealing\nhint: take the file as it was sealed; a changed forecast proves nothing"
    )]
    Changed {
        /// The hash written down.
        expected: String,
        /// That of the content.
        found: String,
    },
    /// The forecast was made from other points than those beside it.
    #[error(
        "expected points with the fingerprint {expected}, found {found}: the forecast was made from other runs\nhint: seal again what was fitted to these points"
    )]
    OtherPoints {
        /// The fingerprint in the forecast.
        expected: String,
        /// That of the points.
        found: String,
    },
    /// The points are none that a law could have been fitted to.
    #[error("the sealed points are not a table of runs: {0}")]
    Points(ForecastError),
    /// A number that JSON cannot hold.
    #[error(
        "expected finite numbers in the forecast, found one that is not\nhint: look at the points for runs that do not belong together"
    )]
    NotFinite,
    /// Sealed after the run had begun.
    #[error(
        "expected a seal from before the run's first step at {first_step_at}, found one sealed late, at {sealed_at}\nhint: seal before the run begins; a forecast made afterwards proves nothing"
    )]
    Late {
        /// When it was sealed.
        sealed_at: Timestamp,
        /// When the run took its first step.
        first_step_at: Timestamp,
    },
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Prediction, Settings, Target};

    /// A seal of a made-up forecast: nothing is fitted, so every number is known.
    pub(crate) fn example() -> Seal {
        let point = |run: &str, flops: f64, loss: f64| Point {
            run: run.to_owned(),
            n_params: None,
            n_tokens: None,
            flops,
            loss,
            seed: Some(1),
        };
        let table = Table::new(vec![point("small", 1e15, 4.0), point("large", 1e17, 3.0)]).unwrap();
        let draws: Vec<f64> = (0..1000).map(|i| 2.0 + f64::from(i) / 999.0).collect();
        let forecast = Forecast {
            law: "compute".to_owned(),
            formula: "L = a·C^-b + c".to_owned(),
            coefficients: BTreeMap::from([("a".to_owned(), 0.1 + 0.2)]),
            standard_errors: BTreeMap::from([("a".to_owned(), 1e-300)]),
            irreducible: None,
            target: Target::at_flops(1e20).unwrap(),
            prediction: Prediction::from_draws(&draws),
            draws,
            warnings: Vec::new(),
            laws: Vec::new(),
            n_points: 2,
            n_configurations: 2,
            extrapolation: 1e3,
            residual_pct: 0.5,
            fingerprint: table.fingerprint(),
            settings: Settings::default(),
        };
        Seal::new(&table, forecast, Timestamp::from_unix_s(1.8e9).unwrap(), "0.1.0").unwrap()
    }

    #[test]
    fn a_seal_comes_back_as_it_was_written_to_the_last_bit() {
        let seal = example().with_extra("pass_rates", serde_json::json!({ "b": [0.1, 1e-7], "a": null }));
        let read = Seal::read(seal.to_json().as_bytes()).unwrap();
        assert_eq!(read, seal);
        assert_eq!(read.to_json(), seal.to_json());
        assert_ne!(seal.seal, example().seal, "what is added is under the hash");
    }

    #[test]
    fn layout_and_order_of_keys_are_not_content() {
        let seal = example();
        let value: Value = serde_json::from_str(&seal.to_json()).unwrap();
        let entries = value.as_object().unwrap();
        let turned: Vec<String> =
            entries.iter().rev().map(|(k, v)| format!("{}:{v}", Value::from(k.as_str()))).collect();
        let text = format!("{{{}}}", turned.join(" , "));
        assert_eq!(Seal::read(text.as_bytes()).unwrap(), seal);
    }

    #[test]
    fn any_change_of_content_shows() {
        let json = example().to_json();
        for (from, to) in [
            ("\"loss\": 4.0", "\"loss\": 4.1"),
            ("2027-01-15", "2027-01-14"),
            ("\"run\": \"small\"", "\"run\": \"Small\""),
            ("\"extra\": {}", "\"extra\": {\"more\": 1}"),
            ("\"format\": 2", "\"more\": 1, \"format\": 2"),
            ("\"median\": 2.5", "\"median\": 2.4"),
        ] {
            assert_eq!(json.matches(from).count(), 1, "{from}: {json:.900}");
            let error = Seal::read(json.replace(from, to).as_bytes()).unwrap_err();
            assert!(matches!(error, SealError::Changed { .. }), "{from}: {error}");
            assert!(error.to_string().contains("changed after sealing\nhint: "), "{error}");
        }
        let mut seal = example();
        seal.forecast.prediction.median += 1e-12;
        assert!(matches!(seal.verify(), Err(SealError::Changed { .. })));
    }

    #[test]
    fn a_forecast_from_other_points_is_refused_even_under_a_hash_of_its_own() {
        let mut seal = example();
        seal.points[0].loss = 4.1;
        let seal = seal.sealed();
        assert!(matches!(seal.verify(), Err(SealError::OtherPoints { .. })));
        assert!(matches!(Seal::read(seal.to_json().as_bytes()), Err(SealError::OtherPoints { .. })));
        let mut seal = example();
        seal.points[0].loss = -1.0;
        assert!(matches!(seal.sealed().verify(), Err(SealError::Points(_))));
    }

    #[test]
    fn what_is_no_seal_is_told_from_what_is_one_of_another_format() {
        let json = example().to_json();
        let half = &json[..json.len() / 2];
        assert!(matches!(Seal::read(half.as_bytes()), Err(SealError::Json(_))));
        assert!(matches!(Seal::read(b""), Err(SealError::Json(_))));
        assert!(matches!(Seal::read(&[0xff, 0xfe]), Err(SealError::Json(_))));
        for other in ["[]", "3", "{}", "{\"format\": 1}", "{\"format\": -1, \"seal\": \"\"}"] {
            assert!(matches!(Seal::read(other.as_bytes()), Err(SealError::NoSeal)), "{other}");
        }
        let newer = json.replace("\"format\": 2", "\"format\": 3").replace("0.1.0", "0.9.0");
        let error = Seal::read(newer.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("found format 3\n") && error.ends_with("(0.9.0)"), "{error}");
    }

    #[test]
    fn a_number_that_json_cannot_hold_is_not_sealed() {
        let mut seal = example();
        seal.forecast.residual_pct = f64::NAN;
        let table = Table::new(seal.points).unwrap();
        let refused = Seal::new(&table, seal.forecast, seal.sealed_at, "0.1.0");
        assert!(matches!(refused, Err(SealError::NotFinite)), "{refused:?}");
    }

    #[test]
    fn a_seal_must_not_be_later_than_the_first_step() {
        let seal = example();
        let at = |unix_s: f64| seal.check_before(Timestamp::from_unix_s(unix_s).unwrap());
        assert!(at(1.8e9).is_ok() && at(1.9e9).is_ok());
        let error = at(1.8e9 - 0.001).unwrap_err().to_string();
        assert!(error.contains("sealed late, at 2027-01-15T08:00:00.000Z"), "{error}");
    }
}
