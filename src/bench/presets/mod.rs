//! The experiments of old articles on threads, processes and event loops, each as it should have been done.
//!
//! A: uploads with boto by threads, pools and queues. B: "Threads and processes in Python". C: "Parallelism shootout". D:
//! multiprocessing gotchas. E: "Python concurrency story". Figures are those that were published; what was wrong with each
//! stands beside it.

mod seeds;
mod shapes;
mod work;

use self::seeds::{a4, a5, a6, a7, seed_exact, seed_fixed};
use self::shapes::{c1, c2, c3, c4, d1, e1, e2, slow1};
use self::work::{a1, a2, a3, b1, b2, b3, b4};
use super::cell::Cell;
use super::plan::GroupPlan;
use super::report::{ArticleRow, Measure, Published};

/// An experiment that can be asked for.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// Its number, as the articles' table has it.
    pub id: &'static str,
    /// A name that says more.
    pub name: &'static str,
    /// What it does, in one line.
    pub line: &'static str,
    make: fn() -> Made,
}

/// What a preset is made of.
struct Made {
    groups: Vec<GroupPlan>,
    published: Vec<Published>,
    why: &'static str,
}

impl Preset {
    /// Its groups. The published figures stand with the first one.
    pub fn groups(&self) -> Vec<GroupPlan> {
        let Made {
            mut groups,
            published,
            why,
        } = (self.make)();
        for (number, group) in groups.iter_mut().enumerate() {
            group.article = Some(ArticleRow {
                id: self.id.to_owned(),
                title: self.line.to_owned(),
                published: if number == 0 {
                    published.clone()
                } else {
                    Vec::new()
                },
                why: why.to_owned(),
            });
        }
        groups
    }
}

/// All presets, in the order of the articles.
pub const PRESETS: [Preset; 21] = [
    preset("A1", "cpu-seq", "50 pieces of hash work, one after the other", a1),
    preset("A2", "cpu-procs", "the same by processes: one a core, and 50", a2),
    preset("A3", "cpu-threads", "the same by threads: one a core, and 50", a3),
    preset(
        "A4",
        "seed",
        "10 x 12 bytes one after the other, with and without the HEAD that boto sent",
        a4,
    ),
    preset(
        "seed-exact",
        "seed-exact",
        "10 x 12 bytes one after the other, HEAD and PUT each",
        seed_exact,
    ),
    preset(
        "seed-fixed",
        "seed-fixed",
        "10 x 12 bytes one after the other, PUT only",
        seed_fixed,
    ),
    preset(
        "A5",
        "pool",
        "10 x 12 bytes by a pool of 10 threads that share a client",
        a5,
    ),
    preset(
        "A6",
        "thread-per-file",
        "10 x 12 bytes, a thread and a client for each: time to start all, and makespan",
        a6,
    ),
    preset(
        "A7",
        "queue",
        "10 x 12 bytes by 4 threads and a queue, a client for each upload",
        a7,
    ),
    preset(
        "B1",
        "sweep-io",
        "16 uploads of 1 MiB by 1, 2 and 4 threads and processes",
        b1,
    ),
    preset("B2", "read-path", "12 x 50 MB read and summed, sent nowhere", b2),
    preset("B3", "cpu", "hash work by 4 threads and 4 processes", b3),
    preset(
        "B4",
        "cpu-library",
        "hash work in few large pieces by 4 threads and 4 processes",
        b4,
    ),
    preset("C1", "timeline-seq", "30 uploads one after the other", c1),
    preset("C2", "timeline-queue", "30 uploads by 3 threads and a queue", c2),
    preset(
        "C3",
        "chunked",
        "30 uploads by 6 processes, and by 6 threads with a list split beforehand",
        c3,
    ),
    preset(
        "C4",
        "async",
        "30 in flight: on one event loop, on many, and by as many threads",
        c4,
    ),
    preset(
        "D1",
        "hybrid",
        "16 in flight as 1 x 16, 2 x 8, 4 x 4 and 16 x 1 processes x threads",
        d1,
    ),
    preset(
        "E1",
        "sweep",
        "workers from 1 to 128 over uploads, reads and hash work",
        e1,
    ),
    preset(
        "E2",
        "lazy",
        "10,000 and 1,000,000 names into nothing: memory has to stay flat",
        e2,
    ),
    preset(
        "slow1",
        "slow1",
        "one upload in a hundred 2 s late: who waits for it",
        slow1,
    ),
];

const fn preset(id: &'static str, name: &'static str, line: &'static str, make: fn() -> Made) -> Preset {
    Preset { id, name, line, make }
}

/// The preset of that number or name, in any case; none when there is none.
pub fn find(text: &str) -> Option<&'static Preset> {
    PRESETS
        .iter()
        .find(|preset| preset.id.eq_ignore_ascii_case(text) || preset.name.eq_ignore_ascii_case(text))
}

/// What `--preset articles` runs: every experiment once.
pub fn articles() -> Vec<GroupPlan> {
    let all = PRESETS.iter().filter(|preset| !preset.id.starts_with("seed-"));
    all.flat_map(Preset::groups).collect()
}

fn makespan(what: &str, seconds: impl Into<Option<f64>>, cell: &Cell) -> Published {
    Published {
        what: what.to_owned(),
        seconds: seconds.into(),
        cell: cell.label(),
        measure: Measure::Makespan,
    }
}

fn made(groups: Vec<GroupPlan>, published: Vec<Published>, why: &'static str) -> Made {
    Made {
        groups,
        published,
        why,
    }
}

fn cores() -> usize {
    super::host::cores()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_experiment_can_be_asked_for_and_names_cells_that_it_has() {
        for id in [
            "A1",
            "A2",
            "A3",
            "A4",
            "A5",
            "A6",
            "A7",
            "B1",
            "B2",
            "B3",
            "B4",
            "C1",
            "C2",
            "C3",
            "C4",
            "D1",
            "E1",
            "E2",
            "seed-exact",
            "seed-fixed",
            "cpu-seq",
            "cpu-procs",
            "cpu-threads",
            "slow1",
            "lazy",
        ] {
            let preset = find(id).unwrap_or_else(|| panic!("{id}"));
            let groups = preset.groups();
            let first = groups.first().expect("a group");
            for published in &first.article.as_ref().expect("an article").published {
                assert!(
                    first.cells.iter().any(|cell| cell.label() == published.cell),
                    "{id}: {}",
                    published.cell
                );
            }
            for cell in groups.iter().flat_map(|group| &group.cells) {
                assert_eq!(cell.impossible(), None, "{id}: {}", cell.label());
            }
        }
        assert!(find("z9").is_none());
        assert!(articles().len() >= 20);
    }

    #[test]
    fn hybrids_have_the_same_number_in_flight() {
        let groups = find("D1").expect("there").groups();
        assert!(groups[0].cells.iter().all(|cell| cell.concurrency == Some(16)));
    }
}
