//! The C library's allocator, told to give the memory of large buffers back.

/// Buffers from this size on are mapped, and unmapped when they are freed: large messages, outboxes,
/// half messages. Below it they are too many and too short-lived for a system call each.
#[cfg(target_env = "gnu")]
const MAPPED_MIN: libc::c_int = 256 << 10;
/// The most free memory at the end of a thread's heap that is not given back.
#[cfg(target_env = "gnu")]
const TRIM_MIN: libc::c_int = 1 << 20;

/// Fixes both bounds. Left alone, glibc raises them to up to 32 MiB with the first large buffer that
/// is freed, and a burst of large messages then stays in the process for good. To be called before
/// there are other threads; without effect where the C library is another.
#[cfg_attr(
    target_env = "gnu",
    expect(unsafe_code, reason = "std has no way to set an allocator's bounds")
)]
pub fn give_back_large_buffers() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `mallopt` takes two numbers, keeps no pointers, and is called before there is a second
    // thread; it refuses what it does not know, which leaves things as they were.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_MIN);
        libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_MIN);
    }
}
