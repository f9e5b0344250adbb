//! What no server can lift: the baseline with nowhere to send to, and with a sink that throws everything away.

use super::helper::{Helper, Role, Serving};
use super::report::Ceilings;
use super::runner::Runner;
use super::stage::{Destination, Stage, UNCOUNTED};
use crate::config::Attention;
use crate::error::Result;

/// Jobs of each, so that the first one, which is colder, does not decide.
const JOBS: usize = 4;

/// The ceilings of `baseline`, one arm each: good enough to see what is close to them.
pub(super) fn ceilings(stage: &mut Stage<'_>, baseline: &Runner) -> Result<Ceilings> {
    let mut runner = Runner::new(baseline.cell.clone(), baseline.role, stage.workload.info.objects);
    runner.cell.asks_again = false;
    stage.choose(&mut runner, baseline.objects, "ceilings")?;
    runner.jobs = JOBS;
    let rate = |stage: &mut Stage<'_>, name: &str, destination: &Destination| -> Result<Option<f64>> {
        let measured = stage.arm(&runner, (name, UNCOUNTED), Attention::Files, destination)?;
        let seconds = measured.arm.seconds_per_object;
        Ok((!measured.is_invalid() && seconds > 0.0).then(|| 1.0 / seconds))
    };
    let nowhere = rate(stage, "ceiling-null", &Destination::Nowhere)?;
    let (program, cancel) = (&stage.plan.program, stage.ground.cancel.clone());
    let mut sink = Helper::start(program, &Role::Sink)?;
    let serving: Serving = sink.receive(super::helper::START_LIMIT, &cancel)?;
    let sink_url = format!("http://{}", serving.address);
    let discarded = rate(stage, "ceiling-sink", &Destination::Sink(sink_url))?;
    Ok(Ceilings { nowhere, discarded })
}
