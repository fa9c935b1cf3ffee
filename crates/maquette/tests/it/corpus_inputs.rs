//! Training text as people have it, from the command line: files that other programs wrote, folders with odd names.

use std::fs;

use crate::scene::{Scene, maquette};

const HELD_OUT: &str = "held out text, which is long enough for a row of sixteen tokens";

/// A recipe on `sources`, with more lines in its [data] table.
fn recipe(sources: &str, data: &str) -> String {
    format!(
        "name = \"x\"\n[data]\nsources = [{{ path = \"{sources}\" }}]\n\
         validation = {{ by = \"source\", sources = [{{ path = \"held-out.txt\" }}] }}\n{data}\n\
         [tokenizer]\nkind = \"bytes\"\n[model]\nn_layers = 1\nd_model = 16\nn_heads = 1\n\
         [train]\nsteps = 1\nbatch_rows = 1\nseq_len = 16\n"
    )
}

fn scene(sources: &str, data: &str) -> Scene {
    let scene = Scene::new();
    scene.write("r.toml", recipe(sources, data).as_bytes());
    scene.write("held-out.txt", HELD_OUT.as_bytes());
    scene
}

/// The entries of training files in the manifest.
fn files(scene: &Scene) -> Vec<serde_json::Value> {
    let entries = scene.read("out/data/manifest.jsonl");
    let entries = entries.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let of_training = |entry: &serde_json::Value| {
        entry["kind"] == "file" && !entry["path"].as_str().unwrap().ends_with("held-out.txt")
    };
    entries.filter(of_training).collect()
}

const PREPARE: [&str; 5] = ["data", "prepare", "r.toml", "--out", "out"];

#[test]
fn marks_and_utf16_are_no_part_of_texts_nor_of_recipes() {
    let scene = scene("[abcd].*", "");
    scene.write("a.txt", "\u{feff}one".as_bytes());
    scene.write("b.txt", b"one");
    scene.write("c.jsonl", "\u{feff}{\"text\":\"two\"}".as_bytes());
    scene.write("d.md", &"\u{feff}one".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    let recipe = scene.read("r.toml");
    let marked = format!("\u{feff}{recipe}");
    for bytes in [marked.clone().into_bytes(), marked.encode_utf16().flat_map(u16::to_le_bytes).collect()] {
        scene.write("r.toml", &bytes);
        let said = scene.ok(&PREPARE);
        assert!(said.stderr.contains("d.md` decoded from UTF-16LE"), "{}", said.stderr);
        let kept: Vec<u64> = files(&scene).iter().map(|file| file["documents"].as_u64().unwrap()).collect();
        assert_eq!(kept, [1, 0, 1, 0]);
        // Three bytes and an end each.
        let tokens: u64 = files(&scene).iter().map(|file| file["train_tokens"].as_u64().unwrap()).sum();
        assert_eq!(tokens, 8);
        fs::remove_dir_all(scene.path("out")).unwrap();
    }
    scene.write("r.toml", &recipe.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect::<Vec<_>>());
    let error = scene.fails(&PREPARE);
    assert_eq!(
        error,
        "error: expected text in UTF-8 in `r.toml`, found text in UTF-32\nhint: save the file as UTF-8"
    );
}

#[test]
fn a_tokenizer_with_a_mark_is_read() {
    let scene = scene("a.txt", "");
    scene.write("a.txt", b"one");
    scene.ok(&["tokenizer", "train", "r.toml", "--out", "out"]);
    let plain = scene.read("out/tokenizer/tokenizer.json");
    scene.write("t/tokenizer.json", format!("\u{feff}{plain}").as_bytes());
    let said = scene.ok(&["tokenizer", "encode", "t", "a.txt"]);
    assert_eq!(said.stdout, scene.ok(&["tokenizer", "encode", "out/tokenizer", "a.txt"]).stdout);
    scene.write("a.txt", "\u{feff}one".as_bytes());
    assert_eq!(said.stdout, scene.ok(&["tokenizer", "encode", "t", "a.txt"]).stdout);
}

#[test]
fn bad_rows_stop_or_are_counted() {
    let rows = "{\"text\":\"fine\"}\n{\"text\":\"half \\ud83d\"}\n{\"text\": 3}\nnonsense\n{\"text\":\"good\", \"loss\": NaN}\n";
    let stopping = scene("a.jsonl", "invalid_utf8 = \"skip\"");
    stopping.write("a.jsonl", rows.as_bytes());
    stopping.refuses(
        &PREPARE,
        "error: expected text in column `text` of `a.jsonl:3`, found a number\n\
         hint: name a column of plain strings; `on_error = \"skip\"` in [data] leaves out rows that have none",
    );
    let skipping = scene("a.jsonl", "invalid_utf8 = \"replace\"\non_error = \"skip\"");
    skipping.write("a.jsonl", rows.as_bytes());
    let said = skipping.ok(&PREPARE);
    assert!(
        said.stderr.contains(
            "WARNING: 2 bad rows left out, 33.33 % of the rows (1 malformed, 1 not a text); first: "
        ),
        "{}",
        said.stderr
    );
    let file = &files(&skipping)[0];
    assert_eq!((file["documents"].as_u64(), file["dropped"]["replaced_utf8"].as_u64()), (Some(3), Some(1)));
    assert_eq!(file["skipped"]["kinds"], serde_json::json!({ "malformed": 1, "not a text": 1 }));
    assert!(file["skipped"]["examples"][0].as_str().unwrap().contains("a.jsonl:3"));
    // The run's own recipe keeps the setting, and a second start finds everything as it was.
    assert!(skipping.ok(&PREPARE).stderr.contains("kept"));
}

#[test]
fn glob_signs_of_the_recipes_folder_mean_themselves() {
    let scene = Scene::new();
    scene.write("v1/in/other.txt", b"a text of another folder");
    scene.write("v[12]/in/mine.txt", b"a text of this folder");
    scene.write("v[12]/in/a[1].txt", b"a name with signs");
    scene.write("v[12]/held-out.txt", HELD_OUT.as_bytes());
    for (sources, names) in [
        ("in/*.txt", &["v[12]/in/a[1].txt", "v[12]/in/mine.txt"][..]),
        ("in", &["v[12]/in/a[1].txt", "v[12]/in/mine.txt"]),
        ("in/mine.txt", &["v[12]/in/mine.txt"]),
        ("in/a[1].txt", &["v[12]/in/a[1].txt"]),
        ("../v1/**/*.txt", &["v1/in/other.txt"]),
    ] {
        scene.write("v[12]/r.toml", recipe(sources, "").as_bytes());
        // From outside, from the folder itself, and from the recipe that the run wrote.
        for (folder, recipe) in [("", "v[12]/r.toml"), ("v[12]", "r.toml")] {
            let out = scene.path("out");
            let _ = fs::remove_dir_all(&out);
            let status = maquette()
                .args(["data", "prepare", recipe, "--out"])
                .arg(&out)
                .current_dir(scene.path(folder))
                .output()
                .unwrap();
            assert!(status.status.success(), "{sources}: {}", String::from_utf8_lossy(&status.stderr));
            let found: Vec<String> =
                files(&scene).iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect();
            assert_eq!(found.len(), names.len(), "{sources}: {found:?}");
            assert!(found.iter().zip(names).all(|(path, name)| path.ends_with(name)), "{sources}: {found:?}");
        }
    }
    scene.write("v[12]/r.toml", recipe("in/other.txt", "").as_bytes());
    let error = scene.fails(&["data", "prepare", "v[12]/r.toml", "--out", "gone"]);
    assert!(error.starts_with("error: expected documents at `v[12]/in/other.txt`, found nothing"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn odd_names_links_and_pipes_neither_panic_nor_hang() {
    use std::os::unix::{ffi::OsStrExt as _, fs::symlink};
    let scene = scene("texts/**/*.md", "");
    scene.write("texts/a.md", b"a text");
    let odd = std::ffi::OsStr::from_bytes(b"texts/caf\xe9.md");
    fs::write(scene.path("").join(odd), "another text").unwrap();
    symlink(scene.path("texts"), scene.path("texts/ring")).unwrap();
    symlink("loop.md", scene.path("texts/loop.md")).unwrap();
    let pipe = scene.path("texts/pipe.md");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for sources in ["texts/**/*.md", "texts", "texts/*"] {
        scene.write("r.toml", recipe(sources, "").as_bytes());
        let said = scene.ok(&PREPARE);
        let found: Vec<String> =
            files(&scene).iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect();
        assert!(found[0].ends_with("a.md") && found[1].ends_with(r"caf\xe9.md"), "{found:?}");
        assert_eq!(found.len(), 2, "{found:?}");
        for part in ["a named pipe", "a link that leads nowhere"] {
            assert!(said.stderr.contains(part), "{sources}: {}", said.stderr);
        }
        fs::remove_dir_all(scene.path("out")).unwrap();
    }
    scene.write("r.toml", recipe("texts/pipe.md", "").as_bytes());
    let error = scene.fails(&PREPARE);
    assert!(error.contains("found a named pipe"), "{error}");
}

#[test]
fn a_source_around_the_runs_folder_leaves_it_out() {
    let scene = scene(".", "");
    scene.write("a.jsonl", b"{\"text\": \"some words\"}\n");
    let said = scene.ok(&["run", "r.toml", "--out", "out"]);
    assert!(said.stderr.contains("passed over in"), "{}", said.stderr);
    // What the run wrote is no change of its sources.
    let again = scene.ok(&["run", "r.toml", "--out", "out"]).stderr;
    assert!(again.contains("kept") && !again.contains("set aside"), "{again}");
    let error = scene.fails(&["run", "r.toml", "--out", "out2", "--set", "data.sources=[{path=\"out2\"}]"]);
    assert!(error.contains("found a folder with none"), "{error}");
}

#[test]
fn other_endings_in_a_folder_are_said() {
    let scene = scene("texts", "");
    scene.write("texts/a.txt", b"some words");
    scene.write("texts/b.jsonl.xz", b"\xfd7zXZ\0");
    scene.write("texts/c.jsonl.xz", b"\xfd7zXZ\0");
    scene.write("texts/d.zip", b"PK");
    let said = scene.ok(&PREPARE);
    assert!(said.stderr.contains("3 files with other endings: .xz (2), .zip"), "{}", said.stderr);
    assert!(scene.read("out/data/manifest.jsonl").contains("\"kind\":\"passed_over\""));
}
