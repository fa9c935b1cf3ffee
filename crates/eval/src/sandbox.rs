//! Programs that a model wrote, run apart from everything else.
//!
//! A program runs in a Python interpreter of its own, in namespaces of its own: it sees a read-only file system with the
//! interpreter and nothing of the user's, an empty folder in memory, no network, and no other process. Memory, time and files
//! are limited, it can make no process, system calls that no program needs are refused, and when it is over, or its time is, every
//! process that it started ends with it. Nothing is written to the disk.
//!
//! Where namespaces cannot be had, nothing is run.

#[cfg(target_os = "linux")]
mod filesystem;
#[cfg(target_os = "linux")]
mod launcher;
mod outcome;
#[cfg(target_os = "linux")]
mod syscalls;

use std::{
    ffi::OsString,
    io::{Read, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

#[cfg(target_os = "linux")]
pub use launcher::launch;
pub use outcome::{Outcome, ProgramRun};

/// The interpreter runs this, and it runs the program.
const RUNNER: &str = include_str!("sandbox/runner.py");
/// Bytes of output that are read; a program that writes more is ended.
const MAX_OUTPUT: u64 = 1 << 16;
/// What the interpreter may take to start and to end, beside the time of the program.
const GRACE: Duration = Duration::from_secs(12);

/// What a program may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Wall-clock time, in seconds.
    pub seconds: f64,
    /// Address space, in bytes.
    pub memory_bytes: u64,
}

impl Default for Limits {
    /// Three seconds, as HumanEval has it, and a gigabyte.
    fn default() -> Self {
        Self { seconds: 3.0, memory_bytes: 1 << 30 }
    }
}

/// Why no program is run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// There is no interpreter.
    #[error(
        "expected the interpreter `python3`, found none\nhint: install Python, or leave --run-programs out"
    )]
    NoPython,
    /// What keeps a program apart cannot be had here.
    #[error(
        "expected to keep programs apart, found no {layer}: {found}\nhint: programs are run on Linux with user namespaces alone; leave --run-programs out, and judge the items elsewhere with --rescore --run-programs"
    )]
    NoIsolation {
        /// What is missing.
        layer: String,
        /// Why.
        found: String,
    },
    /// The launcher does not start.
    #[error("cannot start the launcher: {0}\nhint: {1}")]
    Launcher(std::io::Error, &'static str),
}

/// Runs programs. See [`crate::sandbox`].
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// A program that calls [`launch`] with what follows, and its first arguments.
    launcher: (PathBuf, Vec<OsString>),
    python: Python,
    limits: Limits,
    layers: Vec<String>,
}

#[derive(Clone, Debug)]
struct Python {
    executable: PathBuf,
    /// Where its library lies.
    prefix: PathBuf,
}

impl Sandbox {
    /// Makes sure that programs can be kept apart here. `launcher` is a program with its first arguments, which passes the
    /// others to [`launch`].
    ///
    /// # Errors
    /// If there is no interpreter, or no isolation.
    pub fn new(launcher: (PathBuf, Vec<OsString>), limits: Limits) -> Result<Self, SandboxError> {
        let python = Python::find().ok_or(SandboxError::NoPython)?;
        let mut sandbox = Self { launcher, python, limits, layers: Vec::new() };
        let found = sandbox.start("pass")?;
        if let Some((layer, found)) = found.missing {
            return Err(SandboxError::NoIsolation { layer, found });
        }
        if found.outcome != Outcome::Passed || found.layers.is_empty() {
            let found = format!("an empty program ended with: {}", found.outcome);
            return Err(SandboxError::NoIsolation { layer: "interpreter inside".to_owned(), found });
        }
        sandbox.layers = found.layers;
        Ok(sandbox)
    }

    /// What keeps programs apart here, by name; one that is missing says so.
    pub fn layers(&self) -> &[String] {
        &self.layers
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// If it cannot be started as apart as the first one was.
    pub fn run(&self, program: &str) -> Result<ProgramRun, SandboxError> {
        let found = self.start(program)?;
        match found.missing {
            Some((layer, found)) => Err(SandboxError::NoIsolation { layer, found }),
            None => Ok(ProgramRun { outcome: found.outcome }),
        }
    }

    fn start(&self, program: &str) -> Result<Started, SandboxError> {
        let nonce = nonce();
        let (path, arguments) = &self.launcher;
        let mut command = Command::new(path);
        command
            .args(arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.args([self.python.executable.as_os_str(), self.python.prefix.as_os_str()]);
        command.args([self.limits.seconds.to_string(), self.limits.memory_bytes.to_string()]);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let fail = |error| {
            SandboxError::Launcher(error, "the program itself is the launcher; it must stay where it is")
        };
        let mut child = command.spawn().map_err(fail)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let source = format!("{nonce}\n{program}");
        let writer = thread::spawn(move || {
            // A launcher that has ended reads nothing.
            let _ = stdin.map(|mut stdin| stdin.write_all(source.as_bytes()));
        });
        let reader = |stream: Option<Box<dyn Read + Send>>| {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                let _ = stream.map(|stream| stream.take(MAX_OUTPUT).read_to_end(&mut bytes));
                bytes
            })
        };
        let out = reader(stdout.map(|stream| Box::new(stream) as Box<dyn Read + Send>));
        let err = reader(stderr.map(|stream| Box::new(stream) as Box<dyn Read + Send>));
        let begin = Instant::now();
        let deadline = begin + Duration::from_secs_f64(self.limits.seconds) + GRACE;
        let mut is_late = false;
        let status = loop {
            if let Some(status) = child.try_wait().map_err(fail)? {
                break Some(status);
            }
            // Whoever writes without end has no reader any more, and waits or ends.
            is_late = Instant::now() >= deadline;
            if is_late || out.is_finished() && !is_ending(&mut child) {
                kill_group(&child);
                break child.wait().ok();
            }
            thread::sleep(Duration::from_millis(2));
        };
        // What is left of the group, if anything is.
        kill_group(&child);
        let joined = |handle: thread::JoinHandle<Vec<u8>>| handle.join().unwrap_or_default();
        let _ = writer.join();
        let (out, err) = (joined(out), joined(err));
        let mut started = outcome::read(&nonce, &out, &err, status, is_late);
        // The limit of computing time is a little above that of the clock.
        let is_over = begin.elapsed().as_secs_f64() >= self.limits.seconds;
        if is_over && matches!(started.outcome, Outcome::Killed(9 | 24)) {
            started.outcome = Outcome::TimedOut;
        }
        Ok(started)
    }
}

/// Waits a moment for a process that has closed its output.
fn is_ending(child: &mut std::process::Child) -> bool {
    let deadline = Instant::now() + Duration::from_secs(2);
    while Instant::now() < deadline {
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            return true;
        }
        thread::sleep(Duration::from_millis(2));
    }
    false
}

/// Ends a process and all of its group.
fn kill_group(child: &std::process::Child) {
    #[cfg(target_os = "linux")]
    {
        use nix::{
            sys::signal::{Signal, killpg},
            unistd::Pid,
        };
        // It may have ended by itself.
        let _ = i32::try_from(child.id()).map(|id| killpg(Pid::from_raw(id), Signal::SIGKILL));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = child;
}

/// What a verdict begins with, so that a program that prints cannot write one by chance.
fn nonce() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    let draw = || RandomState::new().hash_one(Instant::now());
    format!("{:016x}{:016x}", draw(), draw())
}

/// What came of starting a program.
struct Started {
    layers: Vec<String>,
    /// A layer without which nothing is run, and why it is missing.
    missing: Option<(String, String)>,
    outcome: Outcome,
}

impl Python {
    /// The interpreter on the path, as the file that it is: what stands on the path may be a script that looks for it.
    fn find() -> Option<Self> {
        let script = "import sys; print(sys.executable); print(sys.base_prefix)";
        let names = ["python3", "/usr/bin/python3", "/usr/local/bin/python3"];
        names.iter().find_map(|name| {
            let out =
                Command::new(name).args(["-I", "-S", "-c", script]).stderr(Stdio::null()).output().ok()?;
            let text = String::from_utf8(out.stdout).ok().filter(|_| out.status.success())?;
            let mut lines = text.lines().map(PathBuf::from);
            let executable = lines.next()?.canonicalize().ok()?;
            Some(Self { executable, prefix: lines.next()?.canonicalize().ok()? })
        })
    }
}

/// Runs the launcher where there is none.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn launch(_: &[OsString]) -> std::process::ExitCode {
    println!("missing\tnamespaces\tthis is not Linux");
    std::process::ExitCode::FAILURE
}
