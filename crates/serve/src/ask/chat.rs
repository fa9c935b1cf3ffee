//! `/v1/chat/completions`

use model::Request;
use serde_json::{Value, json};

use super::{Call, Fields, fields::wrong, sampling::Common};
use crate::{
    api_error::ApiError,
    app::App,
    reply::{ChatForm, Form},
};

/// Most alternatives that are listed beside a token.
const MAX_TOP: u64 = 20;

/// What a client asks of `/v1/chat/completions`.
pub(crate) fn chat(body: Value, app: &App) -> Result<Call, ApiError> {
    let mut fields = Fields::of(body, "")?;
    let common = Common::read(&mut fields, app)?;
    let Some(template) = &app.model.template else {
        let message = "this model has no chat template\nhint: /v1/completions continues texts with it";
        return Err(ApiError::bad("messages", message).code("no_chat_template"));
    };
    let logprobs = fields.flag("logprobs")?.unwrap_or(false);
    let n_top = fields.count("top_logprobs", 0, MAX_TOP)?;
    if n_top.is_some() && !logprobs {
        return Err(fields.bad("top_logprobs", "`top_logprobs` goes together with `logprobs`: true"));
    }
    let max_tokens = max_tokens(&mut fields)?;
    let messages = messages(&mut fields)?;
    let continues = fields.flag("continue_final_message")?.unwrap_or(false);
    // What begins an answer is written unless one is continued.
    if fields.flag("add_generation_prompt")?.is_some_and(|adds| adds == continues) {
        let message = "`add_generation_prompt` is true unless `continue_final_message` is";
        return Err(fields.bad("add_generation_prompt", message).code("unsupported_value"));
    }
    refuse_what_is_not_known(&mut fields)?;
    fields.end()?;

    let mut messages = messages;
    let begun = match continues {
        false => None,
        true => match messages.pop() {
            Some(last) if last["role"] == "assistant" => last["content"].as_str().map(str::to_owned),
            _ => {
                let message = "expected a last message of the assistant to continue, found none";
                return Err(ApiError::bad("continue_final_message", message));
            }
        },
    };
    let variables = json!({"messages": messages, "add_generation_prompt": true}).to_string();
    let tokenizer = &app.model.tokenizer;
    let ids = template.encode_json(tokenizer, &variables);
    let mut prompt =
        ids.map_err(|error| ApiError::bad("messages", error.to_string()).code("invalid_value"))?;
    if let Some(begun) = &begun {
        prompt.extend(tokenizer.encode(begun));
    }
    if prompt.is_empty() {
        return Err(ApiError::bad("messages", "the chat template makes nothing of these messages"));
    }
    app.check_length("messages", prompt.len())?;
    app.check_sequences("n", common.n)?;
    let requests = (0..common.n).map(|choice| Request {
        sampling: common.sampling.clone(),
        seed: common.seed_of(choice),
        stop: app.model.stops.clone(),
        logit_bias: common.logit_bias.clone(),
        n_top: n_top.unwrap_or(0) as usize,
        ..Request::new(prompt.clone(), max_tokens.unwrap_or(app.model.max_seq_len))
    });
    let form = ChatForm { n: common.n, logprobs };
    Ok(Call {
        requests: requests.collect(),
        is_prompt_only: false,
        stop: common.stop,
        form: Form::Chat(form),
        stream: common.stream,
    })
}

fn max_tokens(fields: &mut Fields) -> Result<Option<usize>, ApiError> {
    let old = fields.count("max_tokens", 1, u64::MAX)?;
    let new = fields.count("max_completion_tokens", 1, u64::MAX)?;
    if old.is_some() && new.is_some() && old != new {
        return Err(fields.bad("max_tokens", "`max_tokens` and `max_completion_tokens` differ"));
    }
    Ok(new.or(old).map(|n| usize::try_from(n).unwrap_or(usize::MAX)))
}

/// The messages as a template knows them.
fn messages(fields: &mut Fields) -> Result<Vec<Value>, ApiError> {
    let list = fields.list("messages")?.ok_or_else(|| fields.missing("messages"))?;
    if list.is_empty() {
        return Err(fields.bad("messages", "expected a message or more, found none").code("invalid_value"));
    }
    list.into_iter().enumerate().map(|(i, value)| message(value, &format!("messages[{i}]"))).collect()
}

fn message(value: Value, path: &str) -> Result<Value, ApiError> {
    let mut fields = Fields::of(value, path)?;
    let role = fields.text("role")?.ok_or_else(|| fields.missing("role"))?;
    let role = match role.as_str() {
        // The newer name for what templates call so.
        "developer" => "system",
        "system" | "user" | "assistant" => role.as_str(),
        _ => {
            let expected = "`system`, `developer`, `user` or `assistant`";
            return Err(wrong(&fields.path("role"), expected, &Value::String(role)));
        }
    };
    let content = content(&mut fields)?.ok_or_else(|| fields.missing("content"))?;
    if role == "assistant" {
        fields.only("refusal", |_| false, "templates know no refusals")?;
        fields.only("audio", |_| false, "this model has no sound")?;
    }
    fields.only("name", |_| false, "the chat template writes no names of speakers")?;
    fields.end()?;
    Ok(json!({"role": role, "content": content}))
}

/// A text, also where it comes in parts.
fn content(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    let path = fields.path("content");
    let parts = match fields.take("content") {
        None => return Ok(None),
        Some(Value::String(text)) => return Ok(Some(text)),
        Some(Value::Array(parts)) => parts,
        Some(other) => return Err(wrong(&path, "a text or a list of parts", &other)),
    };
    let mut text = String::new();
    for (i, part) in parts.into_iter().enumerate() {
        let mut part = Fields::of(part, format!("{path}[{i}]"))?;
        match part.text("type")?.as_deref() {
            Some("text") => {
                text.push_str(&part.text("text")?.ok_or_else(|| part.missing("text"))?);
                part.end()?;
            }
            Some("image_url") => {
                return Err(part.bad("type", "this model reads no pictures").code("unsupported_value"));
            }
            Some(other) => {
                let other: String = other.chars().take(40).collect();
                return Err(part.bad("type", format!("expected a part of type `text`, found {other:?}")));
            }
            None => return Err(part.missing("type")),
        }
    }
    Ok(Some(text))
}

/// Fields of OpenAI's that ask for what this server does not do.
fn refuse_what_is_not_known(fields: &mut Fields) -> Result<(), ApiError> {
    let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    let never = |_: &Value| false;
    fields.only("tools", is_empty, "the chat template of this model knows no tools")?;
    fields.only("tool_choice", |value| value == "none", "the chat template of this model knows no tools")?;
    fields.only("parallel_tool_calls", Value::is_boolean, "")?;
    fields.only("functions", is_empty, "use `tools`")?;
    fields.only("function_call", |value| value == "none", "use `tool_choice`")?;
    fields.only("response_format", |value| *value == json!({"type": "text"}), "answers are text")?;
    fields.only("modalities", |value| *value == json!(["text"]), "this model writes text")?;
    fields.only("audio", never, "this model has no sound")?;
    fields.only("prediction", never, "predicted outputs are not used")?;
    fields.only("reasoning_effort", |value| value == "none", "this model has no such setting")?;
    fields.only("verbosity", never, "this model has no such setting")?;
    fields.only("web_search_options", never, "nothing is looked up")?;
    fields.only("store", |value| value == false, "nothing is stored")?;
    fields.only(
        "metadata",
        |value| value.as_object().is_some_and(serde_json::Map::is_empty),
        "nothing is stored",
    )?;
    fields.only("service_tier", |value| value == "auto" || value == "default", "there is one tier")
}
