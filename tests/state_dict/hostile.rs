//! Untrusted files.

use std::path::Path;

use ndarray::{ArrayD, arr1};
use prune::ParameterStore;
use prune::safetensors::{
    StateDictError, apply_masks, from_bytes, load_file, load_file_into, load_into, load_masks, masks_from_bytes,
    masks_to_bytes, save_file, to_bytes,
};

use super::{file, file_of, layer, snapshot};

/// Checks that every way of loading returns an error and does not change the module.
fn refused_by_all(file: &[u8]) {
    let mut module = layer();
    let before = snapshot(&module);
    assert!(load_into(&mut module, file).is_err());
    assert_eq!(snapshot(&module), before);
    assert!(from_bytes::<f32>(file).is_err());
    assert!(masks_from_bytes(file).is_err());
}

#[test]
fn cut_off_anywhere() {
    for whole in [to_bytes(&layer()).unwrap(), masks_to_bytes(&layer()).unwrap()] {
        for length in 0..whole.len() {
            refused_by_all(&whole[..length]);
        }
    }
}

#[test]
fn a_header_that_claims_more_than_there_is() {
    for length in [3, 99_999_999, 100_000_000, 100_000_001, u64::from(u32::MAX), u64::MAX - 7, u64::MAX] {
        refused_by_all(&[&length.to_le_bytes()[..], b"{}"].concat());
    }
}

#[test]
fn sizes_whose_sum_overflows() {
    // Nine tensors of up to 2^61 - 1 bytes end just below 2^64; the length of the file with its header overflows. The
    // safetensors crate does not check that sum.
    let size = (1_u64 << 61) - 1;
    let mut tensors: Vec<String> = (0..8)
        .map(|i| format!(r#""{i}":{{"dtype":"U8","shape":[{size}],"data_offsets":[{},{}]}}"#, i * size, (i + 1) * size))
        .collect();
    let header = |tensors: &[String]| format!("{{{}}}", tensors.join(","));
    refused_by_all(&file(&header(&tensors), &[]));
    let end = 8 * size;
    let rest = u64::MAX - end;
    for missing in 0..=rest {
        tensors.truncate(8);
        let last = rest - missing;
        tensors.push(format!(r#""8":{{"dtype":"U8","shape":[{last}],"data_offsets":[{end},{}]}}"#, end + last));
        refused_by_all(&file(&header(&tensors), &[]));
    }
}

#[test]
fn offsets_out_of_order_overlapping_or_past_the_end() {
    for (a, b) in [
        ("[0,4]", "[0,4]"),
        ("[0,4]", "[2,6]"),
        ("[0,4]", "[5,9]"),
        ("[4,8]", "[8,12]"),
        ("[0,4]", "[8,4]"),
        ("[0,4]", "[4,18446744073709551615]"),
        ("[18446744073709551612,18446744073709551615]", "[0,4]"),
    ] {
        let tensor = |offsets| format!(r#"{{"dtype":"F32","shape":[1],"data_offsets":{offsets}}}"#);
        refused_by_all(&file(&format!(r#"{{"a":{},"b":{}}}"#, tensor(a), tensor(b)), &[0; 8]));
    }
}

#[test]
fn sizes_whose_product_overflows() {
    for shape in [
        "[4294967296,4294967296]",
        "[18446744073709551615]",
        "[18446744073709551615,18446744073709551615,0]",
        "[0,18446744073709551615]",
        "[9223372036854775807,0,3]",
        "[0,4611686018427387904,4611686018427387904]",
    ] {
        refused_by_all(&file_of(&[("bias", "F32", shape, &[])]));
    }
}

#[test]
fn deep_and_huge_json() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [100, 127, 128, 129, 1_000_000] {
        refused_by_all(&file(&deep(depth), &[]));
        refused_by_all(&file(&format!(r#"{{"a":{}}}"#, deep(depth)), &[]));
        refused_by_all(&file(&format!(r#"{{"__metadata__":{}}}"#, deep(depth)), &[]));
    }
    refused_by_all(&file(&format!("{}{{", " ".repeat(1_000_000)), &[]));
}

#[test]
fn a_million_dimensions_of_size_one() {
    let shape = format!("[{}1]", "1,".repeat(1_000_000));
    let (store, _) = from_bytes::<f32>(&file_of(&[("a", "F32", &shape, &[0; 4])])).unwrap();
    assert_eq!(store["a"].value().ndim(), 1_000_001);
}

#[test]
fn a_hundred_thousand_tensors() {
    let names: Vec<String> = (0..100_000).map(|i| format!("layer.{i}_mask")).collect();
    let tensors: Vec<(&str, &str, &str, &[u8])> =
        names.iter().map(|name| (&**name, "F32", "[1]", &[0; 4][..])).collect();
    let file = file_of(&tensors);
    let (mut store, report) = from_bytes::<f32>(&file).unwrap();
    assert_eq!((store.len(), report.applied.len()), (100_000, 100_000));
    assert!(load_into(&mut store, &file).unwrap().is_complete());
    assert_eq!(load_into(&mut layer(), &file).unwrap().unexpected.len(), 100_000);
    assert_eq!(to_bytes(&store).unwrap().len() % 8, 0);
}

#[test]
fn names_that_would_fool_a_terminal_or_a_file_system_are_just_names() {
    let names = ["../../etc/passwd", "/", "a\0b", "\u{1b}[2J", "\r\n", "", " ", "a\u{202e}b", "`"];
    let tensors: Vec<(&str, &str, &str, &[u8])> = names.iter().map(|name| (*name, "F32", "[1]", &[0; 4][..])).collect();
    let (store, report) = from_bytes::<f32>(&file_of(&tensors)).unwrap();
    assert_eq!(report.applied, names);
    assert!(store.iter().map(|(name, _)| name).eq(names));
    let line = load_into(&mut layer(), &file_of(&tensors)).unwrap().to_string();
    assert!(!line.contains(char::is_control), "{line:?}");
}

#[test]
fn a_file_of_another_kind() {
    for other in [&b"PK\x03\x04 a zip archive, as torch.save makes it"[..], b"\x89PNG\r\n\x1a\n", b"{\"a\": 1}", b""] {
        refused_by_all(other);
    }
    let state = to_bytes(&layer()).unwrap();
    assert!(matches!(masks_from_bytes(&state), Err(StateDictError::NotMasks { .. })));
}

#[test]
fn json_of_other_types() {
    let mut tensors: Vec<String> = ["null", "1", "\"F32\"", "[]", "{}", "true"].map(str::to_owned).into();
    for (dtype, shape, offsets) in [
        ("32", "[1]", "[0,4]"),
        ("\"F31\"", "[1]", "[0,4]"),
        ("\"f32\"", "[1]", "[0,4]"),
        ("\"\"", "[1]", "[0,4]"),
        ("null", "[1]", "[0,4]"),
        ("\"F32\"", "1", "[0,4]"),
        ("\"F32\"", "[\"1\"]", "[0,4]"),
        ("\"F32\"", "[1.0]", "[0,4]"),
        ("\"F32\"", "[-1]", "[0,4]"),
        ("\"F32\"", "[18446744073709551616]", "[0,4]"),
        ("\"F32\"", "{}", "[0,4]"),
        ("\"F32\"", "[1]", "4"),
        ("\"F32\"", "[1]", "[4]"),
        ("\"F32\"", "[1]", "[0,4,8]"),
        ("\"F32\"", "[1]", "[0,4e0]"),
        ("\"F32\"", "[1]", "[\"0\",\"4\"]"),
    ] {
        tensors.push(format!(r#"{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}}}"#));
    }
    for tensor in tensors {
        refused_by_all(&file(&format!(r#"{{"w":{tensor}}}"#), &[0; 4]));
    }
    for header in ["null", "1", "\"\"", "true", r#"{"__metadata__":[]}"#, r#"{"__metadata__":{"a":{}}}"#, "{1:2}"] {
        refused_by_all(&file(header, &[]));
    }
    // Not UTF-8: in a name, as an unpaired surrogate, and in a value that is skipped.
    let tensor = br#"{"dtype":"F32","shape":[0],"data_offsets":[0,0]"#;
    for header in [
        [b"{\"\xff\":", &tensor[..], b"}}"].concat(),
        [b"{\"\\ud800\":", &tensor[..], b"}}"].concat(),
        [b"{\"w\":", &tensor[..], b",\"further\":\"\xff\"}}"].concat(),
    ] {
        refused_by_all(&[&(header.len() as u64).to_le_bytes()[..], &header].concat());
    }
}

#[test]
fn sizes_in_bits_that_overflow_or_are_no_whole_bytes() {
    // 2^58 elements of 64 bits are 2^64 bits; three of four bits are a byte and a half.
    for (dtype, shape, data) in [("F64", "[288230376151711744]", 0), ("F4", "[3]", 1), ("F4", "[3]", 2)] {
        refused_by_all(&file_of(&[("w", dtype, shape, &vec![0; data])]));
    }
}

/// Parsers quote unexpected text of a file.
#[test]
fn causes_cannot_talk_to_a_terminal_either() {
    let tensor = |dtype: &str, offsets| format!(r#"{{"dtype":"{dtype}","shape":[1],"data_offsets":{offsets}}}"#);
    for (header, visible) in [
        (format!(r#"{{"w":{}}}"#, tensor("\\u001b[2J\\u009b", "[0,4]")), r"\u{1b}[2J\u{9b}"),
        (format!(r#"{{"\u001b[2J\n\u0085":{}}}"#, tensor("F32", "[4,0]")), r"\u{1b}[2J\n\u{85}"),
    ] {
        let error = from_bytes::<f32>(&file(&header, &[0; 4])).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(visible) && !cause.contains(char::is_control), "{cause:?}");
    }
    let error = load_file::<f32>("none/\u{1b}[2J").unwrap_err().to_string();
    assert_eq!(error, r"cannot read `none/\u{1b}[2J`");
}

#[test]
fn a_hundred_thousand_masks() {
    let names: Vec<String> = (0..100_000).map(|i| format!("layer.{i}")).collect();
    let mut store = ParameterStore::from_iter(names.iter().map(|name| (name.as_str(), arr1(&[1.0_f32, 2.0]))));
    names.iter().for_each(|name| prune::l1_unstructured(&mut store, name, 1).unwrap());
    let masks = masks_from_bytes(&masks_to_bytes(&store).unwrap()).unwrap();
    assert_eq!(masks.len(), 100_000);
    let mut other = ParameterStore::from_iter(names.iter().map(|name| (name.as_str(), arr1(&[3.0_f32, 4.0]))));
    assert_eq!(apply_masks(&mut other, masks).unwrap().applied.len(), 100_000);
    assert!(names.iter().all(|name| other[name.as_str()].mask() == store[name.as_str()].mask()));
    // Each pruned parameter is two tensors.
    let (again, report) = from_bytes::<f32>(&to_bytes(&other).unwrap()).unwrap();
    assert_eq!((again.len(), report.applied.len()), (100_000, 200_000));
}

#[test]
fn tensors_without_entries() {
    let shapes: [&[usize]; 4] = [&[0], &[0, 3], &[3, 0], &[2, 0, 5]];
    let names = ["a", "b", "c", "d"];
    let mut store: ParameterStore<f32> =
        names.into_iter().zip(shapes).map(|(name, shape)| (name, ArrayD::zeros(shape))).collect();
    store.insert("full", arr1(&[1.0, 2.0]));
    prune::l1_unstructured(&mut store, "a", 1.0).unwrap();
    prune::random_unstructured(&mut store, "b", 0.5, 1).unwrap();
    prune::ln_structured(&mut store, "c", 0.5, 2, 0).unwrap();
    let all = prune::parameters_mut(&mut store, &["a", "b", "c", "d", "full"]).unwrap();
    prune::global_unstructured(all, prune::L1Unstructured::new(0.5).unwrap()).unwrap();

    let file = to_bytes(&store).unwrap();
    let (loaded, report) = from_bytes::<f32>(&file).unwrap();
    assert!(report.is_complete());
    assert_eq!(to_bytes(&loaded).unwrap(), file);
    for (name, shape) in names.into_iter().zip(shapes) {
        assert_eq!(loaded[name].mask().unwrap().shape(), shape);
    }
    let masks = masks_from_bytes(&masks_to_bytes(&store).unwrap()).unwrap();
    assert_eq!(masks.len(), 5);
    assert_eq!(apply_masks(&mut store, masks).unwrap().applied.len(), 5);
    prune::remove(&mut store, "c").unwrap();
    assert_eq!(store["full"].value(), &arr1(&[0.0, 2.0]).into_dyn());
}

/// Opening a pipe waits for a writer, and a device has no end.
#[cfg(unix)]
#[test]
fn pipes_devices_and_folders_are_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&pipe, &link).unwrap();
    for path in [&pipe, &link, Path::new("/dev/zero"), directory.path()] {
        let errors = [
            load_file::<f32>(path).unwrap_err(),
            load_file_into(&mut layer(), path).unwrap_err(),
            load_masks(path).unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(&error, StateDictError::Read { path: found, .. } if found == path));
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert_eq!(cause, "not a regular file");
        }
        assert!(matches!(save_file(&layer(), path), Err(StateDictError::Write { .. })));
    }
}
