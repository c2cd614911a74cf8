#![no_main]

#[path = "../../tests/fuzz/checkpoint.rs"]
mod checkpoint;
#[path = "../../tests/fuzz/file.rs"]
mod file;
#[path = "../../tests/fuzz/onnx.rs"]
mod onnx;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| onnx::check(bytes));
