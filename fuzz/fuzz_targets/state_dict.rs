#![no_main]

#[path = "../../tests/fuzz/file.rs"]
mod file;
#[path = "../../tests/fuzz/state_dict.rs"]
mod state_dict;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| state_dict::check(bytes));
