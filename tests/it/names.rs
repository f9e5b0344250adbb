//! Every name that Linux allows reaches a key and comes back; what cannot is refused one by one.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use s3haul::source::key;

use crate::env::{Kind, Tree, run};
use crate::on_both_servers;
use crate::scene::Scene;

on_both_servers!(
    odd_names_arrive_and_decode_to_themselves,
    links_and_special_files_are_left_out_by_reason,
);

/// `reliability.md` scenario 48, and what the encoding itself could trip over.
fn odd_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "plain",
        "with space",
        " leading",
        "trailing ",
        "new\nline",
        "tab\t",
        "\u{1}",
        "back\\slash",
        "%2F",
        "%",
        "100%",
        "%25",
        "%0A",
        "%FF",
        "+",
        "a+b",
        "?",
        "#",
        "quote'\"",
        "..x",
        ".x",
        "...",
        "e\u{301}",
        "\u{e9}",
        "case",
        "CASE",
        "\u{1F680}",
        "\u{FFFE}",
        "*",
        "~",
        "&amp;",
        "<x>",
        "a=b&c",
        "\u{202E}rtl",
        "-dash",
        "日本語",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.push(b"gr\xFC\xDF".to_vec());
    names.push(b"\xFF".to_vec());
    names.push(vec![b'x'; 255]);
    names
}

fn odd_names_arrive_and_decode_to_themselves(kind: Kind) {
    let scene = Scene::on(kind, "names");
    let names = odd_names();
    for name in &names {
        let path = scene.tree.path().join(OsString::from_vec(name.clone()));
        std::fs::write(path, name).expect("Linux allows it");
    }
    let oracle = scene.oracle();
    let ran = run(&mut scene.cp("n/", &[])).expect_code(0);
    let records = ran.events("file");
    assert_eq!(records.len(), names.len());
    for name in &names {
        let encoded = key::encode(name);
        let stored = format!("n/{}", encoded.text);
        assert_eq!(oracle.read(&stored), *name, "{stored:?}");
        assert_eq!(key::decode(&encoded.text), *name);
        let record = records
            .iter()
            .find(|record| record["key"] == stored.as_str())
            .expect("a record");
        assert_eq!(record["encoded"] == true, encoded.encoded, "{stored:?}");
        let is_plain = std::str::from_utf8(name).is_ok_and(|text| !text.chars().any(|c| c.is_control()));
        if is_plain && !matches!(name.as_slice(), b"%25" | b"%0A" | b"%FF" | [0xEF, 0xBF, 0xBE]) {
            assert_eq!(encoded.text.as_bytes(), name, "a clean name is its own key");
        }
    }
    let listing = ["ls", "-r", "--output", "json", &scene.target("n/")];
    let listed = run(scene.server.s3haul().args(listing)).expect_code(0);
    assert_eq!(
        listed.stdout.lines().count(),
        names.len(),
        "our own listing shows them all"
    );
}

fn links_and_special_files_are_left_out_by_reason(kind: Kind) {
    let scene = Scene::on(kind, "links");
    scene.tree.file("real/file", "real");
    let link =
        |to: &str, name: &str| std::os::unix::fs::symlink(to, scene.tree.path().join(name)).expect("link");
    link("real/file", "to-file");
    link("real", "to-directory");
    link("nowhere", "dangling");
    link("itself", "itself");
    link("..", "real/up");
    let fifo = scene.tree.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .expect("fifo");
    let _socket = std::os::unix::net::UnixListener::bind(scene.tree.path().join("socket")).expect("socket");
    let oracle = scene.oracle();
    let ran = run(&mut scene.cp("a/", &[])).expect_code(0);
    let skipped = &ran.summary()["skipped_by_reason"];
    assert_eq!(
        (&skipped["symlink"], &skipped["fifo"], &skipped["socket"]),
        (&5.into(), &1.into(), &1.into())
    );
    assert_eq!(oracle.keys("a/"), ["a/real/file"]);

    let ran = run(&mut scene.cp("b/", &["--follow-symlinks"])).expect_code(3);
    assert_eq!(
        oracle.keys("b/"),
        ["b/real/file", "b/to-directory/file", "b/to-file"]
    );
    let messages: Vec<String> = ran
        .events("error")
        .iter()
        .map(|error| error["failure"]["message"].to_string())
        .collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(
        messages.iter().any(|message| message.contains("dangling")),
        "{messages:?}"
    );
    assert_eq!(ran.summary()["skipped_by_reason"]["symlink-loop"], 2);
}

#[test]
fn a_key_that_is_too_long_is_refused_by_itself() {
    let scene = Scene::new("long");
    scene.tree.file("short", "x");
    let deep = ["d".repeat(250), "e".repeat(250), "f".repeat(250), "g".repeat(250)].join("/");
    // Prefix "k/" + 4 x 250 + 3 slashes + 1 slash + name.
    scene
        .tree
        .file(&format!("{deep}/{}", "n".repeat(18)), "exactly 1,024");
    scene.tree.file(&format!("{deep}/{}", "n".repeat(19)), "1,025");
    let ran = run(&mut scene.cp("k/", &[])).expect_code(3);
    let errors = ran.events("error");
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0]["failure"]["kind"], "key-refused");
    assert!(
        errors[0]["failure"]["message"]
            .as_str()
            .unwrap()
            .contains("1025 bytes"),
        "{}",
        errors[0]
    );
    assert_eq!(scene.oracle().keys("k/").len(), 2);
}

#[test]
fn a_tree_deeper_than_any_key_is_refused_without_being_walked() {
    let scene = Scene::new("deep");
    scene.tree.file("short", "x");
    let mut current = rustix::fs::open(
        scene.tree.path(),
        rustix::fs::OFlags::PATH,
        rustix::fs::Mode::empty(),
    )
    .expect("open");
    for _ in 0..2_000 {
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mkdirat(&current, "d", mode).expect("mkdir");
        current = rustix::fs::openat(&current, "d", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty())
            .expect("open");
    }
    let ran = run(&mut scene.cp("", &[])).expect_code(3);
    assert_eq!(ran.summary()["totals"]["done"], 1);
    assert_eq!(ran.events("error").len(), 1);
}

#[test]
fn an_excluded_directory_is_never_entered() {
    let scene = Scene::new("excl");
    scene.tree.file("keep/a.txt", "a");
    scene.tree.file("keep/b.log", "b");
    scene.tree.file("skip/me/c.txt", "c");
    let trace = scene.tree.path().with_extension("trace");
    let flags = ["--exclude", "skip", "--exclude", "*.log", "--include", "b.log"];
    let mut strace = std::process::Command::new("strace");
    let have_strace = strace
        .arg("-V")
        .output()
        .is_ok_and(|output| output.status.success());
    let mut ours = scene.cp("", &flags);
    let ran = if have_strace {
        let mut command = std::process::Command::new("strace");
        command
            .args(["-f", "-e", "trace=open,openat", "-o"])
            .arg(&trace)
            .arg(ours.get_program());
        for (name, value) in ours.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        run(command.args(ours.get_args()))
    } else {
        run(&mut ours)
    };
    assert_eq!(scene.oracle().keys(""), ["keep/a.txt", "keep/b.log"]);
    assert_eq!(
        ran.expect_code(0).summary()["skipped_by_reason"]["excluded"],
        1,
        "the directory counts once"
    );
    if have_strace {
        let opened = std::fs::read(&trace).expect("trace");
        let _ = std::fs::remove_file(&trace);
        assert!(
            !String::from_utf8_lossy(&opened).contains("/skip\""),
            "the excluded directory was opened"
        );
    }
}

#[test]
fn paths_come_from_a_list_with_newlines_or_nuls() {
    let scene = Scene::new("list");
    scene.tree.file("a.txt", "a");
    scene.tree.file("sub/b.txt", "b");
    scene.tree.file("sub/c\nc", "c");
    scene.tree.file("other", "o");
    let lists = Tree::new();
    let lines = lists.file("lines", "a.txt\n\n./sub/b.txt\nmissing\n../outside\n");
    let nuls = lists.file("nuls", b"sub/c\nc\0sub/b.txt");
    let oracle = scene.oracle();
    let lines = ["--files-from", lines.to_str().expect("UTF-8")];
    let ran = run(&mut scene.cp("1/", &lines)).expect_code(3);
    assert_eq!(oracle.keys("1/"), ["1/a.txt", "1/sub/b.txt"]);
    let kinds: Vec<_> = ran
        .events("error")
        .iter()
        .map(|error| error["failure"]["kind"].clone())
        .collect();
    assert_eq!(kinds, ["vanished", "key-refused"]);
    let nuls = ["--files-from0", nuls.to_str().expect("UTF-8")];
    run(&mut scene.cp("2/", &nuls)).expect_code(0);
    assert_eq!(oracle.keys("2/"), ["2/sub/b.txt", "2/sub/c%0Ac"]);
    assert_eq!(OsString::from("x").as_bytes(), b"x");
}
