//! `cp` as a person uses it, against both servers, with the bucket looked at by somebody else.

use crate::env::{Kind, Ran, Server, Tree, bucket, digests, random, run};
use crate::on_both_servers;

const MIB: usize = 1024 * 1024;

on_both_servers!(
    a_directory_arrives_whole_with_hidden_and_empty_files,
    the_key_rule_holds_for_files_directories_and_several_sources,
    sizes_around_part_and_threshold_arrive,
    objects_carry_what_was_asked_for,
    every_checksum_algorithm_is_kept_by_the_server,
    an_object_that_exists_is_skipped_when_asked,
    a_missing_bucket_is_made_when_asked,
    what_verify_reads_back_is_the_same,
    both_engines_leave_the_same_objects,
);

/// Runs `cp` with `arguments` and the target below `bucket`.
fn cp(server: &Server, arguments: &[&str]) -> Ran {
    run(server.s3haul().args(["cp", "--output", "json"]).args(arguments))
}

fn a_directory_arrives_whole_with_hidden_and_empty_files(kind: Kind) {
    let (server, tree, bucket) = (Server::start(kind), Tree::new(), bucket("dir"));
    tree.many(60, 3_000);
    tree.file(".hidden/.file", "hidden");
    tree.file("empty", "");
    tree.file("large.bin", random(20 * MIB));
    let oracle = server.oracle(&bucket);
    oracle.make_bucket();
    let ran = cp(
        &server,
        &[tree.path().to_str().unwrap(), &format!("s3://{bucket}/p/")],
    )
    .expect_code(0);
    assert_eq!(oracle.digests("p/"), digests(tree.path()));
    let totals = &ran.summary()["totals"];
    assert_eq!(
        (totals["discovered"].as_u64(), totals["done"].as_u64()),
        (Some(63), Some(63))
    );
    assert_eq!(ran.events("file").len(), 63, "one line for each file");
    assert_eq!(ran.events("start").len(), 1);
    assert_eq!(oracle.open_uploads("p/large.bin"), 0);
}

/// Whole with its head, in slices with its checksum before or behind it, in parts: what is stored is the same.
fn both_engines_leave_the_same_objects(kind: Kind) {
    let (server, tree, bucket) = (Server::start(kind), Tree::new(), bucket("same"));
    tree.file("small.txt", random(4_000));
    tree.file("middle.json", random(2 * MIB));
    tree.file("large.bin", random(17 * MIB));
    let oracle = server.oracle(&bucket);
    oracle.make_bucket();
    for engine in ["direct", "sdk"] {
        let target = format!("s3://{bucket}/{engine}/");
        let flags = ["--engine", engine, "--metadata", "owner=me", "--tags", "a=b"];
        cp(
            &server,
            &[&[tree.path().to_str().unwrap(), &target][..], &flags].concat(),
        )
        .expect_code(0);
    }
    assert_eq!(oracle.digests("direct/"), oracle.digests("sdk/"));
    for name in ["small.txt", "middle.json", "large.bin"] {
        let told = |engine: &str| {
            let head = oracle.head(&format!("{engine}/{name}"));
            let described = format!(
                "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
                head.e_tag(),
                head.content_type(),
                head.content_encoding(),
                head.checksum_crc64_nvme(),
                head.checksum_type(),
                head.storage_class(),
                head.tag_count(),
            );
            let metadata: std::collections::BTreeMap<_, _> =
                head.metadata().cloned().unwrap_or_default().into_iter().collect();
            (described, metadata)
        };
        assert_eq!(told("direct"), told("sdk"), "{name}");
        assert_eq!(told("direct").1.len(), 2, "mtime and owner");
    }
}

fn the_key_rule_holds_for_files_directories_and_several_sources(kind: Kind) {
    let (server, tree, bucket) = (Server::start(kind), Tree::new(), bucket("keys"));
    let file = tree.file("a.txt", "a");
    tree.file("photos/b.jpg", "b");
    tree.file("docs/c.txt", "c");
    let (file, photos, docs) = (
        file.to_str().unwrap(),
        tree.path().join("photos"),
        tree.path().join("docs"),
    );
    let (photos, docs) = (photos.to_str().unwrap(), docs.to_str().unwrap());
    let oracle = server.oracle(&bucket);
    oracle.make_bucket();
    for (sources, target, keys) in [
        (vec![file], "1/", vec!["1/a.txt"]),
        (vec![file], "2", vec!["2"]),
        (vec![photos], "3/", vec!["3/b.jpg"]),
        (vec![photos], "4", vec!["4/b.jpg"]),
        (
            vec![photos, docs, file],
            "5/",
            vec!["5/a.txt", "5/docs/c.txt", "5/photos/b.jpg"],
        ),
        (vec![photos, file], "6", vec!["6/a.txt", "6/photos/b.jpg"]),
    ] {
        let target_url = format!("s3://{bucket}/{target}");
        let arguments: Vec<&str> = sources.into_iter().chain([target_url.as_str()]).collect();
        cp(&server, &arguments).expect_code(0);
        assert_eq!(oracle.keys(&target[..1]), keys, "{target}");
    }
    cp(&server, &[file, &format!("s3://{bucket}")]).expect_code(0);
    assert!(oracle.exists("a.txt"), "a bucket alone means into it");
}

fn sizes_around_part_and_threshold_arrive(kind: Kind) {
    let (server, tree, bucket) = (Server::start(kind), Tree::new(), bucket("sizes"));
    let part = 5 * MIB;
    for bytes in [
        0,
        1,
        part - 1,
        part,
        part + 1,
        2 * part - 1,
        2 * part,
        2 * part + 1,
    ] {
        tree.file(&format!("{bytes}"), random(bytes));
    }
    let oracle = server.oracle(&bucket);
    oracle.make_bucket();
    let target = format!("s3://{bucket}/s/");
    let sizes = ["--part-size", "5MiB", "--multipart-threshold", "5MiB"];
    let ran = run(server
        .s3haul()
        .args(["cp", "--output", "json"])
        .args(sizes)
        .arg(tree.path())
        .arg(target))
    .expect_code(0);
    assert_eq!(oracle.digests("s/"), digests(tree.path()));
    let parts = |bytes: usize| {
        let name = format!("s/{bytes}");
        let event = ran
            .events("file")
            .into_iter()
            .find(|event| event["key"] == name.as_str());
        event.expect("an event for each file")["parts"].as_u64()
    };
    assert_eq!(
        (parts(part), parts(part + 1), parts(2 * part), parts(2 * part + 1)),
        (Some(0), Some(2), Some(2), Some(3))
    );
}

fn objects_carry_what_was_asked_for(kind: Kind) {
    let (server, tree, bucket) = (Server::start(kind), Tree::new(), bucket("attr"));
    let small = tree.file("page.html", "<html></html>");
    tree.file("large.bin", random(6 * MIB));
    let oracle = server.oracle(&bucket);
    oracle.make_bucket();
    let target = format!("s3://{bucket}/o/");
    let flags = [
        "--part-size",
        "5MiB",
        "--multipart-threshold",
        "5MiB",
        "--metadata",
        "owner=me",
        "--tags",
        "a=b c",
    ];
    run(server.s3haul().arg("cp").args(flags).arg(tree.path()).arg(target)).expect_code(0);
    let modified = std::fs::metadata(small).unwrap().modified().unwrap();
    let modified = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
    let mtime = format!("{}.{:09}", modified.as_secs(), modified.subsec_nanos());
    let head = oracle.head("o/page.html");
    let metadata = head.metadata().expect("metadata");
    assert_eq!(metadata.get("owner").map(String::as_str), Some("me"));
    assert_eq!(metadata.get("mtime"), Some(&mtime), "in rclone's format");
    assert_eq!(head.content_type(), Some("text/html"));
    assert!(
        oracle
            .head("o/large.bin")
            .metadata()
            .expect("metadata")
            .contains_key("mtime")
    );
    for key in ["o/page.html", "o/large.bin"] {
        let tags = oracle
            .block_on(oracle.client.get_object_tagging().bucket(&bucket).key(key).send())
            .expect("tags");
        assert_eq!(
            tags.tag_set()
                .iter()
                .map(|tag| (tag.key(), tag.value()))
                .collect::<Vec<_>>(),
            [("a", "b c")],
            "{key}"
        );
    }
}

fn every_checksum_algorithm_is_kept_by_the_server(kind: Kind) {
    let (server, tree, bucket) = (Server::start(kind), Tree::new(), bucket("sum"));
    tree.file("small", "123456789");
    tree.file("large", random(11 * MIB));
    let oracle = server.oracle(&bucket);
    oracle.make_bucket();
    for algorithm in ["crc64nvme", "crc32c", "crc32", "sha256"] {
        let target = format!("s3://{bucket}/{algorithm}/");
        let flags = [
            "--part-size",
            "5MiB",
            "--multipart-threshold",
            "5MiB",
            "--checksum-algorithm",
            algorithm,
        ];
        run(server
            .s3haul()
            .args(["cp", "--verify", "read"])
            .args(flags)
            .arg(tree.path())
            .arg(target))
        .expect_code(0);
        assert_eq!(
            oracle.digests(&format!("{algorithm}/")),
            digests(tree.path()),
            "{algorithm}"
        );
    }
    // Known answers: CRC RevEng catalogue, and sha256sum.
    assert_eq!(
        oracle.head("crc64nvme/small").checksum_crc64_nvme(),
        Some("rosUhgp5mIg=")
    );
    assert_eq!(oracle.head("crc32c/small").checksum_crc32_c(), Some("4waSgw=="));
    assert_eq!(oracle.head("crc32/small").checksum_crc32(), Some("y/Q5Jg=="));
    assert_eq!(
        oracle.head("sha256/small").checksum_sha256(),
        Some("FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=")
    );
    let whole = oracle.head("crc64nvme/large");
    assert_eq!(
        whole.checksum_type(),
        Some(&aws_sdk_s3::types::ChecksumType::FullObject)
    );
}

fn an_object_that_exists_is_skipped_when_asked(kind: Kind) {
    let (server, tree, bucket) = (Server::start(kind), Tree::new(), bucket("cond"));
    tree.file("small", "first");
    tree.file("large", random(6 * MIB));
    let oracle = server.oracle(&bucket);
    oracle.make_bucket();
    let root = tree.path().to_str().unwrap();
    let target = format!("s3://{bucket}/c/");
    let flags = [
        "--part-size",
        "5MiB",
        "--multipart-threshold",
        "5MiB",
        "--if-none-match",
        root,
        &target,
    ];
    let first = cp(&server, &flags).expect_code(0).summary();
    assert_eq!(first["totals"]["done"], 2);
    let before = oracle.digests("c/");
    tree.file("small", "second");
    tree.file("large", random(6 * MIB));
    let second = cp(&server, &flags).expect_code(0).summary();
    assert_eq!(
        (&second["totals"]["done"], &second["skipped_by_reason"]["exists"]),
        (&0.into(), &2.into())
    );
    assert_eq!(oracle.digests("c/"), before, "nothing was replaced");
    assert_eq!(oracle.open_uploads("c/large"), 0);
}

fn a_missing_bucket_is_made_when_asked(kind: Kind) {
    let (server, tree, bucket) = (Server::start(kind), Tree::new(), bucket("made"));
    let file = tree.file("a", "a");
    let (file, target) = (file.to_str().unwrap(), format!("s3://{bucket}/"));
    let refused = cp(&server, &[file, &target]).expect_code(10);
    assert!(refused.stderr.contains("--create-bucket"), "{}", refused.stderr);
    cp(&server, &["--create-bucket", file, &target]).expect_code(0);
    assert!(server.oracle(&bucket).exists("a"));
    run(server.s3haul().args(["mb", &format!("s3://{bucket}")])).expect_code(0);
}

fn what_verify_reads_back_is_the_same(kind: Kind) {
    let (server, tree, bucket) = (Server::start(kind), Tree::new(), bucket("ver"));
    tree.many(5, 1_000);
    tree.file("large", random(11 * MIB));
    server.oracle(&bucket).make_bucket();
    for mode in ["none", "head", "read"] {
        let target = format!("s3://{bucket}/{mode}/");
        let flags = [
            "--part-size",
            "5MiB",
            "--multipart-threshold",
            "5MiB",
            "--verify",
            mode,
        ];
        run(server
            .s3haul()
            .arg("cp")
            .args(flags)
            .arg(tree.path())
            .arg(&target))
        .expect_code(0);
        assert_eq!(
            server.oracle(&bucket).digests(&format!("{mode}/")),
            digests(tree.path())
        );
    }
}
