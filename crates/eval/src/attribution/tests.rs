use base::Rng;
use model::{Activation, Gpt, ModelConfig, Picture, VisionConfig};
use tensor::{Cpu, DType};

use super::*;

const IMAGE: u32 = 3;

fn vision() -> VisionConfig {
    VisionConfig {
        image_token: IMAGE,
        image_size: 8,
        patch_size: 2,
        n_layers: 1,
        d_model: 16,
        n_heads: 2,
        d_ff: 24,
        norm_eps: 1e-6,
        activation: Activation::GeluTanh,
        projector_activation: Activation::Gelu,
        is_clip: false,
    }
}

/// A model in which nothing is 0.
fn model() -> Gpt {
    let shape = model::scaling::ModelOverrides::default().config(40, 64, 16);
    let config = ModelConfig { vision: Some(vision()), max_seq_len: 64, ..shape };
    let params = config.params().map(|mut spec| {
        spec.init_std = if spec.init_std == 0.0 { 0.3 } else { spec.init_std };
        spec.init(DType::F32, 3)
    });
    Gpt::from_params(config, params)
}

fn picture(seed: u64) -> Picture {
    let mut rng = Rng::new(seed, 0);
    let n = vision().n_patches() * vision().patch_len();
    Picture::new((0..n).map(|_| (0.4 * rng.normal() + 0.2) as f32).collect())
}

fn prompt(n_pictures: usize) -> Vec<u32> {
    [vec![0], vec![IMAGE; 16 * n_pictures], vec![7, 8, 9]].concat()
}

/// Small changes are those of the gradient: where the pictures hardly differ from the colour that hides them, the two maps are
/// the same.
#[test]
fn both_maps_agree_where_hiding_changes_little() {
    let (gpt, kernels) = (model(), Cpu::new(2));
    for hiding in [Hiding::Picture, Hiding::Model] {
        let offset = if hiding == Hiding::Picture { 0.5 } else { 0.0 };
        let faint = |seed| {
            Picture::new(picture(seed).patches().iter().map(|x| offset + 1e-2 * x).collect::<Vec<f32>>())
        };
        let pictures = [faint(1), faint(2)];
        let prompt = prompt(2);
        let subject =
            Subject { gpt: &gpt, kernels: &kernels, prompt: &prompt, pictures: &pictures, answer: &[11, 12] };
        let settings = AttributionSettings { hiding, ..AttributionSettings::default() };
        let found = attribute(&subject, &settings, &|| true).unwrap();
        assert_eq!((found.gradient_input_nats.len(), found.occlusion_nats.len()), (32, 32));
        let largest = found.occlusion_nats.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
        let worst = found
            .gradient_input_nats
            .iter()
            .zip(&found.occlusion_nats)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max);
        assert!(largest > 1e-4 && worst < 0.1 * largest, "{worst:e} of {largest:e}");
        assert!(found.rank_correlation.unwrap() > 0.95, "{:?}", found.rank_correlation);
        assert!(found.deletion.by_gradient_input.lo95 > 0.0, "{:?}", found.deletion);
        assert!((found.token_log_probs_nats.iter().sum::<f64>() - found.log_prob_nats).abs() < 1e-12);
    }
}

/// Occlusion is what it says: the same model, given the picture with a patch painted over.
#[test]
fn occlusion_is_the_answer_of_the_model_to_the_changed_picture() {
    let (gpt, kernels, prompt) = (model(), Cpu::new(1), prompt(1));
    let whole = picture(1);
    let settings = AttributionSettings { n_hidden: Some(16), ..AttributionSettings::default() };
    let of = |picture: &Picture| {
        let pictures = [picture.clone()];
        let subject =
            Subject { gpt: &gpt, kernels: &kernels, prompt: &prompt, pictures: &pictures, answer: &[5] };
        attribute(&subject, &settings, &|| true).unwrap()
    };
    let found = of(&whole);
    let colour = mean_colour(&whole, vision().patch_len());
    let mut patches = whole.patches().to_vec();
    for (c, colour) in colour.into_iter().enumerate() {
        patches[6 * 12 + 4 * c..][..4].fill(colour);
    }
    let changed = of(&Picture::new(patches));
    assert!((found.occlusion_nats[6] - (found.log_prob_nats - changed.log_prob_nats)).abs() < 1e-5);
    // All patches hidden are one set, however they are drawn.
    let Deletion { by_gradient_input, by_occlusion, random_nats, n_hidden, .. } = found.deletion.clone();
    assert_eq!(n_hidden, 16);
    assert!((by_gradient_input.nats - random_nats).abs() < 1e-9 && by_gradient_input == by_occlusion);
    assert_eq!(of(&whole), found, "same question, same numbers");
}

#[test]
fn a_picture_of_one_colour_explains_nothing() {
    let (gpt, kernels, prompt) = (model(), Cpu::new(1), prompt(1));
    let pictures = [Picture::new(vec![0.25; 16 * 12])];
    let subject =
        Subject { gpt: &gpt, kernels: &kernels, prompt: &prompt, pictures: &pictures, answer: &[5] };
    let found = attribute(&subject, &AttributionSettings::default(), &|| true).unwrap();
    assert!(
        found.gradient_input_nats.iter().chain(&found.occlusion_nats).all(|x| x.abs() < 1e-6),
        "{found:?}"
    );
}

#[test]
fn what_cannot_be_explained_is_refused_by_name() {
    let (gpt, kernels, pictures) = (model(), Cpu::new(1), [picture(1)]);
    let (fits, long) = (prompt(1), [prompt(1), vec![7; 60]].concat());
    let error = |prompt: &[u32], pictures: &[Picture], answer: &[u32], settings: AttributionSettings| {
        let subject = Subject { gpt: &gpt, kernels: &kernels, prompt, pictures, answer };
        attribute(&subject, &settings, &|| true).unwrap_err().to_string()
    };
    let usual = AttributionSettings::default();
    assert!(error(&fits, &[], &[5], usual).contains("placeholders"));
    assert!(error(&[0, 7], &[], &[5], usual).contains("placeholders"));
    assert!(
        error(&fits, &[Picture::new(vec![0.0; 3])], &[5], usual).contains("numbers of an image, found 3")
    );
    assert!(error(&fits, &pictures, &[], usual).contains("`answer` must be a text, found nothing"));
    assert!(error(&fits, &pictures, &[IMAGE], usual).contains("an image token"));
    assert!(error(&fits, &pictures, &[40], usual).contains("found 40"));
    assert!(error(&long, &pictures, &[5], usual).contains("at most 64 tokens, found 80"));
    for (n_hidden, n_draws, expected) in [(0, 32, "0 of 16 patches"), (17, 32, "17 of 16"), (1, 1, "n_draws")]
    {
        let settings = AttributionSettings { n_hidden: Some(n_hidden), n_draws, ..usual };
        assert!(error(&fits, &pictures, &[5], settings).contains(expected), "{expected}");
    }
    let blind = Gpt::new(ModelConfig { vision: None, ..gpt.config().clone() }, 1);
    let subject =
        Subject { gpt: &blind, kernels: &kernels, prompt: &fits, pictures: &pictures, answer: &[5] };
    assert!(attribute(&subject, &usual, &|| true).unwrap_err().to_string().contains("reads text alone"));
}
