//! What the name of each strategy and client mode promises, proven by counting.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use s3haul::config::Engine;

use crate::scene::{Scene, delay};
use crate::strategies::{CLIENTS, STRATEGIES, upload};
use crate::with_both_engines;

with_both_engines!(
    a_shared_client_opens_at_most_as_many_connections_as_requests_in_flight,
    a_workers_requests_come_over_its_own_connections_only,
    a_client_per_upload_opens_a_connection_for_every_object,
);

/// What was counted of one upload, by the run itself and by the server.
struct Counted {
    summary: serde_json::Value,
    records: Vec<serde_json::Value>,
    counters: s3haul::server::Counters,
    log: Vec<s3haul::server::RequestLogEntry>,
}

const FILES: usize = 60;

/// Uploads small files, each answer delayed by 20 ms so that requests overlap.
fn counted(strategy: &str, client: &str, extra: &[&str]) -> Counted {
    counted_with(Engine::Auto, strategy, client, extra)
}

fn counted_with(engine: Engine, strategy: &str, client: &str, extra: &[&str]) -> Counted {
    let scene = Scene::new("count");
    scene.tree.many(FILES, 500);
    scene.set_faults(vec![delay("PutObject", 20)]);
    let handle = scene.server.handle();
    handle.reset_counters();
    let ran = upload(
        &scene.server,
        (strategy, client),
        engine,
        extra,
        &scene.tree,
        &scene.target(""),
    )
    .expect_code(0);
    Counted {
        summary: ran.summary(),
        records: ran.events("file"),
        counters: handle.counters(),
        log: handle.request_log(),
    }
}

impl Counted {
    fn number(&self, name: &str) -> u64 {
        self.summary["workers"][name].as_u64().expect("a number")
    }

    fn puts(&self) -> u64 {
        self.counters.requests.get("PutObject").copied().unwrap_or(0)
    }
}

#[test]
fn sequential_never_has_more_than_one_request_in_flight() {
    for client in CLIENTS {
        let counted = counted("sequential", client, &["--concurrency", "8"]);
        assert_eq!(counted.counters.requests_in_flight_peak, 1, "{client}");
        assert_eq!(counted.puts(), FILES as u64);
    }
}

#[test]
fn threads_all_pull_and_are_all_joined() {
    for client in CLIENTS {
        let counted = counted("threads", client, &["--concurrency", "6"]);
        assert_eq!(
            (
                counted.number("threads_started"),
                counted.number("threads_joined")
            ),
            (6, 6),
            "{client}"
        );
        assert_eq!(counted.number("workers_pulling"), 6, "{client}");
        assert_eq!(counted.counters.uploads_in_flight_peak, 6, "{client}");
    }
}

#[test]
fn chunked_splits_beforehand_and_no_task_moves() {
    let counted = counted("chunked", "per-worker", &["--concurrency", "5"]);
    assert_eq!(
        (
            counted.number("threads_started"),
            counted.number("threads_joined")
        ),
        (5, 5)
    );
    let mut workers_of: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    let mut size_of: BTreeMap<u64, usize> = BTreeMap::new();
    for record in &counted.records {
        let chunk = record["chunk"].as_u64().expect("every file stands in a chunk");
        workers_of
            .entry(chunk)
            .or_default()
            .insert(record["worker"]["worker"].as_u64().expect("worker"));
        *size_of.entry(chunk).or_default() += 1;
    }
    assert_eq!(workers_of.len(), 20, "4N chunks for N = 5");
    assert!(
        workers_of.values().all(|workers| workers.len() == 1),
        "{workers_of:?}"
    );
    assert!(size_of.values().all(|size| *size == FILES / 20), "{size_of:?}");
}

#[test]
fn thread_per_file_has_as_many_threads_as_files_and_joins_them() {
    for client in CLIENTS {
        let counted = counted("thread-per-file", client, &["--concurrency", "8"]);
        let files = FILES as u64;
        assert_eq!(
            (
                counted.number("threads_started"),
                counted.number("threads_joined")
            ),
            (files, files),
            "{client}"
        );
        let workers: BTreeSet<_> = counted
            .records
            .iter()
            .map(|record| record["worker"]["worker"].as_u64())
            .collect();
        assert_eq!(workers.len(), FILES, "{client}: one worker for each file");
    }
}

#[test]
fn async_on_one_loop_polls_on_exactly_one_thread() {
    for client in CLIENTS {
        let counted = counted("async", client, &["--concurrency", "12", "--event-loops", "1"]);
        assert_eq!(counted.number("threads_polling"), 1, "{client}");
        assert_eq!(counted.counters.uploads_in_flight_peak, 12, "{client}");
    }
}

#[test]
fn async_on_many_loops_polls_on_more_than_one_and_at_most_k_threads() {
    for client in CLIENTS {
        let counted = counted("async", client, &["--concurrency", "12", "--event-loops", "3"]);
        let polling = counted.number("threads_polling");
        assert!((2..=3).contains(&polling), "{client}: {polling}");
        assert_eq!(counted.counters.uploads_in_flight_peak, 12, "{client}");
    }
}

#[test]
fn processes_have_ids_of_their_own_and_are_each_reaped() {
    for (strategy, client, flags, children) in [
        ("processes", "per-worker", vec!["--concurrency", "4"], 4),
        ("processes", "per-upload", vec!["--concurrency", "4"], 4),
        (
            "hybrid",
            "shared",
            vec!["--concurrency", "6", "--processes", "2"],
            2,
        ),
        (
            "hybrid",
            "per-worker",
            vec!["--concurrency", "7", "--processes", "3"],
            3,
        ),
    ] {
        let counted = counted(strategy, client, &flags);
        let reaped = counted.summary["workers"]["children"]
            .as_array()
            .expect("children");
        let pids: BTreeSet<_> = reaped.iter().map(|child| child["pid"].as_u64()).collect();
        assert_eq!(
            (reaped.len(), pids.len()),
            (children, children),
            "{strategy} x {client}"
        );
        assert!(
            reaped.iter().all(|child| child["exited_cleanly"] == true),
            "{reaped:?}"
        );
        let sending: BTreeSet<_> = counted
            .records
            .iter()
            .map(|record| record["worker"]["pid"].as_u64())
            .collect();
        assert_eq!(
            sending, pids,
            "{strategy} x {client}: every child uploaded something"
        );
        let in_flight: u64 = flags[1].parse().expect("number");
        assert_eq!(
            counted.counters.uploads_in_flight_peak, in_flight,
            "{strategy} x {client}"
        );
    }
}

fn a_shared_client_opens_at_most_as_many_connections_as_requests_in_flight(engine: Engine) {
    for (strategy, loops) in [
        ("sequential", &[][..]),
        ("threads", &[]),
        ("chunked", &[]),
        ("thread-per-file", &[]),
        ("async", &[]),
        ("async", &["--event-loops", "2"]),
        ("hybrid", &[]),
    ] {
        let flags = [&["--concurrency", "6"], loops].concat();
        let counted = counted_with(engine, strategy, "shared", &flags);
        assert!(
            counted.counters.connections_accepted <= 6,
            "{strategy}: {}",
            counted.counters.connections_accepted
        );
        assert_eq!(
            counted.summary["connections"], counted.counters.connections_accepted,
            "{strategy}"
        );
    }
}

fn a_workers_requests_come_over_its_own_connections_only(engine: Engine) {
    for strategy in ["threads", "chunked", "async", "processes", "hybrid"] {
        let counted = counted_with(engine, strategy, "per-worker", &["--concurrency", "5"]);
        let worker_of: HashMap<&str, u64> = counted
            .records
            .iter()
            .map(|record| {
                (
                    record["key"].as_str().expect("key"),
                    record["worker"]["worker"].as_u64().expect("worker"),
                )
            })
            .collect();
        let mut workers_on: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for entry in counted.log.iter().filter(|entry| entry.kind == "PutObject") {
            let worker = worker_of[entry.key.as_deref().expect("a PUT has a key")];
            workers_on.entry(entry.connection).or_default().insert(worker);
        }
        assert!(
            workers_on.values().all(|workers| workers.len() == 1),
            "{strategy}: {workers_on:?}"
        );
        assert!(workers_on.len() >= 5, "{strategy}: {workers_on:?}");
    }
}

fn a_client_per_upload_opens_a_connection_for_every_object(engine: Engine) {
    for strategy in STRATEGIES {
        let counted = counted_with(engine, strategy, "per-upload", &["--concurrency", "4"]);
        let puts: Vec<u64> = counted
            .log
            .iter()
            .filter(|entry| entry.kind == "PutObject")
            .map(|entry| entry.connection)
            .collect();
        let connections: BTreeSet<u64> = puts.iter().copied().collect();
        assert_eq!((puts.len(), connections.len()), (FILES, FILES), "{strategy}");
    }
}
