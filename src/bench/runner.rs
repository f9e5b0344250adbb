//! A cell on its way through the blocks of its group.

use std::path::PathBuf;

use super::cell::Cell;
use super::figures::{ArmTimes, latencies};
use super::files::{Entry, Workload};
use super::report::{Arm, Lanes, Latencies, Role};
use crate::config::{ClientMode, StrategyKind};
use crate::plan::PartPlan;

/// A cell on its way through the blocks.
pub(super) struct Runner {
    pub(super) cell: Cell,
    pub(super) role: Role,
    pub(super) entries: Vec<Entry>,
    pub(super) list: Option<PathBuf>,
    pub(super) objects: usize,
    pub(super) jobs: usize,
    pub(super) requests: Vec<u64>,
    pub(super) in_flight: usize,
    pub(super) arms: Vec<Arm>,
    /// Distributions of its arms, by their block.
    pub(super) measured: Vec<(usize, ArmTimes)>,
    pub(super) lanes: Option<Lanes>,
}

impl Runner {
    /// A cell that is to upload `objects` files once.
    pub(super) fn new(cell: Cell, role: Role, objects: usize) -> Self {
        Self {
            cell,
            role,
            entries: Vec::new(),
            list: None,
            objects,
            jobs: 1,
            requests: Vec::new(),
            in_flight: 1,
            arms: Vec::new(),
            measured: Vec::new(),
            lanes: None,
        }
    }

    /// Latencies of the arms that count.
    pub(super) fn latencies(&self, counted: &[&Arm]) -> Latencies {
        let counts = |block: usize| counted.iter().any(|arm| arm.block == block);
        let times = self.measured.iter().filter(|(block, _)| counts(*block));
        latencies(times.map(|(_, times)| times))
    }
}

/// Requests that `cell` has in flight for `objects` objects.
pub(super) fn in_flight(cell: &Cell, objects: usize) -> usize {
    /// The largest window of a strategy that adapts.
    const WINDOW: usize = 256;
    match cell.strategy() {
        StrategyKind::Sequential => 1,
        // A client that all share has only so many connections.
        StrategyKind::ThreadPerFile if cell.client() == ClientMode::Shared => {
            cell.concurrency.unwrap_or(WINDOW).min(objects).max(1)
        }
        StrategyKind::ThreadPerFile => objects.max(1),
        _ => cell.concurrency.unwrap_or(WINDOW),
    }
}

/// Bytes of each request that may be in flight beside others: of whole files, and of the parts of large ones unless one
/// thread sends them one after the other.
pub(super) fn requests(cell: &Cell, entries: &[Entry], workload: &Workload) -> Vec<u64> {
    let (threshold, part) = (
        workload.spec.multipart_threshold.bytes(),
        workload.spec.part_size.bytes(),
    );
    let is_per_file = cell.strategy() == StrategyKind::ThreadPerFile;
    let of = |entry: &Entry| -> Vec<u64> {
        match PartPlan::new(entry.size, part) {
            Ok(plan) if entry.size > threshold && !is_per_file => {
                (1..=plan.count()).map(|number| plan.range(number).1).collect()
            }
            _ => vec![entry.size],
        }
    };
    entries.iter().flat_map(of).collect()
}
