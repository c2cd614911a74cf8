//! PyTorch runs, recorded by the scripts beside this file, replayed bit for bit. README.md says what is in them.
//!
//! `cargo test --test suite golden -- --nocapture` prints how many steps are identical to PyTorch, and how many follow each
//! row of the table in README.md.

mod replay;

use std::fmt::Debug;
use std::sync::LazyLock;

use prune::TieBreak;
use replay::fixture::Recording;
use replay::tensor::Layout;
use replay::{Mode, cases, large, primitives};

static S1: LazyLock<Recording> = LazyLock::new(|| Recording::read("golden_s1"));
static MORE: LazyLock<Recording> = LazyLock::new(|| Recording::read("golden_more"));

/// Every step of every case, whatever the layout of the arrays, in either tie order; what became of them is pinned.
fn replayed(recording: &Recording, tie_break: TieBreak, pinned: &str) {
    for layout in [Layout::RowMajor, Layout::ColumnMajor, Layout::Strided] {
        let tally = cases(recording, &MORE, Mode { layout, tie_break });
        tally.assert_clean();
        if layout == Layout::RowMajor {
            println!("{}, ties by {tie_break:?}: {tally}", recording.name);
        }
        let steps: usize = recording.manifest.cases.iter().map(|case| case.steps.len()).sum();
        assert_eq!(tally.total(), steps, "every step is counted once");
        if cfg!(feature = "nuclear") {
            assert_eq!(tally.to_string(), pinned);
        }
    }
}

#[test]
fn s1_in_pytorch_tie_order() {
    replayed(
        &S1,
        TieBreak::PyTorch,
        "916 steps, 832 identical, by row: F 4, G 14, a 24, c 2, d 7, e 4, f 4, h 3, j 5, m 9, v 1, w 6, x 1, r 0, after a tie 0",
    );
}

#[test]
fn s1_in_lowest_index_order() {
    replayed(
        &S1,
        TieBreak::LowestIndex,
        "916 steps, 795 identical, by row: F 4, G 14, a 24, c 2, d 7, e 4, f 4, h 3, j 5, m 9, v 1, w 6, x 1, r 37, after a tie 0",
    );
}

#[test]
fn more_in_pytorch_tie_order() {
    replayed(
        &MORE,
        TieBreak::PyTorch,
        "4351 steps, 3265 identical, by row: D 32, F 24, G 83, a 707, b 1, c 82, d 73, e 8, f 12, h 5, j 25, k 3, m 2, v 15, w 6, x 3, y 5, r 0, after a tie 0",
    );
}

#[test]
fn more_in_lowest_index_order() {
    replayed(
        &MORE,
        TieBreak::LowestIndex,
        "4351 steps, 2847 identical, by row: D 26, F 24, G 83, a 632, b 1, c 75, d 69, e 8, f 11, h 5, j 25, k 3, m 2, v 15, w 6, x 3, y 4, r 182, after a tie 330",
    );
}

/// Runs a check on every entry of a list, and reports all that fail.
fn all<T: Debug>(kind: &str, entries: &[T], check: impl Fn(&T) -> Result<(), String>) {
    let report = |(index, entry)| check(entry).err().map(|what| format!("entry {index}: {what}: {entry:?}"));
    let failures: Vec<_> = entries.iter().enumerate().filter_map(report).collect();
    if !entries.is_empty() {
        println!("{kind}: {} identical", entries.len() - failures.len());
    }
    assert!(failures.is_empty(), "{} {kind} are not as recorded:\n{}", failures.len(), failures.join("\n"));
}

macro_rules! primitives {
    ($($name:ident: $list:ident by $check:expr;)*) => {$(
        #[test]
        fn $name() {
            for recording in [&*S1, &*MORE] {
                let kind = format!("{}, {}", recording.name, stringify!($name).replace('_', " "));
                all(&kind, &recording.manifest.primitives.$list, |entry| $check(recording, entry));
            }
        }
    )*};
}
primitives! {
    generator: rng by primitives::rng;
    initial_weights: init by primitives::init;
    streams: streams by primitives::stream;
    selections: topk by primitives::topk;
    norms: norms by primitives::norms;
    amounts: amounts by primitives::amount;
    methods_on_their_own: direct by primitives::direct;
}

#[test]
fn large_tensors() {
    for tie_break in [TieBreak::PyTorch, TieBreak::LowestIndex] {
        all(&format!("large tensors, ties by {tie_break:?}"), &MORE.manifest.large, |case| {
            large::check(&MORE, case, tie_break)
        });
    }
}
