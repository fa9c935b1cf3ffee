//! In which form a row holds a conversation.

use data::Message;
use serde_json::{Map, Value};

use super::{Problem, messages, messages::check, text};

/// The forms, for messages.
const FORMS: &str =
    "`messages`, `conversations`, `instruction` with `output` or `response`, or `prompt` with `completion`";

/// The conversation of a row.
pub(crate) fn conversation(row: &Map<String, Value>) -> Result<Vec<Message>, Problem> {
    if let Some(list) = row.get("messages") {
        return messages(list);
    }
    if let Some(list) = row.get("conversations").or_else(|| row.get("conversation")) {
        return share_gpt(list, row.get("system"));
    }
    if let Some(instruction) = row.get("instruction") {
        return alpaca(instruction, row);
    }
    if let (Some(prompt), Some(completion)) = (row.get("prompt"), row.get("completion")) {
        let mut all =
            if prompt.is_array() { given(prompt)? } else { vec![Message::new("user", text(prompt)?)] };
        match completion.is_array() {
            true => all.extend(given(completion)?),
            false => all.push(Message::new("assistant", text(completion)?)),
        }
        check(&all)?;
        return Ok(all);
    }
    let names: Vec<&str> = row.keys().map(String::as_str).take(8).collect();
    Err(Problem::new(FORMS, format!("the fields {}", names.join(", "))))
}

/// What a policy is asked in a row.
pub(crate) fn prompt(row: &Map<String, Value>) -> Result<Vec<Message>, Problem> {
    let mut all = match (row.get("prompt"), row.get("messages")) {
        (Some(prompt), _) if prompt.is_array() => given(prompt)?,
        (Some(prompt), _) => vec![Message::new("user", text(prompt)?)],
        (None, Some(list)) => given(list)?,
        (None, None) => conversation(row)
            .map_err(|problem| Problem::new("a `prompt`, or a conversation to ask again", problem.found))?,
    };
    while all.last().is_some_and(|message| message.role == "assistant") {
        all.pop();
    }
    match all.last() {
        Some(last) if !last.content.trim().is_empty() => Ok(all),
        _ => Err(Problem::new("a prompt that is not empty", "an empty one")),
    }
}

/// Messages that need not hold an answer.
fn given(list: &Value) -> Result<Vec<Message>, Problem> {
    let wrapped = match list.as_array() {
        // An answer is added, so that the rest is checked as ever.
        Some(list) => Value::Array(
            list.iter().cloned().chain([serde_json::json!({"role": "assistant", "content": ""})]).collect(),
        ),
        None => list.clone(),
    };
    let mut all = messages(&wrapped)?;
    all.pop();
    Ok(all)
}

/// `[{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]`.
fn share_gpt(list: &Value, system: Option<&Value>) -> Result<Vec<Message>, Problem> {
    let turns = list.as_array().ok_or_else(|| Problem::new("a list of turns", messages::kind(list)))?;
    let mut all = Vec::new();
    if let Some(system) = system.filter(|system| !system.is_null()) {
        all.push(Message::new("system", text(system)?));
    }
    for turn in turns {
        // Some files of this name hold OpenAI's messages.
        let from = turn.get("from").or_else(|| turn.get("role")).and_then(Value::as_str);
        let from = from.ok_or_else(|| Problem::new("a `from` in each turn", "none"))?;
        let role = match from {
            "human" | "user" | "prompter" => "user",
            "gpt" | "assistant" | "chatgpt" | "bing" | "bard" | "model" | "function_call" => "assistant",
            "system" => "system",
            "observation" | "tool" | "function" => "tool",
            other => {
                return Err(Problem::new(
                    "a turn from human, gpt, system, function_call or observation",
                    format!("one from `{other}`"),
                ));
            }
        };
        let value = turn.get("value").or_else(|| turn.get("content")).unwrap_or(&Value::Null);
        let content = text(value)?;
        all.push(Message::new(
            role,
            match from {
                "function_call" => format!("<tool_call>\n{content}\n</tool_call>"),
                _ => content,
            },
        ));
    }
    check(&all)?;
    Ok(all)
}

/// An instruction, perhaps with an input, and its answer.
fn alpaca(instruction: &Value, row: &Map<String, Value>) -> Result<Vec<Message>, Problem> {
    let answer = ["output", "response", "completion", "answer"].iter().find_map(|name| row.get(*name));
    let answer =
        answer.ok_or_else(|| Problem::new("an `output` or `response` beside `instruction`", "none"))?;
    let (mut question, answer) = (text(instruction)?, text(answer)?);
    let input = row.get("input").or_else(|| row.get("context")).map(text).transpose()?.unwrap_or_default();
    if !input.is_empty() {
        question = format!("{question}\n\n{input}");
    }
    let system = row.get("system").map(text).transpose()?.filter(|system| !system.is_empty());
    let system = system.map(|system| Message::new("system", system));
    let all = system.into_iter().chain([Message::new("user", question), Message::new("assistant", answer)]);
    Ok(all.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(row: &str) -> Result<Vec<(String, String)>, String> {
        let row: Map<String, Value> = serde_json::from_str(row).unwrap();
        let read =
            conversation(&row).map_err(|problem| format!("{}; {}", problem.expected, problem.found))?;
        Ok(read.into_iter().map(|message| (message.role, message.content)).collect())
    }

    #[test]
    fn published_forms_are_read() {
        let pairs = |all: &[(&str, &str)]| -> Vec<(String, String)> {
            all.iter().map(|(role, content)| ((*role).to_owned(), (*content).to_owned())).collect()
        };
        for (row, expected) in [
            (
                r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":"c"}]}"#,
                pairs(&[("user", "ab"), ("assistant", "c")]),
            ),
            (
                r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{\"x\":1}"}}]},{"role":"tool","content":"2"},{"role":"assistant","content":"c"}]}"#,
                pairs(&[
                    ("user", "a"),
                    ("assistant", "<tool_call>\n{\"arguments\":{\"x\":1},\"name\":\"f\"}\n</tool_call>"),
                    ("tool", "2"),
                    ("assistant", "c"),
                ]),
            ),
            (
                r#"{"conversations":[{"from":"system","value":"s"},{"from":"human","value":"a"},{"from":"gpt","value":"b"}]}"#,
                pairs(&[("system", "s"), ("user", "a"), ("assistant", "b")]),
            ),
            (
                r#"{"instruction":"a","input":"b","output":"c"}"#,
                pairs(&[("user", "a\n\nb"), ("assistant", "c")]),
            ),
            (r#"{"instruction":"a","input":"","response":"c"}"#, pairs(&[("user", "a"), ("assistant", "c")])),
            (r#"{"prompt":"a","completion":"b"}"#, pairs(&[("user", "a"), ("assistant", "b")])),
            (
                r#"{"prompt":[{"role":"user","content":"a"}],"completion":[{"role":"assistant","content":"b"}]}"#,
                pairs(&[("user", "a"), ("assistant", "b")]),
            ),
        ] {
            assert_eq!(read(row).unwrap(), expected, "{row}");
        }
    }

    #[test]
    fn what_is_no_conversation_is_named() {
        for (row, expected) in [
            (r#"{"text":"a"}"#, "the fields text"),
            (r#"{"messages":"a"}"#, "a list of messages; the text `a`"),
            (r#"{"messages":[]}"#, "at least one message"),
            (r#"{"messages":[{"role":"user","content":"a"}]}"#, "an answer of the assistant"),
            (r#"{"messages":[{"role":"wizard","content":"a"}]}"#, "`wizard`"),
            (r#"{"messages":[{"content":"a"}]}"#, "a `role`"),
            (
                r#"{"messages":[{"role":"user","content":"a"},{"role":"system","content":"s"},{"role":"assistant","content":"b"}]}"#,
                "system message at the beginning",
            ),
            (r#"{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#, "a part of `image_url`"),
            (r#"{"messages":[{"role":"user","content":7}]}"#, "the number 7"),
            (
                r#"{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{"}}]}]}"#,
                "arguments of a tool call",
            ),
            (r#"{"conversations":[{"from":"nobody","value":"a"}]}"#, "`nobody`"),
            (r#"{"instruction":"a"}"#, "`output` or `response`"),
        ] {
            let error = read(row).unwrap_err();
            assert!(error.contains(expected), "{row}: {error}");
        }
    }
}
