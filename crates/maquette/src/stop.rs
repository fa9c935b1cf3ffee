//! Ctrl-C: the first asks for an orderly stop, the second ends at once.

use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicBool, Ordering},
};

static REQUESTED: AtomicBool = AtomicBool::new(false);
static ONLY_INTERRUPTS: AtomicBool = AtomicBool::new(false);

/// The work was stopped in good order and can go on.
#[derive(Debug, thiserror::Error)]
#[error("stopped{0}\nhint: give the same command again to go on")]
pub(crate) struct Interrupted(pub(crate) String);

/// Listens for Ctrl-C and SIGTERM from now on.
pub(crate) fn listen() {
    let heard = ctrlc::set_handler(|| {
        if ONLY_INTERRUPTS.load(Ordering::Relaxed) {
            REQUESTED.store(true, Ordering::Relaxed);
            return;
        }
        if REQUESTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        crate::output::talk("\nstopping after the work at hand; Ctrl-C again ends at once");
    });
    // Without a handler Ctrl-C ends the program as it always does.
    drop(heard);
}

/// From now on Ctrl-C never ends the program: whoever works calls [`forget`] before each piece of work.
pub(crate) fn only_interrupts() {
    ONLY_INTERRUPTS.store(true, Ordering::Relaxed);
}

/// Takes what was asked for back.
pub(crate) fn forget() {
    REQUESTED.store(false, Ordering::Relaxed);
}

/// Whether a stop was asked for.
pub(crate) fn flag() -> &'static AtomicBool {
    &REQUESTED
}

/// For passes over data: `Break` once a stop was asked for.
pub(crate) fn check() -> ControlFlow<()> {
    if REQUESTED.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}
