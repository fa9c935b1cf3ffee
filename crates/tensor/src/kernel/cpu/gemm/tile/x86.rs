//! Engines of 64-bit Intel and AMD processors.

use std::{arch::x86_64::*, mem::transmute};

use super::{Engine, Out, Registers};

impl Registers for __m512 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_ps(to, self) }
    }
}

impl Registers for __m256 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm256_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { _mm256_storeu_ps(to, self) }
    }
}

/// Words of f32.
pub(super) struct Avx512;

impl Engine for Avx512 {
    type Sums = __m512;
    type A = __m512;
    type B = __m512;

    #[inline(always)]
    unsafe fn a(from: *const u32) -> __m512 {
        // SAFETY: the caller's promise.
        unsafe { _mm512_set1_ps(f32::from_bits(from.read_unaligned())) }
    }
    #[inline(always)]
    unsafe fn b(from: *const u32) -> __m512 {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_ps(from.cast()) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, sums: __m512) -> __m512 {
        // SAFETY: the caller's promise.
        unsafe { _mm512_fmadd_ps(a, b, sums) }
    }
    #[inline(always)]
    unsafe fn store_whole<const M: usize, const R: usize>(tile: &[[__m512; R]; M], out: Out) -> bool {
        // SAFETY: the caller's promise.
        unsafe { store_f32(tile, out) }
    }
}

/// # Safety
/// As `multiply`.
#[inline(always)]
unsafe fn store_f32<const M: usize, const R: usize>(tile: &[[__m512; R]; M], out: Out) -> bool {
    let Out::F32 { c, stride, residual, .. } = out else { return false };
    // SAFETY: the caller's promise.
    unsafe {
        match residual {
            None => {
                for (i, sums) in tile.iter().enumerate() {
                    for (r, &sums) in sums.iter().enumerate() {
                        _mm512_storeu_ps(c.add(i * stride + r * 16), sums);
                    }
                }
            }
            Some(residual) => {
                for (i, sums) in tile.iter().enumerate() {
                    for (r, &sums) in sums.iter().enumerate() {
                        let at = i * stride + r * 16;
                        let sums = _mm512_add_ps(_mm512_loadu_ps(residual.add(at)), sums);
                        _mm512_storeu_ps(c.add(at), sums);
                    }
                }
            }
        }
    }
    true
}

/// Pairs of bf16 with one instruction.
pub(super) struct Avx512Bf16;

impl Engine for Avx512Bf16 {
    type Sums = __m512;
    type A = __m512i;
    type B = __m512i;

    #[inline(always)]
    unsafe fn a(from: *const u32) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn b(from: *const u32) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m512i, b: __m512i, sums: __m512) -> __m512 {
        // SAFETY: 512 bits of pairs whatever the type is called.
        unsafe {
            _mm512_dpbf16_ps(sums, transmute::<__m512i, __m512bh>(a), transmute::<__m512i, __m512bh>(b))
        }
    }
    #[inline(always)]
    unsafe fn store_whole<const M: usize, const R: usize>(tile: &[[__m512; R]; M], out: Out) -> bool {
        // SAFETY: the caller's promise.
        let Out::Bf16 { c, stride } = out else { return unsafe { store_f32(tile, out) } };
        for (i, sums) in tile.iter().enumerate() {
            for (r, &sums) in sums.iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe {
                    let rounded: __m256i = transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(sums));
                    _mm256_storeu_si256(c.add(i * stride + r * 16).cast(), rounded);
                }
            }
        }
        true
    }
}

/// Pairs of bf16 taken apart: for processors with AVX-512 but without its bf16 products.
pub(super) struct Avx512Pairs;

impl Engine for Avx512Pairs {
    type Sums = __m512;
    type A = [__m512; 2];
    type B = [__m512; 2];

    #[inline(always)]
    unsafe fn a(from: *const u32) -> [__m512; 2] {
        // SAFETY: the caller's promise.
        unsafe { super::halves(from.read_unaligned()).map(|x| _mm512_set1_ps(x)) }
    }
    #[inline(always)]
    unsafe fn b(from: *const u32) -> [__m512; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let words = _mm512_loadu_si512(from.cast());
            let odd = _mm512_and_si512(words, _mm512_set1_epi32(0xffff_0000_u32 as i32));
            [_mm512_castsi512_ps(odd), _mm512_castsi512_ps(_mm512_slli_epi32(words, 16))]
        }
    }
    #[inline(always)]
    unsafe fn fma(a: [__m512; 2], b: [__m512; 2], sums: __m512) -> __m512 {
        // SAFETY: the caller's promise.
        unsafe { _mm512_fmadd_ps(a[1], b[1], _mm512_fmadd_ps(a[0], b[0], sums)) }
    }
    #[inline(always)]
    unsafe fn store_whole<const M: usize, const R: usize>(tile: &[[__m512; R]; M], out: Out) -> bool {
        // SAFETY: the caller's promise.
        unsafe { store_f32(tile, out) }
    }
}

/// The same with half the lanes.
pub(super) struct Avx2;

impl Engine for Avx2 {
    type Sums = __m256;
    type A = __m256;
    type B = __m256;

    #[inline(always)]
    unsafe fn a(from: *const u32) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { _mm256_set1_ps(f32::from_bits(from.read_unaligned())) }
    }
    #[inline(always)]
    unsafe fn b(from: *const u32) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_ps(from.cast()) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, sums: __m256) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { _mm256_fmadd_ps(a, b, sums) }
    }
}

/// Pairs of bf16 taken apart, with half the lanes.
pub(super) struct Avx2Pairs;

impl Engine for Avx2Pairs {
    type Sums = __m256;
    type A = [__m256; 2];
    type B = [__m256; 2];

    #[inline(always)]
    unsafe fn a(from: *const u32) -> [__m256; 2] {
        // SAFETY: the caller's promise.
        unsafe { super::halves(from.read_unaligned()).map(|x| _mm256_set1_ps(x)) }
    }
    #[inline(always)]
    unsafe fn b(from: *const u32) -> [__m256; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let words = _mm256_loadu_si256(from.cast());
            let odd = _mm256_and_si256(words, _mm256_set1_epi32(0xffff_0000_u32 as i32));
            [_mm256_castsi256_ps(odd), _mm256_castsi256_ps(_mm256_slli_epi32(words, 16))]
        }
    }
    #[inline(always)]
    unsafe fn fma(a: [__m256; 2], b: [__m256; 2], sums: __m256) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { _mm256_fmadd_ps(a[1], b[1], _mm256_fmadd_ps(a[0], b[0], sums)) }
    }
}
