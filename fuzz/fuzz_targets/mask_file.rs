#![no_main]

#[path = "../../tests/fuzz/file.rs"]
mod file;
#[path = "../../tests/fuzz/mask_file.rs"]
mod mask_file;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mask_file::check(bytes));
