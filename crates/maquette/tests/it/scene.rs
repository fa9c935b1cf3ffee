//! A folder with a text and a recipe that the binary is run in, so that the paths in its messages are short.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use tempfile::TempDir;

/// A temporary folder with `corpus.txt` and `tiny.toml`; removed at the end.
pub(crate) struct Scene(TempDir);

/// The last checkpoint of [`Scene::trained`].
pub(crate) const CHECKPOINT: &str = "run/pretrain/checkpoints/step-24";

/// Seconds of work: 24 steps of a model of two layers, a checkpoint every 8.
const RECIPE: &str = r#"name = "tiny"
seed = 1

[data]
sources = [{ path = "corpus.txt", licence = "none" }]
validation = { by = "tail", fraction = 0.2 }

[tokenizer]
kind = "bytes"

[model]
n_layers = 2
d_model = 32
n_heads = 2

[train]
steps = 24
batch_rows = 4
micro_batch_rows = 3
seq_len = 32
eval_every_steps = 8
eval_tokens = 256
final_eval_tokens = 512
checkpoint_every_steps = 8

[samples]
prompts = ["Once", ""]
max_tokens = 12
"#;

impl Scene {
    pub(crate) fn new() -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        scene.write("corpus.txt", text(6000).as_bytes());
        scene.write("tiny.toml", RECIPE.as_bytes());
        scene
    }

    /// With a finished run in `run/`.
    pub(crate) fn trained() -> Self {
        let scene = Self::new();
        scene.ok(&["run", "tiny.toml", "--out", "run"]);
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.path(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The binary, to be run in the folder; nobody types anything.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = maquette();
        command.args(args).current_dir(self.0.path());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Said {
        Said::by(&mut self.command(args))
    }

    /// Runs what must succeed.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> Said {
        let said = self.run(args);
        assert!(said.status.success(), "{args:?}: {}\n{}", said.status, said.stderr);
        said
    }

    /// Runs what must fail in good order, and returns the message, with paths relative to the scene.
    #[track_caller]
    pub(crate) fn fails(&self, args: &[&str]) -> String {
        self.run(args).error(1).replace(&format!("{}/", self.0.path().display()), "")
    }

    /// Runs what must fail in good order, with this whole message.
    #[track_caller]
    pub(crate) fn refuses(&self, args: &[&str], message: &str) {
        assert_eq!(self.fails(args), message, "{args:?}");
    }

    /// Every file below a folder with its content; that of a symbolic link is where it leads.
    pub(crate) fn files(&self, folder: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let root = self.path(folder);
        let mut found = BTreeMap::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let entry = entry.unwrap();
                let (path, kind) = (entry.path(), entry.file_type().unwrap());
                let name = path.strip_prefix(&root).unwrap().to_owned();
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_symlink() {
                    found.insert(name, fs::read_link(path).unwrap().into_os_string().into_encoded_bytes());
                } else {
                    found.insert(name, fs::read(path).unwrap());
                }
            }
        }
        found
    }
}

/// The binary with no terminal around it.
pub(crate) fn maquette() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maquette"));
    command.stdin(Stdio::null()).env_remove("COLUMNS").env_remove("RUST_BACKTRACE");
    command
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn by(command: &mut Command) -> Self {
        Self::from(command.stdin(Stdio::null()).output().unwrap())
    }

    /// All of stdout as one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// The message of a failure: from `error: ` on, with one hint at its end, and nothing on stdout.
    #[track_caller]
    pub(crate) fn error(&self, code: i32) -> String {
        let Self { status, stdout, stderr } = self;
        assert_eq!(status.code(), Some(code), "{status}\n{stdout}{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        assert_eq!(stdout, "", "{stderr}");
        let start = stderr.find("error: ").unwrap_or_else(|| panic!("no error in: {stderr}"));
        let message = stderr[start..].trim_end();
        let (_, hint) = message.rsplit_once("\nhint: ").unwrap_or_else(|| panic!("no hint in: {message}"));
        assert!(!hint.is_empty() && !hint.contains('\n'), "more follows the hint: {message}");
        assert_eq!(message.matches("hint: ").count(), 1, "more than one hint: {message}");
        message.to_owned()
    }
}

impl From<std::process::Output> for Said {
    fn from(output: std::process::Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// About `n_bytes` of sentences, the same each time.
pub(crate) fn text(n_bytes: usize) -> String {
    const WORDS: [&str; 16] = [
        "once", "upon", "a", "time", "the", "old", "man", "looked", "at", "sea", "and", "said", "nothing",
        "to", "her", "größe",
    ];
    let mut state = 1u32;
    let mut text = String::new();
    while text.len() < n_bytes {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(WORDS[(state >> 28) as usize]);
        text.push_str(if state.is_multiple_of(9) { ".\n" } else { " " });
    }
    text
}

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
