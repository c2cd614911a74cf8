//! Any bytes as a file of PyTorch, or as the pickle in one.

use prune::L1Unstructured;
use prune::checkpoint::{Checkpoint, OpenOptions, Output, Pruner, Selection, inspect};

use crate::legacy;

/// The longest output that is written.
const MAX_BYTES: u64 = 1 << 20;

/// A file from the bytes of a fuzzer. If the first bit is 0, they are the file. If it is 1, they are the length of a pickle in two
/// bytes, the pickle and the data of the storage `0`, so that mutations need not keep an archive valid.
fn file_of(form: u8, bytes: &[u8]) -> Option<Vec<u8>> {
    if form & 1 == 0 {
        return Some(bytes.to_vec());
    }
    let (len, rest) = bytes.split_first_chunk()?;
    let (pickle, data) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    Some(legacy::file(pickle, data.len() as u64 / 4, data))
}

/// A file is refused, or all its tensors can be read, and a run gives a safetensors file of the same tensors, twice the same.
pub fn check(bytes: &[u8]) {
    let Some((&form, rest)) = bytes.split_first() else { return };
    let Some(file) = file_of(form, rest) else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("model.pt");
    std::fs::write(&path, file).expect("the input can be written");
    let options = if form & 2 == 0 { OpenOptions::new() } else { OpenOptions::new().key("") };
    let checkpoint = match options.open([&path]) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return check_message(&error),
    };
    if checkpoint.tensors().iter().map(|tensor| tensor.bytes).sum::<u64>() > MAX_BYTES {
        return;
    }
    if let Err(error) = inspect(&checkpoint, true, &()) {
        return check_message(&error);
    }
    let outputs = ["a.safetensors", "b.safetensors"].map(|name| {
        let output = directory.path().join(name);
        let half = Pruner::new(L1Unstructured::new(0.5).expect("a valid amount")).selection(Selection::new().only("*"));
        match half.run(&checkpoint, &Output::new(&output), &()) {
            Ok(report) => {
                let written = Checkpoint::open([&output]).expect("an output is a checkpoint");
                assert_eq!(written.tensors().len(), report.tensors.len());
                Some(std::fs::read(output).expect("it was just written"))
            }
            Err(error) => {
                check_message(&error);
                None
            }
        }
    });
    assert_eq!(outputs[0], outputs[1]);
}

fn check_message(error: &(dyn std::error::Error + 'static)) {
    for error in std::iter::successors(Some(error), |error| error.source()) {
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }
}
