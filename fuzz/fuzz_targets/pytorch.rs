#![no_main]

#[path = "../../tests/fuzz/legacy.rs"]
mod legacy;
#[path = "../../tests/fuzz/pytorch.rs"]
mod pytorch;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pytorch::check(bytes));
