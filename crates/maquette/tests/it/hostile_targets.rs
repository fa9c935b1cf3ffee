//! Every command that writes, against every target that a careless or unlucky user may name: nothing that was there is
//! another afterwards, and nothing half done is left.
//!
//! `cargo test -p maquette --test it hostile -- --nocapture` prints the table.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use std::io::Write as _;

use crate::scene::{Said, Scene};

/// What commands read.
#[derive(Clone)]
struct Sources {
    checkpoint: String,
    points: String,
    forecast: String,
    run: String,
    recipe: String,
    /// Synthetic requests.
    standin: String,
}

impl Sources {
    /// In `folder`, as seen from a case.
    fn below(folder: &str) -> Self {
        let at = |name: &str| format!("{folder}/{name}");
        Self {
            checkpoint: at("checkpoint"),
            points: at("points.csv"),
            forecast: at("forecast.json"),
            run: at("run"),
            recipe: at("recipe.toml"),
            standin: at("standin"),
        }
    }
}

/// A command that writes, and where.
struct Writer {
    name: &'static str,
    /// A folder; else a file.
    makes_folder: bool,
    args: fn(&Sources, &str) -> Vec<String>,
    /// What it types.
    input: fn(&str) -> String,
    /// One of the files that it reads, to be named as the target too.
    source: fn(&Sources) -> String,
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn nothing(_: &str) -> String {
    String::new()
}

const FIT: &str = "--at-flops 1e18 --draws 100";

const WRITERS: [Writer; 23] = [
    Writer {
        name: "import --out",
        makes_folder: true,
        args: |from, to| words(&format!("import {} --out {to}", from.checkpoint)),
        input: nothing,
        source: |_| "t".into(),
    },
    Writer {
        name: "export --out",
        makes_folder: false,
        args: |from, to| words(&format!("export {} --out {to}", from.checkpoint)),
        input: nothing,
        source: |from| format!("{}/model.safetensors", from.checkpoint),
    },
    Writer {
        name: "inspect --logits",
        makes_folder: false,
        args: |from, to| words(&format!("inspect {} --ids 1,2 --logits {to}", from.checkpoint)),
        input: nothing,
        source: |from| format!("{}/model.safetensors", from.checkpoint),
    },
    Writer {
        name: "chat /save",
        makes_folder: false,
        args: |from, _| words(&format!("chat {} --system x", from.checkpoint)),
        input: |to| format!("/save {to}\n"),
        source: |from| format!("{}/chat_template.jinja", from.checkpoint),
    },
    Writer {
        name: "eval --out",
        makes_folder: true,
        args: |from, to| words(&format!("eval {} --tasks copy --limit 1 --out {to}", from.checkpoint)),
        input: nothing,
        source: |_| "t".into(),
    },
    Writer {
        name: "explain --out",
        makes_folder: true,
        args: |from, to| {
            let at = from.points.trim_end_matches("/points.csv");
            let ask = format!("--image {at}/drawn/images/train-scenes-000000.png --prompt x --answer y");
            words(&format!("explain {at}/seeing {ask} --out {to}"))
        },
        input: nothing,
        source: |from| from.points.replace("points.csv", "seeing"),
    },
    Writer {
        name: "scores grade --to",
        makes_folder: false,
        args: |from, to| {
            words(&format!("scores grade {} --to {to}", from.points.replace("points.csv", "scores")))
        },
        input: nothing,
        source: |from| from.points.replace("points.csv", "scores/eval/essay-0shot.jsonl"),
    },
    Writer {
        name: "forecast fit --plot",
        makes_folder: false,
        args: |from, to| words(&format!("forecast fit {} {FIT} --plot {to}", from.points)),
        input: nothing,
        source: |from| from.points.clone(),
    },
    Writer {
        name: "forecast seal --out",
        makes_folder: false,
        args: |from, to| words(&format!("forecast seal {} {FIT} --out {to}", from.points)),
        input: nothing,
        source: |from| from.points.clone(),
    },
    Writer {
        name: "forecast seal --plot",
        makes_folder: false,
        args: |from, to| words(&format!("forecast seal {} {FIT} --out sealed.json --plot {to}", from.points)),
        input: nothing,
        source: |from| from.points.clone(),
    },
    Writer {
        name: "forecast verdict --out",
        makes_folder: false,
        args: |from, to| words(&format!("forecast verdict {} --actual 2.5 --out {to}", from.forecast)),
        input: nothing,
        source: |from| from.forecast.clone(),
    },
    Writer {
        name: "forecast verdict --plot",
        makes_folder: false,
        args: |from, to| words(&format!("forecast verdict {} --actual 2.5 --plot {to}", from.forecast)),
        input: nothing,
        source: |from| from.forecast.clone(),
    },
    Writer {
        name: "forecast import --out",
        makes_folder: false,
        args: |from, to| words(&format!("forecast import runs {} --out {to}", from.run)),
        input: nothing,
        source: |from| format!("{}/pretrain/summary.json", from.run),
    },
    Writer {
        name: "run --out",
        makes_folder: true,
        args: |from, to| words(&format!("run {} --out {to}", from.recipe)),
        input: nothing,
        source: |_| "t".into(),
    },
    Writer {
        name: "tokenizer train --out",
        makes_folder: true,
        args: |from, to| words(&format!("tokenizer train {} --out {to}", from.recipe)),
        input: nothing,
        source: |_| "t".into(),
    },
    Writer {
        name: "data pictures --out",
        makes_folder: true,
        args: |_, to| words(&format!("data pictures --n 3 --size 96 --out {to}")),
        input: nothing,
        source: |_| "t".into(),
    },
    Writer {
        name: "data prepare --out",
        makes_folder: true,
        args: |from, to| words(&format!("data prepare {} --out {to}", from.recipe)),
        input: nothing,
        source: |_| "t".into(),
    },
    Writer {
        name: "ladder --out",
        makes_folder: true,
        args: |from, to| words(&format!("ladder {} --out {to}", from.recipe)),
        input: nothing,
        source: |_| "t".into(),
    },
    Writer {
        name: "pretrain --out",
        makes_folder: true,
        args: |from, to| words(&format!("pretrain {} --out {to}", from.recipe)),
        input: nothing,
        source: |_| "t".into(),
    },
    Writer {
        name: "rbrm --out",
        makes_folder: false,
        args: |from, to| {
            let at = &from.standin;
            words(&format!(
                "rbrm {at}/classes.yaml --gold {at}/gold-test.jsonl --fit {at}/gold-fit.jsonl --out {to}"
            ))
        },
        input: nothing,
        source: |from| format!("{}/classes.yaml", from.standin),
    },
    Writer {
        name: "safety --out",
        makes_folder: false,
        args: |from, to| {
            let (checkpoint, at) = (&from.checkpoint, &from.standin);
            words(&format!("safety a={checkpoint} --prompts {at}/short.jsonl --max-tokens 2 --out {to}"))
        },
        input: nothing,
        source: |from| format!("{}/short.jsonl", from.standin),
    },
    Writer {
        name: "standin --out",
        makes_folder: true,
        args: |_, to| words(&format!("standin --rows 10 --out {to}")),
        input: nothing,
        source: |_| "t".into(),
    },
    Writer {
        name: "feedback --out",
        makes_folder: true,
        args: |from, to| {
            let (checkpoint, at) = (&from.checkpoint, &from.standin);
            words(&format!("feedback {checkpoint} --prompts {at}/short.jsonl --max-tokens 2 --out {to}"))
        },
        input: |_| "1\n1\nq\n".into(),
        source: |_| "t".into(),
    },
];

/// A target that is hostile.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Hostile {
    ForeignFolder,
    SourceInside,
    Link,
    Device,
    ForeignFile,
    /// A folder where a file is wanted, a file where a folder is.
    WrongKind,
    FullDisk,
    MissingParent,
    SamePathTwice,
    ReadOnly,
}

const HOSTILE: [Hostile; 10] = [
    Hostile::ForeignFolder,
    Hostile::SourceInside,
    Hostile::Link,
    Hostile::Device,
    Hostile::ForeignFile,
    Hostile::WrongKind,
    Hostile::FullDisk,
    Hostile::MissingParent,
    Hostile::SamePathTwice,
    Hostile::ReadOnly,
];

/// A thing with its kind, mode and content.
fn snapshot(root: &Path) -> BTreeMap<PathBuf, (String, u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let kind = meta.file_type();
            let content = match () {
                () if kind.is_symlink() => {
                    fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
                }
                () if kind.is_file() => fs::read(&path).unwrap(),
                () => Vec::new(),
            };
            if kind.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path, (format!("{kind:?}"), meta.permissions().mode(), content));
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        copy(&path, &to.join(path.file_name().unwrap()));
    }
}

const RECIPE: &str = r#"name = "tiny"
[data]
sources = [{ path = "data/corpus.txt" }]
validation = { by = "tail", fraction = 0.2 }
[tokenizer]
kind = "bytes"
[model]
n_layers = 1
d_model = 16
n_heads = 1
[train]
steps = 2
batch_rows = 1
seq_len = 32
eval_tokens = 64
final_eval_tokens = 64
[samples]
prompts = []
"#;

/// The same with eyes.
const SEEING: &str = r#"[data.pictures]
draw = ["scenes"]
max_level = 1
per_step = 1
n_held_out = 1
[model.vision]
image_size = 16
patch_size = 8
n_layers = 1
"#;

/// Nine runs on a law.
fn points() -> String {
    let mut text = "run,n_params,n_tokens,flops,loss,seed\n".to_owned();
    for i in 0..9 {
        let flops = 1e13 * 3f64.powi(i);
        let n_params = (0.1 * flops.powf(0.48)).round();
        let loss = (1.8 + 900.0 * flops.powf(-0.17)) * (1.0 + 0.002 * f64::from((i * 7) % 5 - 2));
        text += &format!("r{i},{n_params},{},{flops:e},{loss},1\n", (flops / 6.0 / n_params).round());
    }
    text
}

/// Makes what all cases read, in `sources/`.
fn sources(scene: &Scene) {
    scene.write("sources/recipe.toml", RECIPE.as_bytes());
    scene.write("sources/data/corpus.txt", crate::scene::text(4000).as_bytes());
    scene.write("sources/points.csv", points().as_bytes());
    scene.ok(&["run", "sources/recipe.toml", "--out", "sources/run"]);
    scene.ok(&["import", "sources/run/pretrain/checkpoints/step-2", "--out", "sources/checkpoint"]);
    scene.write("sources/seeing.toml", format!("{RECIPE}{SEEING}").replace("tiny", "seeing").as_bytes());
    let longer = ["seq_len", "eval_tokens", "final_eval_tokens"].map(|name| format!("train.{name}=160"));
    let mut run = vec!["run", "sources/seeing.toml", "--out", "seeing-run"];
    run.extend(longer.iter().flat_map(|change| ["--set", change.as_str()]));
    scene.ok(&run);
    scene.ok(&["import", "seeing-run", "--out", "sources/seeing"]);
    scene.ok(&["data", "pictures", "--kind", "scenes", "--n", "1", "--size", "96", "--out", "sources/drawn"]);
    scene.ok(&["standin", "--rows", "10", "--out", "sources/standin"]);
    let row = |i: u32| {
        format!("{{\"prompt\":[{{\"role\":\"user\",\"content\":\"{i}\"}}],\"label\":\"allowed\"}}\n")
    };
    scene.write("sources/standin/short.jsonl", (0..3).map(row).collect::<String>().as_bytes());
    scene.write("sources/checkpoint/chat_template.jinja", b"{{ messages[0]['content'] }}");
    scene
        .write("sources/essay.jsonl", b"{\"question\": \"Why?\", \"rubric\": \"a reason\", \"points\": 2}\n");
    let eval = "eval sources/checkpoint --tasks sources/essay.jsonl --max-tokens 4 --out sources/scores";
    scene.ok(&eval.split(' ').collect::<Vec<_>>());
    let seal = ["forecast", "seal", "sources/points.csv", "--out", "sources/forecast.json"];
    scene.ok(&[&seal[..], &FIT.split(' ').collect::<Vec<_>>()].concat());
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

/// How a case ended, in a word.
fn hostile_case(scene: &Scene, writer: &Writer, hostile: Hostile) -> String {
    let name = format!("{} {hostile:?}", writer.name).replace(' ', "-").replace('/', "");
    let case = scene.path(&name);
    let at = |path: &str| case.join(path);
    fs::create_dir_all(at("t")).unwrap();
    let foreign = |path: &str| {
        fs::create_dir_all(at(path).parent().unwrap()).unwrap();
        fs::write(at(path), format!("precious {path}")).unwrap();
    };
    // Beside the target in every case: what a careless temporary name would hit.
    ["t/out.tmp", "t/.out.tmp", "t/out.partial", "t/out.old"].into_iter().for_each(foreign);
    let project = |folder: &str| {
        for path in [
            "config.json",
            "thesis.txt",
            "src/main.rs",
            "recipe.toml",
            "data/book.txt",
            "tokenizer/tokenizer.json",
            "report.html",
            "copy.jsonl",
            "pretrain/notes",
            "model.safetensors",
        ] {
            foreign(&format!("{folder}/{path}"));
        }
    };
    let (mut from, mut to, mut twice) = (Sources::below("../sources"), "t/out".to_owned(), false);
    match hostile {
        Hostile::ForeignFolder => project("t/out"),
        Hostile::SourceInside => {
            copy(&scene.path("sources"), &at("t"));
            from = Sources::below("t");
            to = (writer.source)(&from);
        }
        Hostile::Link => {
            if writer.makes_folder {
                project("real");
            } else {
                foreign("real");
            }
            symlink("../real", at("t/out")).unwrap();
        }
        Hostile::Device => {
            let node = at("t/out");
            let made = is_root()
                && Command::new("mknod").arg(&node).args(["c", "1", "3"]).status().unwrap().success();
            if !made {
                assert!(Command::new("mkfifo").arg(&node).status().unwrap().success());
            }
        }
        Hostile::ForeignFile => {
            if writer.makes_folder {
                // Beside it and in the way of what is written below.
                foreign("t/out/copy.jsonl");
                foreign("t/out/recipe.toml");
                foreign("t/out/maquette.json");
            } else {
                foreign("t/out");
            }
        }
        Hostile::WrongKind => {
            if writer.makes_folder {
                foreign("t/out");
            } else {
                fs::create_dir(at("t/out")).unwrap();
            }
        }
        Hostile::FullDisk | Hostile::MissingParent => to = "t/not/there/out".into(),
        Hostile::SamePathTwice => twice = true,
        Hostile::ReadOnly => {
            if is_root() {
                // Not even root may write there.
                to = "/proc/self/maquette".into();
            } else {
                fs::create_dir(at("t/closed")).unwrap();
                fs::set_permissions(at("t/closed"), fs::Permissions::from_mode(0o555)).unwrap();
                to = "t/closed/out".into();
            }
        }
    }
    let before = [snapshot(&case), snapshot(&scene.path("sources"))];
    let run = |to: &str| {
        let mut args = (writer.args)(&from, to);
        if twice && writer.name == "forecast seal --plot" {
            args.iter_mut().filter(|arg| *arg == "sealed.json").for_each(|arg| *arg = to.to_owned());
        } else if twice && writer.name == "forecast verdict --plot" {
            args.extend(["--out".to_owned(), to.to_owned()]);
        }
        let mut command = match hostile {
            // Not a byte into any file.
            Hostile::FullDisk => {
                let mut shell = Command::new("sh");
                shell.args([
                    "-c",
                    "ulimit -f 0; trap '' XFSZ; exec \"$0\" \"$@\"",
                    env!("CARGO_BIN_EXE_maquette"),
                ]);
                shell.args(args);
                shell
            }
            _ => scene.command(&args.iter().map(String::as_str).collect::<Vec<_>>()),
        };
        command.current_dir(&case).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Who fails before it reads closes the pipe.
        let _ = child.stdin.take().unwrap().write_all((writer.input)(to).as_bytes());
        Said::from(child.wait_with_output().unwrap())
    };
    let mut said = run(&to);
    if twice {
        let first = said;
        said = run(&to);
        if !first.status.success() {
            said = first;
        }
    }
    let after = [snapshot(&case), snapshot(&scene.path("sources"))];
    for (before, after) in before.iter().zip(&after) {
        for (path, was) in before {
            let is =
                after.get(path).unwrap_or_else(|| panic!("{name}: {} is gone\n{said:?}", path.display()));
            assert!(was == is, "{name}: {} was changed\n{said:?}", path.display());
        }
        let litter = after
            .keys()
            .find(|path| base::temporary::is_temporary(path.file_name().unwrap().to_str().unwrap()));
        assert_eq!(litter, None, "{name}: half done and left\n{said:?}");
    }
    let new = after[0]
        .keys()
        .filter(|path| !before[0].contains_key(*path) && !path.ends_with("sealed.json"))
        .count();
    let text = format!("{}{}", said.stdout, said.stderr);
    assert!(!text.contains("panicked"), "{name}: {text}");
    // The talk goes on after a file that cannot be saved.
    let is_refused = !said.status.success() || writer.name == "chat /save" && !text.contains("messages in");
    if is_refused {
        assert!(text.contains("hint: "), "{name}: {text}");
        // A run that stops is gone on with; of everything else nothing is left, not even a folder.
        let is_run = writer.makes_folder && !["import --out", "eval --out"].contains(&writer.name);
        assert!(is_run || twice || new == 0, "{name}: {new} new files or folders\n{text}");
        "refused".into()
    } else if hostile == Hostile::Device {
        let kind = fs::symlink_metadata(at("t/out")).unwrap().file_type();
        assert!(kind.is_char_device() && new == 0, "{name}: {text}");
        "written to".into()
    } else {
        assert!(new > 0, "{name}: nothing was written\n{text}");
        "written".into()
    }
}

#[test]
fn hostile_targets_lose_nothing() {
    let scene = Scene::new();
    sources(&scene);
    let mut table = format!("{:<24}", "");
    HOSTILE.iter().for_each(|hostile| table += &format!(" {:<13}", format!("{hostile:?}")));
    for writer in &WRITERS {
        table += &format!("\n{:<24}", writer.name);
        for hostile in HOSTILE {
            let ended = hostile_case(&scene, writer, hostile);
            table += &format!(" {ended:<13}");
            let must_refuse = match hostile {
                Hostile::ForeignFolder | Hostile::Link | Hostile::WrongKind | Hostile::FullDisk => true,
                Hostile::ForeignFile | Hostile::ReadOnly => true,
                // Scores are added to what a folder holds.
                Hostile::SourceInside => writer.name != "eval --out",
                Hostile::Device | Hostile::MissingParent | Hostile::SamePathTwice => false,
            };
            assert!(!must_refuse || ended == "refused", "{} {hostile:?}: {ended}\n{table}", writer.name);
        }
    }
    eprintln!("{table}");
}
