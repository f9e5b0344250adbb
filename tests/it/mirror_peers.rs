//! Ten faults after which other tools' mirrors destroy or lie, run by hand with each of them. This one's must not.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};

use crate::env::{Kind, Ran, digests, random, run};
use crate::mirror::{Mirror, reasons};
use crate::on_both_servers;
use crate::scene::{MIB, SMALL_PARTS, delay, spawn};

on_both_servers!(
    a_file_that_became_a_dangling_link_keeps_its_object,
    a_directory_that_cannot_be_read_costs_no_object,
    an_empty_source_deletes_nothing,
    a_missing_source_is_a_failure,
    a_name_that_is_not_utf8_stops_nothing,
    a_file_overwritten_while_it_is_sent_is_never_torn,
    a_change_that_is_older_than_the_upload_is_seen,
    a_named_pipe_is_passed_over,
    a_limit_of_deletions_is_judged_before_the_first,
);

/// Six files that are stored, with their digests.
fn six(kind: Kind) -> (Mirror, std::collections::BTreeMap<String, String>) {
    let mirror = Mirror::on(kind, "peers");
    for name in ["a", "b/1", "b/2", "c", "d/x", "e"] {
        mirror.scene.tree.file(name, random(3_000));
    }
    mirror.sync(&["--delete"]).expect_code(0);
    let stored = mirror.stored();
    assert_eq!(stored, digests(mirror.scene.tree.path()));
    (mirror, stored)
}

fn a_file_that_became_a_dangling_link_keeps_its_object(kind: Kind) {
    let (mirror, before) = six(kind);
    let path = mirror.scene.tree.path().join("c");
    fs::remove_file(&path).expect("removed");
    std::os::unix::fs::symlink("nowhere", &path).expect("a link");
    mirror.sync(&["--delete"]).expect_code(0);
    assert_eq!(mirror.stored(), before);
    mirror.sync(&["--delete", "--follow-symlinks"]).expect_code(3);
    assert_eq!(mirror.stored(), before);
}

/// Root may read everything: a directory whose reading fails for everybody is one that is in the way of its own path.
fn a_directory_that_cannot_be_read_costs_no_object(kind: Kind) {
    let (mirror, before) = six(kind);
    let directory = mirror.scene.tree.path().join("b");
    fs::remove_dir_all(&directory).expect("removed");
    // Followed, it leads to itself, which no one can open.
    std::os::unix::fs::symlink("b", &directory).expect("a link");
    fs::remove_file(mirror.scene.tree.path().join("e")).expect("removed");
    let ran = mirror.sync(&["--delete", "--follow-symlinks"]).expect_code(3);
    assert!(ran.stderr.contains("nothing is deleted"), "{}", ran.stderr);
    assert_eq!(mirror.stored(), before);
}

fn an_empty_source_deletes_nothing(kind: Kind) {
    let (mirror, before) = six(kind);
    empty(mirror.scene.tree.path());
    let ran = mirror.sync(&["--delete"]).expect_code(6);
    assert!(ran.stderr.contains("--allow-empty-source"), "{}", ran.stderr);
    assert_eq!(mirror.stored(), before);
    mirror.sync(&["--delete", "--allow-empty-source"]).expect_code(0);
    assert!(mirror.stored().is_empty(), "meant");
}

fn empty(directory: &Path) {
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            fs::remove_dir_all(path).expect("removed");
        } else {
            fs::remove_file(path).expect("removed");
        }
    }
}

fn a_missing_source_is_a_failure(kind: Kind) {
    let (mirror, before) = six(kind);
    fs::rename(mirror.scene.tree.path(), mirror.elsewhere()).expect("moved");
    mirror.sync(&["--delete"]).expect_code(1);
    assert_eq!(mirror.stored(), before);
    fs::rename(mirror.elsewhere(), mirror.scene.tree.path()).expect("moved back");
}

fn a_name_that_is_not_utf8_stops_nothing(kind: Kind) {
    let mirror = Mirror::on(kind, "names");
    let odd = std::ffi::OsStr::from_bytes(b"gr\xDF\xDF");
    fs::write(mirror.scene.tree.path().join(odd), "odd").expect("a file");
    mirror.scene.tree.file("a", "before");
    mirror.scene.tree.file("z", "after");
    mirror.sync(&["--delete"]).expect_code(0);
    let keys: Vec<String> = mirror.stored().into_keys().collect();
    assert_eq!(keys, ["a", "gr%DF%DF", "z"]);
    let again = mirror.sync(&["--delete"]).expect_code(0);
    assert!(reasons(&again).is_empty(), "nothing goes up twice");
}

fn a_file_overwritten_while_it_is_sent_is_never_torn(kind: Kind) {
    let mirror = Mirror::on(kind, "torn");
    let size = 12 * MIB;
    let path = mirror.scene.tree.file("busy", vec![b'a'; size]);
    let stop = AtomicBool::new(false);
    let ran = std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut letter = b'a';
            while !stop.load(Ordering::Relaxed) {
                letter = if letter == b'z' { b'a' } else { letter + 1 };
                fs::write(&path, vec![letter; size]).expect("written");
                std::thread::sleep(Duration::from_millis(40));
            }
        });
        let ran = mirror.sync(&[&SMALL_PARTS[..], &["--bwlimit", "20MiB/s", "--delete"]].concat());
        stop.store(true, Ordering::Relaxed);
        ran
    });
    let oracle = mirror.scene.oracle();
    if ran.code == 0 {
        let content = oracle.read("p/busy");
        assert!(content.iter().all(|byte| *byte == content[0]), "torn");
    } else {
        ran.expect_code(3);
        assert!(!oracle.exists("p/busy"), "nothing torn is left under the key");
    }
    // What changed while it was sent is looked at again.
    mirror.sync(&SMALL_PARTS).expect_code(0);
    assert_eq!(mirror.stored(), digests(mirror.scene.tree.path()));
}

fn a_change_that_is_older_than_the_upload_is_seen(kind: Kind) {
    let (mirror, _) = six(kind);
    let path = mirror.scene.tree.file("c", random(3_000));
    let long_ago = SystemTime::now() - Duration::from_secs(86_400);
    let file = fs::File::options().write(true).open(path).expect("opened");
    file.set_modified(long_ago).expect("set");
    let ran = mirror.sync(&["--delete"]).expect_code(0);
    let sent: Vec<(String, String)> = reasons(&ran).into_iter().collect();
    assert_eq!(sent, [("p/c".to_owned(), "mtime".to_owned())]);
    assert_eq!(mirror.stored(), digests(mirror.scene.tree.path()));
}

fn a_named_pipe_is_passed_over(kind: Kind) {
    let (mirror, before) = six(kind);
    let path = mirror.scene.tree.path().join("c");
    fs::remove_file(&path).expect("removed");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .expect("a pipe");
    mirror.scene.tree.file("new", "new");
    mirror.sync(&["--delete"]).expect_code(0);
    let mut after = mirror.stored();
    assert!(after.remove("new").is_some());
    assert_eq!(after, before, "what was stored before it was a pipe stays");
}

fn a_limit_of_deletions_is_judged_before_the_first(kind: Kind) {
    let mirror = Mirror::on(kind, "limit");
    mirror.scene.tree.many(50, 100);
    mirror.sync(&["--delete"]).expect_code(0);
    let before = mirror.stored();
    empty(mirror.scene.tree.path());
    mirror.scene.tree.file("left", "left");
    for limit in [&["--max-delete", "10"][..], &["--max-delete", "90%"], &[]] {
        let ran = mirror.sync(&[&["--delete"][..], limit].concat()).expect_code(6);
        assert!(ran.stderr.contains("--max-delete 50"), "{}", ran.stderr);
        let mut after = mirror.stored();
        assert!(after.remove("left").is_some());
        assert_eq!(after, before, "none is spent");
    }
    mirror.sync(&["--delete", "--max-delete", "50"]).expect_code(0);
    assert_eq!(mirror.stored(), digests(mirror.scene.tree.path()));
}

#[test]
fn a_run_that_is_terminated_leaves_no_parts() {
    let mirror = Mirror::on(Kind::Embedded, "term");
    mirror.scene.tree.file("large", random(40 * MIB));
    mirror.scene.set_faults(vec![delay("UploadPart", 300)]);
    let child = spawn(&mut mirror.command(&[&SMALL_PARTS[..], &["--concurrency", "3"]].concat()));
    mirror.scene.wait_for_request("UploadPart");
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::TERM).expect("it is there");
    let ran: Ran = child.wait_with_output().expect("ends").into();
    ran.expect_code(143);
    mirror.scene.wait_until_nothing_is_open();
    mirror.scene.set_faults(Vec::new());
    run(&mut mirror.command(&SMALL_PARTS)).expect_code(0);
    assert_eq!(mirror.stored(), digests(mirror.scene.tree.path()));
}
