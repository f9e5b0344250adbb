//! How a restore ends that does not go well: what is left of it, and what the next one makes of that.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use s3haul::server::FaultAction;

use crate::env::{Kind, digests, random, run};
use crate::on_both_servers;
use crate::restore::{Away, tree_names};
use crate::scene::{MIB, rule, spawn, wait_until};

on_both_servers!(
    what_a_killed_restore_brought_counts,
    what_a_killed_restore_brought_goes_with_its_object,
);

/// A restore of a file called `large` that is killed when some of its parts have come.
fn kill_on_the_way(away: &Away, flags: &[&str]) {
    if away.scene.server.is_embedded() {
        away.scene.set_faults(vec![crate::scene::delay("GetObject", 100)]);
    }
    let mut child = spawn(&mut away.command("p/", flags));
    let journal = || {
        let base = fs::read_dir(away.place.path().join("state/s3haul")).ok()?;
        let home = base.flatten().next()?.path();
        fs::metadata(home.join("journal"))
            .ok()
            .map(|metadata| metadata.len())
    };
    wait_until("some parts came", || journal().is_some_and(|bytes| bytes > 700));
    child.kill().expect("killed");
    child.wait().expect("reaped");
    assert!(!away.dest().join("large").exists(), "no half file under its name");
    if away.scene.server.is_embedded() {
        away.scene.set_faults(Vec::new());
    }
}

fn what_a_killed_restore_brought_counts(kind: Kind) {
    let away = Away::on(kind, "killed");
    away.scene.tree.file("large", random(60 * MIB));
    away.upload(&[]);
    let flags = ["--part-size", "5MiB", "--concurrency", "2"];
    kill_on_the_way(&away, &flags);
    if kind == Kind::Minio {
        // Meanwhile it has become another one: what came of the first does not count, and does not stay.
        away.scene.tree.file("large", random(50 * MIB));
        away.upload(&[]);
    }
    if kind == Kind::Embedded {
        away.scene.server.handle().reset_counters();
    }
    away.restore(&flags).expect_code(0);
    assert_eq!(digests(&away.dest()), digests(away.scene.tree.path()));
    assert_eq!(tree_names(&away.dest()), ["large"]);
    if kind == Kind::Embedded {
        let gets = away.scene.requests("GetObject");
        assert!(gets < 12, "{gets} of 12 parts came again");
    }
}

fn what_a_killed_restore_brought_goes_with_its_object(kind: Kind) {
    let away = Away::on(kind, "gone");
    away.scene.tree.file("d/large", random(60 * MIB));
    away.scene.tree.file("d/small", "small");
    away.upload(&[]);
    let flags = ["--part-size", "5MiB", "--concurrency", "2"];
    kill_on_the_way(&away, &flags);
    let left = tree_names(&away.dest().join("d"));
    assert!(left.iter().any(|name| name.contains(".s3haul-")), "{left:?}");
    let oracle = away.scene.oracle();
    let gone = oracle
        .client
        .delete_object()
        .bucket(&oracle.bucket)
        .key("p/d/large");
    oracle.block_on(gone.send()).expect("deleted");
    away.restore(&flags).expect_code(0);
    assert_eq!(tree_names(&away.dest().join("d")), ["small"]);
}

#[test]
fn what_a_killed_restore_brought_stays_for_the_run_that_wants_it() {
    let away = Away::on(Kind::Embedded, "wanted");
    away.scene.tree.file("large", random(60 * MIB));
    away.scene.tree.file("small", "small");
    away.upload(&[]);
    let flags = ["--part-size", "5MiB", "--concurrency", "2"];
    kill_on_the_way(&away, &flags);
    away.restore(&[&flags[..], &["--exclude", "large"]].concat())
        .expect_code(0);
    assert_eq!(tree_names(&away.dest()).len(), 2, "it and the temporary file");
    away.scene.server.handle().reset_counters();
    away.restore(&flags).expect_code(0);
    assert_eq!(digests(&away.dest()), digests(away.scene.tree.path()));
    let gets = away.scene.requests("GetObject");
    assert!(gets < 13, "{gets} of 12 parts and a small one came again");
}

#[test]
fn bytes_that_change_on_the_way_down_get_no_name() {
    let away = Away::on(Kind::Embedded, "bits");
    away.scene.tree.file("small", random(5_000));
    away.scene.tree.file("large", random(21 * MIB));
    away.upload(&[]);
    for (times, failed) in [(None, 2), (Some(2), 1)] {
        away.scene
            .set_faults(vec![rule("GetObject", times, FaultAction::FlipResponseBit)]);
        let ran = away.restore(&["--concurrency", "1"]);
        let totals = &ran.summary()["totals"];
        assert!(totals["failed"].as_u64() >= Some(failed), "{}", ran.stdout);
        assert!(
            ran.stdout
                .contains("what came is not what the object's checksum says")
        );
        let names = tree_names(&away.dest());
        assert!(
            names.len() < 2 && !names.iter().any(|name| name.contains(".s3haul-")),
            "{names:?}"
        );
    }
    away.scene.set_faults(Vec::new());
    away.restore(&[]).expect_code(0);
    assert_eq!(digests(&away.dest()), digests(away.scene.tree.path()));
}

#[test]
fn the_way_back_has_its_report_too() {
    let away = Away::on(Kind::Embedded, "report");
    let file = away.place.path().join("report.json");
    away.scene.tree.file("a", "a");
    away.upload(&[]);
    let mut cp = away.scene.server.s3haul();
    cp.env("XDG_STATE_HOME", away.place.path().join("state"))
        .arg("cp")
        .arg(away.scene.target("p/"))
        .arg(away.dest())
        .arg("--report")
        .arg(&file);
    run(&mut cp).expect_code(0);
    let report = fs::read_to_string(&file).expect("written");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["run"]["totals"]["done"], 1);
}

#[test]
fn an_object_that_does_not_come_whole_gets_no_name() {
    let away = Away::on(Kind::Embedded, "flipped");
    away.scene.tree.file("small", random(5_000));
    away.scene.tree.file("large", random(21 * MIB));
    away.upload(&[]);
    for (operation, times) in [("GetObject", None), ("GetObject", Some(1))] {
        let cut = FaultAction::CutResponse { after_bytes: 100 };
        away.scene.set_faults(vec![rule(operation, times, cut)]);
        let code = if times.is_none() { 3 } else { 0 };
        let ran = away.restore(&["--retries", "1"]).expect_code(code);
        if code != 0 {
            assert_eq!(tree_names(&away.dest()), [""; 0], "{}", ran.stdout);
        }
    }
    assert_eq!(digests(&away.dest()), digests(away.scene.tree.path()));
}

#[test]
fn a_place_that_cannot_take_it_is_refused_beforehand() {
    let away = Away::on(Kind::Embedded, "place");
    away.scene.tree.file("a", "a");
    away.upload(&[]);
    fs::write(away.dest(), "a file").expect("written");
    let ran = away.restore(&[]).expect_code(1);
    assert!(ran.stderr.contains("cannot be written"), "{}", ran.stderr);
    fs::remove_file(away.dest()).expect("removed");
    fs::create_dir(away.dest()).expect("made");
    fs::write(away.dest().join("a"), "").expect("written");
    fs::set_permissions(away.dest().join("a"), fs::Permissions::from_mode(0o400)).expect("set");
    away.restore(&["--overwrite", "always"]).expect_code(0);
}

#[test]
fn a_restore_that_is_stopped_leaves_no_small_file_half() {
    let away = Away::on(Kind::Embedded, "stopped");
    away.scene.tree.many(40, 1_000);
    away.upload(&[]);
    away.scene.set_faults(vec![crate::scene::delay("GetObject", 600)]);
    let mut child = spawn(&mut away.command("p/", &["--concurrency", "8"]));
    away.scene.wait_for_request("GetObject");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("alive");
    assert_eq!(child.wait().expect("ended").code(), Some(143));
    let names = tree_names(&away.dest());
    assert!(!names.iter().any(|name| name.contains(".s3haul-")), "{names:?}");
}
