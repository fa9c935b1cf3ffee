//! Text, and beside it documents of pictures: of these the answers, or the text between pictures, are learned.

use std::sync::{
    Arc,
    mpsc::{Receiver, sync_channel},
};

use base::hash::xxh3_128;
use data::{
    Tokenizer,
    image::Preprocessing,
    pictures::{PictureKind, PictureSet, SetDocument, SetPart, Side},
};
use model::{Gpt, Tokens, VisionConfig};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tensor::{IGNORE_TARGET, Kernels, Tensor};

use super::{Batch, MicroBatch, Objective, Pretraining, Scalars, read_cursor};
use crate::{Learner, Monitor, StalledParams, TrainError, TrainSettings, Validation, monitor};

/// Documents that are drawn, or decoded, before they are needed.
const N_AHEAD: usize = 64;

/// A document of text and pictures as the model reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct PictureExample {
    /// What is drawn; none of those in files.
    pub kind: Option<PictureKind>,
    /// Token ids, a placeholder for each patch of its pictures.
    pub ids: Vec<u32>,
    /// Whether each token is to be predicted.
    pub is_learned: Vec<bool>,
    /// The patches of its pictures, `[n·P, 3·S·S]`.
    pub patches: Vec<f32>,
}

impl PictureExample {
    /// Tokens that pass through the model.
    fn n_inputs(&self) -> usize {
        self.ids.len() - 1
    }

    /// How many tokens are predicted.
    fn n_learned(&self) -> usize {
        self.is_learned[1..].iter().filter(|is_learned| **is_learned).count()
    }
}

/// Turns documents into what a model reads.
#[derive(Clone, Debug)]
pub struct PictureReader {
    tokenizer: Tokenizer,
    vision: VisionConfig,
    preprocessing: Preprocessing,
}

impl PictureReader {
    /// For a model with these eyes.
    pub fn new(tokenizer: Tokenizer, vision: VisionConfig, preprocessing: Preprocessing) -> Self {
        Self { tokenizer, vision, preprocessing }
    }

    /// The document between a begin and an end of text.
    pub fn example(&self, document: &SetDocument) -> PictureExample {
        let mut example = PictureExample {
            kind: document.kind,
            ids: vec![self.tokenizer.begin_of_text()],
            is_learned: vec![false],
            patches: Vec::new(),
        };
        for part in &document.parts {
            let (ids, learned) = match part {
                SetPart::Text { text, is_learned } => (self.tokenizer.encode(text), *is_learned),
                SetPart::Image(image) => {
                    example.patches.extend(self.preprocessing.patches(image, self.vision.patch_size));
                    (vec![self.vision.image_token; self.vision.n_patches()], false)
                }
            };
            example.is_learned.extend(std::iter::repeat_n(learned, ids.len()));
            example.ids.extend(ids);
        }
        example.ids.push(self.tokenizer.end_of_text());
        example.is_learned.push(true);
        example
    }
}

/// What the examples of pictures are made from.
struct Source {
    set: Arc<PictureSet>,
    reader: PictureReader,
    /// Longer documents are left out.
    max_inputs: usize,
    /// Documents of the whole training.
    n_train: u64,
}

impl Source {
    /// Document number `number`, unless it is broken or too long.
    fn example(&self, side: Side, number: u64) -> Option<PictureExample> {
        let document = match side {
            Side::Train => self.set.training_document(number, self.n_train),
            Side::Test => self.set.document(side, number),
        };
        let example = self.reader.example(&document.ok()?);
        (example.n_inputs() <= self.max_inputs).then_some(example)
    }

    /// Whether `n` bad documents in a row mean that there is no good one.
    fn is_hopeless(&self, side: Side, n: u64) -> bool {
        n > self.set.n_before_repeating(side)
    }
}

/// Examples that a thread makes before they are needed, each with the number of the document behind it.
struct Ahead(Receiver<(u64, PictureExample)>);

impl Ahead {
    fn from(source: Arc<Source>, first: u64) -> Self {
        let (sender, receiver) = sync_channel(N_AHEAD);
        std::thread::spawn(move || {
            let mut n_bad = 0;
            for number in first.. {
                match source.example(Side::Train, number) {
                    Some(example) => {
                        n_bad = 0;
                        if sender.send((number + 1, example)).is_err() {
                            return; // Nobody waits for more.
                        }
                    }
                    None => n_bad += 1,
                }
                if source.is_hopeless(Side::Train, n_bad) {
                    return;
                }
            }
        });
        Self(receiver)
    }
}

/// The mean loss of text, as in [`Pretraining`], and the mean loss of what is learned of documents of pictures, added in
/// the parts that [`data::pictures::PicturesConfig::text_share`] says.
///
/// Rows of text are those of the settings; documents of pictures come beside them, none sees another.
pub struct WithPictures {
    text: Pretraining,
    source: Arc<Source>,
    /// Documents of pictures of each step.
    per_step: usize,
    ahead: Option<Ahead>,
    /// Number of the next document of pictures.
    next_document: u64,
    held_out: Vec<PictureExample>,
    token_bytes: Vec<u32>,
    settings: TrainSettings,
    fingerprint: String,
}

/// Where the next batch begins.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    text: Value,
    next_document: u64,
}

/// A micro-batch of pictures is known by this.
const OF_PICTURES: usize = 0;

impl WithPictures {
    /// At the beginning of the data, with as many documents of pictures a step as the set says.
    ///
    /// # Errors
    /// If no document fits in a row.
    pub fn new(
        text: Pretraining,
        set: Arc<PictureSet>,
        reader: PictureReader,
        settings: &TrainSettings,
    ) -> Result<Self, TrainError> {
        let per_step = set.config().per_step;
        Self::with_per_step(text, set, reader, settings, per_step)
    }

    /// The same with `per_step` documents of pictures a step, at least one: smaller batches of text have fewer beside them.
    ///
    /// # Errors
    /// If no document fits in a row.
    pub fn with_per_step(
        text: Pretraining,
        set: Arc<PictureSet>,
        reader: PictureReader,
        settings: &TrainSettings,
        per_step: usize,
    ) -> Result<Self, TrainError> {
        let per_step = per_step.max(1);
        let token_bytes = reader.tokenizer.token_bytes();
        // Of runs that were begun before there was another encoder.
        let vision = format!("{:?}", reader.vision).replace(", is_clip: false", "");
        let fingerprint = format!("{} {} {vision}", text.fingerprint(), set.fingerprint());
        let fingerprint = base::hash::hex(xxh3_128(fingerprint.as_bytes()));
        let n_held_out = set.config().n_held_out;
        let n_train = settings.steps * per_step as u64;
        let source = Arc::new(Source { set, reader, max_inputs: settings.seq_len, n_train });
        let good = |side: Side, n: usize| {
            let (mut found, mut n_bad, mut number) = (Vec::new(), 0, 0);
            while found.len() < n && !source.is_hopeless(side, n_bad) {
                match source.example(side, number) {
                    Some(example) => {
                        found.push(example);
                        n_bad = 0;
                    }
                    None => n_bad += 1,
                }
                number += 1;
            }
            found
        };
        let held_out = good(Side::Test, n_held_out);
        for (side, is_there) in
            [("training", !good(Side::Train, 1).is_empty()), ("held-out", !held_out.is_empty())]
        {
            if !is_there {
                let (longest, n_patches) = (settings.seq_len, source.reader.vision.n_patches());
                let problem = format!(
                    "of documents of pictures: none fits in {longest} tokens, of which a picture takes {n_patches}"
                );
                return Err(TrainError::Example { side, index: 0, problem });
            }
        }
        let settings = settings.clone();
        Ok(Self {
            text,
            source,
            per_step,
            ahead: None,
            next_document: 0,
            held_out,
            token_bytes,
            settings,
            fingerprint,
        })
    }

    /// The next examples of pictures.
    fn draw(&mut self, n: usize) -> Vec<PictureExample> {
        let (source, first) = (&self.source, self.next_document);
        let ahead = self.ahead.get_or_insert_with(|| Ahead::from(Arc::clone(source), first));
        let drawn: Vec<(u64, PictureExample)> = ahead.0.iter().take(n).collect();
        self.next_document = drawn.last().map_or(first, |(next, _)| *next);
        drawn.into_iter().map(|(_, example)| example).collect()
    }

    /// Examples one after another, as many as make a micro-batch.
    fn packed(&self, examples: &[PictureExample]) -> Vec<(MicroBatch, std::ops::Range<usize>)> {
        let most = self.settings.micro_batch_rows * self.settings.seq_len;
        let mut parts = Vec::new();
        let mut from = 0;
        while from < examples.len() {
            let mut n_tokens = 0;
            let fits = |example: &&PictureExample| {
                n_tokens += example.n_inputs();
                n_tokens <= most
            };
            let n = examples[from..].iter().take_while(fits).count().max(1);
            parts.push((self.micro_batch(&examples[from..from + n]), from..from + n));
            from += n;
        }
        parts
    }

    fn micro_batch(&self, examples: &[PictureExample]) -> MicroBatch {
        let vision = &self.source.reader.vision;
        let inputs = examples.iter().flat_map(|example| &example.ids[..example.n_inputs()]);
        let tokens = Tokens::packed(inputs.copied().collect(), examples.iter().map(PictureExample::n_inputs));
        let patches: Vec<f32> = examples.iter().flat_map(|example| &example.patches).copied().collect();
        let shape = [patches.len() / vision.patch_len(), vision.patch_len()];
        let tokens = tokens.with_images(Tensor::from_f32(&shape, patches), vision.image_token);
        let learned = examples.iter().flat_map(|example| example.ids.iter().zip(&example.is_learned).skip(1));
        let target = |(id, is_learned): (&u32, &bool)| if *is_learned { *id } else { IGNORE_TARGET };
        MicroBatch { examples: vec![OF_PICTURES], ..MicroBatch::new(tokens, learned.map(target).collect()) }
    }

    fn text_share(&self) -> f64 {
        self.source.set.config().text_share
    }

    /// Of every held-out example the sum of its losses in nats, the tokens that they are of, and the bytes of these.
    fn held_out_losses(&self, gpt: &Gpt, kernels: &dyn Kernels) -> Vec<(f64, f64, u64)> {
        let mut found = Vec::with_capacity(self.held_out.len());
        for (batch, range) in self.packed(&self.held_out) {
            let losses = gpt.losses(kernels, &batch.tokens, &batch.targets);
            let mut from = 0;
            for example in &self.held_out[range] {
                let losses = &losses.f32()[from..][..example.n_inputs()];
                from += example.n_inputs();
                let learned = example.ids.iter().zip(&example.is_learned).skip(1).filter(|(_, is)| **is);
                let n_bytes = learned.map(|(id, _)| u64::from(self.token_bytes[*id as usize])).sum();
                let sum = losses.iter().map(|&loss| f64::from(loss)).sum();
                found.push((sum, example.n_learned() as f64, n_bytes));
            }
        }
        found
    }
}

impl Objective for WithPictures {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn next(&mut self) -> Batch {
        let share = self.text_share();
        let mut batch = self.text.next();
        let of_text = (share / batch.denominator) as f32;
        for micro_batch in &mut batch.micro_batches {
            micro_batch.weights = Some(vec![of_text; micro_batch.targets.len()]);
        }
        if share == 0.0 {
            batch.micro_batches.clear();
            batch.n_tokens = 0;
        }
        let examples = self.draw(self.per_step);
        let n_learned: usize = examples.iter().map(PictureExample::n_learned).sum();
        let of_answers = ((1.0 - share) / n_learned as f64) as f32;
        for (mut micro_batch, _) in self.packed(&examples) {
            let weight = |target: &u32| if *target == IGNORE_TARGET { 0.0 } else { of_answers };
            micro_batch.weights = Some(micro_batch.targets.iter().map(weight).collect());
            batch.n_tokens += micro_batch.tokens.len() as u64;
            batch.micro_batches.push(micro_batch);
        }
        // The weights add up to 1.
        Batch { denominator: 1.0, ..batch }
    }

    fn add_gradients(
        &mut self,
        learner: &mut Learner,
        kernels: &dyn Kernels,
        batch: &MicroBatch,
        scale: f64,
    ) -> Scalars {
        let loss_nats = scale * learner.add_gradients(kernels, batch, scale);
        let share = self.text_share();
        let (name, part) = match batch.examples.is_empty() {
            true => ("text_loss_nats", share),
            false => ("answers_loss_nats", 1.0 - share),
        };
        Scalars { loss_nats, others: [(name, loss_nats / part)].into() }
    }

    fn cursor(&self) -> Value {
        let place = Place { text: self.text.cursor(), next_document: self.next_document };
        serde_json::to_value(place).expect("plain data is valid JSON")
    }

    fn seek(&mut self, cursor: &Value) -> Result<(), TrainError> {
        let place: Place = read_cursor(cursor)?;
        self.text.seek(&place.text)?;
        self.next_document = place.next_document;
        self.ahead = None;
        Ok(())
    }

    fn validate(&self, gpt: &Gpt, kernels: &dyn Kernels, is_last: bool) -> Result<Validation, TrainError> {
        self.text.validate(gpt, kernels, is_last)
    }

    fn validate_parts(&self, gpt: &Gpt, kernels: &dyn Kernels) -> Vec<(&'static str, Validation)> {
        let losses = self.held_out_losses(gpt, kernels);
        let part = |name, belongs: &dyn Fn(Option<PictureKind>) -> bool| {
            let of_part = self.held_out.iter().zip(&losses).filter(|(example, _)| belongs(example.kind));
            let (rows, n_bytes): (Vec<(f64, f64)>, Vec<u64>) =
                of_part.map(|(_, (sum, n, n_bytes))| ((*sum, *n), *n_bytes)).unzip();
            (!rows.is_empty()).then(|| (name, Validation::of_ratio(&rows, n_bytes.iter().sum())))
        };
        let mut parts = vec![part("answers", &|_| true)];
        for kind in PictureKind::ALL {
            parts.push(part(kind.name(), &|other| other == Some(kind)));
        }
        // Where all are of files, theirs is the loss of all.
        if self.held_out.iter().any(|example| example.kind.is_some()) {
            parts.push(part("files", &|kind| kind.is_none()));
        }
        parts.into_iter().flatten().collect()
    }

    fn monitors(&self) -> Vec<Box<dyn Monitor>> {
        // Placeholders repeat: rows that come again are no sign of copies here.
        vec![monitor::loss_spikes(), monitor::grad_norm_spikes(), Box::new(StalledParams::default())]
    }
}
