//! Where the cells of a group are run: the workload and the way to the server, put together with a cell to an arm.

use std::path::Path;

use super::arm::ArmSpec;
use super::figures::{ModelJob, least_makespan, network};
use super::files::{Workload, write_list};
use super::ground::Ground;
use super::measure::{Measured, Task};
use super::model::Network;
use super::plan::Plan;
use super::profile::Profile;
use super::recorder::quoted;
use super::runner::{Runner, in_flight, requests};
use crate::config::{Attention, Config, Engine};
use crate::error::{Error, ErrorKind, Result};

/// Where an arm's bytes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// To the server, the way of the profile.
    Server,
    /// Nowhere: they are read, summed and dropped.
    Nowhere,
    /// To a sink at this address that throws them away, without a relay.
    Sink(String),
}

/// An arm that does not count.
pub(super) const UNCOUNTED: usize = 0;

/// See the module.
pub(super) struct Stage<'a> {
    pub(super) plan: &'a Plan,
    pub(super) workload: &'a Workload,
    pub(super) profile: Profile,
    pub(super) ground: Ground<'a>,
    /// Directory for lists of files.
    pub(super) lists: &'a Path,
    /// Where all objects of this run go.
    pub(super) prefix: String,
    /// The way to the server as the model takes it.
    pub(super) network: Network,
}

impl Stage<'_> {
    /// Makes `objects` files the job of `runner`: all of them, or an even selection. `name` is that of its list.
    pub(super) fn choose(&self, runner: &mut Runner, objects: usize, name: &str) -> Result<()> {
        let info = &self.workload.info;
        runner.entries = self.workload.selection(objects);
        // Where they are too many to be kept, there is nothing to choose from.
        runner.objects = match runner.entries.len() {
            0 => objects,
            chosen => chosen,
        };
        runner.list =
            (objects < info.objects).then(|| self.lists.join(format!("{}-{}-{name}", info.id, self.profile)));
        if let Some(list) = &runner.list {
            write_list(&runner.entries, list).map_err(|error| {
                Error::new(ErrorKind::Internal, "a list of files cannot be written").with_source(error)
            })?;
        }
        runner.requests = requests(&runner.cell, &runner.entries, self.workload);
        runner.in_flight = in_flight(&runner.cell, runner.objects);
        Ok(())
    }

    /// Runs one arm of `runner`, in a directory of its own called `name`.
    pub(super) fn arm(
        &mut self,
        runner: &Runner,
        (name, block): (&str, usize),
        attention: Attention,
        destination: &Destination,
    ) -> Result<Measured> {
        let sends_nothing = self.workload.spec.sends_nothing || *destination != Destination::Server;
        let job = ModelJob {
            cell: &runner.cell,
            requests: &runner.requests,
            in_flight: runner.in_flight,
        };
        // What the relay does at least; what it was measured to do is a mean.
        let promised = network(
            self.profile.shape().filter(|_| !runner.cell.past_relay).as_ref(),
            None,
        );
        let least_makespan = if sends_nothing {
            0.0
        } else {
            least_makespan(&job, &promised)
        };
        let task = Task {
            cell: &runner.cell,
            spec: ArmSpec {
                bucket: self.ground.bucket.name().to_owned(),
                prefix: format!("{}{}-{name}/", self.prefix, self.profile),
                root: self.workload.root.clone(),
                list: runner.list.clone(),
                jobs: runner.jobs,
                config: self.config(runner, attention, destination),
                objects_csv: self.plan.objects_csv.clone().filter(|_| block != UNCOUNTED),
                csv_fields: self.csv_fields(runner, block),
            },
            entries: &runner.entries,
            objects: runner.objects,
            least_makespan,
            expects_errors: self.workload.spec.expects_errors,
            sends_nothing,
        };
        self.ground.measure(&task)
    }

    fn config(&self, runner: &Runner, attention: Attention, destination: &Destination) -> Config {
        let workload = &self.workload.spec;
        let mut config = Config {
            store: self.ground.store_settings(&runner.cell),
            run: runner.cell.run_settings(),
            ..Config::default()
        };
        config.store.engine = match destination {
            Destination::Nowhere => Engine::Null,
            _ if workload.sends_nothing => Engine::Null,
            _ => runner.cell.engine,
        };
        if let Destination::Sink(endpoint_url) = destination {
            config.store.endpoint_url = Some(endpoint_url.clone());
        }
        let transfer = &mut config.transfer;
        transfer.part_size = workload.part_size;
        transfer.multipart_threshold = workload.multipart_threshold;
        transfer.memory = transfer
            .memory
            .max(workload.part_size)
            .max(workload.multipart_threshold);
        transfer.extra_rounds = workload.extra_rounds;
        transfer.verify = runner.cell.verify();
        transfer.attention = attention;
        if !workload.expects_errors {
            // A request that is tried again is no measurement; that it was is found out all the same.
            transfer.retry.retries = 1;
        }
        config
    }

    fn csv_fields(&self, runner: &Runner, block: usize) -> String {
        [
            quoted(&self.workload.info.name),
            self.profile.name().to_owned(),
            quoted(&runner.cell.label()),
            block.to_string(),
        ]
        .join(",")
    }
}
