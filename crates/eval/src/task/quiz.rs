//! Rows of a user's own quiz, in the forms in which people write them.

use serde_json::{Map, Value};

use crate::ExamError;

/// What a column of one choice may be named, such as `A` or `choice1`; the first choice is number 0.
const COLUMNS: [&str; 4] = ["", "choice", "option", "answer"];
const HINT: &str = "`choices` is a list (in a .csv file its JSON), or each stands in a column of its own: A, B, C, …; \
                    the answer is a choice, its letter, or its number from 0";

/// Sets `choices` to a list of texts and `gold` to the number of the right one.
pub(super) fn normalise(
    fields: &mut Map<String, Value>,
    place: &dyn Fn() -> String,
) -> Result<(), ExamError> {
    let wrong = |expected: &str, found: String| {
        let (expected, hint) = (expected.to_owned(), HINT.to_owned());
        ExamError::Table { place: place(), expected, found, hint }
    };
    let choices = match fields.get("choices").filter(|value| !value.is_null()) {
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|_| {
            wrong("a list of `choices`", format!("`{}`", text.chars().take(60).collect::<String>()))
        })?,
        Some(list) => list.clone(),
        None => Value::Array(columns(fields)),
    };
    if choices.as_array().is_some_and(Vec::is_empty) && !fields.contains_key("choices") {
        // The field that is missing is named where all are.
        return Ok(());
    }
    let said = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let texts: Option<Vec<String>> =
        choices.as_array().and_then(|list| list.iter().map(said).collect::<Option<_>>());
    let texts = texts.ok_or_else(|| {
        wrong("a list of texts as `choices`", choices.to_string().chars().take(60).collect())
    })?;
    if texts.len() < 2 {
        return Err(wrong("two `choices` or more", texts.len().to_string()));
    }
    if let Some(twice) = texts.iter().enumerate().find(|(i, text)| texts[..*i].contains(text)) {
        return Err(wrong("choices that differ", format!("`{}` twice", twice.1)));
    }
    let answer = fields
        .get("answer")
        .and_then(said)
        .map(|answer| answer.trim().to_owned())
        .filter(|answer| !answer.is_empty());
    let answer = answer.ok_or_else(|| wrong("an `answer`", "none".to_owned()))?;
    let gold = number(&answer, &texts).ok_or_else(|| {
        wrong(&format!("a right answer among {} choices", texts.len()), format!("`{answer}`"))
    })?;
    fields.insert("choices".to_owned(), texts.into());
    fields.insert("gold".to_owned(), gold.into());
    Ok(())
}

/// The number of the choice that an answer means: its text, its letter, or its number.
fn number(answer: &str, choices: &[String]) -> Option<usize> {
    let letter = || match answer.as_bytes() {
        [letter] if letter.is_ascii_alphabetic() => Some(usize::from(letter.to_ascii_uppercase() - b'A')),
        _ => None,
    };
    let is_there = |i: &usize| *i < choices.len();
    let by_text = choices.iter().position(|choice| choice.trim() == answer);
    by_text.or_else(|| letter().or_else(|| answer.parse().ok()).filter(is_there))
}

/// Choices in columns of their own: A, B, …, or choice1, choice2, …, or option_a, …. Empty ones at the end are none.
fn columns(fields: &Map<String, Value>) -> Vec<Value> {
    let column = |stem: &str, i: u8| {
        let letter = char::from(b'a' + i);
        let names = [
            format!("{stem}{letter}"),
            format!("{stem}_{letter}"),
            format!("{stem}{}", i + 1),
            format!("{stem}_{}", i + 1),
        ];
        let is_named = |name: &str| {
            let name = name.to_ascii_lowercase();
            // A bare number is no column's name.
            names.iter().take(if stem.is_empty() { 1 } else { 4 }).any(|wanted| *wanted == name)
        };
        fields.iter().find(|(name, _)| is_named(name)).map(|(_, value)| value)
    };
    let mut found =
        COLUMNS.iter().map(|stem| (0..26).map_while(|i| column(stem, i).cloned()).collect::<Vec<_>>());
    let mut choices = found.find(|choices| choices.len() > 1).unwrap_or_default();
    while choices.last().is_some_and(|last| last.is_null() || last == "") {
        choices.pop();
    }
    choices
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn gold(row: Value) -> Result<(Vec<String>, u64), String> {
        let Value::Object(mut fields) = row else { panic!("no row") };
        normalise(&mut fields, &|| "quiz.csv:2".to_owned()).map_err(|error| error.to_string())?;
        let choices = fields["choices"].as_array().unwrap().iter().map(|x| x.as_str().unwrap().to_owned());
        Ok((choices.collect(), fields["gold"].as_u64().unwrap()))
    }

    #[test]
    fn choices_are_a_list_or_columns_and_answers_texts_letters_or_numbers() {
        let abc = |gold| Ok((["u", "v", "w"].map(str::to_owned).to_vec(), gold));
        for answer in [json!("w"), json!("C"), json!("c"), json!(" 2 "), json!(2)] {
            assert_eq!(gold(json!({"choices": ["u", "v", "w"], "answer": answer})), abc(2), "{answer}");
        }
        assert_eq!(gold(json!({"choices": r#"["u", "v", "w"]"#, "answer": "0"})), abc(0));
        assert_eq!(gold(json!({"A": "u", "B": "v", "C": "w", "D": "", "answer": "B"})), abc(1));
        assert_eq!(gold(json!({"choice1": "u", "choice2": "v", "choice3": "w", "answer": "v"})), abc(1));
        assert_eq!(gold(json!({"option_a": "u", "option_b": "v", "option_c": "w", "answer": "a"})), abc(0));
        // A choice that is a letter or a number is meant by its text.
        assert_eq!(gold(json!({"choices": ["B", "A"], "answer": "A"})).unwrap().1, 1);
        assert_eq!(gold(json!({"choices": ["2", "0", 1], "answer": 2})).unwrap().1, 0);
    }

    #[test]
    fn answers_that_mean_no_choice_are_refused() {
        let five = json!(["u", "v", "w", "y", "z"]);
        for answer in ["", " ", "BC", "defg", "F", "5", "-1", "fire"] {
            let error = gold(json!({"choices": five, "answer": answer})).unwrap_err();
            assert!(error.contains("quiz.csv:2") && error.contains("hint: "), "{answer}: {error}");
        }
        assert!(gold(json!({"choices": five})).unwrap_err().contains("an `answer`"));
        assert!(gold(json!({"choices": ["a"], "answer": 0})).unwrap_err().contains("two `choices`"));
        assert!(gold(json!({"choices": ["a", "a"], "answer": 0})).unwrap_err().contains("`a` twice"));
        assert!(gold(json!({"choices": "a;b", "answer": 0})).unwrap_err().contains("`a;b`"));
        let Value::Object(mut fields) = json!({"answer": 0}) else { panic!("no row") };
        normalise(&mut fields, &String::new).unwrap();
        assert!(!fields.contains_key("gold"), "left to whoever names missing fields");
    }
}
