//! The process between the evaluation and a program: makes namespaces, limits what is inside, and becomes the interpreter.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::Write as _,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::Path,
    process::{Command, ExitCode},
};

use nix::{
    fcntl::{OFlag, open, openat},
    sched::{CloneFlags, unshare},
    sys::{
        prctl,
        resource::{Resource, setrlimit},
        signal::Signal,
        stat::Mode,
    },
    unistd::{getgid, getuid},
};

use super::{RUNNER, filesystem, syscalls};

/// Marks the second of the two processes, which is the first inside.
const INSIDE: &str = "--inside";
/// User and group of a program: nobody.
const NOBODY: u32 = 65_534;

/// A layer that cannot be had.
pub(super) struct Missing {
    pub(super) layer: &'static str,
    pub(super) why: String,
}

pub(super) trait Layer<T> {
    fn layer(self, layer: &'static str) -> Result<T, Missing>;
}

impl<T, E: std::fmt::Display> Layer<T> for Result<T, E> {
    fn layer(self, layer: &'static str) -> Result<T, Missing> {
        self.map_err(|error| Missing { layer, why: error.to_string() })
    }
}

/// Runs the program on stdin. `arguments` are those that [`super::Sandbox`] adds to its launcher's own: the interpreter,
/// the folder of its library, seconds, bytes of memory. A process that has more threads than one cannot call it.
pub fn launch(arguments: &[OsString]) -> ExitCode {
    let ended = match arguments {
        [mark, rest @ ..] if mark == INSIDE => inside(rest).map(|()| ExitCode::FAILURE),
        _ => outside(arguments),
    };
    ended.unwrap_or_else(|Missing { layer, why }| {
        let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
        println!("missing\t{layer}\t{why}");
        ExitCode::FAILURE
    })
}

/// Goes into namespaces of its own, and starts the first process of the new process namespace.
fn outside(arguments: &[OsString]) -> Result<ExitCode, Missing> {
    let (uid, gid) = (getuid(), getgid());
    let flags = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    unshare(flags).layer("namespaces")?;
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {uid} 1")),
        ("gid_map", format!("0 {gid} 1")),
    ] {
        fs::write(format!("/proc/self/{file}"), text).layer("user namespace")?;
    }
    let own = std::env::current_exe().layer("launcher")?;
    // What the program that called has as its first arguments.
    let all: Vec<OsString> = std::env::args_os().skip(1).collect();
    let first = all[..all.len().saturating_sub(arguments.len())].iter();
    let mut command = Command::new(own);
    command.args(first).arg(INSIDE).args(arguments).env_clear();
    let status = command.status().layer("process namespace")?;
    let code = status.signal().map_or(status.code().unwrap_or(1), |signal| 128 + signal);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// Becomes the interpreter, and does not come back.
fn inside(arguments: &[OsString]) -> Result<(), Missing> {
    let [python, prefix, seconds, memory] = arguments else {
        return Err(Missing { layer: "launcher", why: format!("{} arguments", arguments.len()) });
    };
    let number = |text: &OsStr| text.to_str().and_then(|text| text.parse::<f64>().ok());
    let (seconds, memory) =
        number(seconds).zip(number(memory)).ok_or("limits that are no numbers").layer("launcher")?;
    // Ends with the process outside.
    prctl::set_pdeathsig(Signal::SIGKILL).layer("process namespace")?;
    // Names under it are found when the file system outside is gone.
    let own = open("/proc/self", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    let own = own.layer("user namespace")?;
    filesystem::isolate(Path::new(python), Path::new(prefix)).layer("mount namespace")?;
    limit(seconds, memory as u64).layer("limits")?;
    // Nobody, without a capability over what is mounted.
    unshare(CloneFlags::CLONE_NEWUSER).layer("user namespace")?;
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{NOBODY} 0 1")),
        ("gid_map", format!("{NOBODY} 0 1")),
    ] {
        let file = openat(&own, file, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty());
        let mut file = fs::File::from(file.layer("user namespace")?);
        file.write_all(text.as_bytes()).layer("user namespace")?;
    }
    drop(own);
    prctl::set_no_new_privs().layer("no new privileges")?;
    prctl::set_pdeathsig(Signal::SIGKILL).layer("process namespace")?;
    let syscalls = match syscalls::refuse_dangerous() {
        Ok(()) => "system calls filtered, no further process".to_owned(),
        Err(error) => format!("system calls not filtered ({error})"),
    };
    let layers = [
        "process of its own",
        "user, process, network, IPC and mount namespaces",
        "read-only file system without the user's files",
        "limits of time, memory and files",
        "no new privileges",
        &syscalls,
    ];
    for layer in layers {
        println!("layer\t{layer}");
    }
    println!("start");
    let _ = std::io::stdout().flush();
    let error = Command::new(python)
        .args(["-I", "-S", "-B", "-X", "utf8", "-c", RUNNER, &seconds.to_string()])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", filesystem::WORK)
        .env("PYTHONHASHSEED", "0")
        .exec();
    Err(Missing { layer: "interpreter inside", why: error.to_string() })
}

fn limit(seconds: f64, memory: u64) -> nix::Result<()> {
    let cpu = seconds.ceil() as u64 + 2;
    let limits = [
        (Resource::RLIMIT_AS, memory),
        (Resource::RLIMIT_CPU, cpu),
        (Resource::RLIMIT_FSIZE, 16 << 20),
        (Resource::RLIMIT_NOFILE, 64),
        (Resource::RLIMIT_NPROC, 32),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_STACK, 64 << 20),
    ];
    limits.into_iter().try_for_each(|(resource, most)| setrlimit(resource, most, most))
}
