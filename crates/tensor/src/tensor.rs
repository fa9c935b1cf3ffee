//! Storage, shape and dtype.

use std::{ops::Range, sync::Arc};

use base::{MappedFile, Rng};
use half::bf16;

use crate::{Slice, SliceMut, arena::Buffer};

/// How an element is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// The upper half of an f32: 8 bits of exponent, 7 of fraction.
    Bf16,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64: for gradient checks and the specification.
    F64,
}

impl DType {
    /// Its name, as the field writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

#[derive(Clone, Debug)]
enum Storage {
    Bf16(Buffer<bf16>),
    F32(Buffer<f32>),
    F64(Buffer<f64>),
    /// f32 in a file, read where they are touched.
    Mapped(Mapped),
}

/// Little-endian f32 in a mapped file, which [`Mapped::new`] has found to be aligned.
#[derive(Clone, Debug)]
struct Mapped {
    file: Arc<MappedFile>,
    bytes: Range<usize>,
}

impl Mapped {
    fn new(file: &Arc<MappedFile>, bytes: Range<usize>) -> Option<Self> {
        let start = file.get(bytes.clone())?.as_ptr();
        let fits = start.cast::<f32>().is_aligned() && bytes.len().is_multiple_of(size_of::<f32>());
        (fits && cfg!(target_endian = "little")).then(|| Self { file: Arc::clone(file), bytes })
    }

    fn values(&self) -> &[f32] {
        // SAFETY: every pattern of bits is an f32, and `align_to` looks at the alignment itself.
        let (before, values, after) = unsafe { self.file[self.bytes.clone()].align_to::<f32>() };
        debug_assert!(before.is_empty() && after.is_empty(), "`new` has checked the alignment");
        values
    }
}

/// A dense row-major array. Clones share storage; writing to a shared one copies it first.
///
/// ```
/// let x = tensor::Tensor::from_f32(&[2, 3], vec![0., 1., 2., 3., 4., 5.]);
/// assert_eq!(x.shape(), [2, 3]);
/// assert_eq!(x.f32()[4], 4.0);
/// ```
#[derive(Clone, Debug)]
pub struct Tensor {
    shape: Vec<usize>,
    storage: Arc<Storage>,
}

impl Tensor {
    /// All zeros.
    pub fn zeros(shape: &[usize], dtype: DType) -> Self {
        let len = shape.iter().product();
        let storage = match dtype {
            DType::Bf16 => Storage::Bf16(Buffer::zeros(len)),
            DType::F32 => Storage::F32(Buffer::zeros(len)),
            DType::F64 => Storage::F64(Buffer::zeros(len)),
        };
        Self { shape: shape.to_vec(), storage: Arc::new(storage) }
    }

    /// Numbers of unspecified value, all of which are about to be overwritten.
    pub fn unspecified(shape: &[usize], dtype: DType) -> Self {
        let len = shape.iter().product();
        let storage = match dtype {
            DType::Bf16 => Storage::Bf16(Buffer::unspecified(len)),
            DType::F32 => Storage::F32(Buffer::unspecified(len)),
            DType::F64 => Storage::F64(Buffer::unspecified(len)),
        };
        Self { shape: shape.to_vec(), storage: Arc::new(storage) }
    }

    /// Takes `values` as an array of `shape`.
    ///
    /// # Panics
    /// If their number is not the shape's.
    #[track_caller]
    pub fn from_f32(shape: &[usize], values: Vec<f32>) -> Self {
        check_len(shape, values.len());
        Self { shape: shape.to_vec(), storage: Arc::new(Storage::F32(Buffer::from(&values[..]))) }
    }

    /// Takes `values` as an array of `shape`, in double precision.
    ///
    /// # Panics
    /// If their number is not the shape's.
    #[track_caller]
    pub fn from_f64(shape: &[usize], values: Vec<f64>) -> Self {
        check_len(shape, values.len());
        Self { shape: shape.to_vec(), storage: Arc::new(Storage::F64(Buffer::from(&values[..]))) }
    }

    /// The little-endian f32 that lie at `bytes` of a mapped file, without reading them now; the first write copies
    /// them. `None` where the file is too short, the place is not aligned for f32 or this machine is big-endian:
    /// then they must be decoded.
    ///
    /// # Panics
    /// If the number of bytes is not the shape's.
    #[track_caller]
    pub fn mapped(shape: &[usize], file: &Arc<MappedFile>, bytes: Range<usize>) -> Option<Self> {
        check_len(shape, bytes.len() / size_of::<f32>());
        let storage = Storage::Mapped(Mapped::new(file, bytes)?);
        Some(Self { shape: shape.to_vec(), storage: Arc::new(storage) })
    }

    /// Where the numbers lie in a mapped file, gives back their memory; they are read again when touched.
    pub fn release(&self) {
        if let Storage::Mapped(Mapped { file, bytes }) = &*self.storage {
            file.release(bytes.clone());
        }
    }

    /// The same numbers in another dtype, rounded once.
    pub fn to_dtype(&self, dtype: DType) -> Self {
        if dtype == self.dtype() {
            return self.clone();
        }
        let mut converted = Self::unspecified(&self.shape, dtype);
        converted.slice_mut().set_f64(&self.slice().to_f64());
        converted
    }

    /// Normal numbers with mean 0 and standard deviation `std`, drawn in f64 and rounded once.
    pub fn normal(shape: &[usize], std: f64, dtype: DType, rng: &mut Rng) -> Self {
        let len: usize = shape.iter().product();
        match dtype {
            DType::F32 => Self::from_f32(shape, (0..len).map(|_| (std * rng.normal()) as f32).collect()),
            DType::F64 => Self::from_f64(shape, (0..len).map(|_| std * rng.normal()).collect()),
            DType::Bf16 => Self::normal(shape, std, DType::F32, rng).to_dtype(dtype),
        }
    }

    /// The size of each axis, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.slice().len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How the elements are stored.
    pub fn dtype(&self) -> DType {
        match *self.storage {
            Storage::Bf16(_) => DType::Bf16,
            Storage::F32(_) | Storage::Mapped(_) => DType::F32,
            Storage::F64(_) => DType::F64,
        }
    }

    /// The size of the last axis, or 1 where there is none.
    pub fn last_dim(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// The same numbers under another shape.
    ///
    /// # Panics
    /// If the number of elements differs.
    #[track_caller]
    pub fn reshaped(&self, shape: &[usize]) -> Self {
        check_len(shape, self.len());
        Self { shape: shape.to_vec(), storage: Arc::clone(&self.storage) }
    }

    /// The numbers, to be read.
    pub fn slice(&self) -> Slice<'_> {
        match &*self.storage {
            Storage::Bf16(x) => Slice::Bf16(x),
            Storage::F32(x) => Slice::F32(x),
            Storage::F64(x) => Slice::F64(x),
            Storage::Mapped(x) => Slice::F32(x.values()),
        }
    }

    /// The numbers, to be written; copies them first where another tensor or a file shares them.
    pub fn slice_mut(&mut self) -> SliceMut<'_> {
        if let Storage::Mapped(x) = &*self.storage {
            self.storage = Arc::new(Storage::F32(Buffer::from(x.values())));
        }
        match Arc::make_mut(&mut self.storage) {
            Storage::Bf16(x) => SliceMut::Bf16(x),
            Storage::F32(x) => SliceMut::F32(x),
            Storage::F64(x) => SliceMut::F64(x),
            Storage::Mapped(_) => unreachable!("it was copied above"),
        }
    }

    /// The numbers, which must be f32.
    ///
    /// # Panics
    /// If they are not.
    #[track_caller]
    pub fn f32(&self) -> &[f32] {
        self.slice().f32()
    }

    /// The one number of a tensor of one element, in f64.
    ///
    /// # Panics
    /// If it has more or none.
    #[track_caller]
    pub fn item(&self) -> f64 {
        assert!(self.len() == 1, "a tensor of {} elements is not one number", self.len());
        self.slice().to_f64()[0]
    }

    /// The numbers, which must be f32, to be written.
    ///
    /// # Panics
    /// If they are not.
    #[track_caller]
    pub fn f32_mut(&mut self) -> &mut [f32] {
        self.slice_mut().f32()
    }
}

#[track_caller]
fn check_len(shape: &[usize], len: usize) {
    let want: usize = shape.iter().product();
    assert!(want == len, "shape {shape:?} holds {want} elements, found {len}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_tensor_is_read_in_place_and_copied_when_it_is_written() {
        let path = std::env::temp_dir().join(format!("mapped-tensor-{}", std::process::id()));
        let bytes: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = Arc::new(MappedFile::open(&path).unwrap());
        let mapped = Tensor::mapped(&[2, 1], &file, 8..16).unwrap();
        assert_eq!(mapped.f32(), [3.0, 4.0]);
        assert_eq!(mapped.f32().as_ptr().addr(), file.as_ptr().addr() + 8, "nothing was copied");
        let mut written = mapped.clone();
        written.f32_mut()[0] = 7.0;
        assert_eq!((written.f32(), mapped.f32()), (&[7.0, 4.0][..], &[3.0, 4.0][..]));
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "the file stays as it was");
        assert!(Tensor::mapped(&[2, 1], &file, 6..14).is_none(), "not aligned");
        assert!(Tensor::mapped(&[2, 1], &file, 12..20).is_none(), "past the end");
        std::fs::remove_file(&path).unwrap();
    }
}
