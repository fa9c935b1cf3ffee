//! The files of a ladder, as points of a table.

use std::fs;

use serde_json::{Value, json};

use crate::{scene::Scene, sealing};

const IMPORT: [&str; 4] = ["forecast", "import", "runs", "out"];

/// The ladder's files, sorted.
fn files(scene: &Scene) -> Vec<String> {
    let names = scene.files("out").into_keys().map(|name| name.display().to_string());
    names
        .filter(|name| {
            name.starts_with("ladder/") && name.ends_with(".json") && !name.ends_with("stage.json")
        })
        .map(|name| format!("out/{name}"))
        .collect()
}

fn rung(scene: &Scene, path: &str) -> Value {
    serde_json::from_str(&scene.read(path)).unwrap()
}

#[test]
fn a_ladder_becomes_a_table_and_a_change_of_it_is_refused() {
    let scene = sealing::scene("");
    scene.ok(&["run", "small.toml", "--out", "out", "--only", "tokenizer,data,ladder"]);
    let files = files(&scene);
    assert!(files.len() > 2, "{files:?}");
    let table = scene.ok(&IMPORT).stdout;
    let rows: Vec<&str> = table.lines().skip(1).collect();
    assert_eq!(rows.len(), files.len(), "{table}");
    for path in &files {
        let rung = rung(&scene, path);
        let start = format!("{},", rung["run"].as_str().unwrap());
        let row = rows.iter().find(|row| row.starts_with(&start)).unwrap();
        let cells: Vec<&str> = row.split(',').collect();
        let fields = ["n_params", "n_tokens", "flops", "loss_nats", "seed"];
        for (cell, field) in cells[1..].iter().zip(fields) {
            assert_eq!(cell.parse::<f64>().unwrap(), rung[field].as_f64().unwrap(), "{path}: {field}");
        }
    }

    // What was trained with other rates is no point of the law.
    let path = &files[0];
    let whole = scene.read(path);
    let change = |name: &str, value: Value| {
        let mut rung: Value = serde_json::from_str(&whole).unwrap();
        rung[name] = value;
        rung["checksum"] = json!("");
        scene.write(path, rung.to_string().as_bytes());
    };
    change("role", json!("sweep"));
    assert_eq!(scene.ok(&IMPORT).stdout.lines().count(), rows.len(), "one row less, and the header");

    let refuses = |expected: &str| {
        let refused = scene.fails(&IMPORT);
        assert!(
            refused.contains(expected) && refused.contains(path) && refused.contains("hint: "),
            "{refused}"
        );
    };
    change("role", json!("probe"));
    refuses("is damaged, or from another version");
    change("loss_nats", json!(null));
    refuses("is damaged, or from another version");
    scene.write(path, &whole.as_bytes()[..whole.len() / 2]);
    refuses("is damaged, or from another version");
    let mut changed: Value = serde_json::from_str(&whole).unwrap();
    changed["loss_nats"] = json!(1.5);
    scene.write(path, changed.to_string().as_bytes());
    refuses("was changed after it was written");
    fs::remove_file(scene.path(path)).unwrap();
    assert_eq!(scene.ok(&IMPORT).stdout.lines().count(), rows.len());
}
