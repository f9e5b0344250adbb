//! From the arms of a group to what it came to: noise, figures, the model, verdicts.

use super::blocks::BASELINE;
use super::figures::{ModelJob, figures, modelled, paired, shares};
use super::group::GroupRun;
use super::host::machine_cores;
use super::judge::{CellFacts, MOST_EXCLUDED, cell_findings, own_verdict, verdict};
use super::report::{
    Arm, CellResult, Figures, Finding, Group, Modelled, Noise, Pilot, ProfileInfo, Role, Severity,
};
use super::runner::Runner;
use super::stats::{NoiseBand, Ratio, median};

/// A cell by itself: what counts of it, what is wrong with it.
struct Judged {
    /// Places of the arms that count.
    counted: Vec<usize>,
    ratio: Option<Ratio>,
    findings: Vec<Finding>,
}

impl GroupRun<'_> {
    /// What it came to.
    pub(super) fn finish(self) -> Group {
        let blocks = self
            .runners
            .iter()
            .map(|runner| runner.arms.len())
            .max()
            .unwrap_or(0);
        let disturbed = self.disturbed.len() as f64 / blocks.max(1) as f64;
        // Too many to leave out: all stay, and nothing is believed.
        let excludes_disturbed = disturbed <= MOST_EXCLUDED;
        let excluded: Vec<usize> = match excludes_disturbed {
            true => self.disturbed.iter().map(|disturbed| disturbed.block).collect(),
            false => Vec::new(),
        };
        let noise = self.noise(&excluded);
        let judged: Vec<Judged> = (0..self.runners.len())
            .map(|number| self.judge(number, &excluded, disturbed))
            .collect();
        let of_baseline = self.of_baseline(&judged);
        let cells = judged
            .into_iter()
            .enumerate()
            .map(|(number, judged)| self.cell_result(number, judged, &of_baseline, noise.as_ref()))
            .collect();
        Group {
            workload: self.stage.workload.info.clone(),
            profile: ProfileInfo {
                name: self.stage.profile,
                shape: self.stage.profile.shape(),
                achieved: self.achieved,
                relay_adds: self.relay_adds,
            },
            server: self.stage.ground.server.info.clone(),
            pilot: (self.pilot.objects > 0).then_some(self.pilot),
            ceilings: self.ceilings,
            noise,
            disturbed_blocks: self.disturbed,
            excludes_disturbed,
            cells,
            article: self.article,
        }
    }

    fn noise(&self, excluded: &[usize]) -> Option<Noise> {
        let twin = self.runners.iter().find(|runner| runner.role == Role::Twin)?;
        let (ratio, _) = paired(
            &twin.arms,
            &self.runners[BASELINE].arms,
            excluded,
            self.stage.plan.seed,
        );
        let ratio = ratio.filter(|ratio| ratio.blocks >= 2)?;
        Some(Noise {
            factor: NoiseBand::of(&ratio).factor,
            ratio,
        })
    }

    fn judge(&self, number: usize, excluded: &[usize], disturbed: f64) -> Judged {
        let runner = &self.runners[number];
        let (ratio, ratios) = paired(
            &runner.arms,
            &self.runners[BASELINE].arms,
            excluded,
            self.stage.plan.seed,
        );
        let ratio = ratio.filter(|_| runner.role != Role::Baseline);
        let counts = |arm: &Arm| !excluded.contains(&arm.block) && arm.seconds_per_object > 0.0;
        let counted: Vec<usize> = (0..runner.arms.len())
            .filter(|place| counts(&runner.arms[*place]))
            .collect();
        let facts = self.cell_facts(runner, &arms(runner, &counted), ratios, disturbed);
        Judged {
            findings: cell_findings(&facts, ratio.as_ref()),
            counted,
            ratio,
        }
    }

    /// What is wrong with the baseline, or with it when it runs again, is wrong with everything that is compared with it:
    /// the worst of it.
    fn of_baseline(&self, judged: &[Judged]) -> Option<Finding> {
        let own = self.runners.iter().zip(judged);
        let findings = own
            .filter(|(runner, _)| runner.role != Role::Candidate)
            .flat_map(|(_, judged)| &judged.findings);
        let worst = findings.max_by_key(|finding| finding.severity)?;
        Some(Finding {
            reason: format!("the baseline: {}", worst.reason),
            ..worst.clone()
        })
    }

    fn cell_result(
        &self,
        number: usize,
        judged: Judged,
        of_baseline: &Option<Finding>,
        noise: Option<&Noise>,
    ) -> CellResult {
        let runner = &self.runners[number];
        let Judged {
            counted,
            ratio,
            mut findings,
        } = judged;
        let counted = arms(runner, &counted);
        if runner.role == Role::Candidate
            && let Some(inherited) = of_baseline
            && !findings.iter().any(|finding| finding.code == inherited.code)
        {
            findings.push(inherited.clone());
        }
        let is_invalid = findings
            .iter()
            .any(|finding| finding.severity == Severity::Invalid);
        let figures = figures(&counted, runner.objects, runner.jobs, self.stage.plan.seed);
        let is_quick = self.stage.plan.quick;
        let verdict = match runner.role {
            Role::Candidate => verdict(findings, ratio.as_ref(), noise, is_quick),
            role => own_verdict(role, findings, is_quick),
        };
        CellResult {
            cell: runner.cell.clone(),
            label: runner.cell.label(),
            role: runner.role,
            objects_per_job: runner.objects,
            bytes_per_job: runner.entries.iter().map(|entry| entry.size).sum(),
            jobs_per_arm: runner.jobs,
            model: figures
                .as_ref()
                .and_then(|figures| self.modelled(runner, figures, &counted)),
            figures,
            ratio: ratio.filter(|_| !is_invalid),
            latencies: runner.latencies(&counted),
            arms: runner.arms.clone(),
            verdict,
            lanes: runner.lanes.clone(),
        }
    }

    fn cell_facts(&self, runner: &Runner, counted: &[&Arm], ratios: Vec<f64>, disturbed: f64) -> CellFacts {
        let mut of_arms: Vec<_> = runner.arms.iter().flat_map(|arm| arm.findings.clone()).collect();
        let mut codes = std::collections::BTreeSet::new();
        of_arms.retain(|finding| codes.insert(finding.code.clone()));
        let lengths = counted.iter().map(|arm| arm.makespans.iter().sum::<f64>());
        let typical_arm = median(&lengths.collect::<Vec<_>>()).unwrap_or(0.0);
        let in_flight = counted.iter().map(|arm| arm.mean_in_flight).fold(0.0, f64::max);
        let allowed = match runner.cell.concurrency {
            None => usize::MAX,
            Some(_) => runner.in_flight,
        };
        CellFacts {
            of_arms,
            typical_arm,
            busy_share: shares(counted).ours(),
            is_shaped: self.stage.profile.is_shaped(),
            in_flight: (in_flight, allowed),
            ratios,
            disturbed,
            disturbance: self.disturbed.first().map(|disturbed| disturbed.reason.clone()),
            on_battery: self.is_on_battery,
            sends_nothing: self.stage.workload.spec.sends_nothing,
        }
    }

    fn modelled(&self, runner: &Runner, figures: &Figures, counted: &[&Arm]) -> Option<Modelled> {
        if self.stage.workload.spec.sends_nothing || runner.requests.is_empty() {
            return None;
        }
        let job = ModelJob {
            cell: &runner.cell,
            requests: &runner.requests,
            in_flight: runner.in_flight,
        };
        let used: f64 = counted.iter().map(|arm| arm.cpu.ours()).sum();
        let objects = (counted.len() * runner.jobs * runner.objects).max(1);
        // The model counts requests; large files are several.
        let per_request = |cpu: f64| cpu * runner.objects as f64 / runner.requests.len() as f64;
        let pilot = Pilot {
            cpu_per_object: per_request(self.pilot.cpu_per_object),
            ..self.pilot
        };
        let own = per_request(used / objects as f64);
        modelled(
            &job,
            &self.stage.network,
            &pilot,
            (own, machine_cores()),
            figures.makespan.estimate,
        )
    }
}

/// The arms of `runner` at these places.
fn arms<'r>(runner: &'r Runner, places: &[usize]) -> Vec<&'r Arm> {
    places.iter().map(|place| &runner.arms[*place]).collect()
}
