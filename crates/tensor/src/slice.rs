//! Borrowed numbers whose dtype is known at run time: what kernels read and write.

use crate::tensor::DType;

/// Numbers that a kernel reads.
#[derive(Clone, Copy, Debug)]
pub enum Slice<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 64-bit floats.
    F64(&'a [f64]),
}

/// Numbers that a kernel writes.
#[derive(Debug)]
pub enum SliceMut<'a> {
    /// 32-bit floats.
    F32(&'a mut [f32]),
    /// 64-bit floats.
    F64(&'a mut [f64]),
}

impl<'a> Slice<'a> {
    /// The numbers, which must be f32: dtypes never mix silently.
    ///
    /// # Panics
    /// If they are not.
    #[track_caller]
    pub fn f32(self) -> &'a [f32] {
        match self {
            Self::F32(x) => x,
            Self::F64(_) => wrong_dtype(DType::F64),
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(x) => x.len(),
            Self::F64(x) => x.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> SliceMut<'a> {
    /// The numbers, which must be f32: dtypes never mix silently.
    ///
    /// # Panics
    /// If they are not.
    #[track_caller]
    pub fn f32(self) -> &'a mut [f32] {
        match self {
            Self::F32(x) => x,
            Self::F64(_) => wrong_dtype(DType::F64),
        }
    }
}

#[track_caller]
fn wrong_dtype(found: DType) -> ! {
    panic!("this kernel computes in f32, found {found:?}")
}
