//! A checkpoint as a file for llama.cpp.

use std::path::Path;

use tensor::Tensor;

use super::{GgufError, Kind, Value, layout, writer};
use crate::{ParamSpec, Role, checkpoint};

/// Metadata that every file of this program begins with: the version that wrote it.
pub const WRITER_KEY: &str = "maquette.version";

/// Writes the checkpoint at `dir` to `path`, its matrices as `kind`; `more` is metadata beside what describes the model,
/// such as the tokenizer. One tensor is in memory at a time.
///
/// Gains and biases stay f32, as llama.cpp's own converter has it. In a `Q4_0` file the matrix that makes the logits is
/// `Q8_0`: it decides every token, and its errors cannot be corrected further up.
///
/// # Errors
/// If the checkpoint cannot be read, `kind` cannot hold a weight, or the file cannot be written.
///
/// # Panics
/// If `kind` is not one of [`Kind::WRITTEN`].
pub fn export(
    dir: &Path,
    path: &Path,
    kind: Kind,
    more: Vec<(String, Value)>,
) -> Result<Exported, GgufError> {
    let config = checkpoint::read_config(dir)?;
    if config.vision.is_some() {
        return Err(GgufError::Eyes { dir: dir.to_owned() });
    }
    checkpoint::verify(dir)?;
    let file = checkpoint::WeightFile::open(&dir.join("model.safetensors"))?;
    let specs = config.params();
    file.check_names(&specs)?;

    // First, so that a file is known by its first bytes.
    let version = Value::String(env!("CARGO_PKG_VERSION").into());
    let mut metadata = vec![(WRITER_KEY.to_owned(), version)];
    metadata.extend(layout::metadata(&config));
    metadata.push(("general.file_type".into(), Value::U32(file_type(kind))));
    if kind.block_len() > 1 {
        metadata.push(("general.quantization_version".into(), Value::U32(2)));
    }
    metadata.extend(more);

    let mut unfit = Vec::new();
    let mut tensors: Vec<writer::Planned<Values<'_>>> = Vec::new();
    if let Some((name, factors)) = layout::rope_factors(&config) {
        // llama.cpp looks for this tensor in Llama models alone.
        if config.qk_norm || config.qkv_bias {
            return Err(GgufError::Unsupported {
                path: path.to_owned(),
                what: "RoPE scaling".into(),
                found: "there in a Qwen model".into(),
                expected: "in Llama models".into(),
            });
        }
        let (name, shape) = (name.to_owned(), vec![factors.len()]);
        let factors = Tensor::from_f32(&shape, factors);
        tensors.push(writer::Planned { name, shape, kind: Kind::F32, values: Box::new(|| Ok(factors)) });
    }
    for spec in &specs {
        let makes_logits = spec.role == Role::Head || config.tie_embeddings && spec.role == Role::Embedding;
        let kind = match stored(kind, spec, makes_logits) {
            Some(kind) => kind,
            None => {
                unfit.push(spec.name.clone());
                Kind::F16
            }
        };
        let (file, config) = (&file, &config);
        tensors.push(writer::Planned {
            name: layout::theirs(&spec.name),
            shape: spec.shape.clone(),
            kind,
            values: Box::new(move || Ok(layout::ordered(config, spec, file.param(spec)?))),
        });
    }
    let n_bytes = writer::write(path, &metadata, tensors)?;
    Ok(Exported { n_bytes, stored_as_f16: unfit })
}

/// What [`export`] wrote.
#[derive(Debug)]
pub struct Exported {
    /// Length of the file.
    pub n_bytes: u64,
    /// Matrices that are stored as f16, since their rows are no whole number of blocks.
    pub stored_as_f16: Vec<String>,
}

/// Makes a tensor's numbers.
type Values<'a> = Box<dyn FnOnce() -> Result<Tensor, GgufError> + 'a>;

/// How a parameter is stored in a file of `kind`; nothing where its rows are no whole blocks.
fn stored(kind: Kind, spec: &ParamSpec, makes_logits: bool) -> Option<Kind> {
    let [_, width] = spec.shape[..] else { return Some(Kind::F32) };
    let kind = if kind == Kind::Q4_0 && makes_logits { Kind::Q8_0 } else { kind };
    width.is_multiple_of(kind.block_len()).then_some(kind)
}

/// ggml's number of a file whose matrices are mostly `kind` (`llama_ftype` in llama.h).
fn file_type(kind: Kind) -> u32 {
    match kind {
        Kind::F32 => 0,
        Kind::F16 => 1,
        Kind::Q4_0 => 2,
        Kind::Q8_0 => 7,
        Kind::BF16 => 32,
        other => panic!("{other:?} is read, not written"),
    }
}
