//! What a run that was killed has begun: the next one goes on with it, or ends it.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use s3haul::server::FaultAction;

use crate::env::{Kind, digests, random, run};
use crate::mirror::Mirror;
use crate::on_both_servers;
use crate::scene::{MIB, rule, spawn, wait_until};

on_both_servers!(
    the_next_run_goes_on_where_one_was_killed,
    cp_goes_on_too_and_only_if_asked,
    an_upload_whose_file_has_changed_is_aborted,
    cleanup_aborts_what_is_old_enough,
);

const SMALL_PARTS: [&str; 6] = [
    "--part-size",
    "5MiB",
    "--multipart-threshold",
    "6MiB",
    "--concurrency",
    "2",
];
/// A rate at which 40 MiB take long enough to be interrupted.
const SLOWLY: [&str; 2] = ["--bwlimit", "20MiB/s"];

/// Runs `command` until the server has some parts of the upload of `key`, and kills it. Of two of them, that are in flight at
/// a time, it may not have heard yet: they are sent again.
fn kill_on_the_way(mirror: &Mirror, key: &str, command: &mut Command) {
    let mut child = spawn(command);
    let oracle = mirror.scene.oracle();
    wait_until("some parts are stored", || parts(&oracle, key) >= 4);
    child.kill().expect("killed");
    child.wait().expect("reaped");
}

/// Parts of all open uploads of `key`.
fn parts(oracle: &crate::env::Oracle, key: &str) -> usize {
    let (client, bucket) = (&oracle.client, &oracle.bucket);
    let open = client.list_multipart_uploads().bucket(bucket).prefix(key).send();
    let open = oracle.block_on(open).expect("listed");
    let of = |upload: &aws_sdk_s3::types::MultipartUpload| {
        let parts = client
            .list_parts()
            .bucket(bucket)
            .key(key)
            .upload_id(upload.upload_id().unwrap());
        oracle
            .block_on(parts.send())
            .map_or(0, |parts| parts.parts().len())
    };
    open.uploads()
        .iter()
        .filter(|upload| upload.key() == Some(key))
        .map(of)
        .sum()
}

fn assert_whole(mirror: &Mirror) {
    let local = digests(mirror.scene.tree.path());
    assert_eq!(mirror.stored(), local);
    for name in local.keys() {
        let open = mirror.scene.oracle().open_uploads(&format!("p/{name}"));
        assert_eq!(open, 0, "uploads of {name}");
    }
}

fn the_next_run_goes_on_where_one_was_killed(kind: Kind) {
    let mirror = Mirror::on(kind, "resume");
    mirror.scene.tree.file("large", random(40 * MIB));
    for _ in 0..2 {
        kill_on_the_way(&mirror, "p/large", mirror.command(&SMALL_PARTS).args(SLOWLY));
    }
    let before = parts(&mirror.scene.oracle(), "p/large");
    if kind == Kind::Embedded {
        mirror.scene.server.handle().reset_counters();
    }
    let ran = mirror.sync(&SMALL_PARTS).expect_code(0);
    assert_eq!(ran.summary()["totals"]["done"], 1);
    assert_whole(&mirror);
    if kind == Kind::Embedded {
        let sent = mirror.scene.requests("UploadPart");
        assert!(sent <= 8 - 2, "{before} parts were there, {sent} of 8 were sent");
        assert_eq!(mirror.scene.requests("CreateMultipartUpload"), 0);
    }
}

fn cp_goes_on_too_and_only_if_asked(kind: Kind) {
    let mirror = Mirror::on(kind, "cp-resume");
    mirror.scene.tree.file("large", random(80 * MIB));
    let cp = |flags: &[&str]| {
        let mut command = mirror.scene.cp("p/", flags);
        command
            .args(SMALL_PARTS)
            .env("XDG_STATE_HOME", mirror.elsewhere());
        command
    };
    kill_on_the_way(&mirror, "p/large", cp(&["--resume"]).args(SLOWLY));
    // One that is stopped in order leaves it, too.
    let mut child = spawn(cp(&["--resume"]).args(SLOWLY));
    thread::sleep(Duration::from_millis(500));
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::TERM,
    )
    .expect("alive");
    assert_eq!(child.wait().expect("ended").code(), Some(143));
    assert!(parts(&mirror.scene.oracle(), "p/large") >= 2);
    run(&mut cp(&["--resume"])).expect_code(0);
    assert_whole(&mirror);
}

fn an_upload_whose_file_has_changed_is_aborted(kind: Kind) {
    let mirror = Mirror::on(kind, "stale");
    mirror.scene.tree.file("large", random(40 * MIB));
    mirror.scene.tree.file("other", random(40 * MIB));
    let slow = || {
        let mut command = mirror.command(&SMALL_PARTS);
        command.args(SLOWLY);
        command
    };
    kill_on_the_way(&mirror, "p/large", &mut slow());
    mirror.scene.tree.file("large", random(39 * MIB));
    fs::remove_file(mirror.scene.tree.path().join("other")).expect("removed");
    mirror.sync(&SMALL_PARTS).expect_code(0);
    assert_whole(&mirror);
}

#[test]
fn parts_that_were_lost_meanwhile_are_sent_again() {
    let mirror = Mirror::on(Kind::Embedded, "lost-parts");
    mirror.scene.tree.file("large", random(40 * MIB));
    kill_on_the_way(&mirror, "p/large", mirror.command(&SMALL_PARTS).args(SLOWLY));
    let answer = FaultAction::Error {
        status: 404,
        code: "NoSuchUpload".to_owned(),
        body: None,
        content_type: None,
    };
    mirror.scene.set_faults(vec![rule("ListParts", Some(1), answer)]);
    mirror.sync(&SMALL_PARTS).expect_code(0);
    assert_whole(&mirror);
}

fn cleanup_aborts_what_is_old_enough(kind: Kind) {
    let mirror = Mirror::on(kind, "cleanup");
    let oracle = mirror.scene.oracle();
    for key in ["p/a", "p/b", "q"] {
        let begun = oracle
            .client
            .create_multipart_upload()
            .bucket(&oracle.bucket)
            .key(key)
            .send();
        oracle.block_on(begun).expect("begun");
    }
    let cleanup = |flags: &[&str]| {
        let mut command = mirror.scene.server.s3haul();
        command
            .args(["cleanup", "--output", "json"])
            .arg(mirror.scene.target("p/"))
            .args(flags);
        let ran = run(&mut command).expect_code(0);
        let outcome = |event: &serde_json::Value| event["outcome"].as_str().unwrap_or_default().to_owned();
        ran.events("upload").iter().map(outcome).collect::<Vec<_>>()
    };
    assert_eq!(cleanup(&[]), ["kept", "kept"], "a day is the default");
    assert_eq!(
        cleanup(&["--older-than", "0s", "-n"]),
        ["would abort", "would abort"]
    );
    assert_eq!(cleanup(&["--older-than", "0s"]), ["aborted", "aborted"]);
    assert_eq!(cleanup(&["--older-than", "0s"]), [""; 0]);
    assert_eq!(oracle.open_uploads("q"), 1, "no concern of ours");
}
