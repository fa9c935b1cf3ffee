//! The fields of `config.json`, and what is said of those that cannot be used.

use std::path::Path;

use serde_json::Value;

use super::CheckpointError;

/// `config.json` while it is read.
pub(super) struct Fields<'a> {
    pub(super) path: &'a Path,
    pub(super) value: &'a Value,
}

impl Fields<'_> {
    pub(super) fn value(&self) -> &Value {
        self.value
    }

    pub(super) fn unsupported(&self, what: &str, found: &Value, expected: &str) -> CheckpointError {
        CheckpointError::Unsupported {
            path: self.path.to_owned(),
            what: format!("`{what}`"),
            found: found.to_string(),
            expected: expected.into(),
        }
    }

    pub(super) fn size_in(&self, object: &Value, name: &str) -> Result<usize, CheckpointError> {
        let found = &object[name];
        let size = found.as_u64().and_then(|n| usize::try_from(n).ok());
        size.ok_or_else(|| self.unsupported(name, found, "a whole number"))
    }

    pub(super) fn size(&self, name: &str) -> Result<usize, CheckpointError> {
        self.size_in(self.value, name)
    }

    pub(super) fn size_or(&self, name: &str, default: usize) -> Result<usize, CheckpointError> {
        if self.value[name].is_null() { Ok(default) } else { self.size(name) }
    }

    pub(super) fn real(&self, name: &str, found: &Value) -> Result<f64, CheckpointError> {
        found.as_f64().ok_or_else(|| self.unsupported(name, found, "a number"))
    }

    pub(super) fn flag_or(&self, name: &str, default: bool) -> Result<bool, CheckpointError> {
        match &self.value[name] {
            Value::Null => Ok(default),
            found => found.as_bool().ok_or_else(|| self.unsupported(name, found, "true or false")),
        }
    }
}
