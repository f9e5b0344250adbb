//! The set-up that most tests share: a server, a tree, a bucket, and `cp` from the one to the other.
//!
//! `env` holds the things themselves; here they stand together, with what is asked of them again and again.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use s3haul::config::{Config, FixedCredentials, Secret};
use s3haul::server::{FaultAction, FaultPlan, FaultRule};

use crate::env::{Kind, Oracle, Ran, Server, Tree, bucket, digests, embedded_only, random, run};

pub(crate) const MIB: usize = 1024 * 1024;

/// The smallest parts that S3 takes: a file of 11 MiB has three of them.
pub(crate) const SMALL_PARTS: [&str; 4] = ["--part-size", "5MiB", "--multipart-threshold", "5MiB"];

/// A server with an empty bucket, and an empty tree to fill.
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) tree: Tree,
    pub(crate) bucket: String,
}

impl Scene {
    pub(crate) fn on(kind: Kind, topic: &str) -> Self {
        let (server, tree, bucket) = (Server::start(kind), Tree::new(), bucket(topic));
        server.oracle(&bucket).make_bucket();
        Self { server, tree, bucket }
    }

    /// On MinIO; none where only the embedded server was asked for.
    pub(crate) fn on_minio(topic: &str) -> Option<Self> {
        (!embedded_only()).then(|| Self::on(Kind::Minio, topic))
    }

    pub(crate) fn new(topic: &str) -> Self {
        Self::on(Kind::Embedded, topic)
    }

    /// A filled tree, before a server with these faults.
    pub(crate) fn with_faults(rules: Vec<FaultRule>) -> Self {
        let scene = Self::new("fault");
        scene.fill();
        scene.set_faults(rules);
        scene.server.handle().reset_counters();
        scene
    }

    /// Three small files and one of three parts.
    pub(crate) fn fill(&self) {
        for name in ["a", "b", "c"] {
            self.tree.file(name, random(2_000));
        }
        self.tree.file("large", random(11 * MIB));
    }

    pub(crate) fn set_faults(&self, rules: Vec<FaultRule>) {
        self.server.handle().set_fault_plan(FaultPlan { rules });
    }

    pub(crate) fn oracle(&self) -> Oracle {
        self.server.oracle(&self.bucket)
    }

    pub(crate) fn target(&self, prefix: &str) -> String {
        format!("s3://{}/{prefix}", self.bucket)
    }

    /// `cp` of the whole tree to below `prefix`, yet to be run.
    pub(crate) fn cp(&self, prefix: &str, flags: &[&str]) -> Command {
        let mut command = self.server.s3haul();
        command
            .args(["cp", "--output", "json"])
            .args(flags)
            .arg(self.tree.path())
            .arg(self.target(prefix));
        command
    }

    pub(crate) fn cp_in_small_parts(&self, flags: &[&str]) -> Command {
        self.cp("", &[&SMALL_PARTS, flags].concat())
    }

    /// Uploads the whole tree in small parts.
    pub(crate) fn upload(&self, flags: &[&str]) -> Ran {
        run(&mut self.cp_in_small_parts(flags))
    }

    /// How many requests of this kind the server has counted.
    pub(crate) fn requests(&self, operation: &str) -> u64 {
        self.server
            .handle()
            .counters()
            .requests
            .get(operation)
            .copied()
            .unwrap_or(0)
    }

    pub(crate) fn wait_for_request(&self, operation: &str) {
        wait_until(operation, || self.requests(operation) > 0);
    }

    /// For a run that may end before the server has worked off its aborts.
    pub(crate) fn wait_until_nothing_is_open(&self) {
        wait_until("the abort", || {
            self.server.handle().open_uploads().expect("listing").is_empty()
        });
    }

    /// Everything arrived, nothing is left open.
    pub(crate) fn assert_whole(&self) {
        self.set_faults(Vec::new());
        assert_eq!(self.oracle().digests(""), digests(self.tree.path()));
        self.assert_nothing_open();
    }

    pub(crate) fn assert_nothing_open(&self) {
        let open = self.server.handle().open_uploads().expect("listing");
        assert!(open.is_empty(), "{open:?}");
    }
}

pub(crate) fn rule(operation: &str, times: Option<u64>, action: FaultAction) -> FaultRule {
    FaultRule {
        operation: Some(operation.into()),
        key_contains: None,
        skip: 0,
        times,
        every: None,
        action,
    }
}

pub(crate) fn delay(operation: &str, milliseconds: u64) -> FaultRule {
    rule(operation, None, FaultAction::Delay { milliseconds })
}

/// The settings for a test that calls the library and not the binary.
pub(crate) fn config(server: &Server) -> Config {
    let mut config = Config::default();
    config.store.endpoint_url = Some(server.url.clone());
    config.store.credentials = Some(FixedCredentials {
        access_key: server.access_key.clone(),
        secret_key: Secret::new(server.secret_key.clone()),
    });
    config
}

/// Starts a command whose output is read later.
pub(crate) fn spawn(command: &mut Command) -> Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs")
}

pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}
