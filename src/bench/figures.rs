//! From arms to figures: middle values, ratios, latencies, and what the model says beside them.

use hdrhistogram::Histogram;

use super::arm::ArmResult;
use super::cell::Cell;
use super::model::{Machine, Network, Work, bound};
use super::report::{Arm, Cpu, Figures, Latencies, Modelled, Percentiles, Pilot};
use super::stats::{Ratio, bootstrap_median, median, ratio};
use crate::config::ClientMode;
use crate::server::{RelayCounters, Shape};
use crate::timing::{Distribution, histogram};

/// Values from which on a percentile is told: at least ten lie beyond it.
const COUNT_FOR_P95: u64 = 200;
const COUNT_FOR_P99: u64 = 1_000;
const COUNT_FOR_P999: u64 = 10_000;
const GIB: f64 = 1_073_741_824.0;

/// Distributions of one arm, small enough to be kept.
#[derive(Default)]
pub(super) struct ArmTimes {
    service: Vec<Distribution>,
    queue_wait: Vec<Distribution>,
    connect: Vec<Distribution>,
    ack_wait: Vec<Distribution>,
}

impl From<&ArmResult> for ArmTimes {
    fn from(result: &ArmResult) -> Self {
        let mut times = Self::default();
        for job in &result.jobs {
            times.service.push(job.recorded.service.clone());
            times.queue_wait.push(job.recorded.queue_wait.clone());
            if let Some(requests) = &job.summary.request_times {
                times.connect.push(requests.connect.clone());
                times.ack_wait.push(requests.answer.clone());
            }
        }
        times
    }
}

/// The latencies of arms, each distribution merged once.
pub(super) fn latencies<'a>(arms: impl Iterator<Item = &'a ArmTimes>) -> Latencies {
    let (mut service, mut queue_wait, mut connect, mut ack_wait) =
        (histogram(), histogram(), histogram(), histogram());
    let add = |from: &[Distribution], to: &mut Histogram<u64>| from.iter().for_each(|times| times.add_to(to));
    for arm in arms {
        add(&arm.service, &mut service);
        add(&arm.queue_wait, &mut queue_wait);
        add(&arm.connect, &mut connect);
        add(&arm.ack_wait, &mut ack_wait);
    }
    Latencies {
        service: percentiles(&service),
        queue_wait: percentiles(&queue_wait),
        connect: percentiles(&connect),
        ack_wait: percentiles(&ack_wait),
    }
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let count = histogram.len();
    let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1e6;
    let from = |least: u64, quantile: f64| (count >= least).then(|| at(quantile));
    // As many points as can be told apart: beyond 1 - 10 / count there are too few values.
    let limit = 1.0 - 10.0 / count.max(10) as f64;
    let curve = (0..=60)
        .map(|step| 1.0 - 10_f64.powf(-f64::from(step) / 15.0))
        .take_while(|quantile| *quantile <= limit)
        .map(|quantile| (quantile, at(quantile)));
    Percentiles {
        count,
        p50: from(1, 0.5),
        p95: from(COUNT_FOR_P95, 0.95),
        p99: from(COUNT_FOR_P99, 0.99),
        p999: from(COUNT_FOR_P999, 0.999),
        max: (count > 0).then(|| histogram.max() as f64 / 1e6),
        curve: if count > 0 { curve.collect() } else { Vec::new() },
    }
}

/// Middle values of the arms that count; none of none.
pub(super) fn figures(arms: &[&Arm], objects: usize, jobs: usize, seed: u64) -> Option<Figures> {
    let middle = |value: &dyn Fn(&Arm) -> f64| median(&arms.iter().map(|arm| value(arm)).collect::<Vec<_>>());
    let makespans: Vec<f64> = arms
        .iter()
        .map(|arm| arm.makespans.iter().sum::<f64>() / jobs as f64)
        .collect();
    let makespan = bootstrap_median(&makespans, seed)?;
    let seconds_per_object = makespan.estimate / objects as f64;
    let bytes_per_job = middle(&|arm| arm.bytes as f64 / jobs as f64)?;
    let client = |arm: &Arm| (arm.cpu.client_user + arm.cpu.client_system) / jobs as f64;
    let client_cpu = middle(&client)?;
    Some(Figures {
        arms: arms.len(),
        makespan,
        seconds_per_object,
        objects_per_second: objects as f64 / makespan.estimate,
        bytes_per_second: bytes_per_job / makespan.estimate,
        client_cpu_per_object: client_cpu / objects as f64,
        client_cpu_per_gib: if bytes_per_job > 0.0 {
            client_cpu / bytes_per_job * GIB
        } else {
            0.0
        },
        peak_rss_bytes: arms.iter().map(|arm| arm.peak_rss_bytes).max()?,
        connections: middle(&|arm| arm.connections as f64 / jobs as f64)?,
        all_begun: middle(&|arm| arm.all_begun)?,
        starting_processes: middle(&|arm| arm.starting_processes / jobs as f64)?,
        mean_in_flight: middle(&|arm| arm.mean_in_flight)?,
        workers: arms.iter().map(|arm| arm.workers).max()?,
        switches: middle(&|arm| (arm.switches_voluntary + arm.switches_involuntary) as f64 / jobs as f64)?,
        cpu_shares: shares(arms),
    })
}

/// Who used the machine, as shares of it, over all arms together.
pub(super) fn shares(arms: &[&Arm]) -> Cpu {
    let sum = |part: &dyn Fn(&Cpu) -> f64| arms.iter().map(|arm| part(&arm.cpu)).sum::<f64>();
    let all = sum(&Cpu::all);
    let share = |part: &dyn Fn(&Cpu) -> f64| if all > 0.0 { sum(part) / all } else { 0.0 };
    Cpu {
        client_user: share(&|cpu| cpu.client_user),
        client_system: share(&|cpu| cpu.client_system),
        server: share(&|cpu| cpu.server),
        relay: share(&|cpu| cpu.relay),
        other: share(&|cpu| cpu.other),
        idle: share(&|cpu| cpu.idle),
        steal: share(&|cpu| cpu.steal),
    }
}

/// The ratio of a cell to the baseline over the blocks that have both and are not in `excluded`; and block by block, in
/// the order of time.
pub(super) fn paired(
    cell: &[Arm],
    baseline: &[Arm],
    excluded: &[usize],
    seed: u64,
) -> (Option<Ratio>, Vec<f64>) {
    let of_block = |block: usize| baseline.iter().find(|arm| arm.block == block);
    let pairs: Vec<(f64, f64)> = cell
        .iter()
        .filter(|arm| !excluded.contains(&arm.block))
        .filter_map(|arm| Some((arm.seconds_per_object, of_block(arm.block)?.seconds_per_object)))
        // An arm that failed is a finding and no figure.
        .filter(|(cell, baseline)| *cell > 0.0 && *baseline > 0.0)
        .collect();
    let by_block = pairs.iter().map(|(cell, baseline)| cell / baseline).collect();
    (ratio(&pairs, seed), by_block)
}

/// The way to the server as the model takes it: as it was measured where it was, else as it was asked for.
pub(super) fn network(shape: Option<&Shape>, achieved: Option<&RelayCounters>) -> Network {
    let shape = shape.copied().unwrap_or_default();
    let measured = |value: Option<f64>| value.filter(|value| *value > 0.0);
    let latency = measured(achieved.map(|relay| relay.latency_mean)).unwrap_or(shape.latency);
    let unlimited = |rate: Option<f64>| rate.unwrap_or(f64::INFINITY);
    let per_connection = match (
        shape.per_connection,
        measured(achieved.map(|relay| relay.rate_median)),
    ) {
        // What came out is what counts, but nobody gets more than was asked for.
        (Some(asked), Some(measured)) => measured.min(asked),
        (asked, _) => unlimited(asked),
    };
    Network {
        latency,
        connect: shape.connect,
        per_connection,
        link: unlimited(shape.link),
        request_rate: unlimited(shape.request_rate),
        stall: shape.stall.map(|stall| (stall.every, stall.seconds)),
    }
}

/// What a job is to the model.
pub(super) struct ModelJob<'a> {
    pub(super) cell: &'a Cell,
    /// Bytes of each request: of whole files, or of the parts of large ones.
    pub(super) requests: &'a [u64],
    pub(super) in_flight: usize,
}

fn work<'a>(job: &ModelJob<'a>) -> Work<'a> {
    Work {
        sizes: job.requests,
        in_flight: job.in_flight,
        round_trips: job.cell.round_trips(),
        new_connections: new_connections(job),
    }
}

/// Connections that a job makes at least. One was made before, for the first look at the bucket; clients of their own
/// cannot use it.
fn new_connections(job: &ModelJob<'_>) -> usize {
    let requests = job.requests.len();
    match job.cell.client() {
        // A window that adapts may never be as large as it may.
        _ if job.cell.concurrency.is_none() => 0,
        ClientMode::PerUpload => requests,
        ClientMode::PerWorker => job.in_flight.min(requests),
        ClientMode::Shared => job.in_flight.min(requests).saturating_sub(1),
    }
}

/// Least makespan that latency and bandwidth allow, whatever the processors can do.
pub(super) fn least_makespan(job: &ModelJob<'_>, network: &Network) -> f64 {
    let idle = Machine {
        cores: 1.0,
        cpu_per_object: 0.0,
    };
    bound(&work(job), network, &idle).map_or(0.0, |bound| bound.makespan)
}

/// What the model says of a job that took `makespan`. Its CPU time for one object is that of one at a time, or what it
/// took itself if that is less: a bound must not be more than what was seen.
pub(super) fn modelled(
    job: &ModelJob<'_>,
    network: &Network,
    pilot: &Pilot,
    (own_cpu_per_object, cores): (f64, f64),
    makespan: f64,
) -> Option<Modelled> {
    let machine = Machine {
        cores,
        cpu_per_object: pilot.cpu_per_object.min(own_cpu_per_object),
    };
    let bound = bound(&work(job), network, &machine)?;
    Some(Modelled {
        makespan: bound.makespan,
        term: bound.term,
        knee: bound.knee.is_finite().then_some(bound.knee),
        reached: if makespan > 0.0 {
            bound.makespan / makespan
        } else {
            0.0
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_told_from_as_many_values_as_they_need() {
        let mut values = histogram();
        for micros in 1..=199 {
            values.record(micros * 1_000).expect("within bounds");
        }
        let few = percentiles(&values);
        assert!((few.p50.expect("always") - 0.1).abs() < 0.001);
        assert_eq!((few.p95, few.p99, few.p999), (None, None, None));
        values.record(200_000).expect("within bounds");
        let enough = percentiles(&values);
        assert!((enough.p95.expect("from 200 on") - 0.19).abs() < 0.001);
        assert!(enough.curve.iter().all(|(share, _)| *share <= 0.95));
        assert_eq!(percentiles(&histogram()).curve, []);
    }

    fn arm(block: usize, seconds: f64) -> Arm {
        Arm {
            block,
            makespans: vec![seconds],
            seconds_per_object: seconds / 10.0,
            ..Arm::default()
        }
    }

    #[test]
    fn ratios_are_of_arms_of_the_same_block() {
        let baseline = [arm(1, 1.0), arm(2, 2.0), arm(3, 3.0)];
        let cell = [arm(3, 1.5), arm(1, 0.5), arm(4, 9.0)];
        let (ratio, by_block) = paired(&cell, &baseline, &[], 1);
        assert_eq!(by_block, [0.5, 0.5]);
        assert_eq!(ratio.expect("two pairs").blocks, 2);
        assert_eq!(paired(&cell, &baseline, &[1, 3], 1), (None, vec![]));
    }

    #[test]
    fn figures_are_of_one_job() {
        let mut arms = [arm(1, 2.0), arm(2, 4.0), arm(3, 3.0)];
        for arm in &mut arms {
            arm.connections = 8;
            arm.bytes = 2_000;
            arm.cpu.client_user = 0.4;
        }
        let figures = figures(&arms.each_ref(), 10, 2, 1).expect("three arms");
        assert_eq!(figures.makespan.estimate, 1.5);
        assert!((figures.seconds_per_object - 0.15).abs() < 1e-12);
        assert!((figures.connections - 4.0).abs() < 1e-12);
        assert!((figures.bytes_per_second - 1_000.0 / 1.5).abs() < 1e-9);
        assert!((figures.client_cpu_per_object - 0.02).abs() < 1e-12);
        assert_eq!(figures_of_none(), None);
    }

    fn figures_of_none() -> Option<Figures> {
        figures(&[], 10, 1, 1)
    }

    #[test]
    fn the_model_takes_what_was_measured() {
        let shape = Shape {
            latency: 0.025,
            per_connection: Some(90e6),
            ..Shape::default()
        };
        let asked = network(Some(&shape), None);
        assert_eq!((asked.latency, asked.per_connection), (0.025, 90e6));
        let achieved = RelayCounters {
            latency_mean: 0.0251,
            rate_median: 80e6,
            ..RelayCounters::default()
        };
        let measured = network(Some(&shape), Some(&achieved));
        assert_eq!((measured.latency, measured.per_connection), (0.0251, 80e6));
        assert!(network(None, None).link.is_infinite());
    }
}
