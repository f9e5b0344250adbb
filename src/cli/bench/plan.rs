//! From flags to a plan: every strategy with every client mode, engine and concurrency that it can have.

use std::str::FromStr;

use super::BenchArgs;
use crate::bench::cell::Cell;
use crate::bench::plan::{DEFAULT_BLOCKS, GroupPlan, Plan, QUICK_BLOCKS};
use crate::bench::presets;
use crate::bench::profile::Profile;
use crate::bench::servers::{ServerChoice, find_program};
use crate::bench::workload::WorkloadSpec;
use crate::config::{ClientMode, Engine, StoreSettings, StrategyKind};
use crate::error::{Error, ErrorKind, Result};

/// Requests in flight that are compared unless told otherwise.
const USUAL: usize = 16;
/// The same for a sweep; the first one is the baseline.
const SWEPT: [usize; 8] = [16, 1, 2, 4, 8, 32, 64, 128];

/// `--strategies` as typed: a name, and for some a number behind a colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CellName {
    strategy: Option<StrategyKind>,
    number: Option<usize>,
    past_relay: bool,
}

impl CellName {
    fn of(strategy: StrategyKind) -> Self {
        Self {
            strategy: Some(strategy),
            number: None,
            past_relay: false,
        }
    }

    fn cell(self, concurrency: usize) -> Cell {
        let Some(strategy) = self.strategy else {
            return Cell::automatic();
        };
        let mut cell = Cell {
            past_relay: self.past_relay,
            ..Cell::new(strategy, concurrency)
        };
        match strategy {
            StrategyKind::Async => cell.event_loops = self.number,
            StrategyKind::Hybrid => cell.processes = self.number,
            _ => {}
        }
        cell
    }
}

impl FromStr for CellName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("past-relay:") {
            return Ok(Self {
                past_relay: true,
                ..rest.parse()?
            });
        }
        let (name, number) = match text.split_once(':') {
            Some((name, number)) => {
                let parsed = number.parse().ok().filter(|number| *number > 0);
                let parsed =
                    parsed.ok_or_else(|| format!("'{number}' in '{text}' is no number from 1 on"))?;
                (name, Some(parsed))
            }
            None => (text, None),
        };
        if name == "auto" {
            return Ok(Self {
                strategy: None,
                number: None,
                past_relay: false,
            });
        }
        let found = StrategyKind::ALL.into_iter().find(|kind| kind.name() == name);
        let strategy = found.ok_or_else(|| {
            let names: Vec<_> = StrategyKind::ALL.iter().map(|kind| kind.name()).collect();
            format!(
                "there is no strategy '{name}'; there are {} and auto",
                names.join(", ")
            )
        })?;
        if number.is_some() && !matches!(strategy, StrategyKind::Async | StrategyKind::Hybrid) {
            return Err(format!(
                "'{text}': only async (event loops) and hybrid (processes) take a number"
            ));
        }
        Ok(Self {
            strategy: Some(strategy),
            number,
            past_relay: false,
        })
    }
}

/// `--workload` as typed.
pub(super) fn workload(text: &str) -> Result<WorkloadSpec, String> {
    text.parse()
}

/// The plan that `args` stand for.
pub(super) fn plan(args: &BenchArgs) -> Result<Plan> {
    let server = server(args)?;
    let groups = if args.preset.is_empty() {
        free_groups(args, &profiles(args, &server))?
    } else {
        preset_groups(&args.preset)?
    };
    let program = std::env::current_exe().map_err(|error| {
        Error::new(ErrorKind::Internal, "this program cannot be found").with_source(error)
    })?;
    Ok(Plan {
        groups,
        server,
        bucket: args.bucket.clone(),
        blocks: if args.quick {
            QUICK_BLOCKS
        } else {
            args.blocks.unwrap_or(DEFAULT_BLOCKS)
        },
        quick: args.quick,
        seed: args.seed.unwrap_or_else(|| fastrand::u64(..1 << 48)),
        max_time: args.max_time.map(|time| time.0),
        work_dir: args.work_dir.clone(),
        program,
        keep: args.keep,
        objects_csv: None,
        allows_debug: args.allow_debug_build,
        preset: (!args.preset.is_empty()).then(|| args.preset.join(",")),
    })
}

/// What lies in between: as it was asked for, else what the server allows.
fn profiles(args: &BenchArgs, server: &ServerChoice) -> Vec<Profile> {
    let is_plain = match server {
        ServerChoice::Endpoint(settings) => settings
            .endpoint_url
            .as_deref()
            .is_some_and(|url| url.starts_with("http://")),
        ServerChoice::Minio { .. } | ServerChoice::Embedded => true,
    };
    match args.profile.as_slice() {
        [] if is_plain => vec![Profile::Raw, Profile::Region],
        [] => vec![Profile::Raw],
        some => some.to_vec(),
    }
}

/// Every workload over every profile.
fn free_groups(args: &BenchArgs, profiles: &[Profile]) -> Result<Vec<GroupPlan>> {
    let cells = cells(args);
    if cells.is_empty() {
        return Err(
            Error::new(ErrorKind::Usage, "no strategy can work with these client modes")
                .with_hint("processes cannot share a client: use --clients per-worker"),
        );
    }
    let over = |workload: &WorkloadSpec| {
        let group = |profile: &Profile| GroupPlan::new(workload.clone(), *profile, cells.clone());
        profiles.iter().map(group).collect::<Vec<_>>()
    };
    Ok(args.workload.iter().flat_map(over).collect())
}

fn preset_groups(ids: &[String]) -> Result<Vec<GroupPlan>> {
    let mut groups = Vec::new();
    for id in ids {
        if id.eq_ignore_ascii_case("articles") {
            groups.extend(presets::articles());
            continue;
        }
        let preset = presets::find(id).ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("there is no preset '{id}'"))
                .with_hint("'s3haul bench presets' lists them")
        })?;
        groups.extend(preset.groups());
    }
    Ok(groups)
}

/// Numbers in flight that are compared.
fn concurrencies(args: &BenchArgs) -> Vec<usize> {
    match (args.concurrency.as_slice(), args.sweep) {
        ([], true) => SWEPT.to_vec(),
        ([], false) => vec![USUAL],
        (some, _) => some.to_vec(),
    }
}

/// Every combination that can exist, each once, in the order in which strategies were named.
fn cells(args: &BenchArgs) -> Vec<Cell> {
    use StrategyKind::{Async, Processes, Sequential, Threads};
    let headline = [Threads, Async, Processes, Sequential].map(CellName::of);
    let swept = [CellName::of(Async)];
    let names = match (args.strategies.as_slice(), args.sweep) {
        ([], true) => &swept,
        ([], false) => headline.as_slice(),
        (some, _) => some,
    };
    let clients: Vec<Option<ClientMode>> = match args.clients.as_slice() {
        [] => vec![None],
        some => some.iter().map(|client| Some((*client).into())).collect(),
    };
    let mut cells: Vec<Cell> = Vec::new();
    for name in names {
        for client in &clients {
            for engine in &args.engine {
                for concurrency in &concurrencies(args) {
                    let cell = Cell {
                        client: *client,
                        ..name.cell(*concurrency).through(Engine::from(*engine))
                    };
                    let is_new =
                        args.strategies.len() > 1 && name_is_repeated(names, name) || !cells.contains(&cell);
                    if cell.impossible().is_none() && is_new {
                        cells.push(cell);
                    }
                }
            }
        }
    }
    cells
}

/// A strategy that is named twice is compared with itself, on purpose.
fn name_is_repeated(names: &[CellName], name: &CellName) -> bool {
    names.iter().filter(|other| *other == name).count() > 1
}

/// What was asked for, else what the environment names, else a minio on PATH, else the embedded server.
fn server(args: &BenchArgs) -> Result<ServerChoice> {
    let minio = || find_program("minio").map(|program| ServerChoice::Minio { program });
    if args.minio {
        return minio().ok_or_else(|| {
            Error::new(ErrorKind::Usage, "'--minio': there is no minio on PATH")
                .with_hint("install it (https://min.io), or use --endpoint-url embedded")
        });
    }
    let named = ["S3HAUL_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
    let from_environment = || {
        named
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|url| !url.is_empty()))
    };
    match args.endpoint_url.clone().or_else(from_environment) {
        Some(url) if url == super::super::embedded::EMBEDDED => Ok(ServerChoice::Embedded),
        Some(url) => {
            // As the other commands take them, whose flags these are.
            let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
            let settings = StoreSettings {
                endpoint_url: Some(url),
                profile: set("S3HAUL_PROFILE"),
                region: set("S3HAUL_REGION"),
                ca_file: set("S3HAUL_CA_FILE").map(Into::into),
                anonymous: set("S3HAUL_NO_SIGN_REQUEST").is_some(),
                ..StoreSettings::default()
            };
            settings.validate()?;
            Ok(ServerChoice::Endpoint(settings))
        }
        None => Ok(minio().unwrap_or(ServerChoice::Embedded)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_are_read_with_their_numbers() {
        let cell = |text: &str| text.parse::<CellName>().expect("known").cell(16);
        assert_eq!(cell("async:1").event_loops, Some(1));
        assert_eq!(cell("hybrid:4").processes, Some(4));
        assert_eq!(cell("sequential").concurrency, Some(1));
        assert_eq!(cell("auto"), Cell::automatic());
        assert_eq!(
            cell("past-relay:threads"),
            Cell::new(StrategyKind::Threads, 16).past_relay()
        );
        for wrong in ["threads:4", "async:0", "async:x", "fibers"] {
            assert!(wrong.parse::<CellName>().is_err(), "{wrong}");
        }
    }
}
