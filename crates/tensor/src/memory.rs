//! How the system's allocator treats what a step frees.

use std::sync::Once;

/// Keeps freed memory in the process. Every step allocates the same large buffers again; returning them to the
/// system in between would cost a page fault for each 4 KiB of them: a seventh of a small model's step.
pub(crate) fn keep_freed() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        // SAFETY: `mallopt` only sets parameters of the allocator, under its own lock.
        unsafe {
            // Older versions refuse thresholds above 32 MiB. Trimming must not be set alone: it fixes the other low.
            if libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30) == 1
                || libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20) == 1
            {
                libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 30);
            }
        }
    });
}
