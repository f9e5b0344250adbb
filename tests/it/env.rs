//! What tests share: servers under test, the binary, trees on disk, and an oracle that is not s3haul's code.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use s3haul::config::Engine;
use s3haul::server::{EmbeddedServer, ServerConfig, ServerHandle};
use sha2::{Digest as _, Sha256};

/// The servers that a suite runs against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Embedded,
    Minio,
}

/// A server under test.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    pub(crate) embedded: Option<ServerHandle>,
    _data: Option<tempfile::TempDir>,
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Server {
    pub(crate) fn start(kind: Kind) -> Self {
        match kind {
            Kind::Embedded => Self::embedded(),
            Kind::Minio => Self::minio(),
        }
    }

    pub(crate) fn embedded() -> Self {
        let data = tempfile::tempdir().expect("temporary directory");
        let config = ServerConfig {
            data_directory: data.path().to_owned(),
            port: 0,
            access_key: "test".into(),
            secret_key: "test-secret".into(),
        };
        let handle = EmbeddedServer::start(config).expect("the embedded server starts");
        Self {
            url: handle.endpoint_url(),
            access_key: "test".into(),
            secret_key: "test-secret".into(),
            embedded: Some(handle),
            _data: Some(data),
        }
    }

    /// The MinIO that `tests/run` started. Its absence is a failure, never a silent pass.
    pub(crate) fn minio() -> Self {
        let url = variable("S3HAUL_TEST_ENDPOINT")
            .expect("no MinIO to test against: run tests/run, or set S3HAUL_TEST_ENDPOINT, or S3HAUL_TEST_EMBEDDED_ONLY=1");
        Self {
            url,
            access_key: variable("S3HAUL_TEST_ACCESS_KEY").unwrap_or_else(|| "minioadmin".into()),
            secret_key: variable("S3HAUL_TEST_SECRET_KEY").unwrap_or_else(|| "minioadmin".into()),
            embedded: None,
            _data: None,
        }
    }

    pub(crate) fn handle(&self) -> &ServerHandle {
        self.embedded.as_ref().expect("only the embedded server counts")
    }

    pub(crate) fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    pub(crate) fn oracle(&self, bucket: &str) -> Oracle {
        Oracle::new(&self.url, &self.access_key, &self.secret_key, bucket)
    }

    /// The binary with this server's credentials and nobody else's settings.
    pub(crate) fn s3haul(&self) -> Command {
        let mut command = binary();
        command
            .env("AWS_ACCESS_KEY_ID", &self.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &self.secret_key)
            .env("S3HAUL_ENDPOINT_URL", &self.url);
        command
    }
}

/// True when the run was told that there is no MinIO, which it says loudly itself.
pub(crate) fn embedded_only() -> bool {
    variable("S3HAUL_TEST_EMBEDDED_ONLY").is_some()
}

/// Makes one test for each server under test from a function that takes a [`Kind`].
#[macro_export]
macro_rules! on_both_servers {
    ($($name:ident),+ $(,)?) => {
        mod on_embedded {
            $(#[test] fn $name() { super::$name($crate::env::Kind::Embedded); })+
        }
        mod on_minio {
            $(#[test] fn $name() {
                if !$crate::env::embedded_only() { super::$name($crate::env::Kind::Minio); }
            })+
        }
    };
}

/// Makes one test for each engine from a function that takes an [`Engine`].
#[macro_export]
macro_rules! with_both_engines {
    ($($name:ident),+ $(,)?) => {
        mod with_direct {
            $(#[test] fn $name() { super::$name(s3haul::config::Engine::Direct); })+
        }
        mod with_sdk {
            $(#[test] fn $name() { super::$name(s3haul::config::Engine::Sdk); })+
        }
    };
}

/// Makes one test for each server and each engine from a function that takes a [`Kind`] and an [`Engine`].
#[macro_export]
macro_rules! on_both_servers_with_both_engines {
    ($($name:ident),+ $(,)?) => {
        mod on_embedded {
            mod each {
                $(pub(super) fn $name(engine: s3haul::config::Engine) {
                    super::super::$name($crate::env::Kind::Embedded, engine);
                })+
            }
            use each::*;
            $crate::with_both_engines!($($name),+);
        }
        mod on_minio {
            mod each {
                $(pub(super) fn $name(engine: s3haul::config::Engine) {
                    if !$crate::env::embedded_only() {
                        super::super::$name($crate::env::Kind::Minio, engine);
                    }
                })+
            }
            use each::*;
            $crate::with_both_engines!($($name),+);
        }
    };
}

/// The engine as `--engine` takes it.
pub(crate) fn engine_name(engine: Engine) -> &'static str {
    match engine {
        Engine::Auto => "auto",
        Engine::Direct => "direct",
        Engine::Sdk => "sdk",
        Engine::Null => unreachable!("no test of the store runs without one"),
    }
}

/// The binary in an environment of its own.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_s3haul"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("AWS_")
            || text.starts_with("S3HAUL_")
            || text == "S3_ENDPOINT_URL"
            || text == "NO_COLOR"
        {
            command.env_remove(&name);
        }
    }
    command
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .stdin(Stdio::null());
    command
}

static BUCKETS: AtomicUsize = AtomicUsize::new(0);

/// A bucket name that no other test uses.
pub(crate) fn bucket(topic: &str) -> String {
    let number = BUCKETS.fetch_add(1, Ordering::Relaxed);
    let random = fastrand::u32(..);
    format!("t-{topic}-{number}-{random:x}")
}

/// What a finished command left.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs to the end.
pub(crate) fn run(command: &mut Command) -> Ran {
    command.output().expect("the binary runs").into()
}

impl Ran {
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }

    /// The events of `--output json` with this name.
    pub(crate) fn events(&self, name: &str) -> Vec<serde_json::Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("each line is JSON"))
            .filter(|event| event["event"] == name)
            .collect()
    }

    pub(crate) fn summary(&self) -> serde_json::Value {
        self.events("summary")
            .pop()
            .unwrap_or_else(|| panic!("no summary; stderr:\n{}", self.stderr))
    }
}

/// A tree of files to upload.
pub(crate) struct Tree {
    directory: tempfile::TempDir,
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("temporary directory"),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file and returns its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("below the tree")).expect("directories");
        fs::write(&path, content).expect("file");
        path
    }

    /// `count` files of `bytes` random bytes each, in a few directories.
    pub(crate) fn many(&self, count: usize, bytes: usize) {
        for number in 0..count {
            self.file(&format!("d{}/f{number:05}", number % 7), random(bytes));
        }
    }
}

/// Bytes that do not compress or repeat.
pub(crate) fn random(bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    fastrand::fill(&mut content);
    content
}

/// SHA-256 of every file below `root` by relative name, as `sha256sum` would see it.
pub(crate) fn digests(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("readable") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path
                    .strip_prefix(root)
                    .expect("below the root")
                    .to_string_lossy()
                    .into_owned();
                found.insert(name, sha256(&fs::read(&path).expect("readable")));
            }
        }
    }
    found
}

pub(crate) fn sha256(content: &[u8]) -> String {
    Sha256::digest(content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Looks into a bucket with the SDK directly: none of s3haul's code has a part in it.
pub(crate) struct Oracle {
    runtime: tokio::runtime::Runtime,
    pub(crate) client: Client,
    pub(crate) bucket: String,
}

impl Oracle {
    pub(crate) fn new(url: &str, access_key: &str, secret_key: &str, bucket: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .endpoint_url(url)
            .force_path_style(true)
            // Not the program's own: the oracle shares nothing with it but the SDK.
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .credentials_provider(Credentials::new(access_key, secret_key, None, None, "oracle"))
            .build();
        let client = runtime.block_on(async { Client::from_conf(config) });
        Self {
            runtime,
            client,
            bucket: bucket.to_owned(),
        }
    }

    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    pub(crate) fn make_bucket(&self) -> &Self {
        self.block_on(self.client.create_bucket().bucket(&self.bucket).send())
            .expect("bucket");
        self
    }

    /// All keys below `prefix`.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        let mut keys = Vec::new();
        self.block_on(async {
            let mut pages = self
                .client
                .list_objects_v2()
                .bucket(&self.bucket)
                .prefix(prefix)
                .into_paginator()
                .send();
            while let Some(page) = pages.next().await {
                keys.extend(
                    page.expect("listing")
                        .contents()
                        .iter()
                        .map(|object| object.key().expect("key").to_owned()),
                );
            }
        });
        keys
    }

    pub(crate) fn read(&self, key: &str) -> Vec<u8> {
        self.block_on(async {
            let output = self
                .client
                .get_object()
                .bucket(&self.bucket)
                .key(key)
                .send()
                .await
                .expect("object");
            output.body.collect().await.expect("body").to_vec()
        })
    }

    pub(crate) fn exists(&self, key: &str) -> bool {
        self.block_on(self.client.head_object().bucket(&self.bucket).key(key).send())
            .is_ok()
    }

    pub(crate) fn head(&self, key: &str) -> aws_sdk_s3::operation::head_object::HeadObjectOutput {
        let mode = aws_sdk_s3::types::ChecksumMode::Enabled;
        self.block_on(
            self.client
                .head_object()
                .bucket(&self.bucket)
                .key(key)
                .checksum_mode(mode)
                .send(),
        )
        .expect("head")
    }

    /// SHA-256 of every object below `prefix`, by key without the prefix.
    pub(crate) fn digests(&self, prefix: &str) -> BTreeMap<String, String> {
        let keys = self.keys(prefix);
        keys.iter()
            .map(|key| (key[prefix.len()..].to_owned(), sha256(&self.read(key))))
            .collect()
    }

    /// Open multipart uploads of one key: MinIO lists them for an exact key only.
    pub(crate) fn open_uploads(&self, key: &str) -> usize {
        let listing = self
            .client
            .list_multipart_uploads()
            .bucket(&self.bucket)
            .prefix(key)
            .send();
        self.block_on(listing).expect("uploads").uploads().len()
    }
}
