//! Factors brought into the order in which the tile reads them, converted to the product's format on the way.

use std::ops::Range;

use half::bf16;

use super::{Along, Format, Layout, NR, Operand};
use crate::{
    Isa, Slice,
    isa::for_each_isa,
    kernel::cpu::{
        pool::{Pool, Shared},
        round::to_bf16,
    },
};

/// Between the rows of a packed block of A, so that they do not fall in the same sets of the cache.
const PAD: usize = 16;

/// An element that can be packed.
trait Packable: Copy + 'static {
    /// The format whose words lie in memory as they are packed.
    const FORMAT: Format;
    fn as_f32_bits(self) -> u32;
    fn as_bf16_bits(self) -> u16;
    /// The numbers of a slice, which must be of this type.
    fn of(values: Slice<'_>) -> &[Self];
}

impl Packable for f32 {
    const FORMAT: Format = Format::F32;

    #[inline(always)]
    fn as_f32_bits(self) -> u32 {
        self.to_bits()
    }
    #[inline(always)]
    fn as_bf16_bits(self) -> u16 {
        to_bf16(self).to_bits()
    }
    #[inline(always)]
    fn of(values: Slice<'_>) -> &[Self] {
        values.f32()
    }
}

impl Packable for bf16 {
    const FORMAT: Format = Format::Bf16;

    #[inline(always)]
    fn as_f32_bits(self) -> u32 {
        u32::from(self.to_bits()) << 16
    }
    #[inline(always)]
    fn as_bf16_bits(self) -> u16 {
        self.to_bits()
    }
    #[inline(always)]
    fn of(values: Slice<'_>) -> &[Self] {
        values.bf16()
    }
}

/// Runs `$body` with `$x` bound to the slice, f32 or bf16.
macro_rules! typed {
    ($values:expr, $x:ident => $body:expr) => {
        match $values {
            Slice::F32($x) => $body,
            Slice::Bf16($x) => $body,
            Slice::F64(_) => panic!("these kernels multiply in f32 or bf16, found f64"),
        }
    };
}

/// Packs `B[k, n]` with every thread of the pool.
#[track_caller]
pub(crate) fn pack(pool: &Pool, format: Format, b: Operand, k: usize, n: usize, packed: &mut [u32]) {
    pack_stacked(pool, format, &[(b, k)], n, packed);
}

/// Packs matrices `[kᵢ, n]` under each other; several must run along the columns.
#[track_caller]
pub(crate) fn pack_stacked(
    pool: &Pool,
    format: Format,
    parts: &[(Operand, usize)],
    n: usize,
    packed: &mut [u32],
) {
    let words = check(format, parts, n, packed);
    let shared = Shared::new(packed);
    // About 128K words a task, and at most as many panels as a row's cache lines can be read for in passing.
    let panels = n.div_ceil(NR);
    let panels_per_task =
        (131_072 / (NR * words).max(1)).min(panels / (2 * pool.n_threads())).clamp(1, MAX_COLUMNS / NR);
    pool.for_each_chunk(panels, panels_per_task, |first, count| {
        // SAFETY: every panel is packed by one task.
        let out = unsafe { shared.part(first * NR * words, count * NR * words) };
        pack_panels(format, parts, first * NR..n.min((first + count) * NR), words, out);
    });
}

/// Packs `B[k, n]` on the caller's thread.
#[track_caller]
pub(crate) fn pack_alone(format: Format, b: Operand, k: usize, n: usize, packed: &mut [u32]) {
    let parts = [(b, k)];
    let words = check(format, &parts, n, packed);
    pack_panels(format, &parts, 0..n, words, packed);
}

/// Words along k.
#[track_caller]
fn check(format: Format, parts: &[(Operand, usize)], n: usize, packed: &[u32]) -> usize {
    let k: usize = parts.iter().map(|(_, k)| k).sum();
    assert!(
        packed.len() == format.packed_len(k, n),
        "packed {}, want {}",
        packed.len(),
        format.packed_len(k, n)
    );
    for (b, k) in parts {
        b.check("B", n, *k);
        assert!(parts.len() == 1 || b.along == Along::Outer, "only rows along the columns stack");
    }
    format.words(k)
}

/// Packs the panels of some columns, the first of which begins one.
fn pack_panels(
    format: Format,
    parts: &[(Operand, usize)],
    columns: Range<usize>,
    words: usize,
    out: &mut [u32],
) {
    let Some(&(b, k)) = parts.first() else { return };
    if b.along == Along::Depth {
        for (out, first) in out.chunks_exact_mut((NR * words).max(1)).zip(columns.clone().step_by(NR)) {
            let width = NR.min(columns.end - first);
            typed!(b.values, x => {
                pack_rows(format, &x[(first * b.stride).min(x.len())..], b.stride, k, width, out);
            });
        }
        return;
    }
    for (out, first) in out.chunks_mut((MAX_COLUMNS * words).max(1)).zip(columns.clone().step_by(MAX_COLUMNS))
    {
        let columns = first..columns.end.min(first + MAX_COLUMNS);
        match b.values {
            Slice::F32(_) => pack_columns_of::<f32>(format, parts, columns, words, out),
            Slice::Bf16(_) => pack_columns_of::<bf16>(format, parts, columns, words, out),
            Slice::F64(_) => panic!("these kernels multiply in f32 or bf16, found f64"),
        }
    }
}

for_each_isa! {
    /// A panel from rows along k: `out[p·32 + j]` is word `p` of row `j`.
    fn pack_rows<E: Packable>(format: Format, x: &[E], stride: usize, k: usize, width: usize, out: &mut [u32]) {
        let words = format.words(k);
        for first in (0..NR).step_by(BLOCK) {
            let rows = width.saturating_sub(first).min(BLOCK);
            for start in (0..words).step_by(BLOCK) {
                let is_whole = start + BLOCK <= words && !(format == Format::Bf16 && 2 * (start + BLOCK) > k);
                if is_whole && rows == BLOCK && transpose_in_place(format, &x[first * stride..], stride, start, &mut out[start * NR + first..]) {
                    continue;
                }
                let mut block = [[0u32; BLOCK]; BLOCK];
                for (j, block) in block.iter_mut().enumerate().take(rows) {
                    let row = &x[(first + j) * stride..][..k];
                    if is_whole {
                        row_words(format, row, start, block);
                    } else {
                        row_words(format, row, start, &mut block[..BLOCK.min(words - start)]);
                    }
                }
                transpose(&block, &mut out[start * NR + first..], BLOCK.min(words - start));
            }
        }
    }
}

for_each_isa! {
    /// Panels from rows along the columns: the rows of all parts, one for each k, taken in pairs for bf16.
    fn pack_columns_of<E: Packable>(
        format: Format,
        parts: &[(Operand, usize)],
        columns: Range<usize>,
        words: usize,
        out: &mut [u32],
    ) {
        let mut row_words = [0; ROW];
        let n = columns.len();
        let mut word = 0;
        let mut add = |even: &[E], odd: Option<&[E]>| {
            column_words(format, even, odd, &mut row_words[..n]);
            for (panel, first) in (0..n).step_by(NR).enumerate() {
                copy_array::<NR>(&row_words[first..], &mut out[(panel * words + word) * NR..]);
            }
            word += 1;
        };
        // A row that waits for its odd neighbour.
        let mut even: Option<&[E]> = None;
        for &(b, k) in parts {
            let x = E::of(b.values);
            for p in 0..k {
                expect_row(x, (p + AHEAD) * b.stride + columns.start, n);
                let row = &x[p * b.stride..][columns.clone()];
                match (format, even.take()) {
                    (Format::Bf16, None) => even = Some(row),
                    (Format::Bf16, Some(even)) => add(even, Some(row)),
                    (Format::F32, _) => add(row, None),
                }
            }
        }
        if let Some(even) = even {
            add(even, None);
        }
    }
}

/// Rows for which memory is asked before they are read: pieces of rows far apart are no stream that a processor foresees.
const AHEAD: usize = 8;

/// Asks for `n` elements from `start` on, if they are there.
#[inline(always)]
fn expect_row<E>(x: &[E], start: usize, n: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(row) = x.get(start..start + n) {
        for line in row.chunks(64 / size_of::<E>()) {
            // SAFETY: a prefetch changes nothing.
            unsafe {
                use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
                _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (x, start, n);
}

/// Columns that are packed at once at most.
const MAX_COLUMNS: usize = 8 * NR;
/// Words of a row of as many columns, and room to copy more than is left of them.
const ROW: usize = MAX_COLUMNS + NR;

/// Words of a row that runs along k, from word `start` on; an odd end is filled up with zero.
#[inline(always)]
fn row_words<E: Packable>(format: Format, row: &[E], start: usize, out: &mut [u32]) {
    match format {
        Format::F32 => out.iter_mut().zip(&row[start..]).for_each(|(out, x)| *out = x.as_f32_bits()),
        Format::Bf16 => {
            let row = &row[2 * start..];
            let pairs = row.chunks_exact(2);
            if let (&[last], true) = (pairs.remainder(), row.len() / 2 < out.len()) {
                out[row.len() / 2] = u32::from(last.as_bf16_bits());
            }
            for (out, pair) in out.iter_mut().zip(pairs) {
                *out = u32::from(pair[0].as_bf16_bits()) | u32::from(pair[1].as_bf16_bits()) << 16;
            }
        }
    }
}

/// Words of neighbouring columns from one row, or from two rows that are neighbours along k.
#[inline(always)]
fn column_words<E: Packable>(format: Format, even: &[E], odd: Option<&[E]>, out: &mut [u32]) {
    match (format, odd) {
        (Format::F32, _) => out.iter_mut().zip(even).for_each(|(out, x)| *out = x.as_f32_bits()),
        (Format::Bf16, Some(odd)) => {
            for ((out, even), odd) in out.iter_mut().zip(even).zip(odd) {
                *out = u32::from(even.as_bf16_bits()) | u32::from(odd.as_bf16_bits()) << 16;
            }
        }
        (Format::Bf16, None) => {
            out.iter_mut().zip(even).for_each(|(out, x)| *out = u32::from(x.as_bf16_bits()));
        }
    }
}

/// Edge of the squares that are transposed at once.
const BLOCK: usize = 16;

/// `out[p·32 + j] = block[j][p]` for `p < count`.
#[inline(always)]
fn transpose(block: &[[u32; BLOCK]; BLOCK], out: &mut [u32], count: usize) {
    #[cfg(target_arch = "x86_64")]
    if matches!(Isa::current(), Isa::Avx512 | Isa::Avx512Bf16) {
        let mut rows = [[0u32; BLOCK]; BLOCK];
        // SAFETY: the set was detected on this machine, and both squares are as large as they must be.
        unsafe {
            transpose_avx512(block.each_ref().map(|row| row.as_ptr()), rows.as_mut_ptr().cast(), BLOCK)
        };
        for (p, row) in rows.iter().enumerate().take(count) {
            if let Some(out) = out[p * NR..].first_chunk_mut() {
                *out = *row;
            }
        }
        return;
    }
    for p in 0..count {
        let row = &mut out[p * NR..][..BLOCK];
        for (out, block) in row.iter_mut().zip(block) {
            *out = block[p];
        }
    }
}

/// As [`transpose`], of rows that lie in memory as words already, from word `start` on; `false`: not done.
#[inline(always)]
fn transpose_in_place<E: Packable>(
    format: Format,
    x: &[E],
    stride: usize,
    start: usize,
    out: &mut [u32],
) -> bool {
    #[cfg(target_arch = "x86_64")]
    if E::FORMAT == format && matches!(Isa::current(), Isa::Avx512 | Isa::Avx512Bf16) {
        let start = start * format.per_word();
        assert!((BLOCK - 1) * stride + start + BLOCK * format.per_word() <= x.len());
        assert!((BLOCK - 1) * NR + BLOCK <= out.len());
        // SAFETY: the set was detected on this machine, and the rows were checked above.
        unsafe {
            let rows = std::array::from_fn(|j| x.as_ptr().add(j * stride + start).cast());
            transpose_avx512(rows, out.as_mut_ptr(), NR);
        }
        return true;
    }
    let _ = (format, x, stride, start, out);
    false
}

/// Interleaves neighbouring rows by words, then by pairs of words, then moves quarters of registers: 64 shuffles.
///
/// # Safety
/// Sixteen words lie at each of `rows`, and there is room for sixteen at `out` and every `stride` after it.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn transpose_avx512(rows: [*const u32; BLOCK], out: *mut u32, stride: usize) {
    use std::arch::x86_64::{
        __m512i, _mm512_loadu_si512, _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_storeu_si512,
        _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    };
    let mut x = [_mm512_setzero_si512(); BLOCK];
    for (x, row) in x.iter_mut().zip(rows) {
        // SAFETY: by the caller's promise.
        *x = unsafe { _mm512_loadu_si512(row.cast()) };
    }
    let mut pairs = x;
    for i in (0..BLOCK).step_by(2) {
        pairs[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    // fours[4g + c]: column c of every quarter, rows 4g .. 4g + 4.
    let mut fours = pairs;
    for i in (0..BLOCK).step_by(4) {
        fours[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
        fours[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
        fours[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        fours[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    for c in 0..4 {
        let [a, b, d, e] = [fours[c], fours[4 + c], fours[8 + c], fours[12 + c]];
        let low = [_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0x44>(d, e)];
        let high = [_mm512_shuffle_i32x4::<0xee>(a, b), _mm512_shuffle_i32x4::<0xee>(d, e)];
        let columns: [__m512i; 4] = [
            _mm512_shuffle_i32x4::<0x88>(low[0], low[1]),
            _mm512_shuffle_i32x4::<0xdd>(low[0], low[1]),
            _mm512_shuffle_i32x4::<0x88>(high[0], high[1]),
            _mm512_shuffle_i32x4::<0xdd>(high[0], high[1]),
        ];
        for (quarter, column) in columns.into_iter().enumerate() {
            // SAFETY: by the caller's promise.
            unsafe { _mm512_storeu_si512(out.add((4 * quarter + c) * stride).cast(), column) };
        }
    }
}

/// Words of a packed block of A.
pub(super) fn block_len(along: Along, depth: usize, block_rows: usize, height: usize) -> usize {
    match along {
        Along::Depth => block_rows * (depth + PAD),
        Along::Outer => block_rows.div_ceil(height) * strip_width(height) * depth,
    }
}

/// Where a tile finds its rows in what [`pack_block`] wrote: layout, first word and stride.
pub(super) fn rows_of_block(
    along: Along,
    packed: &[u32],
    depth: usize,
    height: usize,
    row: usize,
) -> (Layout, *const u32, usize) {
    match along {
        Along::Depth => {
            (Layout::RowMajor, packed[(row * (depth + PAD)).min(packed.len())..].as_ptr(), depth + PAD)
        }
        Along::Outer => {
            let width = strip_width(height);
            (Layout::KMajor, packed[(row / height * width * depth).min(packed.len())..].as_ptr(), width)
        }
    }
}

/// Packs some rows of A, and of them the words `depth`: row after row, or, where they run across the reduction, in
/// strips of a tile's `height`, `[rows/height][depth][strip_width]`.
pub(super) fn pack_block(
    format: Format,
    a: Operand,
    rows: Range<usize>,
    k: usize,
    depth: Range<usize>,
    height: usize,
    out: &mut [u32],
) {
    typed!(a.values, x => match a.along {
        Along::Depth => {
            for (out, row) in out.chunks_exact_mut(depth.len() + PAD).zip(rows) {
                pack_row(format, &x[row * a.stride..][..k], depth.start, &mut out[..depth.len()]);
            }
        }
        Along::Outer => {
            // As many strips at a time as a row of words has room for.
            let (width, most) = (strip_width(height), MAX_COLUMNS / height * height);
            let mut out = out;
            for first in rows.clone().step_by(most) {
                let rows = first..rows.end.min(first + most);
                let n_words = rows.len().div_ceil(height) * width * depth.len();
                let (strips, rest) = out.split_at_mut(n_words);
                pack_strips(format, x, a.stride, rows, k, depth.clone(), height, strips);
                out = rest;
            }
        }
    });
}

for_each_isa! {
    fn pack_row<E: Packable>(format: Format, row: &[E], start: usize, out: &mut [u32]) {
        row_words(format, row, start, out);
    }
}

for_each_isa! {
    /// Strips `[rows/height][depth][strip_width]` from rows along the rows of A.
    fn pack_strips<E: Packable>(
        format: Format,
        x: &[E],
        stride: usize,
        rows: Range<usize>,
        k: usize,
        depth: Range<usize>,
        height: usize,
        out: &mut [u32],
    ) {
        let width = strip_width(height);
        let (n_rows, n_words) = (rows.len(), depth.len());
        let row = |p: usize| &x[p * stride..][rows.clone()];
        let mut words = [0; ROW];
        for (at, word) in depth.enumerate() {
            for ahead in 0..format.per_word() {
                expect_row(x, (format.per_word() * (word + AHEAD) + ahead) * stride + rows.start, n_rows);
            }
            match format {
                Format::F32 => column_words(format, row(word), None, &mut words[..n_rows]),
                Format::Bf16 => {
                    let odd = (2 * word + 1 < k).then(|| row(2 * word + 1));
                    column_words(format, row(2 * word), odd, &mut words[..n_rows]);
                }
            }
            for (strip, first) in (0..n_rows).step_by(height).enumerate() {
                let out = &mut out[(strip * n_words + at) * width..];
                match width {
                    16 => copy_array::<16>(&words[first..], out),
                    _ => copy_array::<8>(&words[first..], out),
                }
            }
        }
    }
}

/// Words between one k and the next of a strip of A.
pub(super) fn strip_width(height: usize) -> usize {
    height.next_multiple_of(8)
}

/// `N` words with as few instructions as they take: a slice's copy is a call.
#[inline(always)]
fn copy_array<const N: usize>(from: &[u32], to: &mut [u32]) {
    if let (Some(from), Some(to)) = (from.first_chunk::<N>(), to.first_chunk_mut::<N>()) {
        *to = *from;
    }
}
