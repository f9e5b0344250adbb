//! Ctrl-C and SIGTERM: the first stops the run in order, the second ends the process at once.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc;
use std::thread;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::exit_code::ExitCode;
use super::printer;

static RECEIVED: AtomicU8 = AtomicU8::new(0);

/// The exit code that belongs to the signal that came, if one did.
pub(super) fn received() -> Option<ExitCode> {
    match RECEIVED.load(Ordering::Relaxed) {
        130 => Some(ExitCode::Interrupted),
        143 => Some(ExitCode::Terminated),
        _ => None,
    }
}

/// A token that the first signal cancels, from the moment this returns. Call it once.
pub(super) fn cancel_on_signals() -> CancellationToken {
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    let (listens, is_listening) = mpsc::channel();
    // Without the thread the default action of the signals stays in force, which is no disaster.
    let _ = thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || listen(&token, listens));
    let _ = is_listening.recv();
    cancel
}

/// Drops `listens` when signals are listened to, or cannot be.
fn listen(cancel: &CancellationToken, listens: mpsc::Sender<()>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    runtime.block_on(async {
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        drop(listens);
        let mut first = true;
        loop {
            let code = tokio::select! {
                _ = interrupt.recv() => ExitCode::Interrupted,
                _ = terminate.recv() => ExitCode::Terminated,
            };
            if !first {
                end_now(code);
            }
            first = false;
            RECEIVED.store(code as u8, Ordering::Relaxed);
            cancel.cancel();
            if code == ExitCode::Interrupted {
                printer::note("stopping; press Ctrl-C again to end at once");
            }
        }
    });
}

#[expect(
    clippy::exit,
    reason = "the user asked twice; worker processes end when their pipe closes"
)]
fn end_now(code: ExitCode) {
    std::process::exit(i32::from(code as u8));
}
