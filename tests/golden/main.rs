//! PyTorch runs, recorded by the scripts beside this file, replayed bit for bit. README.md says what is in them.
//!
//! `cargo test --test golden -- --nocapture` prints how many steps are identical to PyTorch and how many follow which row.

mod replay;

use std::fmt::Debug;
use std::sync::LazyLock;

use prune::TieBreak;
use replay::fixture::Recording;
use replay::tensor::Layout;
use replay::{Mode, Tally, large, primitives};

static S1: LazyLock<Recording> = LazyLock::new(|| Recording::read("golden_s1"));
static MORE: LazyLock<Recording> = LazyLock::new(|| Recording::read("golden_more"));

fn replay(recording: &Recording, tie_break: TieBreak) -> Tally {
    let steps: usize = recording.manifest.cases.iter().map(|case| case.steps.len()).sum();
    let [tally, ..] = [Layout::RowMajor, Layout::ColumnMajor, Layout::Strided].map(|layout| {
        let tally = replay::cases(recording, &MORE, Mode { layout, tie_break });
        tally.assert_clean();
        assert_eq!(tally.total(), steps);
        tally
    });
    println!("{:11} {tie_break:?}: {steps} steps: {tally}", recording.name);
    tally
}

#[test]
fn s1_in_pytorch_tie_order() {
    replay(&S1, TieBreak::PyTorch);
}

#[test]
fn s1_in_lowest_index_order() {
    replay(&S1, TieBreak::LowestIndex);
}

#[test]
fn more_in_pytorch_tie_order() {
    replay(&MORE, TieBreak::PyTorch);
}

#[test]
fn more_in_lowest_index_order() {
    replay(&MORE, TieBreak::LowestIndex);
}

/// Runs a check on every entry of a list, and reports all that fail.
fn all<T: Debug>(kind: &str, entries: &[T], check: impl Fn(&T) -> Result<(), String>) {
    let failures: Vec<_> =
        entries.iter().filter_map(|entry| Some(format!("{} {entry:?}", check(entry).err()?))).collect();
    assert!(
        failures.is_empty(),
        "{} of {} {kind}:\n{}",
        failures.len(),
        entries.len(),
        failures[..failures.len().min(40)].join("\n")
    );
    println!("{kind}: {} identical", entries.len());
}

#[test]
fn parts() {
    for recording in [&*S1, &*MORE] {
        let parts = &recording.manifest.primitives;
        all("generator", &parts.rng, |case| primitives::rng(recording, case));
        all("initial weights", &parts.init, |case| primitives::init(recording, case));
        all("streams", &parts.streams, |case| primitives::stream(recording, case));
        all("selections", &parts.topk, |case| primitives::topk(recording, case));
        all("norms", &parts.norms, |case| primitives::norms(recording, case));
        all("methods on their own", &parts.direct, |case| primitives::direct(recording, case));
        all("amounts", &parts.amounts, primitives::amount);
    }
}

#[test]
fn large_tensors() {
    for tie_break in [TieBreak::PyTorch, TieBreak::LowestIndex] {
        all("large tensors", &MORE.manifest.large, |case| large::check(&MORE, case, tie_break));
    }
}
