//! Models that read images: the engine gives what whole forwards give, and a folder made by transformers is read.

use std::{fs, path::Path};

use model::{
    DecodeError, Engine, EngineSettings, Gpt, ModelConfig, Picture, Request, Sampling, Tokens, VisionConfig,
    checkpoint, scaling::ModelOverrides,
};
use tensor::{Cpu, DType, Tensor};

use crate::models::scattered;

const IMAGE: u32 = 3;

fn config() -> ModelConfig {
    let text = ModelConfig { vision: None, ..ModelOverrides::default().config(61, 400, 32) };
    let vision = VisionConfig {
        image_token: IMAGE,
        image_size: 20,
        patch_size: 4,
        n_layers: 2,
        d_model: 24,
        n_heads: 3,
        d_ff: 40,
        norm_eps: 1e-6,
        activation: model::Activation::GeluTanh,
        projector_activation: model::Activation::Gelu,
        is_clip: false,
    };
    ModelConfig { vision: Some(vision), ..text }
}

const PATCHES: usize = 25;
const PATCH: usize = 48;

fn picture(seed: u64) -> Picture {
    let x = Tensor::normal(&[PATCHES, PATCH], 0.5, DType::F32, &mut base::Rng::new(seed, 9));
    Picture::new(x.f32().to_vec())
}

/// Text, then for each image its placeholders and a token.
fn request(begin: &[u32], images: &[u64], n_new: usize) -> Request {
    let mut prompt = begin.to_vec();
    for i in 0..images.len() {
        prompt.extend([IMAGE; PATCHES]);
        prompt.push(20 + i as u32);
    }
    Request {
        images: images.iter().map(|seed| picture(*seed)).collect(),
        sampling: Sampling::greedy(),
        ..Request::new(prompt, n_new)
    }
}

/// The tokens that whole forwards give, without a cache.
fn greedy(gpt: &Gpt, kernels: &Cpu, request: &Request) -> Vec<u32> {
    let mut ids = request.prompt.clone();
    let patches: Vec<f32> = request.images.iter().flat_map(Picture::patches).copied().collect();
    for _ in 0..request.max_new_tokens {
        let mut tokens = Tokens::packed(ids.clone(), [ids.len()]);
        if !request.images.is_empty() {
            let n = request.images.len() * PATCHES;
            tokens = tokens.with_images(Tensor::from_f32(&[n, PATCH], patches.clone()), IMAGE);
        }
        let logits = gpt.logits(kernels, &tokens, &[ids.len() - 1], None);
        let best = (0..61u32).max_by(|a, b| logits.f32()[*a as usize].total_cmp(&logits.f32()[*b as usize]));
        ids.push(best.unwrap());
    }
    ids[request.prompt.len()..].to_vec()
}

/// No token is the placeholder: whole forwards take each of those for one of the prompt's.
fn without_placeholder(gpt: Gpt) -> Gpt {
    let mut gpt = gpt;
    let head = gpt.params_mut().head.as_mut().unwrap();
    let c = head.shape()[1];
    head.f32_mut()[IMAGE as usize * c..][..c].fill(0.0);
    gpt
}

#[test]
fn what_the_engine_gives_depends_on_the_request_alone() {
    let kernels = Cpu::new(2);
    for dtype in [DType::F32, DType::Bf16] {
        let gpt = without_placeholder(scattered(config())).with_dtype(dtype);
        let requests = [
            request(&[7, 8, 9], &[1], 6),
            request(&[7, 8, 9], &[2], 6),
            request(&[7, 8, 9], &[1, 2, 1], 4),
            request(&[5], &[], 5),
            request(&[7, 8, 9], &[1, 1], 6),
            request(&[7, 8, 9], &[1], 6),
        ];
        for chunk_tokens in [1, 7, 512] {
            let settings = EngineSettings { chunk_tokens, ..EngineSettings::for_sequences(3, 120) };
            let mut engine = Engine::new(&gpt, &kernels, settings);
            let got = engine.complete(requests.to_vec(), &mut |_, _| true).unwrap();
            for (i, (got, request)) in got.iter().zip(&requests).enumerate() {
                let want = greedy(&gpt, &kernels, request);
                assert_eq!(got.ids, want, "request {i}, chunks of {chunk_tokens}, {dtype:?}");
            }
        }
    }
}

/// Pages are found again by the image's pixels, not by its placeholders.
#[test]
fn pages_are_shared_by_equal_images_alone() {
    let (gpt, kernels) = (scattered(config()), Cpu::new(2));
    let reused = |second: u64| {
        let mut engine = Engine::new(&gpt, &kernels, EngineSettings::for_sequences(1, 200));
        engine.complete(vec![request(&[7; 40], &[1], 1)], &mut |_, _| true).unwrap();
        let before = engine.stats().n_reused;
        engine.complete(vec![request(&[7; 40], &[second], 1)], &mut |_, _| true).unwrap();
        engine.stats().n_reused - before
    };
    assert_eq!(reused(2), 40, "the text before the image");
    assert!(reused(1) >= 40 + PATCHES as u64, "found {}", reused(1));
}

#[test]
fn requests_that_do_not_fit_their_images_are_refused() {
    let (gpt, kernels) = (scattered(config()), Cpu::new(1));
    let mut engine = Engine::new(&gpt, &kernels, EngineSettings::for_sequences(1, 200));
    let mut too_few = request(&[7], &[1], 1);
    too_few.prompt.remove(3);
    let error = engine.submit(too_few).unwrap_err();
    assert_eq!(error, DecodeError::Placeholders { n_patches: PATCHES, n_images: 1, n_placeholders: 24 });
    let small = Request { images: vec![Picture::new(vec![0.0; 12])], ..request(&[7], &[1], 1) };
    let error = engine.submit(small).unwrap_err();
    assert_eq!(error, DecodeError::ImageSize { expected: PATCHES * PATCH, found: 12 });
    let blind = scattered(ModelConfig { vision: None, ..config() });
    let mut engine = Engine::new(&blind, &kernels, EngineSettings::for_sequences(1, 200));
    assert_eq!(engine.submit(request(&[7], &[1], 1)).unwrap_err(), DecodeError::NoEyes { n_images: 1 });
}

/// A model that prefers the placeholder to every token writes others, and what it has written can be forked.
#[test]
fn a_model_writes_no_placeholder() {
    let (mut gpt, kernels) = (scattered(config()), Cpu::new(2));
    // Its logit is far from the others': in every second place it is the largest.
    let head = gpt.params_mut().head.as_mut().unwrap();
    let c = head.shape()[1];
    head.f32_mut()[IMAGE as usize * c..][..c].iter_mut().for_each(|x| *x *= 30.0);
    let mut n_preferred = 0;
    for images in [&[1][..], &[]] {
        for (temperature, bias) in [(0.0, None), (1.0, None), (0.0, Some(100.0)), (1.0, Some(1e6))] {
            let sampling = Sampling { temperature, ..Sampling::default() };
            let logit_bias = bias.map(|bias| (IMAGE, bias)).into_iter().collect::<Vec<_>>();
            let asked = Request { sampling, logit_bias, n_top: 1, ..request(&[7, 8], images, 12) };
            let mut engine = Engine::new(&gpt, &kernels, EngineSettings::for_sequences(3, 120));
            let parent = engine.submit(asked.clone()).unwrap();
            let mut written: Vec<(model::SequenceId, u32)> = Vec::new();
            let mut n_forks = 0;
            while !engine.is_idle() {
                for event in engine.step() {
                    let model::Event::Token { sequence, token } = event else { continue };
                    n_preferred += usize::from(token.top[0].0 == IMAGE);
                    assert!(token.id != IMAGE && token.processed_logprob.is_finite(), "{token:?}");
                    written.push((sequence, token.id));
                }
                if written.len() == 4 && n_forks == 0 {
                    n_forks = 1;
                    engine.fork(parent, 5).unwrap();
                    let nothing = engine.restrict(parent, Some([IMAGE].into_iter().collect()));
                    assert_eq!(nothing, Err(DecodeError::NothingAllowed));
                }
            }
            assert_eq!((n_forks, written.len()), (1, 12 + 8), "{temperature} {bias:?}");
            // The fork is as a request of what stood there.
            let of = |is_parent: bool| -> Vec<u32> {
                written.iter().filter(|(id, _)| (*id == parent) == is_parent).map(|(_, id)| *id).collect()
            };
            let prompt = [&asked.prompt[..], &of(true)[..4]].concat();
            let again = Request { prompt, max_new_tokens: 8, seed: 5, ..asked };
            let mut engine = Engine::new(&gpt, &kernels, EngineSettings::for_sequences(1, 120));
            assert_eq!(engine.complete(vec![again], &mut |_, _| true).unwrap()[0].ids, of(false));
        }
    }
    assert!(n_preferred > 20, "the model wants the placeholder: {n_preferred}");
}

/// Random models made by transformers: their folders are imported, and logits agree. Written by
/// `tools/reference/llava_tiny.py`.
#[test]
fn folders_of_transformers_are_imported_with_their_logits() {
    check_import("llava_tiny.safetensors");
    check_import("llava_clip.safetensors");
}

fn check_import(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(file);
    let bytes = fs::read(&path).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let config = metadata.metadata().as_ref().unwrap()["config"].clone();
    let all = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let weights = all
        .tensors()
        .into_iter()
        .filter_map(|(name, view)| Some((name.strip_prefix("weight:")?.to_owned(), view)));
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    fs::create_dir(&source).unwrap();
    fs::write(source.join("config.json"), config).unwrap();
    safetensors::serialize_to_file(weights, None, &source.join("model.safetensors")).unwrap();
    let ids = checkpoint::SpecialIds { bos: None, eos: vec![2], pad: None };
    checkpoint::publish(&target, |tmp| checkpoint::import_folder(&source, tmp, &ids, "abc").map(drop))
        .unwrap();
    let gpt = checkpoint::read_model(&target).unwrap();

    let f32s = |name: &str| -> Vec<f32> {
        let view = all.tensor(name).unwrap();
        view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    let ids: Vec<u32> = f32s("ids").iter().map(|id| *id as u32).collect();
    let shape = all.tensor("patches").unwrap().shape().to_vec();
    let patches = Tensor::from_f32(&shape, f32s("patches"));
    let tokens = Tokens::packed(ids.clone(), [ids.len()]).with_images(patches, IMAGE);
    let rows: Vec<usize> = (0..ids.len()).collect();
    let got = gpt.logits(&Cpu::new(2), &tokens, &rows, None);
    let want = f32s("logits");
    assert_eq!(got.len(), want.len());
    let worst = got.f32().iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let largest = want.iter().fold(0.0f32, |max, x| max.max(x.abs()));
    // A wrong activation errs by 1e-2 of logits of this size.
    assert!(worst < 1e-4 && largest > 0.1, "{file}: off by {worst:e}, logits up to {largest}");
}
