//! `maquette bench watch`

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::Context as _;
use base::Rng;
use clap::ValueEnum;
use data::{Batch, BatchStream, Prepared, Tokenizer};
use forecast::Alarm;
use model::{Gpt, ModelConfig, Tokens};
use serde::Serialize;
use tensor::Cpu;
use train::{Learner, MicroBatch, RepetitionDetector, StalledDetector, TrainSettings, Update};

use crate::{
    output,
    pipeline::watch::{self, Watcher},
    progress::{Field, Progress},
    recipe::Recipe,
    run_dir::METRICS,
};

/// Count false alarms of a sealed forecast on healthy runs, and alarms on runs with an injected fault
///
/// Trains the forecast's run many times with other seeds, then with each fault, one thread each. Nothing is written to
/// the run's folder.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of a run with data and a sealed forecast, as `maquette ladder RECIPE --seal` leaves it
    run: PathBuf,
    /// Healthy runs
    #[arg(long, value_name = "N", default_value_t = 100)]
    healthy: usize,
    /// Runs with each fault
    #[arg(long, value_name = "N", default_value_t = 3)]
    faulty: usize,
    /// Runs at the same time; 0 uses every core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

/// What is wrong with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Fault {
    /// Nothing.
    None,
    /// Every learning rate is five times the plan's.
    LearningRate,
    /// The first fiftieth of the data comes again and again.
    RepeatedData,
    /// The block in the middle does not learn.
    FrozenLayer,
    /// One target in twenty is a random token.
    WrongTargets,
    /// The learning rate is at its peak from the first step.
    DroppedWarmup,
    /// Moments are rounded to bf16 after each step.
    Bf16Moments,
}

/// One run's outcome.
#[derive(Debug, Serialize)]
struct Watched {
    fault: Fault,
    seed: u64,
    alarm: Option<Raised>,
}

/// The first alarm of a run.
#[derive(Debug, Serialize)]
struct Raised {
    step: u64,
    /// Part of the run that was over.
    fraction: f64,
    /// What left its band, or what stalled.
    #[serde(flatten)]
    by: By,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum By {
    Band(Alarm),
    Stalled(String),
    /// Part of the last rows that had been trained on before.
    Repeated(f64),
}

/// What every run shares.
struct Bench {
    run_dir: PathBuf,
    config: ModelConfig,
    settings: TrainSettings,
    prepared: Arc<Prepared>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let recipe = Recipe::read(&args.run.join("recipe.toml"), &[])?;
    let tokenizer = Tokenizer::load(&args.run.join("tokenizer"))?;
    let prepared = Arc::new(Prepared::open(&args.run.join("data"), &tokenizer)?);
    let (config, settings) =
        train::plan(None, tokenizer.vocab_size(), &recipe.model, &recipe.train, recipe.seed)?;
    let bench = Bench { run_dir: args.run.clone(), config, settings, prepared };
    // Its seal is checked once, before anything is trained.
    bench.watcher()?;
    let faults = Fault::value_variants().iter().copied().filter(|fault| *fault != Fault::None);
    let healthy = (0..args.healthy as u64).map(|i| (Fault::None, i));
    let faulty = faults.flat_map(|fault| (0..args.faulty as u64).map(move |i| (fault, i)));
    let jobs: Vec<(Fault, u64)> = healthy.chain(faulty).collect();
    anyhow::ensure!(
        !jobs.is_empty(),
        "expected runs to watch, found none\nhint: leave --healthy and --faulty out"
    );
    let results = bench.all(&jobs, Cpu::new(args.threads).n_threads())?;
    if args.json {
        return output::line(serde_json::to_string_pretty(&results)?);
    }
    output::line(format_args!(
        "{:>16} {:>5} {:>7} {:>22}",
        "fault", "runs", "alarms", "first alarm (% of run)"
    ))?;
    for fault in Fault::value_variants() {
        let of: Vec<&Watched> = results.iter().filter(|watched| watched.fault == *fault).collect();
        if of.is_empty() {
            continue;
        }
        let at: Vec<f64> =
            of.iter().filter_map(|watched| Some(100.0 * watched.alarm.as_ref()?.fraction)).collect();
        let places = at.iter().map(|at| format!("{at:.1}")).take(6).collect::<Vec<_>>().join(" ");
        let name = fault.to_possible_value().expect("no fault is hidden");
        output::line(format_args!("{:>16} {:>5} {:>7} {places:>22}", name.get_name(), of.len(), at.len()))?;
    }
    output::line(format_args!("stated: at most {:.1} % of healthy runs", 100.0 * watch::FALSE_ALARM_RATE))
}

impl Bench {
    fn watcher(&self) -> anyhow::Result<Watcher> {
        Watcher::open(&self.run_dir, &self.run_dir.join(METRICS), 0)?.with_context(|| {
            format!(
                "expected a sealed forecast in `{}`, found none\nhint: `maquette ladder RECIPE --seal` makes one",
                self.run_dir.display()
            )
        })
    }

    fn all(&self, jobs: &[(Fault, u64)], n_workers: usize) -> anyhow::Result<Vec<Watched>> {
        let (next, n_done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let results = Mutex::new(Vec::new());
        let bar = Mutex::new(Progress::new("watch"));
        std::thread::scope(|scope| {
            for _ in 0..n_workers.min(jobs.len()) {
                scope.spawn(|| {
                    loop {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        let Some((fault, seed)) = jobs.get(i) else { return };
                        let result = self.one(*fault, *seed);
                        results.lock().expect("no worker panics").push((i, result));
                        let done = n_done.fetch_add(1, Ordering::Relaxed) as u64 + 1;
                        let mut bar = bar.lock().expect("no worker panics");
                        let runs = Field::new(1, format!("{done} of {} runs", jobs.len()));
                        bar.update(done, jobs.len() as u64, [runs]);
                    }
                });
            }
        });
        let mut results = results.into_inner().expect("no worker panics");
        results.sort_by_key(|(i, _)| *i);
        results.into_iter().map(|(_, result)| result).collect()
    }

    /// Trains until the first alarm or the end.
    fn one(&self, fault: Fault, seed: u64) -> anyhow::Result<Watched> {
        let kernels = Cpu::new(1);
        // Seeds that neither the ladder nor the run itself has.
        let seed = self.settings.seed.wrapping_add(1_000_000 + seed);
        let mut settings = TrainSettings { seed, ..self.settings.clone() };
        let rates = &mut settings.learning_rates;
        if fault == Fault::LearningRate {
            for rate in [&mut rates.matrix, &mut rates.embedding, &mut rates.head, &mut rates.gain] {
                *rate *= 5.0;
            }
        }
        if fault == Fault::DroppedWarmup {
            settings.warmup_steps = 0;
        }
        let schedule = settings.schedule();
        let mut watcher = self.watcher()?;
        let gpt = Gpt::new(self.config.clone(), seed).with_dtype(settings.dtype.into());
        let mut learner = Learner::new(gpt, settings.optimizer);
        let mut stream = BatchStream::new(Arc::clone(&self.prepared), settings.seq_len, seed)?;
        let (mut stalled, mut repetition) = (StalledDetector::default(), RepetitionDetector::default());
        let mut rng = Rng::named(seed, "planted faults");
        let (mut repeated, n_repeated) = (Vec::new(), (settings.steps / 50).max(1) as usize);
        for step in 1..=settings.steps {
            let mut batch = match fault {
                Fault::RepeatedData if repeated.len() == n_repeated => {
                    Batch::clone(&repeated[step as usize % n_repeated])
                }
                _ => stream.next_batch(settings.batch_rows),
            };
            if fault == Fault::RepeatedData && repeated.len() < n_repeated {
                repeated.push(batch.clone());
            }
            if fault == Fault::WrongTargets {
                for target in batch.targets.iter_mut() {
                    if rng.below(20) == 0 {
                        *target = rng.below(self.config.vocab_size as u64) as u32;
                    }
                }
            }
            learner.clear_gradients();
            let scale = 1.0 / settings.batch_tokens() as f64;
            let repeated_share = repetition.push(&batch.ids, batch.seq_len);
            let tokens = Tokens::packed(batch.ids, batch.segments.iter().map(|segment| segment.len));
            let loss_nats =
                scale * learner.add_gradients(&kernels, &MicroBatch::new(tokens, batch.targets), scale);
            let grad_norm = learner.grad_norm(&kernels);
            let frozen = (fault == Fault::FrozenLayer)
                .then(|| learner.gpt().params().blocks[self.config.n_layers / 2].clone());
            learner.update(
                &kernels,
                &settings,
                grad_norm,
                Update { lr_fraction: schedule.fraction(step), step },
            );
            if let Some(frozen) = frozen {
                learner.gpt_mut().params_mut().blocks[self.config.n_layers / 2] = frozen;
            }
            if fault == Fault::Bf16Moments {
                for (_, moment) in learner.optimizer_mut().tensors_mut() {
                    for value in moment.f32_mut() {
                        *value = f32::from_bits(
                            (value.to_bits() + 0x7fff + (value.to_bits() >> 16 & 1)) & !0xffff,
                        );
                    }
                }
            }
            // A loss that is no number is the alarm's own case, not an error of the bench.
            let band = watcher.observe(step, loss_nats, grad_norm)?.into_iter().next().map(By::Band);
            let still = || stalled.push(learner.gpt()).into_iter().next().map(By::Stalled);
            if let Some(by) = band.or(repeated_share.map(By::Repeated)).or_else(still) {
                let fraction = step as f64 / settings.steps as f64;
                return Ok(Watched { fault, seed, alarm: Some(Raised { step, fraction, by }) });
            }
        }
        Ok(Watched { fault, seed, alarm: None })
    }
}
