//! Counting zeros, masked entries and magnitudes.

use half::bf16;
use ndarray::array;
use prune::checkpoint::{Checkpoint, CheckpointError, Magnitudes, PackedSizes, Progress, inspect};

use super::support::*;

/// The sizes of all formats: dense, bitmask, compressed rows.
fn sizes(packed: PackedSizes) -> [u64; 3] {
    [packed.dense, packed.bitmask, packed.csr]
}

#[test]
fn zeros_of_every_dtype() {
    let directory = tempfile::tempdir().unwrap();
    let weight = array![[1.0_f32, -0.0, 0.0], [f32::NAN, f32::INFINITY, -3.0]].into_dyn();
    let alive = array![[true, true, false], [true, false, false]].into_dyn();
    let tensors = [
        Raw::of("plain", &weight),
        Raw::of("pair_orig", &weight),
        Raw::mask::<bf16>("pair_mask", &alive),
        Raw::new("bytes", "U8", &[4], vec![0, 1, 0x80, 0]),
        Raw::new("ints", "I64", &[2], [[0; 8], [0, 0, 0, 0, 0, 0, 0, 0x80]].concat()),
        Raw::new("short", "I16", &[3], vec![0, 0, 0, 1, 0, 0]),
        Raw::new("words", "U32", &[2], vec![0, 0, 0, 0, 0, 0, 1, 0]),
        Raw::new("f8", "F8_E4M3", &[4], vec![0, 1, 0x80, 0]),
        Raw::new("fnuz", "F8_E4M3FNUZ", &[4], vec![0, 1, 0x80, 0]),
        Raw::new("complex", "C64", &[2], vec![0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]),
        Raw::new("f4", "F4", &[4], vec![0, 0]),
        Raw::new("none", "F32", &[0, 7], vec![]),
    ];
    let input = write(&directory.path().join("in.safetensors"), &[], &tensors);
    let inspection = inspect(&Checkpoint::open([&input]).unwrap(), true, &()).unwrap();
    let zeros: Vec<_> = inspection.tensors.iter().map(|t| (t.name.as_str(), t.zeros, t.masked, t.bytes)).collect();
    assert_eq!(
        zeros,
        [
            ("plain", Some(2), None, 24),
            // A masked infinity is NaN.
            ("pair", Some(3), Some(3), 24 + 12),
            ("bytes", Some(2), None, 4),
            ("ints", Some(1), None, 16),
            ("short", Some(2), None, 6),
            ("words", Some(1), None, 8),
            ("f8", Some(3), None, 4),
            ("fnuz", Some(2), None, 4),
            ("complex", Some(1), None, 16),
            ("f4", None, None, 2),
            ("none", Some(0), None, 0),
        ]
    );
    let plain = inspection.tensors[0].magnitudes.as_ref().unwrap();
    assert_eq!((plain.smallest, plain.largest), (Some(1.0), Some(f64::INFINITY)));
    assert_eq!((plain.log2.as_slice(), plain.infinite, plain.nan), (&[(0, 1), (1, 1)][..], 1, 1));
    assert_eq!(inspection.tensors[1].magnitudes.as_ref().unwrap().nan, 2);
    assert!(inspection.tensors[2].magnitudes.is_none());
    let packed = |number: usize| inspection.tensors[number].packed.map(sizes);
    assert_eq!(packed(0), Some([24, 17, 16 + 16 + 12]));
    assert_eq!(packed(9), None);
    assert_eq!(packed(10), Some([0, 0, 4]));
}

#[test]
fn exponents_of_subnormal_numbers() {
    let directory = tempfile::tempdir().unwrap();
    let numbers = [f64::from_bits(1), f64::from_bits(3), f64::MIN_POSITIVE / 2.0, f64::MIN_POSITIVE, 0.75, f64::MAX];
    let input =
        write(&directory.path().join("in.safetensors"), &[], &[Raw::of("x", &ndarray::arr1(&numbers).into_dyn())]);
    let inspection = inspect(&Checkpoint::open([&input]).unwrap(), true, &()).unwrap();
    let log2 = &inspection.tensors[0].magnitudes.as_ref().unwrap().log2;
    assert_eq!(log2, &[(-1074, 1), (-1073, 1), (-1023, 1), (-1022, 1), (-1, 1), (1023, 1)]);
}

/// Each dtype is in a file of its own, at the end of the data.
#[test]
fn integers_of_every_size() {
    let directory = tempfile::tempdir().unwrap();
    for (dtype, size) in [("I8", 1), ("U16", 2), ("I16", 2), ("U32", 4), ("I32", 4), ("U64", 8), ("I64", 8)] {
        let numbers = [0_u8, 0, 1, 0x80, 0xff].map(|last| [vec![0; size - 1], vec![last]].concat());
        let input = write(&directory.path().join(dtype), &[], &[Raw::new("w", dtype, &[5], numbers.concat())]);
        let tensor = inspect(&Checkpoint::open([&input]).unwrap(), true, &()).unwrap().tensors.remove(0);
        assert_eq!((tensor.zeros, tensor.masked, tensor.magnitudes), (Some(2), None, None), "{dtype}");
        let size = size as u64;
        // A bit for each of the five entries; three column indices, and the offsets of one row.
        let packed = [5 * size, 3 * size + 1, 3 * size + 3 * 4 + 2 * 4];
        assert_eq!(tensor.packed.map(sizes), Some(packed), "{dtype}");
    }
}

/// The counts of all threads are added up.
#[test]
fn a_large_tensor() {
    const ROWS: usize = 250_000;
    let directory = tempfile::tempdir().unwrap();
    let rows = |row: [f32; 8]| ndarray::Array2::from_shape_fn((ROWS, 8), |(_, j)| row[j]).into_dyn();
    let mut weight = rows([0.0, -0.0, 1.0, -3.0, 1.5, f32::NAN, f32::NEG_INFINITY, 2.0]);
    // The smallest is in the middle, the largest at the end.
    weight[[ROWS / 2, 2]] = 0.25;
    weight[[ROWS - 1, 3]] = 100.0;
    let mask = rows([1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0]);
    let input = write(
        &directory.path().join("in"),
        &[],
        &[Raw::of("w_orig", &weight), Raw::of("w_mask", &mask.mapv(bf16::from_f32))],
    );
    // A slow observer, so that all threads take part.
    let slow = |_: Progress| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        std::ops::ControlFlow::Continue(())
    };
    let found = inspect(&Checkpoint::open([&input]).unwrap(), true, &slow).unwrap().tensors.remove(0);
    assert_eq!((found.entries, found.zeros, found.masked), (8 * ROWS, Some(4 * ROWS), Some(2 * ROWS)));
    let each = ROWS as u64;
    let magnitudes = Magnitudes {
        smallest: Some(0.25),
        largest: Some(f64::INFINITY),
        log2: vec![(-2, 1), (0, each - 1), (1, each - 1), (6, 1)],
        infinite: each,
        nan: each,
    };
    assert_eq!(found.magnitudes, Some(Box::new(magnitudes)));
}

/// PyTorch's masks have the dtype of the scores, which may be any.
#[test]
fn masks_of_every_dtype() {
    let directory = tempfile::tempdir().unwrap();
    let weight = array![1.0_f32, 2.0, 3.0].into_dyn();
    for (dtype, one, wrong) in [
        ("BOOL", vec![1], vec![2]),
        ("U8", vec![1], vec![0xff]),
        ("I8", vec![1], vec![0xff]),
        ("U16", vec![1, 0], vec![0, 1]),
        ("I16", vec![1, 0], vec![0xff, 0xff]),
        ("U32", vec![1, 0, 0, 0], vec![0, 0, 0, 1]),
        ("I32", vec![1, 0, 0, 0], vec![0xff; 4]),
        ("U64", vec![1, 0, 0, 0, 0, 0, 0, 0], vec![0, 0, 0, 0, 0, 0, 0, 1]),
        ("I64", vec![1, 0, 0, 0, 0, 0, 0, 0], vec![0xff; 8]),
        ("F16", vec![0, 0x3c], vec![1, 0x3c]),
        ("BF16", vec![0x80, 0x3f], vec![0x81, 0x3f]),
        ("F32", vec![0, 0, 0x80, 0x3f], vec![0, 0, 0x80, 0xbf]),
        ("F64", vec![0, 0, 0, 0, 0, 0, 0xf0, 0x3f], vec![1, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        let path = directory.path().join(dtype);
        let zero = vec![0; one.len()];
        let mask = |last: &[u8]| Raw::new("w_mask", dtype, &[3], [&zero, &one, last].concat());
        write(&path, &[], &[Raw::of("w_orig", &weight), mask(&zero)]);
        let inspection = inspect(&Checkpoint::open([&path]).unwrap(), false, &()).unwrap();
        assert_eq!((inspection.tensors[0].masked, inspection.tensors[0].zeros), (Some(2), Some(2)), "{dtype}");

        write(&path, &[], &[Raw::of("w_orig", &weight), mask(&wrong)]);
        let error = inspect(&Checkpoint::open([&path]).unwrap(), false, &()).unwrap_err();
        assert!(matches!(&error, CheckpointError::MaskValue { index, .. } if index == &[2]), "{dtype}: {error}");
        let is_negative = error.to_string().contains("holds -1 at");
        assert_eq!(is_negative, matches!(dtype, "I8" | "I16" | "I32" | "I64" | "F32"), "{dtype}: {error}");
    }
}

#[test]
fn a_mask_with_something_else() {
    let directory = tempfile::tempdir().unwrap();
    let weight = array![[1.0_f32, 2.0]].into_dyn();
    let tensors = [Raw::of("w_orig", &weight), Raw::of("w_mask", &array![[1.0_f32, 0.5]].into_dyn())];
    let input = write(&directory.path().join("in.safetensors"), &[], &tensors);
    let error = inspect(&Checkpoint::open([&input]).unwrap(), false, &()).unwrap_err();
    assert!(
        matches!(&error, CheckpointError::MaskValue { tensor, index, found: 0.5 } if tensor == "w_mask" && index == &[0, 1])
    );
    assert_eq!(error.to_string(), "mask `w_mask` holds 0.5 at [0, 1]; only 0 and 1 are allowed");
}

/// The error gives the index along every axis.
#[test]
fn a_mask_with_something_else_far_inside() {
    let directory = tempfile::tempdir().unwrap();
    let mut mask = ndarray::ArrayD::<f32>::ones(ndarray::IxDyn(&[3, 4, 5]));
    mask[[2, 1, 3]] = 3.0;
    let tensors = [Raw::of("w_orig", &weights::<f32>(&[3, 4, 5], 1)), Raw::of("w_mask", &mask)];
    let input = write(&directory.path().join("in"), &[], &tensors);
    let error = inspect(&Checkpoint::open([&input]).unwrap(), false, &()).unwrap_err();
    assert_eq!(error.to_string(), "mask `w_mask` holds 3 at [2, 1, 3]; only 0 and 1 are allowed");
}

#[test]
fn floats_of_every_size_without_their_zeros() {
    fn packed<A: Stored>() -> Option<[u64; 3]> {
        let directory = tempfile::tempdir().unwrap();
        let weight = array![[0.0, 1.0, 0.0], [2.0, -0.0, 3.0]].mapv(A::number).into_dyn();
        let input = write(&directory.path().join("in"), &[], &[Raw::of("w", &weight)]);
        inspect(&Checkpoint::open([&input]).unwrap(), false, &()).unwrap().tensors[0].packed.map(sizes)
    }
    // Three numbers; a bit for each of six; three column indices, and three offsets.
    let of = |size: u64| Some([6 * size, 3 * size + 1, 3 * size + 3 * 4 + 3 * 4]);
    assert_eq!((packed::<half::f16>(), packed::<bf16>()), (of(2), of(2)));
    assert_eq!((packed::<f32>(), packed::<f64>()), (of(4), of(8)));
}

/// Tensors that cannot be an original or a mask make no pair.
#[test]
fn halves_that_are_none() {
    let directory = tempfile::tempdir().unwrap();
    let mask = |dtype, size: usize| Raw::new("w_mask", dtype, &[2], vec![0; 2 * size]);
    let orig = Raw::of("w_orig", &array![1.0_f32, 2.0].into_dyn());
    for (orig, mask, pair) in [
        (orig.clone(), mask("U8", 1), true),
        (orig.clone(), mask("F8_E4M3", 1), false),
        (orig, mask("C64", 8), false),
        (Raw::new("w_orig", "I32", &[2], vec![0; 8]), mask("U8", 1), false),
    ] {
        let input = write(&directory.path().join("in"), &[], &[orig, mask]);
        let inspection = inspect(&Checkpoint::open([&input]).unwrap(), false, &()).unwrap();
        let names: Vec<_> = inspection.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names, if pair { &["w"][..] } else { &["w_orig", "w_mask"] });
    }
}

#[test]
fn shards_have_a_length() {
    let directory = tempfile::tempdir().unwrap();
    let input = write(&directory.path().join("in"), &[], &[Raw::new("w", "U8", &[1000], vec![0; 1000])]);
    let checkpoint = Checkpoint::open([&input]).unwrap();
    assert_eq!(checkpoint.shards()[0].bytes(), std::fs::metadata(&input).unwrap().len());
}
