//! Which of `transformers`' classes opens a folder's tokenizer: some make their own pipeline of its vocabulary.

use std::fmt;

use serde_json::Value;

use super::{
    folder::Folder,
    known::{normalizers, pre_tokenizers},
    mismatch::Mismatch,
};

/// A class of `transformers` 5, by what it takes from `tokenizer.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// All of it.
    Backend,
    /// Vocabulary and merges; the rest is GPT-2's.
    Gpt2,
    /// Vocabulary and merges; the rest is Qwen2's.
    Qwen2,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Backend => "TokenizersBackend",
            Self::Gpt2 => "GPT2Tokenizer",
            Self::Qwen2 => "Qwen2Tokenizer",
        })
    }
}

impl Class {
    /// The class that opens this folder.
    pub(super) fn of(folder: &Folder) -> Result<Self, Mismatch> {
        if folder.is_checkpoint {
            return Ok(Self::Backend); // an import wrote into its `tokenizer.json` what the class adds
        }
        let declared = [folder.config.get("tokenizer_class"), &folder.model["tokenizer_class"]];
        let declared = declared.into_iter().find(|value| !value.is_null());
        let refuse = |expected: &str, found: &Value| {
            Err((format!("{expected} in tokenizer_config.json beside it"), found.to_string()))
        };
        let code = &folder.config.get("auto_map")["AutoTokenizer"];
        if !code.is_null() {
            return refuse("no code of the tokenizer's own (`auto_map`)", code);
        }
        for (name, expected) in [
            ("add_prefix_space", "`add_prefix_space` false"),
            ("split_special_tokens", "`split_special_tokens` false"),
            ("fix_mistral_regex", "`fix_mistral_regex` false"),
        ] {
            if *folder.config.get(name) == true {
                return refuse(expected, folder.config.get(name));
            }
        }
        if folder.model["model_type"] == "qwen2" {
            return Ok(Self::Qwen2); // whatever is declared
        }
        let Some(declared) = declared else {
            let is_qwen3 = folder.model["model_type"] == "qwen3";
            return Ok(if is_qwen3 { Self::Qwen2 } else { Self::Backend });
        };
        let name = declared.as_str().unwrap_or_default();
        match name.strip_suffix("Fast").unwrap_or(name) {
            "PreTrainedTokenizer" | "TokenizersBackend" | "PythonBackend" | "LlamaTokenizer" => {
                Ok(Self::Backend)
            }
            "GPT2Tokenizer" => Ok(Self::Gpt2),
            "Qwen2Tokenizer" => Ok(Self::Qwen2),
            _ => refuse(
                "PreTrainedTokenizerFast, LlamaTokenizerFast, GPT2Tokenizer or Qwen2Tokenizer as `tokenizer_class`",
                declared,
            ),
        }
    }

    /// The token that stands for a setting which the folder leaves out.
    pub(super) fn default_token(self, setting: &str) -> Option<&'static str> {
        let has = match self {
            Self::Backend => return None,
            Self::Gpt2 => ["unk_token", "bos_token", "eos_token"],
            Self::Qwen2 => ["unk_token", "eos_token", "pad_token"],
        };
        has.contains(&setting).then_some("<|endoftext|>")
    }

    /// Whether the added tokens of `tokenizer.json` are taken only where `tokenizer_config.json` has none.
    pub(super) fn rebuilds(self) -> bool {
        self != Self::Backend
    }

    /// Refuses a `tokenizer.json` whose pipeline is not the one that this class makes. Returns what differs where the
    /// file is right: a published tokenizer that versions before 5 open as the file has it.
    pub(super) fn check(self, document: &Value) -> Result<Option<String>, Mismatch> {
        let normalizers = normalizers(&document["normalizer"]);
        let is_plain = normalizers.is_empty();
        let parts = pre_tokenizers(&document["pre_tokenizer"]);
        let kinds: Vec<&str> = parts.iter().map(|part| part["type"].as_str().unwrap_or_default()).collect();
        let merges_all = document["model"]["ignore_merges"] != true;
        let uses_regex = |part: &Value| part["use_regex"] != false;
        let has_own = |expected: &str| {
            Err((
                format!("{expected}, which transformers 5 takes for `tokenizer_class` {self}"),
                "another pipeline".to_owned(),
            ))
        };
        match self {
            Self::Backend => Ok(None),
            Self::Gpt2 => match kinds[..] {
                ["ByteLevel"] if is_plain && merges_all && uses_regex(parts[0]) => Ok(None),
                ["Digits", "ByteLevel"] if is_plain && merges_all && uses_regex(parts[1]) => Ok(Some(
                    "tokenizer.json splits digits, and so does this program; transformers 5 leaves that out for \
                     `tokenizer_class` GPT2Tokenizer and gives numbers other ids"
                        .into(),
                )),
                _ => has_own("the pre-tokenizer of GPT-2"),
            },
            Self::Qwen2 => match kinds[..] {
                ["Split", "ByteLevel"]
                    if parts[0]["pattern"]["Regex"] == super::known::PATTERNS[1]
                        && !uses_regex(parts[1])
                        && merges_all =>
                {
                    Ok(is_plain.then(|| {
                        "tokenizer.json leaves Unicode as it is, and so does this program; transformers 5 composes it \
                         (NFC) for `tokenizer_class` Qwen2Tokenizer: decomposed letters have other ids there"
                            .into()
                    }))
                }
                _ => has_own("the pre-tokenizer of Qwen2"),
            },
        }
    }
}
