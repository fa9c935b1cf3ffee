//! Writes files of version 3, one tensor in memory at a time.

use std::{
    io::{BufWriter, Write},
    path::Path,
};

use base::{AtomicFile, FileError};
use tensor::Tensor;

use super::{GgufError, Kind, Value};

/// Where tensors begin, as ggml has it unless the metadata says otherwise.
const ALIGNMENT: usize = 32;

/// Numbers that are turned at a time: whole blocks of every kind.
const PART_LEN: usize = 1 << 18;

/// A tensor whose numbers are made when their turn comes.
#[derive(Debug)]
pub(super) struct Planned<F> {
    /// llama.cpp's name.
    pub(super) name: String,
    /// Outermost axis first.
    pub(super) shape: Vec<usize>,
    pub(super) kind: Kind,
    pub(super) values: F,
}

/// Writes a file that appears when it is whole and on disk; returns its length in bytes.
pub(super) fn write<F>(
    path: &Path,
    metadata: &[(String, Value)],
    tensors: Vec<Planned<F>>,
) -> Result<u64, GgufError>
where
    F: FnOnce() -> Result<Tensor, GgufError>,
{
    let io = |source| GgufError::Write { path: path.to_owned(), source };
    let mut out = BufWriter::with_capacity(1 << 20, AtomicFile::create(path)?);
    let head = head(metadata, &tensors);
    out.write_all(&head).map_err(io)?;
    let mut len = head.len();
    let mut stored = Vec::new();
    for tensor in tensors {
        let values = (tensor.values)()?;
        for part in values.f32().chunks(PART_LEN) {
            stored.clear();
            tensor.kind.quantize(part, &mut stored).map_err(|found| GgufError::Unsupported {
                path: path.to_owned(),
                what: format!("a weight of `{}`", tensor.name),
                found: found.to_string(),
                expected: format!("numbers that {:?} holds; bf16 and f32 hold all", tensor.kind),
            })?;
            out.write_all(&stored).map_err(io)?;
        }
        let n_bytes = tensor.kind.n_bytes(values.len());
        let n_aligned = n_bytes.next_multiple_of(ALIGNMENT);
        out.write_all(&[0; ALIGNMENT][..n_aligned - n_bytes]).map_err(io)?;
        len += n_aligned;
    }
    out.into_inner().map_err(|error| io(error.into_error()))?.finish()?;
    Ok(len as u64)
}

impl From<FileError> for GgufError {
    fn from(FileError { path, source, .. }: FileError) -> Self {
        Self::Write { path, source }
    }
}

/// All that stands before the tensors' data.
fn head<F>(metadata: &[(String, Value)], tensors: &[Planned<F>]) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        string(&mut out, key);
        out.extend(value.type_id().to_le_bytes());
        self::value(&mut out, value);
    }
    let mut offset = 0u64;
    for tensor in tensors {
        string(&mut out, &tensor.name);
        out.extend((tensor.shape.len() as u32).to_le_bytes());
        tensor.shape.iter().rev().for_each(|dim| out.extend((*dim as u64).to_le_bytes()));
        out.extend(tensor.kind.id().to_le_bytes());
        out.extend(offset.to_le_bytes());
        let n_bytes = tensor.kind.n_bytes(tensor.shape.iter().product());
        offset += n_bytes.next_multiple_of(ALIGNMENT) as u64;
    }
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    out
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(x) => out.push(*x),
        Value::I8(x) => out.extend(x.to_le_bytes()),
        Value::U16(x) => out.extend(x.to_le_bytes()),
        Value::I16(x) => out.extend(x.to_le_bytes()),
        Value::U32(x) => out.extend(x.to_le_bytes()),
        Value::I32(x) => out.extend(x.to_le_bytes()),
        Value::F32(x) => out.extend(x.to_le_bytes()),
        Value::Bool(x) => out.push(u8::from(*x)),
        Value::String(text) => string(out, text),
        Value::Array(values) => {
            // The element type of an empty list is free; merges of texts are the one list that may be empty.
            let type_id = values.first().map_or(Value::STRING, Value::type_id);
            out.extend(type_id.to_le_bytes());
            out.extend((values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| self::value(out, value));
        }
        Value::U64(x) => out.extend(x.to_le_bytes()),
        Value::I64(x) => out.extend(x.to_le_bytes()),
        Value::F64(x) => out.extend(x.to_le_bytes()),
    }
}
