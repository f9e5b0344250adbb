//! `--batch-small`: archives that MinIO takes apart, and what becomes of files where that does not work.

use std::fs;

use crate::env::{digests, random, run};
use crate::scene::{MIB, SMALL_PARTS, Scene};
use crate::strategies::STRATEGIES;

const UP_TO: [&str; 2] = ["--batch-small", "64KiB"];

/// Small files in three directories, and some that no batch takes.
fn fill(scene: &Scene) {
    for number in 0..150 {
        scene
            .tree
            .file(&format!("{}/f{number}.txt", number % 3), random(number * 40));
    }
    scene.tree.file("0/empty", "");
    scene.tree.file("1/space and \u{e9}\u{1F680}.html", "odd");
    scene.tree.file(&format!("2/{}", "long".repeat(60)), "long");
    scene.tree.file("large", random(70 * 1024));
    scene.tree.file("parts", random(6 * MIB));
}

/// What a single PUT and a batch must agree in.
fn carried(scene: &Scene, key: &str) -> (Option<String>, Option<String>, Option<String>, Option<String>) {
    let head = scene.oracle().head(key);
    let mut metadata = head.metadata.clone().unwrap_or_default();
    (
        head.content_type.clone(),
        metadata.remove("mtime"),
        metadata.remove("colour"),
        head.e_tag.clone(),
    )
}

#[test]
fn every_strategy_sends_small_files_together_to_a_server_that_takes_archives_apart() {
    let Some(scene) = Scene::on_minio("batch") else {
        return;
    };
    fill(&scene);
    let expected = digests(scene.tree.path());
    for strategy in STRATEGIES.into_iter().filter(|name| *name != "thread-per-file") {
        let prefix = format!("{strategy}/");
        let flags = [
            &SMALL_PARTS[..],
            &UP_TO,
            &["--strategy", strategy, "--concurrency", "4"],
        ]
        .concat();
        let ran = run(&mut scene.cp(&prefix, &flags)).expect_code(0);
        let totals = &ran.summary()["totals"];
        assert_eq!(totals["done"], 155, "{strategy}");
        assert_eq!(totals["batched"], 153, "{strategy}");
        assert_eq!(scene.oracle().digests(&prefix), expected, "{strategy}");
    }
    // Neither probes nor archives are left.
    assert_eq!(scene.oracle().keys("").len(), 155 * (STRATEGIES.len() - 1));
}

#[test]
fn an_object_from_a_batch_carries_what_one_from_a_put_does() {
    let Some(scene) = Scene::on_minio("batch-carry") else {
        return;
    };
    fill(&scene);
    let metadata = ["--metadata", "colour=blue"];
    run(&mut scene.cp("one/", &metadata)).expect_code(0);
    run(&mut scene.cp("all/", &[&metadata[..], &UP_TO].concat())).expect_code(0);
    for name in ["0/f3.txt", "0/empty", "1/space and \u{e9}\u{1F680}.html"] {
        let (alone, together) = (
            carried(&scene, &format!("one/{name}")),
            carried(&scene, &format!("all/{name}")),
        );
        assert_eq!(alone, together, "{name}");
        assert!(
            together.1.is_some() && together.2.as_deref() == Some("blue"),
            "{together:?}"
        );
    }
}

#[test]
fn what_an_archive_cannot_store_goes_by_itself_and_says_why() {
    let Some(scene) = Scene::on_minio("batch-part") else {
        return;
    };
    for name in ["a", "b", "taken/xl.meta"] {
        scene.tree.file(name, name);
    }
    // MinIO keeps the object "taken" in a file of this name: no other object can have it.
    let oracle = scene.oracle();
    let put = oracle.client.put_object().bucket(&scene.bucket).key("taken");
    oracle
        .block_on(put.body(b"x".to_vec().into()).send())
        .expect("the object in the way");
    let ran = run(&mut scene.cp("", &UP_TO)).expect_code(3);
    let totals = &ran.summary()["totals"];
    assert_eq!(
        (&totals["batched"], &totals["failed"]),
        (&2.into(), &1.into()),
        "{totals}"
    );
    assert_eq!(scene.oracle().keys(""), ["a", "b", "taken"]);
}

#[test]
fn a_file_that_cannot_be_read_does_not_spoil_its_batch() {
    let Some(scene) = Scene::on_minio("batch-read") else {
        return;
    };
    for name in ["a", "b", "c"] {
        scene.tree.file(name, name);
    }
    // Listed by name, gone when it is read.
    let list = scene.tree.path().with_extension("list");
    fs::write(&list, "a\nb\ngone\nc\n").expect("list");
    let flags = [&UP_TO[..], &["--files-from", list.to_str().expect("text")]].concat();
    let ran = run(&mut scene.cp("", &flags));
    fs::remove_file(&list).expect("list");
    assert_eq!(ran.summary()["totals"]["batched"], 3, "{}", ran.stdout);
    assert_eq!(scene.oracle().keys(""), ["a", "b", "c"]);
}

#[test]
fn a_server_that_keeps_archives_gets_files_one_by_one_and_is_left_clean() {
    let scene = Scene::new("batch-none");
    fill(&scene);
    for (setting, warns) in [("64KiB", true), ("auto", false)] {
        let prefix = format!("{setting}/");
        let flags = [&SMALL_PARTS[..], &["--batch-small", setting]].concat();
        let ran = run(&mut scene.cp(&prefix, &flags)).expect_code(0);
        assert_eq!(ran.summary()["totals"]["batched"], 0);
        assert_eq!(ran.stderr.contains("one by one"), warns, "{}", ran.stderr);
        assert_eq!(scene.oracle().digests(&prefix), digests(scene.tree.path()));
    }
    assert_eq!(scene.oracle().keys("").len(), 2 * 155);
}

#[test]
fn what_batches_cannot_be_combined_with_is_said() {
    let scene = Scene::new("batch-flags");
    scene.tree.file("a", "a");
    for (flags, says) in [
        (
            &["--batch-small", "64KiB", "--if-none-match"][..],
            "--if-none-match",
        ),
        (&["--batch-small", "64KiB", "--verify", "read"], "--verify"),
        (&["--batch-small", "64KiB", "--tags", "a=b"], "--tags"),
        (
            &["--batch-small", "64KiB", "--strategy", "thread-per-file"],
            "thread-per-file",
        ),
        (&["--batch-small", "2MiB"], "1 MiB"),
        (&["--batch-small", "some"], "neither 'auto' nor 'off'"),
    ] {
        let ran = run(&mut scene.cp("", flags)).expect_code(2);
        let told = format!("{}{}", ran.stdout, ran.stderr);
        assert!(told.contains(says), "{flags:?}: {told}");
    }
    let gives_way = ["--batch-small", "auto", "--if-none-match"];
    run(&mut scene.cp("", &gives_way)).expect_code(0);
}
