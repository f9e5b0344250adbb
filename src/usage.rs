//! What this process has used: CPU time and memory, from the kernel's own books.

use std::fs;
use std::sync::LazyLock;

use rustix::time::{ClockId, clock_gettime};

/// This process's number. Asked for once: every record carries it, and the kernel is asked anew each time else.
pub fn process_id() -> u32 {
    static ID: LazyLock<u32> = LazyLock::new(std::process::id);
    *ID
}

/// User and system time of this process in seconds, all threads together, children not.
pub fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Highest resident memory of this process in bytes (`VmHWM`); 0 where `/proc` is not there. Not `ru_maxrss`:
/// that of a child inherits its parent's peak.
pub fn peak_rss_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap_or_default();
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap_or(0);
    kib * 1024
}

/// Raises the soft limit of open files to the hard one, so that concurrency is not bounded by a shell's
/// default. Failing to is no error: the run works with what there is.
pub fn raise_open_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                maximum: limit.maximum,
            },
        );
    }
}

/// Files and sockets that this process may have open at once.
pub fn open_file_limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile)
        .current
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernels_books_have_something() {
        assert!(super::cpu_seconds() > 0.0);
        assert!(super::peak_rss_bytes() > 1024 * 1024);
    }
}
