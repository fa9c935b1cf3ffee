//! The innermost loop: a tile of C stays in registers while k runs, a word at a time.
//!
//! A word is one f32, or a pair of bf16 that are neighbours along k. A pair adds its odd product first, then its even
//! one, each a fused multiply-add in f32: what `VDPBF16PS` does, so that every instruction set gives the same bits
//! (but for sums below 2⁻¹²⁶, which that instruction flushes to zero).

#[cfg(target_arch = "x86_64")]
mod x86;

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

/// Sums of neighbouring columns.
///
/// Unsafe to call: the instructions must exist, and pointers be valid for `LANES` numbers.
trait Registers: Copy {
    const LANES: usize;

    unsafe fn zero() -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
}

/// How an instruction set multiplies words of a format; unsafe to call as [`Registers`] are.
trait Engine {
    type Sums: Registers;
    /// One word of A in every lane, taken apart as `fma` wants it.
    type A: Copy;
    /// Words of B.
    type B: Copy;

    unsafe fn a(from: *const u32) -> Self::A;
    unsafe fn b(from: *const u32) -> Self::B;
    unsafe fn fma(a: Self::A, b: Self::B, sums: Self::Sums) -> Self::Sums;
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
            let bs: [$engine::B; $r] = std::array::from_fn(|r| $engine::b(b.add(r * $engine::Sums::LANES)));
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
    if width == NR && E::Sums::LANES * R == NR {
        // SAFETY: by the caller's promise.
        unsafe {
            let mut sums = [[E::Sums::zero(); R]; M];
            if let Out::F32 { c, stride, continues: true, .. } = out {
                for (i, sums) in sums.iter_mut().enumerate() {
                    for (r, sums) in sums.iter_mut().enumerate() {
                        *sums = E::Sums::load(c.add(i * stride + r * E::Sums::LANES));
                    }
                }
            } else {
                expect_stores(out, M);
            }
            add_products!(E, M, R, K_MAJOR, factors, 0, sums);
            if !E::store_whole(&sums, out) {
                // All of it first: a loop that does more for a row is not unrolled, and then the sums live in memory.
                let mut tile = [[0.0f32; NR]; M];
                for (row, sums) in tile.iter_mut().zip(&sums) {
                    for (r, sums) in sums.iter().enumerate() {
                        sums.store(row.as_mut_ptr().add(r * E::Sums::LANES));
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
        for first in (0..NR).step_by(E::Sums::LANES * R) {
            let mut sums = [[E::Sums::zero(); R]; M];
            for (row, sums) in tile.iter().zip(&mut sums) {
                for (r, sums) in sums.iter_mut().enumerate() {
                    *sums = E::Sums::load(row.as_ptr().add(first + r * E::Sums::LANES));
                }
            }
            add_products!(E, M, R, K_MAJOR, factors, first, sums);
            for (row, sums) in tile.iter_mut().zip(&sums) {
                for (r, sums) in sums.iter().enumerate() {
                    sums.store(row.as_mut_ptr().add(first + r * E::Sums::LANES));
                }
            }
        }
        for (i, row) in tile.iter().enumerate() {
            store_row(&row[..width], i, out);
        }
    }
}

/// Asks for the memory that a tile as wide as a panel will go to, so that it is in the cache when the sums are ready.
#[inline(always)]
fn expect_stores(out: Out, n_rows: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        let (first, stride, width) = match out {
            Out::F32 { c, stride, .. } => (c.cast::<i8>(), size_of::<f32>() * stride, size_of::<f32>() * NR),
            Out::Bf16 { c, stride } => (c.cast::<i8>(), size_of::<bf16>() * stride, size_of::<bf16>() * NR),
        };
        for i in 0..n_rows {
            for at in (0..width).step_by(64) {
                // SAFETY: a prefetch changes nothing, wherever it points.
                unsafe { _mm_prefetch::<_MM_HINT_ET0>(first.wrapping_add(i * stride + at)) };
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (out, n_rows);
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

impl Registers for [f32; LANES] {
    const LANES: usize = LANES;

    #[inline(always)]
    unsafe fn zero() -> Self {
        [0.0; LANES]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<Self>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<Self>().write_unaligned(self) }
    }
}

impl Engine for Lanes {
    type Sums = [f32; LANES];
    type A = f32;
    type B = [f32; LANES];

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
