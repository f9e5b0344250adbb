//! Faults of processes: worker processes that are killed, and servers that die and come back.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::env::{Oracle, Ran, Tree, binary, digests, embedded_only, random};
use crate::scene::{MIB, SMALL_PARTS, Scene, delay, spawn, wait_until};

#[test]
fn a_killed_child_fails_its_file_and_the_others_go_on() {
    for strategy in ["processes", "hybrid"] {
        let scene = Scene::new("kill");
        scene.tree.many(120, 100);
        scene.set_faults(vec![delay("PutObject", 40)]);
        let flags = ["--strategy", strategy, "--concurrency", "4"];
        let child = spawn(&mut scene.cp("", &flags));
        wait_until("some files", || scene.requests("PutObject") > 10);
        let victim = children_of(child.id())
            .into_iter()
            .next()
            .expect("worker processes");
        kill_process(Pid::from_raw(victim).expect("a pid"), Signal::KILL).expect("kills");
        let ran: Ran = child.wait_with_output().expect("ends").into();
        assert_eq!(ran.code, 3, "{strategy}: {}", ran.stderr);
        let summary = ran.summary();
        let (done, failed) = (
            summary["totals"]["done"].as_u64().unwrap(),
            summary["totals"]["failed"].as_u64().unwrap(),
        );
        assert_eq!(done + failed, 120, "{strategy}: every file has its record");
        assert!((1..=4).contains(&failed), "{strategy}: {failed} failed");
        assert!(
            ran.events("error")
                .iter()
                .all(|error| error["failure"]["kind"] == "worker-lost")
        );
    }
}

/// Processes whose parent is `pid`, from `/proc`.
fn children_of(pid: u32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|child| child.parse().ok())
        .collect()
}

/// A MinIO of the test's own, to be killed and started again on the same port.
struct OwnMinio {
    process: Child,
    port: u16,
    data: tempfile::TempDir,
}

impl OwnMinio {
    fn start() -> Self {
        let data = tempfile::tempdir().expect("temporary directory");
        let port = TcpListener::bind("127.0.0.1:0")
            .expect("a port")
            .local_addr()
            .expect("bound")
            .port();
        let mut minio = Self {
            process: Self::spawn(data.path(), port),
            port,
            data,
        };
        minio.wait();
        minio
    }

    fn spawn(data: &Path, port: u16) -> Child {
        let program = std::env::var("S3HAUL_TEST_MINIO_BIN").expect("tests/run names the MinIO binary");
        Command::new(program)
            .args(["server", "--quiet", "--address", &format!("127.0.0.1:{port}")])
            .arg(data)
            .env("MINIO_ROOT_USER", "test-user")
            .env("MINIO_ROOT_PASSWORD", "test-secret")
            .env("MINIO_BROWSER", "off")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("minio starts")
    }

    fn wait(&mut self) {
        let port = self.port;
        wait_until("minio", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        let oracle = self.oracle("any");
        wait_until("minio's service", || {
            oracle.block_on(oracle.client.list_buckets().send()).is_ok()
        });
    }

    fn kill(&mut self) {
        self.process.kill().expect("ours to kill");
        self.process.wait().expect("reaped");
    }

    fn restart(&mut self) {
        self.process = Self::spawn(self.data.path(), self.port);
    }

    fn oracle(&self, bucket: &str) -> Oracle {
        Oracle::new(
            &format!("http://127.0.0.1:{}", self.port),
            "test-user",
            "test-secret",
            bucket,
        )
    }
}

impl Drop for OwnMinio {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_server_that_is_killed_and_comes_back_costs_nothing_but_time() {
    if embedded_only() || std::env::var_os("S3HAUL_TEST_MINIO_BIN").is_none() {
        assert!(
            embedded_only() || std::env::var_os("S3HAUL_TEST_ENDPOINT").is_some(),
            "run tests/run"
        );
        return;
    }
    let seconds = if std::env::var_os("S3HAUL_TEST_LONG").is_some() {
        60
    } else {
        8
    };
    let tree = Tree::new();
    tree.many(600, 2_000);
    tree.file("large", random(60 * MIB));
    let mut minio = OwnMinio::start();
    let oracle = minio.oracle("restart");
    oracle.make_bucket();
    let mut command = binary();
    command
        .env("AWS_ACCESS_KEY_ID", "test-user")
        .env("AWS_SECRET_ACCESS_KEY", "test-secret")
        .args([
            "cp",
            "--output",
            "json",
            "--bwlimit",
            "30MiB/s",
            "--concurrency",
            "8",
        ])
        .args(SMALL_PARTS)
        .args(["--endpoint-url", &format!("http://127.0.0.1:{}", minio.port)])
        .arg(tree.path())
        .arg("s3://restart/");
    let mut child = spawn(&mut command);
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut seen = String::new();
    for line in lines.by_ref().take(20) {
        seen.push_str(&line.expect("text"));
        seen.push('\n');
    }
    minio.kill();
    std::thread::sleep(Duration::from_secs(seconds));
    minio.restart();
    for line in lines {
        seen.push_str(&line.expect("text"));
        seen.push('\n');
    }
    let output = child.wait_with_output().expect("ends");
    let ran = Ran {
        stdout: seen,
        ..output.into()
    };
    let ran = ran.expect_code(0);
    assert_eq!(ran.summary()["totals"]["done"], 601);
    assert!(
        ran.summary()["totals"]["retries"].as_u64().unwrap() > 0,
        "the outage was noticed"
    );
    assert_eq!(oracle.digests(""), digests(tree.path()));
    assert_eq!(oracle.open_uploads("large"), 0);
}
