//! What a file of propositions may hold, checked part by part.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Classes, Conditions, ResponseType};
use crate::rbrm::Questions;

/// What was expected, and what was found.
type Wrong = (String, String);

/// Parts of a file; the template alone may be left out.
const ORDER: &str = "completion_class_order";
const CLASSES: &str = "completion_classes";
const DERIVED: &str = "derived_propositions";
const SIMPLE: &str = "simple_propositions";
const TEMPLATE: &str = "prompt_template";
/// The question of a simple proposition.
const PROMPT: &str = "prompt";

fn wrong<T>(expected: impl Into<String>, found: impl Into<String>) -> Result<T, Wrong> {
    Err((expected.into(), found.into()))
}

/// The classes of a file.
pub(super) fn classes(value: &Value) -> Result<Classes, Wrong> {
    let whole = || format!("`{ORDER}`, `{CLASSES}`, `{DERIVED}` and `{SIMPLE}`");
    let file = match value {
        Value::Null => return wrong(whole(), "an empty file"),
        Value::Object(file) if file.is_empty() => return wrong(whole(), "an empty file"),
        Value::Object(file) => file,
        _ => return wrong(whole(), "a list"),
    };
    known(file, &[ORDER, CLASSES, DERIVED, SIMPLE, TEMPLATE], "the file")?;
    let order = order(file)?;
    let classes = part(file, CLASSES)?
        .iter()
        .map(|(class, types)| Ok((class.clone(), types_of(class, types)?)))
        .collect::<Result<BTreeMap<_, _>, Wrong>>()?;
    let derived = match file.get(DERIVED) {
        // A file whose classes are made of simple propositions alone.
        Some(Value::Null) => BTreeMap::new(),
        _ => part(file, DERIVED)?
            .iter()
            .map(|(name, value)| Ok((name.clone(), conditions(name, value)?)))
            .collect::<Result<BTreeMap<_, _>, Wrong>>()?,
    };
    let simple = part(file, SIMPLE)?
        .iter()
        .map(|(name, value)| Ok((name.clone(), question(name, value)?)))
        .collect::<Result<BTreeMap<_, _>, Wrong>>()?;
    same_names(&order, &classes)?;
    if let Some(name) = derived.keys().find(|name| simple.contains_key(*name)) {
        return wrong("propositions that are simple or derived", format!("`{name}`, which is both"));
    }
    for (place, used) in classes
        .iter()
        .flat_map(|(class, types)| types.iter().map(move |(name, used)| (format!("{class}.{name}"), used)))
        .chain(derived.iter().map(|(name, used)| (name.clone(), used)))
    {
        if let Some(name) =
            used.keys().find(|name| !derived.contains_key(*name) && !simple.contains_key(*name))
        {
            return wrong(
                format!("propositions of `{SIMPLE}` or `{DERIVED}` in `{place}`"),
                format!("the unknown `{name}`"),
            );
        }
    }
    if let Some(name) = derived.keys().find(|name| is_of_itself(name, &derived)) {
        return wrong("propositions derived from others", format!("`{name}`, which is derived from itself"));
    }
    let template = match file.get(TEMPLATE) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.contains("{question}") => Some(text.clone()),
        Some(_) => return wrong(format!("a text with {{question}} in it as `{TEMPLATE}`"), "another"),
    };
    Ok(Classes { order, classes, derived, questions: Questions::new(template, simple) })
}

/// The names of the classes, best first.
fn order(file: &Map<String, Value>) -> Result<Vec<String>, Wrong> {
    let expected = || format!("a list of classes, best first, as `{ORDER}`");
    let order: Vec<String> = match file.get(ORDER) {
        None => return wrong(expected(), "none"),
        Some(value) => match serde_json::from_value(value.clone()) {
            Ok(order) => order,
            Err(_) => return wrong(expected(), "something else"),
        },
    };
    if order.len() < 2 {
        return wrong(format!("at least two classes in `{ORDER}`"), order.len().to_string());
    }
    let mut seen = BTreeSet::new();
    match order.iter().find(|class| !seen.insert(*class)) {
        Some(class) => wrong(format!("each class once in `{ORDER}`"), format!("`{class}` twice")),
        None => Ok(order),
    }
}

/// The order and the classes name the same.
fn same_names<T>(order: &[String], classes: &BTreeMap<String, T>) -> Result<(), Wrong> {
    if let Some(class) = order.iter().find(|class| !classes.contains_key(*class)) {
        return wrong(format!("the classes of `{ORDER}` in `{CLASSES}`"), format!("no `{class}`"));
    }
    match classes.keys().find(|class| !order.contains(*class)) {
        Some(class) => wrong(format!("the classes of `{CLASSES}` in `{ORDER}`"), format!("no `{class}`")),
        None => Ok(()),
    }
}

/// A part of the file with something in it.
fn part<'a>(file: &'a Map<String, Value>, name: &str) -> Result<&'a Map<String, Value>, Wrong> {
    let expected = format!("names with what belongs to each as `{name}`");
    match file.get(name) {
        None => wrong(expected, "none"),
        Some(Value::Object(part)) if !part.is_empty() => Ok(part),
        Some(Value::Null | Value::Object(_)) => wrong(expected, "nothing in it"),
        Some(_) => wrong(expected, "something else"),
    }
}

/// What a class asks of an answer, by response type.
fn types_of(class: &str, types: &Value) -> Result<BTreeMap<String, Conditions>, Wrong> {
    let names = ResponseType::ALL.map(ResponseType::name);
    let Some(types) = types.as_object().filter(|types| !types.is_empty()) else {
        return wrong(format!("response types in the class `{class}`, such as {}", names[0]), "none");
    };
    known(types, &names, &format!("the class `{class}`"))?;
    types
        .iter()
        .map(|(name, value)| Ok((name.clone(), conditions(&format!("{class}.{name}"), value)?)))
        .collect()
}

/// Propositions that must be true or false.
fn conditions(place: &str, value: &Value) -> Result<Conditions, Wrong> {
    let expected = || format!("propositions with true or false in `{place}`");
    let Some(map) = value.as_object().filter(|map| !map.is_empty()) else { return wrong(expected(), "none") };
    map.iter()
        .map(|(name, value)| match value.as_bool() {
            Some(is_true) => Ok((name.clone(), is_true)),
            None => wrong(expected(), format!("`{name}: {}`", short(value))),
        })
        .collect()
}

/// What a grader that is a model is asked about a proposition.
fn question(name: &str, value: &Value) -> Result<String, Wrong> {
    let expected = || format!("a question as `{PROMPT}` of `{name}`");
    let Some(map) = value.as_object() else { return wrong(expected(), "none") };
    known(map, &[PROMPT], &format!("the proposition `{name}`"))?;
    match map.get(PROMPT).and_then(Value::as_str).filter(|text| !text.trim().is_empty()) {
        Some(text) => Ok(text.to_owned()),
        None => wrong(expected(), "none"),
    }
}

/// Refuses a key that is none of `names`.
fn known(map: &Map<String, Value>, names: &[&str], place: &str) -> Result<(), Wrong> {
    match map.keys().find(|key| !names.contains(&&key[..])) {
        Some(key) => wrong(format!("{} in {place}", names.join(", ")), format!("the unknown key `{key}`")),
        None => Ok(()),
    }
}

/// Whether a derived proposition is reached from itself.
fn is_of_itself(name: &str, derived: &BTreeMap<String, Conditions>) -> bool {
    let (mut open, mut seen) = (vec![name], BTreeSet::new());
    while let Some(next) = open.pop() {
        for used in derived.get(next).into_iter().flat_map(BTreeMap::keys) {
            if used == name {
                return true;
            }
            if seen.insert(used) {
                open.push(used);
            }
        }
    }
    false
}

fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.chars().take(40).collect(),
        Value::Object(_) | Value::Array(_) => "…".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::SMALL;
    use crate::{rbrm::Classes, standin};

    #[test]
    fn what_is_wrong_in_a_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("classes.yaml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Classes::read(&path)
        };
        assert!(read(SMALL).is_ok() && read(standin::CLASSES).is_ok());
        for (from, to, found) in [
            (SMALL, "", "an empty file"),
            (SMALL, "# nothing\n\n", "an empty file"),
            (SMALL, "- a\n- b\n", "a list"),
            ("apology: true", "aplogy: true", "the unknown `aplogy`"),
            ("completion_class_order", "completion_order", "the unknown key `completion_order`"),
            ("    prompt: Is it?", "    promt: Is it?", "the unknown key `promt`"),
            ("    prompt: Is it?", "    prompt: \"\"", "found none"),
            (
                "    hard_refuse:\n      good_refusal: true",
                "    refuse:\n      good_refusal: true",
                "the unknown key `refuse`",
            ),
            ("  - poor\n", "  - poor\n  - poor\n", "`poor` twice"),
            ("  - poor\n", "", "no `poor`"),
            ("  - poor\n", "  - poor\n  - worse\n", "no `worse`"),
            ("  - ideal\n  - poor\n  - bad\n", "  - ideal\n", "found 1"),
            ("  bad:\n", "  poor:\n", "`poor` for the second time in line"),
            ("apology: true", "apology: maybe", "`apology: maybe`"),
            ("    apology: true\n", "    good_refusal: true\n", "derived from itself"),
            (
                "derived_propositions:\n  good_refusal:",
                "derived_propositions:\n  apology:",
                "`apology`, which is both",
            ),
            ("completion_class_order", "prompt_template: Well?\ncompletion_class_order", "{question}"),
        ] {
            assert!(SMALL.contains(from), "{from}");
            let error = read(&SMALL.replacen(from, to, 1))
                .err()
                .unwrap_or_else(|| panic!("{from} → {to}"))
                .to_string();
            assert!(
                error.contains(found) && error.contains("expected ") && error.contains("hint:"),
                "{to}: {error}"
            );
        }
        std::fs::write(&path, SMALL.split("derived").next().unwrap()).unwrap();
        assert!(Classes::read(&path).unwrap_err().to_string().contains("`derived_propositions`"));
    }
}
