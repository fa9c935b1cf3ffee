//! From a recipe that leaves most things open to one that leaves nothing open.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context as _;
use data::{Prepared, Tokenizer};
use model::{ModelConfig, checkpoint, scaling::ModelOverrides};
use tensor::Isa;
use train::{OptimizerKind, Precision, TrainOverrides, TrainSettings, Tuning};

use super::{budget, once::once, plan::Plan, run::Run, stage::hash};
use crate::{
    disk, progress,
    recipe::{Budget, Hashes, Recipe},
    run_dir::{INPUTS, Identity},
};

/// What a machine with these instructions trains in, if nobody says: the same at every start.
pub(crate) fn default_precision(isa: Isa) -> Precision {
    if isa.multiplies_bf16() { Precision::Bf16 } else { Precision::F32 }
}

impl Run {
    /// The plan of the run, from an earlier start in this folder or derived now.
    pub(super) fn plan(&self) -> anyhow::Result<&Plan> {
        once(&self.plan, || {
            let (tokenizer, prepared) = (self.tokenizer()?, self.prepared()?);
            let (recipe, config, settings) = self.resolve(tokenizer, prepared)?;
            let mut inputs = inputs(&config, &settings, tokenizer, prepared)?;
            if let Some(from) = &recipe.model.from {
                inputs = hash(&[&inputs, &checkpoint::sha256_of(&from.join("model.safetensors"))?]);
            }
            if recipe.tuning != Tuning::default() {
                inputs = hash(&[&inputs, &serde_json::to_string(&recipe.tuning)?]);
            }
            if let Some(vision) = &config.vision
                && let Some(pictures) = self.pictures(vision.image_size)?
            {
                inputs = hash(&[&inputs, pictures.fingerprint()]);
            }
            let (tokenizer, data) = (tokenizer.fingerprint().into(), prepared.fingerprint().into());
            Ok(Plan { recipe, big: (config, settings), identity: Identity { inputs, tokenizer, data } })
        })
    }

    /// Whether a training stands there; a crash right at its beginning leaves a folder with none.
    pub(super) fn is_begun(&self) -> bool {
        self.dir.join(INPUTS).exists() || self.dir.join("pretrain/checkpoints").exists()
    }

    /// Whether the training there was begun from this plan; where the file that says so is lost, its checkpoints show it.
    pub(super) fn is_begun_from(&self, plan: &Plan) -> bool {
        match fs::read_to_string(self.dir.join(INPUTS)) {
            Ok(begun) if begun.len() == plan.inputs().len() => begun == plan.inputs(),
            _ => {
                let checkpoints = self.dir.join("pretrain/checkpoints");
                train::holds_run(&checkpoints, plan.config(), plan.settings(), &plan.identity.data)
            }
        }
    }

    /// The checkpoint that the stage `pretrain` leaves.
    pub(super) fn checkpoint(&self) -> anyhow::Result<PathBuf> {
        let steps = self.plan()?.settings().steps;
        Ok(self.dir.join(format!("pretrain/checkpoints/step-{steps}")))
    }
}

/// Hash of everything that a training is made from.
fn inputs(
    config: &ModelConfig,
    settings: &TrainSettings,
    tokenizer: &Tokenizer,
    prepared: &Prepared,
) -> anyhow::Result<String> {
    let plan = serde_json::to_string(&(config, settings))?;
    Ok(hash(&[&plan, tokenizer.fingerprint(), prepared.fingerprint()]))
}

impl Run {
    /// Every number of the run: from an earlier start in this folder, or derived now.
    pub(super) fn resolve(
        &self,
        tokenizer: &Tokenizer,
        prepared: &Prepared,
    ) -> anyhow::Result<(Recipe, ModelConfig, TrainSettings)> {
        let (began, given) = (Instant::now(), self.recipe()?);
        let hashes = Hashes {
            maquette_version: env!("CARGO_PKG_VERSION").into(),
            recipe: given.fingerprint(),
            tokenizer: tokenizer.fingerprint().into(),
            data: prepared.fingerprint().into(),
        };
        let from = self.start()?.map(Path::to_owned);
        let start = from.as_deref().map(checkpoint::read_config).transpose()?;
        let vocab_size = start.as_ref().map_or(tokenizer.vocab_size(), |config| config.vocab_size);
        if let Some(earlier) = self.earlier_recipe(&hashes)? {
            let Recipe { name, samples, data, ladder, .. } = given.clone();
            let model = ModelOverrides { from: from.clone(), ..earlier.model };
            let earlier = Recipe { name, samples, data, ladder, model, ..earlier };
            let (model, train) = (&earlier.model, &earlier.train);
            let (config, settings) = train::plan(None, vocab_size, model, train, earlier.seed)?;
            return Ok((earlier, config, settings));
        }
        let mut recipe = given.clone();
        recipe.model.from = from;
        recipe.train.dtype.get_or_insert_with(|| default_precision(Isa::current()));
        if let Some(config) = &start {
            let fixed = ModelOverrides { from: recipe.model.from.clone(), ..ModelOverrides::fixed(config) };
            let given = std::mem::replace(&mut recipe.model, fixed);
            // Eyes may come in front of a model that has none.
            if config.vision.is_none() {
                recipe.model.vision = given.vision.clone();
            }
            let vision = given.vision.clone().filter(|_| config.vision.is_none());
            let nothing = ModelOverrides { from: given.from.clone(), vision, ..ModelOverrides::default() };
            anyhow::ensure!(
                given == nothing || given == recipe.model,
                "expected no sizes in [model] beside `from`, found some that are not the checkpoint's\n\
                 hint: remove them: a model that is continued keeps its shape"
            );
            continue_gently(&mut recipe.train);
        }
        if let Some(vision) = recipe.model.vision.as_mut().filter(|vision| vision.image_token.is_none()) {
            let named = ["<|image|>", "<image>"].iter().find_map(|name| tokenizer.special(name));
            vision.image_token = Some(named.context(
                "expected a token that stands for an image in the vocabulary, found neither `<|image|>` nor `<image>`\n\
                 hint: give the id of a token that no text has as `model.vision.image_token`",
            )?);
        }
        let n_validation = prepared.n_validation_tokens();
        if recipe.train.seq_len.is_none() && (SHORTEST_ROW..USUAL_ROW).contains(&n_validation) {
            let seq_len = 1 << n_validation.ilog2();
            recipe.train.seq_len = Some(seq_len);
            progress::say(
                "plan",
                &format!(
                    "rows of {seq_len} tokens: only {n_validation} tokens are held out of this little text"
                ),
            );
        }
        let train_flops = match recipe.budget.minutes {
            Some(minutes) => {
                let kernels = self.kernels();
                let afforded =
                    budget::within_minutes(&recipe, &kernels, vocab_size, minutes, began, n_validation)?;
                recipe.train = afforded.train;
                Some(afforded.train_flops)
            }
            None => recipe.budget.train_flops,
        };
        let recipe = &recipe;
        let (config, mut settings) =
            train::plan(train_flops, vocab_size, &recipe.model, &recipe.train, recipe.seed)?;
        if recipe.train.keep_checkpoints.is_none() {
            settings.keep_checkpoints = disk::affordable(&self.dir.join("pretrain"), &config, &settings);
        }
        let mut resolved = Recipe {
            model: ModelOverrides { from: recipe.model.from.clone(), ..ModelOverrides::fixed(&config) },
            train: TrainOverrides::fixed(&settings),
            hashes: Some(hashes),
            ..recipe.clone()
        };
        if let Some(open) = resolved.tokenizer.as_mut().filter(|config| config.is_open()) {
            open.vocab_size = Some(tokenizer.vocab_size());
        }
        // What the minutes came to on this machine: the resolved recipe gives the same run on any other.
        resolved.budget = Budget { minutes: None, train_flops };
        Ok((resolved, config, settings))
    }
}

/// Tokens of a row where nothing is said, and the fewest where little text is held out: a validation needs a whole row.
const USUAL_ROW: u64 = 256;
const SHORTEST_ROW: u64 = 16;

/// AdamW and a tenth of the peak rate at which models of 10⁸ weights are usually trained: Muon's steps and the rates of a
/// new model would undo what a trained one knows.
fn continue_gently(train: &mut TrainOverrides) {
    train.optimizer.get_or_insert(OptimizerKind::AdamW);
    let rates = &mut train.learning_rates;
    for rate in [&mut rates.matrix, &mut rates.embedding, &mut rates.head, &mut rates.gain] {
        rate.get_or_insert(CONTINUED_LEARNING_RATE);
    }
}

/// Of every weight.
const CONTINUED_LEARNING_RATE: f64 = 1e-4;
