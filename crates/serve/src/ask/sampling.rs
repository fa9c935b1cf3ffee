//! The fields that completions and chats have in common.

use model::Sampling;
use serde_json::Value;

use super::{
    Streaming,
    fields::{Fields, wrong},
};
use crate::{api_error::ApiError, app::App, random};

/// Most choices of a prompt.
const MAX_N: u64 = 128;

/// Longest of them, in bytes.
const MAX_STOP_BYTES: usize = 1000;

/// Most texts that end an answer.
const MAX_STOPS: usize = 16;

/// What completions and chats are asked alike.
pub(super) struct Common {
    pub(super) n: usize,
    pub(super) sampling: Sampling,
    pub(super) seed: u64,
    pub(super) stop: Vec<String>,
    pub(super) logit_bias: Vec<(u32, f64)>,
    pub(super) frequency_penalty: f64,
    pub(super) presence_penalty: f64,
    pub(super) stream: Option<Streaming>,
}

impl Common {
    pub(super) fn read(fields: &mut Fields, app: &App) -> Result<Self, ApiError> {
        if let Some(model) = fields.text("model")?
            && !app.model.is_called(&model)
        {
            return Err(ApiError::no_such_model(&app.model.id, &model));
        }
        let n = fields.count("n", 1, MAX_N)?.unwrap_or(1) as usize;
        let best_of = fields.count("best_of", 1, MAX_N)?;
        if best_of.is_some_and(|best_of| best_of != n as u64) {
            let why = "`best_of` must be `n`: every answer that is decoded is returned";
            return Err(fields.bad("best_of", why).code("unsupported_value"));
        }
        let mut sampling = Sampling::default();
        let mut set = |field: &mut f64, name: &str, least, most| -> Result<(), ApiError> {
            fields.number(name, least, most)?.into_iter().for_each(|number| *field = number);
            Ok(())
        };
        set(&mut sampling.temperature, "temperature", 0.0, 2.0)?;
        set(&mut sampling.top_p, "top_p", 0.0, 1.0)?;
        set(&mut sampling.min_p, "min_p", 0.0, 1.0)?;
        set(&mut sampling.repetition_penalty, "repetition_penalty", 0.01, 100.0)?;
        if let Some(top_k) = fields.count("top_k", 0, u64::from(u32::MAX))? {
            sampling.top_k = top_k as usize;
        }
        let mut penalty = |name| fields.number(name, -2.0, 2.0).map(Option::unwrap_or_default);
        let (frequency_penalty, presence_penalty) =
            (penalty("frequency_penalty")?, penalty("presence_penalty")?);
        let seed = fields.seed("seed")?.unwrap_or_else(random::number);
        let stop = stop_texts(fields)?;
        let logit_bias = logit_bias(fields, app.model.vocab_size)?;
        let is_streaming = fields.flag("stream")?.unwrap_or(false);
        let options = fields.object("stream_options")?;
        if options.is_some() && !is_streaming {
            return Err(fields.bad("stream_options", "`stream_options` goes together with `stream`: true"));
        }
        let mut stream = is_streaming.then_some(Streaming { includes_usage: false });
        if let Some(mut options) = options {
            let includes_usage = options.flag("include_usage")?.unwrap_or(false);
            options.only("include_obfuscation", |value| value == false, "chunks are not padded")?;
            options.end()?;
            stream = Some(Streaming { includes_usage });
        }
        // Names of users change nothing about an answer.
        for name in ["user", "safety_identifier", "prompt_cache_key"] {
            fields.text(name)?;
        }
        Ok(Self { n, sampling, seed, stop, logit_bias, frequency_penalty, presence_penalty, stream })
    }

    /// The seed of a choice: each has one of its own, and the first that of the request.
    pub(super) fn seed_of(&self, choice: usize) -> u64 {
        self.seed.wrapping_add(choice as u64)
    }
}

fn stop_texts(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let path = fields.path("stop");
    let texts = match fields.take("stop") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(other) => vec![other],
    };
    if texts.len() > MAX_STOPS {
        return Err(ApiError::bad(
            path,
            format!("expected at most {MAX_STOPS} stop texts, found {}", texts.len()),
        ));
    }
    texts
        .into_iter()
        .map(|text| match text {
            Value::String(text) if (1..=MAX_STOP_BYTES).contains(&text.len()) => Ok(text),
            other => Err(wrong(&path, &format!("texts of 1 to {MAX_STOP_BYTES} bytes"), &other)),
        })
        .collect()
}

fn logit_bias(fields: &mut Fields, vocab_size: usize) -> Result<Vec<(u32, f64)>, ApiError> {
    let Some(value) = fields.take("logit_bias") else { return Ok(Vec::new()) };
    let Value::Object(map) = value else {
        return Err(wrong("logit_bias", "an object of token ids and numbers", &value));
    };
    map.into_iter()
        .map(|(key, value)| {
            let id = key.parse().ok().filter(|id: &u32| (*id as usize) < vocab_size && id.to_string() == key);
            let shown: String = key.chars().take(40).collect();
            let id = id.ok_or_else(|| {
                let message =
                    format!("expected ids of tokens below {vocab_size} in `logit_bias`, found {shown:?}");
                ApiError::bad("logit_bias", message)
            })?;
            let bias = value.as_f64().filter(|bias| (-100.0..=100.0).contains(bias));
            let wrong = || wrong(&format!("logit_bias.{id}"), "a number from -100 to 100", &value);
            Ok((id, bias.ok_or_else(wrong)?))
        })
        .collect()
}
