//! Matrix products: `C[m, n] (+)= A[m, k]·B[k, n]`, of f32 or of bf16 with sums in f32.
//!
//! B is packed in panels of 32 columns, `[n/32][k words][32]`, so that the innermost loop reads it in order. A is
//! read where it lies if its rows run along k, and packed a block at a time where they do not. A tile of C stays in
//! registers while k runs (`tile.rs`). Every element is one chain of fused multiply-adds over k, continued
//! through memory where k is cut in blocks, whatever the tile it falls in: that makes one row alone and the same
//! row in a batch agree bit for bit.

mod pack;
mod place;
mod tile;

use std::ops::Range;

use half::bf16;

use super::pool::{Pool, Shared};
use crate::{DType, Isa, Slice, arena::Buffer};

pub(crate) use pack::{pack, pack_alone, pack_stacked};
pub(crate) use place::{place_column, place_row};
use tile::{Factors, Layout, Out};

/// Columns of a panel.
const NR: usize = 32;
/// Rows of A that one task multiplies with a panel before it takes the next.
const BLOCK_ROWS: usize = 96;
/// Words of A that such a block holds at most: 384 KiB, a part of the second-level cache.
const BLOCK_WORDS: usize = 96 * 1024;
/// Steps of the reduction for which an A that runs across it is read where it lies.
const MAX_LINES: usize = 128;
/// Words that are packed of an A as a whole at most: 8 MiB.
const MAX_STRIP_WORDS: usize = 2 << 20;
/// Where k is cut then: blocks are packed side by side.
const STRIP_DEPTH: usize = 256;
/// Where k is cut if C can take sums that go on.
const BLOCK_DEPTH: usize = 1024;

/// What a product multiplies; it always adds in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    F32,
    /// Words of two neighbours along k.
    Bf16,
}

impl Format {
    /// That of products whose input has this dtype.
    #[track_caller]
    pub(crate) fn of(dtype: DType) -> Self {
        match dtype {
            DType::F32 => Self::F32,
            DType::Bf16 => Self::Bf16,
            DType::F64 => panic!("these kernels multiply in f32 or bf16, found f64"),
        }
    }

    /// Numbers in a word.
    fn per_word(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16 => 2,
        }
    }

    /// Words along a reduction of length `k`.
    pub(crate) fn words(self, k: usize) -> usize {
        k.div_ceil(self.per_word())
    }

    /// `n` numbers rounded up to whole words.
    pub(crate) fn whole_words(self, n: usize) -> usize {
        n.next_multiple_of(self.per_word())
    }

    /// Words of a packed `B[k, n]`.
    pub(crate) fn packed_len(self, k: usize, n: usize) -> usize {
        n.div_ceil(NR) * NR * self.words(k)
    }
}

/// Along what the rows of a matrix in memory run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Along {
    /// Along the reduction: element `(i, k)` stands at `i·stride + k`.
    Depth,
    /// Along the rows of A or the columns of B: `(i, k)` stands at `k·stride + i`.
    Outer,
}

/// A factor of a product: rows of A, or columns of B, times the reduction.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a> {
    pub(crate) values: Slice<'a>,
    pub(crate) stride: usize,
    pub(crate) along: Along,
}

impl<'a> Operand<'a> {
    /// Rows of `stride` elements that run along the reduction.
    pub(crate) fn depth(values: Slice<'a>, stride: usize) -> Self {
        Self { values, stride, along: Along::Depth }
    }

    /// Rows of `stride` elements, one for each step of the reduction.
    pub(crate) fn outer(values: Slice<'a>, stride: usize) -> Self {
        Self { values, stride, along: Along::Outer }
    }

    /// # Panics
    /// If `[outer, k]` reaches past the slice.
    #[track_caller]
    fn check(&self, what: &str, outer: usize, k: usize) {
        if outer > 0 && k > 0 {
            let (rows, width) = if self.along == Along::Depth { (outer, k) } else { (k, outer) };
            let end = (rows - 1) * self.stride + width;
            assert!(end <= self.values.len(), "{what} [{outer}, {k}] reaches {end} of {}", self.values.len());
        }
    }
}

/// Where a product goes: row `i` starts at `i·stride`.
pub(crate) enum Target<'a> {
    F32 {
        c: &'a mut [f32],
        stride: usize,
        /// Whether to add to what is there, going on with its chains, instead of overwriting it.
        accumulates: bool,
        /// Added to the finished sums.
        residual: Option<&'a [f32]>,
    },
    Bf16 {
        c: &'a mut [bf16],
        stride: usize,
    },
}

impl<'a> Target<'a> {
    /// Overwrites rows of f32.
    pub(crate) fn f32(c: &'a mut [f32], stride: usize) -> Self {
        Self::F32 { c, stride, accumulates: false, residual: None }
    }

    /// Overwrites rows of f32, or adds to them.
    pub(crate) fn sum(c: &'a mut [f32], stride: usize, accumulates: bool) -> Self {
        Self::F32 { c, stride, accumulates, residual: None }
    }

    /// A pointer to its first row, after checking that `[m, n]` fits.
    #[track_caller]
    fn out(self, m: usize, n: usize) -> Out {
        let check = |len: usize, stride: usize| {
            assert!(stride >= n || m <= 1, "C: rows of {n} every {stride} share elements");
            assert!(m == 0 || n == 0 || (m - 1) * stride + n <= len, "C [{m}, {n}] every {stride}: {len}");
        };
        match self {
            Self::F32 { c, stride, accumulates, residual } => {
                check(c.len(), stride);
                let residual = residual.map(|residual| {
                    check(residual.len(), stride);
                    residual.as_ptr()
                });
                Out::F32 { c: c.as_mut_ptr(), stride, continues: accumulates, residual }
            }
            Self::Bf16 { c, stride } => {
                check(c.len(), stride);
                Out::Bf16 { c: c.as_mut_ptr(), stride }
            }
        }
    }
}

impl Out {
    /// The part that starts at this row and column.
    ///
    /// # Safety
    /// It lies inside.
    unsafe fn at(self, row: usize, col: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Self::F32 { c, stride, continues, residual } => {
                    let at = row * stride + col;
                    Self::F32 { c: c.add(at), stride, continues, residual: residual.map(|r| r.add(at)) }
                }
                Self::Bf16 { c, stride } => Self::Bf16 { c: c.add(row * stride + col), stride },
            }
        }
    }

    /// What one of several blocks of k writes: the first starts the chains, the last adds the residual.
    fn of_depth_block(self, is_first: bool, is_last: bool) -> Self {
        match self {
            Self::F32 { c, stride, continues, residual } => Self::F32 {
                c,
                stride,
                continues: continues || !is_first,
                residual: residual.filter(|_| is_last),
            },
            Self::Bf16 { .. } => self,
        }
    }
}

/// B, packed.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    /// What [`pack`] wrote.
    pub(crate) words: &'a [u32],
    /// Columns.
    pub(crate) n: usize,
    /// Words along k that it was packed with; a product may stop earlier.
    pub(crate) depth: usize,
}

impl<'a> Panels<'a> {
    /// All of `words`, packed for a reduction of length `k`.
    pub(crate) fn new(format: Format, words: &'a [u32], k: usize, n: usize) -> Self {
        assert!(words.len() >= format.packed_len(k, n), "{} packed words of [{k}, {n}]", words.len());
        Self { words, n, depth: format.words(k) }
    }

    /// The columns `first .. first + n`; `first` begins a panel.
    pub(crate) fn columns(self, first: usize, n: usize) -> Self {
        debug_assert!(first.is_multiple_of(NR) && first + n <= self.n);
        Self { words: &self.words[first * self.depth..], n, ..self }
    }

    /// The same columns from word `first` of k on.
    pub(crate) fn skip_words(self, first: usize) -> Self {
        Self { words: &self.words[first * NR..], ..self }
    }
}

/// Shapes and format of a product.
#[derive(Clone, Copy)]
pub(crate) struct Product {
    pub(crate) format: Format,
    pub(crate) m: usize,
    pub(crate) k: usize,
}

/// `C[m, Σn] (+)= A[m, k]·[B₀ | B₁ | …]` with every thread of the pool.
///
/// # Panics
/// If a matrix reaches past its slice.
#[track_caller]
pub(crate) fn gemm(pool: &Pool, product: Product, a: Operand, bs: &[Panels], c: Target) {
    let n = bs.iter().map(|b| b.n).sum();
    check(product, a, bs);
    let out = c.out(product.m, n);
    let mut plan = Plan::new(product, a, out);
    let panels: usize = bs.iter().map(|b| b.n.div_ceil(NR)).sum();
    // Rows alone are shared out if there are enough; else columns too, at least four panels a task; else fewer rows.
    let wanted = 4 * pool.n_threads();
    let most_col_groups = panels.div_ceil(4).max(1);
    if product.m.div_ceil(plan.block_rows) * most_col_groups < wanted {
        let rows = product.m.div_ceil(wanted.div_ceil(most_col_groups));
        let height = tile::height(plan.isa);
        plan.block_rows = rows.next_multiple_of(height).clamp(height, plan.block_rows);
    }
    // As many blocks for each thread, of the same number of tiles but for one; a single block reads B once.
    let (height, tiles) = (tile::height(plan.isa), product.m.div_ceil(tile::height(plan.isa)));
    let row_blocks = match product.m.div_ceil(plan.block_rows) {
        blocks @ (0 | 1) => blocks,
        blocks => blocks.next_multiple_of(pool.n_threads()).min(tiles),
    };
    let row_of = move |block: usize| (block * tiles / row_blocks * height).min(product.m);
    let col_groups = wanted.div_ceil(row_blocks.max(1)).min(most_col_groups);
    let group = panels.div_ceil(col_groups).max(1);
    let col_groups = panels.div_ceil(group);
    if plan.block_rows < BLOCK_ROWS || col_groups > 1 {
        plan.pack_strips(pool);
    }
    let plan = Shareable(plan);
    pool.for_each(row_blocks * col_groups, |task| {
        let plan = &plan;
        let (block, first) = (task / col_groups, task % col_groups * group);
        // SAFETY: `check` and `out` proved the bounds; blocks of different tasks do not overlap.
        unsafe {
            plan.0.multiply_block(bs, row_of(block)..row_of(block + 1), first..panels.min(first + group));
        };
    });
}

/// `C[m, m] = A[m, k]·B[k, m]` where C is known to be symmetric: what lies below the diagonal is copied from above it.
/// The products that an element and its mirror image add up are the same, so this gives the bits of [`gemm`].
///
/// # Panics
/// If a matrix reaches past its slice.
#[track_caller]
pub(crate) fn gemm_symmetric(pool: &Pool, product: Product, a: Operand, b: Panels, c: &mut [f32]) {
    let m = product.m;
    check(product, a, &[b]);
    let out = Target::f32(c, m).out(m, b.n);
    let mut plan = Plan::new(product, a, out);
    let height = tile::height(plan.isa);
    let rows = m.div_ceil(8 * pool.n_threads()).next_multiple_of(height);
    plan.block_rows = rows.clamp(height, plan.block_rows.max(height));
    let plan = Shareable(plan);
    pool.for_each(m.div_ceil(plan.0.block_rows), |block| {
        let plan = &plan;
        let row = block * plan.0.block_rows;
        let rows = row..m.min(row + plan.0.block_rows);
        // SAFETY: `check` and `out` proved the bounds; blocks of different tasks do not overlap.
        unsafe { plan.0.multiply_block(&[b], rows, row / NR..m.div_ceil(NR)) };
    });
    let c = Shared::new(c);
    // In squares, so that the lines read down a column stay near.
    pool.for_each_chunk(m, NR, |first, n| {
        for col in (0..first + n).step_by(NR) {
            for i in first..first + n {
                // SAFETY: rows are written by one task each, below the diagonal; above it they are only read.
                unsafe {
                    let row = c.pointer(i * m);
                    for j in col..i.min(col + NR) {
                        *row.add(j) = *c.pointer(j * m + i);
                    }
                }
            }
        }
    });
}

/// As [`gemm`], on the caller's thread, with C anywhere.
///
/// # Safety
/// `c` is valid for a matrix `[m, n]` whose rows are `stride` apart, and nobody else touches it.
#[track_caller]
pub(crate) unsafe fn gemm_alone(
    product: Product,
    a: Operand,
    b: Panels,
    c: *mut f32,
    stride: usize,
    accumulates: bool,
) {
    check(product, a, &[b]);
    let plan = Plan::new(product, a, Out::F32 { c, stride, continues: accumulates, residual: None });
    for row in (0..product.m).step_by(plan.block_rows) {
        let rows = row..product.m.min(row + plan.block_rows);
        // SAFETY: `check` proved the bounds of A and B, the caller those of C.
        unsafe { plan.multiply_block(&[b], rows, 0..b.n.div_ceil(NR)) };
    }
}

#[track_caller]
fn check(product: Product, a: Operand, bs: &[Panels]) {
    let Product { format, m, k } = product;
    a.check("A", m, k);
    for b in bs {
        let depth = format.words(k);
        let want = b.n.div_ceil(NR).saturating_sub(1) * NR * b.depth + if b.n > 0 { NR * depth } else { 0 };
        assert!(
            depth <= b.depth && b.words.len() >= want,
            "B of {depth} words by {}: packed {} by {}, {} words",
            b.n,
            b.depth,
            b.n,
            b.words.len()
        );
    }
}

struct Shareable<T>(T);
// SAFETY: what it holds is pointers to matrices whose parts tasks share out among themselves.
unsafe impl<T> Sync for Shareable<T> {}

/// A product with everything about it that does not change from block to block.
struct Plan<'a> {
    isa: Isa,
    product: Product,
    a: Operand<'a>,
    /// Whether tiles can read A where it lies.
    in_place: bool,
    /// A as a whole, if it was packed before the tasks began: block after block of k.
    strips: Option<Buffer<u32>>,
    block_rows: usize,
    block_depth: usize,
    out: Out,
}

impl<'a> Plan<'a> {
    fn new(product: Product, a: Operand<'a>, out: Out) -> Self {
        let isa = Isa::current();
        let Product { format, k, .. } = product;
        let words = format.words(k);
        let block_depth = if matches!(out, Out::F32 { .. }) { BLOCK_DEPTH } else { words.max(1) };
        let height = tile::height(isa);
        let block_rows =
            (BLOCK_WORDS / words.clamp(1, block_depth) / height * height).clamp(height, BLOCK_ROWS);
        let in_place = is_readable_in_place(format, a, k);
        Self { isa, product, a, in_place, strips: None, block_rows, block_depth, out }
    }

    /// Packs all of an A that runs across the reduction, unless it is large: tasks that take few of its rows, or
    /// the same ones, would each read pieces of the same lines.
    fn pack_strips(&mut self, pool: &Pool) {
        let Product { format, m, k } = self.product;
        let (words, height) = (format.words(k), tile::height(self.isa));
        let width = m.div_ceil(height) * pack::strip_width(height); // words for each step of the reduction
        let continues = matches!(self.out, Out::F32 { .. });
        if self.in_place || self.a.along == Along::Depth || !continues || width * words > MAX_STRIP_WORDS {
            return;
        }
        self.block_depth = STRIP_DEPTH;
        let mut strips = Buffer::unspecified(width * words);
        let shared = Shared::new(&mut strips);
        pool.for_each_chunk(words, STRIP_DEPTH, |start, depth| {
            // SAFETY: every block of k is packed by one task.
            let out = unsafe { shared.part(start * width, depth * width) };
            pack::pack_block(format, self.a, 0..m, k, start..start + depth, height, out);
        });
        self.strips = Some(strips);
    }

    /// Some rows, at most `block_rows`, times some of the panels.
    ///
    /// # Safety
    /// A, B and C hold the whole product's matrices, and nobody else touches this block of C.
    unsafe fn multiply_block(&self, bs: &[Panels], rows: Range<usize>, panels: Range<usize>) {
        let Product { format, k, .. } = self.product;
        let words = format.words(k);
        let height = tile::height(self.isa);
        let mut start = 0;
        loop {
            let depth = self.block_depth.min(words - start);
            let own = (!self.in_place && self.strips.is_none()).then(|| {
                let mut packed =
                    Buffer::<u32>::unspecified(pack::block_len(self.a.along, depth, self.block_rows, height));
                pack::pack_block(format, self.a, rows.clone(), k, start..start + depth, height, &mut packed);
                packed
            });
            // What is packed of A, and which row comes first there.
            let packed = match (&self.strips, &own) {
                (Some(strips), _) => Some((&strips[strips.len() / words.max(1) * start..], 0)),
                (None, Some(own)) => Some((&own[..], rows.start)),
                (None, None) => None,
            };
            let out = self.out.of_depth_block(start == 0, start + depth == words);
            let mut at = 0; // panels of the parts before
            let mut col = 0; // their columns
            for b in bs {
                let count = b.n.div_ceil(NR);
                for panel in panels.start.max(at)..panels.end.min(at + count) {
                    let local = panel - at;
                    let width = NR.min(b.n - local * NR);
                    let b = &b.words[local * NR * b.depth + start * NR..][..depth * NR];
                    for row in rows.clone().step_by(height) {
                        let n_rows = height.min(rows.end - row);
                        let (layout, a, a_stride) = match packed {
                            None => self.a_words(row, start),
                            Some((packed, first)) => {
                                pack::rows_of_block(self.a.along, packed, depth, height, row - first)
                            }
                        };
                        let factors = Factors { a, a_stride, b: b.as_ptr(), k_words: depth };
                        // SAFETY: the tile lies inside C by the caller's promise, and inside A and B by `check`.
                        unsafe {
                            tile::tile(
                                self.isa,
                                format,
                                layout,
                                n_rows,
                                factors,
                                out.at(row, col + local * NR),
                                width,
                            );
                        }
                    }
                }
                at += count;
                col += b.n;
            }
            start += depth;
            if start >= words {
                break;
            }
        }
    }

    /// Layout, word `word` of row `row`, and stride of an A that is read in place.
    fn a_words(&self, row: usize, word: usize) -> (Layout, *const u32, usize) {
        let (Operand { stride, along, .. }, per_word) = (self.a, self.product.format.per_word());
        let (layout, at) = match along {
            Along::Depth => (Layout::RowMajor, row * stride + word * per_word),
            Along::Outer => (Layout::KMajor, word * stride + row),
        };
        let first = match self.a.values {
            Slice::F32(x) => x[at.min(x.len())..].as_ptr().cast(),
            Slice::Bf16(x) => x[at.min(x.len())..].as_ptr().cast(),
            Slice::F64(_) => unreachable!("no product is in f64"),
        };
        (layout, first, stride / per_word)
    }
}

/// Whether the tile may read A's words where they lie: whole words of the product's own format, and not so far apart
/// that those of a tile fall in few sets of the first-level cache.
fn is_readable_in_place(format: Format, a: Operand, k: usize) -> bool {
    let bytes = a.stride * a.values.dtype().size();
    match (a.along, format, a.values) {
        (Along::Depth, Format::F32, Slice::F32(_)) => !bytes.is_multiple_of(4096),
        (Along::Depth, Format::Bf16, Slice::Bf16(_)) => {
            [k, a.stride].iter().all(|n| n.is_multiple_of(2)) && !bytes.is_multiple_of(4096)
        }
        // Each word brings a line of the cache with it: worth while only if the lines stay until the next tile.
        (Along::Outer, Format::F32, Slice::F32(_)) => k <= MAX_LINES && !bytes.is_multiple_of(1024),
        _ => false,
    }
}

/// Elements from row to row for a buffer of rows `width` long that a product will read as its A: not a multiple of
/// 1 KiB, so that it can do so in place.
pub(crate) fn row_stride(width: usize) -> usize {
    if width.is_multiple_of(256) { width + 16 } else { width }
}

/// Depth of the tile that [`multiply_in_cache`] repeats: both operands fit 20 KiB.
const CACHED_WORDS: usize = 112;

/// FLOPs of a tile of [`multiply_in_cache`].
pub(crate) fn flops_in_cache(format: Format) -> usize {
    2 * format.per_word() * tile::MAX_ROWS * NR * CACHED_WORDS
}

/// Multiplies the same tiles `n_tiles` times: what the processor does when memory never makes it wait.
pub(crate) fn multiply_in_cache(format: Format, n_tiles: usize) {
    let isa = Isa::current();
    let height = tile::height(isa);
    // Both formats read it as harmless numbers.
    let words = [0x3f00_3f00_u32; tile::MAX_ROWS * CACHED_WORDS];
    let b = [0x3f00_3f00_u32; NR * CACHED_WORDS];
    let mut c = [0.0; tile::MAX_ROWS * NR];
    for _ in 0..n_tiles {
        for row in (0..tile::MAX_ROWS).step_by(height) {
            let a = words[row * CACHED_WORDS..].as_ptr();
            let factors = Factors { a, a_stride: height, b: b.as_ptr(), k_words: CACHED_WORDS };
            let out = Out::F32 { c: c[row * NR..].as_mut_ptr(), stride: NR, continues: true, residual: None };
            // SAFETY: `c` holds 12 rows of 32, and every height divides 12.
            unsafe { tile::tile(isa, format, Layout::KMajor, height, factors, out, NR) };
        }
    }
    std::hint::black_box(&c);
}
