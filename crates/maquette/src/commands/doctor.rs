//! `maquette doctor`

use std::path::PathBuf;

use serde::Serialize;
use tensor::{Cpu, DType, Isa};

use crate::{
    machine::{self, Machine},
    output,
};

/// Check this machine, and report what would make training slow
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder that runs would be written to
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Threads that are measured together; 0 uses every core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Findings {
    machine: Machine,
    /// Kernels in use.
    kernels: &'static str,
    peak_gflops_one_thread: f64,
    peak_gflops_all_threads: f64,
    read_gb_per_second: f64,
    free_memory_gb: Option<f64>,
    free_disk_gb: Option<f64>,
    data_found: bool,
    /// What would be slow or fail, each with its remedy.
    warnings: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let findings = examine(args);
    if args.json {
        return output::json(&findings);
    }
    let Findings { machine, warnings, .. } = &findings;
    let line = |name: &str, value: String| output::words(format_args!("{name:>18}  {value}"));
    line("processor", machine.cpu.clone())?;
    line("cores", machine.n_cores.to_string())?;
    line(
        "instruction sets",
        format!("{}; in use: {}", machine.instruction_sets.join(", "), findings.kernels),
    )?;
    line(
        "multiply-add peak",
        format!(
            "{:.0} GFLOP/s on one thread, {:.0} on all",
            findings.peak_gflops_one_thread, findings.peak_gflops_all_threads
        ),
    )?;
    line("memory speed", format!("{:.0} GB/s read by all threads", findings.read_gb_per_second))?;
    let free = findings.free_memory_gb.map_or("unknown".into(), |free| format!("{free:.1} GB"));
    line("memory", format!("{:.1} GB, free: {free}", machine.memory_gb))?;
    let disk = findings.free_disk_gb.map_or("unknown".into(), |free| format!("{free:.1} GB free"));
    line("disk", format!("{disk} at `{}`", args.out.display()))?;
    line("quickstart's data", if findings.data_found { "found".into() } else { "not found".into() })?;
    if warnings.is_empty() {
        output::words("\nno problems found")?;
    }
    for warning in warnings {
        output::words(format_args!("\n! {warning}"))?;
    }
    Ok(())
}

fn examine(args: &Args) -> Findings {
    let (one, all) = (Cpu::new(1), Cpu::new(args.threads));
    let free_memory_gb = machine::free_memory_gb();
    // The nearest folder that exists: runs are made where there is none yet.
    let existing = args.out.ancestors().find(|path| path.exists()).unwrap_or(std::path::Path::new("."));
    let free_disk_gb = fs4::available_space(existing).ok().map(|bytes| bytes as f64 / 1e9);
    let (one_thread, all_threads) =
        (one.measured_peak_gflops(DType::F32), all.measured_peak_gflops(DType::F32));
    let machine = Machine::detect(all.n_threads());
    let data_found = crate::recipe::Recipe::quickstart(&[]).is_ok();

    let mut warnings = Vec::new();
    let best = Isa::available().last().copied().unwrap_or(Isa::Portable);
    if Isa::current() < best {
        warnings.push(format!(
            "{} limits the kernels to `{}`; `{}` is faster\nhint: unset it",
            Isa::VARIABLE,
            Isa::current().name(),
            best.name()
        ));
    } else if best == Isa::Portable && cfg!(target_arch = "x86_64") {
        warnings.push(
            "this processor has no AVX2 with FMA: training is about 80 times slower\n\
             hint: use a machine made after 2013, or a virtual machine that exposes these instructions"
                .into(),
        );
    }
    let speedup = all_threads / one_thread;
    if all.n_threads() > 1 && speedup < 0.75 * all.n_threads() as f64 {
        warnings.push(format!(
            "{} threads compute only {speedup:.1} times as much as one\nhint: stop other programs, or use --threads {}",
            all.n_threads(),
            speedup.round().max(1.0)
        ));
    }
    if free_memory_gb.is_some_and(|free| free < 1.0) {
        warnings.push("less than 1 GB of memory is free\nhint: the quickstart takes about 0.5 GB".into());
    }
    if free_disk_gb.is_some_and(|free| free < 1.0) {
        warnings.push("less than 1 GB of disk is free\nhint: choose another folder with --out".into());
    }
    if !data_found {
        warnings.push(
            "the books of the quickstart were not found\nhint: run it in a clone of the project".into(),
        );
    }
    Findings {
        machine,
        kernels: Isa::current().name(),
        peak_gflops_one_thread: one_thread,
        peak_gflops_all_threads: all_threads,
        read_gb_per_second: all.measured_read_gb_per_second(),
        free_memory_gb,
        free_disk_gb,
        data_found,
        warnings,
    }
}
