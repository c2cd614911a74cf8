//! Comparison of checkpoints.

use half::bf16;
use ndarray::array;
use prune::checkpoint::{Checkpoint, Containment, EntryDifference, diff};

use super::support::*;

#[test]
fn what_differs() {
    let directory = tempfile::tempdir().unwrap();
    let w = array![[1.0_f32, -0.0, 0.0], [2.0, 3.0, f32::NAN]].into_dyn();
    let pruned = array![[0.0_f32, 0.0, 0.0], [2.0, 4.0, f32::NAN]].into_dyn();
    let alive = array![[true, true, true], [false, true, true]].into_dyn();
    let a = [
        Raw::of("same", &w),
        Raw::of("pruned", &w),
        Raw::of("pair", &w),
        Raw::of("narrow", &w),
        Raw::of("shape", &w),
        Raw::new("ints", "I32", &[2], vec![1, 0, 0, 0, 0, 0, 0, 0]),
        Raw::new("short", "I16", &[2], vec![0, 0, 0, 0]),
        Raw::new("long", "I64", &[3], [[0; 8], [1; 8], [0; 8]].concat()),
        Raw::new("f4", "F4", &[4], vec![1, 2]),
        Raw::of("only a", &w),
    ];
    let b = [
        Raw::of("only b", &w),
        Raw::of("same", &w),
        Raw::of("pruned", &pruned),
        Raw::of("pair_orig", &w),
        Raw::mask::<f32>("pair_mask", &alive),
        Raw::of("narrow", &w.mapv(bf16::from_f32)),
        Raw::of("shape", &w.clone().into_shape_with_order(ndarray::IxDyn(&[3, 2])).unwrap()),
        Raw::new("ints", "I32", &[2], vec![0, 0, 0, 0, 5, 0, 0, 0]),
        Raw::new("short", "I16", &[2], vec![0, 1, 0, 0]),
        Raw::new("long", "I64", &[3], [[2; 8], [0; 8], [0; 8]].concat()),
        Raw::new("f4", "F4", &[4], vec![1, 3]),
    ];
    let a = Checkpoint::open([write(&directory.path().join("a.safetensors"), &[], &a)]).unwrap();
    let b = Checkpoint::open([write(&directory.path().join("b.safetensors"), &[], &b)]).unwrap();
    let found = diff(&a, &b, &()).unwrap();
    assert_eq!(
        (found.only_a.as_slice(), found.only_b.as_slice()),
        (&["only a".to_owned()][..], &["only b".to_owned()][..])
    );
    let entries: Vec<_> = found.common.iter().map(|tensor| (tensor.name.as_str(), tensor.entries)).collect();
    let of = |entries, differing, became_zero, became_nonzero, zero_in_both| {
        Some(EntryDifference { entries, differing, became_zero, became_nonzero, zero_in_both })
    };
    assert_eq!(
        entries,
        [
            ("same", of(6, 0, 0, 0, 2)),
            ("pruned", of(6, 3, 1, 0, 2)),
            ("pair", of(6, 1, 1, 0, 2)),
            ("narrow", of(6, 0, 0, 0, 2)),
            ("shape", None),
            ("ints", of(2, 2, 1, 1, 0)),
            ("short", of(2, 1, 0, 1, 1)),
            ("long", of(3, 2, 1, 1, 1)),
            ("f4", of(4, 1, 0, 0, 0)),
        ]
    );
    let containment: Vec<_> = entries.iter().filter_map(|(_, entries)| Some((*entries)?.containment())).collect();
    use Containment::{AInB, BInA, Equal, Neither};
    assert_eq!(containment, [Equal, AInB, AInB, Equal, Neither, BInA, Neither, Equal]);
    assert!(found.common[0].is_equal() && !found.common[3].is_equal(), "another dtype is a difference");
    assert!(!found.is_equal());
    assert!(diff(&a, &a, &()).unwrap().is_equal());
}

/// Several blocks, each with every kind of entry.
#[test]
fn what_differs_in_a_large_tensor() {
    const ENTRIES: usize = 1_000_000;
    let directory = tempfile::tempdir().unwrap();
    let numbers = |a: [f32; 8]| (0..ENTRIES).map(|i| a[i % 8]).collect::<ndarray::Array1<f32>>().into_dyn();
    let file = |name: &str, numbers| {
        Checkpoint::open([write(&directory.path().join(name), &[], &[Raw::of("w", &numbers)])]).unwrap()
    };
    let a = file("a.safetensors", numbers([0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]));
    let b = file("b.safetensors", numbers([0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 1.0, 3.0]));
    let found = diff(&a, &b, &()).unwrap().common[0].entries.unwrap();
    let eighth = ENTRIES / 8;
    let expected = EntryDifference {
        entries: ENTRIES,
        differing: 4 * eighth,
        became_zero: 2 * eighth,
        became_nonzero: eighth,
        zero_in_both: 3 * eighth,
    };
    assert_eq!(found, expected);
}

/// Integers of each size, whose highest bit is no sign of a zero, and 8-bit floats, which have a -0.
#[test]
fn zeros_of_other_dtypes() {
    let directory = tempfile::tempdir().unwrap();
    for (dtype, size) in [
        ("BOOL", 1),
        ("U8", 1),
        ("I8", 1),
        ("F8_E4M3", 1),
        ("U16", 2),
        ("I16", 2),
        ("U32", 4),
        ("I32", 4),
        ("U64", 8),
        ("I64", 8),
    ] {
        // Only the last byte of each number varies; it has the sign.
        let open = |name: &str, last: [u8; 7]| {
            let data = last.iter().flat_map(|&last| [vec![0; size - 1], vec![last]].concat()).collect();
            Checkpoint::open([write(&directory.path().join(name), &[], &[Raw::new("w", dtype, &[7], data)])]).unwrap()
        };
        let a = open("a", [0, 0, 0, 1, 1, 0xff, 0x80]);
        let b = open("b", [0, 0, 1, 1, 0, 0, 0]);
        let entries = diff(&a, &b, &()).unwrap().common[0].entries.unwrap();
        let float = usize::from(dtype == "F8_E4M3");
        let expected = EntryDifference {
            entries: 7,
            differing: 4,
            became_zero: 3 - float,
            became_nonzero: 1,
            zero_in_both: 2 + float,
        };
        assert_eq!(entries, expected, "{dtype}");
    }
}

#[test]
fn tensors_that_only_one_has() {
    let directory = tempfile::tempdir().unwrap();
    let w = Raw::of("w", &weights::<f32>(&[2, 2], 1));
    let more = [w.clone(), Raw::new("v", "U8", &[1], vec![0])];
    let less = Checkpoint::open([write(&directory.path().join("less"), &[], &[w])]).unwrap();
    let more = Checkpoint::open([write(&directory.path().join("more"), &[], &more)]).unwrap();
    assert!(!diff(&less, &more, &()).unwrap().is_equal());
    assert!(!diff(&more, &less, &()).unwrap().is_equal());
    assert!(diff(&more, &more, &()).unwrap().is_equal());
}

/// Floats are compared with floats only; a NaN equals NaNs only.
#[test]
fn values_of_two_dtypes() {
    let directory = tempfile::tempdir().unwrap();
    let a = [
        Raw::of("floats", &array![f32::NAN, f32::NAN, 1.0, 1.0, 2.0].into_dyn()),
        Raw::of("float", &array![1.0_f32].into_dyn()),
        Raw::new("int", "I32", &[1], vec![0; 4]),
        Raw::new("ints", "I32", &[1], vec![0; 4]),
    ];
    let b = [
        Raw::of("floats", &array![bf16::NAN, bf16::ONE, bf16::NAN, bf16::ONE, bf16::ONE].into_dyn()),
        Raw::new("float", "I32", &[1], vec![0; 4]),
        Raw::of("int", &array![1.0_f32].into_dyn()),
        Raw::new("ints", "U32", &[1], vec![0; 4]),
    ];
    let a = Checkpoint::open([write(&directory.path().join("a"), &[], &a)]).unwrap();
    let b = Checkpoint::open([write(&directory.path().join("b"), &[], &b)]).unwrap();
    let found = diff(&a, &b, &()).unwrap();
    let floats = EntryDifference { entries: 5, differing: 3, ..EntryDifference::default() };
    let entries: Vec<_> = found.common.iter().map(|tensor| tensor.entries).collect();
    assert_eq!(entries, [Some(floats), None, None, None]);
    assert!(found.common.iter().all(|tensor| !tensor.is_equal()));
}
