//! Memory of tensors and of kernels' scratch.
//!
//! A step of training asks for the same sizes in the same order every time. What it frees is kept and handed out again,
//! so that from the second step on nothing is asked of the system: a fresh page costs a fault and a clearing for
//! every 4 KiB, a seventh of a small model's step. Large blocks are cut from slabs where they fit best and joined again
//! when they are free, so that gradients grow into what activations leave.

use std::{
    alloc::{Layout, alloc_zeroed, handle_alloc_error},
    collections::{BTreeMap, BTreeSet},
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
/// Slabs ask for pages of this size.
const HUGE_PAGE: usize = 2 << 20;
/// What the system is asked for at a time. Pages cost nothing before they are touched, and in one piece what is freed
/// joins what was freed beside it.
const SLAB: usize = if cfg!(unix) { 1 << 30 } else { 64 << 20 };
/// Smaller blocks are kept by size: cut from slabs, they would lie in the way of large ones.
const LARGE: usize = 64 << 10;

static FREE: Mutex<Free> = Mutex::new(Free {
    small: BTreeMap::new(),
    by_start: BTreeMap::new(),
    by_len: BTreeSet::new(),
    untouched: 0,
});
static FRESH_BYTES: AtomicU64 = AtomicU64::new(0);

/// Free blocks, by address.
struct Free {
    /// Those below [`LARGE`], by size.
    small: BTreeMap<usize, Vec<usize>>,
    /// Parts of slabs: length by start, and both the other way round. No two of them touch.
    by_start: BTreeMap<usize, usize>,
    by_len: BTreeSet<(usize, usize)>,
    /// Where the part of the newest slab begins that was never handed out.
    untouched: usize,
}

impl Free {
    /// The smallest part that holds `size` bytes; what is left of it stays.
    fn take_large(&mut self, size: usize) -> Option<usize> {
        let &(len, start) = self.by_len.range((size, 0)..).next()?;
        self.remove(start, len);
        if len > size {
            self.insert(start + size, len - size);
        }
        if (start..start + len).contains(&self.untouched) && start + size > self.untouched {
            FRESH_BYTES.fetch_add((start + size - self.untouched) as u64, Relaxed);
            self.untouched = start + size;
        }
        Some(start)
    }

    /// Adds a slab that holds `size` bytes at least.
    fn grow(&mut self, size: usize) {
        let least = size.next_multiple_of(HUGE_PAGE);
        // Where so much is refused, what is needed may still be had.
        let sizes = [least.max(SLAB), least];
        let slab = sizes.into_iter().find_map(|len| Some((mapped(len)?, len)));
        let (start, len) = slab.unwrap_or_else(|| handle_alloc_error(layout(least, HUGE_PAGE)));
        self.untouched = start;
        self.give_large(start, len);
    }

    /// Joins the part with its free neighbours.
    fn give_large(&mut self, mut start: usize, mut len: usize) {
        if let Some((&before, &before_len)) = self.by_start.range(..start).next_back()
            && before + before_len == start
        {
            self.remove(before, before_len);
            (start, len) = (before, before_len + len);
        }
        if let Some(&after_len) = self.by_start.get(&(start + len)) {
            self.remove(start + len, after_len);
            len += after_len;
        }
        self.insert(start, len);
    }

    fn insert(&mut self, start: usize, len: usize) {
        self.by_start.insert(start, len);
        self.by_len.insert((len, start));
    }

    fn remove(&mut self, start: usize, len: usize) {
        self.by_start.remove(&start);
        self.by_len.remove(&(len, start));
    }
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

/// What a request is rounded up to: small ones to eight sizes in a doubling, large ones to a page.
fn size_class(bytes: usize) -> usize {
    if bytes < LARGE {
        bytes.next_multiple_of((bytes.next_power_of_two() / 16).max(ALIGNMENT))
    } else {
        bytes.next_multiple_of(4096)
    }
}

fn take(size: usize) -> NonNull<u8> {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    let start = if size < LARGE {
        free.small.get_mut(&size).and_then(Vec::pop).unwrap_or_else(|| {
            FRESH_BYTES.fetch_add(size as u64, Relaxed);
            zeroed(size, ALIGNMENT).unwrap_or_else(|| handle_alloc_error(layout(size, ALIGNMENT)))
        })
    } else {
        free.take_large(size).unwrap_or_else(|| {
            free.grow(size);
            free.take_large(size).expect("the slab is large enough")
        })
    };
    NonNull::new(start as *mut u8).expect("blocks are not null")
}

fn layout(size: usize, alignment: usize) -> Layout {
    Layout::from_size_align(size, alignment).expect("a size in memory is far below the largest number")
}

/// The address of zeros from the system's allocator, never returned to it.
fn zeroed(size: usize, alignment: usize) -> Option<usize> {
    // SAFETY: the size is not zero.
    NonNull::new(unsafe { alloc_zeroed(layout(size, alignment)) }).map(|start| start.as_ptr() as usize)
}

/// The address of a slab of zeros whose pages come when they are touched, as huge ones where the system has them: large
/// products walk through megabytes, and so their addresses stay in the TLB.
#[cfg(unix)]
fn mapped(size: usize) -> Option<usize> {
    let reserved = size + HUGE_PAGE;
    let (access, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE);
    // SAFETY: a new mapping at an address of the system's choice touches nothing that is there.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), reserved, access, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return None;
    }
    let aligned = (start as usize).next_multiple_of(HUGE_PAGE);
    #[cfg(target_os = "linux")]
    // SAFETY: the range is ours; the call is advice and changes no content.
    unsafe {
        libc::madvise(aligned as *mut libc::c_void, size, libc::MADV_HUGEPAGE)
    };
    Some(aligned)
}

/// The address of a slab of zeros.
#[cfg(not(unix))]
fn mapped(size: usize) -> Option<usize> {
    zeroed(size, HUGE_PAGE)
}

fn give_back(start: NonNull<u8>, size: usize) {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    let start = start.as_ptr() as usize;
    if size < LARGE {
        free.small.entry(size).or_default().push(start);
    } else {
        free.give_large(start, size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_up_by_an_eighth_at_most() {
        for bytes in (1..100_000).chain([1 << 30, (1 << 30) + 1]) {
            let class = size_class(bytes);
            assert!(class >= bytes && class <= (bytes + bytes / 8).max(bytes.next_multiple_of(ALIGNMENT)));
            assert_eq!(class < LARGE, size_class(class) < LARGE);
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

    #[test]
    fn parts_of_a_slab_join_again() {
        let (small, by_start, by_len) = Default::default();
        let mut free = Free { small, by_start, by_len, untouched: 0 };
        free.give_large(1000, 100);
        let parts: Vec<usize> = [30, 50, 20].map(|len| free.take_large(len).unwrap()).to_vec();
        assert_eq!(parts, [1000, 1030, 1080]);
        assert_eq!(free.take_large(1), None);
        free.give_large(parts[1], 50);
        free.give_large(parts[2], 20);
        assert_eq!(free.by_start, BTreeMap::from([(1030, 70)]));
        free.give_large(parts[0], 30);
        assert_eq!(free.by_start, BTreeMap::from([(1000, 100)]));
        // The smallest that fits is taken.
        free.give_large(5000, 40);
        assert_eq!(free.take_large(40), Some(5000));
        assert_eq!(free.by_len, BTreeSet::from([(100, 1000)]));
    }
}
