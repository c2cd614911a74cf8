#![no_main]

#[path = "../../tests/fuzz/checkpoint.rs"]
mod checkpoint;
#[path = "../../tests/fuzz/file.rs"]
mod file;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checkpoint::check(bytes));
