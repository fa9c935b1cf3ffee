//! Named tensors in a safetensors file.

use std::{borrow::Cow, collections::BTreeMap, path::Path};

use safetensors::{Dtype, SafeTensors, View};
use tensor::{MappedFile, Tensor};

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
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let views = tensors.map(|(name, tensor)| (name, Bytes(tensor)));
    safetensors::serialize_to_file(views, Some(metadata), path).map_err(|error| {
        let source = match error {
            safetensors::SafeTensorError::IoError(source) => source,
            other => std::io::Error::other(other),
        };
        CheckpointError::Io { action: "write", path: path.to_owned(), source }
    })?;
    sync_file(path)
}

/// Reads every tensor of a file; all must be f32.
///
/// # Errors
/// If the file is damaged or a tensor has another dtype.
pub fn read_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>, CheckpointError> {
    let bytes = MappedFile::open(path).map_err(CheckpointError::io("read", path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| CheckpointError::Damaged {
        path: path.to_owned(),
        expected: "a safetensors file".into(),
        found: error.to_string(),
    })?;
    file.iter()
        .map(|(name, view)| {
            if view.dtype() != Dtype::F32 {
                return Err(CheckpointError::Unsupported {
                    path: path.to_owned(),
                    what: format!("the dtype of `{name}`"),
                    found: format!("{:?}", view.dtype()),
                    expected: "F32".into(),
                });
            }
            let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            Ok((name.to_owned(), Tensor::from_f32(view.shape(), values.collect())))
        })
        .collect()
}
