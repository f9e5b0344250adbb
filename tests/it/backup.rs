//! `backup` as a person uses it: a job in a file, a snapshot each night, any of them back.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use s3haul::server::FaultAction;

use crate::backup_job::{Job, tree};
use crate::env::{Kind, random, sha256};
use crate::on_both_servers;
use crate::scene::{MIB, rule, spawn};

on_both_servers!(
    a_snapshot_comes_back_as_it_was,
    what_is_unchanged_is_not_read_and_what_is_stored_is_not_sent,
    each_night_has_its_own_tree,
);

/// A tree with everything that can be in one.
fn fill(job: &Job) -> PathBuf {
    let root = job.scene.tree.path().join("src");
    let names: [&[u8]; 9] = [
        b"plain",
        b"d/e/f/deep",
        b"d.x/between",
        b" ",
        b"gr\xFC\xDF",
        b"100%25 %41",
        b"line\nbreak",
        b"..hidden..",
        b"d/ ",
    ];
    for name in names {
        let path = root.join(std::ffi::OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(&path, random(2_000)).expect("written");
    }
    fs::write(root.join("empty"), "").expect("written");
    fs::write(root.join("same 1"), "same").expect("written");
    fs::write(root.join("same 2"), "same").expect("written");
    fs::write(root.join("large"), random(21 * MIB)).expect("written");
    fs::hard_link(root.join("plain"), root.join("d/other name")).expect("link");
    symlink("plain", root.join("link")).expect("link");
    symlink("/nowhere/at all", root.join("d/dangling")).expect("link");
    fs::create_dir(root.join("nothing in it")).expect("made");
    for (name, mode) in [
        ("plain", 0o640),
        ("empty", 0o755),
        ("nothing in it", 0o710),
        ("d", 0o550),
    ] {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).expect("set");
    }
    root
}

fn a_snapshot_comes_back_as_it_was(kind: Kind) {
    let job = Job::on(kind, "backup");
    job.says("part-size = \"5MiB\"\nmultipart-threshold = \"5MiB\"\n");
    let root = fill(&job);
    let ran = job.run().expect_code(0);
    let said = &ran.events("backup")[0];
    assert_eq!(
        (&said["entries"]["files"], &said["entries"]["errors"]),
        (&14.into(), &0.into())
    );
    assert_eq!(job.contents().len(), 12, "each content once");
    for _ in 0..2 {
        let dest = job.restore("tree");
        assert_eq!(tree(&dest.join("src")), tree(&root));
        let again = job
            .does(&["restore", "tree@latest", dest.to_str().expect("UTF-8")])
            .expect_code(0);
        assert_eq!(
            again.summary()["totals"]["done"],
            0,
            "a second restore transfers nothing"
        );
    }
    let listed = job.does(&["backup", "ls", "tree", "src/d"]).expect_code(0);
    assert!(listed.events("entry").len() >= 6, "{}", listed.stdout);
    fs::set_permissions(root.join("d"), fs::Permissions::from_mode(0o755)).expect("set");
}

fn what_is_unchanged_is_not_read_and_what_is_stored_is_not_sent(kind: Kind) {
    let job = Job::on(kind, "unchanged");
    let tree = &job.scene.tree;
    for number in 0..50 {
        tree.file(&format!("src/{number}"), format!("{}", number % 20));
    }
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    let first = job.run().expect_code(0);
    assert_eq!(first.summary()["totals"]["done"], 20);
    tree.file("src/new", "7");
    let again = job.run().expect_code(0);
    assert_eq!(again.events("backup")[0]["unchanged"], 50);
    assert_eq!(
        again.summary()["totals"]["done"],
        0,
        "its content is stored already"
    );
    // What is lost in the bucket is sent again once somebody has found that out.
    let oracle = job.scene.oracle();
    let lost = job.contents().remove(0);
    let gone = oracle.client.delete_object().bucket(&oracle.bucket).key(&lost);
    oracle.block_on(gone.send()).expect("deleted");
    job.does(&["backup", "verify", "tree"]).expect_code(4);
    assert_eq!(job.run().expect_code(0).summary()["totals"]["done"], 1);
    assert_eq!(job.contents().len(), 20);
    job.does(&["backup", "verify", "tree"]).expect_code(0);
    assert_eq!(
        job.does(&["backup", "list"])
            .expect_code(0)
            .events("snapshot")
            .len(),
        3
    );
}

fn each_night_has_its_own_tree(kind: Kind) {
    let job = Job::on(kind, "nights");
    let root = job.scene.tree.path().join("src");
    let mut nights = Vec::new();
    for night in 0..3 {
        job.scene.tree.file("src/changes", format!("night {night}"));
        job.scene.tree.file(&format!("src/only {night}"), "x");
        let ran = job.run().expect_code(0);
        let id = ran.events("backup")[0]["snapshot"]
            .as_str()
            .expect("a snapshot")
            .to_owned();
        nights.push((id, tree(&root)));
        fs::remove_file(root.join(format!("only {night}"))).expect("removed");
        std::thread::sleep(std::time::Duration::from_millis(1_100));
    }
    for (id, expected) in &nights {
        assert_eq!(
            tree(&job.restore(&format!("tree@{id}")).join("src")),
            *expected,
            "{id}"
        );
    }
    let ran = job
        .does(&["restore", "tree@2001-01-01", "/nowhere"])
        .expect_code(10);
    assert!(ran.stderr.contains("there is no snapshot of"), "{}", ran.stderr);
}

#[test]
fn what_could_not_be_stored_is_in_the_manifest_as_such() {
    let job = Job::on(Kind::Embedded, "lost");
    job.scene.tree.file("src/good", "good");
    job.scene.tree.file("src/bad", "bad");
    let hash = sha256(b"bad");
    let refuse = FaultAction::Error {
        status: 400,
        code: "InvalidRequest".to_owned(),
        body: None,
        content_type: None,
    };
    let fault = s3haul::server::FaultRule {
        key_contains: Some(hash),
        ..rule("PutObject", None, refuse)
    };
    job.scene.set_faults(vec![fault]);
    let ran = job.run().expect_code(3);
    assert_eq!(ran.events("backup")[0]["entries"]["errors"], 1);
    let listed = job.does(&["backup", "ls", "tree", "src/bad"]).expect_code(0);
    assert!(
        listed.events("entry")[0]["error"].is_string(),
        "{}",
        listed.stdout
    );
    job.scene.set_faults(Vec::new());
    assert_eq!(job.run().expect_code(0).summary()["totals"]["done"], 1);
    assert_eq!(tree(&job.restore("tree").join("src")).len(), 2);
}

#[test]
fn a_small_file_is_stored_as_it_was_read_whatever_becomes_of_it() {
    let job = Job::on(Kind::Embedded, "kept");
    for number in 0..20 {
        job.scene
            .tree
            .file(&format!("src/{number}"), format!("before {number}"));
    }
    job.says("concurrency = 1\n");
    job.scene.set_faults(vec![crate::scene::delay("PutObject", 100)]);
    let mut child = spawn(&mut job.command(&["backup", "run", "tree"]));
    // The first one says that the run goes on; when contents follow, all files have been read, for they are so few.
    crate::scene::wait_until("contents are sent", || job.scene.requests("PutObject") >= 2);
    for number in 0..20 {
        job.scene.tree.file(&format!("src/{number}"), "after");
    }
    assert_eq!(child.wait().expect("ended").code(), Some(0));
    let restored = job.restore("tree");
    for number in 0..20 {
        let content = std::fs::read_to_string(restored.join(format!("src/{number}"))).expect("there");
        assert_eq!(content, format!("before {number}"));
    }
}

#[test]
fn a_run_that_is_killed_leaves_no_snapshot_and_is_made_up_for() {
    let job = Job::on(Kind::Embedded, "killed");
    for number in 0..60 {
        job.scene.tree.file(&format!("src/{number}"), random(3_000));
    }
    job.scene.set_faults(vec![crate::scene::delay("PutObject", 300)]);
    let mut child = spawn(&mut job.command(&["backup", "run", "tree"]));
    job.scene.wait_for_request("PutObject");
    std::thread::sleep(std::time::Duration::from_millis(400));
    child.kill().expect("killed");
    child.wait().expect("reaped");
    job.scene.set_faults(Vec::new());
    assert_eq!(
        job.does(&["backup", "list", "tree"])
            .expect_code(0)
            .events("snapshot")
            .len(),
        0
    );
    job.does(&["backup", "ls", "tree"]).expect_code(10);
    job.run().expect_code(0);
    assert_eq!(
        tree(&job.restore("tree").join("src")),
        tree(&job.scene.tree.path().join("src"))
    );
}
