//! OpenAI's messages.

use data::Message;
use serde_json::{Map, Value};

use super::Problem;

/// The messages of a list such as `[{"role": "user", "content": "Hi"}, …]`.
pub(crate) fn messages(value: &Value) -> Result<Vec<Message>, Problem> {
    let list = value.as_array().ok_or_else(|| Problem::new("a list of messages", kind(value)))?;
    let messages = list.iter().map(message).collect::<Result<Vec<_>, _>>()?;
    check_calls(list)?;
    check(&messages)?;
    Ok(messages)
}

/// Roles that messages have.
pub(crate) const ROLES: [&str; 5] = ["system", "developer", "user", "assistant", "tool"];

/// Refuses conversations that no template can mean.
pub(crate) fn check(messages: &[Message]) -> Result<(), Problem> {
    let Some(last) = messages.last() else { return Err(Problem::new("at least one message", "none")) };
    if let Some(other) = messages.iter().find(|message| !ROLES.contains(&&message.role[..])) {
        return Err(Problem::new(format!("a role of {}", ROLES.join(", ")), format!("`{}`", other.role)));
    }
    if messages.iter().skip(1).any(|message| message.role == "system") {
        return Err(Problem::new("a system message at the beginning alone", "one later"));
    }
    if messages.iter().all(|message| message.role != "assistant") {
        return Err(Problem::new(
            "an answer of the assistant",
            format!("none, the last message is of `{}`", last.role),
        ));
    }
    Ok(())
}

/// Refuses what a tool says to a call that nobody made.
fn check_calls(list: &[Value]) -> Result<(), Problem> {
    let mut known: Vec<&Value> = Vec::new();
    let mut n_nameless = 0;
    for message in list {
        for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            match call.get("id").filter(|id| !id.is_null()) {
                Some(id) => known.push(id),
                None => n_nameless += 1,
            }
        }
        if let Some(id) = message.get("tool_call_id").filter(|id| !id.is_null())
            && !known.contains(&id)
            && n_nameless == 0
        {
            return Err(Problem::new(
                "a `tool_call_id` of a tool call before it",
                format!("`{}`", id.as_str().unwrap_or("no text")),
            ));
        }
    }
    Ok(())
}

fn message(value: &Value) -> Result<Message, Problem> {
    let fields =
        value.as_object().ok_or_else(|| Problem::new("a message with role and content", kind(value)))?;
    let role = fields.get("role").and_then(Value::as_str);
    let role = role.ok_or_else(|| Problem::new("a `role` in each message", "none"))?;
    let content = text(fields.get("content").unwrap_or(&Value::Null))?;
    let calls = calls(fields)?;
    Ok(Message::new(role, if calls.is_empty() { content } else { format!("{content}{calls}") }))
}

/// A content: a string, null, or a list of parts of which each is text.
pub(crate) fn text(content: &Value) -> Result<String, Problem> {
    match content {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => parts.iter().map(part).collect(),
        other => Err(Problem::new("a content that is text, null or a list of parts", kind(other))),
    }
}

fn part(part: &Value) -> Result<String, Problem> {
    let text = part.as_str().or_else(|| part.get("text").and_then(Value::as_str));
    text.map(str::to_owned).ok_or_else(|| {
        let what = part.get("type").and_then(Value::as_str).unwrap_or("no text");
        Problem::new("parts of text", format!("a part of `{what}`"))
    })
}

/// Tool calls as text in the assistant's turn, as Qwen and Hermes write them:
/// `<tool_call>{"name": …, "arguments": {…}}</tool_call>`.
fn calls(fields: &Map<String, Value>) -> Result<String, Problem> {
    let Some(calls) = fields.get("tool_calls").and_then(Value::as_array) else { return Ok(String::new()) };
    let mut text = String::new();
    for call in calls {
        let function = call.get("function").unwrap_or(call);
        let name = function.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| Problem::new("a name in each tool call", "none"))?;
        // A string on the wire, an object in templates.
        let arguments = match function.get("arguments") {
            None | Some(Value::Null) => Value::Object(Map::new()),
            Some(Value::String(text)) => serde_json::from_str(text)
                .map_err(|error| Problem::new("arguments of a tool call that are JSON", error.to_string()))?,
            Some(other) => other.clone(),
        };
        let call = serde_json::json!({ "name": name, "arguments": arguments });
        text.push_str(&format!("<tool_call>\n{call}\n</tool_call>"));
    }
    Ok(text)
}

/// What a value is, for messages.
pub(crate) fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "a truth value".into(),
        Value::Number(n) => format!("the number {n}"),
        Value::String(text) => format!("the text `{}`", text.chars().take(40).collect::<String>()),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tool_answers_a_call_that_was_made() {
        let talk = |call: Value, id: Value| {
            let call = json!([{"id": call, "function": {"name": "f", "arguments": "{}"}}]);
            json!([
                {"role": "user", "content": "?"},
                {"role": "assistant", "content": null, "tool_calls": call},
                {"role": "tool", "tool_call_id": id, "content": "1"},
                {"role": "assistant", "content": "1"},
            ])
        };
        let found = |call: Value, id: Value| messages(&talk(call, id)).err().map(|problem| problem.found);
        assert_eq!(found(json!("c1"), json!("c1")), None);
        assert_eq!(found(json!("c1"), Value::Null), None);
        assert_eq!(found(Value::Null, json!("c1")), None, "calls without ids are known by their order");
        assert_eq!(found(json!("c1"), json!("c2")), Some("`c2`".into()));
        let alone = json!([{"role": "tool", "tool_call_id": "c", "content": ""}, {"role": "assistant", "content": "a"}]);
        assert!(messages(&alone).unwrap_err().expected.contains("of a tool call before it"));
    }
}
