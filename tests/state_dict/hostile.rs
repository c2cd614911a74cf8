//! Files from strangers.

use prune::safetensors::{StateDictError, from_bytes, load_into, masks_from_bytes, masks_to_bytes, to_bytes};

use crate::{file, file_of, layer, snapshot};

/// An error in every way of loading, without a change to any module.
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
    // Nine tensors of up to 2^61 - 1 bytes lie one after the other up to nearly 2^64; with its header the
    // file would be longer than a number can tell. The safetensors crate adds that up unchecked.
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
