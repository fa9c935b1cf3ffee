use std::fs;

use super::*;
use crate::{Gpt, ModelConfig, checkpoint, config::tests::tiny};

/// A file in the making: the test's own writer, of version 3.
struct Draft {
    keys: Vec<(String, Vec<u8>)>,
    tensors: Vec<Stored>,
}

/// Name, shape with the innermost axis first, kind, offset, data.
type Stored = (String, Vec<u64>, u32, u64, Vec<u8>);

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

impl Draft {
    fn key(&mut self, name: &str, kind: u32, value: impl AsRef<[u8]>) {
        self.keys.push((name.to_owned(), [&kind.to_le_bytes(), value.as_ref()].concat()));
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = [&b"GGUF"[..], &3u32.to_le_bytes()].concat();
        head.extend((self.tensors.len() as u64).to_le_bytes());
        head.extend((self.keys.len() as u64).to_le_bytes());
        for (name, value) in &self.keys {
            head.extend(string(name));
            head.extend(value);
        }
        for (name, shape, kind, offset, _) in &self.tensors {
            head.extend(string(name));
            head.extend((shape.len() as u32).to_le_bytes());
            shape.iter().for_each(|dim| head.extend(dim.to_le_bytes()));
            head.extend(kind.to_le_bytes());
            head.extend(offset.to_le_bytes());
        }
        let start = head.len().next_multiple_of(32);
        for (_, _, _, offset, data) in &self.tensors {
            let at = start + *offset as usize;
            if head.len() < at + data.len() {
                head.resize(at + data.len(), 0);
            }
            head[at..][..data.len()].copy_from_slice(data);
        }
        head
    }
}

/// As llama.cpp's converter would write this model.
fn draft(gpt: &Gpt) -> Draft {
    let config = gpt.config();
    let mut draft = Draft { keys: Vec::new(), tensors: Vec::new() };
    let architecture = match (config.qk_norm, config.qkv_bias) {
        (true, _) => "qwen3",
        (_, true) => "qwen2",
        _ => "llama",
    };
    draft.key("general.architecture", 8, string(architecture));
    for (name, value) in [
        ("context_length", config.max_seq_len),
        ("embedding_length", config.d_model),
        ("block_count", config.n_layers),
        ("feed_forward_length", config.d_ff),
        ("attention.head_count", config.n_heads),
        ("attention.head_count_kv", config.n_kv_heads),
        ("attention.key_length", config.d_head),
        ("attention.value_length", config.d_head),
        ("rope.dimension_count", config.d_head),
    ] {
        draft.key(&format!("{architecture}.{name}"), 4, (value as u32).to_le_bytes());
    }
    let real = |x: f64| (x as f32).to_le_bytes();
    draft.key(&format!("{architecture}.rope.freq_base"), 6, real(config.rope_theta));
    draft.key(&format!("{architecture}.attention.layer_norm_rms_epsilon"), 6, real(config.norm_eps));
    let mut offset = 0;
    for (spec, param) in config.params().iter().zip(gpt.params()) {
        let width = param.last_dim();
        let mut rows: Vec<&[f32]> = param.f32().chunks_exact(width).collect();
        let n_heads = match () {
            () if architecture != "llama" => None,
            () if spec.name.ends_with("q_proj.weight") => Some(config.n_heads),
            () if spec.name.ends_with("k_proj.weight") => Some(config.n_kv_heads),
            () => None,
        };
        // reshape(H, 2, D/2).swapaxes(1, 2) of the converter's `permute`.
        if let Some(n_heads) = n_heads {
            let d = rows.len() / n_heads;
            rows = (0..rows.len()).map(|row| rows[row / d * d + row % d % 2 * d / 2 + row % d / 2]).collect();
        }
        let data: Vec<u8> = rows.concat().iter().flat_map(|x| x.to_le_bytes()).collect();
        let shape = spec.shape.iter().rev().map(|dim| *dim as u64).collect();
        let len = data.len() as u64;
        draft.tensors.push((layout::theirs(&spec.name), shape, 0, offset, data));
        offset = (offset + len).next_multiple_of(32);
    }
    draft
}

fn families() -> [Gpt; 3] {
    let plain = ModelConfig { qk_norm: false, ..tiny() };
    [
        ModelConfig { d_head: 4, tie_embeddings: true, ..plain.clone() },
        ModelConfig { qkv_bias: true, ..plain },
        tiny(),
    ]
    .map(|config| {
        let mut gpt = Gpt::new(config, 3);
        // Fresh gains and biases are constant, which would hide an exchange.
        for (i, param) in gpt.params_mut().iter_mut().enumerate() {
            param.f32_mut().iter_mut().enumerate().for_each(|(j, x)| *x += (i * 7 + j) as f32 / 1024.0);
        }
        gpt
    })
}

fn open(bytes: &[u8]) -> Result<GgufFile, GgufError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, bytes).unwrap();
    GgufFile::open(&path)
}

#[test]
fn every_family_is_read_bit_for_bit() {
    for gpt in families() {
        let file = open(&draft(&gpt).bytes()).unwrap();
        let config = file.config().unwrap();
        assert_eq!(config, *gpt.config());
        for (spec, param) in config.params().iter().zip(gpt.params()) {
            assert_eq!(file.param(&config, spec), param.f32(), "{}", spec.name);
        }
    }
}

#[test]
fn an_imported_file_is_an_ordinary_checkpoint() {
    let [gpt, ..] = families();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("imported");
    let ids = checkpoint::SpecialIds { bos: Some(1), eos: vec![0, 2], pad: None };
    let import = |file: &GgufFile| {
        let config = file.config().unwrap();
        checkpoint::publish(&dir, |tmp| checkpoint::import_gguf(file, &config, tmp, &ids, "abc"))
    };
    import(&open(&draft(&gpt).bytes()).unwrap()).unwrap();
    let read = checkpoint::read_model(&dir).unwrap();
    assert_eq!(read.config(), gpt.config());
    for (read, param) in read.params().iter().zip(gpt.params()) {
        assert_eq!(read.f32(), param.f32());
    }
    let generation = fs::read(dir.join("generation_config.json")).unwrap();
    let generation: serde_json::Value = serde_json::from_slice(&generation).unwrap();
    assert_eq!(generation["eos_token_id"], serde_json::json!([0, 2]));
    assert_eq!((&generation["bos_token_id"], &generation["pad_token_id"]), (&1.into(), &0.into()));

    // And so it is as a folder of Hugging Face, byte for byte.
    let again = folder.path().join("again");
    checkpoint::publish(&again, |tmp| checkpoint::import_folder(&dir, tmp, &ids, "abc").map(drop)).unwrap();
    for name in ["model.safetensors", "config.json", "generation_config.json"] {
        assert_eq!(fs::read(dir.join(name)).unwrap(), fs::read(again.join(name)).unwrap(), "{name}");
    }

    let mut bad = draft(&gpt);
    bad.tensors[3].4[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let message = import(&open(&bad.bytes()).unwrap()).unwrap_err().to_string();
    assert!(message.contains("holds NaN at"), "{message}");
}

/// Blocks of `(37·i + 11) mod 256` with small scales, and what `gguf.quants.dequantize` (gguf 0.17 for Python) makes of
/// them: the first, second, middle and last number in bits, and the sum.
#[test]
fn blocks_are_dequantised_as_ggml_does() {
    let golden: [(Kind, &[usize], [u32; 4], f64); 8] = [
        (Kind::Q4_0, &[0], [0xbd172000, 0x3cc98000, 0xbd172000, 0x00000000], -0.258270263671875),
        (Kind::Q4_1, &[0, 2], [0x3e561800, 0x3d972000, 0x3e0a8800, 0x3e305000], 3.800262451171875),
        (Kind::Q5_0, &[0], [0x3de2b000, 0xbcc98000, 0x3e305000, 0x3c498000], 0.184478759765625),
        (Kind::Q5_1, &[0, 2], [0x3e843c00, 0x3ea3b800, 0x3e843c00, 0x3db05000], 6.997894287109375),
        (Kind::Q8_0, &[0], [0x3f85cf00, 0x3fc00e00, 0xbf8f4100, 0xbf172000], -2.16455078125),
        (Kind::Q4_K, &[0, 2], [0x403c1e80, 0xbfa09200, 0x409f63c0, 0xbd498000], 513.687255859375),
        (Kind::Q5_K, &[0, 2], [0x4110a1a0, 0xbfa09200, 0x414a7be0, 0x3f305000], 1273.444580078125),
        (Kind::Q6_K, &[208], [0xc18ccb50, 0x41a6de00, 0xc08a2340, 0xbf3ce800], 56.7210693359375),
    ];
    for (kind, scales, bits, sum) in golden {
        let mut block: Vec<u8> = (0..kind.block_bytes()).map(|i| (37 * i + 11) as u8).collect();
        for (at, scale) in scales.iter().zip([0.0123, 0.0246]) {
            block[*at..at + 2].copy_from_slice(&tensor::f16::from_f64(scale).to_le_bytes());
        }
        let n = kind.block_len();
        let mut values = vec![0.0; n];
        kind.dequantize(&block, &mut values);
        assert_eq!([0, 1, n / 2, n - 1].map(|i| values[i].to_bits()), bits, "{kind:?}");
        assert_eq!(values.iter().map(|x| f64::from(*x)).sum::<f64>(), sum, "{kind:?}");
    }
    let mut values = [0.0; 2];
    Kind::F16.dequantize(&[0x00, 0x3c, 0x00, 0xc0], &mut values);
    assert_eq!(values, [1.0, -2.0]);
    Kind::BF16.dequantize(&[0x80, 0x3f, 0x00, 0xc0], &mut values);
    assert_eq!(values, [1.0, -2.0]);
}

fn saved(folder: &std::path::Path, gpt: &Gpt) -> std::path::PathBuf {
    let dir = folder.join("checkpoint");
    let ids = checkpoint::SpecialIds { bos: None, eos: vec![0], pad: None };
    checkpoint::publish(&dir, |tmp| checkpoint::write_model(tmp, gpt, &ids, "abc")).unwrap();
    dir
}

/// f32 out and in again: the same weights to the bit, and the same file when it goes out once more.
#[test]
fn exported_files_come_back_bit_for_bit() {
    let scaling = crate::RopeScaling {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_seq_len: 8192,
    };
    let [llama, qwen2, qwen3] = families();
    let llama3 = ModelConfig { rope_scaling: Some(scaling), d_head: 64, ..llama.config().clone() };
    for gpt in [llama, qwen2, qwen3, Gpt::new(llama3, 5)] {
        let folder = tempfile::tempdir().unwrap();
        let (first, again) = (folder.path().join("a.gguf"), folder.path().join("b.gguf"));
        let more = vec![
            ("text".to_owned(), Value::String("é".into())),
            ("none".into(), Value::Array(Vec::new())),
            ("list".into(), Value::Array(vec![Value::I32(-1), Value::I32(7)])),
        ];
        let written = export(&saved(folder.path(), &gpt), &first, Kind::F32, more.clone()).unwrap();
        assert!(written.stored_as_f16.is_empty());
        assert_eq!(written.n_bytes, fs::metadata(&first).unwrap().len());
        let file = GgufFile::open(&first).unwrap();
        let config = file.config().unwrap();
        assert_eq!(config, *gpt.config());
        assert!(more.iter().all(|(key, value)| file.get(key) == Some(value)));
        for (spec, param) in config.params().iter().zip(gpt.params()) {
            assert_eq!(file.param(&config, spec), param.f32(), "{}", spec.name);
        }

        let dir = folder.path().join("imported");
        let ids = checkpoint::SpecialIds { bos: None, eos: vec![0], pad: None };
        checkpoint::publish(&dir, |tmp| checkpoint::import_gguf(&file, &config, tmp, &ids, "abc")).unwrap();
        export(&dir, &again, Kind::F32, more).unwrap();
        assert_eq!(fs::read(first).unwrap(), fs::read(again).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "nothing unfinished is left");
    }
}

/// Each kind rounds as coarsely as it must and no more; rows that are no whole blocks stay f16.
#[test]
fn every_written_kind_is_read_back_close() {
    let config = ModelConfig { qk_norm: false, d_model: 96, d_ff: 65, ..tiny() };
    let gpt = Gpt::new(config.clone(), 3);
    for (kind, bound) in [
        (Kind::F32, 0.0),
        (Kind::F16, 1.0 / 2048.0),
        (Kind::BF16, 1.0 / 256.0),
        (Kind::Q8_0, 1.0 / 254.0 + 1.0 / 2048.0),
        (Kind::Q4_0, 1.0 / 8.0),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        let unfit = export(&saved(folder.path(), &gpt), &path, kind, Vec::new()).unwrap().stored_as_f16;
        let expected = config
            .params()
            .into_iter()
            .filter(|spec| spec.shape.len() == 2 && !spec.shape[1].is_multiple_of(kind.block_len()));
        assert_eq!(unfit, expected.map(|spec| spec.name).collect::<Vec<_>>());
        let file = GgufFile::open(&path).unwrap();
        for (spec, param) in config.params().iter().zip(gpt.params()) {
            let read = file.param(&config, spec);
            let largest = param.f32().iter().fold(0.0f32, |max, x| max.max(x.abs()));
            let error = read.iter().zip(param.f32()).fold(0.0f32, |max, (a, b)| max.max((a - b).abs()));
            assert!(error <= bound * largest, "{} in {kind:?}: {error} of {largest}", spec.name);
            let stored = file.tensor(&layout::theirs(&spec.name)).unwrap().kind;
            assert_eq!(stored == Kind::F32, spec.shape.len() == 1 || kind == Kind::F32, "{}", spec.name);
        }
    }
}

const Q8_0: &str = concat!(
    "dd2081a9d1f9224a7284acd5fd254d7588b0d8002850788bb3db032b547c8eb6de07",
    "47212b50759abfe4092e53789dc2e70c31567ba0c5ea0f34597ea3c8ed12375c81a6"
);
const Q4_0: &str = concat!("d3305083b5d8fa1d3f6083b5d8fa1d3f60833d31fb2d4f7294b6e9fb2d4f7294b6e9", "0b2d");

/// The bytes that `gguf.quants.quantize` (gguf 0.17 for Python) makes of `(37·i + 11) mod 256 − 128` over 97.
#[test]
fn blocks_are_quantised_as_ggml_does() {
    let values: Vec<f32> = (0..64).map(|i| ((37 * i + 11) % 256 - 128) as f32 / 97.0).collect();
    for (kind, golden) in [(Kind::Q8_0, Q8_0), (Kind::Q4_0, Q4_0)] {
        let mut bytes = Vec::new();
        kind.quantize(&values, &mut bytes).unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden, "{kind:?}");
    }
    assert_eq!(Kind::F16.quantize(&[1.0, 70_000.0], &mut Vec::new()), Err(70_000.0));
    let mut zeros = Vec::new();
    Kind::Q4_0.quantize(&[0.0; 32], &mut zeros).unwrap();
    let mut values = [1.0; 32];
    Kind::Q4_0.dequantize(&zeros, &mut values);
    assert_eq!(values, [0.0; 32]);
}

#[test]
fn what_a_kind_cannot_hold_is_refused_and_leaves_nothing() {
    let [mut gpt, ..] = families();
    gpt.params_mut().embedding.f32_mut()[7] = 1e6;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    let dir = saved(folder.path(), &gpt);
    let message = export(&dir, &path, Kind::F16, Vec::new()).unwrap_err().to_string();
    assert!(
        message.contains("a weight of `token_embd.weight` is 1000000, expected numbers that F16 holds"),
        "{message}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    export(&dir, &path, Kind::BF16, Vec::new()).unwrap();
    let message = export(&dir, &path.join("m.gguf"), Kind::F32, Vec::new()).unwrap_err().to_string();
    assert!(message.contains("cannot write"), "{message}");
}

#[track_caller]
fn refused(change: impl Fn(&mut Draft), expected: &str) {
    let mut changed = draft(&families()[0]);
    change(&mut changed);
    let result = open(&changed.bytes()).and_then(|file| file.config());
    let message = result.unwrap_err().to_string();
    assert!(message.contains(expected) && message.contains("\nhint: "), "{message}");
}

#[test]
fn hostile_claims_are_refused_in_words() {
    refused(|d| d.tensors[1].1 = vec![1 << 60], "to fit into the file");
    refused(|d| d.tensors[1].1 = vec![1 << 33, 1 << 33, 1 << 33], "to fit into the file");
    refused(|d| d.tensors[1].1 = vec![24, 1 << 40], "to fit into the file");
    refused(|d| d.tensors[1].2 = 10, "is Q2_K, expected F32 F16 BF16");
    refused(|d| d.tensors[1].2 = 8, "in rows of whole blocks of 32");
    refused(|d| d.tensors[1].3 += 1, "at a multiple of 32");
    refused(|d| d.tensors[2].3 = 0, "that do not overlap");
    refused(|d| d.tensors[2].0 = d.tensors[1].0.clone(), "every tensor once");
    refused(|d| drop(d.tensors.remove(4)), "expected a tensor `blk.0.attn_v.weight`, found none");
    refused(
        |d| d.tensors[4].0 = "blk.0.ffn_gate_inp.weight".into(),
        "expected a tensor `blk.0.attn_v.weight`",
    );
    refused(|d| d.key("general.architecture", 4, [0; 4]), "every key once");
    refused(|d| d.key("llama.expert_count", 4, 8u32.to_le_bytes()), "llama.expert_count is 8");
    refused(|d| d.key("llama.rope.scaling.type", 8, string("yarn")), "is yarn, expected none");
    refused(|d| d.key("llama.rope.scaling.factor", 6, 4f32.to_le_bytes()), "llama.rope.scaling.factor is 4");
    refused(|d| d.key("llama.rope.scale_linear", 6, 2f32.to_le_bytes()), "llama.rope.scale_linear is 2");
    refused(|d| d.key("llama.attention.causal", 7, [0]), "llama.attention.causal is false");
    refused(|d| d.key("llama.pooling_type", 4, 1u32.to_le_bytes()), "llama.pooling_type is 1");
    refused(
        |d| d.key("llama.tensor_data_layout", 8, string("Meta AI original pth")),
        "llama.tensor_data_layout is",
    );
    refused(
        |d| d.key("llama.attention.temperature_length", 4, 9u32.to_le_bytes()),
        "is 9, expected models without it",
    );
    refused(|d| d.key("general.alignment", 4, 3u32.to_le_bytes()), "a power of two");
    refused(
        |d| d.keys[0].1 = [&8u32.to_le_bytes()[..], &string("mamba")].concat(),
        "is mamba, expected llama",
    );
    refused(
        |d| d.key("list", 9, [&4u32.to_le_bytes()[..], &(1u64 << 60).to_le_bytes()].concat()),
        "a count of 1152921504606846976",
    );
    let nested: Vec<u8> =
        (0..9).flat_map(|_| [&9u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat()).collect();
    refused(|d| d.key("nested", 9, &nested), "lists at most 4 deep");
    let sound = draft(&families()[0]).bytes();
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = sound.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        open(&changed).unwrap_err().to_string()
    };
    assert!(with(8, &(1u64 << 60).to_le_bytes()).contains("a count of 1152921504606846976"));
    assert!(with(4, &3u32.to_be_bytes()).contains("the byte order is big-endian"));
    assert!(with(4, &1u32.to_le_bytes()).contains("the version is 1, expected 2 or 3"));
    assert!(with(0, b"PK").contains("the letters GGUF at the beginning"));
}

/// What says nothing is no reason to refuse.
#[test]
fn keys_that_change_nothing_are_passed_over() {
    let mut idle = draft(&families()[0]);
    idle.key("llama.rope.scaling.type", 8, string("linear"));
    idle.key("llama.rope.scaling.factor", 6, 1f32.to_le_bytes());
    idle.key("llama.attention.causal", 7, [1]);
    idle.key("llama.attention.sliding_window", 4, 0u32.to_le_bytes());
    idle.key("qwen2.rope.scaling.type", 8, string("yarn"));
    assert_eq!(open(&idle.bytes()).unwrap().config().unwrap(), *families()[0].config());
}

/// Each of a thousand damages is an error or a readable file, never a panic; what opens can be read.
#[test]
fn damaged_files_never_panic() {
    let sound = draft(&families()[0]).bytes();
    let head_len = sound.len() - 4 * families()[0].config().n_params();
    let mut rng = base::Rng::new(7, 1);
    let mut below = |n: usize| (rng.uniform() * n as f64) as usize;
    let mut n_refused = 0;
    for i in 0..1000 {
        let mut bytes = sound.clone();
        match i % 4 {
            0 => bytes.truncate(below(sound.len())),
            1 => bytes.truncate(below(head_len)),
            2 => (0..1 + below(4)).for_each(|_| bytes[below(head_len)] ^= 1 << below(8)),
            _ => {
                let (from, to) = (below(head_len), below(head_len));
                let piece = bytes[from..(from + below(40)).min(head_len)].to_vec();
                bytes.splice(to..(to + below(40)).min(head_len), piece);
            }
        }
        let result = open(&bytes).and_then(|file| {
            let config = file.config()?;
            config.params().iter().for_each(|spec| drop(file.param(&config, spec)));
            Ok(())
        });
        n_refused += usize::from(result.is_err());
    }
    assert!(n_refused > 600, "{n_refused} of 1000 refused");
}
