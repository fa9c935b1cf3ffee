//! Models with eyes: `LlavaForConditionalGeneration` with a SigLIP tower, or one of CLIP.
//!
//! Transformers takes the encoder's hidden vectors before its last norm (`vision_feature_layer` −1), so that norm is never
//! computed; its tensors are written all the same, since the class expects them.

use std::path::Path;

use serde_json::{Map, Value, json};
use tensor::Tensor;

use super::{CheckpointError, config::from_hugging_face, fields::Fields, keys, to_json, write_file};
use crate::{Activation, ModelConfig, VisionConfig};

const ARCHITECTURE: &str = "LlavaForConditionalGeneration";
const MODEL_TYPE: &str = "llava";

const SIGLIP: &str = "siglip_vision_model";
const CLIP: &str = "clip_vision_model";

/// Which rows of the encoder are taken: all, or all but CLIP's row for the whole image.
fn strategy(vision: &VisionConfig) -> &'static str {
    if vision.is_clip { "default" } else { "full" }
}

/// Whether a `config.json` is of such a model.
pub(super) fn is_llava(config: &Value) -> bool {
    config["model_type"] == MODEL_TYPE || config["architectures"][0] == ARCHITECTURE
}

/// `config.json` of a model whose text model has the config `text`.
pub(super) fn to_hugging_face(vision: &VisionConfig, text: Value) -> Value {
    let outer = ["tie_word_embeddings", "torch_dtype"].map(|name| (name.to_owned(), text[name].clone()));
    let mut value = json!({
        "architectures": [ARCHITECTURE],
        "model_type": MODEL_TYPE,
        "image_token_index": vision.image_token,
        "image_seq_length": vision.n_patches(),
        "projector_hidden_act": vision.projector_activation.name(),
        "multimodal_projector_bias": true,
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": strategy(vision),
        "text_config": text,
        "vision_config": {
            "model_type": if vision.is_clip { CLIP } else { SIGLIP },
            "hidden_size": vision.d_model,
            "intermediate_size": vision.d_ff,
            "num_hidden_layers": vision.n_layers,
            "num_attention_heads": vision.n_heads,
            "num_channels": 3,
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
            "hidden_act": vision.activation.name(),
            "layer_norm_eps": vision.norm_eps,
            "attention_dropout": 0.0,
        },
    });
    if !vision.is_clip {
        value["vision_config"]["vision_use_head"] = json!(false);
    }
    value.as_object_mut().expect("it is an object").extend(outer);
    value
}

/// Reads what is computed here and refuses the rest by name.
pub(super) fn read(path: &Path, value: &Value) -> Result<ModelConfig, CheckpointError> {
    let fields = Fields { path, value };
    let mut outer: Map<String, Value> = value.as_object().cloned().unwrap_or_default();
    let [text, vision] =
        ["text_config", "vision_config"].map(|part| outer.remove(part).unwrap_or(Value::Null));
    if let Some((name, found, expected)) = keys::changed(&Value::Object(outer)) {
        return Err(fields.unsupported(name, found, &expected));
    }
    let mut text = text;
    if fields.flag_or("tie_word_embeddings", false)? {
        text["tie_word_embeddings"] = json!(true);
    }
    let config = from_hugging_face(path, &text)?;

    let of_vision = Fields { path, value: &vision };
    let expect = |fields: &Fields, name: &str, expected: Value, default: Value| {
        let found = fields.value().get(name).cloned().unwrap_or(default);
        if found == expected { Ok(()) } else { Err(fields.unsupported(name, &found, &expected.to_string())) }
    };
    if !vision.is_object() {
        return Err(fields.unsupported("vision_config", &vision, "the shape of an encoder"));
    }
    let is_clip = vision.get("model_type").is_none_or(|kind| kind == CLIP);
    if !is_clip {
        expect(&of_vision, "model_type", json!(SIGLIP), Value::Null)?;
    }
    expect(&of_vision, "num_channels", json!(3), json!(3))?;
    expect(&fields, "multimodal_projector_bias", json!(true), json!(true))?;
    // Of SigLIP, "default" drops a patch; of CLIP, "full" keeps the row for the whole image.
    let strategy = if is_clip { "default" } else { "full" };
    expect(&fields, "vision_feature_select_strategy", json!(strategy), json!("default"))?;
    let activation = |fields: &Fields, name: &str, default: &str| {
        let found = fields.value().get(name).cloned().unwrap_or(json!(default));
        let known = "\"gelu\", \"gelu_pytorch_tanh\" or \"quick_gelu\"";
        found.as_str().and_then(Activation::named).ok_or_else(|| fields.unsupported(name, &found, known))
    };
    let n_layers = of_vision.size_or("num_hidden_layers", 12)?;
    let image_token = match value.get("image_token_id").filter(|id| !id.is_null()) {
        Some(_) => fields.size("image_token_id")?,
        None => fields.size_or("image_token_index", 32_000)?,
    };
    let vision = VisionConfig {
        image_token: u32::try_from(image_token)
            .map_err(|_| fields.unsupported("image_token_index", &json!(image_token), "the id of a token"))?,
        image_size: of_vision.size_or("image_size", 224)?,
        patch_size: of_vision.size_or("patch_size", if is_clip { 32 } else { 16 })?,
        n_layers: n_layers_read(&fields, n_layers)?,
        d_model: of_vision.size_or("hidden_size", 768)?,
        n_heads: of_vision.size_or("num_attention_heads", 12)?,
        d_ff: of_vision.size_or("intermediate_size", 3072)?,
        norm_eps: match vision.get("layer_norm_eps") {
            None if is_clip => 1e-5,
            None => 1e-6,
            Some(found) => of_vision.real("layer_norm_eps", found)?,
        },
        activation: activation(
            &of_vision,
            "hidden_act",
            if is_clip { "quick_gelu" } else { "gelu_pytorch_tanh" },
        )?,
        projector_activation: activation(&fields, "projector_hidden_act", "gelu")?,
        is_clip,
    };
    Ok(ModelConfig { vision: Some(vision), ..config })
}

/// How many of the encoder's blocks come before the hidden vectors that are taken; those behind are never computed.
fn n_layers_read(fields: &Fields, n_layers: usize) -> Result<usize, CheckpointError> {
    let found = fields.value().get("vision_feature_layer").cloned().unwrap_or(json!(-2));
    // Of the list of hidden vectors: what goes into the first block, then what comes out of each.
    let n = n_layers as i64;
    let layer =
        found.as_i64().map(|layer| if layer < 0 { n.saturating_add(1).saturating_add(layer) } else { layer });
    match layer.filter(|layer| (1..=n).contains(layer)) {
        Some(read) => Ok(read as usize),
        None => Err(fields.unsupported("vision_feature_layer", &found, "one of the encoder's layers")),
    }
}

/// The name that is used here for a tensor of a folder, whose names differ between versions of transformers; `None` for
/// those that are not computed with: the pooling head, and blocks from `n_layers` on.
pub(super) fn name_here(name: &str, n_layers: usize) -> Option<String> {
    let name = name.strip_prefix("model.").unwrap_or(name);
    if let Some(rest) = name.strip_prefix("vision_tower.") {
        let rest = rest.strip_prefix("vision_model.").unwrap_or(rest);
        let layer =
            rest.strip_prefix("encoder.layers.").and_then(|rest| rest.split('.').next()?.parse().ok());
        let is_used = !rest.starts_with("head.") && !rest.ends_with(".position_ids");
        return (is_used && layer.is_none_or(|layer: usize| layer < n_layers))
            .then(|| format!("{}{rest}", VisionConfig::TOWER_PREFIX));
    }
    if let Some(rest) = name.strip_prefix(VisionConfig::TEXT_PREFIX) {
        let is_whole = rest.starts_with("model.") || rest.starts_with("lm_head.");
        let inner = if is_whole { "" } else { "model." };
        return Some(format!("{}{inner}{rest}", VisionConfig::TEXT_PREFIX));
    }
    match name.starts_with("lm_head.") {
        true => Some(format!("{}{name}", VisionConfig::TEXT_PREFIX)),
        false => Some(name.to_owned()),
    }
}

/// Whether a tensor is expected by the class and never computed with.
pub(super) fn is_unused(name: &str) -> bool {
    name.strip_prefix(VisionConfig::TOWER_PREFIX).is_some_and(|rest| rest.starts_with("post_layernorm."))
}

/// The tensors of the norm that is never computed.
pub(super) fn unused(vision: &VisionConfig) -> [(String, Tensor); 2] {
    let tensor = |kind: &str, value: f32| {
        let name = format!("{}post_layernorm.{kind}", VisionConfig::TOWER_PREFIX);
        (name, Tensor::from_f32(&[vision.d_model], vec![value; vision.d_model]))
    };
    [tensor("weight", 1.0), tensor("bias", 0.0)]
}

/// Files that say how images are prepared, for `AutoProcessor` of transformers.
pub const PROCESSOR_FILES: [&str; 2] = ["processor_config.json", "preprocessor_config.json"];

/// Writes what says how images are prepared: the files of the folder `like`, from which the model comes, or, where it has
/// none, those of a model that is trained here; `image_token` is the text of the placeholder.
///
/// # Errors
/// If one cannot be read or written.
pub fn write_processor_like(
    like: Option<&Path>,
    dir: &Path,
    vision: &VisionConfig,
    image_token: &str,
) -> Result<(), CheckpointError> {
    let mut n_found = 0;
    for (from, to) in
        like.into_iter().flat_map(|like| PROCESSOR_FILES.map(|file| (like.join(file), dir.join(file))))
    {
        if from.is_file() {
            let bytes = std::fs::read(&from).map_err(CheckpointError::io("read", &from))?;
            write_file(&to, &bytes)?;
            n_found += 1;
        }
    }
    if n_found == 0 { write_processor(dir, vision, image_token) } else { Ok(()) }
}

/// Writes [`PROCESSOR_FILES`]: images are padded to a square with the mean colour, resized, and scaled to −1 … 1.
/// `image_token` is the text of the placeholder.
///
/// # Errors
/// If one cannot be written.
pub fn write_processor(dir: &Path, vision: &VisionConfig, image_token: &str) -> Result<(), CheckpointError> {
    let size = json!({ "height": vision.image_size, "width": vision.image_size });
    let image_processor = json!({
        "image_processor_type": "LlavaImageProcessor",
        "do_pad": true,
        "do_resize": true,
        "size": size,
        "resample": 3,
        "do_center_crop": false,
        "crop_size": size,
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_convert_rgb": true,
    });
    let processor = json!({
        "processor_class": "LlavaProcessor",
        "patch_size": vision.patch_size,
        "vision_feature_select_strategy": strategy(vision),
        "num_additional_image_tokens": usize::from(vision.is_clip),
        "image_token": image_token,
        // It wins over the other file.
        "image_processor": image_processor,
    });
    let [of_processor, of_images] = PROCESSOR_FILES.map(|file| dir.join(file));
    let mut alone = image_processor;
    alone["processor_class"] = json!("LlavaProcessor");
    write_file(&of_processor, &to_json(&processor))?;
    write_file(&of_images, &to_json(&alone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Gpt,
        checkpoint::{SpecialIds, parse_config, publish, read_model, write_model},
        config::tests::tiny,
        eyes::VisionOverrides,
    };

    fn config() -> ModelConfig {
        let sizes =
            VisionOverrides { image_size: Some(6), patch_size: Some(2), ..VisionOverrides::default() };
        let vision = VisionConfig { d_ff: 28, n_layers: 2, ..sizes.config(20) };
        ModelConfig { vision: Some(vision), ..tiny() }
    }

    fn ids() -> SpecialIds {
        SpecialIds { bos: None, eos: vec![0, 2], pad: None }
    }

    fn read_value(value: &Value) -> Result<ModelConfig, String> {
        parse_config(Path::new("config.json"), value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_model_with_eyes_is_read_as_it_was_written() {
        for (tie_embeddings, is_clip) in [(false, false), (true, false), (false, true)] {
            let mut config = ModelConfig { tie_embeddings, ..config() };
            config.vision.as_mut().unwrap().is_clip = is_clip;
            let gpt = Gpt::new(config.clone(), 5);
            let folder = tempfile::tempdir().unwrap();
            let dir = folder.path().join("c");
            publish(&dir, |tmp| write_model(tmp, &gpt, &ids(), "abc")).unwrap();
            let read = read_model(&dir).unwrap();
            assert_eq!(*read.config(), config);
            for ((a, b), spec) in read.params().iter().zip(gpt.params()).zip(gpt.specs()) {
                assert_eq!((a.f32(), a.shape()), (b.f32(), &spec.shape[..]), "{}", spec.name);
            }
        }
    }

    #[test]
    fn configs_are_read_as_transformers_means_them() {
        let good = super::super::config::to_hugging_face(&config(), &ids(), "float32");
        assert_eq!(read_value(&good), Ok(config()));
        let changed = |pointer: &str, value: Value| {
            let mut changed = good.clone();
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            changed.pointer_mut(parent).unwrap()[name] = value;
            read_value(&changed)
        };
        let layers = |layer: i64| {
            changed("/vision_feature_layer", json!(layer)).map(|config| config.vision.unwrap().n_layers)
        };
        assert_eq!((layers(-1), layers(-2), layers(1), layers(2)), (Ok(2), Ok(1), Ok(1), Ok(2)));
        for (pointer, value, named) in [
            ("/vision_feature_layer", json!(-3), "`vision_feature_layer` is -3"),
            ("/vision_feature_layer", json!([-2, -1]), "`vision_feature_layer` is [-2,-1]"),
            ("/vision_feature_layer", json!(i64::MIN), "`vision_feature_layer`"),
            ("/vision_feature_select_strategy", json!("default"), "`vision_feature_select_strategy`"),
            // CLIP with all of its rows.
            ("/vision_config/model_type", json!(CLIP), "`vision_feature_select_strategy` is \"full\""),
            ("/multimodal_projector_bias", json!(false), "`multimodal_projector_bias` is false"),
            ("/projector_hidden_act", json!("relu"), "`projector_hidden_act` is \"relu\""),
            ("/vision_config/model_type", json!("dinov2"), "`model_type` is \"dinov2\""),
            ("/vision_config/hidden_act", json!("silu"), "`hidden_act` is \"silu\""),
            ("/vision_config/patch_size", json!(0), "`vision.patch_size`"),
            ("/vision_config/image_size", json!(-4), "`image_size` is -4"),
            ("/image_token_index", json!(1u64 << 40), "`image_token_index`"),
            ("/text_config/model_type", json!("mamba"), "`model_type`"),
            ("/text_config", json!(7), "`model_type`"),
            ("/vision_config", json!(null), "`vision_config` is null"),
            ("/quantization_config", json!({ "bits": 4 }), "`quantization_config`"),
        ] {
            let error = changed(pointer, value).unwrap_err();
            assert!(error.contains(named), "{pointer}: {error}");
        }
    }

    /// As transformers 4 and 5 write them.
    #[test]
    fn names_of_every_version_are_known() {
        let same = |name: &str| name_here(name, 2).unwrap();
        for (name, here) in [
            (
                "vision_tower.embeddings.patch_embedding.bias",
                "vision_tower.vision_model.embeddings.patch_embedding.bias",
            ),
            ("model.vision_tower.post_layernorm.bias", "vision_tower.vision_model.post_layernorm.bias"),
            ("model.language_model.norm.weight", "language_model.model.norm.weight"),
            ("language_model.model.norm.weight", "language_model.model.norm.weight"),
            ("lm_head.weight", "language_model.lm_head.weight"),
            ("language_model.lm_head.weight", "language_model.lm_head.weight"),
            ("model.multi_modal_projector.linear_1.bias", "multi_modal_projector.linear_1.bias"),
            ("odd", "odd"),
        ] {
            assert_eq!(same(name), here);
        }
        for unused in [
            "vision_tower.head.probe",
            "vision_tower.vision_model.encoder.layers.2.mlp.fc1.bias",
            "vision_tower.vision_model.embeddings.position_ids",
        ] {
            assert_eq!(name_here(unused, 2), None, "{unused}");
        }
    }
}
