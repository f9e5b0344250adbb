//! A cell: one way to upload, as it is compared with others over the same workload and profile.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{ClientMode, Engine, RunSettings, StrategyKind, VerifyMode, impossible};

/// One way to upload. What is left open is chosen by the program, as `cp` chooses it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Cell {
    /// Strategy; none for the program's choice.
    pub strategy: Option<StrategyKind>,
    /// Client mode; none for what suits the strategy.
    pub client: Option<ClientMode>,
    /// Requests in flight; none for a window that adapts.
    pub concurrency: Option<usize>,
    /// Threads that run event loops (`async` only); none for one a core.
    pub event_loops: Option<usize>,
    /// Child processes (`hybrid` only); none for one a core.
    pub processes: Option<usize>,
    /// Who makes the requests.
    pub engine: Engine,
    /// Whether each upload is followed by a HEAD of its object: a second round trip.
    pub asks_again: bool,
    /// Goes to the server itself also where there is a relay: to see what the relay takes itself.
    pub past_relay: bool,
}

impl Cell {
    /// `strategy` with `concurrency` requests in flight, everything else as the program chooses it.
    pub fn new(strategy: StrategyKind, concurrency: usize) -> Self {
        Self {
            strategy: Some(strategy),
            client: None,
            concurrency: Some(match strategy {
                StrategyKind::Sequential => 1,
                _ => concurrency,
            }),
            event_loops: None,
            processes: None,
            engine: Engine::Direct,
            asks_again: false,
            past_relay: false,
        }
    }

    /// What `cp` does when nothing is asked for.
    pub fn automatic() -> Self {
        Self {
            strategy: None,
            concurrency: None,
            ..Self::new(StrategyKind::Async, 1)
        }
    }

    /// With this client mode.
    #[must_use]
    pub fn with_client(self, client: ClientMode) -> Self {
        Self {
            client: Some(client),
            ..self
        }
    }

    /// On so many event loops.
    #[must_use]
    pub fn on_loops(self, event_loops: usize) -> Self {
        Self {
            event_loops: Some(event_loops),
            ..self
        }
    }

    /// In so many processes.
    #[must_use]
    pub fn in_processes(self, processes: usize) -> Self {
        Self {
            processes: Some(processes),
            ..self
        }
    }

    /// Through this engine.
    #[must_use]
    pub fn through(self, engine: Engine) -> Self {
        Self { engine, ..self }
    }

    /// The same, with a HEAD for each object.
    #[must_use]
    pub fn asking_again(self) -> Self {
        Self {
            asks_again: true,
            ..self
        }
    }

    /// The same, not through the relay.
    #[must_use]
    pub fn past_relay(self) -> Self {
        Self {
            past_relay: true,
            ..self
        }
    }

    /// The strategy that runs.
    pub fn strategy(&self) -> StrategyKind {
        self.strategy.unwrap_or(StrategyKind::Async)
    }

    /// The client mode that runs.
    pub fn client(&self) -> ClientMode {
        self.client.unwrap_or(match self.strategy() {
            StrategyKind::Processes => ClientMode::PerWorker,
            _ => ClientMode::Shared,
        })
    }

    /// What it has in common with cells that differ in nothing but their requests in flight.
    #[must_use]
    pub fn family(&self) -> Self {
        Self {
            concurrency: None,
            client: Some(self.client()),
            ..self.clone()
        }
    }

    /// Why it cannot run at all; none when it can.
    pub fn impossible(&self) -> Option<&'static str> {
        impossible(self.strategy(), self.client())
    }

    /// Who works.
    pub fn run_settings(&self) -> RunSettings {
        RunSettings {
            strategy: self.strategy,
            client: self.client,
            concurrency: self.concurrency,
            event_loops: self.event_loops,
            processes: self.processes,
            // The bench sizes its workloads; nobody starts thousands of threads by mistake.
            force: true,
            worker_program: None,
        }
    }

    /// What is checked after each upload.
    pub fn verify(&self) -> VerifyMode {
        if self.asks_again {
            VerifyMode::Head
        } else {
            VerifyMode::None
        }
    }

    /// Answers that are waited for one after the other for each small object.
    pub fn round_trips(&self) -> f64 {
        if self.asks_again { 2.0 } else { 1.0 }
    }

    /// A name in few words, unique among cells that differ.
    pub fn label(&self) -> String {
        let mut label = match self.strategy {
            None => "auto".to_owned(),
            Some(strategy) => strategy.name().to_owned(),
        };
        if let Some(event_loops) = self.event_loops {
            label += &format!(":{event_loops}");
        }
        if let Some(processes) = self.processes {
            label += &format!(":{processes}");
        }
        if let (Some(concurrency), true) = (self.concurrency, self.strategy() != StrategyKind::Sequential) {
            label += &format!(" x{concurrency}");
        }
        label += match self.client() {
            ClientMode::Shared => "",
            ClientMode::PerWorker if self.strategy() == StrategyKind::Processes => "",
            ClientMode::PerWorker => " per-worker",
            ClientMode::PerUpload => " per-upload",
        };
        label += match self.engine {
            Engine::Sdk => " sdk",
            Engine::Null => " null",
            Engine::Auto | Engine::Direct => "",
        };
        if self.asks_again {
            label += " +head";
        }
        if self.past_relay {
            label += " past the relay";
        }
        label
    }

    /// The flags of `s3haul cp` that do the same.
    pub fn flags(&self) -> String {
        let mut flags = Vec::new();
        if let Some(strategy) = self.strategy {
            flags.push(format!("--strategy {}", strategy.name()));
        }
        if let Some(client) = self.client {
            flags.push(format!("--client {}", client.name()));
        }
        if let Some(concurrency) = self.concurrency {
            flags.push(format!("--concurrency {concurrency}"));
        }
        if let Some(event_loops) = self.event_loops {
            flags.push(format!("--event-loops {event_loops}"));
        }
        if let Some(processes) = self.processes {
            flags.push(format!("--processes {processes}"));
        }
        if self.engine == Engine::Sdk {
            flags.push("--engine sdk".to_owned());
        }
        flags.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_say_what_differs_and_flags_do_it() {
        let threads = Cell::new(StrategyKind::Threads, 16);
        assert_eq!(threads.label(), "threads x16");
        assert_eq!(
            threads.clone().with_client(ClientMode::PerUpload).label(),
            "threads x16 per-upload"
        );
        let hybrid = Cell::new(StrategyKind::Hybrid, 16).in_processes(4);
        assert_eq!(hybrid.label(), "hybrid:4 x16");
        assert_eq!(hybrid.flags(), "--strategy hybrid --concurrency 16 --processes 4");
        assert_eq!(Cell::automatic().label(), "auto");
        assert_eq!(Cell::automatic().flags(), "");
        assert_eq!(Cell::new(StrategyKind::Sequential, 16).label(), "sequential");
        let sdk = Cell::new(StrategyKind::Async, 30)
            .on_loops(1)
            .through(Engine::Sdk);
        assert_eq!(sdk.label(), "async:1 x30 sdk");
    }

    #[test]
    fn a_client_cannot_be_shared_by_processes() {
        let cell = Cell::new(StrategyKind::Processes, 4);
        assert_eq!(cell.impossible(), None);
        assert!(cell.with_client(ClientMode::Shared).impossible().is_some());
    }
}
