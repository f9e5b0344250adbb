//! What is remembered of a mirror, as far as that can be read and written; a run goes on without.

use std::sync::Arc;

use super::compare::KnownObjects;
use super::recorder::LOT;
use super::state::{Change, Origin, State};
use crate::pipeline::Home;

/// What is remembered, as far as it can be.
pub(crate) struct Memory {
    pub(crate) state: Option<Arc<State>>,
    /// Where the source was last time.
    before: Option<Origin>,
    pub(crate) notes: Vec<String>,
}

impl Memory {
    pub(crate) fn open(home: &Home, origin: &Origin, plans: bool) -> Self {
        let path = home.state();
        match State::open(&path, origin, plans) {
            Ok(opened) => Self {
                state: Some(Arc::new(opened.state)),
                before: opened.origin,
                notes: opened
                    .distrust
                    .map(|why| {
                        format!("what was remembered of this target does not count ({why}); it is made anew")
                    })
                    .into_iter()
                    .collect(),
            },
            Err(error) => Self {
                state: None,
                before: None,
                notes: vec![format!(
                    "nothing is remembered of this target, because '{}' cannot be used ({error}); each run has to look at everything anew",
                    path.display()
                )],
            },
        }
    }

    /// All that is remembered, as it is now. What cannot be read is not remembered.
    pub(crate) fn objects(&self) -> KnownObjects {
        let known = self.state.as_ref().and_then(|state| state.objects().ok());
        let readable = known
            .into_iter()
            .flatten()
            .map_while(|object| object.ok().map(Ok));
        Box::new(readable)
    }

    /// Whether what is remembered is of an earlier run.
    pub(crate) fn is_of_before(&self) -> bool {
        self.before.is_some()
    }

    /// Whether the source was on another device last time.
    pub(crate) fn is_on_other_device(&self, origin: &Origin) -> bool {
        self.before
            .as_ref()
            .is_some_and(|before| before.device != origin.device)
    }

    /// Keeps what went wrong, for people.
    fn note(&mut self, outcome: std::io::Result<()>) {
        if let Err(error) = outcome {
            self.notes
                .push(format!("what was done cannot be remembered: {error}"));
        }
    }

    pub(crate) fn set_origin(&mut self, origin: &Origin) {
        if let Some(state) = self.state.clone() {
            self.note(state.set_origin(origin));
        }
    }

    /// Forgets keys that are neither in the source nor stored any more.
    pub(crate) fn forget(&mut self, keys: impl Iterator<Item = std::io::Result<String>>) {
        let Some(state) = self.state.clone() else {
            return;
        };
        let mut keys = keys.peekable();
        while keys.peek().is_some() {
            let changes: std::io::Result<Vec<Change>> = keys
                .by_ref()
                .take(LOT)
                .map(|key| key.map(|key| Change::Forget { key }))
                .collect();
            self.note(changes.and_then(|changes| state.apply(&changes)));
        }
    }
}
