//! `doctor`: what it says of good servers and of bad ones, that it leaves nothing behind, and that runs follow it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use s3haul::server::{FaultAction, FaultRule};
use serde_json::{Value, json};

use crate::env::{Kind, Ran, Tree, binary, random, run};
use crate::odd_server::{OddServer, Oddity};
use crate::on_both_servers;
use crate::renamed::Renamed;
use crate::scene::{Scene, delay, rule, spawn};

on_both_servers!(a_good_server_does_everything_and_has_nothing_of_it_afterwards);

/// `doctor` for `target`, yet to be run.
fn doctor(mut command: Command, target: &str, state: &Path) -> Command {
    command
        .args(["doctor", "--output", "json", target, "--state-dir"])
        .arg(state);
    command
}

fn doctor_of(scene: &Scene, state: &Path) -> Command {
    doctor(scene.server.s3haul(), &scene.target("jobs/"), state)
}

/// The verdict on one thing.
#[track_caller]
fn verdict(ran: &Ran, name: &str) -> String {
    check(ran, name)["verdict"].as_str().unwrap().to_owned()
}

#[track_caller]
fn check(ran: &Ran, name: &str) -> Value {
    let checks = ran.events("check");
    let found = checks.iter().find(|check| check["name"] == name);
    found
        .unwrap_or_else(|| panic!("no {name}: {}", ran.stdout))
        .clone()
}

fn examination(ran: &Ran) -> Value {
    ran.events("examination").pop().expect("the end of it")
}

/// The only profile that is kept.
#[track_caller]
fn profile(state: &Path) -> Value {
    let files: Vec<_> = fs::read_dir(state.join("servers")).expect("profiles").collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let path = files[0].as_ref().unwrap().path();
    serde_json::from_str(&fs::read_to_string(path).unwrap()).expect("JSON")
}

#[track_caller]
fn assert_nothing_is_left(scene: &Scene) {
    assert_eq!(scene.oracle().keys(""), [""; 0]);
    if scene.server.is_embedded() {
        scene.assert_nothing_open();
    }
}

fn a_good_server_does_everything_and_has_nothing_of_it_afterwards(kind: Kind) {
    let (scene, state) = (Scene::on(kind, "doctor"), Tree::new());
    let ran = run(&mut doctor_of(&scene, state.path())).expect_code(0);
    let checks = ran.events("check");
    assert!(checks.len() >= 20, "{}", ran.stdout);
    let takes_archives = kind == Kind::Minio;
    for check in &checks {
        let is_good = check["verdict"] == "works";
        assert!(
            is_good || (check["name"] == "tar extraction" && !takes_archives),
            "{check}"
        );
    }
    assert_nothing_is_left(&scene);
    assert_eq!(examination(&ran)["left"], json!([]));
    let profile = profile(state.path());
    assert_eq!(profile["version"], 1);
    assert_eq!(
        profile["verified_checksums"],
        json!(["crc64nvme", "crc32c", "crc32", "sha256"])
    );
    for fact in [
        "honours_conditions",
        "md5_etags",
        "composed_etags",
        "reads_trailers",
    ] {
        assert_eq!(profile[fact], true, "{fact}");
    }
    assert_eq!(profile["extracts_archives"], takes_archives);
    for text in [&ran.stdout, &ran.stderr, &profile.to_string()] {
        assert!(!text.contains(&scene.server.secret_key), "{text}");
    }
    let mut for_people = scene.server.s3haul();
    for_people
        .args(["doctor", &scene.target("jobs/")])
        .env("S3HAUL_STATE_DIR", state.path());
    let ran = run(&mut for_people).expect_code(0);
    assert!(ran.stdout.contains("ok  write "), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("everything that uploads need works"),
        "{}",
        ran.stderr
    );
}

fn odd(server: &OddServer, arguments: &[&str], state: &Path) -> Command {
    let mut command = binary();
    command
        .env("AWS_ACCESS_KEY_ID", "odd")
        .env("AWS_SECRET_ACCESS_KEY", "odd-secret")
        .env("S3HAUL_ENDPOINT_URL", server.url())
        .env("S3HAUL_STATE_DIR", state)
        .args(arguments);
    command
}

#[test]
fn a_server_that_compares_nothing_and_replaces_everything_is_not_relied_on() {
    let (server, state, tree) = (OddServer::start(Oddity::None), Tree::new(), Tree::new());
    let arguments = ["doctor", "--output", "json", "s3://bucket/jobs/"];
    let ran = run(&mut odd(&server, &arguments, state.path())).expect_code(0);
    for name in [
        "checksum crc64nvme",
        "checksum sha256",
        "checksum behind the body",
        "conditional write",
        "tar extraction",
    ] {
        assert_eq!(verdict(&ran, name), "unsupported", "{}", check(&ran, name));
    }
    for name in [
        "write",
        "metadata",
        "read",
        "list",
        "names",
        "multipart",
        "ETag",
        "copy",
        "delete",
        "delete many",
    ] {
        assert_eq!(verdict(&ran, name), "works", "{}", check(&ran, name));
    }
    assert!(server.digests().is_empty(), "{:?}", server.digests());
    assert_eq!(server.open_uploads(), 0);
    let profile = profile(state.path());
    assert_eq!(profile["verified_checksums"], json!([]));
    assert_eq!(profile["honours_conditions"], false);
    assert_eq!(profile["md5_etags"], true);
    let follows = examination(&ran)["follows"].to_string();
    assert!(
        follows.contains("conditional writes are not honoured: s3haul looks"),
        "{follows}"
    );
    assert!(follows.contains("asks for each object afterwards"), "{follows}");
    // What is there is looked for, and what was stored is asked for.
    tree.file("a", "a");
    let before = server.seen().len();
    let cp = [
        "cp",
        "--if-none-match",
        tree.path().to_str().unwrap(),
        "s3://bucket/",
    ];
    run(&mut odd(&server, &cp, state.path())).expect_code(0);
    let heads = |from: usize| {
        let seen = server.seen().split_off(from);
        seen.iter()
            .filter(|seen| seen.method == "HEAD" && !seen.key().is_empty())
            .count()
    };
    assert_eq!(heads(before), 2);
}

#[test]
fn a_server_that_is_not_what_its_name_says_is_told() {
    let (server, state) = (OddServer::named(Oddity::None, "MinIO"), Tree::new());
    let arguments = ["doctor", "--output", "json", "s3://bucket/jobs/"];
    let ran = run(&mut odd(&server, &arguments, state.path())).expect_code(0);
    let follows = examination(&ran)["follows"].to_string();
    assert!(
        follows.contains("conditional writes are not honoured, although the server's name"),
        "{follows}"
    );
    assert!(server.digests().is_empty(), "{:?}", server.digests());
}

/// A server that does everything, and that nobody knows.
struct Stranger {
    scene: Scene,
    way: Renamed,
    state: Tree,
}

impl Stranger {
    fn new() -> Self {
        let scene = Scene::new("stranger");
        let way = Renamed::before(scene.server.handle().address());
        scene.tree.many(12, 1_000);
        Self {
            scene,
            way,
            state: Tree::new(),
        }
    }

    fn s3haul(&self) -> Command {
        let mut command = self.scene.server.s3haul();
        command
            .env("S3HAUL_ENDPOINT_URL", self.way.url())
            .env("S3HAUL_STATE_DIR", self.state.path());
        command
    }

    /// HEADs and PUTs of objects that `cp` of the tree to `prefix` costs.
    fn requests_of_cp(&self, prefix: &str, flags: &[&str]) -> (u64, u64) {
        self.scene.server.handle().reset_counters();
        run(self
            .s3haul()
            .args(["cp", "--output", "json"])
            .args(flags)
            .arg(self.scene.tree.path())
            .arg(self.scene.target(prefix)))
        .expect_code(0);
        assert_eq!(self.scene.oracle().keys(prefix).len(), 12);
        (
            self.scene.requests("HeadObject"),
            self.scene.requests("PutObject"),
        )
    }
}

#[test]
fn runs_follow_the_profile_of_a_server_that_nobody_knows() {
    let stranger = Stranger::new();
    let condition = ["--if-none-match"];
    assert_eq!(stranger.requests_of_cp("1/", &condition), (24, 12));
    let target = stranger.scene.target("jobs/");
    let ran = run(&mut doctor(stranger.s3haul(), &target, stranger.state.path())).expect_code(0);
    assert_eq!(examination(&ran)["server"], "unknown");
    assert_eq!(profile(stranger.state.path())["server"], "nobody-knows-me");
    for (strategy, prefix) in [
        ("async", "2/"),
        ("processes", "3/"),
        ("hybrid", "4/"),
        ("threads", "5/"),
    ] {
        let flags = ["--if-none-match", "--strategy", strategy, "--concurrency", "3"];
        assert_eq!(stranger.requests_of_cp(prefix, &flags), (0, 12), "{strategy}");
    }
    // Checksums of another kind were proven, too; another bucket was not looked at.
    assert_eq!(
        stranger.requests_of_cp("6/", &["--checksum-algorithm", "sha256"]),
        (0, 12)
    );
    // Nobody asks again whether archives are taken apart.
    assert_eq!(stranger.requests_of_cp("7/", &["--batch-small", "auto"]), (0, 12));
    let elsewhere = Tree::new();
    let elsewhere = ["--state-dir", elsewhere.path().to_str().unwrap()];
    assert_eq!(stranger.requests_of_cp("8/", &elsewhere), (12, 12));
    let flags = [&elsewhere[..], &["--batch-small", "auto"]].concat();
    assert_eq!(stranger.requests_of_cp("9/", &flags), (12, 13), "with the probe");
}

#[test]
fn a_profile_that_does_not_count_changes_nothing() {
    let stranger = Stranger::new();
    let target = stranger.scene.target("jobs/");
    run(&mut doctor(stranger.s3haul(), &target, stranger.state.path())).expect_code(0);
    let profiles = stranger.state.path().join("servers");
    let path = fs::read_dir(&profiles).unwrap().next().unwrap().unwrap().path();
    let good = fs::read_to_string(&path).unwrap();
    let old = format!("\"examined\": \"20{}", "20");
    let year = &good[good.find("\"examined\": \"20").unwrap()..][..old.len()];
    for (number, bad) in [
        good.replace("\"version\": 1", "\"version\": 99"),
        good.replace(year, &old),
        good.replace("nobody-knows-me", "somebody-else"),
        good.replace('}', ""),
    ]
    .iter()
    .enumerate()
    {
        assert_ne!(*bad, good);
        fs::write(&path, bad).unwrap();
        assert_eq!(
            stranger.requests_of_cp(&format!("{number}/"), &[]),
            (12, 12),
            "{bad}"
        );
    }
    fs::write(&path, good).unwrap();
    assert_eq!(stranger.requests_of_cp("good/", &[]), (0, 12));
}

fn denied(operation: &str) -> FaultRule {
    rule(
        operation,
        None,
        FaultAction::Error {
            status: 403,
            code: "AccessDenied".into(),
            body: None,
            content_type: None,
        },
    )
}

#[test]
fn without_the_right_to_delete_it_says_what_stays() {
    let (scene, state) = (Scene::new("undeletable"), Tree::new());
    scene.set_faults(vec![denied("DeleteObject"), denied("DeleteObjects")]);
    let ran = run(&mut doctor_of(&scene, state.path())).expect_code(0);
    for name in ["delete", "delete many"] {
        assert_eq!(verdict(&ran, name), "unsupported");
        assert!(check(&ran, name).to_string().contains("no right to delete"));
    }
    let told: Vec<String> = examination(&ran)["left"]
        .as_array()
        .unwrap()
        .iter()
        .map(|left| left["key"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told, scene.oracle().keys(""), "exactly what is there");
    assert!(!told.is_empty());
    scene.assert_nothing_open();
    assert_eq!(profile(state.path())["honours_conditions"], true);
}

#[test]
fn without_the_right_to_write_it_says_so_once() {
    let (scene, state) = (Scene::new("readonly"), Tree::new());
    scene.set_faults(vec![denied("PutObject")]);
    let ran = run(&mut doctor_of(&scene, state.path())).expect_code(1);
    assert_eq!(verdict(&ran, "write"), "fails");
    assert!(
        check(&ran, "write")["hint"]
            .as_str()
            .unwrap()
            .contains("s3:PutObject")
    );
    assert_eq!(verdict(&ran, "multipart"), "skipped");
    assert_eq!(examination(&ran)["is_good"], false);
    assert!(!state.path().join("servers").exists(), "nothing was found out");
    assert_nothing_is_left(&scene);
}

#[test]
fn what_was_not_looked_at_is_not_good() {
    let (scene, state) = (Scene::new("midway"), Tree::new());
    let mut fault = denied("PutObject");
    fault.key_contains = Some("names/".into());
    fault.action = FaultAction::Error {
        status: 403,
        code: "InvalidAccessKeyId".into(),
        body: None,
        content_type: None,
    };
    scene.set_faults(vec![fault]);
    let ran = run(&mut doctor_of(&scene, state.path())).expect_code(1);
    assert_eq!(verdict(&ran, "names"), "fails");
    assert_eq!(verdict(&ran, "multipart"), "skipped");
    assert!(!state.path().join("servers").exists());
    assert_nothing_is_left(&scene);
}

#[test]
fn without_the_right_to_list_it_knows_what_it_has_made() {
    let (scene, state) = (Scene::new("unlisted"), Tree::new());
    scene.set_faults(vec![denied("ListObjectsV2"), denied("ListMultipartUploads")]);
    let ran = run(&mut doctor_of(&scene, state.path())).expect_code(1);
    assert_eq!(verdict(&ran, "list"), "fails");
    assert!(
        check(&ran, "list")["hint"]
            .as_str()
            .unwrap()
            .contains("s3:ListBucket")
    );
    assert_eq!(verdict(&ran, "multipart"), "works");
    scene.set_faults(Vec::new());
    assert_nothing_is_left(&scene);
    assert_eq!(examination(&ran)["left"], json!([]));
}

#[test]
fn a_fault_in_each_operation_is_found_and_nothing_stays() {
    for (operation, action, name, code) in [
        ("GetObject", FaultAction::FlipResponseBit, "read", 1),
        ("ListObjectsV2", refused(), "list", 1),
        ("CompleteMultipartUpload", refused(), "multipart", 1),
        ("CreateMultipartUpload", refused(), "multipart", 1),
        ("CopyObject", refused(), "copy", 0),
        ("DeleteObjects", refused(), "delete many", 0),
    ] {
        let (scene, state) = (Scene::new("faulty"), Tree::new());
        scene.set_faults(vec![rule(operation, None, action)]);
        let ran = run(&mut doctor_of(&scene, state.path())).expect_code(code);
        assert_ne!(verdict(&ran, name), "works", "{operation}: {}", ran.stdout);
        assert_eq!(verdict(&ran, "write"), "works", "{operation}");
        scene.set_faults(Vec::new());
        assert_nothing_is_left(&scene);
    }
}

fn refused() -> FaultAction {
    FaultAction::Error {
        status: 501,
        code: "NotImplemented".into(),
        body: None,
        content_type: None,
    }
}

#[test]
fn stopped_in_the_middle_it_leaves_nothing() {
    for operation in [
        "UploadPart",
        "PutObject",
        "CompleteMultipartUpload",
        "DeleteObject",
    ] {
        let (scene, state) = (Scene::new("stopped"), Tree::new());
        scene.set_faults(vec![delay(operation, 300)]);
        scene.server.handle().reset_counters();
        let child = spawn(&mut doctor_of(&scene, state.path()));
        scene.wait_for_request(operation);
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).expect("the process is there");
        let since = Instant::now();
        let ran: Ran = child.wait_with_output().expect("ends").into();
        assert!(since.elapsed() < Duration::from_secs(60), "{operation}");
        assert_eq!(ran.code, 130, "{operation}: {}", ran.stderr);
        assert_eq!(examination(&ran)["is_stopped"], true);
        assert!(
            !state.path().join("servers").exists(),
            "{operation}: nothing is kept"
        );
        scene.set_faults(Vec::new());
        assert_nothing_is_left(&scene);
    }
}

#[test]
fn a_clock_that_is_off_is_told_and_does_not_stop_it() {
    let (scene, state) = (Scene::new("clock"), Tree::new());
    let mut skewed = rule("", None, FaultAction::SkewedClock { seconds: 3_600 });
    skewed.operation = None;
    scene.set_faults(vec![skewed]);
    let ran = run(&mut doctor_of(&scene, state.path())).expect_code(0);
    assert_eq!(verdict(&ran, "clock"), "fails", "{}", ran.stdout);
    assert!(check(&ran, "clock")["why"].as_str().unwrap().contains("ahead of"));
    scene.set_faults(Vec::new());
    assert_nothing_is_left(&scene);
}

#[test]
fn what_cannot_be_examined_is_an_error_of_its_kind() {
    let (scene, state) = (Scene::new("nowhere"), Tree::new());
    run(&mut doctor(
        scene.server.s3haul(),
        "s3://no-such-bucket-here",
        state.path(),
    ))
    .expect_code(10);
    let mut nobody = doctor_of(&scene, state.path());
    let ran = run(nobody.env("S3HAUL_ENDPOINT_URL", "http://127.0.0.1:1")).expect_code(1);
    assert!(ran.stderr.contains("cannot be reached"), "{}", ran.stderr);
    assert!(!state.path().join("servers").exists());
}

#[test]
fn the_embedded_server_can_be_examined_without_an_address() {
    let (state, data) = (Tree::new(), Tree::new());
    data.file("x", random(1));
    let embedded = |arguments: &[&str]| {
        let mut command = binary();
        command
            .args(arguments)
            .args(["--endpoint-url", "embedded", "--embedded-data"])
            .arg(data.path().join("data"))
            .env("S3HAUL_STATE_DIR", state.path());
        run(&mut command).expect_code(0)
    };
    embedded(&["mb", "s3://bucket"]);
    let ran = embedded(&["doctor", "s3://bucket"]);
    assert!(ran.stdout.contains("ok  multipart "), "{}", ran.stdout);
    assert_eq!(embedded(&["ls", "-r", "s3://bucket"]).stdout, "");
    assert!(
        !state.path().join("servers").exists(),
        "its address is another next time"
    );
}
