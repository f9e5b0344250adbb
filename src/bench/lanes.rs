//! From spans of tasks to lanes: what each worker did, as far as a picture can show it. Pure functions.

use std::collections::BTreeMap;

use super::report::{Lane, Lanes, Span};
use crate::timing::TaskSpan;

/// Lanes that are shown.
const MOST_LANES: usize = 32;
/// Spans that are shown: beyond, the picture is cut off in time.
const MOST_SPANS: usize = 800;

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// Lanes of a job whose workers worked for `work` seconds; none without spans.
pub(super) fn lanes(spans: &[TaskSpan], work: f64) -> Option<Lanes> {
    let zero = spans.iter().map(|span| span.begin).min()?;
    let mut workers: BTreeMap<usize, Vec<&TaskSpan>> = BTreeMap::new();
    for span in spans {
        workers.entry(span.worker).or_default().push(span);
    }
    let count = workers.len();
    let shown: Vec<(usize, Vec<&TaskSpan>)> = workers.into_iter().take(MOST_LANES).collect();
    let mut begins: Vec<u64> = shown
        .iter()
        .flat_map(|(_, spans)| spans.iter().map(|span| span.begin))
        .collect();
    begins.sort_unstable();
    // Whole tasks only: the picture ends where the first that is not shown begins.
    let end = begins.get(MOST_SPANS).copied();
    let wall = end.map_or(work, |end| seconds(end - zero).min(work));
    let lane = |(worker, spans): (usize, Vec<&TaskSpan>)| {
        let mut spans: Vec<Span> = spans
            .into_iter()
            .filter(|span| end.is_none_or(|end| span.begin + span.length <= end))
            .map(|span| Span {
                begin: seconds(span.begin - zero),
                length: seconds(span.length),
                on_cpu: seconds(span.on_cpu),
                waiting_for_cpu: seconds(span.waiting_for_cpu.min(span.length.saturating_sub(span.on_cpu))),
            })
            .collect();
        spans.sort_by(|a, b| a.begin.total_cmp(&b.begin));
        Lane { worker, spans }
    };
    Some(Lanes {
        wall,
        workers: count,
        lanes: shown.into_iter().map(lane).collect(),
        cpu_is_known: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(worker: usize, begin: u64, length: u64) -> TaskSpan {
        TaskSpan {
            worker,
            begin: 1_000 + begin,
            length,
            on_cpu: length / 10,
            waiting_for_cpu: length / 10,
        }
    }

    #[test]
    fn lanes_are_of_workers_in_the_order_of_time() {
        let spans = [span(1, 50, 20), span(0, 0, 40), span(1, 10, 30)];
        let lanes = lanes(&spans, 1e-7).expect("three spans");
        assert_eq!((lanes.workers, lanes.wall), (2, 1e-7));
        let begins: Vec<f64> = lanes.lanes[1].spans.iter().map(|span| span.begin).collect();
        assert_eq!(begins, [1e-8, 5e-8]);
        assert!(super::lanes(&[], 1.0).is_none());
    }

    #[test]
    fn a_long_run_is_cut_off_and_many_workers_are_not_all_shown() {
        let many: Vec<TaskSpan> = (0..10_000)
            .map(|number| span(number as usize % 40, number * 10, 100))
            .collect();
        let lanes = lanes(&many, 1.0).expect("many spans");
        assert_eq!((lanes.workers, lanes.lanes.len()), (40, MOST_LANES));
        let shown: usize = lanes.lanes.iter().map(|lane| lane.spans.len()).sum();
        assert!(shown <= MOST_SPANS && shown > MOST_SPANS - 40, "{shown}");
        assert!(lanes.wall < 1e-3);
        let inside = |span: &Span| span.begin + span.length <= lanes.wall + 1e-12;
        assert!(lanes.lanes.iter().all(|lane| lane.spans.iter().all(inside)));
    }
}
