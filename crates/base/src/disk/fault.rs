//! Failures on demand.

use std::{
    env,
    fs::{File, OpenOptions},
    io::{self, Error, Write as _},
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

const VARIABLE: &str = "MAQUETTE_FAULT";

/// What an operation asks of a disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Space,
    Nothing,
}

/// How far an operation comes.
pub(super) enum Fate {
    Whole,
    /// The caller does half of it, or all where there is no half, and ends the process.
    Torn,
}

enum Plan {
    Fail(Fault, u64),
    Log(File),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    Kill,
    Torn,
    Eio,
    Enospc,
}

static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
/// Operations so far.
static N_DONE: AtomicU64 = AtomicU64::new(0);

/// What becomes of the next operation.
pub(super) fn next(what: &str, path: &Path, need: Need) -> io::Result<Fate> {
    if !cfg!(debug_assertions) {
        return Ok(Fate::Whole);
    }
    let Some(plan) = PLAN.get_or_init(plan) else { return Ok(Fate::Whole) };
    let number = N_DONE.fetch_add(1, Ordering::Relaxed) + 1;
    match plan {
        Plan::Log(file) => {
            let mut file = file;
            let line = format!("{number} {what} {}\n", path.display());
            file.write_all(line.as_bytes()).map(|()| Fate::Whole)
        }
        // The numbers of the errors are those of every Unix.
        Plan::Fail(Fault::Enospc, from) if number >= *from && need == Need::Space => {
            Err(Error::from_raw_os_error(28))
        }
        Plan::Fail(fault, at) if number == *at => match fault {
            Fault::Kill => std::process::abort(),
            Fault::Torn => Ok(Fate::Torn),
            Fault::Eio => Err(Error::from_raw_os_error(5)),
            Fault::Enospc => Ok(Fate::Whole),
        },
        Plan::Fail(..) => Ok(Fate::Whole),
    }
}

fn plan() -> Option<Plan> {
    let value = env::var(VARIABLE).ok()?;
    let plan = match value.split_once(':') {
        Some(("log", path)) => OpenOptions::new().create(true).append(true).open(path).ok().map(Plan::Log),
        _ => fault(&value).map(|(fault, at)| Plan::Fail(fault, at)),
    };
    // Whoever asks for a failure must not take a run without one for proof.
    Some(plan.unwrap_or_else(|| {
        panic!("{VARIABLE}: expected kill:N, torn:N, eio:N, enospc:N or log:FILE, found `{value}`")
    }))
}

fn fault(value: &str) -> Option<(Fault, u64)> {
    let (kind, at) = value.split_once(':')?;
    let fault = match kind {
        "kill" => Fault::Kill,
        "torn" => Fault::Torn,
        "eio" => Fault::Eio,
        "enospc" => Fault::Enospc,
        _ => return None,
    };
    Some((fault, at.parse().ok().filter(|at| *at > 0)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_or_refused() {
        assert_eq!(fault("kill:17"), Some((Fault::Kill, 17)));
        assert_eq!(fault("enospc:1"), Some((Fault::Enospc, 1)));
        for value in ["kill", "kill:", "kill:0", "kill:-1", "kill:x", "burn:3", ""] {
            assert_eq!(fault(value), None, "{value}");
        }
    }
}
