//! Tokens that files beside `tokenizer.json` add to it, as `transformers` 5 adds them.
//!
//! Source: `_from_pretrained` in `tokenization_utils_base.py` and `TokenizersBackend.__init__` in
//! `tokenization_utils_tokenizers.py` of <https://github.com/huggingface/transformers>. With `added_tokens_decoder` in
//! `tokenizer_config.json` neither `special_tokens_map.json` nor `added_tokens.json` is read; without it both are, and
//! the first overrides `tokenizer_config.json`. A token that has no id yet gets the next one. Differs: an id that a file
//! declares and the token does not get is refused; `transformers` passes over it.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};
use tokenizers::{AddedToken, Tokenizer as Pipeline};

use super::{
    class::Class,
    folder::{Folder, Pairs},
    mismatch::Mismatch,
};

/// The names under which every tokenizer keeps its special tokens, in the order in which they are added.
const STANDARD: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// What the files say together.
pub(super) struct Merged {
    /// Special tokens by the name of their setting, such as `eos_token`.
    named: Vec<(String, Token)>,
    /// `tokenizer_config.json` with what overrides it; nothing where it stays as it is.
    pub(super) config: Option<Value>,
}

impl Merged {
    /// The text of the token that a setting names.
    pub(super) fn name(&self, setting: &str) -> Option<&str> {
        self.named.iter().find(|(name, _)| name == setting).map(|(_, token)| &token.content[..])
    }
}

/// A token as a setting gives it: by its text alone, or with its properties.
#[derive(Clone, Debug)]
struct Token {
    content: String,
    properties: Option<AddedToken>,
}

impl Token {
    fn new(token: AddedToken) -> Self {
        Self { content: token.content.clone(), properties: Some(token) }
    }

    fn added(&self) -> AddedToken {
        self.properties.clone().unwrap_or_else(|| AddedToken::from(&self.content[..], true))
    }

    /// Reads a setting; nothing where it is null.
    fn of(setting: &str, value: &Value) -> Result<Option<Self>, Mismatch> {
        match value {
            Value::Null => Ok(None),
            Value::String(content) => Ok(Some(Self { content: content.clone(), properties: None })),
            object if object["content"].is_string() => Ok(Some(Self::new(added_token(setting, object)?))),
            other => {
                Err((format!("a token's text as `{setting}` of tokenizer_config.json"), other.to_string()))
            }
        }
    }

    /// Reads a list of tokens.
    fn list(setting: &str, value: &Value) -> Result<Vec<Self>, Mismatch> {
        match value {
            Value::Null | Value::Object(_) => Ok(Vec::new()),
            Value::Array(all) => {
                let tokens = all.iter().map(|one| Self::of(setting, one));
                Ok(tokens.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
            }
            other => Err((format!("a list of tokens as `{setting}`"), other.to_string())),
        }
    }
}

/// A token with its properties; those that are absent are off.
fn added_token(setting: &str, object: &Value) -> Result<AddedToken, Mismatch> {
    let refuse = |expected: String, found: &Value| (format!("{expected} in `{setting}`"), found.to_string());
    let content =
        object["content"].as_str().ok_or_else(|| refuse("a token with its `content`".into(), object))?;
    let flag = |name: &str| match &object[name] {
        Value::Null => Ok(None),
        Value::Bool(on) => Ok(Some(*on)),
        other => Err(refuse(format!("true or false as `{name}`"), other)),
    };
    let special = flag("special")?.unwrap_or(false);
    Ok(AddedToken {
        content: content.to_owned(),
        single_word: flag("single_word")?.unwrap_or(false),
        lstrip: flag("lstrip")?.unwrap_or(false),
        rstrip: flag("rstrip")?.unwrap_or(false),
        normalized: flag("normalized")?.unwrap_or(!special),
        special,
    })
}

/// Tokens with the ids that files give them.
#[derive(Default)]
struct Declared {
    by_id: BTreeMap<u32, AddedToken>,
    /// Every token and id that was declared, and where.
    all: Vec<(String, u32, &'static str)>,
}

impl Declared {
    fn insert(&mut self, id: u32, token: AddedToken, place: &'static str) {
        self.all.push((token.content.clone(), id, place));
        self.by_id.insert(id, token);
    }
}

/// Adds to `pipeline`, which was made of `document`, what the folder's other files say of its tokens.
pub(super) fn merge(
    pipeline: &mut Pipeline,
    document: &Value,
    folder: &Folder,
    class: Class,
) -> Result<Merged, Mismatch> {
    let mut settings = folder.config.clone();
    rename_additional(&mut settings);
    let mut custom = own_names(&mut settings, folder.config_extra.as_ref())?;
    let mut declared = Declared::default();
    let mut overriding = Pairs::default();
    let has_decoder = settings.find("added_tokens_decoder").is_some();
    if has_decoder {
        read_decoder(&mut declared, settings.get("added_tokens_decoder"))?;
    } else {
        if let Some(map) = &folder.special_tokens_map {
            overriding = map.clone();
            take_over(&mut settings, map)?;
            if let Some(named) = &folder.map_extra {
                settings.remove("extra_special_tokens");
                custom.extend(tokens_of(named)?);
            }
        }
        if let Some(added) = &folder.added_tokens {
            read_added(&mut declared, added, &settings)?;
        }
        for token in document["added_tokens"].as_array().into_iter().flatten() {
            let id = id_of("the id of an added token of tokenizer.json", &token["id"])?;
            declared.insert(id, added_token("added_tokens", token)?, "tokenizer.json");
        }
    }
    if settings.find("extra_special_tokens").is_none() {
        rename_additional(&mut settings);
    }

    let mut named = Vec::new();
    for name in STANDARD {
        let given = match settings.find(name) {
            Some(value) => Token::of(name, value)?,
            None => {
                class.default_token(name).map(|content| Token { content: content.into(), properties: None })
            }
        };
        if let Some(mut token) = given {
            let known = declared.by_id.values().find(|known| known.content == token.content);
            token.properties = known.cloned().or(token.properties);
            named.push((name.to_owned(), token));
        }
    }
    named.extend(own_names(&mut settings, None)?);
    named.extend(custom);
    let extra = Token::list("extra_special_tokens", settings.get("extra_special_tokens"))?;

    let mut to_add: Vec<AddedToken> = declared.by_id.values().cloned().collect();
    let mut known: HashSet<String> =
        pipeline.get_added_tokens_decoder().into_values().map(|token| token.content).collect();
    known.extend(to_add.iter().map(|token| token.content.clone()));
    for token in named.iter().map(|(_, token)| token).chain(&extra) {
        if known.insert(token.content.clone()) {
            to_add.push(token.added());
        }
    }
    let is_named = |content: &str| named.iter().any(|(_, token)| token.content == content);
    to_add.iter_mut().for_each(|token| token.special |= is_named(&token.content));
    let fails = |error| ("tokens that `tokenizers` can add".to_owned(), format!("{error}"));
    pipeline.add_tokens(to_add).map_err(fails)?;
    if class == Class::Qwen2 {
        let all = named.iter().map(|(_, token)| token).chain(&extra);
        let special = all.map(|token| AddedToken::from(&token.content[..], true));
        pipeline.add_tokens(special.collect::<Vec<_>>()).map_err(fails)?;
    }

    for token in document["added_tokens"].as_array().into_iter().flatten() {
        let content = token["content"].as_str().unwrap_or_default();
        let id = id_of("the id of an added token of tokenizer.json", &token["id"])?;
        declared.all.push((content.to_owned(), id, "tokenizer.json"));
        let is_same = |known: &&AddedToken| {
            known.content == content && (known.special || token["special"] != true || is_named(content))
        };
        if has_decoder && class.rebuilds() && !declared.by_id.values().any(|known| is_same(&known)) {
            return Err((
                format!(
                    "every added token in `added_tokens_decoder`, as its `tokenizer_class` {class} wants"
                ),
                format!("no such entry for `{content}` of tokenizer.json"),
            ));
        }
    }
    for (content, id, place) in &declared.all {
        let found = pipeline.token_to_id(content);
        if found != Some(*id) {
            let found = found.map_or("none".to_owned(), |id| id.to_string());
            return Err((
                format!("the id that the token `{content}` gets when it is added, {found}"),
                format!("{id} in {place}"),
            ));
        }
    }
    Ok(Merged { named, config: overridden(&folder.config, &overriding) })
}

/// `additional_special_tokens` is the older name of `extra_special_tokens`, which counts where it holds something.
fn rename_additional(settings: &mut Pairs) {
    let is_held = match settings.get("extra_special_tokens") {
        Value::Null => false,
        Value::Array(all) => !all.is_empty(),
        Value::Object(all) => !all.is_empty(),
        _ => true,
    };
    if !is_held && let Some(value) = settings.remove("additional_special_tokens") {
        settings.set("extra_special_tokens", value);
    }
}

/// Takes out the settings that name a special token under a name of the model's own, such as `image_token`.
fn own_names(settings: &mut Pairs, extra: Option<&Pairs>) -> Result<Vec<(String, Token)>, Mismatch> {
    let is_own = |(name, value): &(String, Value)| {
        let is_token = value.is_string() || value["__type"] == "AddedToken";
        name.ends_with("_token") && !STANDARD.contains(&&name[..]) && is_token
    };
    let mut tokens = Vec::new();
    for (name, value) in settings.0.iter().filter(|pair| is_own(pair)) {
        tokens.extend(Token::of(name, value)?.map(|token| (name.clone(), token)));
    }
    settings.0.retain(|pair| !is_own(pair));
    if let Some(named) = extra {
        settings.remove("extra_special_tokens");
        tokens.extend(tokens_of(named)?);
    }
    Ok(tokens)
}

fn tokens_of(named: &Pairs) -> Result<Vec<(String, Token)>, Mismatch> {
    let mut tokens = Vec::new();
    for (name, value) in &named.0 {
        tokens.extend(Token::of(name, value)?.map(|token| (name.clone(), token)));
    }
    Ok(tokens)
}

fn id_of(what: &str, value: &Value) -> Result<u32, Mismatch> {
    let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
    id.ok_or_else(|| (format!("a whole number as {what}"), value.to_string()))
}

fn read_decoder(declared: &mut Declared, decoder: &Value) -> Result<(), Mismatch> {
    let place = "`added_tokens_decoder` of tokenizer_config.json";
    let tokens = decoder.as_object().ok_or_else(|| (format!("an object as {place}"), decoder.to_string()))?;
    for (id, token) in tokens {
        let id = id.parse().map_err(|_| (format!("ids as keys of {place}"), format!("`{id}`")))?;
        declared.insert(id, added_token("added_tokens_decoder", token)?, place);
    }
    Ok(())
}

/// `special_tokens_map.json` overrides `tokenizer_config.json`.
fn take_over(settings: &mut Pairs, map: &Pairs) -> Result<(), Mismatch> {
    for (key, value) in &map.0 {
        let mut value = value.clone();
        if value["content"].is_string() && key != "extra_special_tokens" {
            value["special"] = true.into();
            value["__type"] = "AddedToken".into();
        } else if let (true, Value::Array(more)) = (key == "extra_special_tokens", &value) {
            let mut all = settings.get(key).as_array().cloned().unwrap_or_default();
            for token in more {
                if !all.contains(token) {
                    all.push(token.clone());
                }
            }
            value = all.into();
        }
        settings.set(key, value);
    }
    Ok(())
}

/// `added_tokens.json`: ids by text. Special are those that a setting names.
fn read_added(declared: &mut Declared, added: &Pairs, settings: &Pairs) -> Result<(), Mismatch> {
    let mut special = HashSet::new();
    for name in STANDARD {
        special.extend(Token::of(name, settings.get(name))?.map(|token| token.content));
    }
    let extra = Token::list("extra_special_tokens", settings.get("extra_special_tokens"))?;
    special.extend(extra.into_iter().map(|token| token.content));
    for (content, id) in &added.0 {
        let id = id_of(&format!("the id of `{content}` in added_tokens.json"), id)?;
        let token = AddedToken::from(&content[..], special.contains(content));
        declared.insert(id, token, "added_tokens.json");
    }
    Ok(())
}

/// `tokenizer_config.json` with what `special_tokens_map.json` overrides, so that it needs that file no more.
fn overridden(config: &Pairs, overriding: &Pairs) -> Option<Value> {
    if overriding.0.is_empty() {
        return None;
    }
    let mut merged: serde_json::Map<String, Value> = config.0.iter().cloned().collect();
    for (key, value) in &overriding.0 {
        let has_extra = merged.contains_key("extra_special_tokens");
        match key.as_str() {
            "additional_special_tokens" if has_extra || merged.contains_key(key) => {}
            _ if value["content"].is_string() => {
                merged.insert(key.clone(), value["content"].clone());
            }
            _ => {
                merged.insert(key.clone(), value.clone());
            }
        }
    }
    Some(json!(merged))
}

/// The pipeline's added tokens by id. One that was special before it was added again stays so.
pub(super) fn added(pipeline: &Pipeline) -> BTreeMap<u32, AddedToken> {
    let mut tokens: BTreeMap<u32, AddedToken> = pipeline.get_added_tokens_decoder().into_iter().collect();
    let known = pipeline.get_added_vocabulary();
    tokens.values_mut().for_each(|token| token.special |= known.is_special_token(&token.content));
    tokens
}

/// The pipeline's added tokens as `tokenizer.json` holds them.
pub(super) fn added_tokens(pipeline: &Pipeline) -> Vec<Value> {
    let describe = |(id, token): (u32, AddedToken)| {
        json!({
            "id": id, "content": token.content, "single_word": token.single_word, "lstrip": token.lstrip,
            "rstrip": token.rstrip, "normalized": token.normalized, "special": token.special,
        })
    };
    added(pipeline).into_iter().map(describe).collect()
}
