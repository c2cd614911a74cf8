//! Files that no PyTorch has written: they are refused, in time and memory that are in proportion to their length.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use prune::checkpoint::{Checkpoint, CheckpointError, PyTorchError, inspect};
use tempfile::{TempDir, tempdir};

use crate::pytorch::legacy::{self, int, tensor, text, view};
use crate::pytorch::{file, refusal, tensors, written};

fn write(bytes: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let directory = tempdir().unwrap();
    let path = directory.path().join("model.pt");
    fs::write(&path, bytes).unwrap();
    (directory, path)
}

fn open(bytes: impl AsRef<[u8]>) -> Result<Checkpoint, CheckpointError> {
    let (_directory, path) = write(bytes);
    Checkpoint::open([path])
}

/// The message about a file of the old format with this pickle.
fn message(pickle: impl AsRef<[u8]>) -> String {
    refusal(open(legacy::file(pickle.as_ref(), 2, &[0; 8]))).to_string()
}

#[test]
fn a_file_made_here_is_read() {
    let (_directory, path) = write(legacy::file(&tensor(2, 0, &[2], &[1]), 2, &[0, 0, 128, 63, 0, 0, 0, 64]));
    let found = tensors(&written(&Checkpoint::open([path]).unwrap()));
    assert_eq!(found["w"].2, [0, 0, 128, 63, 0, 0, 0, 64]);
}

#[test]
fn views_beyond_their_storage() {
    let beyond = "tensor `w` reaches beyond its storage";
    let odd = "tensor `w` is described in a way that PyTorch does not write";
    for (entries, offset, shape, strides, expected) in [
        (2, 0, &[3][..], &[1][..], beyond),
        (2, 1, &[2], &[1], beyond),
        (2, 2, &[1], &[1], beyond),
        (2, i64::MAX, &[1], &[1], beyond),
        (2, i64::MAX, &[2], &[i64::MAX], beyond),
        (2, 0, &[2, 2], &[i64::MAX, i64::MAX], beyond),
        (2, 0, &[1 << 40, 1 << 40], &[0, 0], beyond),
        (2, 0, &[0, 1 << 40, 1 << 40], &[0, 0, 0], beyond),
        (2, 0, &[2], &[-1], odd),
        (2, -1, &[2], &[1], odd),
        (2, 0, &[-2], &[1], odd),
        (2, 0, &[2, 1], &[1], odd),
        (-2, 0, &[2], &[1], odd),
        (i64::MAX, 0, &[2], &[1], odd),
    ] {
        assert_eq!(message(tensor(entries, offset, shape, strides)), expected, "{shape:?} {strides:?} + {offset}");
    }
    // The storage is shorter than the pickle says, or than the file says.
    let pickle = tensor(1000, 0, &[1000], &[1]);
    for entries in [2, 1000, u64::MAX, u64::MAX / 4] {
        let expected = if entries == 2 {
            "storage `0` is shorter than the pickle says"
        } else {
            "storage `0` lies beyond the end of the file"
        };
        assert_eq!(refusal(open(legacy::file(&pickle, entries, &[0; 8]))).to_string(), expected);
    }
}

#[test]
fn a_small_file_stands_for_no_large_one() {
    let found = refusal(open(legacy::file(&tensor(1, 0, &[1 << 16, 1 << 16], &[0, 0]), 1, &[0; 4])));
    assert!(matches!(found, PyTorchError::Expanded { found, limit } if found == 1 << 34 && limit < 1 << 25), "{found}");
    // A megabyte that is repeated is not much.
    let (_directory, path) = write(legacy::file(&tensor(1, 0, &[512, 512], &[0, 0]), 1, &[1, 2, 3, 4]));
    let found = tensors(&written(&Checkpoint::open([path]).unwrap()));
    assert_eq!(found["w"].2, [1, 2, 3, 4].repeat(1 << 18));
}

#[test]
fn values_that_contain_each_other() {
    let complex = "the values of the pickle contain each other too often or too deeply";
    // A list in a list ... ten thousand times, as the values of a dictionary.
    let deep =
        [b"\x80\x02}X\x01\0\0\0w".as_slice(), &b"}X\x01\0\0\0w".repeat(10_000), &view(2, 0, &[2], &[1])].concat();
    let deep = [deep, b"s".repeat(10_001), b".".to_vec()].concat();
    assert_eq!(message(&deep), complex);
    // Each dictionary has the previous one three times: 3^30 tensors.
    let mut wide = [b"\x80\x02}".as_slice(), &text("w"), &view(2, 0, &[2], &[1]), b"sq\0"].concat();
    for depth in 0_u8..30 {
        let previous = [b'h', depth];
        wide.push(b'}');
        for key in ["a", "b", "c"] {
            wide.extend([&text(key)[..], &previous, b"s"].concat());
        }
        wide.extend([b'q', depth + 1]);
    }
    wide.push(b'.');
    assert_eq!(message(&wide), complex);
    // A dictionary that has itself, beside a tensor.
    let itself =
        [b"\x80\x02}q\0".as_slice(), &text("self"), b"h\0s", &text("w"), &view(2, 0, &[2], &[1]), b"s."].concat();
    assert_eq!(message(&itself), complex);
    // Objects that have such values are no tensors, and are not looked into forever.
    let object =
        [b"\x80\x02}q\0".as_slice(), &text("x"), b"cos\nsystem\nh\0\x85Rs", &text("w"), &view(2, 0, &[2], &[1]), b"s."];
    assert_eq!(message(object.concat()), "tensor `x` is part of an object of the type os.system");
}

#[test]
fn pickles_that_make_no_sense() {
    for (pickle, expected) in [
        (&b"\x80\x02."[..], "the pickle is invalid at byte 2: a value is missing"),
        (b"\x80\x02u.", "the pickle is invalid at byte 2: a mark is missing"),
        (b"\x80\x02}(Nu.", "the pickle is invalid at byte 5: a key without a value"),
        (b"\x80\x02NNs.", "the pickle is invalid at byte 4: a value is missing"),
        (b"\x80\x02NNNs.", "the pickle is invalid at byte 5: it changes something that is no object"),
        (b"\x80\x02)Na.", "the pickle is invalid at byte 4: it adds to something that is no such container"),
        (b"\x80\x02h\x05.", "the pickle is invalid at byte 2: it refers to nothing"),
        (b"\x80\x02NN\x93.", "the pickle is invalid at byte 4: a name that is no text"),
        (b"\x80\x02(0.", "the pickle is invalid at byte 3: a value is missing"),
        (b"\x80\x02i.", "the pickle is invalid at byte 2: not an instruction that PyTorch writes"),
        (b"\x80\x02X\xff\xff\xff\xffw", "the pickle is cut off"),
        (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffw", "the pickle is cut off"),
        (b"\x80\x02ctorch", "the pickle is cut off"),
        (b"\x80\x02N.", "the file has no dictionary of tensors"),
        (b"\x80\x02}.", "the file has no dictionary of tensors"),
    ] {
        assert_eq!(message(pickle), expected);
    }
    let named = |name: &str| [b"\x80\x02}".as_slice(), &text(name), &view(2, 0, &[2], &[1]), b"s."].concat();
    assert_eq!(message(named("__metadata__")), "tensor `__metadata__` has a name that safetensors reserves");
    let twice = [
        b"\x80\x02}".as_slice(),
        &text("a.w"),
        &view(2, 0, &[2], &[1]),
        b"s",
        &text("a"),
        &named("w")[2..named("w").len() - 1],
        b"s.",
    ];
    let keyed = |pickle: &[u8], key: &str| {
        let (_directory, path) = write(legacy::file(pickle, 2, &[0; 8]));
        prune::checkpoint::OpenOptions::new().key(key).open([path])
    };
    assert_eq!(refusal(keyed(&twice.concat(), "")).to_string(), "`a.w` occurs twice");
    // The same key twice is what Python makes of it: the later value.
    let replaced =
        [b"\x80\x02}".as_slice(), &text("w"), &int(3), b"s", &text("w"), &view(2, 0, &[2], &[1]), b"s."].concat();
    assert_eq!(open(legacy::file(&replaced, 2, &[0; 8])).unwrap().tensors().len(), 1);
    // A pickle of another library.
    assert_eq!(
        refusal(open(b"\x80\x04N.more than a few bytes")).to_string(),
        "the file is a pickle, but not one of `torch.save`"
    );
    let control = message(named("\u{1b}[2J\0__metadata__").as_slice().get(..20).unwrap());
    assert!(!control.contains(char::is_control), "{control}");
}

/// Opens a file, and reads every byte of its tensors if it is not refused.
fn is_read_or_refused(bytes: &[u8]) {
    let (_directory, path) = write(bytes);
    match Checkpoint::open([path]) {
        Ok(checkpoint) => drop(inspect(&checkpoint, false, &())),
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error}"),
    }
}

#[test]
fn cut_off_anywhere() {
    for name in ["views.pt", "legacy.pt", "protocol4.pt"] {
        let bytes = fs::read(file(name)).unwrap();
        for len in (0..bytes.len()).step_by(7) {
            is_read_or_refused(&bytes[..len]);
        }
    }
    // The end of a legacy file is the data of its last storage.
    let bytes = fs::read(file("legacy.pt")).unwrap();
    let found = refusal(open(&bytes[..bytes.len() - 1])).to_string();
    assert!(found.ends_with("lies beyond the end of the file"), "{found}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_damage_is_read_or_refused(
        name in prop::sample::select(&["views.pt", "legacy.pt", "module.pt", "training.pt", "protocol4.pt"][..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = fs::read(file(name)).unwrap();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        is_read_or_refused(&bytes);
    }

    #[test]
    fn any_pickle_is_read_or_refused(pickle in prop::collection::vec(any::<u8>(), 0..60)) {
        is_read_or_refused(&legacy::file(&[b"\x80\x02", &pickle[..], b"."].concat(), 2, &[0; 8]));
    }
}
