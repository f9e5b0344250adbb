//! The least that a cell can take, and what it is that takes it: printed beside every measurement.
//!
//! Elementary bounds of queueing theory: the service demand law and Little's law (Lazowska and others, "Quantitative
//! system performance", 1984, chapter 5); greedy dispatch is at most one object worse than the best (Graham, "Bounds on
//! multiprocessing timing anomalies", 1969). Pure functions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What lies between client and server, as it was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Network {
    /// Seconds from a request's last byte to its answer.
    pub latency: f64,
    /// Seconds to make a connection.
    pub connect: f64,
    /// Bytes a second of one connection; infinite without a limit.
    pub per_connection: f64,
    /// Bytes a second of all together; infinite without a limit.
    pub link: f64,
    /// Requests a second that the server takes; infinite without a limit.
    pub request_rate: f64,
    /// One request of so many is held up for so many seconds more; none is when this is none.
    pub stall: Option<(u64, f64)>,
}

/// The machine that everything runs on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Cores that client, server and relay share.
    pub cores: f64,
    /// CPU seconds of everything on it for one object, measured one at a time.
    pub cpu_per_object: f64,
}

/// What is uploaded, and how.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// Bytes of each object.
    pub sizes: &'a [u64],
    /// Requests in flight.
    pub in_flight: usize,
    /// Answers that are waited for one after the other for each object: 1 for a PUT, 2 with a HEAD before it.
    pub round_trips: f64,
    /// Connections that are made meanwhile: each holds up the request that it is made for.
    pub new_connections: usize,
}

/// What a cell cannot be faster than.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Term {
    /// Waiting for answers: more in flight would help.
    Latency,
    /// The bandwidth of the connections in flight: more of them would help.
    PerConnection,
    /// The bandwidth of all together.
    Link,
    /// The requests that the server takes.
    RequestRate,
    /// The processors.
    Cpu,
    /// The longest object alone.
    Tail,
}

/// What the model says of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// Seconds from the first request to the last answer, at least.
    pub makespan: f64,
    /// The same for greedy dispatch, at most, where nothing but waiting and the connections' bandwidth counts.
    pub greedy: f64,
    /// Why it is not less.
    pub term: Term,
    /// Requests in flight from which on more do not help; infinite when nothing but waiting takes time.
    pub knee: f64,
}

/// The bound of `work` on `machine` over `network`; none without objects or without any in flight.
pub fn bound(work: &Work<'_>, network: &Network, machine: &Machine) -> Option<Bound> {
    if work.sizes.is_empty() || work.in_flight == 0 {
        return None;
    }
    let count = work.sizes.len() as f64;
    let in_flight = work.in_flight as f64;
    let bytes: f64 = work.sizes.iter().map(|size| *size as f64).sum();
    let longest = work.sizes.iter().max().map_or(0.0, |size| *size as f64);
    let connecting = work.new_connections as f64 * network.connect;
    let (stalls, stall) = match network.stall {
        Some((every, seconds)) if work.sizes.len() as u64 >= every => {
            (work.sizes.len() as u64 / every, seconds)
        }
        _ => (0, 0.0),
    };
    let waiting = count * work.round_trips * network.latency + connecting + stalls as f64 * stall;
    let service = waiting + bytes / network.per_connection;
    // Where each has a connection of its own, so has the longest.
    let own_connect = if work.new_connections >= work.sizes.len() {
        network.connect
    } else {
        0.0
    };
    let waiting_of_one = work.round_trips * network.latency + own_connect + stall;
    let longest_service = waiting_of_one + longest / network.per_connection;
    let of_service = if waiting >= bytes / network.per_connection {
        Term::Latency
    } else {
        Term::PerConnection
    };
    let limits = [
        (bytes / network.link, Term::Link),
        (count / network.request_rate, Term::RequestRate),
        (count * machine.cpu_per_object / machine.cores, Term::Cpu),
    ];
    let bounds = [(service / in_flight, of_service), (longest_service, Term::Tail)];
    let worst = |bounds: &[(f64, Term)]| bounds.iter().copied().max_by(|(a, _), (b, _)| a.total_cmp(b));
    let (limit, _) = worst(&limits)?;
    let (makespan, term) = worst(&[bounds.as_slice(), &limits].concat())?;
    Some(Bound {
        makespan,
        greedy: service / in_flight + (1.0 - 1.0 / in_flight) * longest_service,
        term,
        knee: service / limit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Network = Network {
        latency: 0.0,
        connect: 0.0,
        per_connection: f64::INFINITY,
        link: f64::INFINITY,
        request_rate: f64::INFINITY,
        stall: None,
    };
    const IDLE: Machine = Machine {
        cores: 2.0,
        cpu_per_object: 0.0,
    };

    fn work(sizes: &[u64], in_flight: usize) -> Work<'_> {
        Work {
            sizes,
            in_flight,
            round_trips: 1.0,
            new_connections: 0,
        }
    }

    /// The bound of some work where processors are no limit.
    fn on_idle(work: &Work<'_>, network: &Network) -> Bound {
        bound(work, network, &IDLE).expect("there are objects")
    }

    /// 400 sizes, log-uniform from 1 KiB to 16 MiB.
    fn mixed() -> Vec<u64> {
        (0..400)
            .map(|place| (1024.0 * 16_384_f64.powf((f64::from(place) + 0.5) / 400.0)) as u64)
            .collect()
    }

    /// "10 x 12 bytes in 0.018 s" of an old article, against a latency of 65 ms: one request alone takes longer.
    #[test]
    fn nothing_is_faster_than_one_request() {
        let sizes = [12; 10];
        let network = Network {
            latency: 0.065,
            ..FREE
        };
        let bound = on_idle(&work(&sizes, 10), &network);
        assert!((bound.makespan - 0.065).abs() < 1e-9);
        assert!(bound.makespan > 0.018);
        assert!(bound.knee.is_infinite());
    }

    /// 100 objects at 50 ms, ten at a time: half a second.
    #[test]
    fn waiting_divides_by_what_is_in_flight() {
        let sizes = [4096; 100];
        let network = Network {
            latency: 0.05,
            ..FREE
        };
        let bound = on_idle(&work(&sizes, 10), &network);
        assert!((bound.makespan - 0.5).abs() < 1e-9);
        assert_eq!(bound.term, Term::Latency);
    }

    /// What a simulation of such a load gave: 17.7 s one at a time, 2.21 to 2.38 s with 8, 1.10 to 1.29 s with 16; and
    /// with a link of 250 MB/s at least 2.75 s, from 6.4 in flight on.
    #[test]
    fn a_mixed_load_is_bounded_by_connections_and_then_by_the_link() {
        let sizes = mixed();
        let network = Network {
            latency: 0.025,
            per_connection: 90e6,
            ..FREE
        };
        for (in_flight, least, most) in [(1, 17.7, 17.7), (8, 2.21, 2.39), (16, 1.10, 1.30)] {
            let bound = on_idle(&work(&sizes, in_flight), &network);
            assert!((bound.makespan / least - 1.0).abs() < 0.01, "{bound:?}");
            assert!((bound.greedy / most - 1.0).abs() < 0.01, "{bound:?}");
        }
        let linked = Network {
            link: 250e6,
            ..network
        };
        let bound = on_idle(&work(&sizes, 16), &linked);
        assert_eq!(bound.term, Term::Link);
        assert!((bound.makespan - 2.75).abs() < 0.05, "{bound:?}");
        assert!((bound.knee - 6.4).abs() < 0.1, "{bound:?}");
    }

    #[test]
    fn whatever_takes_longest_is_what_binds() {
        let small = [4096; 1_000];
        let terms = [
            (
                Network {
                    request_rate: 100.0,
                    ..FREE
                },
                IDLE,
                Term::RequestRate,
            ),
            (
                FREE,
                Machine {
                    cpu_per_object: 0.001,
                    ..IDLE
                },
                Term::Cpu,
            ),
            (Network { link: 1e3, ..FREE }, IDLE, Term::Link),
            (
                Network {
                    per_connection: 1e3,
                    ..FREE
                },
                IDLE,
                Term::PerConnection,
            ),
        ];
        for (network, machine, term) in terms {
            let bound = bound(&work(&small, 16), &network, &machine).expect("there are objects");
            assert_eq!(bound.term, term, "{bound:?}");
        }
        let mut uneven = vec![1; 10];
        uneven.push(1_000_000_000);
        let network = Network {
            per_connection: 1e6,
            ..FREE
        };
        let bound = on_idle(&work(&uneven, 8), &network);
        assert_eq!(bound.term, Term::Tail);
    }

    /// One of a hundred is 2 s late: one at a time it adds up, ten at a time it is the tail.
    #[test]
    fn a_stall_adds_up_or_is_the_tail() {
        let sizes = [4096; 100];
        let network = Network {
            latency: 0.025,
            stall: Some((100, 2.0)),
            ..FREE
        };
        let one = on_idle(&work(&sizes, 1), &network);
        assert!((one.makespan - 4.5).abs() < 1e-9, "{one:?}");
        let ten = on_idle(&work(&sizes, 10), &network);
        assert!((ten.makespan - 2.025).abs() < 1e-9, "{ten:?}");
        assert_eq!(ten.term, Term::Tail);
        let few = on_idle(&work(&sizes[..99], 10), &network);
        assert!(few.makespan < 0.3, "{few:?}");
    }

    #[test]
    fn more_round_trips_and_connections_are_more_waiting() {
        let sizes = [12; 10];
        let network = Network {
            latency: 0.1,
            connect: 0.2,
            ..FREE
        };
        let twice = Work {
            round_trips: 2.0,
            ..work(&sizes, 1)
        };
        let anew = Work {
            new_connections: 10,
            ..work(&sizes, 1)
        };
        for (work, seconds) in [(work(&sizes, 1), 1.0), (twice, 2.0), (anew, 3.0)] {
            let bound = on_idle(&work, &network);
            assert!((bound.makespan - seconds).abs() < 1e-9, "{bound:?}");
        }
        assert!(bound(&work(&[], 1), &network, &IDLE).is_none());
        assert!(bound(&work(&sizes, 0), &network, &IDLE).is_none());
    }
}
