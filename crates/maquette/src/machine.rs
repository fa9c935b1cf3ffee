//! What this machine is.

use model::ModelConfig;
use serde::Serialize;
use tensor::DType;
use train::TrainSettings;

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

/// Refuses a training that this machine cannot hold, before anything of it is allocated.
///
/// A lower bound, so that what could run is never refused: weights and one moment in f32, and beside them either what
/// each layer keeps of its micro-batch or the gradients, which take its place.
pub(crate) fn check_memory(config: &ModelConfig, settings: &TrainSettings) -> anyhow::Result<()> {
    let Some(memory) = system().map(|system| system.total_memory() as f64).filter(|bytes| *bytes > 0.0)
    else {
        return Ok(());
    };
    let rows = settings.micro_batch_rows.min(settings.batch_rows);
    // The residual stream is f32; what is kept besides is in the activations' dtype.
    let activation = DType::from(settings.dtype).size() as f64;
    let (stream, f) = (4.0 * config.d_model as f64, config.d_ff as f64);
    let (q, kv) = (config.q_width() as f64, config.kv_width() as f64);
    let per_token = if settings.recompute_activations {
        stream
    } else {
        2.0 * stream + activation * (2.0 * q + 2.0 * kv + 2.0 * f)
    };
    let kept = config.n_layers as f64 * per_token * rows as f64 * settings.seq_len as f64;
    let params = config.approximate_params();
    let needed = 8.0 * params + kept.max(4.0 * params);
    anyhow::ensure!(
        needed <= memory,
        "this training takes at least {:.1} GB of memory, this machine has {:.1} GB\n\
         hint: choose smaller sizes in [model], fewer `micro_batch_rows`, or a smaller budget",
        needed / 1e9,
        memory / 1e9
    );
    Ok(())
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
