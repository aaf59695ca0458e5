//! What this process has used.

use core::mem::MaybeUninit;
use core::time::Duration;

/// CPU time of all threads of this process so far: in user space, and in the kernel.
pub fn cpu_time() -> (Duration, Duration) {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: getrusage writes one `struct rusage`, which `usage` has room for.
    let result = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    debug_assert_eq!(result, 0, "the arguments are right, and nothing else can be wrong (getrusage(2))");
    // SAFETY: it was written, or else it still is all zeros, which is a `struct rusage` too.
    let usage = unsafe { usage.assume_init() };
    (time(usage.ru_utime), time(usage.ru_stime))
}

fn time(value: libc::timeval) -> Duration {
    Duration::new(value.tv_sec.unsigned_abs(), 0) + Duration::from_micros(value.tv_usec.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_work() {
        let total = || {
            let (user, system) = cpu_time();
            user + system
        };
        let before = total();
        let mut x = 1u64;
        while total() < before + Duration::from_millis(20) {
            x = x.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (x >> 7);
        }
        assert_ne!(x, 0);
    }
}
