//! Any bytes as an ONNX model with a file of external data.

use std::fs;
use std::path::Path;

use prune::checkpoint::{Checkpoint, Format, Output};

use crate::checkpoint::{Options, check_files};

/// A model is refused, or is pruned as a checkpoint is, in files of the same length.
///
/// The first three bytes are the options, the next two the length of the external data, which follows; the rest is the model.
pub fn check(bytes: &[u8]) {
    let Some((options, rest)) = bytes.split_first_chunk::<3>() else { return };
    let Some((length, rest)) = rest.split_first_chunk::<2>() else { return };
    let (data, model) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
    let directory = tempfile::tempdir().expect("a scratch directory");
    let path = directory.path().join("model.onnx");
    fs::write(&path, model).expect("a scratch file");
    fs::write(directory.path().join("data"), data).expect("a scratch file");
    let options = Options::of(*options);
    check_files(directory.path(), std::slice::from_ref(&path), &options);
    check_lengths(&path, &options);
}

/// Only the values of tensors that the report names differ, and at most as many as it counts.
fn check_lengths(path: &Path, options: &Options) {
    let Ok(checkpoint) = Checkpoint::open([path]) else { return };
    let output = tempfile::tempdir().expect("a scratch directory");
    let pruner = options.prune().format(Format::Weights);
    let Ok(report) = pruner.run(&checkpoint, &Output::new(output.path()), &()) else { return };
    let mut changed = 0;
    for shard in checkpoint.shards() {
        let before = fs::read(shard.path()).expect("an input");
        let after = fs::read(output.path().join(shard.name())).expect("an output");
        assert_eq!(before.len(), after.len(), "{:?}", shard.name());
        changed += before.iter().zip(&after).filter(|(a, b)| a != b).count();
    }
    assert!(changed <= 8 * report.pruned_after(), "{changed} bytes differ");
}
