//! Matrix products: `C[m, n] (+)= A[m, k]·B[k, n]`.
//!
//! B is packed in panels of 32 columns, `[n/32][k][32]`, so that the innermost loop reads it in order; A is packed
//! a block at a time, `[k][rows of a tile]`. A tile of C stays in registers while k runs. Every element is one
//! chain of fused multiply-adds over ascending k, continued through memory where k is cut in blocks, whatever
//! the tile it falls in: that makes one row alone and the same row in a batch agree bit for bit.

use std::cell::RefCell;

use super::pool::{Pool, Shared};
use crate::Isa;

/// Columns of a panel.
const NR: usize = 32;
/// Rows of A that one task packs at a time: a multiple of every tile's height.
const BLOCK_ROWS: usize = 96;
/// Depth of a packed block of A: 96·512 floats are 192 KiB, a fraction of the second-level cache.
const BLOCK_DEPTH: usize = 512;

/// A matrix to be read with strides: element `(i, j)` is `values[i·row_stride + j·col_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Strided<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) row_stride: usize,
    pub(crate) col_stride: usize,
}

impl<'a> Strided<'a> {
    /// Row-major with `stride` elements from row to row.
    pub(crate) fn rows(values: &'a [f32], stride: usize) -> Self {
        Self { values, row_stride: stride, col_stride: 1 }
    }

    /// The transpose of a row-major matrix.
    pub(crate) fn transposed(values: &'a [f32], stride: usize) -> Self {
        Self { values, row_stride: 1, col_stride: stride }
    }

    #[track_caller]
    fn check(&self, what: &str, rows: usize, cols: usize) {
        if rows > 0 && cols > 0 {
            let last = (rows - 1) * self.row_stride + (cols - 1) * self.col_stride;
            assert!(
                last < self.values.len(),
                "{what} [{rows}, {cols}] reaches {last} of {}",
                self.values.len()
            );
        }
    }
}

/// Where a product goes: row `i` starts at `i·row_stride`.
pub(crate) struct Target<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) row_stride: usize,
    /// Whether to add to what is there, continuing its chain, instead of overwriting it.
    pub(crate) accumulate: bool,
}

/// B, packed in panels.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    /// What [`pack`] wrote; panels past the product's last column are not read.
    pub(crate) values: &'a [f32],
    /// The k that it was packed with; a product may stop earlier.
    pub(crate) depth: usize,
}

/// Floats that a packed `B[k, n]` takes.
pub(crate) fn packed_len(k: usize, n: usize) -> usize {
    n.div_ceil(NR) * NR * k
}

/// Packs `B[k, n]`, with every thread of the pool.
pub(crate) fn pack(pool: &Pool, b: Strided, k: usize, n: usize, packed: &mut [f32]) {
    assert!(packed.len() == packed_len(k, n), "packed {}, want {}", packed.len(), packed_len(k, n));
    b.check("B", k, n);
    let panel_len = NR * k;
    let shared = Shared::new(packed);
    // About 64K elements a task.
    let panels_per_task = (65_536 / panel_len.max(1)).max(1);
    pool.for_each_chunk(n.div_ceil(NR), panels_per_task, |first, count| {
        for panel in first..first + count {
            // SAFETY: every panel is packed by one task.
            pack_panel(b, k, n, panel, unsafe { shared.part(panel * panel_len, panel_len) });
        }
    });
}

/// Packs `B[k, n]` on the caller's thread.
pub(crate) fn pack_alone(b: Strided, k: usize, n: usize, packed: &mut [f32]) {
    assert!(packed.len() == packed_len(k, n), "packed {}, want {}", packed.len(), packed_len(k, n));
    b.check("B", k, n);
    for (panel, out) in packed.chunks_exact_mut((NR * k).max(1)).enumerate() {
        pack_panel(b, k, n, panel, out);
    }
}

fn pack_panel(b: Strided, k: usize, n: usize, panel: usize, out: &mut [f32]) {
    let width = NR.min(n - panel * NR);
    let first = panel * NR * b.col_stride;
    if b.col_stride == 1 {
        for (p, out) in out.chunks_exact_mut(NR).enumerate() {
            out[..width].copy_from_slice(&b.values[first + p * b.row_stride..][..width]);
            out[width..].fill(0.0);
        }
    } else {
        // In blocks of 16 of k, so that the lines written to stay near while the columns pass.
        for (block, out) in out.chunks_mut(16 * NR).enumerate() {
            let depth = out.len() / NR;
            for j in 0..NR {
                if j < width {
                    let column = first + j * b.col_stride + block * 16 * b.row_stride;
                    for p in 0..depth {
                        out[p * NR + j] = b.values[column + p * b.row_stride];
                    }
                } else {
                    (0..depth).for_each(|p| out[p * NR + j] = 0.0);
                }
            }
        }
    }
    debug_assert_eq!(out.len(), NR * k);
}

/// `C[m, n] (+)= A[m, k]·B[k, n]` with every thread of the pool; `packed` is B from [`pack`].
///
/// # Panics
/// If a matrix reaches past its slice.
#[track_caller]
pub(crate) fn gemm(pool: &Pool, m: usize, n: usize, k: usize, a: Strided, packed: &[f32], c: Target) {
    let packed = Panels { values: packed, depth: k };
    check(m, n, k, a, packed);
    if m > 0 && n > 0 {
        let last = (m - 1) * c.row_stride + n - 1;
        assert!(last < c.values.len(), "C [{m}, {n}] reaches {last} of {}", c.values.len());
        assert!(c.row_stride >= n, "C: rows of {n} every {} share elements", c.row_stride);
    }
    let (row_stride, accumulate) = (c.row_stride, c.accumulate);
    let c = Shared::new(c.values);
    let row_blocks = m.div_ceil(BLOCK_ROWS);
    let panels = n.div_ceil(NR);
    // Rows alone are shared out if there are enough; else columns too, at least four panels a task.
    let wanted = 4 * pool.n_threads();
    let col_groups = wanted.div_ceil(row_blocks.max(1)).min(panels.div_ceil(4)).max(1);
    let group = panels.div_ceil(col_groups).max(1);
    let col_groups = panels.div_ceil(group);
    pool.for_each(row_blocks * col_groups, |task| {
        let (rows, panel) = (task / col_groups * BLOCK_ROWS, task % col_groups * group);
        let block =
            Block { rows: rows..m.min(rows + BLOCK_ROWS), cols: panel * NR..n.min((panel + group) * NR) };
        // SAFETY: `check` proved the bounds; blocks of different tasks do not overlap.
        unsafe { multiply_block(&block, k, a, packed, c.pointer(0), row_stride, accumulate) };
    });
}

/// As [`gemm`], on the caller's thread, with B cut at any depth and C anywhere.
///
/// # Safety
/// `c` is valid for a matrix `[m, n]` with `row_stride` elements from row to row, and nobody else touches it.
#[track_caller]
#[allow(clippy::too_many_arguments, reason = "sizes and buffers are arguments")]
pub(crate) unsafe fn gemm_alone(
    m: usize,
    n: usize,
    k: usize,
    a: Strided,
    packed: Panels,
    c: *mut f32,
    row_stride: usize,
    accumulate: bool,
) {
    check(m, n, k, a, packed);
    for rows in (0..m).step_by(BLOCK_ROWS) {
        let block = Block { rows: rows..m.min(rows + BLOCK_ROWS), cols: 0..n };
        // SAFETY: `check` proved the bounds of A and B, the caller those of C.
        unsafe { multiply_block(&block, k, a, packed, c, row_stride, accumulate) };
    }
}

#[track_caller]
fn check(m: usize, n: usize, k: usize, a: Strided, packed: Panels) {
    a.check("A", m, k);
    let want = packed_len(packed.depth, n);
    assert!(
        k <= packed.depth && packed.values.len() >= want,
        "B [{k}, {n}] of depth {}: packed {}, want {want}",
        packed.depth,
        packed.values.len()
    );
}

/// The part of C that one task computes; the columns begin at a panel.
struct Block {
    rows: std::ops::Range<usize>,
    cols: std::ops::Range<usize>,
}

thread_local! {
    /// The packed block of A of the task that runs on this thread.
    static PACKED_A: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// # Safety
/// A, the packed B and C hold the whole product's matrices, and nobody else touches this block of C.
unsafe fn multiply_block(
    block: &Block,
    k: usize,
    a: Strided,
    packed_b: Panels,
    c: *mut f32,
    c_stride: usize,
    accumulate: bool,
) {
    let isa = Isa::current();
    let height = tile_height(isa);
    PACKED_A.with_borrow_mut(|packed_a| {
        packed_a.resize(BLOCK_ROWS * BLOCK_DEPTH, 0.0);
        let mut depth_start = 0;
        loop {
            let depth = BLOCK_DEPTH.min(k - depth_start);
            pack_block(a, block.rows.clone(), depth_start, depth, height, packed_a);
            let continues = accumulate || depth_start > 0;
            for col in block.cols.clone().step_by(NR) {
                let panel =
                    &packed_b.values[col / NR * NR * packed_b.depth + depth_start * NR..][..depth * NR];
                let width = NR.min(block.cols.end - col);
                for (tile, row) in block.rows.clone().step_by(height).enumerate() {
                    let n_rows = height.min(block.rows.end - row);
                    let tile_a = &packed_a[tile * height * depth..][..n_rows * depth];
                    // SAFETY: the tile lies inside C by the caller's promise.
                    unsafe {
                        multiply_tile(
                            isa,
                            n_rows,
                            tile_a,
                            panel,
                            c.add(row * c_stride + col),
                            c_stride,
                            width,
                            continues,
                        );
                    }
                }
            }
            depth_start += depth;
            if depth_start == k {
                break;
            }
        }
    });
}

/// Packs rows of A as `[tile][depth][rows of the tile]`.
fn pack_block(
    a: Strided,
    rows: std::ops::Range<usize>,
    depth_start: usize,
    depth: usize,
    height: usize,
    out: &mut [f32],
) {
    for (tile, row) in rows.clone().step_by(height).enumerate() {
        let n_rows = height.min(rows.end - row);
        let out = &mut out[tile * height * depth..][..n_rows * depth];
        let first = row * a.row_stride + depth_start * a.col_stride;
        if a.row_stride == 1 {
            for (p, out) in out.chunks_exact_mut(n_rows).enumerate() {
                out.copy_from_slice(&a.values[first + p * a.col_stride..][..n_rows]);
            }
        } else {
            for i in 0..n_rows {
                let row = &a.values[first + i * a.row_stride..];
                for p in 0..depth {
                    out[p * n_rows + i] = row[p * a.col_stride];
                }
            }
        }
    }
}

fn tile_height(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 12,
        Isa::Avx2 => 6,
        Isa::Portable => 4,
    }
}

/// Depth of the tile that [`multiply_in_cache`] repeats: both operands fit 20 KiB.
const CACHED_DEPTH: usize = 112;
/// FLOPs of one tile of [`multiply_in_cache`]; 12 rows are whole tiles of every set.
pub(crate) const FLOPS_IN_CACHE: usize = 2 * 12 * NR * CACHED_DEPTH;

/// Multiplies the same tiles `n_tiles` times: what the processor does when memory never makes it wait.
pub(crate) fn multiply_in_cache(n_tiles: usize) {
    let isa = Isa::current();
    let height = tile_height(isa);
    let (a, b) = ([0.5; 12 * CACHED_DEPTH], [0.5; NR * CACHED_DEPTH]);
    let mut c = [0.0; 12 * NR];
    for _ in 0..n_tiles {
        for row in (0..12).step_by(height) {
            let a = &a[row * CACHED_DEPTH..][..height * CACHED_DEPTH];
            // SAFETY: `c` holds 12 rows of 32, and every height divides 12.
            unsafe { multiply_tile(isa, height, a, &b, c.as_mut_ptr().add(row * NR), NR, NR, true) };
        }
    }
    std::hint::black_box(&c);
}

/// Chooses the tile's code by its height.
macro_rules! by_height {
    ($kernel:ident, $n_rows:expr, [$($height:literal),*], $args:tt) => {
        match $n_rows {
            $($height => by_height!(@call $kernel, $height, $args),)*
            other => unreachable!("no tile of {other} rows"),
        }
    };
    (@call $kernel:ident, $height:literal, ($($arg:expr),*)) => { $kernel::<$height>($($arg),*) };
}

/// One tile: `C[n_rows, width] (+)= A·B` with `a [depth][n_rows]` and `b [depth][32]`.
///
/// # Safety
/// `c` points to a tile of C with `c_stride` elements from row to row; the set `isa` is this machine's.
#[allow(clippy::too_many_arguments, reason = "sizes and buffers are arguments")]
unsafe fn multiply_tile(
    isa: Isa,
    n_rows: usize,
    a: &[f32],
    b: &[f32],
    c: *mut f32,
    c_stride: usize,
    width: usize,
    continues: bool,
) {
    // SAFETY: the caller's promise is the tile's.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                by_height!(
                    tile_avx512,
                    n_rows,
                    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
                    (a, b, c, c_stride, width, continues)
                );
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => {
                by_height!(tile_avx2, n_rows, [1, 2, 3, 4, 5, 6], (a, b, c, c_stride, width, continues))
            }
            _ => by_height!(tile_portable, n_rows, [1, 2, 3, 4], (a, b, c, c_stride, width, continues)),
        }
    }
}

/// # Safety
/// As [`multiply_tile`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn tile_avx512<const M: usize>(
    a: &[f32],
    b: &[f32],
    c: *mut f32,
    c_stride: usize,
    width: usize,
    continues: bool,
) {
    use std::arch::x86_64::{
        _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_set1_ps,
        _mm512_setzero_ps,
    };
    let mask = if width == NR { u32::MAX } else { (1 << width) - 1 };
    let masks = [mask as u16, (mask >> 16) as u16];
    let mut sums = [[_mm512_setzero_ps(); 2]; M];
    // SAFETY: masked-out columns are not touched, though their address may lie past C, which is why it is reached with
    // `wrapping_add`; the others lie inside C. `a` and `b` are read inside their
    // slices: chunks of M and of 32.
    unsafe {
        if continues {
            for (i, sums) in sums.iter_mut().enumerate() {
                sums[0] = _mm512_maskz_loadu_ps(masks[0], c.wrapping_add(i * c_stride));
                sums[1] = _mm512_maskz_loadu_ps(masks[1], c.wrapping_add(i * c_stride + 16));
            }
        }
        for (a, b) in a.chunks_exact(M).zip(b.chunks_exact(NR)) {
            let b = [_mm512_loadu_ps(b.as_ptr()), _mm512_loadu_ps(b.as_ptr().add(16))];
            for (sums, a) in sums.iter_mut().zip(a) {
                let a = _mm512_set1_ps(*a);
                sums[0] = _mm512_fmadd_ps(a, b[0], sums[0]);
                sums[1] = _mm512_fmadd_ps(a, b[1], sums[1]);
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            _mm512_mask_storeu_ps(c.wrapping_add(i * c_stride), masks[0], sums[0]);
            _mm512_mask_storeu_ps(c.wrapping_add(i * c_stride + 16), masks[1], sums[1]);
        }
    }
}

/// # Safety
/// As [`multiply_tile`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_avx2<const M: usize>(
    a: &[f32],
    b: &[f32],
    c: *mut f32,
    c_stride: usize,
    width: usize,
    continues: bool,
) {
    use std::arch::x86_64::{
        _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };
    let mut tile = [[0.0f32; NR]; M];
    // SAFETY: the tile is copied in and out inside C; registers load from and store to arrays of 32 floats.
    unsafe {
        load_tile(&mut tile, c, c_stride, width, continues);
        // Two halves of 16 columns: six rows of two registers leave room for B and A.
        for half in [0, 16] {
            let mut sums = [[_mm256_setzero_ps(); 2]; M];
            for (sums, tile) in sums.iter_mut().zip(&tile) {
                sums[0] = _mm256_loadu_ps(tile.as_ptr().add(half));
                sums[1] = _mm256_loadu_ps(tile.as_ptr().add(half + 8));
            }
            for (a, b) in a.chunks_exact(M).zip(b.chunks_exact(NR)) {
                let b = [_mm256_loadu_ps(b.as_ptr().add(half)), _mm256_loadu_ps(b.as_ptr().add(half + 8))];
                for (sums, a) in sums.iter_mut().zip(a) {
                    let a = _mm256_set1_ps(*a);
                    sums[0] = _mm256_fmadd_ps(a, b[0], sums[0]);
                    sums[1] = _mm256_fmadd_ps(a, b[1], sums[1]);
                }
            }
            for (sums, tile) in sums.iter().zip(&mut tile) {
                _mm256_storeu_ps(tile.as_mut_ptr().add(half), sums[0]);
                _mm256_storeu_ps(tile.as_mut_ptr().add(half + 8), sums[1]);
            }
        }
        store_tile(&tile, c, c_stride, width);
    }
}

/// # Safety
/// As [`multiply_tile`].
unsafe fn tile_portable<const M: usize>(
    a: &[f32],
    b: &[f32],
    c: *mut f32,
    c_stride: usize,
    width: usize,
    continues: bool,
) {
    let mut tile = [[0.0f32; NR]; M];
    // SAFETY: the caller's promise.
    unsafe { load_tile(&mut tile, c, c_stride, width, continues) };
    for (a, b) in a.chunks_exact(M).zip(b.chunks_exact(NR)) {
        for (tile, a) in tile.iter_mut().zip(a) {
            for (tile, b) in tile.iter_mut().zip(b) {
                *tile = a.mul_add(*b, *tile);
            }
        }
    }
    // SAFETY: the caller's promise.
    unsafe { store_tile(&tile, c, c_stride, width) };
}

/// # Safety
/// As [`multiply_tile`].
#[inline(always)]
unsafe fn load_tile<const M: usize>(
    tile: &mut [[f32; NR]; M],
    c: *const f32,
    c_stride: usize,
    width: usize,
    continues: bool,
) {
    if continues {
        for (i, tile) in tile.iter_mut().enumerate() {
            // SAFETY: `width` elements of a row of C.
            tile[..width].copy_from_slice(unsafe { std::slice::from_raw_parts(c.add(i * c_stride), width) });
        }
    }
}

/// # Safety
/// As [`multiply_tile`].
#[inline(always)]
unsafe fn store_tile<const M: usize>(tile: &[[f32; NR]; M], c: *mut f32, c_stride: usize, width: usize) {
    for (i, tile) in tile.iter().enumerate() {
        // SAFETY: `width` elements of a row of C.
        unsafe { std::slice::from_raw_parts_mut(c.add(i * c_stride), width) }.copy_from_slice(&tile[..width]);
    }
}
