//! The machine under a comparison: what it is, who uses its processors, what disturbs it. From the kernel's own books.

use std::fs;
use std::path::Path;

use procfs::process::Process;
use procfs::{Current as _, CurrentSI as _, KernelStats, LoadAverage, Meminfo};

use super::report::Host;

/// CPU time of the whole machine since it started, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct MachineTime {
    /// Somebody used it.
    pub(super) busy: f64,
    /// Nobody did.
    pub(super) idle: f64,
    /// The machine's own host gave it to others.
    pub(super) steal: f64,
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / procfs::ticks_per_second() as f64
}

impl MachineTime {
    /// Now; all zero where the kernel does not say.
    pub(super) fn now() -> Self {
        let Ok(stats) = KernelStats::current() else {
            return Self::default();
        };
        let total = stats.total;
        let optional = |ticks: Option<u64>| ticks.unwrap_or(0);
        let idle = total.idle + optional(total.iowait);
        let busy = total.user + total.nice + total.system + optional(total.irq) + optional(total.softirq);
        Self {
            busy: seconds(busy),
            idle: seconds(idle),
            steal: seconds(optional(total.steal)),
        }
    }
}

/// CPU time of a process in seconds; none when it cannot be seen.
pub(super) fn process_time(pid: u32) -> Option<f64> {
    let stat = Process::new(i32::try_from(pid).ok()?).ok()?.stat().ok()?;
    Some(seconds(stat.utime + stat.stime))
}

/// The process on this machine that listens on a TCP port; none when there is none that we may see.
pub(super) fn listener_on(port: u16) -> Option<u32> {
    use procfs::process::{FDTarget, all_processes};
    let sockets = procfs::net::tcp()
        .ok()?
        .into_iter()
        .chain(procfs::net::tcp6().unwrap_or_default());
    let inodes: Vec<u64> = sockets
        .filter(|socket| socket.state == procfs::net::TcpState::Listen && socket.local_address.port() == port)
        .map(|socket| socket.inode)
        .collect();
    let listens = |process: &Process| {
        process.fd().is_ok_and(|mut descriptors| {
            descriptors.any(|descriptor| {
                matches!(descriptor, Ok(info) if matches!(info.target, FDTarget::Socket(inode) if inodes.contains(&inode)))
            })
        })
    };
    let found = all_processes().ok()?.flatten().find(listens)?;
    u32::try_from(found.pid()).ok()
}

/// What the machine is.
pub(super) fn describe() -> Host {
    let cpu = procfs::CpuInfo::current()
        .ok()
        .and_then(|info| info.model_name(0).map(str::to_owned));
    let kernel = procfs::sys::kernel::Version::current().ok();
    Host {
        cpu: cpu.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cores: cores(),
        memory_bytes: Meminfo::current().map_or(0, |memory| memory.mem_total),
        kernel: kernel.map_or_else(String::new, |version| {
            format!("{}.{}.{}", version.major, version.minor, version.patch)
        }),
        on_battery: on_battery(Path::new("/sys/class/power_supply")),
        load: LoadAverage::current().map_or(0.0, |load| f64::from(load.one)),
    }
}

/// Cores that this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Cores of the whole machine, which the kernel's books are about.
pub(super) fn machine_cores() -> f64 {
    KernelStats::current()
        .map_or(1, |stats| stats.cpu_time.len())
        .max(1) as f64
}

/// True when a battery is being used up; none where there is none to look at.
fn on_battery(supplies: &Path) -> Option<bool> {
    let mut found = None;
    for supply in fs::read_dir(supplies).ok()?.flatten() {
        let read = |name: &str| fs::read_to_string(supply.path().join(name)).unwrap_or_default();
        if read("type").trim() == "Battery" {
            let discharging = read("status").trim() == "Discharging";
            found = Some(found.unwrap_or(false) || discharging);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_books_are_read() {
        let time = MachineTime::now();
        assert!(time.busy > 0.0 && time.idle > 0.0, "{time:?}");
        assert!(process_time(std::process::id()).is_some());
        assert!(process_time(u32::MAX).is_none());
        let host = describe();
        assert!(host.cores >= 1 && host.memory_bytes > 0, "{host:?}");
    }

    #[test]
    fn whoever_listens_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        assert_eq!(listener_on(port), Some(std::process::id()));
        drop(listener);
        assert_eq!(listener_on(port), None);
    }

    #[test]
    fn a_battery_in_use_is_seen() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(on_battery(directory.path()), None);
        let supply = directory.path().join("BAT0");
        fs::create_dir(&supply).expect("made");
        fs::write(supply.join("type"), "Battery\n").expect("written");
        for (status, expected) in [("Discharging\n", true), ("Full\n", false)] {
            fs::write(supply.join("status"), status).expect("written");
            assert_eq!(on_battery(directory.path()), Some(expected));
        }
    }
}
