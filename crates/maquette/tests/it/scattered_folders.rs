//! Folders of other programs that scatter their settings over their files: each becomes what `transformers` makes of it,
//! or is refused by the name of what is in the way.
//!
//! `tools/reference/scattered_folders.py` writes the fixture: one base folder, the changes that make each other folder of
//! it, and what `transformers` 5 answers.

use std::{collections::BTreeSet, fs, path::Path};

use data::Tokenizer;
use model::{Tokens, checkpoint};
use serde_json::{Map, Value, json};
use tensor::Cpu;

use crate::scene::{Scene, repository};

/// The worst case seen is 2e-6; an epsilon of 1e-6 instead of 1e-5 changes logits by 3e-4.
const TOLERANCE: f64 = 2e-5;

fn fixture() -> Value {
    let path = repository().join("fixtures/scattered_folders.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A case that only changes files.
fn case(changes: Value) -> Value {
    json!({ "family": "llama", "mark": null, "weights": {}, "changes": changes })
}

/// Writes the folder of a case.
fn build(fixture: &Value, case: &Value, folder: &Path) {
    let mut files: Map<String, Value> = fixture["base"].as_object().unwrap().clone();
    for change in case["changes"].as_array().unwrap() {
        let (name, path, value) = (change[0].as_str().unwrap(), change[1].as_array().unwrap(), &change[2]);
        let Some((last, before)) = path.split_last() else {
            let file = files.entry(name).or_insert(json!({})).as_object_mut().unwrap();
            file.extend(value.as_object().unwrap().clone());
            continue;
        };
        let place = before.iter().fold(&mut files[name], |place, key| match key.as_u64() {
            Some(i) => &mut place[i as usize],
            None => &mut place[key.as_str().unwrap()],
        });
        let is_absent = *value == json!({ "absent": true });
        match last.as_str() {
            Some(key) if is_absent => drop(place.as_object_mut().unwrap().remove(key)),
            Some(key) => place[key] = value.clone(),
            None => place[last.as_u64().unwrap() as usize] = value.clone(),
        }
    }
    fs::create_dir_all(folder).unwrap();
    for (name, content) in files {
        let mark = if case["mark"] == name.as_str() { "\u{feff}" } else { "" };
        fs::write(folder.join(name), format!("{mark}{content}")).unwrap();
    }
    write_weights(fixture, case, folder);
}

fn write_weights(fixture: &Value, case: &Value, folder: &Path) {
    const HEAD: &str = "lm_head.weight";
    const EMBEDDING: &str = "model.embed_tokens.weight";
    let stored = &case["weights"];
    let mut tensors = fixture["weights"].as_object().unwrap().clone();
    let left_out: &[&str] = match case["family"].as_str().unwrap() {
        "llama" => &["bias", "q_norm.weight", "k_norm.weight"],
        "qwen2" => &["q_norm.weight", "k_norm.weight"],
        _ => &["bias"],
    };
    tensors.retain(|name, _| !left_out.iter().any(|end| name.ends_with(end)));
    match stored["head"].as_str().unwrap_or("own") {
        "absent" => drop(tensors.remove(HEAD)),
        "copy" => drop(tensors.insert(HEAD.into(), tensors[EMBEDDING].clone())),
        "alone" => {
            let embedding = tensors.remove(EMBEDDING).unwrap();
            tensors.insert(HEAD.into(), embedding);
        }
        _ => {}
    }
    let dtype = stored["dtype"].as_str().unwrap_or("float32");
    if stored["sharded"] != true {
        return fs::write(folder.join("model.safetensors"), safetensors(tensors.iter(), dtype)).unwrap();
    }
    let parts = ["a.safetensors", "b.safetensors"];
    let part_of: Map<String, Value> =
        tensors.keys().enumerate().map(|(i, name)| (name.clone(), parts[i % 2].into())).collect();
    for part in parts {
        let own = tensors.iter().filter(|(name, _)| part_of[*name] == part);
        fs::write(folder.join(part), safetensors(own, dtype)).unwrap();
    }
    let index = json!({ "metadata": {}, "weight_map": part_of });
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

/// A safetensors file of tensors that are given in 64ths.
fn safetensors<'a>(tensors: impl Iterator<Item = (&'a String, &'a Value)>, dtype: &str) -> Vec<u8> {
    let (mut header, mut data) = (Map::new(), Vec::new());
    for (name, tensor) in tensors {
        let start = data.len();
        for n in tensor["sixty_fourths"].as_array().unwrap() {
            let x = n.as_f64().unwrap() as f32 / 64.0;
            match dtype {
                "float16" => data.extend(tensor::f16::from_f32(x).to_le_bytes()),
                "bfloat16" => data.extend(tensor::bf16::from_f32(x).to_le_bytes()),
                _ => data.extend(x.to_le_bytes()),
            }
        }
        let kind = match dtype {
            "float16" => "F16",
            "bfloat16" => "BF16",
            _ => "F32",
        };
        let about = json!({ "dtype": kind, "shape": tensor["shape"], "data_offsets": [start, data.len()] });
        header.insert(name.clone(), about);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

fn ids_in(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// Compares a checkpoint with what `transformers` made of its source.
fn compare(fixture: &Value, name: &str, expected: &Value, dir: &Path, kernels: &Cpu) {
    let tokenizer = Tokenizer::load(dir).unwrap();
    let texts = fixture["texts"].as_array().unwrap();
    for (i, text) in texts.iter().enumerate() {
        let text = text.as_str().unwrap();
        let ids: Vec<u32> = tokenizer.bos().into_iter().chain(tokenizer.encode_with_specials(text)).collect();
        assert_eq!(ids, ids_in(&expected["ids"][i]), "{name}: {text:?}");
        assert_eq!(tokenizer.decode(&ids), expected["decoded"][i].as_str().unwrap(), "{name}: {text:?}");
    }

    let generation: Value =
        serde_json::from_slice(&fs::read(dir.join("generation_config.json")).unwrap()).unwrap();
    let (stops, declared) = (ids_in(&generation["eos_token_id"]), ids_in(&expected["stops"]));
    assert_eq!(stops, tokenizer.stops(), "{name}");
    assert_eq!(stops[..declared.len()], declared, "{name}: what is declared comes first");
    for id in &stops[declared.len()..] {
        assert_eq!(tokenizer.special(&tokenizer.show(*id)), Some(*id), "{name}: {id} is an ordinary token");
    }
    assert_eq!(generation["bos_token_id"], expected["bos"], "{name}");
    let pad = if expected["pad"].is_null() { json!(stops[0]) } else { expected["pad"].clone() };
    assert_eq!(generation["pad_token_id"], pad, "{name}");

    let gpt = checkpoint::read_model(dir).unwrap();
    let prompt = ids_in(&fixture["prompt"]);
    let len = prompt.len();
    let logits = gpt.logits(kernels, &Tokens::packed(prompt, [len]), &[len - 1], None);
    for (at, expected) in ids_in(&fixture["shown"]).iter().zip(expected["logits"].as_array().unwrap()) {
        let (found, expected) = (f64::from(logits.f32()[*at as usize]), expected.as_f64().unwrap());
        let scale = 1.0f64.max(expected.abs());
        assert!(
            (found - expected).abs() <= TOLERANCE * scale,
            "{name}: logit {at} is {found}, not {expected}"
        );
    }
}

#[test]
fn each_is_what_transformers_makes_of_it_or_is_refused_by_name() {
    let (scene, fixture, kernels) = (Scene::new(), fixture(), Cpu::new(1));
    let (mut n_equal, mut n_refused, mut models) = (0, 0, BTreeSet::new());
    for (i, case) in fixture["cases"].as_array().unwrap().iter().enumerate() {
        let (source, out) = (format!("source-{i}"), format!("checkpoint-{i}"));
        build(&fixture, case, &scene.path(&source));
        let name = case["name"].as_str().unwrap();
        let refused: Vec<&str> =
            case["refused"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
        if refused.is_empty() {
            let said = scene.run(&["import", &source, "--out", &out]);
            assert!(said.status.success(), "{name}: {}", said.stderr);
            compare(&fixture, name, &case["expected"], &scene.path(&out), &kernels);
            models.insert(case["expected"]["logits"].to_string());
            n_equal += 1;
        } else {
            let message = scene.fails(&["import", &source, "--out", &out]);
            assert!(refused.iter().any(|key| message.contains(key)), "{name}: {message}");
            assert!(!scene.path(&out).exists(), "{name}: something was written");
            n_refused += 1;
        }
    }
    println!("{n_equal} folders equal, {n_refused} refused by name; {} models in them", models.len());
    assert!(
        n_equal >= 100 && n_refused >= 40 && models.len() >= 20,
        "{n_equal} {n_refused} {}",
        models.len()
    );
}

#[test]
fn documents_begin_as_the_texts_of_their_model_do() {
    let (scene, fixture) = (Scene::new(), fixture());
    let with_begin = fixture["cases"]
        .as_array()
        .unwrap()
        .iter()
        .find(|case| case["name"] == "template with a begin" && case["family"] == "llama");
    scene.write("a.txt", b"ab");
    scene.write("v.txt", "there is more to read here. ".repeat(12).as_bytes());
    scene.write(
        "on.toml",
        br#"name = "on"
[data]
sources = [{ path = "a.txt" }]
validation = { by = "source", sources = [{ path = "v.txt" }] }
[model]
from = "model"
[train]
steps = 1
batch_rows = 1
seq_len = 16
[samples]
prompts = []
"#,
    );
    for (case, document) in
        [(with_begin.unwrap(), [266, 97, 98, 263]), (&case(json!([])), [263, 97, 98, 263])]
    {
        for folder in ["source", "model", "run"] {
            let _ = fs::remove_dir_all(scene.path(folder));
        }
        build(&fixture, case, &scene.path("source"));
        scene.ok(&["import", "source", "--out", "model"]);
        scene.ok(&["run", "on.toml", "--out", "run"]);
        // The letters' ids are GPT-2's order of bytes in this vocabulary: their own.
        let shard = fs::read(scene.path("run/data/train-00000.tokens")).unwrap();
        let ids: Vec<u16> =
            shard[88..96].as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect();
        assert_eq!(ids, document);
        // What training writes stops where the source does, and its tokenizer's folder knows it too.
        let stops = Tokenizer::load(&scene.path("model")).unwrap().stops();
        for folder in ["run/tokenizer", "run/pretrain/checkpoints/step-1"] {
            assert_eq!(Tokenizer::load(&scene.path(folder)).unwrap().stops(), stops, "{folder}");
        }
    }
}

#[test]
fn generation_stops_where_any_file_says() {
    let (scene, fixture) = (Scene::new(), fixture());
    let generate = |out: &str| {
        let args = ["generate", out, "--prompt", "the", "--temperature", "0", "--max-tokens", "3", "--json"];
        scene.ok(&args).json()
    };
    build(&fixture, &case(json!([])), &scene.path("plain"));
    scene.ok(&["import", "plain", "--out", "ck"]);
    let first = generate("ck")["ids"][0].clone();
    for (i, file) in ["config.json", "generation_config.json"].into_iter().enumerate() {
        let (source, out) = (format!("source-{i}"), format!("ck-{i}"));
        build(&fixture, &case(json!([[file, [], { "eos_token_id": [263, first] }]])), &scene.path(&source));
        scene.ok(&["import", &source, "--out", &out]);
        let done = generate(&out);
        assert_eq!((&done["finish"], &done["ids"]), (&json!("stop"), &json!([])), "{file}");
    }
}
