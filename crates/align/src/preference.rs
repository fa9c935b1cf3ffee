//! Preferences: of two answers to one prompt the better and the worse.

use std::path::PathBuf;

use data::{ChatTemplate, Message, Said, Tokenizer};
use serde_json::{Map, Value};
use train::Example;

use crate::{
    AlignError, Dropped, OnRow, Read,
    conversation::{Problem, conversation, messages, read, text},
    error::first_line,
};

/// Two conversations that differ in their last answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// With the better answer.
    pub chosen: Vec<Message>,
    /// With the worse answer.
    pub rejected: Vec<Message>,
    /// Its file.
    pub path: PathBuf,
    /// Its line, or its number in an array, from 1.
    pub row: usize,
}

/// A pair as token ids; what counts is the last answer of each.
#[derive(Clone, Debug, PartialEq)]
pub struct PairExample {
    /// With the better answer.
    pub chosen: Example,
    /// With the worse answer.
    pub rejected: Example,
}

/// Reads preference pairs: `chosen` and `rejected` as lists of messages, as texts of Anthropic's HH (`\n\nHuman: …\n\nAssistant: …`)
/// with their prompt in them, or as answers beside a `prompt`; Alpaca's fields with `rejected` beside `output`.
///
/// # Errors
/// If a file cannot be read; with [`OnRow::Refuse`] at the first row that is no pair: without one of the answers, with an empty
/// answer, with two equal answers, or with two prompts.
pub fn read_pairs(paths: &[PathBuf], on_row: OnRow) -> Result<Read<Pair>, AlignError> {
    read(paths, on_row, |path, row| {
        let (chosen, rejected) = pair(&row.fields)?;
        Ok(Pair { chosen, rejected, path: path.to_path_buf(), row: row.number })
    })
}

fn pair(row: &Map<String, Value>) -> Result<(Vec<Message>, Vec<Message>), Problem> {
    let rejected = row.get("rejected").ok_or_else(|| Problem::new("a `rejected` answer", "none"))?;
    let (chosen, rejected) = match (row.get("chosen"), row.get("prompt")) {
        (Some(chosen), prompt) => (side(chosen, prompt)?, side(rejected, prompt)?),
        (None, _) => {
            let chosen = conversation(row)
                .map_err(|problem| Problem::new("a `chosen` answer beside `rejected`", problem.found))?;
            let mut worse = chosen.clone();
            worse.pop();
            worse.push(Message::new("assistant", text(rejected)?));
            (chosen, worse)
        }
    };
    let n = chosen.len();
    let is_same_prompt = n == rejected.len() && n > 1 && chosen[..n - 1] == rejected[..n - 1];
    let answers = [chosen.last(), rejected.last()];
    if answers.iter().flatten().any(|answer| answer.role != "assistant") {
        return Err(Problem::new("two conversations that end with the assistant", "another end"));
    }
    if !is_same_prompt {
        return Err(Problem::new("two answers to one prompt", "two prompts"));
    }
    if answers.iter().flatten().any(|answer| answer.content.trim().is_empty()) {
        return Err(Problem::new("two answers that are not empty", "an empty one"));
    }
    if chosen == rejected {
        return Err(Problem::new("two answers that differ", "two equal ones"));
    }
    Ok((chosen, rejected))
}

/// One side of a pair.
fn side(value: &Value, prompt: Option<&Value>) -> Result<Vec<Message>, Problem> {
    if value.is_array() {
        return messages(value);
    }
    let answer = text(value)?;
    match prompt {
        Some(prompt) if prompt.is_array() => {
            let all = prompt.as_array().into_iter().flatten().cloned();
            let all = all.chain([serde_json::json!({"role": "assistant", "content": answer})]);
            messages(&Value::Array(all.collect()))
        }
        Some(prompt) => Ok(vec![Message::new("user", text(prompt)?), Message::new("assistant", answer)]),
        None => hh(&answer),
    }
}

/// A text of Anthropic's HH.
fn hh(text: &str) -> Result<Vec<Message>, Problem> {
    const MARKS: [(&str, &str); 2] = [("\n\nHuman:", "user"), ("\n\nAssistant:", "assistant")];
    let next = |from: usize| {
        let found =
            MARKS.iter().filter_map(|(mark, role)| Some((text[from..].find(mark)? + from, *mark, *role)));
        found.min_by_key(|(at, ..)| *at)
    };
    let expected = "a conversation of `\\n\\nHuman:` and `\\n\\nAssistant:`";
    let Some((0, ..)) = next(0) else {
        return Err(Problem::new(expected, format!("`{}`", text.chars().take(40).collect::<String>())));
    };
    let (mut all, mut at) = (Vec::new(), 0);
    while let Some((start, mark, role)) = next(at) {
        let begin = start + mark.len();
        let end = next(begin).map_or(text.len(), |(next, ..)| next);
        all.push(Message::new(role, text[begin..end].trim()));
        at = end;
        if end == text.len() {
            break;
        }
    }
    Ok(all)
}

/// The pairs as token ids. Those with a side of more than `seq_len + 1` tokens are left out and counted.
///
/// # Errors
/// If the template refuses a conversation, or no pair is left.
pub fn pair_examples(
    pairs: &[Pair],
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    seq_len: usize,
) -> Result<(Vec<PairExample>, Dropped), AlignError> {
    let (mut examples, mut dropped) = (Vec::new(), Dropped::default());
    for pair in pairs {
        let side = |messages: &[Message]| -> Result<Example, AlignError> {
            let turns =
                template.encode_turns(tokenizer, messages, Said::Last).map_err(|error| AlignError::Row {
                    path: pair.path.clone(),
                    row: pair.row,
                    expected: "a conversation that the model's chat template renders".into(),
                    found: first_line(&error),
                })?;
            let weights = turns.is_said.iter().map(|is_said| f32::from(u8::from(*is_said))).collect();
            Ok(Example { ids: turns.ids, weights, images: Vec::new() })
        };
        let (chosen, rejected) = (side(&pair.chosen)?, side(&pair.rejected)?);
        match chosen.ids.len().max(rejected.ids.len()) > seq_len + 1 {
            true => dropped.add(format!("longer than {} tokens", seq_len + 1)),
            false => examples.push(PairExample { chosen, rejected }),
        }
    }
    if examples.is_empty() {
        let (n_rows, dropped) =
            (pairs.len(), if dropped.0.is_empty() { String::new() } else { format!(": {dropped}") });
        return Err(AlignError::Nothing { expected: "preference pairs to learn from", n_rows, dropped });
    }
    Ok((examples, dropped))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(row: Value) -> Result<(Vec<Message>, Vec<Message>), String> {
        pair(row.as_object().unwrap()).map_err(|problem| format!("{}; {}", problem.expected, problem.found))
    }

    #[test]
    fn published_pairs_are_read() {
        let expected = (
            vec![Message::new("user", "q"), Message::new("assistant", "good")],
            vec![Message::new("user", "q"), Message::new("assistant", "bad")],
        );
        let said = |answer: &str| serde_json::json!([{"role":"user","content":"q"},{"role":"assistant","content":answer}]);
        for row in [
            serde_json::json!({"chosen": said("good"), "rejected": said("bad")}),
            serde_json::json!({"prompt": "q", "chosen": "good", "rejected": "bad"}),
            serde_json::json!({"prompt": [{"role":"user","content":"q"}], "chosen": "good", "rejected": "bad"}),
            serde_json::json!({"instruction": "q", "output": "good", "rejected": "bad"}),
            serde_json::json!({"chosen": "\n\nHuman: q\n\nAssistant: good", "rejected": "\n\nHuman: q\n\nAssistant: bad"}),
        ] {
            assert_eq!(read(row.clone()).unwrap(), expected, "{row}");
        }
    }

    #[test]
    fn what_is_no_pair_is_named() {
        for (row, expected) in [
            (serde_json::json!({"chosen": "a"}), "a `rejected` answer"),
            (serde_json::json!({"rejected": "a"}), "a `chosen` answer"),
            (serde_json::json!({"prompt": "q", "chosen": "a", "rejected": "a"}), "two equal ones"),
            (serde_json::json!({"prompt": "q", "chosen": "a", "rejected": " "}), "an empty one"),
            (
                serde_json::json!({"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: r\n\nAssistant: b"}),
                "two prompts",
            ),
            (serde_json::json!({"chosen": "hello", "rejected": "bye"}), "`hello`"),
        ] {
            let error = read(row.clone()).unwrap_err();
            assert!(error.contains(expected), "{row}: {error}");
        }
    }
}
