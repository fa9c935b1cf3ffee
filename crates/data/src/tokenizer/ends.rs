//! Which tokens begin and end what a model writes.

use serde_json::Value;
use tokenizers::Tokenizer as Pipeline;

use super::{
    folder::Folder,
    merge::{self, Merged},
    mismatch::Mismatch,
};

/// Names that end a text, and that end a turn of a chat, in the vocabularies of published models. They count where they
/// are special tokens: as ordinary entries of a vocabulary they are text.
const END_OF_TEXT: [&str; 4] = ["<|endoftext|>", "<|end_of_text|>", "</s>", "<｜end▁of▁sentence｜>"];
const END_OF_TURN: [&str; 5] = ["<|im_end|>", "<|eot_id|>", "<|end_of_turn|>", "<end_of_turn>", "<|eom_id|>"];

/// The ids that a folder declares for generation.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    /// Each ends an answer; the first ends a text too, and is the declared one where there is one.
    pub(super) stops: Vec<u32>,
    /// The one of a name that ends turns.
    pub(super) end_of_turn: Option<u32>,
    pub(super) bos: Option<u32>,
    pub(super) pad: Option<u32>,
}

impl Ends {
    /// The union of what is declared: the tokenizer's own `eos_token` first, then `eos_token_id` of `config.json` and
    /// `generation_config.json`, then known names of special tokens.
    pub(super) fn of(pipeline: &Pipeline, merged: &Merged, folder: &Folder) -> Result<Self, Mismatch> {
        let models = [("config.json", &folder.model), ("generation_config.json", &folder.generation)];
        let id_of = |setting: &str| merged.name(setting).and_then(|name| pipeline.token_to_id(name));
        let mut stops: Vec<u32> = id_of("eos_token").into_iter().collect();
        for (place, values) in models {
            stops.extend(ids("eos_token_id", place, &values["eos_token_id"])?);
        }
        if let Some(id) = stops.iter().find(|id| pipeline.id_to_token(**id).is_none()) {
            let place = models.iter().find(|(place, values)| {
                ids("eos_token_id", place, &values["eos_token_id"]).is_ok_and(|ids| ids.contains(id))
            });
            let place = place.map_or("it", |(place, _)| place);
            return Err((
                "a token of the vocabulary as `eos_token_id`".into(),
                format!("{id} in {place}, which no token has"),
            ));
        }
        let added = merge::added(pipeline);
        let special = |name: &&str| {
            let id = pipeline.token_to_id(name)?;
            added.get(&id).filter(|token| token.special).map(|_| id)
        };
        let end_of_turn = END_OF_TURN.iter().find_map(special);
        stops.extend(END_OF_TEXT.iter().filter_map(special));
        stops.extend(END_OF_TURN.iter().filter_map(special));
        let mut seen = std::collections::HashSet::new();
        stops.retain(|id| seen.insert(*id));
        if stops.is_empty() {
            return Err((format!("a token that ends texts, such as {}", END_OF_TEXT[0]), "none".into()));
        }
        let declared = |setting: &str| {
            let of_model = models.iter().rev().find_map(|(_, values)| {
                values[format!("{setting}_id")].as_u64().and_then(|id| u32::try_from(id).ok())
            });
            of_model.or_else(|| id_of(setting))
        };
        Ok(Self { stops, end_of_turn, bos: declared("bos_token"), pad: declared("pad_token") })
    }
}

/// A number, a list of numbers, or nothing.
fn ids(setting: &str, place: &str, value: &Value) -> Result<Vec<u32>, Mismatch> {
    let id = |value: &Value| {
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| {
            (format!("an id, a list of ids or null as `{setting}` of {place}"), value.to_string())
        })
    };
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(all) => all.iter().map(id).collect(),
        one => Ok(vec![id(one)?]),
    }
}
