//! Training on text and on documents of pictures.

use std::sync::{Arc, atomic::AtomicBool};

use data::{
    ChatTemplate, Tokenizer,
    image::Preprocessing,
    pictures::{PictureKind, PictureSet, PicturesConfig, Side},
};
use model::{Activation, Gpt, VisionConfig, checkpoint};
use train::{Event, Inputs, Objective, Outcome, PictureReader, Pretraining, Tuning, WithPictures};

use crate::scene::{Run, Scene, token_bytes};

const IMAGE_SIZE: usize = 32;

fn vision() -> VisionConfig {
    VisionConfig {
        image_token: 3,
        image_size: IMAGE_SIZE,
        patch_size: 8,
        n_layers: 2,
        d_model: 20,
        n_heads: 2,
        d_ff: 28,
        norm_eps: 1e-6,
        activation: Activation::GeluTanh,
        projector_activation: Activation::Gelu,
        is_clip: false,
    }
}

fn scene() -> Scene {
    let mut scene = Scene::new();
    (scene.config.vision, scene.config.max_seq_len) = (Some(vision()), 128);
    (scene.settings.seq_len, scene.settings.steps, scene.settings.batch_rows) = (128, 6, 3);
    (scene.settings.warmup_steps, scene.settings.decay_steps) = (1, 2);
    (scene.settings.eval_every_steps, scene.settings.checkpoint_every_steps) = (3, 2);
    (scene.settings.eval_tokens, scene.settings.final_eval_tokens) = (128, 256);
    scene
}

fn pictures() -> PicturesConfig {
    let draw = vec![PictureKind::Scenes, PictureKind::Words];
    PicturesConfig { draw, per_step: 4, n_held_out: 6, max_level: 1, ..PicturesConfig::default() }
}

fn objective(scene: &Scene, config: &PicturesConfig) -> WithPictures {
    let text = Pretraining::new(scene.data(), &scene.settings, token_bytes()).unwrap();
    let set = Arc::new(PictureSet::open(config, IMAGE_SIZE, scene.settings.seed).unwrap());
    let reader = PictureReader::new(Tokenizer::bytes(), vision(), Preprocessing::square(IMAGE_SIZE));
    WithPictures::new(text, set, reader, &scene.settings).unwrap()
}

fn finish(run: &Run, change: impl FnOnce(&mut Inputs)) -> (Gpt, Vec<Event>) {
    let mut trainer = run.open_with(2, change).unwrap();
    let mut events = Vec::new();
    let outcome = trainer.run(&AtomicBool::new(false), &mut |event| events.push(event)).unwrap();
    assert!(matches!(outcome, Outcome::Finished(_)));
    (trainer.gpt().clone(), events)
}

/// A document is the begin of a text, a placeholder for each patch, the question, the answer and the end.
#[test]
fn only_answers_are_learned() {
    let set = PictureSet::open(&pictures(), IMAGE_SIZE, 7).unwrap();
    let tokenizer = Tokenizer::bytes();
    let reader = PictureReader::new(tokenizer.clone(), vision(), Preprocessing::square(IMAGE_SIZE));
    let document = set.document(Side::Train, 0).unwrap();
    let example = reader.example(&document);
    let [
        _,
        data::pictures::SetPart::Text { text: question, .. },
        data::pictures::SetPart::Text { text: answer, .. },
    ] = &document.parts[..]
    else {
        panic!("{document:?}")
    };
    let end = tokenizer.end_of_text();
    let want: Vec<u32> =
        [vec![end], vec![3; 16], tokenizer.encode(question), tokenizer.encode(answer), vec![end]].concat();
    assert_eq!(example.ids, want);
    let n_context = 1 + 16 + question.len();
    assert!(example.is_learned[..n_context].iter().all(|is_learned| !is_learned));
    assert!(example.is_learned[n_context..].iter().all(|is_learned| *is_learned));
    assert_eq!(example.patches.len(), 16 * 3 * 8 * 8);
    // A chat asks as it was trained.
    let template = ChatTemplate::of_pictures(&tokenizer).unwrap();
    let template = ChatTemplate::parse(&template, "", "").unwrap();
    let asked = data::Message::new("user", question.trim()).with_images(1);
    let prompt = template.encode(&tokenizer, std::slice::from_ref(&asked), true).unwrap();
    let expanded: Vec<u32> =
        prompt.iter().flat_map(|id| std::iter::repeat_n(*id, if *id == 3 { 16 } else { 1 })).collect();
    assert_eq!(expanded, want[..n_context]);
    let answered = [asked, data::Message::new("assistant", answer.clone())];
    let whole = template.encode(&tokenizer, &answered, false).unwrap();
    assert_eq!(whole[prompt.len()..], want[n_context..]);
}

#[test]
fn a_step_weighs_text_and_answers_as_the_recipe_says() {
    let scene = scene();
    for text_share in [0.25, 0.0] {
        let config = PicturesConfig { text_share, per_step: 9, ..pictures() };
        let batch = objective(&scene, &config).next();
        let sum = |of_pictures: bool| -> f64 {
            let chosen = batch.micro_batches.iter().filter(|micro| micro.examples.is_empty() != of_pictures);
            chosen.flat_map(|micro| micro.weights.clone().unwrap()).map(f64::from).sum()
        };
        assert!((sum(false) - text_share).abs() < 1e-6 && (sum(true) - (1.0 - text_share)).abs() < 1e-6);
        assert_eq!(batch.denominator, 1.0);
        let n_pictures = batch.micro_batches.iter().filter(|micro| !micro.examples.is_empty()).count();
        assert!(n_pictures > 1, "split into micro-batches");
    }
}

#[test]
fn a_stopped_run_continues_to_the_same_bits() {
    let scene = scene();
    let change = |inputs: &mut Inputs| inputs.objective = Box::new(objective(&scene, &pictures()));
    let whole = scene.run("whole");
    let (gpt, events) = finish(&whole, change);
    for step in [1, 3, 4] {
        let run = scene.run(&format!("stopped-at-{step}"));
        run.stop_at_with(step, 1, change);
        finish(&run, change);
        run.check_same_files(
            &format!("stopped at {step}"),
            &whole,
            &["model.safetensors", "state/optimizer.safetensors", "processor_config.json"],
        );
    }
    // Every part was moved, and every part of the loss was measured.
    let begun = Gpt::new(scene.config.clone(), scene.settings.seed);
    for ((a, b), spec) in begun.params().iter().zip(gpt.params()).zip(gpt.specs()) {
        // A bias of keys moves all scores of a query alike.
        assert!(a.f32() != b.f32() || spec.name.ends_with("k_proj.bias"), "{} stands still", spec.name);
    }
    let parts: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            Event::ValidatedPart { step: 6, name, .. } => Some(*name),
            _ => None,
        })
        .collect();
    assert_eq!(parts, ["answers", "words", "scenes"]);
    let metrics = whole.metrics();
    let last = metrics.iter().rfind(|line| line["kind"] == "validation").unwrap();
    assert!(last["answers_loss_nats"].as_f64().unwrap() > 0.0 && last["scenes_loss_stderr"].is_number());
    let step = metrics.iter().find(|line| line["kind"] == "train").unwrap();
    let (text, answers) =
        (step["text_loss_nats"].as_f64().unwrap(), step["answers_loss_nats"].as_f64().unwrap());
    assert!((0.5 * text + 0.5 * answers - step["loss_nats"].as_f64().unwrap()).abs() < 1e-6);
    // Other pictures are another run.
    let other = PicturesConfig { max_level: 2, ..pictures() };
    let error = whole.open_with(1, |inputs| inputs.objective = Box::new(objective(&scene, &other)));
    assert!(error.err().unwrap().to_string().contains("data"));
}

#[test]
fn a_smaller_batch_has_fewer_documents_beside_it() {
    let scene = scene();
    let next = |per_step: usize| {
        let text = Pretraining::new(scene.data(), &scene.settings, token_bytes()).unwrap();
        let set = Arc::new(PictureSet::open(&pictures(), IMAGE_SIZE, scene.settings.seed).unwrap());
        let reader = PictureReader::new(Tokenizer::bytes(), vision(), Preprocessing::square(IMAGE_SIZE));
        let mut objective =
            WithPictures::with_per_step(text, set, reader, &scene.settings, per_step).unwrap();
        objective.next();
        objective.cursor()["next_document"].as_u64().unwrap()
    };
    assert_eq!([1, 4, 7].map(next), [1, 4, 7]);
    assert_eq!(next(0), 1, "a step without a document has nothing to learn of them");
}

#[test]
fn the_totals_of_a_run_hold_the_loss_of_every_part() {
    let scene = scene();
    let run = scene.run("whole");
    let change = |inputs: &mut Inputs| inputs.objective = Box::new(objective(&scene, &pictures()));
    let mut trainer = run.open_with(2, change).unwrap();
    let Outcome::Finished(summary) = trainer.run(&AtomicBool::new(false), &mut |_| {}).unwrap() else {
        panic!("it was not stopped")
    };
    let metrics = run.metrics();
    let last = metrics.iter().rfind(|line| line["kind"] == "validation").unwrap();
    assert_eq!(summary.parts.keys().collect::<Vec<_>>(), ["answers", "scenes", "words"]);
    for (name, part) in &summary.parts {
        assert_eq!(part.loss_nats, last[format!("{name}_loss_nats")].as_f64().unwrap());
        assert_eq!(part.loss_stderr, last[format!("{name}_loss_stderr")].as_f64().unwrap());
    }
    let text = serde_json::to_string(&summary).unwrap();
    assert_eq!(serde_json::from_str::<train::Summary>(&text).unwrap(), summary);
}

/// The first of LLaVA's stages: a text model gets eyes, and its own weights and the encoder stay as they are.
#[test]
fn frozen_parts_stay_as_they_are_to_the_bit() {
    let mut scene = scene();
    scene.config.vision = None;
    let (text, _) = finish(&scene.run("text"), |_| {});
    let start = scene.run("text").checkpoint(6);
    scene.config.vision = Some(vision());
    let frozen = ["language_model.", "vision_tower."].map(str::to_owned).to_vec();
    let tuning = Tuning { frozen, ..Tuning::default() };
    let (seeing, _) = finish(&scene.run("seeing"), |inputs| {
        inputs.objective = Box::new(objective(&scene, &pictures()));
        (inputs.start, inputs.tuning) = (Some(start), tuning);
    });
    let begun = Gpt::new(scene.config.clone(), scene.settings.seed);
    let n_eyes = seeing.params().iter().len() - text.params().iter().len();
    for (i, (spec, param)) in seeing.specs().iter().zip(seeing.params()).enumerate() {
        let before = match i.checked_sub(n_eyes) {
            Some(i) => text.params().iter().nth(i).unwrap(),
            None => begun.params().iter().nth(i).unwrap(),
        };
        let is_frozen = !spec.name.starts_with("multi_modal_projector.");
        assert_eq!(param.f32() == before.f32(), is_frozen, "{}", spec.name);
    }
    let read = checkpoint::read_model(&scene.run("seeing").checkpoint(6)).unwrap();
    assert!(read.params().iter().zip(seeing.params()).all(|(a, b)| a.f32() == b.f32()));
}

/// AdamW's first step moves a weight by its learning rate: a tenth of the rate, a tenth of the way.
#[test]
fn rates_by_part_change_the_steps_of_that_part() {
    let mut scene = scene();
    (scene.settings.steps, scene.settings.warmup_steps, scene.settings.decay_steps) = (1, 0, 0);
    scene.settings.optimizer = train::OptimizerKind::AdamW;
    let begun = Gpt::new(scene.config.clone(), scene.settings.seed);
    let moved = |name: &str, rates: &[(&str, f64)]| {
        let rates = rates.iter().map(|(part, rate)| ((*part).to_owned(), *rate)).collect();
        let (gpt, _) = finish(&scene.run(name), |inputs| {
            inputs.objective = Box::new(objective(&scene, &pictures()));
            inputs.tuning = Tuning { rates, ..Tuning::default() };
        });
        let longest = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let steps = gpt.specs().iter().zip(gpt.params().iter().zip(begun.params()));
        steps.map(|(spec, (a, b))| (spec.name.clone(), longest(a.f32(), b.f32()))).collect::<Vec<_>>()
    };
    let (plain, slow) = (moved("plain", &[]), moved("slow", &[("vision_tower.", 0.1)]));
    for ((name, plain), (_, slow)) in plain.iter().zip(&slow) {
        let want = if name.starts_with("vision_tower.") { 0.1 } else { 1.0 };
        assert!((slow / plain - want).abs() < 0.02 || *plain < 1e-6, "{name}: {plain} {slow}");
    }
    let error = scene.run("bad").open_with(1, |inputs| {
        inputs.tuning.rates = [("vision_tower.".to_owned(), -1.0)].into();
    });
    assert!(error.err().unwrap().to_string().contains("-1 for `vision_tower.`"));
}

#[test]
fn documents_that_never_fit_are_an_error_and_no_wait() {
    let mut scene = scene();
    scene.settings.seq_len = 17;
    let text = Pretraining::new(scene.data(), &scene.settings, token_bytes()).unwrap();
    let set = Arc::new(PictureSet::open(&pictures(), IMAGE_SIZE, 7).unwrap());
    let reader = PictureReader::new(Tokenizer::bytes(), vision(), Preprocessing::square(IMAGE_SIZE));
    let error = WithPictures::new(text, set, reader, &scene.settings).err().unwrap().to_string();
    assert!(error.contains("none fits in 17 tokens, of which a picture takes 16"), "{error}");
}
