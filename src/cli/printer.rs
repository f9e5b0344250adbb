//! The only door to standard output and standard error (with `progress`, which draws on the latter).
//!
//! Data goes to standard output, everything for people that is not the result itself to standard error. A
//! reader that went away is no error: what is left has nobody to read it. Any other failed write, as on a full
//! disk, is kept and told by `cli::main` at the end, because the command itself goes on.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, ErrorKind, chain};

static COLOR: AtomicBool = AtomicBool::new(false);

/// The first write that failed, of one output.
pub(super) struct FirstFailure(Mutex<Option<io::Error>>);

impl FirstFailure {
    pub(super) const fn none() -> Self {
        Self(Mutex::new(None))
    }

    /// Keeps the failure, if it is one and the first.
    pub(super) fn note(&self, written: io::Result<()>) {
        let Err(error) = written else { return };
        if error.kind() != io::ErrorKind::BrokenPipe {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(error);
        }
    }

    pub(super) fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

static STDOUT_FAILURE: FirstFailure = FirstFailure::none();

/// Why not all data could be written to standard output, if so.
pub(super) fn output_error() -> Option<Error> {
    STDOUT_FAILURE.take().map(|error| {
        Error::new(ErrorKind::Output, "standard output cannot be written")
            .with_source(error)
            .with_hint("what the command did stands; only what it printed is incomplete")
    })
}

/// When colour is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Decides once whether standard error gets colour.
pub(super) fn set_color(choice: ColorChoice) {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let color = match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
            !is_set("NO_COLOR") && (is_set("CLICOLOR_FORCE") || (io::stderr().is_terminal() && !dumb))
        }
    };
    COLOR.store(color, Ordering::Relaxed);
}

/// Whether standard error gets colour.
pub(super) fn has_color() -> bool {
    COLOR.load(Ordering::Relaxed)
}

/// Data: one line (or several) on standard output.
pub(super) fn data(text: &str) {
    let mut stdout = io::stdout().lock();
    STDOUT_FAILURE.note(writeln!(stdout, "{text}"));
}

/// Data as it is, for generated files.
pub(super) fn raw(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    STDOUT_FAILURE.note(stdout.write_all(bytes).and_then(|()| stdout.flush()));
}

/// The help or version that was asked for, or why the arguments cannot be parsed.
pub(super) fn parsed(answer: &clap::Error) {
    let written = answer.print();
    if !answer.use_stderr() {
        STDOUT_FAILURE.note(written.and_then(|()| io::stdout().flush()));
    }
}

/// A line for people on standard error.
pub(super) fn note(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "{text}");
}

fn labelled(label: &str, color: &str, text: &str) {
    if has_color() {
        note(&format!("\x1b[1;{color}m{label}:\x1b[0m {text}"));
    } else {
        note(&format!("{label}: {text}"));
    }
}

/// Why one thing did not work.
pub(super) fn failure(text: &str) {
    labelled("error", "31", text);
}

/// Why the run did not work: the chain of causes once, and the next step.
pub(super) fn error(error: &Error) {
    failure(&chain(error));
    if let Some(hint) = error.hint() {
        labelled("hint", "36", hint);
    }
}
