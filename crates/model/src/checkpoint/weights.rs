//! Named tensors in a safetensors file.

use std::{borrow::Cow, collections::BTreeMap, path::Path, sync::Arc};

use safetensors::{Dtype, SafeTensors, View};
use tensor::{MappedFile, Tensor, bf16};

use super::{CheckpointError, publish::sync_file};

/// An f32 tensor as little-endian bytes.
struct Bytes<'a>(&'a Tensor);

impl View for Bytes<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.0.f32().iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        4 * self.0.len()
    }
}

/// Writes f32 tensors, one after another: memory stays at one tensor beyond the model.
///
/// # Errors
/// If the file cannot be written.
pub fn write_tensors<'a>(
    path: &Path,
    tensors: impl Iterator<Item = (String, &'a Tensor)>,
) -> Result<(), CheckpointError> {
    write_views(path, tensors.map(|(name, tensor)| (name, Bytes(tensor))))
}

/// Writes tensors whose bytes are made when their turn comes.
pub(crate) fn write_views<V: View>(
    path: &Path,
    views: impl Iterator<Item = (String, V)>,
) -> Result<(), CheckpointError> {
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    safetensors::serialize_to_file(views, Some(metadata), path).map_err(|error| {
        let source = match error {
            safetensors::SafeTensorError::IoError(source) => source,
            other => std::io::Error::other(other),
        };
        CheckpointError::Io { action: "write", path: path.to_owned(), source }
    })?;
    sync_file(path)
}

/// The list of tensors in the mapped bytes of a safetensors file. The library checks that they cover the file without
/// gap or overlap.
pub(crate) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, CheckpointError> {
    SafeTensors::deserialize(bytes).map_err(|error| CheckpointError::Damaged {
        path: path.to_owned(),
        expected: "a safetensors file".into(),
        found: error.to_string(),
    })
}

/// Reads every tensor of a file as f32; f16 and bf16 are widened. What is f32 in the file stays there, mapped, until it
/// is touched.
///
/// # Errors
/// If the file is damaged or a tensor has another dtype.
pub fn read_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>, CheckpointError> {
    let bytes = Arc::new(MappedFile::open(path).map_err(CheckpointError::io("read", path))?);
    let file = parse(path, &bytes)?;
    let base = bytes.as_ptr().addr();
    file.iter()
        .map(|(name, view)| {
            let (shape, data) = (view.shape(), view.data());
            let widened = |to_f32: fn([u8; 2]) -> f32| {
                Tensor::from_f32(shape, data.chunks_exact(2).map(|b| to_f32([b[0], b[1]])).collect())
            };
            let tensor = match view.dtype() {
                Dtype::F32 => {
                    let start = data.as_ptr().addr() - base;
                    Tensor::mapped(shape, &bytes, start..start + data.len())
                        .unwrap_or_else(|| Tensor::from_f32(shape, decode_f32(data)))
                }
                Dtype::BF16 => widened(|b| bf16::from_le_bytes(b).to_f32()),
                Dtype::F16 => widened(|b| tensor::f16::from_le_bytes(b).to_f32()),
                other => {
                    return Err(CheckpointError::Unsupported {
                        path: path.to_owned(),
                        what: format!("the dtype of `{name}`"),
                        found: format!("{other:?}"),
                        expected: "F32, F16 or BF16".into(),
                    });
                }
            };
            Ok((name.to_owned(), tensor))
        })
        .collect()
}

fn decode_f32(data: &[u8]) -> Vec<f32> {
    data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}
