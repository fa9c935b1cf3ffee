//! Opens a file and checks all that it claims.

use std::{
    collections::BTreeSet,
    ops::Range,
    path::{Path, PathBuf},
};

use base::MappedFile;

use super::{GgufError, Kind, Value};

/// A tensor's place in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// llama.cpp's name.
    pub name: String,
    /// Outermost axis first, as everywhere here; the file has the innermost first.
    pub shape: Vec<usize>,
    /// How it is stored.
    pub kind: Kind,
    /// Where in the file.
    pub bytes: Range<usize>,
}

/// A mapped GGUF file whose claims are checked: names differ, tensors lie within the file, aligned, and none overlaps.
#[derive(Debug)]
pub struct GgufFile {
    path: PathBuf,
    bytes: MappedFile,
    metadata: Vec<(String, Value)>,
    tensors: Vec<TensorInfo>,
}

/// Arrays within arrays; none are in use.
const MAX_DEPTH: usize = 4;
/// As in ggml.
const MAX_DIMS: u32 = 4;
/// Where tensors begin, if the metadata does not say.
const ALIGNMENT: u64 = 32;

impl GgufFile {
    /// Maps and checks a file.
    ///
    /// # Errors
    /// If it cannot be read, is damaged, or stores tensors in a way that is not read here.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let bytes =
            MappedFile::open(path).map_err(|source| GgufError::Io { path: path.to_owned(), source })?;
        let (metadata, tensors) = parse(&bytes).map_err(|problem| problem.at(path))?;
        Ok(Self { path: path.to_owned(), bytes, metadata, tensors })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All metadata in the file's order.
    pub fn metadata(&self) -> &[(String, Value)] {
        &self.metadata
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// All tensors in the file's order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// A tensor's numbers.
    pub fn read(&self, tensor: &TensorInfo) -> Vec<f32> {
        let mut values = vec![0.0; tensor.shape.iter().product()];
        tensor.kind.dequantize(&self.bytes[tensor.bytes.clone()], &mut values);
        values
    }

    pub(super) fn damaged(&self, expected: impl Into<String>, found: impl Into<String>) -> GgufError {
        Problem::Damaged(expected.into(), found.into()).at(&self.path)
    }

    pub(super) fn unsupported(&self, what: &str, found: impl ToString, expected: &str) -> GgufError {
        Problem::Unsupported(what.into(), found.to_string(), expected.into()).at(&self.path)
    }
}

/// A [`GgufError`] before the path is known.
enum Problem {
    Damaged(String, String),
    Unsupported(String, String, String),
}

impl Problem {
    fn at(self, path: &Path) -> GgufError {
        let path = path.to_owned();
        match self {
            Self::Damaged(expected, found) => GgufError::Damaged { path, expected, found },
            Self::Unsupported(what, found, expected) => {
                GgufError::Unsupported { path, what, found, expected }
            }
        }
    }
}

fn damaged(expected: impl Into<String>, found: impl Into<String>) -> Problem {
    Problem::Damaged(expected.into(), found.into())
}

type Parsed = (Vec<(String, Value)>, Vec<TensorInfo>);

fn parse(bytes: &[u8]) -> Result<Parsed, Problem> {
    let mut cursor = Cursor { bytes, at: 0 };
    let magic = cursor.take(4, "the letters GGUF")?;
    if magic != b"GGUF" {
        return Err(damaged(
            "the letters GGUF at the beginning",
            format!("{:?}", String::from_utf8_lossy(magic)),
        ));
    }
    match cursor.u32()? {
        2 | 3 => {}
        version if version.swap_bytes() <= 3 => {
            return Err(Problem::Unsupported(
                "the byte order".into(),
                "big-endian".into(),
                "little-endian".into(),
            ));
        }
        version => {
            return Err(Problem::Unsupported("the version".into(), version.to_string(), "2 or 3".into()));
        }
    }
    // A tensor's entry takes 24 bytes at least, a key's 13: a count above what can follow is refused at once.
    let n_tensors = cursor.count(24, "tensors")?;
    let n_keys = cursor.count(13, "keys")?;
    let mut metadata = Vec::with_capacity(n_keys);
    let mut names = BTreeSet::new();
    for _ in 0..n_keys {
        let key = cursor.string()?;
        let kind = cursor.u32()?;
        let value = cursor.value(kind, 0)?;
        if !names.insert(key.clone()) {
            return Err(damaged("every key once", format!("`{key}` twice")));
        }
        metadata.push((key, value));
    }
    let alignment = metadata.iter().find(|(key, _)| key == "general.alignment").map(|(_, value)| value);
    let alignment = match alignment.map(Value::as_u64) {
        None => ALIGNMENT,
        Some(Some(x)) if x.is_power_of_two() && x <= 1 << 20 => x,
        Some(_) => return Err(damaged("general.alignment to be a power of two", "another value")),
    };
    let mut entries = Vec::with_capacity(n_tensors);
    let mut names = BTreeSet::new();
    for _ in 0..n_tensors {
        let entry = cursor.tensor()?;
        if !names.insert(entry.0.name.clone()) {
            return Err(damaged("every tensor once", format!("`{}` twice", entry.0.name)));
        }
        entries.push(entry);
    }
    let data_start = (cursor.at as u64).next_multiple_of(alignment);
    let mut tensors = Vec::with_capacity(entries.len());
    for (mut tensor, offset) in entries {
        let len = tensor.bytes.len() as u64;
        let start = data_start.checked_add(offset).filter(|_| offset.is_multiple_of(alignment));
        let end = start.and_then(|start| start.checked_add(len)).filter(|end| *end <= bytes.len() as u64);
        let (Some(start), Some(end)) = (start, end) else {
            return Err(damaged(
                format!(
                    "`{}` within the file's {} bytes, at a multiple of {alignment}",
                    tensor.name,
                    bytes.len()
                ),
                format!("{len} bytes at offset {offset} of the data"),
            ));
        };
        tensor.bytes = start as usize..end as usize;
        tensors.push(tensor);
    }
    let mut order: Vec<&TensorInfo> = tensors.iter().filter(|tensor| !tensor.bytes.is_empty()).collect();
    order.sort_by_key(|tensor| tensor.bytes.start);
    for pair in order.windows(2) {
        if pair[0].bytes.end > pair[1].bytes.start {
            return Err(damaged(
                "tensors that do not overlap",
                format!("`{}` and `{}`", pair[0].name, pair[1].name),
            ));
        }
    }
    Ok((metadata, tensors))
}

/// Reads on through the file's head.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize, what: &str) -> Result<&'a [u8], Problem> {
        let found = self.bytes.len() - self.at;
        let Some(taken) = self.bytes[self.at..].get(..n) else {
            return Err(damaged(
                format!("{n} more bytes for {what} at offset {}", self.at),
                format!("{found} to the end of the file"),
            ));
        };
        self.at += n;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, "a number")?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, Problem> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Problem> {
        self.array().map(u64::from_le_bytes)
    }

    /// How many things of at least `least_bytes` each follow.
    fn count(&mut self, least_bytes: usize, what: &str) -> Result<usize, Problem> {
        let at = self.at;
        let n = self.u64()?;
        let room = (self.bytes.len() - self.at) / least_bytes;
        match usize::try_from(n) {
            Ok(n) if n <= room => Ok(n),
            _ => Err(damaged(
                format!("at most {room} {what} in the rest of the file"),
                format!("a count of {n} at offset {at}"),
            )),
        }
    }

    fn string(&mut self) -> Result<String, Problem> {
        let len = self.count(1, "bytes of a string")?;
        let at = self.at;
        let bytes = self.take(len, "a string")?;
        String::from_utf8(bytes.to_vec()).map_err(|error| {
            damaged(format!("UTF-8 in the string at offset {at}"), error.utf8_error().to_string())
        })
    }

    fn value(&mut self, kind: u32, depth: usize) -> Result<Value, Problem> {
        Ok(match kind {
            0 => Value::U8(u8::from_le_bytes(self.array()?)),
            1 => Value::I8(i8::from_le_bytes(self.array()?)),
            2 => Value::U16(u16::from_le_bytes(self.array()?)),
            3 => Value::I16(i16::from_le_bytes(self.array()?)),
            4 => Value::U32(self.u32()?),
            5 => Value::I32(i32::from_le_bytes(self.array()?)),
            6 => Value::F32(f32::from_le_bytes(self.array()?)),
            7 => match self.array::<1>()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [other] => return Err(damaged("a truth value of 0 or 1", other.to_string())),
            },
            8 => Value::String(self.string()?),
            9 if depth < MAX_DEPTH => {
                let kind = self.u32()?;
                let least_bytes = match kind {
                    0 | 1 | 7 => 1,
                    2 | 3 => 2,
                    8 | 10 | 11 | 12 => 8,
                    9 => 12,
                    _ => 4,
                };
                let n = self.count(least_bytes, "values of a list")?;
                // A value here takes more room than in the file: grow with what is really there.
                let mut values = Vec::new();
                for _ in 0..n {
                    values.push(self.value(kind, depth + 1)?);
                }
                Value::Array(values)
            }
            9 => return Err(damaged(format!("lists at most {MAX_DEPTH} deep"), "a deeper one")),
            10 => Value::U64(self.u64()?),
            11 => Value::I64(i64::from_le_bytes(self.array()?)),
            12 => Value::F64(f64::from_le_bytes(self.array()?)),
            other => return Err(damaged("a type of value from 0 to 12", other.to_string())),
        })
    }

    /// A tensor whose `bytes` have only their length yet, and its offset in the data.
    fn tensor(&mut self) -> Result<(TensorInfo, u64), Problem> {
        let name = self.string()?;
        let n_dims = self.u32()?;
        if n_dims == 0 || n_dims > MAX_DIMS {
            return Err(damaged(format!("1 to {MAX_DIMS} axes of `{name}`"), n_dims.to_string()));
        }
        let mut shape = Vec::new();
        for _ in 0..n_dims {
            shape.push(self.u64()?);
        }
        let kind = Kind::from_id(self.u32()?).map_err(|found| {
            let kinds = Kind::ALL.map(|kind| format!("{kind:?}")).join(" ");
            Problem::Unsupported(format!("the kind of `{name}`"), found, kinds)
        })?;
        let offset = self.u64()?;
        let n_elements = shape.iter().try_fold(1u64, |n, dim| n.checked_mul(*dim));
        let in_blocks = shape[0].is_multiple_of(kind.block_len() as u64);
        let len = n_elements
            .filter(|_| in_blocks)
            .and_then(|n| (n / kind.block_len() as u64).checked_mul(kind.block_bytes() as u64))
            .filter(|len| *len <= self.bytes.len() as u64);
        let Some(len) = len else {
            return Err(damaged(
                format!("`{name}` to fit into the file, in rows of whole blocks of {}", kind.block_len()),
                format!("{shape:?} in {kind:?}"),
            ));
        };
        let shape = shape.iter().rev().map(|dim| *dim as usize).collect();
        Ok((TensorInfo { name, shape, kind, bytes: 0..len as usize }, offset))
    }
}
