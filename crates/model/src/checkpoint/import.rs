//! Models of other programs become checkpoints.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use base::MappedFile;
use safetensors::{Dtype, View, tensor::TensorView};
use tensor::{bf16, f16};

use super::{
    CheckpointError, SpecialIds, adapter::refuse_adapter, llava, parse_config, read_json, weights,
    write_description,
};
use crate::{ModelConfig, VisionConfig, gguf::GgufFile};

/// The config of a Hugging Face folder, single-file or sharded.
///
/// # Errors
/// If there is none, or it describes a model that is not computed here.
pub fn read_foreign_config(folder: &Path) -> Result<ModelConfig, CheckpointError> {
    refuse_adapter(folder)?;
    let path = folder.join("config.json");
    if !path.is_file() {
        return Err(CheckpointError::Missing { path: folder.to_owned(), missing: "config.json" });
    }
    parse_config(&path, &read_json(&path)?)
}

/// Writes the weights of a Hugging Face folder into `dir`, which [`super::publish`] made, in the dtype that they have;
/// memory stays far below their size. Returns the model's config: a head that is not the embedding stays a head of its
/// own, even where `config.json` ties them, as in `transformers` 5.
///
/// # Errors
/// If a tensor is missing, unknown, of another shape or not finite, or a file is damaged.
pub fn import_folder(
    folder: &Path,
    dir: &Path,
    ids: &SpecialIds,
    tokenizer_fingerprint: &str,
) -> Result<ModelConfig, CheckpointError> {
    let mut config = read_foreign_config(folder)?;
    let files = weight_files(folder)?
        .into_iter()
        .map(|path| match MappedFile::open(&path) {
            Ok(bytes) => Ok((path, bytes)),
            Err(source) => Err(CheckpointError::Io { action: "read", path, source }),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut tensors: BTreeMap<String, TensorView> = BTreeMap::new();
    for (path, bytes) in &files {
        for (name, view) in weights::parse(path, bytes)?.tensors() {
            // Buffers that older versions stored.
            if name.ends_with("rotary_emb.inv_freq") {
                continue;
            }
            let name = match &config.vision {
                None => name,
                Some(vision) => match llava::name_here(&name, vision.n_layers) {
                    Some(name) => name,
                    None => continue,
                },
            };
            if tensors.insert(name.clone(), view).is_some() {
                return Err(CheckpointError::Tensors { path: path.clone(), problem: "holds a second", name });
            }
        }
    }
    if config.tie_embeddings {
        config.tie_embeddings = tie(&mut tensors, config.vision.is_some());
    }
    let path = &files[0].0;
    let mut found = Vec::new();
    for spec in config.params() {
        let Some(view) = tensors.remove(&spec.name) else {
            return Err(CheckpointError::Tensors { path: path.clone(), problem: "lacks", name: spec.name });
        };
        if view.shape() != spec.stored_shape() {
            let (found, expected) = (view.shape().to_vec(), spec.stored_shape().to_vec());
            return Err(CheckpointError::Shape { name: spec.name, found, expected });
        }
        check_finite(path, &spec.name, &view)?;
        found.push((spec.name, view));
    }
    // Kept, so that transformers finds them.
    found.extend(tensors.extract_if(.., |name, _| llava::is_unused(name)));
    if let Some(name) = tensors.into_keys().next() {
        return Err(CheckpointError::Tensors { path: path.clone(), problem: "holds the unknown", name });
    }
    let dtype = match found[0].1.dtype() {
        Dtype::F16 => "float16",
        Dtype::BF16 => "bfloat16",
        _ => "float32",
    };
    write_description(dir, &config, ids, dtype, tokenizer_fingerprint)?;
    weights::write_views(&dir.join("model.safetensors"), found.into_iter())?;
    Ok(config)
}

/// Whether head and embedding are one matrix; the copy of it is removed. Either may be the one that is stored.
fn tie(tensors: &mut BTreeMap<String, TensorView>, has_eyes: bool) -> bool {
    let prefix = if has_eyes { VisionConfig::TEXT_PREFIX } else { "" };
    let [head, embedding] =
        ["lm_head.weight", "model.embed_tokens.weight"].map(|name| format!("{prefix}{name}"));
    match (tensors.get(&embedding), tensors.get(&head)) {
        (Some(table), Some(other)) if !is_equal(table, other) => false,
        (Some(_), _) => {
            tensors.remove(&head);
            true
        }
        (None, _) => {
            if let Some(head) = tensors.remove(&head) {
                tensors.insert(embedding, head);
            }
            true
        }
    }
}

/// Whether two tensors hold the same numbers, in whatever dtypes.
fn is_equal(a: &TensorView, b: &TensorView) -> bool {
    if a.shape() != b.shape() {
        return false;
    }
    if a.dtype() == b.dtype() && a.data() == b.data() {
        return true;
    }
    let reader = |view: &TensorView| -> Option<fn(&[u8], usize) -> f32> {
        match view.dtype() {
            Dtype::F32 => Some(|bytes, i| f32::from_le_bytes(std::array::from_fn(|k| bytes[4 * i + k]))),
            Dtype::F16 => Some(|bytes, i| f16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]).to_f32()),
            Dtype::BF16 => Some(|bytes, i| bf16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]).to_f32()),
            _ => None,
        }
    };
    let n = a.shape().iter().product();
    match (reader(a), reader(b)) {
        (Some(read_a), Some(read_b)) => (0..n).all(|i| read_a(a.data(), i) == read_b(b.data(), i)),
        _ => false,
    }
}

/// The folder's safetensors files: one, or those that its index names.
fn weight_files(folder: &Path) -> Result<Vec<std::path::PathBuf>, CheckpointError> {
    let (single, index) = (folder.join("model.safetensors"), folder.join("model.safetensors.index.json"));
    if single.is_file() {
        return Ok(vec![single]);
    }
    if !index.is_file() {
        return Err(CheckpointError::Missing { path: folder.to_owned(), missing: "model.safetensors" });
    }
    let value = read_json(&index)?;
    let damaged = |found: String| CheckpointError::Damaged {
        path: index.clone(),
        expected: "a `weight_map` from tensors to files beside it".into(),
        found,
    };
    let map = value["weight_map"].as_object().ok_or_else(|| damaged("none".into()))?;
    let mut names = BTreeSet::new();
    for name in map.values() {
        let plain = name.as_str().filter(|name| Path::new(name).file_name() == Some(name.as_ref()));
        names.insert(plain.ok_or_else(|| damaged(name.to_string()))?);
    }
    if names.is_empty() {
        return Err(damaged("an empty one".into()));
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

fn check_finite(path: &Path, name: &str, view: &TensorView) -> Result<(), CheckpointError> {
    let bytes = view.data();
    let halves = |to_f32: fn([u8; 2]) -> f32| {
        let mut values = bytes.chunks_exact(2).map(|b| to_f32([b[0], b[1]]));
        values.position(|x| !x.is_finite()).map(|index| (index, f32::NAN))
    };
    let bad = match view.dtype() {
        Dtype::F32 => {
            let values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            values.enumerate().find(|(_, x)| !x.is_finite())
        }
        Dtype::F16 => halves(|b| f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => halves(|b| bf16::from_le_bytes(b).to_f32()),
        other => {
            return Err(CheckpointError::Unsupported {
                path: path.to_owned(),
                what: format!("the dtype of `{name}`"),
                found: format!("{other:?}"),
                expected: "F32, F16 or BF16".into(),
            });
        }
    };
    match bad {
        Some((index, value)) => Err(CheckpointError::NotFinite { name: name.to_owned(), value, index }),
        None => Ok(()),
    }
}

/// Writes the weights of a GGUF file into `dir`, which [`super::publish`] made, as f32; one tensor at a time is held.
///
/// # Errors
/// If a number is not finite or the file cannot be written; `config` is what [`GgufFile::config`] returned.
pub fn import_gguf(
    file: &GgufFile,
    config: &ModelConfig,
    dir: &Path,
    ids: &SpecialIds,
    tokenizer_fingerprint: &str,
) -> Result<(), CheckpointError> {
    write_description(dir, config, ids, "float32", tokenizer_fingerprint)?;
    let bad = RefCell::new(None);
    let views = config
        .params()
        .into_iter()
        .map(|spec| (spec.name.clone(), Dequantized { file, config, spec, bad: &bad }));
    weights::write_views(&dir.join("model.safetensors"), views)?;
    bad.into_inner().map_or(Ok(()), Err)
}

/// A parameter that is dequantised when it is written.
struct Dequantized<'a> {
    file: &'a GgufFile,
    config: &'a ModelConfig,
    spec: crate::ParamSpec,
    /// The first number that is none; writing itself has no way to say so.
    bad: &'a RefCell<Option<CheckpointError>>,
}

impl View for Dequantized<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.spec.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let values = self.file.param(self.config, &self.spec);
        if let Some((index, &value)) = values.iter().enumerate().find(|(_, x)| !x.is_finite()) {
            let name = self.spec.name.clone();
            self.bad.borrow_mut().get_or_insert(CheckpointError::NotFinite { name, value, index });
        }
        Cow::Owned(values.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        4 * self.spec.len()
    }
}
