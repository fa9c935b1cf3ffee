use tensor::{Cpu, DType, IGNORE_TARGET, Reference, Tensor};

use super::*;
use crate::{Gpt, ModelConfig, Tokens, config::tests::tiny};

const IMAGE: u32 = 3;

/// Sizes that differ, so that a swapped axis cannot pass.
fn vision() -> VisionConfig {
    VisionConfig {
        image_token: IMAGE,
        image_size: 6,
        patch_size: 2,
        n_layers: 2,
        d_model: 20,
        n_heads: 4,
        d_ff: 28,
        norm_eps: 1e-6,
        activation: Activation::GeluTanh,
        projector_activation: Activation::Gelu,
        is_clip: false,
    }
}

fn config() -> ModelConfig {
    ModelConfig { vision: Some(vision()), ..tiny() }
}

/// The same with CLIP's encoder.
fn clip() -> ModelConfig {
    let vision = VisionConfig { activation: Activation::QuickGelu, is_clip: true, ..vision() };
    ModelConfig { vision: Some(vision), ..tiny() }
}

fn model() -> Gpt {
    model_of(config())
}

/// A model in which nothing is 0: what writes to the residual stream begins so.
fn model_of(config: ModelConfig) -> Gpt {
    let params = config.params().map(|mut spec| {
        spec.init_std = if spec.init_std == 0.0 { 0.3 } else { spec.init_std };
        spec.init(DType::F32, 3)
    });
    Gpt::from_params(config, params)
}

fn patches(n_images: usize, seed: u64) -> Tensor {
    let shape = [n_images * vision().n_patches(), vision().patch_len()];
    Tensor::normal(&shape, 0.5, DType::F32, &mut base::Rng::new(seed, 0))
}

/// Two documents: text, an image, text, another image; and text with an image.
fn ids() -> (Vec<u32>, [usize; 2]) {
    let image = [IMAGE; 9];
    let first = [&[7, 8][..], &image, &[9, 10, 11], &image, &[12]].concat();
    let second = [&[20, 21, 22][..], &image, &[23, 24]].concat();
    let lens = [first.len(), second.len()];
    ([first, second].concat(), lens)
}

fn part(x: &Tensor, images: std::ops::Range<usize>) -> Tensor {
    let n = vision().n_patches() * vision().patch_len();
    let shape = [images.len() * vision().n_patches(), vision().patch_len()];
    Tensor::from_f32(&shape, x.f32()[images.start * n..images.end * n].to_vec())
}

#[test]
fn rows_of_an_image_depend_on_its_pixels_alone() {
    let (gpt, kernels, all) = (model(), Cpu::new(2), patches(3, 1));
    let clip = model_of(clip());
    for gpt in [gpt.clone(), clip.clone(), gpt.with_dtype(DType::Bf16), clip.with_dtype(DType::Bf16)] {
        let together = gpt.see(&kernels, &all);
        let n = vision().n_patches() * gpt.config().d_model;
        for image in 0..3 {
            let alone = gpt.see(&Cpu::new(1), &part(&all, image..image + 1));
            assert_eq!(alone.f32(), &together.f32()[image * n..][..n], "image {image}");
        }
    }
}

#[test]
fn fast_kernels_agree_with_the_plain_loops() {
    let all = patches(2, 1);
    for gpt in [model(), model_of(clip())] {
        let (got, want) = (gpt.see(&Cpu::new(2), &all), gpt.see(&Reference, &all));
        let worst = got.f32().iter().zip(want.f32()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "off by {worst:e}"); // a missing bias errs by 0.1
    }
}

/// What stands before an image and what is in another document has the same bits whatever the image shows; what stands
/// after it does not.
#[test]
fn an_image_changes_what_follows_it_and_nothing_else() {
    let (gpt, kernels) = (model(), Cpu::new(2));
    let (ids, lens) = ids();
    let before = patches(3, 1);
    let mut changed = before.clone();
    let second = vision().n_patches() * vision().patch_len();
    changed.f32_mut()[second + 5] += 0.25;
    let rows: Vec<usize> = (0..ids.len()).collect();
    let logits = |patches: Tensor| {
        let tokens = Tokens::packed(ids.clone(), lens).with_images(patches, IMAGE);
        gpt.logits(&kernels, &tokens, &rows, None)
    };
    let (a, b) = (logits(before), logits(changed));
    let v = gpt.config().vocab_size;
    let is_same = |row: usize| a.f32()[row * v..][..v] == b.f32()[row * v..][..v];
    // The second image begins at row 14 of the first document, which is 24 long.
    for row in 0..ids.len() {
        assert_eq!(is_same(row), !(14..24).contains(&row), "row {row}");
    }
}

/// Central differences through the whole model, in f64 on the plain loops.
#[test]
fn gradients_reach_every_parameter_of_the_eyes() {
    check_gradients(config(), 3 + 2 * 16 + 4);
    // A row for the whole and a norm besides, and no bias of patches.
    check_gradients(clip(), 3 + 2 * 16 + 4 + 2);
}

fn check_gradients(config: ModelConfig, n_params: usize) {
    let gpt = model_of(config.clone());
    let params = gpt.params().as_ref().map(|param| param.to_dtype(DType::F64));
    let gpt = Gpt::from_params(config, params);
    let (ids, lens) = ids();
    let targets: Vec<u32> =
        ids.iter().skip(1).chain([&5]).map(|&id| if id == IMAGE { IGNORE_TARGET } else { id }).collect();
    let tokens = Tokens::packed(ids, lens).with_images(patches(3, 1).to_dtype(DType::F64), IMAGE);
    let mut grads = gpt.no_gradients();
    gpt.add_gradients(&Reference, &tokens, &targets, 1.0, None, &mut grads);
    let loss = |gpt: &Gpt| gpt.losses(&Reference, &tokens, &targets).slice().to_f64().iter().sum::<f64>();
    let names: Vec<String> = gpt.specs().iter().map(|spec| spec.name.clone()).collect();
    let mut n_checked = 0;
    for (i, (name, grad)) in names.iter().zip(&grads).enumerate() {
        if name.starts_with(VisionConfig::TEXT_PREFIX) {
            continue;
        }
        n_checked += 1;
        let grad = grad.slice().to_f64();
        let direction = Tensor::normal(&[grad.len()], 1.0, DType::F64, &mut base::Rng::new(7, i as u64));
        let direction = direction.slice().to_f64();
        let analytic: f64 = grad.iter().zip(&direction).map(|(g, d)| g * d).sum();
        let moved = |h: f64| {
            let mut moved = gpt.clone();
            let param = moved.params_mut().into_iter().nth(i).unwrap();
            let values = param.slice().to_f64();
            let values: Vec<f64> = values.iter().zip(&direction).map(|(x, d)| x + h * d).collect();
            *param = Tensor::from_f64(param.shape(), values);
            loss(&moved)
        };
        let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        // A key's bias moves all scores of a query alike: its gradient is 0.
        let bound = 1e-6 + 1e-6 * numeric.abs();
        assert!((analytic - numeric).abs() < bound, "{name}: {analytic:.9}, numeric {numeric:.9}");
    }
    assert_eq!(n_checked, n_params);
}

/// Central differences in single pixels and in a direction, in f64 on the plain loops, with recomputation and without.
#[test]
fn gradients_reach_every_pixel() {
    let params = model().params().as_ref().map(|param| param.to_dtype(DType::F64));
    let (ids, lens) = ids();
    let targets: Vec<u32> =
        ids.iter().skip(1).chain([&5]).map(|&id| if id == IMAGE { IGNORE_TARGET } else { id }).collect();
    let tokens = |patches: Tensor| Tokens::packed(ids.clone(), lens).with_images(patches, IMAGE);
    let at = patches(3, 1).to_dtype(DType::F64);
    for recomputes in [false, true] {
        let gpt = Gpt::from_params(config(), params.clone()).with_recomputation(recomputes);
        let (losses, gradient) = gpt.pixel_gradients(&Reference, &tokens(at.clone()), &targets);
        assert_eq!(
            losses.slice().to_f64(),
            gpt.losses(&Reference, &tokens(at.clone()), &targets).slice().to_f64()
        );
        assert_eq!(gradient.shape(), at.shape());
        let gradient = gradient.slice().to_f64();
        let loss = |direction: &[f64], h: f64| {
            let moved = at.slice().to_f64().iter().zip(direction).map(|(x, d)| x + h * d).collect();
            let losses = gpt.losses(&Reference, &tokens(Tensor::from_f64(at.shape(), moved)), &targets);
            losses.slice().to_f64().iter().sum::<f64>()
        };
        let everywhere = Tensor::normal(&[gradient.len()], 1.0, DType::F64, &mut base::Rng::new(5, 0));
        let single =
            |i: usize| (0..gradient.len()).map(|at| f64::from(u8::from(at == i))).collect::<Vec<_>>();
        // The first and last pixels of each image, and some between.
        let n = gradient.len() / 3;
        let some = [0, 5, n - 1, n, n + 40, 2 * n, 3 * n - 1].map(single);
        for direction in some.into_iter().chain([everywhere.slice().to_f64()]) {
            let analytic: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
            let numeric = (loss(&direction, 1e-5) - loss(&direction, -1e-5)) / 2e-5;
            assert!((analytic - numeric).abs() < 1e-7 + 1e-6 * numeric.abs(), "{analytic:.9} {numeric:.9}");
        }
        assert!(gradient.iter().all(|g| *g != 0.0), "a pixel that no answer depends on");
    }
}

#[test]
fn pixel_gradients_of_the_fast_kernels_are_those_of_the_plain_loops() {
    let (ids, lens) = ids();
    let tokens = Tokens::packed(ids.clone(), lens).with_images(patches(3, 1), IMAGE);
    let of = |gpt: &Gpt, kernels: &dyn tensor::Kernels| gpt.pixel_gradients(kernels, &tokens, &ids).1;
    let mut packed = model();
    packed.pack(&Cpu::new(2));
    let want = of(&model(), &Reference);
    let largest = want.f32().iter().fold(0.0, |a: f32, b| a.max(b.abs()));
    for (gpt, bound) in [(packed, 1e-4), (model().with_dtype(DType::Bf16), 0.1)] {
        let got = of(&gpt, &Cpu::new(2));
        let worst = got.f32().iter().zip(want.f32()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < bound * largest, "off by {worst:e} of {largest:e}");
    }
}

#[test]
#[should_panic(expected = "need tokens with patches")]
fn pixels_that_are_not_there_have_no_gradient() {
    model().pixel_gradients(&Reference, &Tokens::packed(vec![7, 8], [2]), &[8, 9]);
}

#[test]
fn frozen_eyes_have_no_gradient_and_train_the_rest_alike() {
    let (ids, lens) = ids();
    let targets: Vec<u32> = ids.iter().map(|&id| if id == IMAGE { IGNORE_TARGET } else { id }).collect();
    let tokens = Tokens::packed(ids, lens).with_images(patches(3, 1), IMAGE);
    let gradients = |gpt: &Gpt| {
        let mut grads = gpt.no_gradients();
        gpt.add_gradients(&Cpu::new(2), &tokens, &targets, 1.0, None, &mut grads);
        grads
    };
    let (whole, mut frozen) = (model(), model());
    frozen.train_only(|spec| !spec.name.starts_with("vision_tower."));
    let (whole, part) = (gradients(&whole), gradients(&frozen));
    for ((spec, whole), part) in frozen.specs().iter().zip(&whole).zip(&part) {
        match spec.is_trained {
            true => assert_eq!(part.f32(), whole.f32(), "{}", spec.name),
            false => assert!(part.is_empty(), "{}", spec.name),
        }
    }
}

/// As in LLaVA's first stage: a text without an image says nothing about the eyes.
#[test]
fn a_text_without_images_trains_no_eyes() {
    let mut gpt = model();
    gpt.train_only(|spec| !spec.name.starts_with(VisionConfig::TEXT_PREFIX));
    let tokens = Tokens::packed(vec![7, 8, 9], [3]);
    let mut grads = gpt.no_gradients();
    let losses = gpt.add_gradients(&Cpu::new(1), &tokens, &[8, 9, 7], 1.0, None, &mut grads);
    assert_eq!(losses.f32(), gpt.losses(&Cpu::new(1), &tokens, &[8, 9, 7]).f32());
    assert!(grads.iter().all(Tensor::is_empty));
}

#[test]
fn recomputing_changes_no_gradient() {
    let (ids, lens) = ids();
    let tokens = Tokens::packed(ids.clone(), lens).with_images(patches(3, 1), IMAGE);
    let run = |recomputes: bool| {
        let gpt = model().with_recomputation(recomputes);
        let mut grads = gpt.no_gradients();
        gpt.add_gradients(&Cpu::new(2), &tokens, &ids, 1.0, None, &mut grads);
        grads.into_iter().map(|grad| grad.f32().to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(run(false), run(true));
}

#[test]
#[should_panic(expected = "27 placeholders")]
fn placeholders_are_counted() {
    let (ids, lens) = ids();
    let _ = Tokens::packed(ids, lens).with_images(patches(2, 1), IMAGE);
}

#[test]
fn impossible_eyes_are_refused_by_name() {
    let message = |change: fn(&mut VisionConfig)| {
        let mut vision = vision();
        change(&mut vision);
        ModelConfig { vision: Some(vision), ..tiny() }.validate().unwrap_err().to_string()
    };
    assert_eq!(config().validate(), Ok(()));
    assert!(message(|v| v.n_heads = 3).starts_with("`vision.n_heads` is 3 and must divide `vision.d_model`"));
    assert!(message(|v| v.patch_size = 4).starts_with("`vision.patch_size` is 4 and must divide"));
    assert!(message(|v| v.image_token = 61).starts_with("`vision.image_token` must be below `vocab_size`"));
    assert!(message(|v| v.image_size = 16).contains("64 patches an image"));
    assert!(message(|v| v.norm_eps = 0.0).starts_with("`vision.norm_eps` must be positive"));
    assert!(message(|v| v.d_ff = 0).starts_with("`vision.d_ff` must be at least 1"));
}

/// A text model begins with the same weights whether it has eyes or not.
#[test]
fn eyes_change_nothing_of_how_the_text_model_begins() {
    let (text, seeing) = (Gpt::new(tiny(), 5), Gpt::new(config(), 5));
    let n_eyes = seeing.params().iter().len() - text.params().iter().len();
    for (a, b) in text.params().iter().zip(seeing.params().iter().skip(n_eyes)) {
        assert_eq!(a.f32(), b.f32());
    }
}
