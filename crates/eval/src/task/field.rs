//! From the rows of a table to what a task asks: fields by templates, then prompts and answers.

use std::collections::BTreeMap;

use data::Template;
use regex::Regex;
use serde_json::{Map, Value};

use super::{Kind, chat_format::Shot, data_folder::Split, definition::Task, quiz};
use crate::{ExamError, python};

/// Fields whose text is JSON.
const LISTS: [&str; 14] = [
    "check",
    "points",
    "answer_info",
    "groups",
    "answers",
    "choices",
    "contexts",
    "labels",
    "mc1",
    "mc2",
    "targets",
    "test_list",
    "instruction_id_list",
    "kwargs",
];

/// Fields that hold what is asked, or the text that it is asked about; of several the longest.
const STEMS: [&str; 6] = ["question", "query", "goal", "sentence", "passage", "text"];

/// What a row asks, before anything stands in front of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Question {
    /// What is asked, without the words that a task puts around it.
    pub(super) stem: String,
    /// One context, or as many as there are choices.
    pub(super) contexts: Vec<String>,
    /// As many as there are choices, or one.
    pub(super) answers: Vec<String>,
    /// Which choices are right.
    pub(super) gold: Vec<usize>,
    /// Right answers, where answers are generated.
    pub(super) targets: Vec<String>,
    /// Fields that answers are judged by, beside the right one.
    pub(super) reference: Value,
}

impl Question {
    /// The question and its right answer, as an example for others.
    pub(super) fn shot(&self, task: &Task) -> Shot {
        let gold = self.gold.first().copied().unwrap_or(0);
        let pick = |texts: &[String]| texts.get(gold).or(texts.first()).cloned().unwrap_or_default();
        let answer = match task.kind {
            Kind::Generate => self.targets.first().cloned().unwrap_or_default(),
            _ => pick(&self.answers),
        };
        (pick(&self.contexts), answer)
    }
}

/// The questions of some rows of a split.
pub(super) fn questions(task: &Task, split: &Split<'_>, rows: &[usize]) -> Result<Vec<Question>, ExamError> {
    let form = split.form;
    let templates: Vec<&Template> = form.fields.iter().map(|(_, template)| template).collect();
    let needs_row = templates.iter().any(|template| template.reads().iter().any(|name| name == "row"));
    let mut objects = Vec::with_capacity(rows.len());
    for &row in rows {
        let mut fields = split.row(row).fields.clone();
        if form.is_quiz {
            quiz::normalise(&mut fields, &|| split.place(row))?;
        }
        check_fields(&templates, &fields, needs_row, || split.place(row))?;
        if needs_row {
            let whole = Value::Object(fields.clone());
            fields.insert("row".to_owned(), whole);
        }
        objects.push(Value::Object(fields).to_string());
    }
    let failed =
        |(i, error): (usize, data::DataError)| bad(split.place(rows[i]), "a row of the task", &error);
    let texts = Template::render_rows(&templates, &objects).map_err(failed)?;

    let mut documents = Vec::with_capacity(rows.len());
    for (texts, &row) in texts.into_iter().zip(rows) {
        let mut fields: BTreeMap<&str, Value> = BTreeMap::new();
        for ((name, _), text) in form.fields.iter().zip(texts) {
            let value = if LISTS.contains(&&**name) {
                serde_json::from_str(text.trim())
                    .map_err(|error| bad(split.place(row), &format!("JSON as `{name}`"), &error))?
            } else {
                Value::String(text)
            };
            fields.insert(name, value);
        }
        for name in &form.wikihow {
            if let Some(value) = fields.get_mut(name.as_str()) {
                clean(value);
            }
        }
        documents.push(fields);
    }
    asked(task, &documents, |i| split.place(rows[i]))
}

/// The questions of some of the examples that stand in a task's own file.
pub(super) fn given_questions(task: &Task, rows: &[usize]) -> Result<Vec<Question>, ExamError> {
    let fields = |&row: &usize| -> BTreeMap<&str, Value> {
        task.fewshot.samples[row].iter().map(|(name, value)| (name.as_str(), value.clone())).collect()
    };
    let documents: Vec<_> = rows.iter().map(fields).collect();
    asked(task, &documents, |i| format!("example {} of {}", rows[i] + 1, task.name))
}

/// The questions of documents whose fields are those of the task.
fn asked(
    task: &Task,
    documents: &[BTreeMap<&str, Value>],
    place: impl Fn(usize) -> String,
) -> Result<Vec<Question>, ExamError> {
    let objects: Vec<String> = documents.iter().map(|fields| serde_json::json!(fields).to_string()).collect();
    let templates: Vec<&Template> = task.prompt.iter().chain(&task.answers).collect();
    let failed = |(i, error): (usize, data::DataError)| bad(place(i), "a row of the task", &error);
    let texts = Template::render_rows(&templates, &objects).map_err(failed)?;
    let questions = documents.iter().zip(texts).enumerate();
    questions.map(|(i, (fields, texts))| question(task, fields, texts, || place(i))).collect()
}

fn question(
    task: &Task,
    fields: &BTreeMap<&str, Value>,
    texts: Vec<String>,
    place: impl Fn() -> String,
) -> Result<Question, ExamError> {
    let mut texts = texts.into_iter();
    let prompt = task.prompt.as_ref().and_then(|_| texts.next());
    let list = |value: &Value, what: &str| {
        let texts = value.as_array().map(|list| list.iter().map(|x| x.as_str().map(str::to_owned)).collect());
        let texts: Option<Vec<String>> = texts.flatten();
        texts.filter(|list| !list.is_empty()).ok_or_else(|| ExamError::Table {
            place: place(),
            expected: format!("a list of texts as {what}"),
            found: short(value),
            hint: "correct the row".to_owned(),
        })
    };
    let field = |name: &str| fields.get(name).unwrap_or(&Value::Null);
    let kept = task.keep.iter().map(|name| (name.clone(), field(name).clone()));
    let kept: Map<String, Value> = kept.filter(|(_, value)| !value.is_null()).collect();
    let reference = if kept.is_empty() { Value::Null } else { Value::Object(kept) };
    if task.has_rubric()
        && !reference["points"].as_f64().is_some_and(|points| points > 0.0 && points.is_finite())
    {
        return Err(ExamError::Table {
            place: place(),
            expected: "a number of points above 0".to_owned(),
            found: short(&reference["points"]),
            hint: "correct the row: `points` is what a perfect answer gets".to_owned(),
        });
    }
    if task.generate.is_some() {
        let text = texts.next().or_else(|| field("target").as_str().map(str::to_owned)).unwrap_or_default();
        let targets = match field("targets") {
            Value::Null => vec![text],
            several => list(several, "targets")?,
        };
        let contexts = vec![prompt.unwrap_or_default()];
        let stem = STEMS.iter().filter_map(|name| field(name).as_str()).max_by_key(|text| text.len());
        let stem = stem.map_or_else(|| contexts[0].clone(), str::to_owned);
        return Ok(Question { stem, contexts, answers: Vec::new(), gold: Vec::new(), targets, reference });
    }
    let answers = match (task.answers.as_ref().and_then(|_| texts.next()), task.kind) {
        (Some(text), _) => {
            let value = serde_json::from_str(text.trim()).map_err(|error| bad(place(), "answers", &error))?;
            list(&value, "answers")?
        }
        (None, Kind::Contexts) => vec![field("target").as_str().unwrap_or_default().to_owned()],
        (None, _) => list(field("choices"), "choices")?,
    };
    let contexts = match prompt {
        Some(prompt) => vec![prompt],
        None => list(field("contexts"), "contexts")?,
    };
    let n_choices = answers.len().max(contexts.len());
    let gold = match (task.kind, field("labels").as_array()) {
        (Kind::Continuation, _) => vec![0],
        (_, Some(labels)) if task.metrics.contains(&super::Metric::Mass) => {
            (0..labels.len()).filter(|&i| labels[i] == 1).collect()
        }
        _ => gold(field("gold"), n_choices, &place)?,
    };
    let stem = STEMS.iter().filter_map(|name| field(name).as_str()).max_by_key(|text| text.len());
    let stem = stem.map_or_else(|| contexts[0].clone(), str::to_owned);
    Ok(Question { stem, contexts, answers, gold, targets: Vec::new(), reference })
}

/// The number of the right choice, or of several.
fn gold(value: &Value, n_choices: usize, place: &impl Fn() -> String) -> Result<Vec<usize>, ExamError> {
    let text = value.as_str().unwrap_or_default().trim();
    let numbers: Option<Vec<usize>> = match text.parse::<usize>() {
        Ok(number) => Some(vec![number]),
        Err(_) => serde_json::from_str(text).ok(),
    };
    numbers.filter(|list| !list.is_empty() && list.iter().all(|&i| i < n_choices)).ok_or_else(|| {
        ExamError::Table {
            place: place(),
            expected: format!("a right answer among {n_choices} choices"),
            found: if text.is_empty() { "none".to_owned() } else { format!("`{text}`") },
            hint: "correct the row: the answer is a choice, its letter, or its number from 0".to_owned(),
        }
    })
}

fn check_fields(
    templates: &[&Template],
    fields: &Map<String, Value>,
    has_row: bool,
    place: impl Fn() -> String,
) -> Result<(), ExamError> {
    let names = templates.iter().flat_map(|template| template.reads());
    let missing = names.filter(|name| !(has_row && *name == "row")).find(|name| !fields.contains_key(*name));
    missing.map_or(Ok(()), |name| {
        let found: Vec<&str> = fields.keys().map(String::as_str).collect();
        Err(ExamError::Table {
            place: place(),
            expected: format!("a field `{name}`"),
            found: if found.is_empty() { "no fields".to_owned() } else { found.join(", ") },
            hint: "correct the row, or give the file in the form in which it is published".to_owned(),
        })
    })
}

/// `preprocess` of lm-evaluation-harness for HellaSwag: without the marks of WikiHow's pages.
fn clean(value: &mut Value) {
    match value {
        Value::String(text) => *text = without_marks(text),
        Value::Array(list) => list.iter_mut().for_each(clean),
        _ => {}
    }
}

fn without_marks(text: &str) -> String {
    // A mark does not go over the end of a line.
    static MARK: std::sync::LazyLock<Regex> =
        std::sync::LazyLock::new(|| Regex::new(r"\[[^\n]*?\]").expect("the pattern is a constant"));
    let text = python::strip(text).replace(" [title]", ". ");
    MARK.replace_all(&text, "").replace("  ", " ")
}

fn bad(place: String, expected: &str, error: &dyn std::fmt::Display) -> ExamError {
    let found = error.to_string().lines().next().unwrap_or_default().to_owned();
    ExamError::Table { place, expected: expected.to_owned(), found, hint: "correct the row".to_owned() }
}

/// A value in a few words.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        _ if value.is_null() => "none".to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_pages_are_removed_as_in_python() {
        // re.sub("\\[.*?\\]", "", text.strip().replace(" [title]", ". ")).replace("  ", " ")
        let cases = [
            (
                " How to bake [title] Begin. [step] Take  flour [substeps] now. ",
                "How to bake. Begin. Take flour now.",
            ),
            ("[a[b]c]   d", "c]  d"),
            ("[no\nmark]", "[no\nmark]"),
        ];
        for (text, expected) in cases {
            assert_eq!(without_marks(text), expected, "{text}");
        }
    }
}
