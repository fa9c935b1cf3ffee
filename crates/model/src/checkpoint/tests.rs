use std::fs;

use super::*;
use crate::config::tests::tiny;

const IDS: SpecialIds = SpecialIds { end_of_text: 0, end_of_turn: 2 };

/// A checkpoint of a tiny model in a folder of its own.
fn saved() -> (tempfile::TempDir, PathBuf, Gpt) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("step-7");
    let gpt = Gpt::new(tiny(), 3);
    publish(&dir, |tmp| write_model(tmp, &gpt, IDS, "abc")).unwrap();
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
        publish(&dir, |tmp| write_model(tmp, &gpt, IDS, "abc")).unwrap();
        let read = read_model(&dir).unwrap();
        assert_eq!(*read.config(), config);
        for (a, b) in read.params().iter().zip(gpt.params()) {
            assert_eq!(a.f32(), b.f32());
        }
        assert_eq!(read_about(&dir).unwrap().unwrap().tokenizer_fingerprint, "abc");
    }
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
    assert!(refusal(&dir).contains("this build computes Qwen3ForCausalLM or LlamaForCausalLM"));
    fs::write(&path, text.replace("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 5")).unwrap();
    assert!(refusal(&dir).contains("must divide `n_heads`"));
    fs::write(&path, "{").unwrap();
    assert!(refusal(&dir).contains("is damaged: expected JSON"));
}

#[test]
fn a_weight_that_is_no_number_is_refused_by_name() {
    let (_folder, dir, mut gpt) = saved();
    gpt.params_mut()[3].f32_mut()[5] = f32::NAN;
    publish(&dir, |tmp| write_model(tmp, &gpt, IDS, "abc")).unwrap();
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
        write_model(tmp, &Gpt::new(tiny(), 4), IDS, "abc")?;
        Err(CheckpointError::Missing { path: tmp.to_owned(), missing: "space" })
    });
    assert!(result.is_err());
    assert_eq!(read_model(&dir).unwrap().params()[0].f32(), gpt.params()[0].f32());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half written is left");
    // What a crash leaves is cleared away.
    fs::create_dir(folder.path().join("step-8.tmp-123")).unwrap();
    remove_unfinished(folder.path()).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
