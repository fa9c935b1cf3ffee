//! Memory of tensors and of kernels' scratch.
//!
//! A step of training asks for the same sizes in the same order every time. What it frees is kept by size and handed
//! out again, so that from the second step on nothing is asked of the system: a fresh page costs a fault and a
//! clearing for every 4 KiB, a seventh of a small model's step.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use half::bf16;

/// Every buffer starts at a cache line.
const ALIGNMENT: usize = 64;
/// From this size on a buffer starts at a huge page and asks for such pages.
const HUGE_PAGE: usize = 2 << 20;
/// Free memory that is always kept; beyond it, at most as much as is in use.
const ALWAYS_KEPT: usize = 256 << 20;

static FREE: Mutex<Free> = Mutex::new(Free { by_size: BTreeMap::new(), free_bytes: 0, used_bytes: 0 });
static FRESH_BYTES: AtomicU64 = AtomicU64::new(0);

struct Free {
    /// Addresses of free blocks.
    by_size: BTreeMap<usize, Vec<usize>>,
    free_bytes: usize,
    used_bytes: usize,
}

/// Bytes asked of the system so far for tensors and scratch: in steady work it no longer grows.
pub fn fresh_bytes() -> u64 {
    FRESH_BYTES.load(Relaxed)
}

/// Types whose values are plain numbers: every pattern of bits is one.
pub(crate) trait Number: Copy + Send + Sync + 'static {}
impl Number for f32 {}
impl Number for f64 {}
impl Number for bf16 {}
impl Number for u32 {}

/// Numbers in memory of the arena. Fresh ones are of unspecified value: zeros, or what was there before.
pub(crate) struct Buffer<T: Number> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: it owns its memory as a `Vec` does.
unsafe impl<T: Number> Send for Buffer<T> {}
// SAFETY: as above.
unsafe impl<T: Number> Sync for Buffer<T> {}

impl<T: Number> Buffer<T> {
    /// `len` numbers of unspecified value; in debug builds NaN, so that a kernel that leaves one shows.
    pub(crate) fn unspecified(len: usize) -> Self {
        let bytes = len * size_of::<T>();
        let start = if bytes == 0 {
            NonNull::dangling()
        } else {
            let start = take(size_class(bytes)).cast::<T>();
            if cfg!(debug_assertions) {
                // SAFETY: the block holds `bytes`; all ones is a number of every type.
                unsafe { std::ptr::write_bytes(start.as_ptr().cast::<u8>(), 0xff, bytes) };
            }
            start
        };
        Self { start, len }
    }

    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let buffer = Self::unspecified(len);
        // SAFETY: the block holds `len` numbers, and all bits zero is the number 0.
        unsafe { std::ptr::write_bytes(buffer.start.as_ptr(), 0, len) };
        buffer
    }
}

impl<T: Number> Drop for Buffer<T> {
    fn drop(&mut self) {
        let bytes = self.len * size_of::<T>();
        if bytes > 0 {
            give_back(self.start.cast(), size_class(bytes));
        }
    }
}

impl<T: Number> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the block holds `len` numbers, initialised when it was made, and is ours.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Number> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Number> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        Self::from(&**self)
    }
}

impl<T: Number> From<&[T]> for Buffer<T> {
    fn from(values: &[T]) -> Self {
        let mut buffer = Self::unspecified(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl<T: Number> std::fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len).finish_non_exhaustive()
    }
}

/// What a request is rounded up to: eight sizes to a doubling, so that near sizes share and an eighth at most is lost.
fn size_class(bytes: usize) -> usize {
    let step = (bytes.next_power_of_two() / 16).max(ALIGNMENT);
    bytes.next_multiple_of(step)
}

fn layout(size: usize) -> Layout {
    let alignment = if size >= HUGE_PAGE { HUGE_PAGE } else { ALIGNMENT };
    Layout::from_size_align(size, alignment).expect("a size in memory is far below the largest number")
}

fn take(size: usize) -> NonNull<u8> {
    let mut to_release = BTreeMap::new();
    {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        free.used_bytes += size;
        if let Some(block) = free.by_size.get_mut(&size).and_then(Vec::pop) {
            free.free_bytes -= size;
            return NonNull::new(block as *mut u8).expect("blocks are not null");
        }
        // Sizes changed for good: let go of those that nobody asks for any more.
        if free.free_bytes > free.used_bytes.max(ALWAYS_KEPT) {
            free.free_bytes = 0;
            to_release = std::mem::take(&mut free.by_size);
        }
    }
    for (size, blocks) in to_release {
        for block in blocks {
            // SAFETY: the block was allocated with this layout and nobody holds it.
            unsafe { dealloc(block as *mut u8, layout(size)) };
        }
    }
    FRESH_BYTES.fetch_add(size as u64, Relaxed);
    // SAFETY: the size is not zero.
    let start = unsafe { alloc_zeroed(layout(size)) };
    let Some(start) = NonNull::new(start) else { handle_alloc_error(layout(size)) };
    ask_for_huge_pages(start, size);
    start
}

fn give_back(start: NonNull<u8>, size: usize) {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    free.used_bytes -= size;
    free.free_bytes += size;
    free.by_size.entry(size).or_default().push(start.as_ptr() as usize);
}

/// Large products walk through megabytes: with pages of 2 MiB their addresses stay in the TLB.
fn ask_for_huge_pages(start: NonNull<u8>, size: usize) {
    #[cfg(target_os = "linux")]
    if size >= HUGE_PAGE {
        // SAFETY: the range is ours; the call is advice and changes no content.
        unsafe { libc::madvise(start.as_ptr().cast(), size, libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, size);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_up_by_an_eighth_at_most() {
        for bytes in (1..100_000).chain([1 << 30, (1 << 30) + 1]) {
            let class = size_class(bytes);
            assert!(class >= bytes && class <= (bytes + bytes / 8).max(bytes.next_multiple_of(ALIGNMENT)));
            assert_eq!(size_class(class), class);
        }
    }

    #[test]
    fn buffers_keep_their_numbers_and_start_at_cache_lines() {
        let mut buffers: Vec<_> = (0..200).map(|n| Buffer::<u32>::zeros(n * 37)).collect();
        for (i, buffer) in buffers.iter_mut().enumerate() {
            assert!((buffer.as_ptr() as usize).is_multiple_of(ALIGNMENT) || buffer.is_empty());
            assert!(buffer.iter().all(|x| *x == 0));
            buffer.fill(i as u32);
        }
        buffers.retain(|buffer| buffer.len() % 2 == 0);
        assert!(buffers.iter().all(|buffer| buffer.iter().all(|x| *x as usize * 37 == buffer.len())));
    }
}
