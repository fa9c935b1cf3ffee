//! The fields of a JSON object, each of which must be read.

use serde_json::{Map, Value};

use crate::api_error::ApiError;

/// The fields of a JSON object that were not read yet; what is `null` counts as left out.
#[derive(Debug)]
pub(crate) struct Fields {
    map: Map<String, Value>,
    /// Where the object stands, such as `messages[0]`; empty for the body itself.
    path: String,
}

impl Fields {
    /// Those of `value`, which stands at `path`.
    pub(crate) fn of(value: Value, path: impl Into<String>) -> Result<Self, ApiError> {
        let path = path.into();
        match value {
            Value::Object(map) => Ok(Self { map, path }),
            other => Err(wrong(&path, "an object", &other)),
        }
    }

    /// The path of a field.
    pub(crate) fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        self.take(name)
            .map(|value| match value {
                Value::String(text) => Ok(text),
                other => Err(wrong(&self.path(name), "a string", &other)),
            })
            .transpose()
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        self.take(name)
            .map(|value| value.as_bool().ok_or_else(|| wrong(&self.path(name), "true or false", &value)))
            .transpose()
    }

    pub(crate) fn number(&mut self, name: &str, least: f64, most: f64) -> Result<Option<f64>, ApiError> {
        self.take(name)
            .map(|value| {
                let number = value.as_f64().filter(|number| (least..=most).contains(number));
                number.ok_or_else(|| {
                    wrong(&self.path(name), &format!("a number from {least} to {most}"), &value)
                })
            })
            .transpose()
    }

    pub(crate) fn count(&mut self, name: &str, least: u64, most: u64) -> Result<Option<u64>, ApiError> {
        self.take(name)
            .map(|value| {
                let number = whole(&value).filter(|number| (least..=most).contains(number));
                number.ok_or_else(|| {
                    wrong(&self.path(name), &format!("a whole number from {least} to {most}"), &value)
                })
            })
            .transpose()
    }

    /// A seed, of which a negative one is as good as any.
    pub(crate) fn seed(&mut self, name: &str) -> Result<Option<u64>, ApiError> {
        self.take(name)
            .map(|value| {
                let number = value.as_u64().or_else(|| value.as_i64().map(|number| number as u64));
                number.ok_or_else(|| wrong(&self.path(name), "a whole number of 64 bits", &value))
            })
            .transpose()
    }

    pub(crate) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, ApiError> {
        self.take(name)
            .map(|value| match value {
                Value::Array(list) => Ok(list),
                other => Err(wrong(&self.path(name), "a list", &other)),
            })
            .transpose()
    }

    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Self>, ApiError> {
        let path = self.path(name);
        self.take(name).map(|value| Self::of(value, path)).transpose()
    }

    /// An error about a field.
    pub(crate) fn bad(&self, name: &str, message: impl Into<String>) -> ApiError {
        ApiError::bad(self.path(name), message)
    }

    /// A field that must be there.
    pub(crate) fn missing(&self, name: &str) -> ApiError {
        let path = self.path(name);
        ApiError::bad(&path, format!("expected the field `{path}`, found none"))
            .code("missing_required_parameter")
    }

    /// Refuses a field unless it says what holds anyway.
    pub(crate) fn only(
        &mut self,
        name: &str,
        is_held: impl Fn(&Value) -> bool,
        why: &str,
    ) -> Result<(), ApiError> {
        match self.take(name) {
            Some(value) if !is_held(&value) => {
                let path = self.path(name);
                let found = shown(&value);
                Err(ApiError::bad(&path, format!("`{path}` = {found} cannot be honoured: {why}"))
                    .code("unsupported_value"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses what was not read.
    pub(crate) fn end(self) -> Result<(), ApiError> {
        match self.map.iter().find(|(_, value)| !value.is_null()) {
            None => Ok(()),
            Some((name, _)) => {
                let path = self.path(&name.chars().take(100).collect::<String>());
                Err(ApiError::bad(
                    &path,
                    format!("expected fields that this server knows, found `{path}`\nhint: leave it out"),
                )
                .code("unknown_parameter"))
            }
        }
    }
}

/// A whole number, also where it is written as `1.0`.
fn whole(value: &Value) -> Option<u64> {
    let float = || value.as_f64().filter(|x| x.fract() == 0.0 && (0.0..9e15).contains(x)).map(|x| x as u64);
    value.as_u64().or_else(float)
}

/// A value that is not what was expected.
pub(crate) fn wrong(path: &str, expected: &str, found: &Value) -> ApiError {
    let place = if path.is_empty() { "the body".to_owned() } else { format!("`{path}`") };
    let message = format!("expected {expected} in {place}, found {}", shown(found));
    let path = if path.is_empty() { "body" } else { path };
    ApiError::bad(path, message).code("invalid_value")
}

/// A value in a few letters. Texts may be private, and are not shown.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.len() <= 20 => format!("{text:?}"),
        Value::String(_) => "a string".into(),
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Object(_) => "an object".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_read_is_refused_by_name() {
        let mut fields = Fields::of(json!({"a": 1, "b": null, "c": {"d": 2}}), "").unwrap();
        assert_eq!(fields.count("a", 0, 5).unwrap(), Some(1));
        let mut inner = fields.object("c").unwrap().unwrap();
        assert_eq!(inner.number("d", 0.0, 1.0).unwrap_err().json()["error"]["param"], "c.d");
        inner.end().unwrap();
        fields.end().unwrap();
        let rest = Fields::of(json!({"x": 1}), "m[0]").unwrap();
        assert_eq!(rest.end().unwrap_err().json()["error"]["param"], "m[0].x");
    }

    #[test]
    fn numbers_are_checked() {
        for (value, want) in
            [(json!(3), Some(3)), (json!(3.0), Some(3)), (json!(3.5), None), (json!(-1), None)]
        {
            let mut fields = Fields::of(json!({"n": value}), "").unwrap();
            assert_eq!(fields.count("n", 1, 9).ok().flatten(), want);
        }
        let seed = |value| Fields::of(json!({"s": value}), "").unwrap().seed("s").ok().flatten();
        assert_eq!(seed(json!(-1)), Some(u64::MAX));
        assert_eq!(seed(json!(u64::MAX)), Some(u64::MAX));
        assert_eq!(seed(json!(0.5)), None);
        assert_eq!(seed(json!("1")), None);
    }
}
