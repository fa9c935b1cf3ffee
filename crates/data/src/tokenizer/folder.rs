//! The files that lie beside a `tokenizer.json` and say more of its tokenizer.

use std::{fmt, path::Path};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

use super::mismatch::Mismatch;

/// The content of the files, without byte-order marks.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    pub(super) tokenizer: Vec<u8>,
    /// `tokenizer_config.json`, where there is one.
    pub(super) config: Option<Vec<u8>>,
    pub(super) special_tokens_map: Option<Vec<u8>>,
    pub(super) added_tokens: Option<Vec<u8>>,
    /// `config.json` of the model.
    pub(super) model: Option<Vec<u8>>,
    pub(super) generation: Option<Vec<u8>>,
    /// Whether this program wrote the folder.
    pub(super) is_checkpoint: bool,
}

impl Files {
    /// Reads the `tokenizer.json` at `path` and what lies beside it.
    pub(super) fn read(path: &Path) -> std::io::Result<Self> {
        let beside = |name: &str| {
            let path = path.with_file_name(name);
            if path.is_file() { std::fs::read(path).map(|bytes| Some(without_mark(bytes))) } else { Ok(None) }
        };
        Ok(Self {
            tokenizer: without_mark(std::fs::read(path)?),
            config: beside("tokenizer_config.json")?,
            special_tokens_map: beside("special_tokens_map.json")?,
            added_tokens: beside("added_tokens.json")?,
            model: beside("config.json")?,
            generation: beside("generation_config.json")?,
            is_checkpoint: path.with_file_name("maquette.json").is_file(),
        })
    }

    pub(super) fn parse(&self) -> Result<Folder, Mismatch> {
        fn read<T: for<'a> Deserialize<'a>>(
            bytes: Option<&Vec<u8>>,
            name: &str,
        ) -> Result<Option<T>, Mismatch> {
            let refuse = |error| (format!("a JSON object in `{name}` beside it"), format!("{error}"));
            bytes.map(|bytes| serde_json::from_slice(bytes)).transpose().map_err(refuse)
        }
        let value = |bytes: &Option<Vec<u8>>, name: &str| -> Result<Value, Mismatch> {
            Ok(read::<Value>(bytes.as_ref(), name)?.unwrap_or(Value::Null))
        };
        let (config, map) = (self.config.as_ref(), self.special_tokens_map.as_ref());
        let names = ["tokenizer_config.json", "special_tokens_map.json"];
        Ok(Folder {
            config: read(config, names[0])?.unwrap_or_default(),
            config_extra: read::<Extra>(config, names[0])?.and_then(Extra::named),
            special_tokens_map: read(map, names[1])?,
            map_extra: read::<Extra>(map, names[1])?.and_then(Extra::named),
            added_tokens: read(self.added_tokens.as_ref(), "added_tokens.json")?,
            model: value(&self.model, "config.json")?,
            generation: value(&self.generation, "generation_config.json")?,
            is_checkpoint: self.is_checkpoint,
        })
    }
}

/// The files, read.
pub(super) struct Folder {
    pub(super) config: Pairs,
    /// `extra_special_tokens` where it gives names to tokens, in its order.
    pub(super) config_extra: Option<Pairs>,
    pub(super) special_tokens_map: Option<Pairs>,
    pub(super) map_extra: Option<Pairs>,
    pub(super) added_tokens: Option<Pairs>,
    /// Null where there is none.
    pub(super) model: Value,
    /// Null where there is none.
    pub(super) generation: Value,
    pub(super) is_checkpoint: bool,
}

/// A JSON object in the order of its file: tokens without an id get theirs in that order.
#[derive(Clone, Debug, Default)]
pub(super) struct Pairs(pub(super) Vec<(String, Value)>);

impl Pairs {
    /// The value of a key; null where there is none.
    pub(super) fn get(&self, key: &str) -> &Value {
        self.find(key).unwrap_or(&Value::Null)
    }

    pub(super) fn find(&self, key: &str) -> Option<&Value> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Gives the key another value, in its place where it has one.
    pub(super) fn set(&mut self, key: &str, value: Value) {
        match self.0.iter_mut().rev().find(|(name, _)| name == key) {
            Some((_, found)) => *found = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Value> {
        let value = self.find(key).cloned();
        self.0.retain(|(name, _)| name != key);
        value
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// The one field whose value's order counts too.
#[derive(Deserialize)]
struct Extra {
    extra_special_tokens: Option<Named>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Yes(Pairs),
    #[allow(dead_code, reason = "anything else is read elsewhere")]
    No(Value),
}

impl Extra {
    fn named(self) -> Option<Pairs> {
        match self.extra_special_tokens {
            Some(Named::Yes(pairs)) => Some(pairs),
            _ => None,
        }
    }
}

/// A file's bytes without the byte-order mark that some editors put before them.
fn without_mark(bytes: Vec<u8>) -> Vec<u8> {
    match bytes.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => rest.to_vec(),
        None => bytes,
    }
}
