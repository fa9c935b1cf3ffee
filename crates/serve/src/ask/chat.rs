//! `/v1/chat/completions`

use data::interleaved::{PLACEHOLDER, has_place};
use model::Request;
use serde_json::{Value, json};

use super::{
    Call, Eyes, Fields, Ordered,
    fields::wrong,
    pictures::{self, Found},
    sampling::Common,
    tools::{Tools, response_format},
};
use crate::{
    api_error::ApiError,
    app::App,
    reply::{CallFormat, ChatForm, Form},
};

/// Most alternatives that are listed beside a token.
const MAX_TOP: u64 = 20;

/// What a client asks of `/v1/chat/completions`.
pub(crate) fn chat(body: &Ordered, app: &App) -> Result<Call, ApiError> {
    let mut fields = Fields::of(body.value(), "")?;
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
    let tools = Tools::read(&mut fields, body, app)?;
    let has_tools = CallFormat::of(template.source()).is_some();
    let eyes = app.model.eyes.as_ref();
    let mut found = Found::default();
    let mut messages = messages(&mut fields, has_tools, &mut found, eyes)?;
    let format = response_format(&mut fields, body, app)?;
    if format.is_some() && tools.format.is_some() {
        let message =
            "`response_format` and `tools` together cannot be honoured: an answer is one or the other";
        return Err(fields.bad("response_format", message).code("unsupported_value"));
    }
    let continues = fields.flag("continue_final_message")?.unwrap_or(false);
    // What begins an answer is written unless one is continued.
    if fields.flag("add_generation_prompt")?.is_some_and(|adds| adds == continues) {
        let message = "`add_generation_prompt` is true unless `continue_final_message` is";
        return Err(fields.bad("add_generation_prompt", message).code("unsupported_value"));
    }
    refuse_what_is_not_known(&mut fields)?;
    fields.end()?;

    if let (0, Some(_)) = (found.len(), eyes)
        && let Some(i) = messages.iter().position(|message| message.has_place)
    {
        let message = format!(
            "expected a picture for the place {PLACEHOLDER} in `messages[{i}].content`, found none\n\
             hint: send it as a part of type `image_url`, which is its place, or leave {PLACEHOLDER} out"
        );
        return Err(ApiError::bad(format!("messages[{i}].content"), message).code("invalid_value"));
    }
    let begun = match continues {
        false => None,
        true => match messages.pop() {
            Some(last) if last.is_answer => Some(last.content),
            _ => {
                let message = "expected a last message of the assistant to continue, found none";
                return Err(ApiError::bad("continue_final_message", message));
            }
        },
    };
    if begun.is_some() && (format.is_some() || tools.grammar.is_some()) {
        let message = "an answer that must be JSON or a call cannot be continued";
        return Err(ApiError::bad("continue_final_message", message).code("unsupported_value"));
    }
    app.check_bytes("messages", messages.iter().map(|message| message.content.len()).sum())?;
    let messages: Vec<String> = messages.into_iter().map(|message| message.json).collect();
    let listed = match (tools.format, body.get("tools")) {
        (Some(_), Some(tools)) => format!(", \"tools\": {}", tools.json()),
        _ => String::new(),
    };
    let variables =
        format!("{{\"messages\": [{}]{listed}, \"add_generation_prompt\": true}}", messages.join(", "));
    let tokenizer = &app.model.tokenizer;
    let ids = template.encode_json(tokenizer, &variables);
    let mut prompt =
        ids.map_err(|error| ApiError::bad("messages", error.to_string()).code("invalid_value"))?;
    let n_images = found.len();
    if let Some(Eyes { vision, .. }) = eyes.filter(|_| n_images > 0) {
        let n_written = prompt.iter().filter(|id| **id == vision.image_token).count();
        if n_written != n_images {
            let message = format!(
                "expected the chat template to write {n_images} image tokens, found {n_written}\n\
                 hint: the template of this model must write one for each part of type `image`"
            );
            return Err(ApiError::bad("messages", message).code("unsupported_value"));
        }
        prompt = vision.expanded(&prompt);
    }
    let images = found.decoded(eyes, app.model.max_seq_len)?;
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
        frequency_penalty: common.frequency_penalty,
        presence_penalty: common.presence_penalty,
        images: images.clone(),
        n_top: n_top.unwrap_or(0) as usize,
        ..Request::new(prompt.clone(), max_tokens.unwrap_or(app.model.max_seq_len))
    });
    let form = ChatForm { n: common.n, logprobs, calls: tools.format, is_parallel: tools.is_parallel };
    Ok(Call {
        requests: requests.collect(),
        is_prompt_only: false,
        grammar: format.or(tools.grammar),
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

/// A message as a template is given it.
struct Written {
    /// Whether it is the user's and has a place for a picture in its text.
    has_place: bool,
    /// Whether it is the assistant's, and no call.
    is_answer: bool,
    content: String,
    json: String,
    /// Ids of the calls in it.
    calls: Vec<String>,
    /// The call that it answers.
    answers: Option<String>,
}

/// The messages as a template knows them.
fn messages(
    fields: &mut Fields,
    has_tools: bool,
    found: &mut Found,
    eyes: Option<&Eyes>,
) -> Result<Vec<Written>, ApiError> {
    let list = fields.list("messages")?.ok_or_else(|| fields.missing("messages"))?;
    if list.is_empty() {
        return Err(fields.bad("messages", "expected a message or more, found none").code("invalid_value"));
    }
    let mut written: Vec<Written> = Vec::with_capacity(list.len());
    for (i, value) in list.into_iter().enumerate() {
        let path = format!("messages[{i}]");
        let message = message(value, &path, has_tools, found, eyes)?;
        if let Some(id) = &message.answers
            && !written.iter().any(|before| before.calls.contains(id))
        {
            let expected = "the `id` of a call in `tool_calls` of a message before it";
            return Err(wrong(&format!("{path}.tool_call_id"), expected, &Value::from(id.as_str())));
        }
        written.push(message);
    }
    Ok(written)
}

fn message(
    value: Value,
    path: &str,
    has_tools: bool,
    found: &mut Found,
    eyes: Option<&Eyes>,
) -> Result<Written, ApiError> {
    let mut fields = Fields::of(value, path)?;
    let role = fields.text("role")?.ok_or_else(|| fields.missing("role"))?;
    let role = match role.as_str() {
        // The newer name for what templates call so.
        "developer" => "system",
        "system" | "user" | "assistant" => role.as_str(),
        "tool" if has_tools => role.as_str(),
        "tool" => {
            let message = "the chat template of this model knows no tools";
            return Err(fields.bad("role", message).code("unsupported_value"));
        }
        _ => {
            let expected = "`system`, `developer`, `user`, `assistant` or `tool`";
            return Err(wrong(&fields.path("role"), expected, &Value::String(role)));
        }
    };
    let content = pictures::content(&mut fields, found, eyes, role == "user")?;
    let (mut calls, mut ids, mut answers) = (Vec::new(), Vec::new(), None);
    let mut more = String::new();
    if role == "assistant" {
        let listed = fields.list("tool_calls")?.unwrap_or_default();
        if !listed.is_empty() && !has_tools {
            let why = "the chat template of this model knows no tools";
            return Err(fields.bad("tool_calls", why).code("unsupported_value"));
        }
        let path = fields.path("tool_calls");
        for (i, call) in listed.into_iter().enumerate() {
            let (id, call) = tool_call(call, &format!("{path}[{i}]"))?;
            ids.push(id);
            calls.push(call);
        }
        fields.only("refusal", |_| false, "templates know no refusals")?;
        fields.only("audio", |_| false, "this model has no sound")?;
    }
    if role == "tool" {
        // Which call it answers is known by the order; some templates write the id.
        let id = fields.text("tool_call_id")?.ok_or_else(|| fields.missing("tool_call_id"))?;
        more = format!(", \"tool_call_id\": {}", Value::from(id.as_str()));
        answers = Some(id);
    }
    if !calls.is_empty() {
        more = format!(", \"tool_calls\": [{}]", calls.join(", "));
    }
    let content = match content {
        Some(content) => content,
        None if !calls.is_empty() => Vec::new(),
        None => return Err(fields.missing("content")),
    };
    fields.only("name", |_| false, "the chat template writes no names of speakers")?;
    fields.end()?;
    let json = format!(
        "{{\"role\": {}, \"content\": {}{more}}}",
        Value::from(role),
        pictures::content_json(&content)
    );
    let content = pictures::joined(&content);
    let is_answer = role == "assistant" && calls.is_empty();
    let has_place = role == "user" && has_place(&content);
    Ok(Written { has_place, is_answer, content, json, calls: ids, answers })
}

/// The id of a call, and the call as templates know it: with its arguments as an object.
fn tool_call(value: Value, path: &str) -> Result<(String, String), ApiError> {
    let mut call = Fields::of(value, path)?;
    let id = call.text("id")?.ok_or_else(|| call.missing("id"))?;
    call.only("type", |kind| kind == "function", "tools are functions")?;
    let mut function = call.object("function")?.ok_or_else(|| call.missing("function"))?;
    let name = function.text("name")?.ok_or_else(|| function.missing("name"))?;
    let arguments = function.text("arguments")?.ok_or_else(|| function.missing("arguments"))?;
    let parsed = serde_json::from_str(&arguments).ok().filter(|value| matches!(value, Ordered::Object(_)));
    let parsed = parsed.ok_or_else(|| function.bad("arguments", "expected an object as JSON"))?;
    function.end()?;
    call.end()?;
    let name = Value::from(name);
    let function = format!("{{\"name\": {name}, \"arguments\": {}}}", parsed.json());
    let written = Value::from(id.as_str());
    Ok((id, format!("{{\"id\": {written}, \"type\": \"function\", \"function\": {function}}}")))
}

/// Fields of OpenAI's that ask for what this server does not do.
fn refuse_what_is_not_known(fields: &mut Fields) -> Result<(), ApiError> {
    let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    let never = |_: &Value| false;
    fields.only("functions", is_empty, "use `tools`")?;
    fields.only("function_call", |value| value == "none", "use `tool_choice`")?;
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
