use std::fs;

use tensor::Tensor;

use super::*;
use crate::{RopeScaling, config::tests::tiny};

fn ids() -> SpecialIds {
    SpecialIds { bos: None, eos: vec![0, 2], pad: None }
}

/// A checkpoint of a tiny model in a folder of its own.
fn saved() -> (tempfile::TempDir, PathBuf, Gpt) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("step-7");
    let gpt = Gpt::new(tiny(), 3);
    publish(&dir, |tmp| write_model(tmp, &gpt, &ids(), "abc")).unwrap();
    (folder, dir, gpt)
}

#[track_caller]
fn refusal(dir: &Path) -> String {
    read_model(dir).unwrap_err().to_string()
}

#[test]
fn what_was_written_is_read_bit_for_bit() {
    for qk_norm in [false, true] {
        let config = ModelConfig { qk_norm, d_model: 30, tie_embeddings: qk_norm, ..tiny() };
        let gpt = Gpt::new(config.clone(), 5);
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("c");
        publish(&dir, |tmp| write_model(tmp, &gpt, &ids(), "abc")).unwrap();
        let read = read_model(&dir).unwrap();
        assert_eq!(*read.config(), config);
        for (a, b) in read.params().iter().zip(gpt.params()) {
            assert_eq!(a.f32(), b.f32());
        }
        assert_eq!(read_about(&dir).unwrap().unwrap().tokenizer_fingerprint, "abc");
    }
}

/// The three architectures, and Llama 3's frequencies.
#[test]
fn every_family_is_read_as_it_was_written() {
    let scaling =
        RopeScaling { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_seq_len: 8192 };
    let plain = ModelConfig { qk_norm: false, ..tiny() };
    for (config, architecture) in [
        (tiny(), "Qwen3ForCausalLM"),
        (ModelConfig { qkv_bias: true, ..plain.clone() }, "Qwen2ForCausalLM"),
        (ModelConfig { rope_scaling: Some(scaling), ..plain }, "LlamaForCausalLM"),
    ] {
        let value = config::to_hugging_face(&config, &ids(), "float32");
        assert_eq!(value["architectures"][0], architecture);
        assert_eq!(parse_config(Path::new("config.json"), &value).unwrap(), config);
    }
}

/// As `transformers` 5 writes them: what equals a default is left out, rotary settings lie together.
#[test]
fn absent_fields_have_the_defaults_of_transformers() {
    let mut value = serde_json::json!({
        "architectures": ["Qwen3ForCausalLM"], "vocab_size": 61, "hidden_size": 24, "intermediate_size": 34,
        "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": null, "max_position_embeddings": 40,
        "layer_types": ["full_attention", "full_attention"],
        "rope_parameters": { "rope_type": "default", "rope_theta": 5e5 },
    });
    let read = |value: &serde_json::Value| parse_config(Path::new("config.json"), value);
    let config = read(&value).unwrap();
    assert_eq!((config.d_head, config.n_kv_heads), (128, 6));
    assert_eq!((config.rope_theta, config.norm_eps, config.tie_embeddings), (5e5, 1e-6, false));
    let mut silent = value.clone();
    silent.as_object_mut().unwrap().remove("num_key_value_heads");
    assert!(read(&silent).unwrap_err().to_string().contains("`n_kv_heads` is 32"), "Qwen's default");
    for (name, unsupported) in [
        ("layer_types", serde_json::json!(["full_attention", "sliding_attention"])),
        ("rope_parameters", serde_json::json!({ "rope_type": "yarn", "factor": 4.0 })),
        ("rope_parameters", serde_json::json!("default")),
        ("rope_parameters", serde_json::json!({ "rope_type": "llama3", "factor": 4.0 })),
        ("rope_parameters", serde_json::json!({ "partial_rotary_factor": 0.5 })),
        ("quantization_config", serde_json::json!({ "bits": 4 })),
        ("attention_bias", serde_json::json!(true)),
        ("hidden_act", serde_json::json!("gelu")),
        ("tie_word_embeddings", serde_json::json!("yes")),
        ("head_dim", serde_json::json!(-4)),
    ] {
        let kept = value[name].take();
        value[name] = unsupported;
        let message = read(&value).unwrap_err().to_string();
        assert!(message.contains(", this build computes "), "{name}: {message}");
        value[name] = kept;
    }
}

/// Half-width weights of other programs are widened, exactly.
#[test]
fn f16_and_bf16_are_widened() {
    use safetensors::{Dtype, tensor::TensorView};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("half.safetensors");
    let wanted = [1.5f32, -0.25, 65_504.0 / 65_536.0];
    let half: Vec<u8> = wanted.iter().flat_map(|&x| tensor::f16::from_f32(x).to_le_bytes()).collect();
    let brain: Vec<u8> = wanted.iter().flat_map(|&x| tensor::bf16::from_f32(x).to_le_bytes()).collect();
    let views = [
        ("half", TensorView::new(Dtype::F16, vec![3], &half).unwrap()),
        ("brain", TensorView::new(Dtype::BF16, vec![3], &brain).unwrap()),
    ];
    safetensors::serialize_to_file(views, None, &path).unwrap();
    let read = read_tensors(&path).unwrap();
    assert_eq!(read["half"].f32(), wanted.map(|x| tensor::f16::from_f32(x).to_f32()));
    assert_eq!(read["brain"].f32(), wanted.map(|x| tensor::bf16::from_f32(x).to_f32()));
}

#[test]
fn a_flipped_bit_is_found() {
    let (_folder, dir, _) = saved();
    let path = dir.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let message = refusal(&dir);
    assert!(message.contains("model.safetensors` is damaged: expected SHA-256"), "{message}");
}

#[test]
fn truncation_is_found_with_and_without_checksums() {
    let (_folder, dir, _) = saved();
    let path = dir.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    for len in [0, 7, 8, 100, bytes.len() - 1] {
        fs::write(&path, &bytes[..len]).unwrap();
        fs::remove_file(dir.join("SHA256SUMS")).ok();
        let message = refusal(&dir);
        assert!(message.contains("is damaged: expected a safetensors file"), "{len}: {message}");
    }
}

#[test]
fn another_version_is_refused_with_its_writer() {
    let (_folder, dir, _) = saved();
    fs::write(dir.join("maquette.json"), r#"{"format": 9, "maquette_version": "7.1"}"#).unwrap();
    let message = refusal(&dir);
    assert!(
        message.contains(
            "has format 9, this build reads 1\nhint: use the version of maquette that wrote it (7.1)"
        )
    );
}

#[test]
fn a_config_of_another_shape_is_refused_by_tensor() {
    let (_folder, dir, _) = saved();
    let path = dir.join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::remove_file(dir.join("SHA256SUMS")).unwrap();
    fs::write(&path, text.replace("\"intermediate_size\": 34", "\"intermediate_size\": 35")).unwrap();
    let message = refusal(&dir);
    assert!(message.contains("mlp.gate_proj.weight` is [34, 24], the config wants [35, 24]"), "{message}");
    fs::write(&path, text.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3")).unwrap();
    assert!(refusal(&dir).contains("lacks tensor `model.layers.2."));
    fs::write(&path, text.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1")).unwrap();
    assert!(refusal(&dir).contains("holds the unknown tensor `model.layers.1."));
    fs::write(&path, text.replace("Qwen3ForCausalLM", "GPT2LMHeadModel")).unwrap();
    let message = refusal(&dir);
    let known = "this build computes LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM or LlavaForConditionalGeneration";
    assert!(message.contains(known), "{message}");
    fs::write(&path, text.replace("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 5")).unwrap();
    assert!(refusal(&dir).contains("must divide `n_heads`"));
    fs::write(&path, "{").unwrap();
    assert!(refusal(&dir).contains("is damaged: expected JSON"));
}

#[test]
fn a_weight_that_is_no_number_is_refused_by_name() {
    let (_folder, dir, mut gpt) = saved();
    gpt.params_mut().blocks[0].k.weight.f32_mut()[5] = f32::NAN;
    publish(&dir, |tmp| write_model(tmp, &gpt, &ids(), "abc")).unwrap();
    assert!(refusal(&dir).starts_with("tensor `model.layers.0.self_attn.k_proj.weight` holds NaN at 5"));
}

#[test]
fn an_empty_folder_is_no_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    assert!(refusal(folder.path()).contains("found no `config.json` there"));
}

#[test]
fn a_failed_write_leaves_the_old_checkpoint() {
    let (folder, dir, gpt) = saved();
    let result: Result<(), CheckpointError> = publish(&dir, |tmp| {
        write_model(tmp, &Gpt::new(tiny(), 4), &ids(), "abc")?;
        Err(CheckpointError::Missing { path: tmp.to_owned(), missing: "space" })
    });
    assert!(result.is_err());
    assert_eq!(read_model(&dir).unwrap().params().embedding.f32(), gpt.params().embedding.f32());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half written is left");
    // What a crash leaves is cleared away.
    fs::create_dir(base::temporary::beside(&folder.path().join("step-8"))).unwrap();
    remove_unfinished(folder.path()).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Each of a thousand damages of a safetensors file is an error or a readable file, never a panic or a huge allocation.
#[test]
fn damaged_safetensors_never_panic() {
    let (folder, dir, _) = saved();
    let sound = fs::read(dir.join("model.safetensors")).unwrap();
    let header_len = 8 + u64::from_le_bytes(sound[..8].try_into().unwrap()) as usize;
    let path = folder.path().join("model.safetensors");
    let mut rng = base::Rng::new(11, 1);
    let mut below = |n: usize| (rng.uniform() * n as f64) as usize;
    let mut n_refused = 0;
    for i in 0..1000 {
        let mut bytes = sound.clone();
        match i % 5 {
            0 => bytes.truncate(below(sound.len())),
            1 => bytes[below(header_len)] ^= 1 << below(8),
            2 => bytes[below(8)] = below(256) as u8,
            3 => {
                // A digit of an offset, of a shape, or of a name.
                let digits: Vec<usize> = (8..header_len).filter(|at| bytes[*at].is_ascii_digit()).collect();
                bytes[digits[below(digits.len())]] = b'0' + below(10) as u8;
            }
            _ => bytes.extend(std::iter::repeat_n(7, 1 + below(64))),
        }
        fs::write(&path, &bytes).unwrap();
        match read_tensors(&path) {
            Err(error) => {
                n_refused += 1;
                assert!(error.to_string().contains("\nhint: "), "{error}");
            }
            Ok(tensors) => assert!(tensors.values().map(Tensor::len).sum::<usize>() <= bytes.len()),
        }
    }
    assert!(n_refused > 600, "{n_refused} of 1000 refused");
    // Claims of 2^60 numbers, and tensors that overlap.
    let hostile = |header: &str| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([0; 64]);
        fs::write(&path, bytes).unwrap();
        read_tensors(&path).unwrap_err().to_string()
    };
    for header in [
        r#"{"a":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,64]}}"#,
        r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,64]}}"#,
        r#"{"a":{"dtype":"F32","shape":[16],"data_offsets":[0,64]},"b":{"dtype":"F32","shape":[8],"data_offsets":[32,64]}}"#,
        r#"{"a":{"dtype":"F64","shape":[8],"data_offsets":[0,64]}}"#,
    ] {
        assert!(hostile(header).contains("\nhint: "), "{header}");
    }
    fs::write(&path, u64::MAX.to_le_bytes()).unwrap();
    assert!(read_tensors(&path).is_err());
}
