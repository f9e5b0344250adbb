//! The server of a comparison: one that is given, MinIO, or the embedded one. Those that we start have their data in a
//! temporary directory, in memory where there is room.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::files::room;
use super::helper::{Helper, Pid, Role, START_LIMIT, Serving};
use super::host::listener_on;
use super::plan::Plan;
use super::report::ServerInfo;
use crate::config::{Config, FixedCredentials, Secret, StoreSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::connect;
use crate::server::{FaultAction, FaultPlan, FaultRule};
use crate::store::explain;
use crate::units::ByteSize;

/// Time that an address may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// Memory file systems are used from this much room on.
const ROOM_IN_MEMORY: u64 = 2 * 1024 * 1024 * 1024;

/// Begin of the names of our directories; the number of the process that made it follows.
const SCRATCH: &str = "s3haul-bench-";

/// Which server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerChoice {
    /// This one.
    Endpoint(StoreSettings),
    /// A MinIO of our own.
    Minio {
        /// Its program.
        program: PathBuf,
    },
    /// The embedded server.
    Embedded,
}

/// A server that runs. Dropping it stops one that we started, and removes its data.
pub(super) struct Server {
    pub(super) info: ServerInfo,
    pub(super) settings: StoreSettings,
    /// Where it listens, if it speaks plain HTTP: a relay may stand before it.
    pub(super) address: Option<SocketAddr>,
    /// Its process, if it is on this machine and can be seen.
    pub(super) pid: Option<u32>,
    helper: Option<Helper>,
    data: Option<TempDir>,
}

fn cannot(what: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Internal, what).with_source(error)
}

/// A program by its name, as a shell would find it.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// A directory of our own for so many bytes: in memory where there is room, else where temporary files go.
pub(super) fn scratch(wanted: Option<&Path>, bytes: u64) -> Result<TempDir> {
    // A quarter stays free: what is full is slow, and memory is needed for more.
    let needed = bytes + bytes / 4;
    let in_memory = Path::new("/dev/shm");
    let base = match wanted {
        Some(directory) => directory.to_owned(),
        None if room(in_memory).is_ok_and(|free| free >= needed.max(ROOM_IN_MEMORY)) => in_memory.to_owned(),
        None => std::env::temp_dir(),
    };
    if let Ok(free) = room(&base)
        && free < needed
    {
        let (free, needed) = (ByteSize(free), ByteSize(needed));
        let message = format!(
            "'{}' has room for {free} and the workload takes {needed}",
            base.display()
        );
        return Err(Error::new(ErrorKind::Source, message)
            .with_hint("name a directory with more room with --work-dir DIR, or use a smaller workload"));
    }
    sweep(&base);
    tempfile::Builder::new()
        .prefix(&format!("{SCRATCH}{}-", std::process::id()))
        .tempdir_in(&base)
        .map_err(|error| {
            cannot(
                &format!("no directory can be made in '{}'", base.display()),
                error,
            )
        })
}

/// Removes what runs that were killed left in `base`.
fn sweep(base: &Path) {
    let Ok(entries) = std::fs::read_dir(base) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let of = name.to_str().and_then(|name| name.strip_prefix(SCRATCH));
        let pid = of.and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if let Some(pid) = pid
            && !Path::new("/proc").join(pid.to_string()).exists()
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn is_in_memory(directory: &Path) -> bool {
    /// `TMPFS_MAGIC` of the kernel's `magic.h`.
    const TMPFS: i128 = 0x0102_1994;
    rustix::fs::statfs(directory).is_ok_and(|stat| i128::from(stat.f_type) == TMPFS)
}

impl Server {
    /// Starts what is to be started, and sees to it that the bucket is there.
    ///
    /// # Errors
    /// It does not start, does not answer, or does not let us.
    pub(super) fn start(
        choice: &ServerChoice,
        plan: &Plan,
        faults: Option<FaultPlan>,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let mut server = match choice {
            ServerChoice::Endpoint(settings) => Self::given(settings),
            ServerChoice::Minio { program: minio } => Self::minio(plan, minio, cancel)?,
            ServerChoice::Embedded => Self::embedded(plan, faults, cancel)?,
        };
        let named = server.make_bucket(&plan.bucket, cancel)?;
        server.info.software = match choice {
            ServerChoice::Endpoint(_) => named,
            ServerChoice::Minio { program } => version_of(program).unwrap_or(named),
            ServerChoice::Embedded => concat!("s3haul ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        server.info.cpu_is_known = server.pid.is_some();
        Ok(server)
    }

    fn given(settings: &StoreSettings) -> Self {
        let endpoint = settings.endpoint_url.clone().unwrap_or_default();
        let address = plain_address(&endpoint);
        let local = address.filter(|address| address.ip().is_loopback());
        Self {
            info: ServerInfo {
                kind: "endpoint".to_owned(),
                endpoint,
                data_on: "unknown".to_owned(),
                ..ServerInfo::default()
            },
            settings: settings.clone(),
            address,
            pid: local.and_then(|address| listener_on(address.port())),
            helper: None,
            data: None,
        }
    }

    fn embedded(plan: &Plan, faults: Option<FaultPlan>, cancel: &CancellationToken) -> Result<Self> {
        let data = scratch(plan.work_dir.as_deref(), plan.server_room())?;
        let (access_key, secret_key) = ("s3haul".to_owned(), secret());
        let role = Role::Embedded {
            data: data.path().join("data"),
            access_key: access_key.clone(),
            secret_key: secret_key.clone(),
            faults,
        };
        let mut helper = Helper::start(&plan.program, &role)?;
        let serving: Serving = helper.receive(START_LIMIT, cancel)?;
        let pid = helper.pid();
        Self::own(
            "embedded",
            &serving.address,
            (access_key, secret_key),
            pid,
            (helper, data),
        )
    }

    fn minio(plan: &Plan, minio: &Path, cancel: &CancellationToken) -> Result<Self> {
        let data = scratch(plan.work_dir.as_deref(), plan.server_room())?;
        let (access_key, secret_key) = ("s3haulbench".to_owned(), secret());
        let port = free_port()?;
        let address = format!("127.0.0.1:{port}");
        let environment = BTreeMap::from(
            [
                ("MINIO_ROOT_USER", access_key.as_str()),
                ("MINIO_ROOT_PASSWORD", secret_key.as_str()),
                ("MINIO_BROWSER", "off"),
                ("MINIO_UPDATE", "off"),
                // What it does by itself between requests disturbs what is measured.
                ("MINIO_SCANNER_SPEED", "slowest"),
                // Its own limit follows from the machine's memory; ours are far below this one.
                ("MINIO_API_REQUESTS_MAX", "4096"),
                ("MINIO_CI_CD", "on"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let directory = data.path().join("data").display().to_string();
        let role = Role::Program {
            program: minio.to_owned(),
            arguments: ["server", "--quiet", "--address", &address, &directory]
                .map(str::to_owned)
                .to_vec(),
            environment,
            log: data.path().join("minio.log"),
        };
        let mut helper = Helper::start(&plan.program, &role)?;
        let Pid { pid } = helper.receive(START_LIMIT, cancel)?;
        Self::own("minio", &address, (access_key, secret_key), pid, (helper, data))
    }

    fn own(
        kind: &str,
        address: &str,
        (access_key, secret_key): (String, String),
        pid: u32,
        (helper, data): (Helper, TempDir),
    ) -> Result<Self> {
        let endpoint = format!("http://{address}");
        let data_on = if is_in_memory(data.path()) {
            "memory"
        } else {
            "disk"
        };
        Ok(Self {
            info: ServerInfo {
                kind: kind.to_owned(),
                endpoint: endpoint.clone(),
                data_on: data_on.to_owned(),
                ..ServerInfo::default()
            },
            settings: StoreSettings {
                endpoint_url: Some(endpoint),
                region: Some("us-east-1".to_owned()),
                credentials: Some(FixedCredentials {
                    access_key,
                    secret_key: Secret::new(secret_key),
                }),
                ..StoreSettings::default()
            },
            address: Some(address.parse().map_err(|error| {
                cannot(
                    "a server said where it is, but not so that it is understood",
                    error,
                )
            })?),
            pid: Some(pid),
            helper: Some(helper),
            data: Some(data),
        })
    }

    /// True when it is ours: its data go with it, and nobody else uses it.
    pub(super) fn is_own(&self) -> bool {
        self.helper.is_some()
    }

    /// True when its CPU time is known, or is none of this machine's.
    pub(super) fn is_accounted_for(&self) -> bool {
        let is_here = self.address.is_none_or(|address| address.ip().is_loopback());
        self.pid.is_some() || !is_here
    }

    /// Free bytes and all bytes where its data are; none where nobody knows.
    pub(super) fn share_of_disk_in_use(&self) -> Option<f64> {
        let stat = rustix::fs::statvfs(self.data.as_ref()?.path()).ok()?;
        Some(1.0 - stat.f_bavail as f64 / stat.f_blocks.max(1) as f64)
    }

    /// Settings for requests to it, not through a relay.
    pub(super) fn config(&self) -> Config {
        Config {
            store: self.settings.clone(),
            ..Config::default()
        }
    }

    /// Makes the bucket unless it is there, waiting for a server of our own to come up. Returns what the server calls
    /// itself.
    fn make_bucket(&self, bucket: &str, cancel: &CancellationToken) -> Result<String> {
        let deadline = Instant::now() + START_LIMIT;
        let (host, connector, store) = connect(&self.config(), bucket)?;
        loop {
            if let (true, Some(address)) = (self.is_own(), self.address)
                && TcpStream::connect(address).is_err()
                && Instant::now() < deadline
            {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            let there = host.runtime.block_on(async {
                match store.head_bucket().await {
                    Ok(()) => Ok(()),
                    Err(error)
                        if self.is_own() || error.kind == crate::store::StoreErrorKind::NoSuchBucket =>
                    {
                        store.create_bucket().await
                    }
                    Err(error) => Err(error),
                }
            });
            match there {
                Ok(()) => return Ok(format!("{:?}", connector.server()).to_lowercase()),
                // MinIO accepts connections some time before it can serve.
                Err(_) if self.is_own() && Instant::now() < deadline && !cancel.is_cancelled() => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(error) => return Err(explain(&error, bucket, &connector)),
            }
        }
    }
}

/// Where a server that speaks plain HTTP listens: the first of its addresses that answers; none when it speaks TLS, or
/// nobody answers.
fn plain_address(endpoint: &str) -> Option<SocketAddr> {
    let uri: http::Uri = endpoint.parse().ok()?;
    if uri.scheme_str() != Some("http") {
        return None;
    }
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    let addresses = (host, uri.port_u16().unwrap_or(80)).to_socket_addrs().ok()?;
    let answers = |address: &SocketAddr| TcpStream::connect_timeout(address, ANSWER_LIMIT).is_ok();
    addresses.into_iter().find(answers)
}

/// The first line that a program says of its version.
fn version_of(program: &Path) -> Option<String> {
    let said = std::process::Command::new(program)
        .arg("--version")
        .output()
        .ok()?;
    let line = String::from_utf8_lossy(&said.stdout)
        .lines()
        .next()?
        .trim()
        .to_owned();
    (!line.is_empty()).then_some(line)
}

fn secret() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(32).collect()
}

/// A port that nobody uses now.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    Ok(listener
        .map_err(|error| cannot("no free port was found", error))?
        .port())
}

/// Two of a hundred requests that store something are answered 503.
pub(super) fn some_errors() -> FaultPlan {
    FaultPlan {
        rules: vec![FaultRule {
            operation: Some("PutObject".to_owned()),
            key_contains: None,
            skip: 0,
            times: None,
            every: Some(50),
            action: FaultAction::SlowDown,
        }],
    }
}
