//! Borrowed numbers whose dtype is known at run time: what kernels read and write.

use half::bf16;

use crate::tensor::DType;

/// Numbers that a kernel reads.
#[derive(Clone, Copy, Debug)]
pub enum Slice<'a> {
    /// 16-bit floats with the exponent of f32.
    Bf16(&'a [bf16]),
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 64-bit floats.
    F64(&'a [f64]),
}

/// Numbers that a kernel writes.
#[derive(Debug)]
pub enum SliceMut<'a> {
    /// 16-bit floats with the exponent of f32.
    Bf16(&'a mut [bf16]),
    /// 32-bit floats.
    F32(&'a mut [f32]),
    /// 64-bit floats.
    F64(&'a mut [f64]),
}

/// Evaluates `$body` with `$x` bound to the numbers, whatever they are.
macro_rules! any {
    ($enum:ident, $slice:expr, $x:ident => $body:expr) => {
        match $slice {
            $enum::Bf16($x) => $body,
            $enum::F32($x) => $body,
            $enum::F64($x) => $body,
        }
    };
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
            other => wrong_dtype(DType::F32, other.dtype()),
        }
    }

    /// The numbers, which must be bf16.
    ///
    /// # Panics
    /// If they are not.
    #[track_caller]
    pub fn bf16(self) -> &'a [bf16] {
        match self {
            Self::Bf16(x) => x,
            other => wrong_dtype(DType::Bf16, other.dtype()),
        }
    }

    /// How the numbers are stored.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Bf16(_) => DType::Bf16,
            Self::F32(_) => DType::F32,
            Self::F64(_) => DType::F64,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        any!(Self, self, x => x.len())
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements from `start` on.
    ///
    /// # Panics
    /// If there are fewer than `start`.
    #[track_caller]
    pub fn from(self, start: usize) -> Self {
        match self {
            Self::Bf16(x) => Self::Bf16(&x[start..]),
            Self::F32(x) => Self::F32(&x[start..]),
            Self::F64(x) => Self::F64(&x[start..]),
        }
    }

    /// Every number, exactly, in f64.
    pub fn to_f64(self) -> Vec<f64> {
        match self {
            Self::Bf16(x) => x.iter().map(|x| x.to_f64()).collect(),
            Self::F32(x) => x.iter().map(|x| f64::from(*x)).collect(),
            Self::F64(x) => x.to_vec(),
        }
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
            other => wrong_dtype(DType::F32, other.dtype()),
        }
    }

    /// The numbers, which must be bf16.
    ///
    /// # Panics
    /// If they are not.
    #[track_caller]
    pub fn bf16(self) -> &'a mut [bf16] {
        match self {
            Self::Bf16(x) => x,
            other => wrong_dtype(DType::Bf16, other.dtype()),
        }
    }

    /// The numbers, to be read.
    pub fn as_slice(&self) -> Slice<'_> {
        match self {
            Self::Bf16(x) => Slice::Bf16(x),
            Self::F32(x) => Slice::F32(x),
            Self::F64(x) => Slice::F64(x),
        }
    }

    /// The same numbers, to be written for a shorter while.
    pub fn reborrow(&mut self) -> SliceMut<'_> {
        match self {
            Self::Bf16(x) => SliceMut::Bf16(x),
            Self::F32(x) => SliceMut::F32(x),
            Self::F64(x) => SliceMut::F64(x),
        }
    }

    /// How the numbers are stored.
    pub fn dtype(&self) -> DType {
        self.as_slice().dtype()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies `len` numbers of the same dtype: from `from` on in `source`, to `to` on here.
    ///
    /// # Panics
    /// If the dtypes differ or a range reaches past its end.
    #[track_caller]
    pub fn copy_range(&mut self, to: usize, source: Slice, from: usize, len: usize) {
        match (self, source) {
            (Self::Bf16(y), Slice::Bf16(x)) => y[to..to + len].copy_from_slice(&x[from..from + len]),
            (Self::F32(y), Slice::F32(x)) => y[to..to + len].copy_from_slice(&x[from..from + len]),
            (Self::F64(y), Slice::F64(x)) => y[to..to + len].copy_from_slice(&x[from..from + len]),
            (y, x) => wrong_dtype(y.dtype(), x.dtype()),
        }
    }

    /// Overwrites every number, rounding once.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn set_f64(self, values: &[f64]) {
        assert!(self.len() == values.len(), "{} numbers for {}", values.len(), self.len());
        match self {
            Self::Bf16(x) => x.iter_mut().zip(values).for_each(|(x, v)| *x = round_to_bf16(*v)),
            Self::F32(x) => x.iter_mut().zip(values).for_each(|(x, v)| *x = *v as f32),
            Self::F64(x) => x.copy_from_slice(values),
        }
    }
}

/// The nearest bf16, ties to even, rounded once: on the way through f32 what is cut off stays visible in the last
/// bit, so that nothing looks like a tie that is none.
fn round_to_bf16(x: f64) -> bf16 {
    let near = x as f32;
    let is_beyond = f64::from(near).abs() > x.abs();
    let is_exact = f64::from(near) == x || !near.is_finite();
    let bits = near.to_bits();
    bf16::from_f32(f32::from_bits(if is_exact { bits } else { (bits - u32::from(is_beyond)) | 1 }))
}

#[track_caller]
fn wrong_dtype(want: DType, found: DType) -> ! {
    panic!("this kernel works on {want:?} here, found {found:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_is_rounded_once() {
        let half_ulp = 2f64.powi(-8);
        for (x, want) in [
            (1.0, 1.0),
            (1.0 + half_ulp, 1.0),                                // a tie, to even
            (1.0 + half_ulp + 2f64.powi(-40), 1.007_812_5),       // just above one
            (1.0 + 3.0 * half_ulp, 1.015_625),                    // a tie, to even
            (1.0 + 3.0 * half_ulp - 2f64.powi(-40), 1.007_812_5), // just below one
            (-1.0 - half_ulp - 2f64.powi(-40), -1.007_812_5),
            (0.0, 0.0),
            (1e300, f32::INFINITY),
        ] {
            assert_eq!(round_to_bf16(x).to_f32(), want, "{x}");
        }
        assert!(round_to_bf16(f64::NAN).is_nan());
    }
}
