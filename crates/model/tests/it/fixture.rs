//! A file of `fixtures/`: a small model, what PyTorch computed with it, and how to compare.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use model::{Gpt, ModelConfig, ParamSpec, Tokens};
use safetensors::{Dtype, SafeTensors};
use tensor::Tensor;

/// What wrote the files, and the version of its format that these tests read.
const GENERATOR: &str = "tools/reference/gpt_tiny.py";
const FORMAT_VERSION: &str = "1";

/// The two models: tied head with QK-norm, untied head without.
pub(crate) const FILES: [&str; 2] = ["gpt_tiny.safetensors", "gpt_tiny_untied.safetensors"];

pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) config: ModelConfig,
    metadata: HashMap<String, String>,
    reals: BTreeMap<String, Tensor>,
    integers: BTreeMap<String, Vec<u32>>,
}

impl Fixture {
    /// A file of `fixtures/`.
    #[track_caller]
    pub(crate) fn open(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name);
        Self::read(name, std::fs::read(path).map_err(|error| error.to_string()))
            .unwrap_or_else(|message| panic!("{message}"))
    }

    /// The content of a file; whatever is wrong with it, the message says how to write it again.
    pub(crate) fn read(name: &str, bytes: Result<Vec<u8>, String>) -> Result<Self, String> {
        let refuse = |expected: &str, found: &str| {
            format!(
                "fixtures/{name}: expected {expected}, found {found}\nhint: write it again with `python {GENERATOR}`"
            )
        };
        let bytes = bytes.map_err(|error| refuse("a file", &error))?;
        let damaged = |error: safetensors::SafeTensorError| refuse("a safetensors file", &error.to_string());
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        for (key, expected) in [("generator", GENERATOR), ("format_version", FORMAT_VERSION)] {
            let found = metadata.get(key).map_or("none", String::as_str);
            if found != expected {
                return Err(refuse(&format!("{key} {expected}"), found));
            }
        }
        let text = metadata.get("config").map_or("none", String::as_str);
        let config =
            serde_json::from_str(text).map_err(|error| refuse("a model's config", &error.to_string()))?;
        let (mut reals, mut integers) = (BTreeMap::new(), BTreeMap::new());
        for (name, view) in SafeTensors::deserialize(&bytes).map_err(damaged)?.iter() {
            let words = view.data().chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            match view.dtype() {
                Dtype::F32 => {
                    let values = words.map(f32::from_bits).collect();
                    drop(reals.insert(name.to_owned(), Tensor::from_f32(view.shape(), values)));
                }
                // Ids, starts and lengths: never negative.
                Dtype::I32 => drop(integers.insert(name.to_owned(), words.collect())),
                other => return Err(refuse(&format!("F32 or I32 in `{name}`"), &format!("{other:?}"))),
            }
        }
        Ok(Self { name: name.to_owned(), config, metadata, reals, integers })
    }

    #[track_caller]
    pub(crate) fn tensor(&self, name: &str) -> &Tensor {
        self.reals.get(name).unwrap_or_else(|| self.lacks(name))
    }

    #[track_caller]
    pub(crate) fn integers(&self, name: &str) -> &[u32] {
        self.integers.get(name).unwrap_or_else(|| self.lacks(name))
    }

    /// A JSON object of the metadata.
    #[track_caller]
    pub(crate) fn json(&self, key: &str) -> serde_json::Value {
        let text = self.metadata.get(key).unwrap_or_else(|| self.lacks(key));
        serde_json::from_str(text).expect("the script writes JSON")
    }

    #[track_caller]
    fn lacks<T>(&self, name: &str) -> T {
        panic!("fixtures/{} lacks `{name}`\nhint: write it again with `python {GENERATOR}`", self.name)
    }

    /// The model before any step.
    #[track_caller]
    pub(crate) fn gpt(&self) -> Gpt {
        let param = |spec: ParamSpec| self.tensor(&format!("param.{}", spec.name)).clone();
        Gpt::from_params(self.config.clone(), self.config.params().map(param))
    }

    /// `ids` packed as the file says.
    pub(crate) fn packed(&self, ids: &[u32]) -> Tokens {
        Tokens::packed(ids.to_vec(), self.integers("segments").chunks_exact(2).map(|s| s[1] as usize))
    }
}

/// Both agree within `bound`; with `--nocapture` the worst |Δ| is shown.
#[track_caller]
pub(crate) fn check_close(what: &str, got: &[f32], want: &[f32], bound: f32) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    let mut worst = 0.0;
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let difference = (got - want).abs();
        assert!(
            difference <= bound,
            "{what}[{i}]: got {got}, PyTorch {want}, |Δ| {difference:.1e}, bound {bound:.1e}"
        );
        worst = difference.max(worst);
    }
    println!("{what}: worst |Δ| {worst:.1e}, bound {bound:.1e}");
}
