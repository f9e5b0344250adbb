//! `sync` as a person uses it: what goes up and why, what is deleted, what is remembered.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::env::{Kind, Ran, digests, random, run};
use crate::on_both_servers;
use crate::scene::Scene;

/// A tree, a bucket, and a state of its own between them.
pub(crate) struct Mirror {
    pub(crate) scene: Scene,
    state: tempfile::TempDir,
}

impl Mirror {
    pub(crate) fn on(kind: Kind, topic: &str) -> Self {
        Self {
            scene: Scene::on(kind, topic),
            state: tempfile::tempdir().expect("a directory"),
        }
    }

    /// `sync` of the whole tree to below `p/`, yet to be run.
    pub(crate) fn command(&self, flags: &[&str]) -> Command {
        let mut command = self.scene.server.s3haul();
        command
            .env("XDG_STATE_HOME", self.state.path())
            .args(["sync", "--output", "json"])
            .args(flags)
            .arg(self.scene.tree.path())
            .arg(self.scene.target("p/"));
        command
    }

    pub(crate) fn sync(&self, flags: &[&str]) -> Ran {
        run(&mut self.command(flags))
    }

    /// What is in the bucket.
    pub(crate) fn stored(&self) -> BTreeMap<String, String> {
        self.scene.oracle().digests("p/")
    }

    /// A place beside the tree.
    pub(crate) fn elsewhere(&self) -> PathBuf {
        self.state.path().join("elsewhere")
    }

    /// Forgets everything.
    fn forget(&self) {
        fs::remove_dir_all(self.state.path().join("s3haul")).expect("removed");
    }

    /// Makes all files look as if nobody had touched them for long: what changed just now is looked at again.
    fn settle(&self) {
        std::thread::sleep(Duration::from_millis(2_100));
    }
}

/// Why each file that went up did, by its key.
pub(crate) fn reasons(ran: &Ran) -> BTreeMap<String, String> {
    let text = |event: &serde_json::Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    ran.events("file")
        .iter()
        .filter(|event| event["outcome"] == "done")
        .map(|event| (text(event, "key"), text(event, "reason")))
        .collect()
}

on_both_servers!(
    what_is_unchanged_is_not_sent_and_costs_one_listing,
    every_change_is_seen_and_its_reason_is_said,
    without_a_memory_what_the_objects_carry_decides,
    what_is_gone_is_deleted_and_nothing_else_is,
    other_rules_compare_otherwise,
    every_strategy_looks_before_it_sends,
);

fn what_is_unchanged_is_not_sent_and_costs_one_listing(kind: Kind) {
    let mirror = Mirror::on(kind, "same");
    mirror.scene.tree.many(1_200, 50);
    mirror.settle();
    let first = mirror.sync(&[]).expect_code(0);
    assert_eq!(first.summary()["totals"]["done"], 1_200);
    if kind == Kind::Embedded {
        mirror.scene.server.handle().reset_counters();
    }
    let again = mirror.sync(&["--delete"]).expect_code(0);
    assert_eq!(again.events("mirror")[0]["unchanged"], 1_200);
    assert_eq!(again.summary()["totals"]["discovered"], 0);
    if kind == Kind::Embedded {
        assert_eq!(mirror.scene.requests("ListObjectsV2"), 2, "two pages");
        for kind in ["PutObject", "HeadObject", "DeleteObjects", "GetObject"] {
            assert_eq!(mirror.scene.requests(kind), 0, "{kind}");
        }
    }
}

fn every_change_is_seen_and_its_reason_is_said(kind: Kind) {
    let mirror = Mirror::on(kind, "changes");
    let names = ["same", "size", "mtime", "ctime", "inode", "lost"];
    let paths = names.map(|name| mirror.scene.tree.file(name, vec![b'x'; 1_000]));
    mirror.settle();
    mirror.sync(&[]).expect_code(0);
    let [_, size, mtime, ctime, inode, _] = &paths;
    fs::write(size, vec![b'y'; 1_001]).expect("written");
    fs::write(mtime, vec![b'y'; 1_000]).expect("written");
    // Its times are put back: only the inode's own change tells.
    let modified = fs::metadata(ctime).expect("there").modified().expect("a time");
    let hide = |path: &PathBuf| {
        let file = fs::File::options().write(true).open(path).expect("opened");
        file.set_modified(modified).expect("set");
    };
    fs::write(ctime, vec![b'y'; 1_000]).expect("written");
    hide(ctime);
    let modified_inode = fs::metadata(inode).expect("there").modified().expect("a time");
    let other = mirror.scene.tree.file("other", vec![b'y'; 1_000]);
    let file = fs::File::options().write(true).open(&other).expect("opened");
    file.set_modified(modified_inode).expect("set");
    fs::rename(&other, inode).expect("moved over it");
    let oracle = mirror.scene.oracle();
    let lost = oracle
        .client
        .delete_object()
        .bucket(&oracle.bucket)
        .key("p/lost")
        .send();
    oracle.block_on(lost).expect("deleted");
    mirror.scene.tree.file("new", "new");
    let ran = mirror.sync(&[]).expect_code(0);
    let expected = [
        ("p/ctime", "ctime"),
        ("p/inode", "inode"),
        ("p/lost", "new"),
        ("p/mtime", "mtime"),
        ("p/new", "new"),
        ("p/size", "size"),
    ];
    let expected: BTreeMap<_, _> = expected
        .map(|(key, reason)| (key.to_owned(), reason.to_owned()))
        .into_iter()
        .collect();
    assert_eq!(reasons(&ran), expected);
    assert_eq!(mirror.stored(), digests(mirror.scene.tree.path()));
}

fn without_a_memory_what_the_objects_carry_decides(kind: Kind) {
    let mirror = Mirror::on(kind, "memory");
    let touched = mirror.scene.tree.file("touched", "the same");
    let changed = mirror.scene.tree.file("changed", "once");
    mirror.scene.tree.file("same", random(5_000));
    mirror.sync(&[]).expect_code(0);
    mirror.forget();
    let day = Duration::from_secs(86_400);
    let set = |path: &PathBuf, time: SystemTime| {
        let file = fs::File::options().write(true).open(path).expect("opened");
        file.set_modified(time).expect("set");
    };
    set(&touched, SystemTime::now() - day);
    fs::write(&changed, "four").expect("written");
    set(&changed, SystemTime::now() - day);
    let ran = mirror.sync(&["--delete"]).expect_code(0);
    let sent: Vec<String> = reasons(&ran).into_keys().collect();
    assert_eq!(
        sent,
        ["p/changed"],
        "the content of the other one is what is stored"
    );
    assert_eq!(ran.summary()["totals"]["unchanged"], 2);
    assert_eq!(mirror.stored(), digests(mirror.scene.tree.path()));
}

fn what_is_gone_is_deleted_and_nothing_else_is(kind: Kind) {
    let mirror = Mirror::on(kind, "gone");
    mirror.scene.tree.many(20, 100);
    mirror.scene.tree.file("cache/kept", "excluded later");
    mirror.scene.tree.file("keep.log", "excluded later");
    let gone = mirror.scene.tree.file("gone", "gone");
    mirror.sync(&["--delete"]).expect_code(0);
    let oracle = mirror.scene.oracle();
    for key in ["beside", "p2/x", "p/foreign"] {
        let put = oracle.client.put_object().bucket(&oracle.bucket).key(key).send();
        oracle.block_on(put).expect("stored");
    }
    fs::remove_file(gone).expect("removed");
    let excluded = ["--delete", "--exclude", "cache", "--exclude", "*.log"];
    let ran = mirror.sync(&excluded).expect_code(0);
    assert_eq!(
        ran.events("mirror")[0]["deletion"]["deleted"],
        2,
        "the file and the foreign object"
    );
    assert_eq!(mirror.stored(), digests(mirror.scene.tree.path()));
    assert!(
        oracle.exists("beside") && oracle.exists("p2/x"),
        "not below the prefix"
    );
    mirror
        .sync(&[&excluded[..], &["--delete-excluded"]].concat())
        .expect_code(0);
    assert!(!oracle.exists("p/cache/kept") && !oracle.exists("p/keep.log"));
}

fn other_rules_compare_otherwise(kind: Kind) {
    let mirror = Mirror::on(kind, "rules");
    let file = mirror.scene.tree.file("file", "one");
    mirror.scene.tree.file("same", "same");
    mirror.settle();
    mirror.sync(&[]).expect_code(0);
    fs::write(&file, "two").expect("written");
    for (flag, sent) in [
        ("--size-only", &[][..]),
        ("--ignore-existing", &[]),
        ("--checksum", &["p/file"]),
        ("--ignore-times", &["p/file", "p/same"]),
    ] {
        let keys: Vec<String> = reasons(&mirror.sync(&[flag]).expect_code(0))
            .into_keys()
            .collect();
        assert_eq!(keys, sent, "{flag}");
    }
}

#[test]
fn two_runs_of_one_target_do_not_meet() {
    let mirror = Mirror::on(Kind::Embedded, "lock");
    mirror.scene.tree.file("a", "a");
    mirror
        .scene
        .set_faults(vec![crate::scene::delay("PutObject", 1_500)]);
    let first = crate::scene::spawn(&mut mirror.command(&[]));
    mirror.scene.wait_for_request("PutObject");
    let refused = mirror.sync(&[]).expect_code(11);
    assert!(refused.stderr.contains("--wait-lock"), "{}", refused.stderr);
    // Whoever thinks of a lock file and deletes what there is lets nobody in.
    let homes = fs::read_dir(mirror.state.path().join("s3haul")).expect("readable");
    let files = homes.flat_map(|home| fs::read_dir(home.expect("entry").path()).expect("readable"));
    files.for_each(|file| fs::remove_file(file.expect("entry").path()).expect("removed"));
    mirror.sync(&[]).expect_code(11);
    mirror.sync(&["--wait-lock", "30s"]).expect_code(0);
    Ran::from(first.wait_with_output().expect("ends")).expect_code(0);
}

fn every_strategy_looks_before_it_sends(kind: Kind) {
    let mirror = Mirror::on(kind, "looks");
    mirror.scene.tree.file("small", random(3_000));
    mirror.scene.tree.file("large", random(7 * 1024 * 1024));
    let parts = ["--part-size", "5MiB", "--multipart-threshold", "5MiB"];
    mirror.sync(&parts).expect_code(0);
    let strategies = [
        "async",
        "sequential",
        "threads",
        "chunked",
        "thread-per-file",
        "processes",
        "hybrid",
    ];
    for strategy in strategies {
        // Without a memory each object is asked; with --checksum each file is read.
        mirror.forget();
        for flags in [&[] as &[&str], &["--checksum"]] {
            let ran = mirror
                .sync(&[&parts[..], &["--strategy", strategy], flags].concat())
                .expect_code(0);
            let totals = &ran.summary()["totals"];
            assert_eq!(
                (&totals["done"], &totals["unchanged"]),
                (&0.into(), &2.into()),
                "{strategy} {flags:?}"
            );
        }
        mirror.scene.tree.file("large", random(7 * 1024 * 1024));
        let ran = mirror
            .sync(&[&parts[..], &["--strategy", strategy, "--checksum"]].concat())
            .expect_code(0);
        assert_eq!(ran.summary()["totals"]["done"], 1, "{strategy}");
        assert_eq!(mirror.stored(), digests(mirror.scene.tree.path()));
    }
}
