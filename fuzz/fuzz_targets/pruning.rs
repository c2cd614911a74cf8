#![no_main]
#![allow(dead_code, reason = "the tests share modules of which this target needs a part")]

#[path = "../../tests/laws/bytes.rs"]
mod bytes;
#[path = "../../tests/laws/dtype.rs"]
mod dtype;
#[path = "../../tests/laws/files.rs"]
mod files;
#[path = "../../tests/laws/inputs.rs"]
mod inputs;
#[path = "../../tests/laws/layout.rs"]
mod layout;
#[path = "../../tests/laws/machine.rs"]
mod machine;
#[path = "../../tests/laws/model.rs"]
mod model;
#[path = "../../tests/laws/oracle.rs"]
mod oracle;
#[path = "../../tests/laws/random_oracle.rs"]
mod random_oracle;
#[path = "../../tests/laws/runner.rs"]
mod runner;
#[path = "../../tests/laws/spec.rs"]
mod spec;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bytes::check(bytes));
