//! Any bytes as a safetensors file: refused, or read to its last tensor.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, bytes).expect("room for a file");
    let _ = model::checkpoint::read_tensors(&path);
});
