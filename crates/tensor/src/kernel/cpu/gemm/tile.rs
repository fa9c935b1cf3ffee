//! The innermost loop: a tile of C stays in registers while k runs, a word at a time.
//!
//! A word is one f32, or a pair of bf16 that are neighbours along k. A pair adds its odd product first, then its even
//! one, each a fused multiply-add in f32: what `VDPBF16PS` does, so that every instruction set gives the same bits
//! (but for sums below 2⁻¹²⁶, which that instruction flushes to zero).

use half::bf16;

use super::{Format, NR};
use crate::{Isa, kernel::cpu::round::to_bf16};

/// Most rows of a tile, on any instruction set.
pub(super) const MAX_ROWS: usize = 12;

/// Where the words of A lie: those of a row one after another, or those of one k.
#[derive(Clone, Copy)]
pub(super) enum Layout {
    /// Row `i`, word `p` at `i·stride + p`.
    RowMajor,
    /// At `p·stride + i`.
    KMajor,
}

/// What one tile multiplies.
#[derive(Clone, Copy)]
pub(super) struct Factors {
    pub(super) a: *const u32,
    pub(super) a_stride: usize,
    /// A panel, `[k_words][32]`.
    pub(super) b: *const u32,
    pub(super) k_words: usize,
}

/// Where a tile goes; rows are `stride` elements apart.
#[derive(Clone, Copy)]
pub(super) enum Out {
    F32 {
        c: *mut f32,
        stride: usize,
        /// Whether the sum goes on from what is there.
        continues: bool,
        /// Added to the finished sum; same stride.
        residual: Option<*const f32>,
    },
    Bf16 {
        c: *mut bf16,
        stride: usize,
    },
}

/// Rows of a tile.
pub(super) fn height(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 | Isa::Avx512Bf16 => MAX_ROWS,
        Isa::Avx2 | Isa::Portable => 6,
    }
}

/// How an instruction set multiplies words of a format.
trait Engine {
    /// Sums of neighbouring columns.
    type Sums: Copy;
    /// One word of A in every lane, taken apart as `fma` wants it.
    type A: Copy;
    /// Words of B.
    type B: Copy;
    const LANES: usize;

    unsafe fn zero() -> Self::Sums;
    unsafe fn load(from: *const f32) -> Self::Sums;
    unsafe fn store(sums: Self::Sums, to: *mut f32);
    unsafe fn a(from: *const u32) -> Self::A;
    unsafe fn b(from: *const u32) -> Self::B;
    unsafe fn fma(a: Self::A, b: Self::B, sums: Self::Sums) -> Self::Sums;
    /// Asks for the memory that a tile as wide as a panel will go to, so that it is in the cache when the sums are ready.
    #[inline(always)]
    unsafe fn expect_stores<const M: usize>(_: Out) {}
    /// A whole tile as wide as a panel, straight from its registers; `false`: not done.
    unsafe fn store_whole<const M: usize, const R: usize>(_: &[[Self::Sums; R]; M], _: Out) -> bool {
        false
    }
}

/// The loop over k, for the columns of the panel from `$first` on. A macro and not a function: passed by reference, the
/// compiler keeps sums in memory.
macro_rules! add_products {
    ($engine:ident, $m:ident, $r:ident, $k_major:ident, $factors:expr, $first:expr, $sums:ident) => {
        let Factors { a, a_stride, b, k_words } = $factors;
        let (mut a, mut b) = (a, b.add($first));
        for _ in 0..k_words {
            let bs: [$engine::B; $r] = std::array::from_fn(|r| $engine::b(b.add(r * $engine::LANES)));
            for (i, sums) in $sums.iter_mut().enumerate() {
                let a = $engine::a(if $k_major { a.add(i) } else { a.add(i * a_stride) });
                for (sums, b) in sums.iter_mut().zip(bs) {
                    *sums = $engine::fma(a, b, *sums);
                }
            }
            // Past the end after the last turn, and not read there.
            a = a.wrapping_add(if $k_major { a_stride } else { 1 });
            b = b.wrapping_add(NR);
        }
    };
}

/// `R` registers of columns at a time, `M` rows.
///
/// # Safety
/// The factors hold the tile, `out` is valid for `M` rows of `width` elements, and the engine's instructions exist.
#[inline(always)]
unsafe fn multiply<E: Engine, const M: usize, const R: usize, const K_MAJOR: bool>(
    factors: Factors,
    out: Out,
    width: usize,
) {
    // A tile of a panel's width, in registers from its start to its end.
    if width == NR && E::LANES * R == NR {
        // SAFETY: by the caller's promise.
        unsafe {
            let mut sums = [[E::zero(); R]; M];
            if let Out::F32 { c, stride, continues: true, .. } = out {
                for (i, sums) in sums.iter_mut().enumerate() {
                    for (r, sums) in sums.iter_mut().enumerate() {
                        *sums = E::load(c.add(i * stride + r * E::LANES));
                    }
                }
            } else {
                E::expect_stores::<M>(out);
            }
            add_products!(E, M, R, K_MAJOR, factors, 0, sums);
            if !E::store_whole(&sums, out) {
                // All of it first: a loop that does more for a row is not unrolled, and then the sums live in memory.
                let mut tile = [[0.0f32; NR]; M];
                for (row, sums) in tile.iter_mut().zip(&sums) {
                    for (r, sums) in sums.iter().enumerate() {
                        E::store(*sums, row.as_mut_ptr().add(r * E::LANES));
                    }
                }
                for (i, row) in tile.iter().enumerate() {
                    store_row(row, i, out);
                }
            }
        }
        return;
    }
    let mut tile = [[0.0f32; NR]; M];
    // SAFETY: by the caller's promise; `tile` holds M rows of a panel's width.
    unsafe {
        if let Out::F32 { c, stride, continues: true, .. } = out {
            for (i, row) in tile.iter_mut().enumerate() {
                row[..width].copy_from_slice(std::slice::from_raw_parts(c.add(i * stride), width));
            }
        }
        for first in (0..NR).step_by(E::LANES * R) {
            let mut sums = [[E::zero(); R]; M];
            for (row, sums) in tile.iter().zip(&mut sums) {
                for (r, sums) in sums.iter_mut().enumerate() {
                    *sums = E::load(row.as_ptr().add(first + r * E::LANES));
                }
            }
            add_products!(E, M, R, K_MAJOR, factors, first, sums);
            for (row, sums) in tile.iter_mut().zip(&sums) {
                for (r, sums) in sums.iter().enumerate() {
                    E::store(*sums, row.as_mut_ptr().add(first + r * E::LANES));
                }
            }
        }
        for (i, row) in tile.iter().enumerate() {
            store_row(&row[..width], i, out);
        }
    }
}

/// # Safety
/// `out` is valid for this row.
#[inline(always)]
unsafe fn store_row(sums: &[f32], i: usize, out: Out) {
    // SAFETY: by the caller's promise.
    unsafe {
        match out {
            Out::F32 { c, stride, residual, .. } => {
                let c = std::slice::from_raw_parts_mut(c.add(i * stride), sums.len());
                match residual {
                    None => c.copy_from_slice(sums),
                    Some(residual) => {
                        let residual = std::slice::from_raw_parts(residual.add(i * stride), sums.len());
                        for ((c, sum), residual) in c.iter_mut().zip(sums).zip(residual) {
                            *c = residual + sum;
                        }
                    }
                }
            }
            Out::Bf16 { c, stride } => {
                let c = std::slice::from_raw_parts_mut(c.add(i * stride), sums.len());
                for (c, sum) in c.iter_mut().zip(sums) {
                    *c = to_bf16(*sum);
                }
            }
        }
    }
}

/// Lanes of an array, for the compiler to vectorise: the portable path, and NEON's on 64-bit ARM, where fused
/// multiply-adds of four lanes belong to every processor.
struct Lanes;

/// Columns of a pass of [`Lanes`]: six rows of four registers leave eight of NEON's thirty-two for A and B.
const LANES: usize = 16;

impl Engine for Lanes {
    type Sums = [f32; LANES];
    type A = f32;
    type B = [f32; LANES];
    const LANES: usize = LANES;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        [0.0; LANES]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Sums {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<Self::Sums>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(sums: Self::Sums, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<Self::Sums>().write_unaligned(sums) }
    }
    #[inline(always)]
    unsafe fn a(from: *const u32) -> f32 {
        // SAFETY: the caller's promise.
        f32::from_bits(unsafe { from.read_unaligned() })
    }
    #[inline(always)]
    unsafe fn b(from: *const u32) -> Self::B {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<Self::B>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn fma(a: f32, b: Self::B, sums: Self::Sums) -> Self::Sums {
        std::array::from_fn(|i| a.mul_add(b[i], sums[i]))
    }
}

/// Both halves of a word of a bf16 pair, as f32: the odd one, then the even one.
#[inline(always)]
fn halves(word: u32) -> [f32; 2] {
    [f32::from_bits(word & 0xffff_0000), f32::from_bits(word << 16)]
}

/// Pairs of bf16 in [`Lanes`].
struct LanesOfPairs;

impl Engine for LanesOfPairs {
    type Sums = [f32; LANES];
    type A = [f32; 2];
    type B = [[f32; LANES]; 2];
    const LANES: usize = LANES;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        [0.0; LANES]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Sums {
        // SAFETY: the caller's promise.
        unsafe { Lanes::load(from) }
    }
    #[inline(always)]
    unsafe fn store(sums: Self::Sums, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { Lanes::store(sums, to) }
    }
    #[inline(always)]
    unsafe fn a(from: *const u32) -> Self::A {
        // SAFETY: the caller's promise.
        halves(unsafe { from.read_unaligned() })
    }
    #[inline(always)]
    unsafe fn b(from: *const u32) -> Self::B {
        // SAFETY: the caller's promise.
        let words = unsafe { from.cast::<[u32; LANES]>().read_unaligned() };
        [words.map(|word| halves(word)[0]), words.map(|word| halves(word)[1])]
    }
    #[inline(always)]
    unsafe fn fma(a: Self::A, b: Self::B, sums: Self::Sums) -> Self::Sums {
        std::array::from_fn(|i| a[1].mul_add(b[1][i], a[0].mul_add(b[0][i], sums[i])))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::{arch::x86_64::*, mem::transmute};

    use super::{Engine, NR, Out};

    pub(super) struct Avx512;

    impl Engine for Avx512 {
        type Sums = __m512;
        type A = __m512;
        type B = __m512;
        const LANES: usize = 16;

        #[inline(always)]
        unsafe fn zero() -> __m512 {
            // SAFETY: the caller's promise.
            unsafe { _mm512_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m512 {
            // SAFETY: the caller's promise.
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(sums: __m512, to: *mut f32) {
            // SAFETY: the caller's promise.
            unsafe { _mm512_storeu_ps(to, sums) }
        }
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
        unsafe fn expect_stores<const M: usize>(out: Out) {
            // SAFETY: the caller's promise.
            unsafe { expect_stores::<M>(out) }
        }
        #[inline(always)]
        unsafe fn store_whole<const M: usize, const R: usize>(tile: &[[__m512; R]; M], out: Out) -> bool {
            // SAFETY: the caller's promise.
            unsafe { store_f32(tile, out) }
        }
    }

    #[inline(always)]
    unsafe fn expect_stores<const M: usize>(out: Out) {
        let (first, stride, width) = match out {
            Out::F32 { c, stride, .. } => (c.cast::<i8>(), 4 * stride, 4 * NR),
            Out::Bf16 { c, stride } => (c.cast::<i8>(), 2 * stride, 2 * NR),
        };
        for i in 0..M {
            for at in (0..width).step_by(64) {
                // SAFETY: inside the tile; a prefetch changes nothing.
                unsafe { _mm_prefetch::<_MM_HINT_ET0>(first.add(i * stride + at)) };
            }
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
        const LANES: usize = 16;

        #[inline(always)]
        unsafe fn zero() -> __m512 {
            // SAFETY: the caller's promise.
            unsafe { _mm512_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m512 {
            // SAFETY: the caller's promise.
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(sums: __m512, to: *mut f32) {
            // SAFETY: the caller's promise.
            unsafe { _mm512_storeu_ps(to, sums) }
        }
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
        unsafe fn expect_stores<const M: usize>(out: Out) {
            // SAFETY: the caller's promise.
            unsafe { expect_stores::<M>(out) }
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
        const LANES: usize = 16;

        #[inline(always)]
        unsafe fn zero() -> __m512 {
            // SAFETY: the caller's promise.
            unsafe { _mm512_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m512 {
            // SAFETY: the caller's promise.
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(sums: __m512, to: *mut f32) {
            // SAFETY: the caller's promise.
            unsafe { _mm512_storeu_ps(to, sums) }
        }
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
        unsafe fn expect_stores<const M: usize>(out: Out) {
            // SAFETY: the caller's promise.
            unsafe { expect_stores::<M>(out) }
        }
        #[inline(always)]
        unsafe fn store_whole<const M: usize, const R: usize>(tile: &[[__m512; R]; M], out: Out) -> bool {
            // SAFETY: the caller's promise.
            unsafe { store_f32(tile, out) }
        }
    }

    pub(super) struct Avx2;

    impl Engine for Avx2 {
        type Sums = __m256;
        type A = __m256;
        type B = __m256;
        const LANES: usize = 8;

        #[inline(always)]
        unsafe fn zero() -> __m256 {
            // SAFETY: the caller's promise.
            unsafe { _mm256_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m256 {
            // SAFETY: the caller's promise.
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(sums: __m256, to: *mut f32) {
            // SAFETY: the caller's promise.
            unsafe { _mm256_storeu_ps(to, sums) }
        }
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

    pub(super) struct Avx2Pairs;

    impl Engine for Avx2Pairs {
        type Sums = __m256;
        type A = [__m256; 2];
        type B = [__m256; 2];
        const LANES: usize = 8;

        #[inline(always)]
        unsafe fn zero() -> __m256 {
            // SAFETY: the caller's promise.
            unsafe { _mm256_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m256 {
            // SAFETY: the caller's promise.
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(sums: __m256, to: *mut f32) {
            // SAFETY: the caller's promise.
            unsafe { _mm256_storeu_ps(to, sums) }
        }
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
}

/// Declares the loop of one engine for its instruction set, with every height up to the tile's.
macro_rules! engine {
    ($name:ident, $engine:ty, $registers:literal, $(#[$feature:meta])?, [$($height:literal)*]) => {
        /// # Safety
        /// As [`multiply`].
        $(#[$feature])?
        unsafe fn $name(layout: Layout, n_rows: usize, factors: Factors, out: Out, width: usize) {
            $(#[$feature])?
            unsafe fn rows<const M: usize, const K_MAJOR: bool>(factors: Factors, out: Out, width: usize) {
                // SAFETY: the caller's promise.
                unsafe { multiply::<$engine, M, $registers, K_MAJOR>(factors, out, width) }
            }
            // SAFETY: the caller's promise.
            unsafe {
                match (layout, n_rows) {
                    $((Layout::RowMajor, $height) => rows::<$height, false>(factors, out, width),)*
                    $((Layout::KMajor, $height) => rows::<$height, true>(factors, out, width),)*
                    (_, other) => unreachable!("no tile of {other} rows"),
                }
            }
        }
    };
}

engine!(portable_f32, Lanes, 1,, [1 2 3 4 5 6]);
engine!(portable_bf16, LanesOfPairs, 1,, [1 2 3 4 5 6]);
#[cfg(target_arch = "x86_64")]
engine!(avx2_f32, x86::Avx2, 2, #[target_feature(enable = "avx2,fma")], [1 2 3 4 5 6]);
#[cfg(target_arch = "x86_64")]
engine!(avx2_bf16, x86::Avx2Pairs, 1, #[target_feature(enable = "avx2,fma")], [1 2 3 4 5 6]);
#[cfg(target_arch = "x86_64")]
engine!(avx512_f32, x86::Avx512, 2, #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")], [1 2 3 4 5 6 7 8 9 10 11 12]);
#[cfg(target_arch = "x86_64")]
engine!(avx512_pairs, x86::Avx512Pairs, 2, #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")], [1 2 3 4 5 6 7 8 9 10 11 12]);
#[cfg(target_arch = "x86_64")]
engine!(avx512_bf16, x86::Avx512Bf16, 2, #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")], [1 2 3 4 5 6 7 8 9 10 11 12]);

/// One tile: `C[n_rows, width] (+)= A·B`.
///
/// # Safety
/// The factors hold the tile, `out` is valid for it and nobody else's, and `isa` is this machine's.
pub(super) unsafe fn tile(
    isa: Isa,
    format: Format,
    layout: Layout,
    n_rows: usize,
    factors: Factors,
    out: Out,
    width: usize,
) {
    let run = match (isa, format) {
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512Bf16, Format::Bf16) => avx512_bf16,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, Format::Bf16) => avx512_pairs,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512 | Isa::Avx512Bf16, Format::F32) => avx512_f32,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2, Format::Bf16) => avx2_bf16,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2, Format::F32) => avx2_f32,
        (_, Format::F32) => portable_f32,
        (_, Format::Bf16) => portable_bf16,
    };
    // SAFETY: the caller's promise.
    unsafe { run(layout, n_rows, factors, out, width) }
}
