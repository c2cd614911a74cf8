#![no_main]

#[path = "../../tests/fuzz/file.rs"]
mod file;
#[path = "../../tests/fuzz/packed.rs"]
mod packed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| packed::check(bytes));
