//! What this machine is.

use serde::Serialize;

/// The machine, as a report states it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) n_cores: usize,
    pub(crate) threads: usize,
    pub(crate) instruction_sets: Vec<String>,
    pub(crate) memory_gb: f64,
}

impl Machine {
    pub(crate) fn detect(threads: usize) -> Self {
        let system = system();
        let cpu =
            system.as_ref().and_then(|system| system.cpus().first()).map(|cpu| cpu.brand().trim().to_owned());
        let memory = system.as_ref().map_or(0, sysinfo::System::total_memory);
        Self {
            cpu: cpu.unwrap_or_else(|| "unknown".into()),
            n_cores: std::thread::available_parallelism().map_or(1, usize::from),
            threads,
            instruction_sets: tensor::Isa::available().iter().map(|isa| isa.name().to_owned()).collect(),
            memory_gb: (memory as f64 / 1e9 * 10.0).round() / 10.0,
        }
    }
}

/// Memory that is free for use, in GB (10⁹ bytes); `None` where the system does not say.
pub(crate) fn free_memory_gb() -> Option<f64> {
    system().map(|system| system.available_memory() as f64 / 1e9)
}

fn system() -> Option<sysinfo::System> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
    Some(system)
}

/// Most memory that this process has held so far, in MB (10⁶ bytes); 0 where the system does not say.
pub(crate) fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|value| value.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1024.0 / 1e6
}
