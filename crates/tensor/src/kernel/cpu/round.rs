//! Activations are stored as f32 or bf16 and computed with in f32: the conversions between the two.
//!
//! Loops over them are vectorised inside [`for_each_isa!`](crate::isa): about ten instructions round a vector.

use half::bf16;

use crate::arena::Number;

/// What activations are stored as.
pub(crate) trait Element: Number {
    /// The number, exactly.
    fn load(self) -> f32;
    /// The nearest number that can be stored.
    fn store(x: f32) -> Self;
}

impl Element for f32 {
    #[inline(always)]
    fn load(self) -> f32 {
        self
    }

    #[inline(always)]
    fn store(x: f32) -> Self {
        x
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn load(self) -> f32 {
        from_bf16(self)
    }

    #[inline(always)]
    fn store(x: f32) -> Self {
        to_bf16(x)
    }
}

/// Rounds to nearest, ties to even, bit for bit as the instruction VCVTNEPS2BF16: denormals become zero of their
/// sign, and NaN stays NaN, made quiet.
#[inline(always)]
pub(crate) fn to_bf16(x: f32) -> bf16 {
    const SIGN: u32 = 1 << 31;
    const QUIET: u32 = 1 << 22;
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    let rounded = if x.is_nan() { bits | QUIET } else { rounded };
    let rounded = if bits & f32::INFINITY.to_bits() == 0 { bits & SIGN } else { rounded };
    bf16::from_bits((rounded >> 16) as u16)
}

/// Exact, denormals included.
#[inline(always)]
pub(crate) fn from_bf16(x: bf16) -> f32 {
    f32::from_bits(u32::from(x.to_bits()) << 16)
}

/// What the tests of kernels on either kind of activations share.
#[cfg(test)]
pub(super) mod testing {
    use half::bf16;

    use crate::{
        DType, Slice, SliceMut, Tensor,
        testing::{Guarded, normal_f32},
    };

    /// Normal numbers in a dtype: `normal_f32`, rounded.
    pub(crate) fn normal(dtype: DType, len: usize, stream: u64) -> Tensor {
        Tensor::from_f32(&[len], normal_f32(len, stream)).to_dtype(dtype)
    }

    /// A guarded buffer of a dtype chosen at run time.
    pub(crate) enum Buffer {
        F32(Guarded<f32>),
        Bf16(Guarded<bf16>),
    }

    impl Buffer {
        /// The numbers of `x` in `dtype`, which must hold them.
        pub(crate) fn new(dtype: DType, x: &Tensor) -> Self {
            match x.to_dtype(dtype).slice() {
                Slice::F32(x) => Self::F32(Guarded::new(x)),
                Slice::Bf16(x) => Self::Bf16(Guarded::new(x)),
                Slice::F64(_) => panic!("activations are f32 or bf16"),
            }
        }

        pub(crate) fn slice_mut(&mut self) -> SliceMut<'_> {
            match self {
                Self::F32(x) => x.slice_mut(),
                Self::Bf16(x) => x.slice_mut(),
            }
        }

        /// The values, after checking that no guard was overwritten.
        #[track_caller]
        pub(crate) fn checked(&self) -> Vec<f32> {
            match self {
                Self::F32(x) => x.checked().to_vec(),
                Self::Bf16(x) => x.checked().iter().map(|x| x.to_f32()).collect(),
            }
        }
    }

    /// Both agree to `bound` relative to the larger of 1 and the reference; in bf16 to one rounding more.
    ///
    /// The reference computes from the same inputs, and its output is f32: it takes no part in the rounding.
    #[track_caller]
    pub(crate) fn check_rounded(what: &str, dtype: DType, got: &[f32], reference: &[f32], bound: f32) {
        assert_eq!(got.len(), reference.len(), "{what}: length");
        let rounding = if dtype == DType::Bf16 { 1.0 / 256.0 } else { 0.0 };
        for (i, (g, r)) in got.iter().zip(reference).enumerate() {
            let (error, bound) = ((g - r).abs(), bound * r.abs().max(1.0) + rounding * r.abs());
            assert!(
                error <= bound,
                "{what}[{i}] {dtype:?}: got {g}, reference {r}, off by {error:e} > {bound:e}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Rng;

    /// Every sign, exponent and fraction of a bf16, followed by bits about the tie and at random.
    fn patterns() -> impl Iterator<Item = f32> {
        let mut rng = Rng::new(0, 0);
        (0..=u16::MAX).flat_map(move |high| {
            let random = rng.next_u32() as u16;
            [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, random]
                .map(|low| f32::from_bits(u32::from(high) << 16 | u32::from(low)))
        })
    }

    #[test]
    fn rounding_agrees_with_half_except_for_denormals() {
        for x in patterns() {
            let want = if x.is_subnormal() { bf16::from_f32(0.0f32.copysign(x)) } else { bf16::from_f32(x) };
            let got = to_bf16(x);
            assert_eq!(got.to_bits(), want.to_bits(), "{x:e}: got {got}, want {want}");
        }
    }

    #[test]
    fn widening_is_exact() {
        for bits in 0..=u16::MAX {
            let x = bf16::from_bits(bits);
            assert!(from_bf16(x).to_bits() == u32::from(bits) << 16);
            let is_kept = !x.is_nan() && !from_bf16(x).is_subnormal();
            assert!(!is_kept || to_bf16(from_bf16(x)).to_bits() == bits, "{x}");
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn rounding_agrees_with_the_instruction() {
        use std::arch::x86_64::{__m256bh, _mm512_cvtneps_pbh, _mm512_loadu_ps};

        #[target_feature(enable = "avx512f,avx512bf16")]
        fn instruction(x: &[f32; 16]) -> [u16; 16] {
            // SAFETY: sixteen numbers are there to be read; both results are 32 bytes of plain bits.
            unsafe {
                std::mem::transmute::<__m256bh, [u16; 16]>(_mm512_cvtneps_pbh(_mm512_loadu_ps(x.as_ptr())))
            }
        }

        if !(is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16")) {
            return;
        }
        let all: Vec<f32> = patterns().collect();
        for x in all.as_chunks().0 {
            // SAFETY: the features were detected.
            let want = unsafe { instruction(x) };
            assert_eq!(x.map(|x| to_bf16(x).to_bits()), want, "{x:?}");
        }
    }
}
