//! Reports to draw in tests: such figures as 2,000 objects of 4 KiB at 25 ms give on two cores.

use std::sync::LazyLock;

use fastrand::Rng;

use crate::bench::cell::Cell;
use crate::bench::model::Term;
use crate::bench::profile::Profile;
use crate::bench::report::*;
use crate::bench::stats::{NoiseBand, Ratio, bootstrap_median, ratio};
use crate::config::{ClientMode, StrategyKind};

const OBJECTS: usize = 2_000;
const BLOCKS: usize = 12;
const LATENCY: f64 = 0.025_3;

/// A report over a shaped way with a sweep, and over the bare one with few cells.
pub(super) fn report() -> Report {
    // Its many intervals take a while in a build for tests.
    static REPORT: LazyLock<Report> = LazyLock::new(make_report);
    REPORT.clone()
}

/// The baseline, the baseline again, and threads, over a shaped way.
pub(super) fn few() -> Group {
    static GROUP: LazyLock<Group> = LazyLock::new(|| {
        let cells = [
            Cell::new(StrategyKind::Sequential, 1),
            Cell::new(StrategyKind::Sequential, 1),
            Cell::new(StrategyKind::Threads, 16),
        ];
        group("tiny", Profile::Region, cells.into())
    });
    GROUP.clone()
}

fn make_report() -> Report {
    let sweep = [2, 4, 8, 16, 32, 64, 128, 256].map(|in_flight| Cell::new(StrategyKind::Threads, in_flight));
    let mut cells = vec![Cell::new(StrategyKind::Sequential, 1); 2];
    cells.extend(sweep);
    cells.push(Cell::new(StrategyKind::Async, 16).on_loops(1));
    cells.push(Cell::new(StrategyKind::Processes, 4));
    cells.push(Cell::new(StrategyKind::ThreadPerFile, 16).with_client(ClientMode::PerUpload));
    let mut shaped = group("tiny", Profile::Region, cells);
    shaped.disturbed_blocks.push(Disturbed {
        block: 3,
        reason: "4.1 % of the time was stolen by other machines".to_owned(),
    });
    for figures in shaped.cells.iter_mut().filter_map(|cell| cell.figures.as_mut()) {
        figures.arms -= 1;
    }
    let last = shaped.cells.len() - 1;
    refuse(&mut shaped.cells[last]);
    doubt(&mut shaped.cells[last - 3]);
    let few = [
        Cell::new(StrategyKind::Sequential, 1),
        Cell::new(StrategyKind::Sequential, 1),
        Cell::new(StrategyKind::Threads, 16),
        Cell::new(StrategyKind::Async, 16),
    ];
    let mut raw = group("tiny", Profile::Raw, few.into());
    raw.cells[3].verdict = Verdict::Inconclusive {
        because: "the interval holds 1; more blocks would narrow it".to_owned(),
    };
    empty_report(vec![shaped, raw])
}

/// A report about these groups.
pub(super) fn empty_report(groups: Vec<Group>) -> Report {
    Report {
        schema: SCHEMA.to_owned(),
        v: VERSION,
        s3haul: "0.1.0".to_owned(),
        build: "release".to_owned(),
        started_at: "2026-11-21T19:05:00Z".to_owned(),
        elapsed: 912.4,
        seed: 424_242,
        blocks: BLOCKS,
        quick: false,
        partial: false,
        preset: Some("sweep".to_owned()),
        host: Host {
            cpu: "AMD EPYC".to_owned(),
            cores: 2,
            memory_bytes: 24 << 30,
            kernel: "6.18.0".to_owned(),
            on_battery: Some(false),
            load: 0.42,
        },
        server: ServerInfo {
            kind: "minio".to_owned(),
            software: "MinIO RELEASE.2025-09-07".to_owned(),
            endpoint: "http://127.0.0.1:9000".to_owned(),
            data_on: "memory".to_owned(),
            cpu_is_known: true,
        },
        held: Held {
            checksum: "crc64nvme".to_owned(),
            retries: 0,
            memory_bytes: 256 << 20,
        },
        groups,
    }
}

/// A group of these cells, the first two being the baseline.
pub(super) fn group(workload: &str, profile: Profile, cells: Vec<Cell>) -> Group {
    let mut rng = Rng::with_seed(7);
    // Disturbances of a block are shared by its cells.
    let shared: Vec<f64> = (0..BLOCKS).map(|_| 0.97 + 0.12 * rng.f64()).collect();
    let number_of_cells = cells.len();
    let mut results: Vec<CellResult> = cells
        .into_iter()
        .enumerate()
        .map(|(position, cell)| result(&mut rng, cell, position, number_of_cells, profile, &shared))
        .collect();
    let noise = compare(&mut results);
    Group {
        workload: WorkloadInfo {
            name: workload.to_owned(),
            description: "2,000 files of 4 KiB".to_owned(),
            id: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
            objects: OBJECTS,
            bytes: (OBJECTS * 4096) as u64,
            smallest: 4096,
            largest: 4096,
            part_size_bytes: 8 << 20,
            multipart_threshold_bytes: 16 << 20,
            ..WorkloadInfo::default()
        },
        profile: ProfileInfo {
            name: profile,
            shape: profile.shape(),
            achieved: None,
            relay_adds: None,
        },
        pilot: Some(Pilot {
            objects: 50,
            seconds_per_object: 0.026_9,
            cpu_per_object: 0.000_61,
        }),
        server: ServerInfo::default(),
        ceilings: None,
        noise,
        disturbed_blocks: Vec::new(),
        excludes_disturbed: true,
        article: None,
        cells: results,
    }
}

/// CPU time of client, server and relay for one object.
fn cpu_of(cell: &Cell) -> f64 {
    match cell.strategy() {
        StrategyKind::Async => 0.000_52,
        StrategyKind::Processes => 0.000_75,
        _ => 0.000_61,
    }
}

/// Objects a second of so many in flight: waiting shared among them, until two cores are busy.
fn rate_of(cell: &Cell, profile: Profile) -> f64 {
    let in_flight = cell.concurrency.unwrap_or(16) as f64;
    let cpu = cpu_of(cell);
    let latency = if profile.is_shaped() { LATENCY } else { 0.000_2 };
    let waiting = in_flight / (latency + cpu);
    let limit = 2.0 / (cpu * (1.0 + in_flight / 500.0));
    (waiting.powi(-9) + limit.powi(-9)).powf(-1.0 / 9.0)
}

fn result(
    rng: &mut Rng,
    cell: Cell,
    position: usize,
    cells: usize,
    profile: Profile,
    shared: &[f64],
) -> CellResult {
    let rate = rate_of(&cell, profile);
    let in_flight = cell.concurrency.unwrap_or(16);
    let busy = rate * cpu_of(&cell) * (1.0 + in_flight as f64 / 500.0) / 2.0;
    let arms: Vec<Arm> = shared
        .iter()
        .enumerate()
        .map(|(block, disturbance)| {
            let own = disturbance * (0.985 + 0.03 * rng.f64());
            // Each block has its cells in another order.
            let order = block * cells + (position * 5 + block * 3) % cells + 1;
            arm(rng, block + 1, order, own / rate, in_flight)
        })
        .collect();
    let role = [Role::Baseline, Role::Twin]
        .get(position)
        .copied()
        .unwrap_or(Role::Candidate);
    let times: Vec<f64> = arms.iter().map(|arm| arm.makespans[0]).collect();
    let makespan = bootstrap_median(&times, 1).expect("there are arms");
    let each = makespan.estimate / OBJECTS as f64;
    let bound = OBJECTS as f64 / (in_flight as f64 / LATENCY).min(3_280.0);
    CellResult {
        label: cell.label(),
        role,
        objects_per_job: OBJECTS,
        bytes_per_job: (OBJECTS * 4096) as u64,
        jobs_per_arm: 1,
        figures: Some(Figures {
            arms: BLOCKS,
            makespan,
            seconds_per_object: each,
            objects_per_second: 1.0 / each,
            bytes_per_second: 4096.0 / each,
            client_cpu_per_object: 0.000_29,
            client_cpu_per_gib: 76.0,
            peak_rss_bytes: (11 << 20) + (in_flight as u64) * 190_000,
            connections: in_flight as f64,
            mean_in_flight: in_flight as f64 * 0.97,
            workers: in_flight,
            cpu_shares: shares(busy),
            ..Figures::default()
        }),
        ratio: None,
        model: profile.is_shaped().then_some(Modelled {
            makespan: bound,
            term: if in_flight < 64 { Term::Latency } else { Term::Cpu },
            knee: Some(83.0),
            reached: bound / makespan.estimate,
        }),
        latencies: latencies(rng, in_flight as f64 / rate),
        verdict: Verdict::Baseline,
        lanes: matches!(in_flight, 1 | 4 | 16).then(|| lanes(rng, in_flight, rate)),
        arms,
        cell,
    }
}

fn shares(busy: f64) -> Cpu {
    Cpu {
        client_user: 0.22 * busy,
        client_system: 0.25 * busy,
        server: 0.44 * busy,
        relay: 0.09 * busy,
        other: 0.015,
        idle: (0.98 - busy).max(0.0),
        steal: 0.005,
    }
}

fn arm(rng: &mut Rng, block: usize, order: usize, each: f64, in_flight: usize) -> Arm {
    let makespan = each * OBJECTS as f64;
    let bins = (makespan * 10.0).ceil() as usize;
    let throughput = (0..bins.min(60)).map(|bin| {
        let start = if bin == 0 { 0.6 } else { 1.0 };
        (start * (0.92 + 0.16 * rng.f64()) * 0.1 / each) as u32
    });
    Arm {
        block,
        order,
        at: order as f64 * 3.1,
        throughput: throughput.collect(),
        makespans: vec![makespan],
        seconds_per_object: each,
        first_done: 0.031,
        cpu: shares(0.000_3 / each),
        peak_rss_bytes: 12 << 20,
        connections: in_flight as u64,
        workers: in_flight,
        workers_busy: in_flight,
        peak_in_flight: in_flight,
        mean_in_flight: in_flight as f64 * 0.97,
        bytes: (OBJECTS * 4096) as u64,
        ..Arm::default()
    }
}

fn latencies(rng: &mut Rng, service: f64) -> Latencies {
    let count = (OBJECTS * BLOCKS) as u64;
    let tail = 0.1 + 0.2 * rng.f64();
    let distribution = |middle: f64, count: u64| {
        let at = |share: f64| middle * (0.96 + tail * 0.4 * -(1.0 - share).ln() / 2.3);
        let shares = [
            0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995, 0.999, 0.9995, 0.9999,
        ];
        Percentiles {
            count,
            p50: Some(at(0.5)),
            p95: (count >= 200).then(|| at(0.95)),
            p99: (count >= 1_000).then(|| at(0.99)),
            p999: (count >= 10_000).then(|| at(0.999)),
            max: Some(at(0.9999) * 1.3),
            curve: shares.map(|share| (share, at(share))).into(),
        }
    };
    Latencies {
        service: distribution(service, count),
        queue_wait: distribution(service * 60.0, count),
        connect: Percentiles::default(),
        ack_wait: distribution(service * 0.97, count),
    }
}

fn lanes(rng: &mut Rng, workers: usize, rate: f64) -> Lanes {
    let wall = 0.7;
    let each = workers as f64 / rate;
    let lanes = (0..workers).map(|worker| {
        let mut at = 0.001 * worker as f64;
        let mut spans = Vec::new();
        while at + 1.4 * each < wall {
            let length = each * (0.9 + 0.3 * rng.f64());
            spans.push(Span {
                begin: at,
                length,
                on_cpu: 0.000_3 * (0.8 + 0.4 * rng.f64()),
                waiting_for_cpu: length * 0.06 * rng.f64(),
            });
            at += length + 0.000_1;
        }
        Lane { worker, spans }
    });
    Lanes {
        wall,
        workers,
        lanes: lanes.collect(),
        cpu_is_known: true,
    }
}

/// Ratios to the first cell, and verdicts; the noise.
fn compare(cells: &mut [CellResult]) -> Option<Noise> {
    let times =
        |cell: &CellResult| -> Vec<f64> { cell.arms.iter().map(|arm| arm.seconds_per_object).collect() };
    let baseline = times(cells.first()?);
    let against = |cell: &CellResult| -> Option<Ratio> {
        let pairs: Vec<_> = times(cell).into_iter().zip(baseline.iter().copied()).collect();
        ratio(&pairs, 3)
    };
    let twin = against(cells.get(1)?)?;
    let noise = NoiseBand::of(&twin);
    for cell in &mut cells[1..] {
        cell.ratio = against(cell);
        cell.verdict = match (cell.role, cell.ratio) {
            (Role::Twin, _) => Verdict::Twin,
            (_, Some(found)) if found.interval.high < 1.0 / noise.factor => Verdict::Faster,
            (_, Some(found)) if found.interval.low > noise.factor => Verdict::Slower,
            _ => Verdict::Inconclusive {
                because: "the interval reaches into the noise".to_owned(),
            },
        };
    }
    Some(Noise {
        factor: noise.factor,
        ratio: twin,
    })
}

/// Makes the cell an invalid one.
pub(super) fn refuse(cell: &mut CellResult) {
    cell.ratio = None;
    cell.verdict = Verdict::Invalid {
        findings: vec![Finding {
            severity: Severity::Invalid,
            code: "makespan-below-longest".to_owned(),
            reason: "a makespan of 18 ms is less than its longest object took".to_owned(),
            fix: "join all threads before the clock is stopped".to_owned(),
        }],
    };
}

/// Makes the cell a suspect one.
pub(super) fn doubt(cell: &mut CellResult) {
    cell.verdict = Verdict::Suspect {
        findings: vec![Finding {
            severity: Severity::Suspect,
            code: "cpu-saturated".to_owned(),
            reason: "client, server and relay took 97 % of both cores".to_owned(),
            fix: "compare fewer in flight, or use a machine with more cores".to_owned(),
        }],
    };
}
