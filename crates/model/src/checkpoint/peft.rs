//! Low-rank adapters as the library `peft` keeps them: `adapter_config.json` and `adapter_model.safetensors`.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Map, Value, json};
use tensor::Tensor;

use super::{
    CheckpointError, files::write_file, read_json, read_tensors, to_json, weights::write_tensors, write_about,
};
use crate::{AdapterConfig, Gpt};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What `peft` writes before the name of a module.
const PREFIX: &str = "base_model.model.";

/// Writes the adapters of a model, which are of one `config`, into `dir`; `base` is what the folder says that they are for.
///
/// # Errors
/// If a file cannot be written.
pub fn write_peft(
    dir: &Path,
    gpt: &Gpt,
    config: &AdapterConfig,
    base: &str,
    tokenizer_fingerprint: &str,
) -> Result<(), CheckpointError> {
    write_about(dir, tokenizer_fingerprint)?;
    let value = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "target_modules": config.on,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": false,
        "use_rslora": false,
        "use_dora": false,
        "rank_pattern": {},
        "alpha_pattern": {},
        "modules_to_save": null,
        "inference_mode": true,
    });
    write_file(&dir.join(CONFIG), &to_json(&value))?;
    let named = gpt.specs().iter().zip(gpt.params());
    let adapters = named.filter(|(spec, _)| spec.name.contains(".lora_"));
    write_tensors(
        &dir.join(WEIGHTS),
        adapters.map(|(spec, tensor)| (format!("{PREFIX}{}", spec.name), tensor)),
    )
}

/// The model with the adapters of a folder added to its weights.
///
/// # Errors
/// If the folder is damaged, is for another model, or asks for what is not computed here; a head that is the embedding too is
/// refused: a correction of one would change the other.
pub fn merge_peft(gpt: &Gpt, dir: &Path) -> Result<Gpt, CheckpointError> {
    let (path, weights) = (dir.join(CONFIG), dir.join(WEIGHTS));
    for (missing, file) in [(CONFIG, &path), (WEIGHTS, &weights)] {
        if !file.is_file() {
            return Err(CheckpointError::Missing { path: dir.to_owned(), missing });
        }
    }
    let config = Config::read(&path, read_json(&path)?)?;
    let mut factors: BTreeMap<String, [Option<Tensor>; 2]> = BTreeMap::new();
    for (name, tensor) in read_tensors(&weights)? {
        let unknown = || CheckpointError::Tensors {
            path: weights.clone(),
            problem: "holds the unknown",
            name: name.clone(),
        };
        let rest = name.strip_prefix(PREFIX).ok_or_else(unknown)?;
        let found = ["A", "B"].iter().enumerate().find_map(|(i, factor)| {
            // Some writers name the adapter.
            let module = [format!(".lora_{factor}.weight"), format!(".lora_{factor}.default.weight")]
                .iter()
                .find_map(|ending| rest.strip_suffix(ending.as_str()))?;
            Some((i, module.to_owned()))
        });
        let (i, module) = found.ok_or_else(unknown)?;
        if let Some((index, &value)) = tensor.f32().iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(CheckpointError::NotFinite { name, value, index });
        }
        factors.entry(module).or_default()[i] = Some(tensor);
    }
    let mut merged = gpt.clone();
    let names: Vec<String> = merged.specs().iter().map(|spec| spec.name.clone()).collect();
    for (module, factors) in factors {
        let name = format!("{module}.weight");
        if gpt.config().tie_embeddings && ["lm_head", "model.embed_tokens"].contains(&&module[..]) {
            return Err(config.unsupported(
                "an adapter",
                format!("one of `{module}`, which is the embedding and the head"),
                "adapters of other maps",
            ));
        }
        let lacks = |factor: &str| CheckpointError::Tensors {
            path: weights.clone(),
            problem: "lacks",
            name: format!("{PREFIX}{module}.lora_{factor}.weight"),
        };
        let [a, b] = factors;
        let (a, b) = (a.ok_or_else(|| lacks("A"))?, b.ok_or_else(|| lacks("B"))?);
        let place =
            names.iter().position(|own| *own == name && module != "model.embed_tokens").ok_or_else(|| {
                config.unsupported(
                    "an adapter",
                    format!("one of `{module}`"),
                    "adapters of linear maps that the model has",
                )
            })?;
        let weight = merged.params_mut().iter_mut().nth(place).expect("as many weights as names");
        let [n, k] = [weight.shape()[0], weight.last_dim()];
        let rank = a.shape()[0];
        for (factor, tensor, expected) in [("A", &a, vec![rank, k]), ("B", &b, vec![n, rank])] {
            if tensor.shape() != expected || rank == 0 {
                let name = format!("{PREFIX}{module}.lora_{factor}.weight");
                return Err(CheckpointError::Shape { name, found: tensor.shape().to_vec(), expected });
            }
        }
        let scale = config.scale(&module, rank)?;
        let (a, b) = (a.f32(), b.f32());
        for (row, b) in weight.f32_mut().chunks_exact_mut(k).zip(b.chunks_exact(rank)) {
            for (i, weight) in row.iter_mut().enumerate() {
                let sum: f64 =
                    b.iter().enumerate().map(|(r, b)| f64::from(*b) * f64::from(a[r * k + i])).sum();
                *weight = (f64::from(*weight) + scale * sum) as f32;
            }
        }
    }
    Ok(merged)
}

/// `adapter_config.json`, as far as it counts.
struct Config {
    path: std::path::PathBuf,
    rank: usize,
    alpha: f64,
    rank_pattern: BTreeMap<String, usize>,
    alpha_pattern: BTreeMap<String, f64>,
    is_rank_stabilised: bool,
}

impl Config {
    /// Honours or refuses by name.
    fn read(path: &Path, value: Value) -> Result<Self, CheckpointError> {
        let refuse = |what: &str, found: &Value, expected: &str| CheckpointError::Unsupported {
            path: path.to_owned(),
            what: format!("`{what}`"),
            found: found.to_string(),
            expected: expected.into(),
        };
        if value["peft_type"] != "LORA" {
            return Err(refuse("peft_type", &value["peft_type"], "\"LORA\""));
        }
        let is_off = |found: &Value| {
            found.is_null()
                || *found == false
                || *found == "none"
                || found.as_array().is_some_and(Vec::is_empty)
                || found.as_object().is_some_and(Map::is_empty)
        };
        let switches = [
            "use_dora",
            "lora_bias",
            "fan_in_fan_out",
            "modules_to_save",
            "bias",
            "trainable_token_indices",
            "layer_replication",
            "target_parameters",
            "megatron_config",
            "use_qalora",
            "alora_invocation_tokens",
        ];
        if let Some(name) = switches.into_iter().find(|name| !is_off(&value[*name])) {
            return Err(refuse(name, &value[name], "adapters without it"));
        }
        fn pattern<T: serde::de::DeserializeOwned>(value: &Value) -> Option<BTreeMap<String, T>> {
            match value {
                Value::Null => Some(BTreeMap::new()),
                other => serde_json::from_value(other.clone()).ok(),
            }
        }
        let rank_pattern: BTreeMap<String, usize> = pattern(&value["rank_pattern"])
            .ok_or_else(|| refuse("rank_pattern", &value["rank_pattern"], "names with their ranks"))?;
        let alpha_pattern: BTreeMap<String, f64> = pattern(&value["alpha_pattern"])
            .ok_or_else(|| refuse("alpha_pattern", &value["alpha_pattern"], "names with their alphas"))?;
        let names = rank_pattern.keys().chain(alpha_pattern.keys());
        let is_plain = |name: &str| {
            name.trim_start_matches('^').chars().all(|c| c.is_alphanumeric() || "._".contains(c))
        };
        if let Some(name) = names.into_iter().find(|name| !is_plain(name)) {
            return Err(refuse("rank_pattern", &json!(name), "names of modules or their endings"));
        }
        let rank = value["r"]
            .as_u64()
            .filter(|rank| *rank > 0)
            .ok_or_else(|| refuse("r", &value["r"], "a rank of at least 1"))?;
        let alpha = value["lora_alpha"]
            .as_f64()
            .ok_or_else(|| refuse("lora_alpha", &value["lora_alpha"], "a number"))?;
        let is_rank_stabilised = value["use_rslora"] == true;
        Ok(Self {
            path: path.to_owned(),
            rank: rank as usize,
            alpha,
            rank_pattern,
            alpha_pattern,
            is_rank_stabilised,
        })
    }

    /// What the correction of a module of `rank` is multiplied by.
    fn scale(&self, module: &str, rank: usize) -> Result<f64, CheckpointError> {
        let expected = find(&self.rank_pattern, module).copied().unwrap_or(self.rank);
        if rank != expected {
            return Err(self.unsupported(
                "the rank",
                format!("{rank} of `{module}`"),
                &format!("{expected}, as the config says"),
            ));
        }
        let alpha = find(&self.alpha_pattern, module).copied().unwrap_or(self.alpha);
        Ok(alpha / if self.is_rank_stabilised { (rank as f64).sqrt() } else { rank as f64 })
    }

    fn unsupported(&self, what: &str, found: String, expected: &str) -> CheckpointError {
        CheckpointError::Unsupported {
            path: self.path.clone(),
            what: what.into(),
            found,
            expected: expected.into(),
        }
    }
}

/// What a pattern says of a module: a name means the modules that end with it, `^` the whole name.
fn find<'a, T>(pattern: &'a BTreeMap<String, T>, module: &str) -> Option<&'a T> {
    let is_meant = |name: &str| match name.strip_prefix('^') {
        Some(whole) => module == whole,
        None => module == name || module.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')),
    };
    pattern.iter().find(|(name, _)| is_meant(name)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LinearName, ModelConfig};

    fn config(tie_embeddings: bool) -> ModelConfig {
        ModelConfig {
            vocab_size: 11,
            max_seq_len: 8,
            n_layers: 2,
            d_model: 8,
            n_heads: 2,
            n_kv_heads: 1,
            d_head: 4,
            d_ff: 12,
            rope_theta: 1e4,
            norm_eps: 1e-6,
            qk_norm: false,
            qkv_bias: false,
            rope_scaling: None,
            tie_embeddings,
            vision: None,
        }
    }

    fn adapted(adapters: &AdapterConfig) -> (Gpt, Gpt) {
        let base = Gpt::new(config(false), 1);
        let mut gpt = base.clone().with_adapters(adapters, 2);
        let names: Vec<String> = gpt.specs().iter().map(|spec| spec.name.clone()).collect();
        for (name, param) in names.iter().zip(gpt.params_mut()) {
            if name.contains("lora_B") {
                let mut rng = base::Rng::named(3, name);
                param.f32_mut().iter_mut().for_each(|x| *x = rng.normal() as f32);
            }
        }
        (base, gpt)
    }

    /// Changes the config of a folder.
    fn edit(dir: &Path, change: impl FnOnce(&mut Value)) {
        let mut value = read_json(&dir.join(CONFIG)).unwrap();
        change(&mut value);
        std::fs::write(dir.join(CONFIG), value.to_string()).unwrap();
    }

    #[test]
    fn adapters_go_out_and_come_in() {
        let dir = tempfile::tempdir().unwrap();
        let adapters = AdapterConfig { rank: 3, alpha: 6.0, on: vec![LinearName::Q, LinearName::Down] };
        let (base, gpt) = adapted(&adapters);
        write_peft(dir.path(), &gpt, &adapters, "some/base", "none").unwrap();
        let names = read_tensors(&dir.path().join(WEIGHTS)).unwrap();
        assert!(
            names.contains_key("base_model.model.model.layers.1.mlp.down_proj.lora_B.weight"),
            "{:?}",
            names.keys()
        );
        let (again, merged) = (merge_peft(&base, dir.path()).unwrap(), gpt.merged());
        assert!(again.params().iter().zip(merged.params()).all(|(a, b)| a.f32() == b.f32()));

        // A scale of its own, and that of rank stabilisation.
        let difference = |merged: &Gpt| {
            let [own, base] = [merged, &base].map(|gpt| gpt.params().blocks[1].down.weight.f32()[5]);
            f64::from(own - base)
        };
        let usual = difference(&merge_peft(&base, dir.path()).unwrap());
        edit(dir.path(), |value| value["alpha_pattern"] = json!({ "mlp.down_proj": 12.0 }));
        assert!((difference(&merge_peft(&base, dir.path()).unwrap()) / usual - 2.0).abs() < 1e-3);
        edit(dir.path(), |value| value["use_rslora"] = json!(true));
        assert!(
            (difference(&merge_peft(&base, dir.path()).unwrap()) / usual - 2.0 * 3f64.sqrt()).abs() < 1e-3
        );
        edit(dir.path(), |value| value["r"] = json!(5));
        assert!(merge_peft(&base, dir.path()).unwrap_err().to_string().contains("the rank is 3 of"));
        edit(dir.path(), |value| value["rank_pattern"] = json!({ "down_proj": 3, "q_proj": 3 }));
        assert!(merge_peft(&base, dir.path()).is_ok());
    }

    #[test]
    fn what_is_not_computed_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let adapters = AdapterConfig { rank: 2, alpha: 4.0, on: vec![LinearName::V] };
        let (base, gpt) = adapted(&adapters);
        for (name, value) in [
            ("use_dora", json!(true)),
            ("lora_bias", json!(true)),
            ("fan_in_fan_out", json!(true)),
            ("bias", json!("all")),
            ("modules_to_save", json!(["lm_head"])),
            ("peft_type", json!("IA3")),
            ("rank_pattern", json!({ "layers.[01]": 2 })),
        ] {
            write_peft(dir.path(), &gpt, &adapters, "base", "none").unwrap();
            edit(dir.path(), |config| config[name] = value);
            let error = merge_peft(&base, dir.path()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("hint:"), "{name}: {error}");
        }
        write_peft(dir.path(), &gpt, &adapters, "base", "none").unwrap();
        let tensors = read_tensors(&dir.path().join(WEIGHTS)).unwrap();
        let with = |name: &str, shape: [usize; 2]| {
            let zero = Tensor::zeros(&shape, tensor::DType::F32);
            let all =
                tensors.iter().map(|(name, tensor)| (name.clone(), tensor)).chain([(name.to_owned(), &zero)]);
            write_tensors(&dir.path().join(WEIGHTS), all).unwrap();
        };
        with("base_model.model.lm_head.lora_A.weight", [2, 8]);
        let tied = Gpt::new(config(true), 1);
        let error = merge_peft(&tied, dir.path()).unwrap_err().to_string();
        assert!(error.contains("the embedding and the head"), "{error}");
        assert!(merge_peft(&base, dir.path()).unwrap_err().to_string().contains("lm_head.lora_B"));
        with("base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight", [2, 8]);
        assert!(merge_peft(&base, dir.path()).is_err());
        with("model.layers.0.self_attn.q_proj.lora_A.weight", [2, 8]);
        assert!(merge_peft(&base, dir.path()).unwrap_err().to_string().contains("holds the unknown"));
    }
}
