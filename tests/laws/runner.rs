//! Runs a law on many inputs.
//!
//! The seed is fixed, so that a failure is repeated; for a longer search run `PROPTEST_CASES=10000 PROPTEST_RNG_SEED=7 cargo
//! test --test suite laws`. An input that fails is shrunk, and its seed is kept in `tests/proptest-regressions/`, to be checked
//! in with the fix.

use std::panic::Location;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// Panics, with a minimal input, if the law does.
#[track_caller]
pub fn check_law<S: Strategy>(inputs: S, law: impl Fn(S::Value)) {
    let mut config = Config { source_file: Some(Location::caller().file()), ..Config::default() };
    config.cases *= 3; // the laws are cheap
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(888);
    }
    let passed = TestRunner::new(config).run(&inputs, |input| {
        law(input);
        Ok(())
    });
    if let Err(failure) = passed {
        panic!("{failure}");
    }
}
