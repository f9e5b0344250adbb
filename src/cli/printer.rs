//! The only door to standard output and standard error (with `progress`, which draws on the latter).
//!
//! Data goes to standard output, everything for people that is not the result itself to standard error. A
//! reader that went away is no error: what is left has nobody to read it.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, chain};

static COLOR: AtomicBool = AtomicBool::new(false);

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
    let _ = writeln!(stdout, "{text}");
}

/// Data as it is, for generated files.
pub(super) fn raw(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
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
