//! Files of the user beside and among those of this program: what is replaced, what is kept, and who may read the new ones.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink},
    path::Path,
    process::{Command, Stdio},
};

use crate::scene::{CHECKPOINT, Said, Scene};

/// A run in `run/`, and a checkpoint in `ck/` that is no part of it and can chat.
fn scene() -> Scene {
    let scene = Scene::trained();
    scene.ok(&["import", CHECKPOINT, "--out", "plain"]);
    fs::write(scene.path("plain/chat_template.jinja"), "{{ messages[0]['content'] }}").unwrap();
    // With the template in its list.
    scene.ok(&["import", "plain", "--out", "ck"]);
    fs::remove_dir_all(scene.path("plain")).unwrap();
    scene
}

/// What a conversation says.
fn chat(scene: &Scene, input: &str) -> Said {
    let args = ["chat", "ck", "--max-tokens", "2"];
    let mut child = scene
        .command(&args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn an_import_replaces_a_checkpoint_alone_and_nothing_else() {
    let scene = scene();
    // Its own kind is replaced, behind a link too; the link stays.
    symlink("ck", scene.path("link")).unwrap();
    for out in ["ck", "link"] {
        scene.ok(&["import", CHECKPOINT, "--out", out]);
    }
    assert!(scene.path("link").is_symlink());
    fs::create_dir(scene.path("empty")).unwrap();
    scene.ok(&["import", CHECKPOINT, "--out", "empty"]);
    scene.ok(&["import", CHECKPOINT, "--out", "new/folders/ck"]);

    let refuses = |out: &str, found: &str| {
        let before = scene.files("");
        let error = scene.fails(&["import", CHECKPOINT, "--out", out]);
        assert!(error.contains(found), "{error}");
        assert!(scene.files("") == before, "{out}: {error}");
    };
    let none = "expected nothing, or a checkpoint of maquette alone, at ";
    // A project that has a config.json, as many do.
    for file in ["config.json", "thesis.txt", "src/main.rs", "src/lib.rs"] {
        scene.write(&format!("project/{file}"), b"{}");
    }
    refuses(
        "project",
        &format!(
            "{none}`project`, found files that maquette did not write there: `config.json`, `src/`, `thesis.txt`"
        ),
    );
    // A model of another program, and one whose list is gone.
    for file in ["config.json", "model.safetensors", "tokenizer.json", "maquette.json"] {
        scene.write(&format!("foreign/{file}"), b"{}");
    }
    refuses("foreign", "`config.json`, `maquette.json`, `model.safetensors` and 1 more");
    scene.write("ck/NOTES.txt", b"precious");
    scene.write("ck/logs/a", b"x");
    refuses("ck", "`NOTES.txt`, `logs/`");
    refuses("link", "`NOTES.txt`, `logs/`");
    fs::remove_file(scene.path("ck/NOTES.txt")).unwrap();
    fs::remove_dir_all(scene.path("ck/logs")).unwrap();
    fs::create_dir(scene.path("ck/kept")).unwrap();
    refuses("ck", "`kept/`");
    fs::remove_dir(scene.path("ck/kept")).unwrap();
    // Edited since it was written: the edit is the user's.
    scene.write("ck/generation_config.json", b"{}");
    refuses("ck", "a checkpoint whose `generation_config.json` was changed since it was written");
    scene.write("corpus-of-mine.txt", b"precious");
    refuses("corpus-of-mine.txt", "found a file");
    symlink("nowhere", scene.path("broken")).unwrap();
    refuses("broken", "a link that leads nowhere");
    assert!(Command::new("mkfifo").arg(scene.path("pipe")).status().unwrap().success());
    let error = scene.fails(&["import", CHECKPOINT, "--out", "pipe"]);
    assert!(error.contains("found a device or pipe"), "{error}");
}

#[test]
fn an_import_does_not_overlap_with_its_source_or_a_training() {
    let scene = scene();
    symlink("ck", scene.path("link")).unwrap();
    for (source, out, found) in [
        ("ck", "ck", "the source itself"),
        ("ck", "./run/../ck/", "the source itself"),
        ("link", "ck", "the source itself"),
        (CHECKPOINT, "run", "the source in it"),
        (CHECKPOINT, "run/pretrain", "the source in it"),
        ("ck", "ck/inside/deeper", "a place inside the source"),
        ("ck", ".", "the source in it"),
        ("ck", "run/pretrain/checkpoints/step-16", "a checkpoint from which a training goes on (`state/`)"),
    ] {
        let before = scene.files("");
        let error = scene.fails(&["import", source, "--out", out]);
        assert!(error.contains(&format!("found {found}\nhint: ")), "{out}: {error}");
        assert!(scene.files("") == before, "{out}: {error}");
    }
    let mut command = scene.command(&["import", "../ck", "--out", "."]);
    fs::create_dir(scene.path("here")).unwrap();
    let error = Said::by(command.current_dir(scene.path("here"))).error(1);
    assert!(error.contains("found the folder that you are in"), "{error}");
}

#[test]
fn an_import_checks_the_list_of_its_source() {
    let scene = scene();
    // Of this program, and of another that writes its list in another style and names what was not copied.
    let sums = scene.read("ck/SHA256SUMS");
    let other: String = sums.lines().map(|line| line.replacen("  ", " *./", 1) + "\n").collect();
    let other = format!("# of a mirror\n{other}{}  onnx/model.onnx\n", "0".repeat(64));
    let weights = fs::read(scene.path("ck/model.safetensors")).unwrap();
    let mut damaged = weights.clone();
    *damaged.last_mut().unwrap() ^= 1;
    scene.ok(&["export", "ck", "--quant", "f32", "--out", "gguf/m.gguf"]);
    let gguf = fs::read(scene.path("gguf/m.gguf")).unwrap();
    for (i, list) in [sums, other.clone()].into_iter().enumerate() {
        if i == 1 {
            fs::remove_file(scene.path("ck/maquette.json")).unwrap();
        }
        let list = if i == 1 {
            list.lines()
                .filter(|line| !line.contains("maquette.json"))
                .map(|line| format!("{line}\n"))
                .collect()
        } else {
            list
        };
        scene.write("ck/SHA256SUMS", list.as_bytes());
        scene.write("ck/model.safetensors", &damaged);
        let error = scene.fails(&["import", "ck", "--out", "out"]);
        assert!(error.contains("`ck/model.safetensors` is damaged: expected SHA-256 "), "{error}");
        assert!(!scene.path("out").exists());
        scene.write("ck/model.safetensors", &weights);
        scene.ok(&["import", "ck", "--out", &format!("out-{i}")]);
    }
    let sum = Command::new("sha256sum").arg("m.gguf").current_dir(scene.path("gguf")).output().unwrap();
    scene.write("gguf/SHA256SUMS", &sum.stdout);
    scene.ok(&["import", "gguf/m.gguf", "--out", "of-gguf"]);
    let mut damaged = gguf;
    *damaged.last_mut().unwrap() ^= 1;
    scene.write("gguf/m.gguf", &damaged);
    let error = scene.fails(&["import", "gguf/m.gguf", "--out", "of-damaged"]);
    assert!(error.contains("`gguf/m.gguf` is damaged"), "{error}");
}

/// The small files that say how a model is used may be changed by hand; the model may not.
#[test]
fn edits_of_small_files_are_used_and_named() {
    let scene = scene();
    let generate = ["generate", "ck", "--prompt", "a", "--max-tokens", "1"];
    assert!(!scene.ok(&generate).stderr.contains("changed"));
    scene.write("ck/chat_template.jinja", b"{{ messages[0]['content'] }}!");
    let mut config: serde_json::Value =
        serde_json::from_str(&scene.read("ck/tokenizer_config.json")).unwrap();
    config["model_max_length"] = 32.into();
    scene.write("ck/tokenizer_config.json", config.to_string().as_bytes());
    fs::remove_file(scene.path("ck/generation_config.json")).unwrap();
    let note = "note: changed since it was written: ck/chat_template.jinja, ck/generation_config.json, \
                ck/tokenizer_config.json\n";
    let said = chat(&scene, "a\n");
    assert!(said.status.success() && said.stderr.contains(note), "{}", said.stderr);
    scene.write("on.toml", b"name = \"on\"\n[data]\nsources = [{ path = \"corpus.txt\" }]\nvalidation = { by = \"tail\", fraction = 0.2 }\n[model]\nfrom = \"ck\"\n[train]\nsteps = 1\nseq_len = 32\nbatch_rows = 1\neval_tokens = 64\nfinal_eval_tokens = 64\n[samples]\nprompts = []\n");
    for args in [
        &generate[..],
        &["inspect", "ck"],
        &["export", "ck", "--out", "m.gguf"],
        &["eval", "ck", "--tasks", "copy", "--limit", "1"],
        &["import", "ck", "--out", "again"],
        &["run", "on.toml", "--out", "on"],
    ] {
        let said = scene.ok(args).stderr.replace(&format!("{}/", scene.path("").display()), "");
        let said = said.replace(&format!("{}/", scene.path("").canonicalize().unwrap().display()), "");
        assert_eq!(said.matches(note).count(), 1, "{args:?}: {said}");
    }
    // What was imported is whole again, with the edit in it.
    assert!(!scene.ok(&["inspect", "again"]).stderr.contains("changed"));
    assert_eq!(scene.read("again/chat_template.jinja"), "{{ messages[0]['content'] }}!");

    for file in ["config.json", "tokenizer.json", "maquette.json"] {
        let text = scene.read(&format!("again/{file}"));
        scene.write(&format!("again/{file}"), format!("{text}\n").as_bytes());
        let error = scene.fails(&["inspect", "again"]);
        assert!(
            error.contains(&format!("`again/{file}` is damaged: expected SHA-256 "))
                && error.ends_with("if you changed it on purpose, delete its line in `again/SHA256SUMS`"),
            "{error}"
        );
        // As the hint says.
        let sums = scene.read("again/SHA256SUMS");
        let kept: Vec<&str> = sums.lines().filter(|line| !line.ends_with(&format!("  {file}"))).collect();
        assert_eq!(kept.len() + 1, sums.lines().count());
        scene.write("again/SHA256SUMS", (kept.join("\n") + "\n").as_bytes());
        scene.ok(&["inspect", "again"]);
    }
}

#[test]
fn a_saved_conversation_touches_no_neighbour() {
    let scene = scene();
    scene.write("talk.tmp", b"precious");
    scene.write("thesis.txt", b"precious");
    let said = chat(
        &scene,
        "a\n/save talk.jsonl\nb\n/save talk.jsonl\n/save thesis.txt\n/save no/such/talk.jsonl\n",
    );
    assert_eq!((scene.read("talk.tmp"), scene.read("thesis.txt")), ("precious".into(), "precious".into()));
    assert_eq!(
        scene.read("talk.jsonl").lines().count(),
        4,
        "the second one replaced the first: {}",
        said.stderr
    );
    assert_eq!(scene.read("talk.jsonl"), scene.read("no/such/talk.jsonl"));
    assert!(
        said.stderr.contains("expected no file at `thesis.txt`, found one: a conversation is not replaced"),
        "{}",
        said.stderr
    );
    // Of another program, though each byte of it is as this one would write it.
    scene.write("data.jsonl", b"{\"role\":\"user\",\"content\":\"a\"}\n");
    let said = chat(&scene, "a\n/save data.jsonl\n/save nothing\n");
    assert_eq!(scene.read("data.jsonl"), "{\"role\":\"user\",\"content\":\"a\"}\n", "{}", said.stderr);
}

/// Every file is as readable as the umask lets it be.
#[test]
fn modes_follow_the_umask() {
    let scene = scene();
    scene.write("points.csv", b"run,n_params,n_tokens,flops,loss\na,1e3,2e4,1e9,4\nb,2e3,4e4,4e9,3.6\nc,4e3,8e4,1.6e10,3.3\nd,8e3,1.6e5,6.4e10,3.1\ne,1.6e4,3.2e5,2.6e11,2.95\n");
    for (umask, expected) in [("022", 0o644), ("077", 0o600), ("002", 0o664)] {
        for command in [
            format!("run tiny.toml --out {umask}/run"),
            format!("import ck --out {umask}/ck"),
            format!("export ck --out {umask}/m.gguf"),
            format!("inspect ck --ids 1 --logits {umask}/logits"),
            format!("eval ck --tasks copy --limit 1 --out {umask}/eval"),
            format!(
                "forecast seal points.csv --at-flops 1e12 --draws 100 --out {umask}/f.json --plot {umask}/f.svg"
            ),
        ] {
            let mut shell = Command::new("sh");
            shell.args([
                "-c",
                &format!("umask {umask}; exec \"$0\" {command}"),
                env!("CARGO_BIN_EXE_maquette"),
            ]);
            let said = Said::by(shell.current_dir(scene.path("")));
            assert!(said.status.success(), "{command}: {}", said.stderr);
        }
        let mut n_files = 0;
        for file in scene.files(umask).into_keys() {
            let mode = fs::metadata(scene.path(umask).join(&file)).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, expected, "umask {umask}: {} has {mode:o}", file.display());
            n_files += 1;
        }
        assert!(n_files > 40, "{n_files}");
    }
}

/// `/dev/null` stays what it is; `/dev/stdout` and what a shell hands over are written to.
#[test]
fn devices_and_streams_are_written_to() {
    let scene = scene();
    let run = |line: &str| {
        let mut bash = Command::new("bash");
        bash.args(["-c", line, env!("CARGO_BIN_EXE_maquette")]).current_dir(scene.path(""));
        Said::by(&mut bash)
    };
    assert!(run("$0 export ck --out /dev/null && $0 inspect ck --ids 1 --logits /dev/null").status.success());
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    scene.ok(&["inspect", "ck", "--ids", "1", "--logits", "logits"]);
    let logits = fs::read(scene.path("logits")).unwrap();
    for line in [
        "$0 inspect ck --ids 1 --logits /dev/stdout > a",
        "$0 inspect ck --ids 1 --logits /dev/stdout | cat > a",
        "$0 inspect ck --ids 1 --logits >(cat > a); sleep 0.2",
    ] {
        let said = run(line);
        assert!(said.status.success(), "{line}: {}", said.stderr);
        assert!(fs::read(scene.path("a")).unwrap() == logits, "{line}");
        fs::remove_file(scene.path("a")).unwrap();
    }
    if cfg!(target_os = "linux") {
        let error = run("$0 export ck --out /dev/full").error(1);
        assert!(error.contains("cannot write `/dev/full`: No space left on device"), "{error}");
    }
}

/// A run needs names in its folder; those of the user are never taken.
#[test]
fn a_run_takes_no_name_of_the_user() {
    let scene = Scene::new();
    for (file, named) in [
        ("recipe.toml", "`recipe.toml`"),
        ("data/book.txt", "`data`"),
        ("tokenizer/tokenizer.json", "`tokenizer`"),
        ("report.html", "`report.html`"),
        ("pretrain/checkpoints/step-8/mine", "`pretrain`"),
        ("forecast.json", "`forecast.json`"),
        ("maquette.json", "`maquette.json`"),
    ] {
        scene.write(&format!("project/{file}"), b"precious");
        scene.write("project/.lock", b"");
        let before = scene.files("project");
        for args in [["run", "tiny.toml"], ["pretrain", "tiny.toml"]] {
            let error = scene.fails(&[&args[..], &["--out", "project"]].concat());
            assert!(
                error.starts_with(&format!(
                    "error: expected a new folder, or that of a run, at `project`, found files there that no run wrote: \
                     {named}\nhint: choose another folder with --out, such as project/run"
                )),
                "{error}"
            );
        }
        assert!(scene.files("project") == before);
        fs::remove_dir_all(scene.path("project")).unwrap();
    }
    // Other names are not in the way, before and after.
    scene.write("project/notes.txt", b"precious");
    scene.ok(&["run", "tiny.toml", "--out", "project"]);
    scene.write("project/data/notes.txt", b"precious");
    scene.write("project/data/train-of-thought.tokens", b"precious");
    scene.write("project/pretrain/checkpoints/step-8/notes.txt", b"precious");
    scene.ok(&[
        "run",
        "tiny.toml",
        "--out",
        "project",
        "--set",
        "train.steps=32",
        "--set",
        "train.keep_checkpoints=1",
    ]);
    for stage in ["tokenizer", "data"] {
        fs::remove_file(scene.path(&format!("project/{stage}/stage.json"))).unwrap();
    }
    scene.ok(&[
        "run",
        "tiny.toml",
        "--out",
        "project",
        "--set",
        "train.steps=32",
        "--set",
        "train.keep_checkpoints=1",
    ]);
    let precious = scene.files("project").into_values().filter(|content| content == b"precious").count();
    assert_eq!(precious, 4);
}

/// What a user puts into a folder after a run failed there before it made anything.
#[test]
fn a_run_that_made_nothing_claims_nothing() {
    let scene = Scene::new();
    let missing = ["--set", "data.sources=[{path=\"no-such.txt\"}]", "--out", "project"];
    scene.fails(&[&["run", "tiny.toml"][..], &missing].concat());
    assert!(!scene.path("project/.lock").exists());
    scene.write("project/data/manifest.jsonl", b"precious");
    scene.write("project/tokenizer/tokenizer.json", b"precious");
    let before = scene.files("project");
    let error = scene.fails(&["run", "tiny.toml", "--out", "project"]);
    assert!(error.contains("found files there that no run wrote: `tokenizer`, `data`"), "{error}");
    assert!(scene.files("project") == before);
}

/// The run's own recipe, changed by hand, is moved and not overwritten.
#[test]
fn a_recipe_that_was_edited_is_kept() {
    let scene = Scene::new();
    scene.ok(&["tokenizer", "train", "tiny.toml", "--out", "run"]);
    scene.ok(&["run", "tiny.toml", "--out", "run"]);
    let resolved = scene.read("run/recipe.toml");
    let edited = format!("# mine\n{resolved}");
    scene.write("run/recipe.toml", edited.as_bytes());
    let said = scene.ok(&["run", "tiny.toml", "--out", "run"]);
    assert!(
        said.stderr.contains("run/recipe.toml was written by hand, now run/recipe.toml-replaced-1"),
        "{}",
        said.stderr
    );
    assert_eq!((scene.read("run/recipe.toml"), scene.read("run/recipe.toml-replaced-1")), (resolved, edited));
    // A copy without its hidden files is still the folder of a run.
    fs::remove_file(scene.path("run/.lock")).unwrap();
    scene.ok(&["run", "tiny.toml", "--out", "run"]);
    assert!(Path::new(&scene.path("run/.lock")).is_file());
}

/// A checkpoint that the run would drop stays while the user keeps something in it.
#[test]
fn a_checkpoint_with_notes_is_not_dropped() {
    let scene = Scene::new();
    let run = |steps: &str| {
        scene.ok(&["run", "tiny.toml", "--out", "run", "--set", "train.keep_checkpoints=1", "--set", steps]);
    };
    run("train.steps=8");
    scene.write("run/pretrain/checkpoints/step-8/notes.txt", b"precious");
    run("train.steps=24");
    let kept = scene.files("run").into_iter().filter(|(_, content)| content == b"precious");
    let kept: Vec<_> = kept.map(|(path, _)| path.parent().unwrap().join("model.safetensors")).collect();
    assert!(kept.len() == 1 && scene.path("run").join(&kept[0]).is_file(), "{kept:?}");
}
