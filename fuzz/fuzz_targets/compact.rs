#![no_main]

#[path = "../../tests/fuzz/compact.rs"]
mod compact;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| compact::check(bytes));
