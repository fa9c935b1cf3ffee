//! Models that score a text: a head of one output in place of the head of a language model.
//!
//! The folder is what `transformers` opens as `LlamaForSequenceClassification` (or Qwen's): `num_labels` 1, the head named
//! `score.weight`, no `lm_head`.

use std::path::Path;

use serde_json::json;

use super::{
    CheckpointError, SpecialIds, WeightFile, files::write_file, parse_config, read_about, read_json, to_json,
    verify, write_about, write_special_ids, write_tensors,
};
use crate::{Gpt, ModelConfig, Params};

/// Name of the head that scores, as `transformers` has it.
pub const SCORE: &str = "score.weight";

const LANGUAGE_MODEL: &str = "ForCausalLM";
const CLASSIFIER: &str = "ForSequenceClassification";

/// Writes the files of a model that scores into `dir`, which [`super::publish`] made. Adapters are added to the weights.
///
/// `ids.pad` is what `transformers` looks for from the right to find the last token: no token that ends a scored text.
///
/// # Errors
/// If a file cannot be written, or the model has no head named [`SCORE`].
pub fn write_scorer(
    dir: &Path,
    gpt: &Gpt,
    ids: &SpecialIds,
    tokenizer_fingerprint: &str,
) -> Result<(), CheckpointError> {
    let path = dir.join("model.safetensors");
    let place = gpt.specs().heads.iter().position(|head| head.weight.name == SCORE);
    let lacks = || CheckpointError::Tensors { path: path.clone(), problem: "lacks", name: SCORE.into() };
    let score = &gpt.params().heads[place.ok_or_else(lacks)?].weight;
    let body = gpt.merged();
    write_about(dir, tokenizer_fingerprint)?;
    // There is no head of a language model that could be another matrix than the embedding.
    let config = ModelConfig { tie_embeddings: true, ..gpt.config().clone() };
    let mut value = super::config::to_hugging_face(&config, ids, "float32");
    let architecture =
        value["architectures"][0].as_str().unwrap_or_default().replace(LANGUAGE_MODEL, CLASSIFIER);
    value["architectures"] = json!([architecture]);
    value["num_labels"] = json!(1);
    value["id2label"] = json!({ "0": "LABEL_0" });
    value["label2id"] = json!({ "LABEL_0": 0 });
    value["pad_token_id"] = json!(ids.pad);
    write_file(&dir.join("config.json"), &to_json(&value))?;
    write_special_ids(dir, ids)?;
    let names = config.params().into_iter().map(|spec| spec.name).collect::<Vec<_>>();
    let named = body.specs().iter().map(|spec| spec.name.clone()).zip(body.params());
    let own = named.filter(|(name, _)| names.contains(name));
    write_tensors(&path, own.chain([(SCORE.to_owned(), score)]))
}

/// Opens a model that scores: its head is the first of [`Params::heads`], and its embedding stands in for the head of a
/// language model.
///
/// # Errors
/// If anything is missing, damaged, or not a model of one score that this build computes.
pub fn read_scorer(dir: &Path) -> Result<Gpt, CheckpointError> {
    for missing in ["config.json", "model.safetensors"] {
        if !dir.join(missing).is_file() {
            return Err(CheckpointError::Missing { path: dir.to_owned(), missing });
        }
    }
    read_about(dir)?;
    verify(dir)?;
    let path = dir.join("config.json");
    let mut value = read_json(&path)?;
    let unsupported = |what: &str, found: String, expected: &str| CheckpointError::Unsupported {
        path: path.clone(),
        what: what.into(),
        found,
        expected: expected.into(),
    };
    let named = value["architectures"][0].as_str().unwrap_or_default().to_owned();
    let Some(family) = named.strip_suffix(CLASSIFIER) else {
        return Err(unsupported(
            "`architectures`",
            value["architectures"].to_string(),
            "reward models, such as LlamaForSequenceClassification",
        ));
    };
    let n_labels =
        value["num_labels"].as_u64().or_else(|| value["id2label"].as_object().map(|all| all.len() as u64));
    if n_labels != Some(1) {
        let found = n_labels.map_or_else(|| "2, the default".into(), |n| n.to_string());
        return Err(unsupported("`num_labels`", found, "1"));
    }
    value["architectures"] = json!([format!("{family}{LANGUAGE_MODEL}")]);
    value["tie_word_embeddings"] = json!(true);
    let config = parse_config(&path, &value)?;
    let body = Gpt::from_specs(config.clone(), |specs: &mut Params<_>| {
        specs.add_head(SCORE, 1);
    });
    let file = WeightFile::open(&dir.join("model.safetensors"))?;
    file.check_names(body.specs())?;
    let params = body.specs().try_map(|spec| file.param(spec))?;
    Ok(body.with_params(params))
}
