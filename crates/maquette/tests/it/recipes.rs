//! Every recipe that ships can be run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use data::image::RgbImage;

use crate::scene::{Scene, repository};

/// The recipes that ship; the tables in the folders beside them are none.
fn recipes() -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(repository().join("recipes")).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        // Those of `maquette align` and `maquette eval` train on no text.
        .filter(|path| fs::read_to_string(path).unwrap().contains("\n[data]\n"))
}

/// For a recipe whose pictures do not ship: small ones of every form that such recipes read.
fn pictures_instead(scene: &Scene, recipe: &Path) -> Option<String> {
    let recipe: toml::Table = toml::from_str(&fs::read_to_string(recipe).unwrap()).unwrap();
    let files = recipe["data"].get("pictures")?.get("files")?.as_array()?;
    let row = |i: u8| {
        let name = format!("{i}.png");
        scene.write(&name, &RgbImage::filled(2, 3, [i, 9, 9]).to_png());
        let text = match files[0].as_str().unwrap() {
            file if file.contains("easy-vqa") => r#""question": "what color is the shape?", "answer": "red""#,
            file if file.contains("emoji") => r#""name": "fox face""#,
            _ => r#""text": "A fox came by.""#,
        };
        format!("{{\"image\": \"{name}\", \"story\": \"{i}\", {text}}}\n")
    };
    let rows: String = (0..60).map(row).collect();
    scene.write("pages.jsonl", rows.as_bytes());
    Some(format!("data.pictures.files=[\"{}\"]", scene.path("pages.jsonl").display()))
}

/// One step of each recipe, with its own model, tokenizer and settings, on a text of a megabyte instead of its own.
#[test]
fn every_recipe_takes_a_step() {
    let text = repository().join("data/tinyshakespeare/input.txt.gz");
    let mut n_found = 0;
    for path in recipes() {
        n_found += 1;
        let scene = Scene::new();
        let sources = format!("data.sources=[{{path=\"{}\"}}]", text.display());
        let own_pictures = pictures_instead(&scene, &path);
        let mut args = vec![
            "run",
            path.to_str().unwrap(),
            "--out",
            "run",
            "--only",
            "tokenizer,data,pretrain,samples,report",
        ];
        for change in [
            &sources,
            "data.validation={by=\"tail\",fraction=0.1}",
            "train.steps=1",
            "train.batch_rows=1",
            "train.micro_batch_rows=1",
            "train.warmup_steps=1",
            "train.decay_steps=0",
            "train.eval_tokens=2048",
            "train.final_eval_tokens=2048",
        ] {
            args.extend(["--set", change]);
        }
        if let Some(own_pictures) = &own_pictures {
            args.extend(["--set", own_pictures, "--set", "data.pictures.n_held_out=2"]);
        }
        let said = scene.ok(&args);
        assert!(said.stdout.contains("checkpoint: run/pretrain/checkpoints/step-1"), "{}", said.stdout);
    }
    assert!(n_found >= 5);
}

/// The text of a recipe that ships comes with it, its licence is named, and its reference runs are there.
#[test]
fn every_recipe_finds_its_text() {
    for path in recipes() {
        let recipe: toml::Table = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let references = recipe.get("ladder").and_then(|ladder| ladder.get("reference_runs"));
        for table in references.iter().flat_map(|tables| tables.as_array().unwrap()) {
            assert!(path.with_file_name(table.as_str().unwrap()).is_file(), "{}: {table}", path.display());
        }
        let data = &recipe["data"];
        let held_out = data.get("validation").and_then(|validation| validation.get("sources"));
        for source in
            [data.get("sources"), held_out].into_iter().flatten().flat_map(|list| list.as_array().unwrap())
        {
            let mut source: data::SourceConfig = source.clone().try_into().unwrap();
            source.path = path.with_file_name(&source.path).display().to_string();
            let files = source.files().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(!files.is_empty() && source.licence.is_some(), "{}: {}", path.display(), source.path);
        }
    }
}
