//! Faults of processes: servers that die and come back, signals, killed children, files that change.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use s3haul::server::{FaultAction, FaultPlan, FaultRule};

use crate::env::{Oracle, Ran, Server, Tree, binary, bucket, digests, embedded_only, random};

const MIB: usize = 1024 * 1024;

fn delay(operation: &str, milliseconds: u64) -> FaultPlan {
    let action = FaultAction::Delay { milliseconds };
    let rule = FaultRule {
        operation: Some(operation.into()),
        key_contains: None,
        skip: 0,
        times: None,
        every: None,
        action,
    };
    FaultPlan { rules: vec![rule] }
}

fn spawn(command: &mut Command) -> Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs")
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, signal).expect("the process is there");
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn puts(server: &Server) -> u64 {
    server
        .handle()
        .counters()
        .requests
        .get("PutObject")
        .copied()
        .unwrap_or(0)
}

#[test]
fn an_interrupt_stops_the_run_aborts_uploads_and_says_130() {
    for (strategy, wanted, code) in [
        ("async", Signal::INT, 130),
        ("threads", Signal::TERM, 143),
        ("processes", Signal::INT, 130),
        ("hybrid", Signal::TERM, 143),
        ("chunked", Signal::INT, 130),
    ] {
        let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("int"));
        tree.file("large", random(40 * MIB));
        tree.many(50, 100);
        server.oracle(&bucket).make_bucket();
        server.handle().set_fault_plan(delay("UploadPart", 300));
        let sizes = [
            "cp",
            "--output",
            "json",
            "--part-size",
            "5MiB",
            "--multipart-threshold",
            "5MiB",
            "--concurrency",
            "3",
        ];
        let mut command = server.s3haul();
        command
            .args(sizes)
            .args(["--strategy", strategy])
            .arg(tree.path())
            .arg(format!("s3://{bucket}/"));
        let child = spawn(&mut command);
        let begun = || {
            server
                .handle()
                .counters()
                .requests
                .get("UploadPart")
                .copied()
                .unwrap_or(0)
                > 0
        };
        wait_until("a part", begun);
        let started = Instant::now();
        signal(&child, wanted);
        let ran: Ran = child.wait_with_output().expect("ends").into();
        assert!(
            started.elapsed() < Duration::from_secs(8),
            "{strategy}: {:?}",
            started.elapsed()
        );
        assert_eq!(ran.code, code, "{strategy}: {}", ran.stderr);
        let totals = ran.summary()["totals"].clone();
        let sum: u64 = ["done", "skipped", "failed", "cancelled"]
            .iter()
            .map(|name| totals[name].as_u64().unwrap())
            .sum();
        assert_eq!(totals["discovered"].as_u64(), Some(sum), "{strategy}: {totals}");
        wait_until("the abort", || {
            server.handle().open_uploads().expect("listing").is_empty()
        });
    }
}

#[test]
fn a_second_interrupt_ends_at_once() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("int2"));
    tree.file("large", random(12 * MIB));
    server.oracle(&bucket).make_bucket();
    // The abort never comes back, so the orderly stop would take its time.
    let mut plan = delay("UploadPart", 500);
    plan.rules.extend(delay("AbortMultipartUpload", 60_000).rules);
    server.handle().set_fault_plan(plan);
    let mut command = server.s3haul();
    let sizes = ["cp", "--part-size", "5MiB", "--multipart-threshold", "5MiB"];
    let child = spawn(
        command
            .args(sizes)
            .arg(tree.path())
            .arg(format!("s3://{bucket}/")),
    );
    wait_until("a part", || {
        server.handle().counters().requests.contains_key("UploadPart")
    });
    signal(&child, Signal::INT);
    wait_until("the abort", || {
        server
            .handle()
            .counters()
            .requests
            .contains_key("AbortMultipartUpload")
    });
    signal(&child, Signal::INT);
    let started = Instant::now();
    let ran: Ran = child.wait_with_output().expect("ends").into();
    assert_eq!(ran.code, 130);
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn an_endless_stream_can_be_interrupted() {
    let (server, bucket) = (Server::embedded(), bucket("endless"));
    server.oracle(&bucket).make_bucket();
    let mut command = server.s3haul();
    command
        .args(["cp", "--part-size", "5MiB", "-", &format!("s3://{bucket}/k")])
        .stdin(Stdio::piped());
    let mut child = spawn(&mut command);
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(&random(6 * MIB)).expect("takes input");
    wait_until("a part", || {
        server.handle().counters().requests.contains_key("UploadPart")
    });
    signal(&child, Signal::INT);
    let ran: Ran = child.wait_with_output().expect("ends").into();
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    wait_until("the abort", || {
        server.handle().open_uploads().expect("listing").is_empty()
    });
}

#[test]
fn a_killed_child_fails_its_file_and_the_others_go_on() {
    for strategy in ["processes", "hybrid"] {
        let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("kill"));
        tree.many(120, 100);
        server.oracle(&bucket).make_bucket();
        server.handle().set_fault_plan(delay("PutObject", 40));
        let mut command = server.s3haul();
        command.args([
            "cp",
            "--output",
            "json",
            "--strategy",
            strategy,
            "--concurrency",
            "4",
        ]);
        let child = spawn(command.arg(tree.path()).arg(format!("s3://{bucket}/")));
        wait_until("some files", || puts(&server) > 10);
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
        .args(["--part-size", "5MiB", "--multipart-threshold", "5MiB"])
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

#[test]
fn a_file_that_changes_never_becomes_a_torn_object() {
    for (size, limit) in [(2 * MIB, "16MiB"), (12 * MIB, "5MiB")] {
        let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("torn"));
        let path = tree.file("busy", vec![b'a'; size]);
        tree.file("calm", "calm");
        server.oracle(&bucket).make_bucket();
        server.handle().set_fault_plan(delay("UploadPart", 150));
        let stop = AtomicBool::new(false);
        let ran = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut letter = b'a';
                while !stop.load(Ordering::Relaxed) {
                    letter = if letter == b'z' { b'a' } else { letter + 1 };
                    // In place, same size: only the times of the file tell.
                    let mut file = fs::OpenOptions::new().write(true).open(&path).expect("open");
                    file.write_all(&vec![letter; size]).expect("write");
                }
            });
            let sizes = [
                "cp",
                "--output",
                "json",
                "--part-size",
                "5MiB",
                "--multipart-threshold",
                limit,
            ];
            let ran = crate::env::run(
                server
                    .s3haul()
                    .args(sizes)
                    .arg(tree.path())
                    .arg(format!("s3://{bucket}/")),
            );
            stop.store(true, Ordering::Relaxed);
            ran
        });
        let oracle = server.oracle(&bucket);
        if ran.code == 3 {
            let error = &ran.events("error")[0];
            assert_eq!(error["failure"]["kind"], "changed", "{error}");
            assert!(!oracle.exists("busy"), "nothing torn is left under the key");
        } else {
            let content = oracle.read("busy");
            assert!(
                content.iter().all(|byte| *byte == content[0]),
                "a torn object is in the bucket"
            );
        }
        assert!(oracle.exists("calm"));
        assert!(server.handle().open_uploads().expect("listing").is_empty());
    }
}

#[test]
fn a_file_that_settles_is_uploaded_on_a_later_try() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("settle"));
    let path = tree.file("log", vec![b'a'; 12 * MIB]);
    server.oracle(&bucket).make_bucket();
    server.handle().set_fault_plan(delay("UploadPart", 200));
    let sizes = [
        "cp",
        "--output",
        "json",
        "--part-size",
        "5MiB",
        "--multipart-threshold",
        "5MiB",
    ];
    let mut command = server.s3haul();
    let child = spawn(
        command
            .args(sizes)
            .arg(tree.path())
            .arg(format!("s3://{bucket}/")),
    );
    wait_until("a part", || {
        server.handle().counters().requests.contains_key("UploadPart")
    });
    let mut file = fs::OpenOptions::new().append(true).open(&path).expect("open");
    file.write_all(&vec![b'b'; MIB]).expect("append");
    let ran = Ran::from(child.wait_with_output().expect("ends")).expect_code(0);
    assert!(ran.events("file")[0]["attempts"].as_u64().unwrap() > 1);
    assert_eq!(server.oracle(&bucket).digests(""), digests(tree.path()));
    assert!(server.handle().open_uploads().expect("listing").is_empty());
}
