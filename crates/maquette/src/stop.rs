//! Ctrl-C and other requests to end: the first asks for an orderly stop, the second Ctrl-C ends at once.

use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicBool, Ordering},
};

static REQUESTED: AtomicBool = AtomicBool::new(false);
static ONLY_INTERRUPTS: AtomicBool = AtomicBool::new(false);
static IDLE: AtomicBool = AtomicBool::new(false);

/// The work was stopped in good order and can go on.
#[derive(Debug, thiserror::Error)]
#[error("stopped{0}\nhint: give the same command again to go on")]
pub(crate) struct Interrupted(pub(crate) String);

/// What was printed so far is whole, and the same command begins from the start.
#[derive(Debug, thiserror::Error)]
#[error("stopped{0}\nhint: the same command begins from the start")]
pub(crate) struct Abandoned(pub(crate) String);

/// A step of several was stopped; the command of all of them goes on.
#[derive(Debug, thiserror::Error)]
#[error("stopped{step}\nhint: `{again}` goes on; steps that are finished are kept")]
pub(crate) struct StoppedStep {
    pub(crate) step: String,
    pub(crate) again: String,
}

/// Where the work was stopped, if it was and nothing failed.
pub(crate) fn reason(error: &anyhow::Error) -> Option<&str> {
    let interrupted = error.downcast_ref::<Interrupted>().map(|Interrupted(said)| &said[..]);
    let abandoned = || error.downcast_ref::<Abandoned>().map(|Abandoned(said)| &said[..]);
    interrupted
        .or_else(abandoned)
        .or_else(|| error.downcast_ref().map(|stopped: &StoppedStep| &stopped.step[..]))
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Request {
    Interrupt,
    #[cfg(unix)]
    Terminate,
    /// The terminal is gone.
    #[cfg(unix)]
    HangUp,
}

/// Listens for Ctrl-C and, where there are such, SIGTERM and SIGHUP from now on.
///
/// A SIGHUP that whoever started the program had ignored stays ignored: that is what `nohup` asks for.
#[cfg(unix)]
pub(crate) fn listen() {
    use signal_hook::{
        consts::{SIGHUP, SIGINT, SIGTERM},
        iterator::Signals,
    };
    let mut listened = vec![SIGINT, SIGTERM];
    if ignored_signals().is_some_and(|mask| mask & (1 << (SIGHUP - 1)) == 0) {
        listened.push(SIGHUP);
    }
    // Without a handler a signal ends the program as it always does, and without a thread as well.
    let Ok(mut signals) = Signals::new(listened) else { return };
    let _ = std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            take(match signal {
                SIGTERM => Request::Terminate,
                SIGHUP => Request::HangUp,
                _ => Request::Interrupt,
            });
        }
    });
}

/// Listens for Ctrl-C from now on.
#[cfg(not(unix))]
pub(crate) fn listen() {
    // Without a handler Ctrl-C ends the program as it always does.
    let _ = ctrlc::set_handler(|| take(Request::Interrupt));
}

/// The signals that this program ignores, signal 1 in the lowest bit; `None` where the system does not say. There SIGHUP is
/// left alone: to ignore it or to end by it was decided before.
#[cfg(unix)]
fn ignored_signals() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

fn take(request: Request) {
    if ONLY_INTERRUPTS.load(Ordering::Relaxed) && request == Request::Interrupt {
        REQUESTED.store(true, Ordering::Relaxed);
        return;
    }
    let is_repeated = REQUESTED.swap(true, Ordering::Relaxed);
    // A terminal that closes may say so twice, which is no haste.
    #[cfg(unix)]
    let is_haste = request != Request::HangUp;
    #[cfg(not(unix))]
    let is_haste = true;
    if (is_repeated && is_haste) || ONLY_INTERRUPTS.load(Ordering::Relaxed) || IDLE.load(Ordering::Relaxed) {
        let _unfinished = base::temporary::remove_unfinished();
        std::process::exit(130);
    }
    if !is_repeated {
        crate::output::talk("\nstopping after the work at hand; Ctrl-C again ends at once");
    }
}

/// From now on Ctrl-C never ends the program: whoever works calls [`forget`] before each piece of work.
pub(crate) fn only_interrupts() {
    ONLY_INTERRUPTS.store(true, Ordering::Relaxed);
}

/// Runs `wait`, which waits for somebody else: a request to end finds no work at hand meanwhile and ends the program.
pub(crate) fn idle<T>(wait: impl FnOnce() -> T) -> T {
    IDLE.store(true, Ordering::Relaxed);
    let value = wait();
    IDLE.store(false, Ordering::Relaxed);
    value
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

/// For long work: whether it goes on.
pub(crate) fn goes_on() -> bool {
    !REQUESTED.load(Ordering::Relaxed)
}

/// For work of which nothing is kept before its end.
///
/// # Errors
/// [`Abandoned`] once a stop was asked for.
pub(crate) fn still() -> anyhow::Result<()> {
    if goes_on() { Ok(()) } else { Err(Abandoned(String::new()).into()) }
}

/// An error as one of the program, where the same command begins from the start: what the user stopped is no failure.
pub(crate) fn abandoned(error: impl Into<anyhow::Error>) -> anyhow::Error {
    let error = error.into();
    if is_stopped(&error) { Abandoned(String::new()).into() } else { error }
}

/// An error as one of the program, where the same command goes on.
pub(crate) fn resumable(error: impl Into<anyhow::Error>) -> anyhow::Error {
    let error = error.into();
    if is_stopped(&error) { Interrupted(String::new()).into() } else { error }
}

fn is_stopped(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(eval::EvalError::Stopped))
        || matches!(error.downcast_ref(), Some(model::DecodeError::Stopped))
}

/// An error of `data` as one of the program: what the user stopped is no failure.
pub(crate) fn interrupted(error: data::DataError) -> anyhow::Error {
    match error {
        data::DataError::Interrupted => Interrupted(String::new()).into(),
        other => other.into(),
    }
}
