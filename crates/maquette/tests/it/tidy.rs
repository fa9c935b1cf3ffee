//! Rules of the repository that the compiler does not check.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::scene::{Said, maquette, repository};

/// Which crates of ours a crate may use.
const ARROWS: [(&str, &[&str]); 10] = [
    ("base", &[]),
    ("tensor", &["base"]),
    ("data", &["base"]),
    ("model", &["base", "tensor"]),
    ("train", &["base", "tensor", "data", "model"]),
    ("eval", &["base", "tensor", "data", "model"]),
    ("forecast", &["base"]),
    ("align", &["base", "tensor", "data", "model", "train", "eval"]),
    ("serve", &["base", "tensor", "data", "model"]),
    ("maquette", &["base", "tensor", "data", "model", "train", "align", "eval", "forecast", "serve"]),
];

/// Larger files belong under `data/` or nowhere.
const MAX_FILE_BYTES: u64 = 1_000_000;

#[test]
fn crates_depend_in_the_direction_of_the_data() {
    let names: Vec<String> = entries("crates").iter().map(|path| name(path)).collect();
    let mut known: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    known.sort_unstable();
    assert_eq!(names, known, "a new crate needs its arrows in this test");
    for (krate, allowed) in ARROWS {
        let manifest: toml::Table = toml::from_str(&read(&format!("crates/{krate}/Cargo.toml"))).unwrap();
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let used =
                manifest.get(section).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys);
            for used in used.filter(|used| known.contains(&used.as_str())) {
                assert!(
                    allowed.contains(&used.as_str()),
                    "`{krate}` must not depend on `{used}` ({section})"
                );
            }
        }
    }
}

#[test]
fn unsafe_code_lives_where_it_may_and_says_why_it_is_sound() {
    /// The one file outside of `tensor`.
    const MAPPED_FILE: &str = "crates/base/src/mapped_file.rs";
    for (krate, _) in ARROWS {
        if !["base", "tensor"].contains(&krate) {
            let root = ["lib.rs", "main.rs"]
                .map(|root| repository().join("crates").join(krate).join("src").join(root));
            let root = root.iter().find(|root| root.exists()).unwrap();
            let forbids = fs::read_to_string(root).unwrap().contains("#![forbid(unsafe_code)]");
            assert!(forbids, "{} must say #![forbid(unsafe_code)]", root.display());
        }
    }
    let mut n_found = 0;
    for path in [sources("crates/tensor/src"), sources("crates/base/src")].concat() {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !(code.contains("unsafe {") || code.contains("unsafe impl")) {
                continue;
            }
            n_found += 1;
            let is_allowed =
                path.starts_with(repository().join("crates/tensor")) || path.ends_with(MAPPED_FILE);
            assert!(is_allowed, "{}: of `base`, {MAPPED_FILE} alone may be unsafe", path.display());
            // Upwards over the statement that it stands in, to the comment above that.
            let above = lines[..i].iter().rev().take(4).take_while(|line| !line.trim().is_empty());
            let is_explained =
                line.contains("SAFETY:") || above.into_iter().any(|line| line.contains("SAFETY:"));
            assert!(is_explained, "{}:{}: `unsafe` without `SAFETY:` above it", path.display(), i + 1);
        }
    }
    assert!(n_found > 10, "found only {n_found} uses of `unsafe`: is this test looking in the right place?");
}

#[test]
fn every_op_has_its_kernels() {
    let stems = |folder: &str| -> BTreeSet<String> {
        let files = entries(folder).into_iter().filter(|path| path.is_file());
        files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
    };
    let (reference, cpu) =
        (stems("crates/tensor/src/kernel/reference"), stems("crates/tensor/src/kernel/cpu"));
    // Ops made of several kernels, so that what lies between them is computed again instead of kept.
    const COMPOSED: [&str; 2] = ["gated_linear", "norm_linear"];
    for op in stems("crates/tensor/src/op").into_iter().filter(|op| !COMPOSED.contains(&op.as_str())) {
        assert!(reference.contains(&op), "op/{op}.rs has no namesake in kernel/reference/");
        assert!(cpu.contains(&op), "op/{op}.rs has no namesake in kernel/cpu/");
    }
    for kernel in reference {
        assert!(cpu.contains(&kernel), "kernel/reference/{kernel}.rs has no namesake in kernel/cpu/");
    }
}

#[test]
fn every_fixture_names_the_script_that_wrote_it() {
    let fixtures =
        entries("fixtures").into_iter().filter(|path| path.extension().is_some_and(|e| e == "safetensors"));
    let mut n_found = 0;
    for path in fixtures {
        n_found += 1;
        let bytes = fs::read(&path).unwrap();
        let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + len]).unwrap();
        let generator = header["__metadata__"]["generator"].as_str();
        let generator = generator.unwrap_or_else(|| panic!("{} names no generator", path.display()));
        assert!(repository().join(generator).is_file(), "{}: there is no `{generator}`", path.display());
        assert!(
            read("fixtures/README.md").contains(&name(&path)),
            "fixtures/README.md leaves out {}",
            path.display()
        );
    }
    assert!(n_found > 0);
}

#[test]
fn the_guides_name_paths_that_exist() {
    for guide in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = read(guide);
        let mut n_found = 0;
        let paths = text.split('`').skip(1).step_by(2).filter_map(as_path);
        for path in paths.filter(|path| !path.ends_with("/NAME.rs")) {
            n_found += 1;
            assert!(exists(path), "{guide}: there is no `{path}`");
        }
        assert!(n_found > 10, "found only {n_found} paths in {guide}");
    }
}

/// The path in a piece of code, if it is one: with a slash or a known ending, and nothing that a path has not.
fn as_path(quoted: &str) -> Option<&str> {
    const OUTPUTS: [&str; 4] = ["runs/", "target/", "state/", "recipe.toml"]; // of a run or a build
    let is_plain = quoted.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let is_file = [".rs", ".toml", ".md", ".py"].iter().any(|ending| quoted.ends_with(ending));
    let is_output = OUTPUTS.iter().any(|output| quoted.starts_with(output));
    (is_plain && !is_output && (quoted.contains('/') || is_file)).then_some(quoted)
}

/// From the root; a bare name of a source file may stand for it wherever it lies.
fn exists(path: &str) -> bool {
    let is_source = || !path.contains('/') && sources("crates").iter().any(|source| name(source) == path);
    repository().join(path).exists() || is_source()
}

#[test]
fn the_readme_shows_a_tree_that_exists() {
    let text = read("README.md");
    let mut n_found = 0;
    let fenced = text.split("```").skip(1).step_by(2);
    for line in fenced.flat_map(|block| block.lines().skip(1)) {
        // `path   what it is`: at the beginning of the line, several spaces, then prose.
        let Some((path, rest)) = line.split_once("  ") else { continue };
        let is_top = !path.starts_with(' ') && as_path(path).is_some();
        if is_top && !rest.trim().is_empty() {
            n_found += 1;
            assert!(repository().join(path).exists(), "README.md: there is no `{path}`");
        }
    }
    assert!(n_found > 5, "found only {n_found} paths in the tree of README.md");
}

/// Parts of the binary, and which others each must not name: what two of them share is a file of a run, and lives in `run_dir`.
const SEPARATE: [(&str, &[&str]); 3] = [
    ("run_dir", &["commands", "pipeline", "report"]),
    ("pipeline", &["commands", "report"]),
    ("report", &["commands", "pipeline"]),
];

#[test]
fn stages_and_report_meet_in_the_files_of_a_run_alone() {
    for (part, others) in SEPARATE {
        let files = sources(&format!("crates/maquette/src/{part}"));
        assert!(files.len() > 5, "found only {} files in {part}/", files.len());
        for path in files {
            let text = fs::read_to_string(&path).unwrap();
            let modules = named_modules(&text);
            let foreign: Vec<_> = others.iter().filter(|other| modules.contains(**other)).collect();
            assert!(
                foreign.is_empty(),
                "{} names {foreign:?}: what both need belongs in run_dir/",
                path.display()
            );
        }
    }
    let named =
        named_modules("use crate::{\n    a, // b::c\n    d::{self, E},\n};\nlet x = crate::f::g(super::h);");
    assert_eq!(named, ["a", "d", "f", "h"].map(str::to_owned).into());
}

/// The modules above it that a file names, in `crate::a`, `super::a` and `use crate::{a, b::c}`.
fn named_modules(text: &str) -> BTreeSet<String> {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code: String = code.join("\n");
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut named = BTreeSet::new();
    for after in code.replace("super::", "crate::").split("crate::").skip(1) {
        let Some(list) = after.strip_prefix('{') else {
            named.insert(name(after));
            continue;
        };
        let (mut depth, mut is_start) = (0, true);
        for (i, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => is_start = true,
                c if is_start && !c.is_whitespace() => {
                    named.insert(name(&list[i..]));
                    is_start = false;
                }
                _ => {}
            }
        }
    }
    named
}

/// Whoever writes a file in place, or under a temporary name of his own, may replace one of the user's; and what does not go
/// through `base::disk` is never made to fail by the tests.
#[test]
fn files_are_written_through_base() {
    const CALLS: [&str; 11] = [
        "fs::rename(",
        "fs::write(",
        "fs::copy(",
        "fs::create_dir",
        "fs::remove_",
        "fs::hard_link(",
        "File::create(",
        "File::create_new(",
        "OpenOptions",
        ".set_len(",
        "serialize_to_file(",
    ];
    let mut n_seen = 0;
    for path in
        sources("crates").into_iter().filter(|path| path.components().any(|part| part.as_os_str() == "src"))
    {
        let (name, text) = (path.to_str().unwrap(), fs::read_to_string(&path).unwrap());
        let is_test = ["/tests.rs", "/testing.rs"].iter().any(|ending| name.ends_with(ending));
        // A program of a model gets file systems in memory, in a namespace that ends with it.
        let is_sandbox = name.contains("/crates/eval/src/sandbox/");
        if is_test || is_sandbox || name.contains("/crates/base/") {
            continue;
        }
        n_seen += 1;
        let code = text.split("#[cfg(test)]\nmod").next().unwrap_or_default();
        let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        // `AtomicFile::create(` is what to write instead.
        let code = code.join("\n").replace("AtomicFile::create(", "");
        for call in CALLS {
            assert!(
                !code.contains(call),
                "{name}: `{call}` where `base::AtomicFile` or `base::disk` belongs"
            );
        }
    }
    assert!(n_seen > 100, "found only {n_seen} files: is this test looking in the right place?");
}

/// Words that this project once made up for what the field has a name for, and must not come back.
#[test]
fn words_are_those_of_the_field() {
    const WORDS: [&str; 20] = [
        "kin",
        "kinship",
        "foretell",
        "foretells",
        "foretold",
        "rehearsal",
        "stillness",
        "nearness",
        "seldomer",
        "pace gap",
        "unsupported drop",
        "belief",
        "beliefs",
        "experience",
        "anew",
        "amid",
        "midst",
        "likeliest",
        "big run",
        "taken for letters",
    ];
    let mut found = Vec::new();
    for path in spoken() {
        let text = fs::read_to_string(&path).unwrap();
        for (i, line) in text.lines().enumerate() {
            let words: Vec<String> = line
                .split(|c: char| !c.is_ascii_alphanumeric())
                .filter(|word| !word.is_empty())
                .map(str::to_ascii_lowercase)
                .collect();
            let line = format!(" {} ", words.join(" "));
            let old = WORDS.iter().filter(|word| line.contains(&format!(" {word} ")));
            found.extend(old.map(|word| format!("{}:{}: {word}", path.display(), i + 1)));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Sources, recipes and documents, but for the log, which says what was, and this file, which has the list.
fn spoken() -> Vec<PathBuf> {
    let mut paths = vec![
        repository().join("README.md"),
        repository().join("ARCHITECTURE.md"),
        repository().join("CONTRIBUTING.md"),
    ];
    for folder in ["docs", "recipes", "recipes/references"] {
        paths.extend(entries(folder).into_iter().filter(|path| path.is_file()));
    }
    for name in entries("crates").iter().map(|path| name(path)) {
        for part in ["src", "tests", "examples", "benches"] {
            if repository().join("crates").join(&name).join(part).is_dir() {
                paths.extend(sources(&format!("crates/{name}/{part}")));
            }
        }
    }
    paths.retain(|path| {
        let kind = path.extension().and_then(|extension| extension.to_str());
        matches!(kind, Some("rs" | "toml" | "md" | "css"))
            && !path.ends_with("docs/log.md")
            && !path.ends_with("it/tidy.rs")
    });
    paths
}

#[test]
fn no_large_file_is_checked_in() {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(repository()).output();
    let Some(listed) = listed.ok().filter(|listed| listed.status.success()) else {
        eprintln!("skipped: this is not a clone, or git is missing");
        return;
    };
    let names = String::from_utf8(listed.stdout).unwrap();
    for name in names.split_terminator('\0').filter(|name| !name.starts_with("data/")) {
        let n_bytes = fs::metadata(repository().join(name)).map_or(0, |meta| meta.len());
        assert!(
            n_bytes <= MAX_FILE_BYTES,
            "`{name}` has {n_bytes} bytes; at most {MAX_FILE_BYTES} outside of data/"
        );
    }
}

#[test]
fn the_reference_of_the_command_line_is_current() {
    let mut page = "# The command line\n\n\
        Written by `UPDATE_DOCS=1 cargo test -p maquette --test it the_reference`, never by hand.\n"
        .to_owned();
    describe(&[], &mut page);
    let path = repository().join("docs/cli.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/cli.md is not what `--help` says\n\
         hint: UPDATE_DOCS=1 cargo test -p maquette --test it the_reference"
    );
}

/// Adds the help of a subcommand, then that of each below it.
fn describe(names: &[&str], page: &mut String) {
    let help = Said::by(maquette().args(names).arg("--help"));
    assert!(help.status.success(), "{names:?}: {}", help.stderr);
    let title = [&["maquette"], names].concat().join(" ");
    let text: Vec<&str> = help.stdout.lines().map(str::trim_end).collect();
    page.push_str(&format!(
        "\n{} `{title}`\n\n```text\n{}\n```\n",
        "#".repeat(names.len().min(2) + 2),
        text.join("\n").trim()
    ));
    let commands =
        text.iter().skip_while(|line| **line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    for line in commands {
        // Longer explanations go on in lines that stand further in.
        let name = line
            .strip_prefix("  ")
            .filter(|line| !line.starts_with(' '))
            .and_then(|line| line.split(' ').next());
        if let Some(name) = name.filter(|name| *name != "help") {
            describe(&[names, &[name]].concat(), page);
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// What lies in a folder of the repository, sorted.
fn entries(folder: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(repository().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// Every Rust file below a folder of the repository.
fn sources(folder: &str) -> Vec<PathBuf> {
    entries(folder)
        .into_iter()
        .flat_map(|path| match path.is_dir() {
            true => sources(path.strip_prefix(repository()).unwrap().to_str().unwrap()),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect()
}
