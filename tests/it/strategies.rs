//! Every strategy x client mode uploads the same with either engine; what each name promises is counted in `strategy_counts`.

use s3haul::config::Engine;

use crate::env::{Kind, Ran, Server, Tree, bucket, digests, engine_name, random, run};
use crate::scene::MIB;
use crate::{on_both_servers_with_both_engines, with_both_engines};

pub(crate) const STRATEGIES: [&str; 7] = [
    "sequential",
    "threads",
    "chunked",
    "thread-per-file",
    "async",
    "processes",
    "hybrid",
];
pub(crate) const CLIENTS: [&str; 3] = ["shared", "per-worker", "per-upload"];

on_both_servers_with_both_engines!(
    every_combination_uploads_the_same_tree,
    one_large_file_keeps_all_workers_busy,
);

with_both_engines!(zero_files_end_well_with_every_strategy);

fn combinations() -> impl Iterator<Item = (&'static str, &'static str)> {
    let all = STRATEGIES
        .into_iter()
        .flat_map(|strategy| CLIENTS.map(|client| (strategy, client)));
    all.filter(|combination| *combination != ("processes", "shared"))
}

pub(crate) fn upload(
    server: &Server,
    (strategy, client): (&str, &str),
    engine: Engine,
    extra: &[&str],
    tree: &Tree,
    target: &str,
) -> Ran {
    let flags = [
        "cp",
        "--output",
        "json",
        "--strategy",
        strategy,
        "--client",
        client,
        "--engine",
        engine_name(engine),
    ];
    run(server
        .s3haul()
        .args(flags)
        .args(extra)
        .arg(tree.path())
        .arg(target))
}

fn every_combination_uploads_the_same_tree(kind: Kind, engine: Engine) {
    let (server, tree, bucket) = (Server::start(kind), Tree::new(), bucket("matrix"));
    // Eighty runs in all: more files than are in flight, and more parts than one, are enough.
    tree.many(12, 2_000);
    tree.file("with space/ü.txt", "x");
    tree.file("large", random(6 * MIB));
    let oracle = server.oracle(&bucket);
    oracle.make_bucket();
    let expected = digests(tree.path());
    for (strategy, client) in combinations() {
        let prefix = format!("{strategy}-{client}/");
        let target = format!("s3://{bucket}/{prefix}");
        let sizes = [
            "--concurrency",
            "6",
            "--part-size",
            "5MiB",
            "--multipart-threshold",
            "5MiB",
        ];
        let ran = upload(&server, (strategy, client), engine, &sizes, &tree, &target).expect_code(0);
        let totals = &ran.summary()["totals"];
        assert_eq!(
            (&totals["discovered"], &totals["done"]),
            (&14.into(), &14.into()),
            "{strategy} x {client}"
        );
        assert_eq!(oracle.digests(&prefix), expected, "{strategy} x {client}");
        assert_eq!(
            oracle.open_uploads(&format!("{prefix}large")),
            0,
            "{strategy} x {client}"
        );
    }
}

fn one_large_file_keeps_all_workers_busy(kind: Kind, engine: Engine) {
    let (server, tree, bucket) = (Server::start(kind), Tree::new(), bucket("large"));
    tree.file("large", random(60 * MIB));
    server.oracle(&bucket).make_bucket();
    for strategy in ["threads", "chunked", "async", "processes", "hybrid"] {
        let target = format!("s3://{bucket}/{strategy}/");
        let sizes = [
            "--concurrency",
            "4",
            "--part-size",
            "5MiB",
            "--multipart-threshold",
            "5MiB",
        ];
        let summary = upload(&server, (strategy, "per-worker"), engine, &sizes, &tree, &target)
            .expect_code(0)
            .summary();
        let workers = &summary["workers"];
        assert_eq!(workers["workers_pulling"], 4, "{strategy}: {workers}");
        assert_eq!(workers["peak_in_flight"], 4, "{strategy}: {workers}");
    }
}

fn zero_files_end_well_with_every_strategy(engine: Engine) {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("zero"));
    server.oracle(&bucket).make_bucket();
    for (strategy, client) in combinations() {
        let ran = upload(
            &server,
            (strategy, client),
            engine,
            &["--concurrency", "3"],
            &tree,
            &format!("s3://{bucket}/"),
        );
        let summary = ran.expect_code(0).summary();
        assert_eq!(summary["totals"]["discovered"], 0, "{strategy} x {client}");
    }
}

#[test]
fn too_many_threads_are_refused_before_the_first_byte() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("many"));
    tree.many(1_025, 1);
    server.oracle(&bucket).make_bucket();
    let target = format!("s3://{bucket}/");
    let refused = upload(
        &server,
        ("thread-per-file", "shared"),
        Engine::Auto,
        &[],
        &tree,
        &target,
    )
    .expect_code(2);
    assert!(
        refused.stderr.contains("more than 1024 threads") && refused.stderr.contains("--force"),
        "{}",
        refused.stderr
    );
    assert_eq!(server.handle().counters().requests.get("PutObject"), None);
    upload(
        &server,
        ("thread-per-file", "shared"),
        Engine::Auto,
        &["--force"],
        &tree,
        &target,
    )
    .expect_code(0);
}

#[test]
fn the_default_says_what_it_chose() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("auto"));
    tree.many(3, 10);
    server.oracle(&bucket).make_bucket();
    let ran = run(server
        .s3haul()
        .arg("cp")
        .arg(tree.path())
        .arg(format!("s3://{bucket}/")))
    .expect_code(0);
    assert!(
        ran.stdout.contains("async strategy, shared client"),
        "{}",
        ran.stdout
    );
}
