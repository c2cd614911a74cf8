//! Untrusted files: each defect has its own error, and no output is written.

use std::fs;
use std::path::{Path, PathBuf};

use prune::checkpoint::{
    Checkpoint, CheckpointError, Format, MaskSource, Output, Pruner, Scope, Selection, diff, extract_masks, inspect,
    remove,
};
use prune::safetensors::{FileFormat, StateDictError};

use super::support::*;

fn l1() -> Pruner {
    l1_pruner(0.5).selection(Selection::new().only("*"))
}

fn weight() -> Raw {
    Raw::of("w", &weights::<f32>(&[4, 4], 1))
}

/// A file from its parts, valid or not.
fn file(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
}

/// A file of tensors of one `F32` each, at these offsets, with `data` bytes of data.
fn at(offsets: &[&str], data: usize) -> Vec<u8> {
    let tensor = |(i, offsets)| format!(r#""t{i}":{{"dtype":"F32","shape":[1],"data_offsets":{offsets}}}"#);
    let tensors: Vec<String> = offsets.iter().enumerate().map(tensor).collect();
    file(&format!("{{{}}}", tensors.join(",")), data)
}

/// A file of one tensor, with `data` bytes of data.
fn one(dtype: &str, shape: &str, data: usize) -> Vec<u8> {
    file(&format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{data}]}}}}"#), data)
}

type IsExpected = fn(&StateDictError) -> bool;

/// Files with an invalid header, and a check of its error.
fn faulty() -> Vec<(Vec<u8>, IsExpected)> {
    use StateDictError as E;
    let truncated: IsExpected = |error| matches!(error, E::Truncated { .. });
    let trailing: IsExpected = |error| matches!(error, E::TrailingBytes { .. });
    let too_large: IsExpected = |error| matches!(error, E::HeaderTooLarge { limit: 100_000_000, .. });
    let invalid: IsExpected = |error| matches!(error, E::InvalidHeader { .. });
    let layout: IsExpected = |error| matches!(error, E::InvalidLayout { .. });
    let duplicate: IsExpected = |error| matches!(error, E::DuplicateName { .. });
    let with_length = |length: u64, rest: &[u8]| [&length.to_le_bytes()[..], rest].concat();
    let deep = |depth| "[".repeat(depth) + &"]".repeat(depth);
    vec![
        (vec![], |error| matches!(error, E::OtherFormat { found: FileFormat::Empty })),
        (b"GGUF\x03\0\0\0".to_vec(), |error| matches!(error, E::OtherFormat { found: FileFormat::Gguf })),
        (vec![0; 7], truncated),
        (with_length(3, b"{}"), truncated),
        (with_length(100_000_000, b"{}"), truncated),
        (with_length(100_000_001, b"{}"), too_large),
        (with_length(u64::MAX, b"{}"), too_large),
        (with_length(0, b""), invalid),
        (with_length(0, b"{}"), invalid),
        (with_length(1, b"{}"), invalid),
        (file("{}", 1), trailing),
        (at(&["[0,4]"], 3), truncated),
        (at(&["[0,4]"], 5), trailing),
        (at(&["[0,4]", "[0,4]"], 8), layout),
        (at(&["[0,4]", "[2,6]"], 8), layout),
        (at(&["[0,4]", "[5,9]"], 9), layout),
        (at(&["[4,0]"], 4), layout),
        (at(&["[4,8]"], 8), layout),
        (at(&["[0,4]", "[4,18446744073709551615]"], 8), layout),
        (at(&["[0,18446744073709551616]"], 8), invalid),
        (one("F32", "[2]", 4), layout),
        (one("F4", "[3]", 2), layout),
        (one("F64", "[288230376151711744]", 0), layout),
        (one("U8", "[4294967296,4294967296]", 0), layout),
        (one("U8", "[18446744073709551615,2,0]", 0), layout),
        (one("F31", "[1]", 4), invalid),
        (one("F32", "[1.0]", 4), invalid),
        (file(&deep(1_000_000), 0), invalid),
        (file(&format!(r#"{{"w":{}}}"#, deep(1_000_000)), 0), invalid),
        (file(&" ".repeat(1_000_000), 0), invalid),
        (with_length(4, b"{\"\xff\"}"), invalid),
        (file(r#"{"__metadata__":{},"__metadata__":{}}"#, 0), duplicate),
        (at(&["[0,4]"], 4).iter().map(|&byte| if byte == b'}' { b'{' } else { byte }).collect(), invalid),
        (b"PK\x03\x04 a zip archive".to_vec(), |error| matches!(error, E::OtherFormat { found: FileFormat::Zip })),
    ]
}

#[test]
fn faulty_headers_in_files_shards_and_masks() {
    let directory = tempfile::tempdir().unwrap();
    let index = write_sharded(directory.path(), &[&[weight()], &[Raw::of("v", &weights::<f32>(&[2, 2], 1))]]);
    let good = directory.path().join("model-00001-of-00002.safetensors");
    let bad = directory.path().join("model-00002-of-00002.safetensors");
    for (bytes, is_expected) in faulty() {
        fs::write(&bad, &bytes).unwrap();
        let masks = Pruner::masks(bad.clone());
        for error in [
            Checkpoint::open([&bad]).unwrap_err(),
            Checkpoint::open([&good, &bad]).unwrap_err(),
            Checkpoint::open([&index]).unwrap_err(),
            masks.dry_run(&Checkpoint::open([&good]).unwrap(), &()).unwrap_err(),
        ] {
            let CheckpointError::Header { path, source } = &error else { panic!("{error}") };
            assert!(*path == bad && is_expected(source), "{source:?}: {}", String::from_utf8_lossy(&bytes));
        }
    }
    // Two tensors of one name.
    let tensor = |offsets| format!(r#""w":{{"dtype":"F32","shape":[1],"data_offsets":{offsets}}}"#);
    fs::write(&bad, file(&format!("{{{},{}}}", tensor("[0,4]"), tensor("[4,8]")), 8)).unwrap();
    let CheckpointError::Header { source, .. } = Checkpoint::open([&bad]).unwrap_err() else { panic!() };
    assert!(matches!(source, StateDictError::DuplicateName { name } if name == "w"));
}

#[test]
fn names_that_would_fool_a_terminal_or_a_file_system_are_just_names() {
    let names = ["../../etc/passwd", "/", "a\0b", "\u{1b}[2J", "\r\n", "", " ", "a\u{202e}b", "`", "C:\\x", "w_mask"];
    let directory = tempfile::tempdir().unwrap();
    let tensors = names.map(|name| Raw::of(name, &weights::<f32>(&[4, 4], 1)));
    let index = write_sharded(directory.path(), &[&tensors[..5], &tensors[5..]]);
    let before = files(directory.path());
    let output = directory.path().join("out");
    for format in [Format::Weights, Format::PyTorch] {
        let report = run(&l1().format(format), [&index], &output).unwrap();
        assert!(report.tensors.iter().map(|tensor| tensor.name.as_str()).eq(names));
        let written = Checkpoint::open([output.join(index.file_name().unwrap())]).unwrap();
        assert_eq!(written.tensors().len(), names.len() * if format == Format::PyTorch { 2 } else { 1 });
        assert_eq!(files(&output).len(), 3);
        fs::remove_dir_all(&output).unwrap();
        assert_eq!(files(directory.path()), before);
    }
    assert_eq!(run(&l1().format(Format::Masks), [&index], &output).unwrap().tensors.len(), names.len());
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// A mask file stores sizes as `I64`.
#[test]
fn sizes_that_no_mask_file_can_tell() {
    let directory = tempfile::tempdir().unwrap();
    let tensors = [weight(), Raw::new("e", "F32", &[0, usize::MAX], vec![])];
    let input = write(&directory.path().join("in"), &[], &tensors);
    let output = directory.path().join("out");
    let error = run(&l1().format(Format::Masks), [&input], &output).unwrap_err();
    let expected = format!("tensor `e` has an unsupported shape, [0, {}]: its nonzero sizes are too large", usize::MAX);
    assert_eq!(error.to_string(), expected);
    assert!(!output.exists());
    assert_eq!(run(&l1(), [&input], &output).unwrap().pruned_after(), 8);
}

#[test]
fn tensors_without_entries() {
    let directory = tempfile::tempdir().unwrap();
    let shapes: [&[usize]; 5] = [&[0], &[0, 3], &[3, 0], &[2, 0, 5], &[usize::MAX, 0]];
    let mut tensors: Vec<Raw> =
        shapes.iter().enumerate().map(|(i, shape)| Raw::new(&format!("e{i}"), "F32", shape, vec![])).collect();
    tensors.push(weight());
    let index = write_sharded(directory.path(), &[&tensors[..2], &tensors[2..]]);
    let checkpoint = Checkpoint::open([&index]).unwrap();
    let inspection = inspect(&checkpoint, true, &()).unwrap();
    let empty = inspection.tensors.iter().filter(|tensor| tensor.entries == 0);
    assert!(empty.clone().count() == 5 && empty.clone().all(|tensor| tensor.zeros == Some(0)));
    assert!(diff(&checkpoint, &checkpoint, &()).unwrap().is_equal());

    let (all, matrices) = (Selection::new().only("*"), Selection::new().only("{e[1-4],w}"));
    let amount = 0.5;
    for (number, (pruner, scope, selection)) in [
        (l1_pruner(amount), Scope::Tensor, all.clone()),
        (l1_pruner(amount), Scope::Global, all.clone()),
        (random_pruner(amount, 1), Scope::Tensor, all.clone()),
        (random_pruner(amount, 1), Scope::Global, all),
        (ln_pruner(amount, 2, 0), Scope::Tensor, matrices.clone().exclude("e4")),
        (random_structured_pruner(amount, 1, 1), Scope::Tensor, matrices),
    ]
    .into_iter()
    .enumerate()
    {
        let output = directory.path().join(number.to_string());
        let prune = pruner.scope(scope).selection(selection).format(Format::PyTorch);
        let report = run(&prune, [&index], &output).unwrap();
        assert_eq!(report.pruned_after(), 8);
        let written = Checkpoint::open([output.join(index.file_name().unwrap())]).unwrap();
        assert!(remove(&written, &Output::new(output.join("removed")), &()).unwrap().tensors.contains(&"w".to_owned()));
        let masks = output.join("masks");
        let names = extract_masks(&written, &MaskSource::Masks, &Output::new(&masks), &());
        if number < 4 {
            // No array, and so no mask, can have the shape of `e4`.
            assert!(matches!(names, Err(CheckpointError::ImpossibleShape { tensor, .. }) if tensor == "e4"));
        } else if number == 4 {
            let masks = Pruner::masks(masks);
            assert_eq!(names.unwrap().len(), 4);
            assert_eq!(masks.dry_run(&checkpoint, &()).unwrap().pruned_after(), 8);
        }
    }
}

/// `usize::MAX` channels without entries.
#[test]
fn channels_without_entries_take_no_memory() {
    let directory = tempfile::tempdir().unwrap();
    let input = write(&directory.path().join("in"), &[], &[Raw::new("e", "F32", &[usize::MAX, 0], vec![])]);
    let checkpoint = Checkpoint::open([&input]).unwrap();
    let amount = 0.5;
    for pruner in [ln_pruner(amount, 2, 0), random_structured_pruner(amount, 0, 1)] {
        let error = pruner.selection(Selection::new().only("e")).dry_run(&checkpoint, &()).unwrap_err();
        assert!(matches!(error, CheckpointError::Tensor { .. } | CheckpointError::ImpossibleShape { .. }), "{error}");
    }
}

#[test]
fn a_hundred_thousand_tensors() {
    let directory = tempfile::tempdir().unwrap();
    let tensors: Vec<_> =
        (0..100_000).map(|i| Raw::new(&format!("t{i}.weight"), "F32", &[1, 1], vec![0, 0, 128, 63])).collect();
    let index = write_sharded(directory.path(), &[&tensors[..50_000], &tensors[50_000..]]);
    let checkpoint = Checkpoint::open([&index]).unwrap();
    let (pytorch, masks) = (directory.path().join("pytorch"), directory.path().join("masks"));
    let global = l1().scope(Scope::Global);
    let report = run(&global.clone().format(Format::PyTorch), [&index], &pytorch).unwrap();
    assert_eq!((report.tensors.len(), report.pruned_after()), (100_000, 50_000));

    let pruned = Checkpoint::open([pytorch.join(index.file_name().unwrap())]).unwrap();
    assert_eq!(pruned.tensors().len(), 200_000);
    let names = extract_masks(&pruned, &MaskSource::Masks, &Output::new(&masks), &()).unwrap();
    assert_eq!(names.len(), 100_000);
    let report = Pruner::masks(masks).dry_run(&checkpoint, &()).unwrap();
    assert_eq!(report.pruned_after(), 50_000);
    assert_eq!(diff(&checkpoint, &pruned, &()).unwrap().common.len(), 100_000);
    assert_eq!(inspect(&pruned, true, &()).unwrap().tensors.len(), 100_000);
}

/// An output with originals and masks has a longer header than its input.
#[test]
fn a_header_that_would_be_too_long_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let long = Raw { name: "x".repeat(60_000_000), ..weight() };
    let input = write(&directory.path().join("in"), &[], &[long]);
    let output = directory.path().join("out");
    let error = run(&l1().format(Format::PyTorch), [&input], &output).unwrap_err();
    let CheckpointError::OutputHeader { source } = error else { panic!("{error}") };
    assert!(matches!(source, StateDictError::HeaderTooLarge { limit: 100_000_000, .. }));
    assert!(!output.exists());
}
