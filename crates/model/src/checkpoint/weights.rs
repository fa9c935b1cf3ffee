//! Named tensors in a safetensors file.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use base::AtomicFile;
use base::MappedFile;
use safetensors::{
    Dtype, SafeTensorError, SafeTensors, View,
    tensor::{Metadata, TensorInfo},
};
use tensor::{Tensor, bf16};

use super::{CheckpointError, llava::is_unused};
use crate::{ParamSpec, Params};

/// A safetensors file begins with the length of its header, in a u64.
const LENGTH_BYTES: usize = 8;

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

/// Says in a file of logits what it is, for those that will replace it.
pub const LOGITS: (&str, &str) = ("maquette", "logits");

/// Writes a tensor `logits`, marked by [`LOGITS`].
///
/// # Errors
/// If the file cannot be written.
pub fn write_logits(path: &Path, logits: &Tensor) -> Result<(), CheckpointError> {
    let metadata = [(LOGITS.0.to_owned(), LOGITS.1.to_owned())].into();
    write_views_with(path, [("logits".to_owned(), Bytes(logits))].into_iter(), metadata)
}

/// Writes tensors whose bytes are made when their turn comes.
pub(crate) fn write_views<V: View>(
    path: &Path,
    views: impl Iterator<Item = (String, V)>,
) -> Result<(), CheckpointError> {
    write_views_with(path, views, [("format".to_owned(), "pt".to_owned())].into())
}

/// The bytes that `safetensors::serialize_to_file` writes. That makes the file through a temporary one of its own, which
/// none but its owner may read.
fn write_views_with<V: View>(
    path: &Path,
    views: impl Iterator<Item = (String, V)>,
    metadata: HashMap<String, String>,
) -> Result<(), CheckpointError> {
    let mut views: Vec<(String, V)> = views.collect();
    views.sort_by(|(name, view), (other_name, other)| {
        other.dtype().cmp(&view.dtype()).then(name.cmp(other_name))
    });
    let mut end = 0;
    let infos = views.iter().map(|(name, view)| {
        let start = end;
        end += view.data_len();
        let (dtype, shape) = (view.dtype(), view.shape().to_vec());
        (name.clone(), TensorInfo { dtype, shape, data_offsets: (start, end) })
    });
    let error = || CheckpointError::io("write", path);
    let header =
        Metadata::new(Some(metadata), infos.collect()).map_err(std::io::Error::other).map_err(error())?;
    let mut header = serde_json::to_vec(&header).expect("names and numbers are valid JSON");
    header.resize(header.len().next_multiple_of(LENGTH_BYTES), b' ');
    let mut file = AtomicFile::create(path)?;
    file.write_all(&(header.len() as u64).to_le_bytes()).map_err(error())?;
    file.write_all(&header).map_err(error())?;
    for (_, view) in views {
        file.write_all(&view.data()).map_err(error())?;
    }
    Ok(file.finish()?)
}

/// The list of tensors in the mapped bytes of a safetensors file. The library checks that they cover the file without
/// gap or overlap.
pub(crate) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, CheckpointError> {
    SafeTensors::deserialize(bytes).map_err(|error| damaged(path, &error))
}

fn damaged(path: &Path, error: &SafeTensorError) -> CheckpointError {
    CheckpointError::Damaged {
        path: path.to_owned(),
        expected: "a safetensors file".into(),
        found: error.to_string(),
    }
}

/// A mapped safetensors file, read tensor by tensor.
#[derive(Debug)]
pub(crate) struct WeightFile {
    path: PathBuf,
    bytes: Arc<MappedFile>,
    /// Where the data begin.
    start: usize,
    metadata: Metadata,
}

impl WeightFile {
    /// Maps a file and reads its list of tensors. The library checks that they cover the file without gap or overlap.
    pub(crate) fn open(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = Arc::new(MappedFile::open(path).map_err(CheckpointError::io("read", path))?);
        let (header_len, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|error| damaged(path, &error))?;
        Ok(Self { path: path.to_owned(), start: LENGTH_BYTES + header_len, metadata, bytes })
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    /// A tensor as f32; f16 and bf16 are widened. What is f32 in the file stays there, mapped, until it is touched.
    pub(crate) fn read(&self, name: &str) -> Result<Tensor, CheckpointError> {
        let info = self.metadata.info(name).ok_or_else(|| CheckpointError::Tensors {
            path: self.path.clone(),
            problem: "lacks",
            name: name.to_owned(),
        })?;
        let range = self.start + info.data_offsets.0..self.start + info.data_offsets.1;
        let (shape, data) = (&info.shape, &self.bytes[range.clone()]);
        let widened = |to_f32: fn([u8; 2]) -> f32| {
            Tensor::from_f32(shape, data.chunks_exact(2).map(|b| to_f32([b[0], b[1]])).collect())
        };
        Ok(match info.dtype {
            Dtype::F32 => Tensor::mapped(shape, &self.bytes, range)
                .unwrap_or_else(|| Tensor::from_f32(shape, decode_f32(data))),
            Dtype::BF16 => widened(|b| bf16::from_le_bytes(b).to_f32()),
            Dtype::F16 => widened(|b| tensor::f16::from_le_bytes(b).to_f32()),
            other => {
                return Err(CheckpointError::Unsupported {
                    path: self.path.clone(),
                    what: format!("the dtype of `{name}`"),
                    found: format!("{other:?}"),
                    expected: "F32, F16 or BF16".into(),
                });
            }
        })
    }

    /// A parameter: a tensor in the shape that the config wants, all finite.
    pub(crate) fn param(&self, spec: &ParamSpec) -> Result<Tensor, CheckpointError> {
        let tensor = self.read(&spec.name)?;
        if tensor.shape() != spec.stored_shape() {
            let (found, expected) = (tensor.shape().to_vec(), spec.stored_shape().to_vec());
            return Err(CheckpointError::Shape { name: spec.name.clone(), found, expected });
        }
        match tensor.f32().iter().enumerate().find(|(_, value)| !value.is_finite()) {
            Some((index, &value)) => {
                Err(CheckpointError::NotFinite { name: spec.name.clone(), value, index })
            }
            None => Ok(tensor.reshaped(&spec.shape)),
        }
    }

    /// Refuses tensors beside those of the model.
    pub(crate) fn check_names(&self, specs: &Params<ParamSpec>) -> Result<(), CheckpointError> {
        let known: BTreeSet<&str> = specs.iter().map(|spec| &spec.name[..]).collect();
        match self.names().into_iter().find(|name| !known.contains(&name[..]) && !is_unused(name)) {
            Some(name) => {
                let path = self.path.clone();
                Err(CheckpointError::Tensors { path, problem: "holds the unknown", name })
            }
            None => Ok(()),
        }
    }
}

/// Reads every tensor of a file as f32.
///
/// # Errors
/// If the file is damaged or a tensor has another dtype.
pub fn read_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>, CheckpointError> {
    let file = WeightFile::open(path)?;
    file.names().into_iter().map(|name| Ok((name.clone(), file.read(&name)?))).collect()
}

fn decode_f32(data: &[u8]) -> Vec<f32> {
    data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}
