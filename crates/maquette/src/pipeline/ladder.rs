//! The stage `ladder`: many tiny runs of the same recipe, from which the large one is forecast.
//!
//! Each rung leaves one `ladder/NAME.json`, which is kept as long as its inputs are the same. While it trains it lives in
//! `ladder/.work/NAME/` like any run, so that a stopped ladder goes on where it was.

mod aside;
mod design;
pub(super) mod finished;
mod sweep;

use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::Context as _;
use base::disk;
use data::Tokenizer;
use tensor::Cpu;
use train::{Event, Inputs, Outcome, Trainer, Tuning};

use super::{
    budget, capability,
    once::once,
    plan::{Plan, run_plan},
    run::Run,
    stage::{Stage, hash},
};
use crate::{
    machine,
    progress::{self, Field, Progress, count, duration},
    run_dir::{Cost, Recorded, RungResult, rung_file, write_whole},
    stop::{self, Interrupted},
};

use aside::{aside, set_aside_changed};
pub(crate) use design::{Rung, TooSmall};
use finished::Ladder;

/// A rung with every number of its run, and what it is kept by.
struct Job {
    rung: Rung,
    inputs: String,
}

/// Trains the small runs, or keeps those that are there.
#[derive(Debug)]
pub(crate) struct TrainLadder;

impl Stage for TrainLadder {
    fn name(&self) -> &'static str {
        "ladder"
    }

    fn about(&self) -> &'static str {
        "Train the small runs that predict the large one"
    }

    fn inputs(&self, run: &Run) -> anyhow::Result<String> {
        let jobs = run.jobs(run.plan()?)?;
        Ok(hash(&jobs.iter().map(|job| job.inputs.as_str()).collect::<Vec<_>>()))
    }

    fn run(&self, run: &Run) -> anyhow::Result<()> {
        run.write_recipe(&run.plan()?.recipe)?;
        run.ladder().map(drop)
    }
}

impl Run {
    /// What the stage `ladder` leaves; rungs that are not there yet are trained.
    pub(super) fn ladder(&self) -> anyhow::Result<&Ladder> {
        once(&self.ladder, || self.train_ladder(self.plan()?))
    }

    /// Trains the rungs that are not there yet, side by side, one thread each.
    fn train_ladder(&self, plan: &Plan) -> anyhow::Result<Ladder> {
        let dir = self.dir.join("ladder");
        let jobs = self.jobs(plan)?;
        disk::create_dir_all(&dir).with_context(|| {
            format!(
                "cannot create `{}`\nhint: choose a folder that you may write to, with --out",
                dir.display()
            )
        })?;
        for job in &jobs {
            machine::check_memory(&job.rung.config, &job.rung.settings)?;
        }
        let (kept, missing): (Vec<&Job>, Vec<&Job>) =
            jobs.iter().partition(|job| RungResult::read(&dir, &job.rung.name, &job.inputs).is_some());
        for job in &missing {
            set_aside_changed(&dir, &job.rung.name, &job.inputs)?;
        }
        let big_flops = plan.flops();
        self.announce(&jobs, &missing, kept.len(), big_flops);
        self.train_rungs(&missing, &dir)?;
        // With what a kill left of rungs whose results were there.
        let work = dir.join(WORK);
        if work.exists() {
            disk::remove_dir_all(&work).with_context(|| cannot_remove(&work))?;
        }
        forget_others(&dir, &jobs);

        let results = jobs
            .iter()
            .map(|job| {
                RungResult::read(&dir, &job.rung.name, &job.inputs).with_context(|| {
                    let path = rung_file(&dir, &job.rung.name);
                    format!("cannot read back `{}`\nhint: give the same command again", path.display())
                })
            })
            .collect::<anyhow::Result<Vec<RungResult>>>()?;
        let ladder = self.judged(results, big_flops);
        for sweep in &ladder.sweep {
            progress::say("ladder", &sweep.to_string());
        }
        // Of those that can be judged, the one at the largest compute is nearest to the run; others say nothing.
        if let Some(test) = ladder.ratios.iter().rev().find(|test| test.is_judged()) {
            progress::say("ladder", &test.to_string());
        }
        Ok(ladder)
    }

    /// The ladder as it stands there, if every rung is as it was trained; nothing is trained.
    pub(super) fn kept_ladder(&self, plan: &Plan) -> Option<Ladder> {
        let dir = self.dir.join("ladder");
        let jobs = self.jobs(plan).ok()?;
        let results = jobs
            .iter()
            .map(|job| RungResult::read(&dir, &job.rung.name, &job.inputs))
            .collect::<Option<_>>()?;
        Some(self.judged(results, plan.flops()))
    }

    /// Every rung with what it is kept by.
    fn jobs(&self, plan: &Plan) -> anyhow::Result<Vec<Job>> {
        let (recipe, tokenizer, prepared) = (self.recipe()?, self.tokenizer()?, self.prepared()?);
        let config = recipe.ladder.clone().unwrap_or_default();
        let rungs = design::rungs(recipe, &config, tokenizer.vocab_size(), &plan.big)?;
        let job = |rung: Rung| {
            let inputs = hash(&[
                &serde_json::to_string(&(&rung.config, &rung.settings))?,
                tokenizer.fingerprint(),
                prepared.fingerprint(),
                recipe.suite_problems().map(|n| n.to_string()).as_deref().unwrap_or_default(),
            ]);
            let inputs = match (&rung.config.vision, &recipe.tuning) {
                (None, tuning) if *tuning == Tuning::default() => inputs,
                (vision, tuning) => {
                    let side = vision.as_ref().map_or(0, |vision| vision.image_size);
                    let pictures = self.pictures(side)?;
                    let fingerprint = pictures.map_or("", |set| set.fingerprint());
                    let inputs = hash(&[&inputs, &serde_json::to_string(tuning)?, fingerprint]);
                    match rung.pictures_per_step.filter(|_| pictures.is_some()) {
                        Some(n) => hash(&[&inputs, &format!("{n} documents of pictures a step")]),
                        None => inputs,
                    }
                }
            };
            Ok(Job { rung, inputs })
        };
        rungs.into_iter().map(job).collect()
    }

    fn judged(&self, results: Vec<RungResult>, big_flops: f64) -> Ladder {
        let spent: f64 = results.iter().map(|result| result.flops).sum();
        let cost = Cost {
            n_runs: results.len(),
            flops: spent,
            share: spent / big_flops,
            thread_seconds: results.iter().map(|result| result.elapsed_s).sum(),
        };
        let sweep = sweep::judge(&results);
        let rule = self.given.train.tokens_per_param.unwrap_or(model::scaling::TOKENS_PER_PARAM);
        let ratios = sweep::judge_ratios(&results, rule);
        Ladder { results, sweep, ratios, cost }
    }

    /// What the ladder will cost, before it starts.
    fn announce(&self, jobs: &[Job], missing: &[&Job], n_kept: usize, big_flops: f64) {
        let all: f64 = jobs.iter().map(|job| job.rung.flops()).sum();
        let largest = jobs.iter().map(|job| job.rung.flops()).fold(0.0, f64::max);
        progress::say(
            "ladder",
            &format!(
                "{} runs of at most 1/{:.0} of the large run: {} FLOPs in all, {:.2} % of its compute; {n_kept} kept",
                jobs.len(),
                big_flops / largest,
                count(all),
                100.0 * all / big_flops
            ),
        );
        if missing.is_empty() {
            return;
        }
        let kernels = Cpu::new(1);
        // Narrow models are slower for their FLOPs: the narrowest and the widest are measured, the rest lies between.
        let speed = |job: &Job| {
            budget::flops_per_second(&kernels, &job.rung.config, &job.rung.settings, ANNOUNCE_MEASURE_S)
        };
        let by_width = |job: &&&Job| job.rung.config.d_model;
        let (narrow, wide) = (missing.iter().min_by_key(by_width), missing.iter().max_by_key(by_width));
        let (Some(narrow), Some(wide)) = (narrow, wide) else { return };
        let mean = (speed(narrow) * speed(wide)).sqrt();
        let pictures = self.given.data.pictures.as_ref();
        let left: f64 = missing.iter().map(|job| job.rung.flops_with(pictures)).sum();
        let n_workers = self.kernels.n_threads().min(missing.len()).max(1);
        progress::say(
            "ladder",
            &format!(
                "{} to train, about {} with {n_workers} at a time",
                missing.len(),
                duration(left / mean / n_workers as f64)
            ),
        );
    }

    fn train_rungs(&self, missing: &[&Job], dir: &Path) -> anyhow::Result<()> {
        if missing.is_empty() {
            return Ok(());
        }
        let tokenizer = self.tokenizer()?;
        // The dearest first: what is left at the end is short, and no core waits long.
        let mut order: Vec<&Job> = missing.to_vec();
        order.sort_by(|a, b| b.rung.flops().total_cmp(&a.rung.flops()));
        // All rungs read as far as the run: the same problems for each.
        let max_seq_len = order.iter().map(|job| job.rung.config.max_seq_len).min().unwrap_or(0);
        let problems = self.given.suite_problems().map(|n| capability::problems(n, tokenizer, max_seq_len));
        let total: f64 = order.iter().map(|job| job.rung.flops()).sum();
        let n_workers = self.kernels.n_threads().min(order.len());
        // In parts of a million millions: an atomic has no floating-point sum.
        let (next, done_parts, n_done) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicUsize::new(0));
        let failed = Mutex::new(None);
        let bar = Mutex::new(Progress::new("ladder"));
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..n_workers {
                scope.spawn(|| {
                    while let Some(job) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let advance = |flops: f64| {
                            let part = (PARTS as f64 * flops / total) as u64;
                            let done = done_parts.fetch_add(part, Ordering::Relaxed) + part;
                            let n_done = n_done.load(Ordering::Relaxed);
                            let fields = [
                                Field::new(1, format!("{n_done} of {} runs done", order.len())),
                                Field::new(5, format!("in {}", job.rung.name)),
                            ];
                            bar.lock().expect("no worker panics").update(done, PARTS, fields);
                        };
                        let result = train_rung(self, job, dir, tokenizer, problems.as_deref(), &advance);
                        if let Err(error) = result {
                            next.store(order.len(), Ordering::Relaxed);
                            failed.lock().expect("no worker panics").get_or_insert(error);
                            return;
                        }
                        n_done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        if let Some(error) = failed.into_inner().expect("no worker panics") {
            return Err(error);
        }
        let took = duration(start.elapsed().as_secs_f64());
        let bar = bar.into_inner().expect("no worker panics");
        bar.finish(&format!("{} runs in {took}", order.len()));
        Ok(())
    }
}

/// Below the ladder's folder: rungs that are being trained.
const WORK: &str = ".work";

/// The whole of a ladder, in the unit of its progress.
const PARTS: u64 = 1_000_000_000_000;

/// Seconds that the announcement measures for each of two shapes.
const ANNOUNCE_MEASURE_S: f64 = 0.1;

/// Removes results of rungs that belong to another design: a law must not be fitted to them.
fn forget_others(dir: &Path, jobs: &[Job]) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let is_result = path.extension().is_some_and(|ending| ending == "json");
        let is_ours = jobs.iter().any(|job| rung_file(dir, &job.rung.name) == path);
        if is_result && !is_ours {
            // A result that cannot be moved is no reason to stop: the fit reads its own rungs by name.
            let _ = aside(dir, &path);
        }
    }
}

fn cannot_remove(path: &Path) -> String {
    format!("cannot remove `{}`\nhint: remove it, then give the same command again", path.display())
}

/// Trains one rung and writes its result; `advance` is given the FLOPs that are done.
fn train_rung(
    run: &Run,
    job: &Job,
    dir: &Path,
    tokenizer: &Tokenizer,
    problems: Option<&[data::tasks::Problem]>,
    advance: &dyn Fn(f64),
) -> anyhow::Result<()> {
    let rung = &job.rung;
    let work = dir.join(WORK).join(&rung.name);
    let begun = work.join("inputs");
    // What an interrupted ladder left is gone on with, unless it was another design's.
    if work.exists() && !fs::read_to_string(&begun).is_ok_and(|there| there == job.inputs) {
        disk::remove_dir_all(&work).with_context(|| cannot_remove(&work))?;
    }
    disk::create_dir_all(&work).with_context(|| {
        format!("cannot create `{}`\nhint: choose a folder that you may write to, with --out", work.display())
    })?;
    write_whole(&begun, job.inputs.as_bytes())?;
    let kernels = Arc::new(Cpu::new(1));
    let inputs = Inputs {
        kernels: kernels.clone(),
        config: rung.config.clone(),
        settings: rung.settings.clone(),
        objective: run.objective(&rung.config, &rung.settings, rung.pictures_per_step)?,
        tuning: run.recipe()?.tuning.clone(),
        tokenizer: tokenizer.clone(),
        chat_template: None,
        start: None,
        forecast: None,
    };
    let mut trainer = Trainer::open(inputs, &work)?;
    let step_flops = rung.flops() / rung.settings.steps as f64;
    advance(trainer.step() as f64 * step_flops);
    let outcome = trainer.run(stop::flag(), &mut |event| {
        if matches!(event, Event::Step { .. }) {
            advance(step_flops);
        }
    })?;
    let Outcome::Finished(summary) = outcome else {
        return Err(Interrupted(format!(" in rung {}, saved", rung.name)).into());
    };
    let scores = match problems {
        Some(problems) => eval::capability(
            trainer.gpt(),
            &*kernels,
            tokenizer,
            problems,
            &eval::CapabilitySettings::default(),
        )?,
        None => Vec::new(),
    };
    let recorded = Recorded::read(&work.join("metrics.jsonl"))?;
    if recorded.has_gap {
        // Its curve is part of the result.
        progress::say("ladder", &format!("rung {} lost its record and is trained again", rung.name));
        disk::remove_dir_all(&work).with_context(|| cannot_remove(&work))?;
        return train_rung(run, job, dir, tokenizer, problems, &|_| {});
    }
    let (train_loss, grad_norm) = recorded.steps.into_iter().unzip();
    // Tokens and FLOPs of the text: documents of pictures come beside them in proportion, here as in the run.
    let text = run_plan(&rung.config, &rung.settings);
    let result = RungResult {
        run: rung.name.clone(),
        role: rung.role,
        n_params: summary.n_matrix_params as f64,
        n_tokens: text.n_tokens,
        flops: text.flops,
        loss_nats: summary.validation.loss_nats,
        validation: summary.validation,
        parts: summary.parts,
        seed: rung.settings.seed,
        lr_factor: rung.lr_factor,
        config: rung.config.clone(),
        settings: rung.settings.clone(),
        elapsed_s: summary.elapsed_s,
        train_loss,
        grad_norm,
        scores,
        inputs: job.inputs.clone(),
        checksum: String::new(),
    };
    result.write(dir)?;
    disk::remove_dir_all(&work).with_context(|| cannot_remove(&work))
}
