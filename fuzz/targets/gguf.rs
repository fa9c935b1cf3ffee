//! Any bytes as a GGUF file: refused, or read to its last tensor.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).expect("room for a file");
    let Ok(file) = model::gguf::GgufFile::open(&path) else { return };
    for tensor in file.tensors() {
        file.read(tensor);
    }
    let _ = file.config();
});
