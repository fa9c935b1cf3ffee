//! Tables in JSON: rows as objects, or columns as lists or objects.

use serde_json::{Map, Value};

use super::{Line, Sheet};
use crate::ForecastError;

type Object = Map<String, Value>;

pub(super) fn read(text: &str) -> Result<Sheet, ForecastError> {
    let rows = rows(text)?;
    let mut header: Vec<String> = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    for name in rows.iter().flat_map(|row| row.iter().map(|(name, _)| name)) {
        if known.insert(name.clone()) {
            header.push(name.clone());
        }
    }
    let line = |(number, row): (u64, &Vec<(String, String)>)| {
        let cell =
            |name: &String| row.iter().find(|(n, _)| n == name).map_or(String::new(), |(_, c)| c.clone());
        Line { number, cells: header.iter().map(cell).collect() }
    };
    let lines = (1..).zip(&rows).map(line).collect();
    Ok(Sheet { header, lines, delimiter: ',', warnings: Vec::new() })
}

/// The cells of each row, by name; what is nested gets a name with slashes.
fn rows(text: &str) -> Result<Vec<Vec<(String, String)>>, ForecastError> {
    let mut objects: Vec<Object> = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        match value.map_err(|error| bad(&error.to_string()))? {
            Value::Array(all) => {
                for row in all {
                    match row {
                        Value::Object(row) => objects.push(row),
                        other => return Err(bad(&format!("a list that holds {}", kind(&other)))),
                    }
                }
            }
            Value::Object(object) => objects.push(object),
            other => return Err(bad(kind(&other))),
        }
    }
    if let [columns] = objects.as_slice()
        && let Some(rows) = transposed(columns)
    {
        return Ok(rows);
    }
    let cells = |object: &Object| {
        let mut cells = Vec::new();
        flatten("", object, &mut cells);
        cells
    };
    Ok(objects.iter().map(cells).collect())
}

/// Rows of an object whose values are all columns: lists, or objects from the number of the row.
fn transposed(columns: &Object) -> Option<Vec<Vec<(String, String)>>> {
    let column = |value: &Value| -> Option<Vec<(String, String)>> {
        match value {
            Value::Array(all) => {
                Some(all.iter().enumerate().map(|(i, v)| (i.to_string(), text(v))).collect())
            }
            Value::Object(all) => Some(all.iter().map(|(i, v)| (i.clone(), text(v))).collect()),
            _ => None,
        }
    };
    let columns: Option<Vec<_>> = columns.iter().map(|(name, value)| Some((name, column(value)?))).collect();
    let columns = columns.filter(|columns| columns.len() > 1)?;
    let keys: Vec<&String> = columns[0].1.iter().map(|(key, _)| key).collect();
    let row = |key: &String| {
        let cell = |(name, cells): &(&String, Vec<(String, String)>)| {
            let cell = cells.iter().find(|(other, _)| other == key)?;
            Some(((*name).clone(), cell.1.clone()))
        };
        columns.iter().filter_map(cell).collect()
    };
    Some(keys.into_iter().map(row).collect())
}

fn flatten(prefix: &str, object: &Object, cells: &mut Vec<(String, String)>) {
    for (name, value) in object {
        let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        match value {
            Value::Object(inner) => flatten(&name, inner, cells),
            other => cells.push((name, text(other))),
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "numbers",
        Value::String(_) => "strings",
        Value::Array(_) => "lists",
        Value::Object(_) => "objects",
    }
}

fn bad(found: &str) -> ForecastError {
    ForecastError::BadJson { found: found.to_owned() }
}
