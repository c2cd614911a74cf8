#![no_main]

#[path = "../../tests/fuzz/file.rs"]
mod file;
#[path = "../../tests/fuzz/checkpoint.rs"]
mod checkpoint;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checkpoint::check(bytes));
