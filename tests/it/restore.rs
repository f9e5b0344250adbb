//! `restore` as a person uses it, and as somebody who chooses keys would abuse it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::env::{Kind, Ran, digests, random, run};
use crate::on_both_servers;
use crate::scene::{MIB, Scene};

on_both_servers!(
    a_tree_with_odd_names_comes_back_as_it_was,
    a_second_restore_transfers_nothing,
    what_is_there_is_replaced_only_if_asked,
    hostile_keys_write_nothing_outside,
    nothing_stored_is_exit_ten,
    one_object_may_be_one_file,
);

/// A tree in a bucket, and an empty place beside it.
pub(crate) struct Away {
    pub(crate) scene: Scene,
    pub(crate) place: tempfile::TempDir,
}

impl Away {
    pub(crate) fn on(kind: Kind, topic: &str) -> Self {
        Self {
            scene: Scene::on(kind, topic),
            place: tempfile::tempdir().expect("a directory"),
        }
    }

    pub(crate) fn dest(&self) -> PathBuf {
        self.place.path().join("dest")
    }

    pub(crate) fn upload(&self, flags: &[&str]) {
        run(&mut self.scene.cp("p/", flags)).expect_code(0);
    }

    pub(crate) fn command(&self, prefix: &str, flags: &[&str]) -> Command {
        let mut command = self.scene.server.s3haul();
        command
            .env("XDG_STATE_HOME", self.place.path().join("state"))
            .args(["restore", "--output", "json"])
            .arg(self.scene.target(prefix))
            .arg(self.dest())
            .args(flags);
        command
    }

    pub(crate) fn restore(&self, flags: &[&str]) -> Ran {
        run(&mut self.command("p/", flags))
    }

    fn put(&self, key: &str, content: &[u8]) {
        let oracle = self.scene.oracle();
        let put = oracle.client.put_object().bucket(&oracle.bucket).key(key);
        oracle
            .block_on(put.body(content.to_vec().into()).send())
            .expect("stored");
    }
}

/// Contents and times of modification by path, as bytes.
fn tree(root: &Path) -> BTreeMap<Vec<u8>, (Vec<u8>, i64, i64)> {
    let mut found = BTreeMap::new();
    let mut ways = vec![root.to_owned()];
    while let Some(way) = ways.pop() {
        for entry in fs::read_dir(way).expect("readable") {
            let path = entry.expect("entry").path();
            let metadata = fs::symlink_metadata(&path).expect("there");
            if metadata.is_dir() {
                ways.push(path);
                continue;
            }
            let name = path
                .strip_prefix(root)
                .expect("below")
                .as_os_str()
                .as_bytes()
                .to_vec();
            let content = fs::read(&path).expect("readable");
            found.insert(name, (content, metadata.mtime(), metadata.mtime_nsec()));
        }
    }
    found
}

fn a_tree_with_odd_names_comes_back_as_it_was(kind: Kind) {
    let away = Away::on(kind, "odd");
    let root = away.scene.tree.path().to_owned();
    let names: [&[u8]; 14] = [
        b"plain",
        b"d/e/f/deep",
        b"d.x/between",
        b"with space",
        b" ",
        b"gr\xFC\xDF",
        b"100%25 %41 %C3",
        b"line\nbreak",
        b"tab\there\x7F",
        "\u{e9} \u{65e5}\u{672c} \u{1F600}".as_bytes(),
        b"-rf",
        b"..hidden..",
        b"a+b&c=d?e#f",
        b"\\back\\slash\"'`$(x)",
    ];
    for name in names {
        let path = root.join(std::ffi::OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(&path, random(2_000)).expect("written");
    }
    fs::write(root.join("empty"), "").expect("written");
    fs::write(root.join("large"), random(21 * MIB)).expect("written");
    let old = std::time::UNIX_EPOCH - std::time::Duration::from_millis(1_500);
    fs::File::options()
        .write(true)
        .open(root.join("plain"))
        .and_then(|file| file.set_modified(old))
        .expect("set");
    away.upload(&["--part-size", "5MiB"]);
    let expected = tree(&root);
    for strategy in [
        "async",
        "sequential",
        "threads",
        "chunked",
        "thread-per-file",
        "processes",
        "hybrid",
    ] {
        let flags = [
            "--strategy",
            strategy,
            "--part-size",
            "5MiB",
            "--concurrency",
            "4",
        ];
        let flags = if strategy == "sequential" {
            &flags[..4]
        } else {
            &flags[..]
        };
        let ran = away.restore(flags).expect_code(0);
        assert_eq!(ran.summary()["totals"]["done"], expected.len());
        assert!(tree(&away.dest()) == expected, "{strategy}");
        fs::remove_dir_all(away.dest()).expect("removed");
    }
}

fn a_second_restore_transfers_nothing(kind: Kind) {
    let away = Away::on(kind, "twice");
    away.scene.tree.many(300, 2_000);
    away.scene.tree.file("large", random(17 * MIB));
    away.upload(&[]);
    away.restore(&[]).expect_code(0);
    if kind == Kind::Embedded {
        away.scene.server.handle().reset_counters();
    }
    let again = away.restore(&[]).expect_code(0);
    let totals = &again.summary()["totals"];
    assert_eq!((&totals["done"], &totals["unchanged"]), (&0.into(), &301.into()));
    if kind == Kind::Embedded {
        assert_eq!(away.scene.requests("GetObject"), 0);
    }
    // A lost file alone comes again; a touched one is the same.
    fs::remove_file(away.dest().join("large")).expect("removed");
    let touched = fs::read_dir(away.dest())
        .expect("readable")
        .next()
        .expect("one")
        .expect("entry")
        .path();
    if touched.is_file() {
        fs::File::options()
            .write(true)
            .open(touched)
            .and_then(|file| file.set_modified(std::time::SystemTime::now()))
            .expect("set");
    }
    let third = away.restore(&[]).expect_code(0);
    assert_eq!(third.summary()["totals"]["done"], 1);
    assert_eq!(digests(&away.dest()), digests(away.scene.tree.path()));
}

fn what_is_there_is_replaced_only_if_asked(kind: Kind) {
    let away = Away::on(kind, "there");
    for name in ["older", "newer", "link", "same"] {
        away.scene.tree.file(name, name);
    }
    away.upload(&[]);
    let fill = || {
        let _ = fs::remove_dir_all(away.dest());
        fs::create_dir(away.dest()).expect("made");
        let local = |name: &str, content: &str, seconds: i64| {
            fs::write(away.dest().join(name), content).expect("written");
            let now = std::time::SystemTime::now();
            let shift = std::time::Duration::from_secs(seconds.unsigned_abs());
            let time = if seconds < 0 { now - shift } else { now + shift };
            let file = fs::File::options()
                .write(true)
                .open(away.dest().join(name))
                .expect("opened");
            file.set_modified(time).expect("set");
        };
        local("older", "local", -3_600);
        local("newer", "local", 3_600);
        local("same", "same", -3_600);
        symlink("/etc/hostname", away.dest().join("link")).expect("link");
    };
    let read = |name: &str| fs::read_to_string(away.dest().join(name)).expect("readable");
    for (flags, code, older, newer) in [
        (&[] as &[&str], 3, "local", "local"),
        (&["--overwrite", "never"], 3, "local", "local"),
        (&["--overwrite", "older"], 3, "older", "local"),
        (&["--overwrite", "always"], 0, "older", "newer"),
    ] {
        fill();
        let ran = away.restore(flags).expect_code(code);
        assert_eq!(
            (read("older"), read("newer")),
            (older.to_owned(), newer.to_owned()),
            "{flags:?}"
        );
        assert_eq!(read("same"), "same");
        let is_link = fs::symlink_metadata(away.dest().join("link"))
            .expect("there")
            .is_symlink();
        assert_eq!(
            is_link,
            code != 0,
            "a link is left, or replaced, and never followed"
        );
        let done = if older == "local" {
            0
        } else if newer == "local" {
            1
        } else {
            3
        };
        assert_eq!(ran.summary()["totals"]["done"], done, "{flags:?}");
    }
    assert_ne!(fs::read_to_string("/etc/hostname").expect("readable"), "link");
}

fn hostile_keys_write_nothing_outside(kind: Kind) {
    let away = Away::on(kind, "hostile");
    let outside = away.place.path().join("outside");
    fs::create_dir_all(&outside).expect("made");
    fs::create_dir_all(away.dest()).expect("made");
    symlink(&outside, away.dest().join("way")).expect("link");
    symlink(outside.join("target"), away.dest().join("file")).expect("link");
    away.put("p/good", b"good");
    away.put("p/way/in", b"evil");
    away.put("p/file", b"evil");
    let mut refused = 1;
    // MinIO itself refuses keys that lead out; the embedded server takes what a hostile one would serve.
    if kind == Kind::Embedded {
        away.put(&format!("p/{}", "n".repeat(300)), b"too long for a name");
        refused += 1;
        for key in [
            "p/../out",
            "p/a/../../out",
            "p//etc/out",
            "p/./out",
            "p/..",
            "p/%00out",
        ] {
            let oracle = away.scene.oracle();
            let put = oracle
                .client
                .put_object()
                .bucket(&oracle.bucket)
                .key(key)
                .body(b"evil".to_vec().into());
            if oracle.block_on(put.send()).is_ok() {
                refused += 1;
            }
        }
    }
    let ran = away.restore(&["--overwrite", "always"]);
    let ran = ran.expect_code(3);
    // The link itself is replaced, for that was asked; nothing is written through it.
    assert_eq!(ran.summary()["totals"]["failed"], refused, "{}", ran.stdout);
    assert_eq!(fs::read_dir(&outside).expect("readable").count(), 0);
    assert_eq!(
        fs::read_to_string(away.dest().join("good")).expect("restored"),
        "good"
    );
    let names: Vec<_> = fs::read_dir(away.place.path()).expect("readable").collect();
    assert!(names.len() <= 3, "dest, outside, state: {names:?}");
    let left = tree_names(&away.dest());
    assert!(!left.iter().any(|name| name.contains(".s3haul-")), "{left:?}");
}

pub(crate) fn tree_names(root: &Path) -> Vec<String> {
    fs::read_dir(root)
        .expect("readable")
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .collect()
}

fn nothing_stored_is_exit_ten(kind: Kind) {
    let away = Away::on(kind, "nothing");
    away.put("pq", b"not below p/");
    let ran = away.restore(&[]).expect_code(10);
    assert!(ran.stderr.contains("nothing is stored at"), "{}", ran.stderr);
    assert!(!away.dest().exists(), "nothing is made");
}

fn one_object_may_be_one_file(kind: Kind) {
    let away = Away::on(kind, "single");
    away.scene.tree.file("d/one", "one");
    away.scene.tree.file("d/one.more", "other");
    away.upload(&[]);
    run(&mut away.command("p/d/one", &[])).expect_code(0);
    assert_eq!(fs::read_to_string(away.dest()).expect("a file"), "one");
    let mut cp = away.scene.server.s3haul();
    cp.env("XDG_STATE_HOME", away.place.path().join("state"));
    cp.arg("cp")
        .arg(away.scene.target("p/d/one"))
        .arg(away.place.path().join("into/"));
    run(&mut cp).expect_code(0);
    assert_eq!(tree_names(&away.place.path().join("into")), ["one"]);
    let mut plan = away.command("p/d", &["-n"]);
    fs::remove_file(away.dest()).expect("removed");
    assert_eq!(run(&mut plan).expect_code(0).events("plan").len(), 2);
    assert!(!away.dest().exists());
}
