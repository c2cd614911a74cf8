//! Untrusted ONNX models: each defect has its own error, and memory is bounded by what a model can need.

use std::fs;
use std::path::Path;

use prune::checkpoint::{Checkpoint, CheckpointError, OnnxError, Output, inspect};

use super::onnx_file::*;
use super::support::*;

const DATA: [u8; 96] = [1; 96];

fn open(folder: &Path, bytes: impl AsRef<[u8]>) -> Result<Checkpoint, CheckpointError> {
    fs::write(folder.join("model.onnx"), bytes).unwrap();
    Checkpoint::open([folder.join("model.onnx")])
}

/// Opens a model with one matrix product.
fn open_with(folder: &Path, initializers: &[Message]) -> Result<Checkpoint, CheckpointError> {
    open(folder, model(&graph(&[node("MatMul", "x w", "y")], initializers, "y")))
}

/// The error about a model. Its message has no control characters, whatever the model says.
#[track_caller]
fn refused(found: Result<Checkpoint, CheckpointError>) -> OnnxError {
    match found {
        Err(CheckpointError::Onnx { source, .. }) => {
            assert!(!source.to_string().contains(char::is_control), "{source}");
            source
        }
        other => panic!("{other:?}"),
    }
}

fn valid() -> Vec<u8> {
    let branch = graph(&[node("Gemm", "x w", "z")], &[raw("v", FLOAT, &[4, 6], DATA)], "z");
    let nodes = [
        node("Constant", "", "c").with_tensor("value", raw("", FLOAT, &[4, 6], DATA)),
        node("Transpose", "w", "t").with_numbers("perm", &[1, 0]),
        node("If", "x", "i").with_graph("then_branch", branch),
        node("MatMul", "x t", "y"),
    ];
    model(&graph(&nodes, &[raw("w", FLOAT, &[4, 6], DATA), tensor("n", INT64, &[2]).field(7, [1, 2])], "y"))
}

/// A file that is cut anywhere, or has another byte anywhere, is refused or read, and nothing else.
#[test]
fn damaged_models_are_refused_or_read() {
    let folder = tempfile::tempdir().unwrap();
    let valid = valid();
    assert_eq!(open(folder.path(), &valid).unwrap().tensors().len(), 4);
    for len in 20..valid.len() {
        let cut = open(folder.path(), &valid[..len]);
        assert!(matches!(cut, Err(CheckpointError::Onnx { .. })) || valid[len..].len() < 10, "{len}");
    }
    let output = folder.path().join("out.onnx");
    for at in 8..valid.len() {
        for flipped in [1, 0x80, 0xff] {
            let mut damaged = valid.clone();
            damaged[at] ^= flipped;
            let Ok(checkpoint) = open(folder.path(), &damaged) else { continue };
            inspect(&checkpoint, true, &()).unwrap();
            let output = Output::new(&output).force(true);
            if l1_pruner(0.5).run(&checkpoint, &output, &()).is_ok() {
                assert_eq!(fs::metadata(output.path()).unwrap().len(), damaged.len() as u64);
            }
        }
    }
}

#[test]
fn messages_must_be_whole() {
    let folder = tempfile::tempdir().unwrap();
    let start = || Message::new().number(1, 10);
    // The offsets of what follows a version and a producer of one letter.
    let (key, value) = (5, 6);
    let after = |rest: &[u8]| [start().field(2, "p").0, rest.to_vec()].concat();
    let overlong = [[0x38].as_slice(), &[0x80; 10], &[1]].concat();
    for (rest, expected) in [
        (&[0x3a][..], OnnxError::Truncated { offset: value }),
        (&[0x3a, 5, 1], OnnxError::Truncated { offset: key }),
        (&[0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], OnnxError::Truncated { offset: key }),
        (&[0x39, 1, 2, 3], OnnxError::Truncated { offset: key }),
        (&[0x3d, 1, 2, 3], OnnxError::Truncated { offset: key }),
        (&[0x38, 0x80], OnnxError::Truncated { offset: value }),
        (&overlong, OnnxError::Varint { offset: value }),
        (&[0x38, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], OnnxError::Varint { offset: value }),
        (&[0x3b], OnnxError::Key { offset: key, key: 0x3b }),
        (&[0x3c], OnnxError::Key { offset: key, key: 0x3c }),
        (&[0x02, 0], OnnxError::Key { offset: key, key: 2 }),
        (&[], OnnxError::Graphs { found: 0 }),
        (&[0x3a, 0, 0x3a, 0], OnnxError::Graphs { found: 2 }),
    ] {
        assert_eq!(refused(open(folder.path(), after(rest))), expected, "{rest:?}");
    }
    let name = |name: &[u8]| {
        let tensor = Message::new().number(2, FLOAT).field(8, name).field(9, [0; 4]);
        open(folder.path(), model(&Message::new().field(5, tensor)))
    };
    assert!(matches!(refused(name(b"\xff")), OnnxError::Text { .. }));
    let long = vec![b'a'; (1 << 20) + 1];
    assert!(matches!(refused(name(&long)), OnnxError::TextLength { limit: 1_048_576, found: 1_048_577, .. }));
    assert!(name(&long[1..]).is_ok());
}

#[test]
fn graphs_are_not_nested_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let nested = |depth: usize| {
        let inner = graph(&[node("MatMul", "x w", "y")], &[], "y");
        (0..depth).fold(inner, |inner, _| graph(&[node("If", "x", "y").with_graph("then_branch", inner)], &[], "y"))
    };
    let with_weight = |graph: Message| model(&graph.field(5, raw("w", FLOAT, &[4, 6], DATA)));
    assert_eq!(open(folder.path(), with_weight(nested(32))).unwrap().tensors().len(), 1);
    for depth in [33, 1000] {
        assert_eq!(refused(open(folder.path(), with_weight(nested(depth)))), OnnxError::Nested { limit: 32 });
    }
}

#[test]
fn tensors_must_have_the_data_that_their_shapes_need() {
    let folder = tempfile::tempdir().unwrap();
    let tensor_name = || "w".to_owned();
    let shape = |found: &str| OnnxError::Shape { tensor: tensor_name(), found: found.into() };
    let length = |expected, found| OnnxError::DataLength { tensor: tensor_name(), expected, found };
    let twice = OnnxError::DataTwice { tensor: tensor_name() };
    let many = vec![1; 65];
    for (initializer, expected) in [
        (raw("w", FLOAT, &[-1, 6], DATA), shape("[-1, 6]")),
        (raw("w", FLOAT, &[1 << 32, 1 << 32], DATA), shape("[4294967296, 4294967296]")),
        (raw("w", FLOAT, &[1 << 32, 1 << 32, 0], []), shape("[4294967296, 4294967296, 0]")),
        (raw("w", FLOAT, &many, [0; 4]), shape("more than 64 dimensions")),
        (raw("w", FLOAT, &[4, 5], DATA), length(80, 96)),
        (raw("w", FLOAT, &[4, 7], DATA), length(112, 96)),
        (raw("w", FLOAT, &[1 << 62], DATA), length(u64::MAX, 96)),
        (tensor("w", FLOAT, &[4, 6]), length(96, 0)),
        (tensor("w", FLOAT, &[4, 6]).field(4, &DATA[4..]), length(96, 92)),
        (tensor("w", FLOAT16, &[1 << 40]).field(5, [1; 3]), length(1 << 41, 3)),
        (tensor("w", FLOAT, &[1 << 40]).float(4, 1.0).float(4, 1.0), length(1 << 42, 2)),
        (raw("w", FLOAT, &[4, 6], DATA).field(9, DATA), twice.clone()),
        (raw("w", FLOAT, &[4, 6], DATA).field(4, DATA), twice),
    ] {
        assert_eq!(refused(open_with(folder.path(), &[initializer])), expected);
    }
    let two = [raw("w", FLOAT, &[4, 6], DATA), raw("w", FLOAT, &[4, 6], DATA)];
    assert_eq!(refused(open_with(folder.path(), &two)), OnnxError::DuplicateName { name: tensor_name() });
    let bell = [raw("\u{7}", FLOAT, &[4, 6], DATA), raw("\u{7}", FLOAT, &[4, 6], DATA)];
    refused(open_with(folder.path(), &bell));
    // Numbers of another type are none of these, so they stay where they are.
    let checkpoint = open_with(folder.path(), &[tensor("w", FLOAT16, &[4, 12]).field(4, DATA)]);
    assert_eq!(refused(checkpoint), length(96, 24));
    // Without entries there is nothing to refuse, nor to prune.
    let empty = open_with(folder.path(), &[tensor("w", FLOAT, &[0, 6]), raw("v", FLOAT, &[6, 0], [])]).unwrap();
    assert!(inspect(&empty, true, &()).unwrap().tensors.iter().all(|tensor| tensor.zeros == Some(0)));
}

#[test]
fn external_data_stays_in_the_directory_of_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("model");
    fs::create_dir_all(directory.join("sub")).unwrap();
    for file in ["secret", "model/data", "model/sub/data"] {
        fs::write(folder.path().join(file), DATA).unwrap();
    }
    let at = |location: &str| open_with(&directory, &[external("w", FLOAT, &[4, 6], &[("location", location)])]);
    for location in ["data", "./data", "././data", "sub/data", "sub//data", "sub/./data"] {
        assert!(at(location).is_ok(), "{location}");
    }
    let outside = folder.path().join("secret");
    for location in [
        "../secret",
        "sub/../../secret",
        "sub/..",
        outside.to_str().unwrap(),
        "",
        ".",
        "./",
        "model.onnx",
        "..\\secret",
    ] {
        let (tensor, location) = ("w".to_owned(), location.to_owned());
        assert_eq!(refused(at(&location)), OnnxError::Location { tensor, location });
    }
    assert!(matches!(refused(at("none")), OnnxError::MissingData { .. }));
    assert!(matches!(refused(at("sub/none")), OnnxError::MissingData { .. }));
    assert!(matches!(at("sub"), Err(CheckpointError::Read { .. })));
    let unnamed = open_with(&directory, &[external("w", FLOAT, &[4, 6], &[])]);
    assert!(matches!(refused(unnamed), OnnxError::Location { .. }));
}

#[cfg(unix)]
#[test]
fn links_to_external_data_are_refused() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("model");
    fs::create_dir_all(directory.join("sub")).unwrap();
    fs::write(folder.path().join("secret"), DATA).unwrap();
    fs::write(directory.join("sub/data"), DATA).unwrap();
    symlink("../secret", directory.join("link")).unwrap();
    symlink("sub", directory.join("linked")).unwrap();
    symlink("none", directory.join("dangling")).unwrap();
    let at = |location: &str| open_with(&directory, &[external("w", FLOAT, &[4, 6], &[("location", location)])]);
    for location in ["link", "linked/data", "dangling"] {
        let (tensor, location) = ("w".to_owned(), location.to_owned());
        assert_eq!(refused(at(&location)), OnnxError::Link { tensor, location });
    }
    assert!(at("sub/data").is_ok());
    // The model itself may be a link, as in a cache: its owner gave the path.
    symlink(directory.join("model.onnx"), folder.path().join("model.onnx")).unwrap();
    open(&directory, valid()).unwrap();
    assert!(Checkpoint::open([folder.path().join("model.onnx")]).is_ok());
}

#[test]
fn external_data_must_lie_in_its_file_and_apart() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("data"), [1; 200]).unwrap();
    let part = |name: &str, offset: &str| external(name, FLOAT, &[4, 6], &[("location", "data"), ("offset", offset)]);
    let at = |offset: &str| open_with(folder.path(), &[part("w", offset)]);
    let name = || "w".to_owned();
    assert!(at("0").is_ok() && at("104").is_ok());
    let beyond = |end| OnnxError::BeyondFile { tensor: name(), location: "data".into(), end, found: 200 };
    assert_eq!(refused(at("105")), beyond(201));
    assert_eq!(refused(at("18446744073709551615")), beyond(u64::MAX));
    for offset in ["-1", "1.5", "", "18446744073709551616", "a"] {
        let expected = OnnxError::External { tensor: name(), key: "offset", value: offset.into() };
        assert_eq!(refused(at(offset)), expected);
    }
    let long = external("w", FLOAT, &[4, 6], &[("location", "data"), ("length", "97")]);
    let expected = OnnxError::DataLength { tensor: name(), expected: 96, found: 97 };
    assert_eq!(refused(open_with(folder.path(), &[long])), expected);

    let two = |first: &str, second: &str| open_with(folder.path(), &[part("w", first), part("v", second)]);
    assert!(two("0", "96").is_ok() && two("100", "4").is_ok());
    for (first, second, begins) in [("0", "0", "w"), ("0", "95", "w"), ("96", "1", "v")] {
        let OnnxError::Overlap { first, location, .. } = refused(two(first, second)) else {
            panic!("{first} {second}")
        };
        assert_eq!((first.as_str(), location.as_str()), (begins, "data"));
    }
}

/// The data of tensors is not read to find them: a file of 4 GiB without contents is opened like any other.
#[test]
fn a_model_larger_than_memory_is_opened_by_its_structure() {
    use std::io::{Seek, SeekFrom, Write};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let bytes: u64 = 4 << 30;
    let weight = tensor("w", FLOAT, &[1 << 15, 1 << 15]).0;
    let weight = [weight, vec![9 << 3 | 2], varint(bytes)].concat();
    let nodes = graph(&[node("MatMul", "x w", "y")], &[], "y").0;
    let graph = [nodes, vec![5 << 3 | 2], varint(weight.len() as u64 + bytes), weight].concat();
    let version = Message::new().number(1, 10).0;
    let mut file = fs::File::create(&path).unwrap();
    for part in [version, vec![7 << 3 | 2], varint(graph.len() as u64 + bytes), graph] {
        file.write_all(&part).unwrap();
    }
    file.seek(SeekFrom::Current(bytes.cast_signed())).unwrap();
    file.write_all(&Message::new().field(8, Message::new().number(2, 21)).0).unwrap();
    let checkpoint = Checkpoint::open([&path]).unwrap();
    assert_eq!(
        (checkpoint.tensors()[0].bytes, checkpoint.tensors()[0].shape.as_slice()),
        (bytes, &[1 << 15, 1 << 15][..])
    );
    // A file that changes meanwhile is not read.
    file.set_len(1 << 20).unwrap();
    let changed = inspect(&checkpoint, false, &()).unwrap_err();
    assert!(matches!(changed, CheckpointError::Changed { .. }), "{changed}");
}
