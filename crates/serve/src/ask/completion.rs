//! `/v1/completions`

use data::SpecialTokens;
use model::Request;
use serde_json::Value;

use super::{Call, Fields, Ordered, fields::wrong, sampling::Common};
use crate::{
    api_error::ApiError,
    app::App,
    reply::{CompletionForm, Form},
};

/// Tokens that are added where nobody says how many.
const DEFAULT_TOKENS: usize = 16;

/// Most alternatives that are listed beside a token.
const MAX_TOP: u64 = 20;

/// A prompt as it came, and as the model reads it.
struct Prompt {
    /// Its text, where it was one.
    text: Option<String>,
    ids: Vec<u32>,
}

/// What a client asks of `/v1/completions`.
pub(crate) fn completion(body: &Ordered, app: &App) -> Result<Call, ApiError> {
    let mut fields = Fields::of(body.value(), "")?;
    let common = Common::read(&mut fields, app)?;
    let prompts = prompts(&mut fields, app)?;
    let echo = fields.flag("echo")?.unwrap_or(false);
    let logprobs = fields.count("logprobs", 0, MAX_TOP)?.map(|n| n as usize);
    let most = app.model.max_seq_len as u64;
    let asked = fields.count("max_tokens", 0, u64::MAX)?.map(|n| n.min(most) as usize);
    fields.only("suffix", |value| value == "", "this model does not fill in the middle")?;
    fields.end()?;

    app.check_sequences("n", prompts.len().saturating_mul(common.n))?;
    let is_prompt_only = asked == Some(0);
    // The engine reads a prompt for the sake of a token.
    let max_new_tokens = asked.unwrap_or(DEFAULT_TOKENS).max(1);
    let prompt_top = if echo { logprobs } else { None };
    let mut requests = Vec::with_capacity(prompts.len() * common.n);
    for prompt in &prompts {
        for choice in 0..common.n {
            requests.push(Request {
                sampling: common.sampling.clone(),
                seed: common.seed_of(choice),
                stop: app.model.stops.clone(),
                logit_bias: common.logit_bias.clone(),
                frequency_penalty: common.frequency_penalty,
                presence_penalty: common.presence_penalty,
                n_top: logprobs.unwrap_or(0),
                // Choices of the same prompt have its scores in common.
                prompt_top: prompt_top.filter(|_| choice == 0),
                ..Request::new(prompt.ids.clone(), max_new_tokens)
            });
        }
    }
    let echoes = prompts.into_iter().map(|Prompt { text, ids }| {
        let text =
            if echo { text.unwrap_or_else(|| app.model.tokenizer.decode(&ids)) } else { String::new() };
        (text, ids)
    });
    let form = CompletionForm { n: common.n, echo, logprobs, prompts: echoes.collect() };
    Ok(Call {
        requests,
        is_prompt_only,
        grammar: None,
        stop: common.stop,
        form: Form::Completion(form),
        stream: common.stream,
    })
}

/// The prompts: a text, texts, ids, or lists of ids.
fn prompts(fields: &mut Fields, app: &App) -> Result<Vec<Prompt>, ApiError> {
    let value = match fields.take("prompt") {
        // As at OpenAI: a new text.
        None => Value::String(String::new()),
        Some(value) => value,
    };
    let is_one = match &value {
        Value::String(_) => true,
        Value::Array(list) => list.first().is_some_and(Value::is_number),
        other => return Err(wrong("prompt", "a text, ids of tokens, or a list of such", other)),
    };
    if is_one {
        return Ok(vec![prompt(value, "prompt", app)?]);
    }
    let Value::Array(list) = value else { return Ok(Vec::new()) };
    if list.is_empty() {
        return Err(ApiError::bad("prompt", "expected a prompt, found an empty list").code("invalid_value"));
    }
    app.check_sequences("prompt", list.len())?;
    list.into_iter().enumerate().map(|(i, value)| prompt(value, &format!("prompt[{i}]"), app)).collect()
}

fn prompt(value: Value, path: &str, app: &App) -> Result<Prompt, ApiError> {
    let prompt = match value {
        Value::String(text) => {
            app.check_bytes(path, text.len())?;
            Prompt { ids: app.model.prompt_ids(&text, SpecialTokens::Parse), text: Some(text) }
        }
        Value::Array(list) => {
            let vocab_size = app.model.vocab_size;
            let id = |value: &Value| value.as_u64().filter(|id| *id < vocab_size as u64).map(|id| id as u32);
            let ids = list.iter().map(|value| {
                id(value).ok_or_else(|| wrong(path, &format!("ids of tokens below {vocab_size}"), value))
            });
            Prompt { ids: ids.collect::<Result<_, _>>()?, text: None }
        }
        other => return Err(wrong(path, "a text or ids of tokens", &other)),
    };
    if prompt.ids.is_empty() {
        return Err(ApiError::bad(path, format!("expected a token or more in `{path}`, found none")));
    }
    app.check_length(path, prompt.ids.len())?;
    if app.model.eyes.as_ref().is_some_and(|eyes| prompt.ids.contains(&eyes.vision.image_token)) {
        let message = format!(
            "expected no place for a picture in `{path}`, found one: it is text alone\n\
             hint: ask about pictures at /v1/chat/completions"
        );
        return Err(ApiError::bad(path, message).code("invalid_value"));
    }
    Ok(prompt)
}
