//! `maquette bench kernels`

use std::time::Duration;

use clap::ValueEnum as _;
use serde::Serialize;
use tensor::{Cpu, DType, Isa};

use super::{
    operations::Operation,
    timing::{Bench, Measured, Sizes, Work},
};
use crate::{commands::Dtype, output, stop};

/// Each kernel alone, compared with the peak measured on this machine
///
/// Sizes are those of a model of width 768 on 2048 tokens, unless a line says otherwise. Only the work that is necessary is
/// counted, so a kernel gains nothing by doing more.
///
/// Products, attention, cross-entropy and Muon count floating-point operations (a multiply-add is 2) and are compared with
/// the measured peak of multiply-adds in their format. A product of [m, k] and [k, n] is 2·m·n·k; for `packed` the weights
/// are packed once beforehand, as for decoding, otherwise in every call, as in training. Attention counts only pairs that
/// the causal mask allows: two products forward, five backward, where the scores are recomputed. Cross-entropy is one
/// product, three with gradients. Muon multiplies in f32.
///
/// All other kernels, and products of a single row, count bytes: each input read once, each output written once, what is
/// updated in place both. They are compared with the measured read bandwidth, which writes need not reach. Before each
/// call 256 MiB of other memory are read, so that the caches are cold.
///
/// Times are medians, after one call that is not measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Measure only these
    #[arg(long, value_enum, value_name = "OPERATION,..", value_delimiter = ',')]
    only: Vec<Operation>,
    /// Time for each line of the table; at least three calls are made
    #[arg(long, value_name = "S", default_value_t = 0.2)]
    seconds: f64,
    /// Data type of activations and of the inputs of matrix products
    #[arg(long, value_enum, default_value_t)]
    dtype: Dtype,
    /// Compute threads; 0 uses every core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

/// What `--json` prints for each line.
#[derive(Debug, Serialize)]
struct Output<'a> {
    operation: &'static str,
    case: &'a str,
    /// Median.
    time_ms: f64,
    n_calls: usize,
    /// 10⁹ operations or bytes a second, as `unit` says.
    rate: f64,
    /// `GFLOP/s` or `GB/s`.
    unit: &'static str,
    /// What this machine reaches at most, in the same unit.
    peak: f64,
    fraction_of_peak: f64,
    /// Of activations and of the products of the model.
    dtype: &'static str,
    instruction_set: &'static str,
    threads: usize,
}

/// What this machine can do at most.
struct Peaks {
    gflops: f64,
    gflops_f32: f64,
    read_gb_per_second: f64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let time = Duration::try_from_secs_f64(args.seconds).map_err(|_| {
        anyhow::anyhow!(
            "`--seconds` must be 0 or more and finite, found {}\nhint: 0.2 is usual",
            args.seconds
        )
    })?;
    let kernels = Cpu::new(args.threads);
    let dtype = args.dtype.precision().into();
    let peaks = Peaks {
        gflops: kernels.measured_peak_gflops(dtype),
        gflops_f32: kernels.measured_peak_gflops(DType::F32),
        read_gb_per_second: kernels.measured_read_gb_per_second(),
    };
    let mut bench = Bench::new(&kernels, dtype, Sizes::USUAL, time);
    if !args.json {
        output::line(format_args!(
            "{} threads, {}, {}: {:.0} GFLOP/s, in f32 {:.0}, reading {:.1} GB/s\n\n{}",
            kernels.n_threads(),
            Isa::current().name(),
            dtype.name(),
            peaks.gflops,
            peaks.gflops_f32,
            peaks.read_gb_per_second,
            columns("operation", "case", ["ms", "rate", "", "of peak"].map(str::to_owned))
        ))?;
    }
    for operation in Operation::value_variants() {
        if !args.only.is_empty() && !args.only.contains(operation) {
            continue;
        }
        let n_before = bench.results.len();
        operation.measure(&mut bench);
        anyhow::ensure!(stop::check().is_continue(), stop::Interrupted(String::new()));
        for measured in bench.results.iter().skip(n_before).filter(|_| !args.json) {
            output::line(row(&output(measured, &bench, &peaks)))?;
        }
    }
    if args.json {
        let all: Vec<Output> =
            bench.results.iter().map(|measured| output(measured, &bench, &peaks)).collect();
        return output::line(serde_json::to_string_pretty(&all)?);
    }
    Ok(())
}

fn output<'a>(measured: &'a Measured, bench: &Bench, peaks: &Peaks) -> Output<'a> {
    let (amount, unit, peak) = match measured.work {
        Work::Flops(format, n) if format == bench.dtype => (n, "GFLOP/s", peaks.gflops),
        Work::Flops(_, n) => (n, "GFLOP/s", peaks.gflops_f32),
        Work::Bytes(n) => (n, "GB/s", peaks.read_gb_per_second),
    };
    let rate = amount / measured.seconds / 1e9;
    Output {
        operation: measured.operation,
        case: &measured.case,
        time_ms: 1e3 * measured.seconds,
        n_calls: measured.n_calls,
        rate,
        unit,
        peak,
        fraction_of_peak: rate / peak,
        dtype: bench.dtype.name(),
        instruction_set: Isa::current().name(),
        threads: bench.kernels.n_threads(),
    }
}

fn row(output: &Output) -> String {
    let Output { time_ms, rate, fraction_of_peak, .. } = output;
    let numbers = [
        format!("{time_ms:.3}"),
        format!("{rate:.1}"),
        output.unit.to_owned(),
        format!("{:.0} %", 100.0 * fraction_of_peak),
    ];
    columns(output.operation, output.case, numbers)
}

fn columns(operation: &str, case: &str, [time, rate, unit, fraction]: [String; 4]) -> String {
    format!("{operation:<22}  {case:<46}  {time:>9}  {rate:>7} {unit:<7}  {fraction:>7}")
}
