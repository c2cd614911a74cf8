//! Every variant of the error, with its exact message. On each error, the module is unchanged.

use std::error::Error;
use std::panic::{RefUnwindSafe, UnwindSafe};

use ndarray::{Array, arr1, arr2};
use prune::safetensors::{
    LoadReport, StateDictError, apply_masks, from_bytes, load_file, load_into, masks_from_bytes, masks_to_bytes,
    save_file, state_dict, to_bytes,
};
use prune::{Module, NamedParameters, NamedParametersMut, Parameter, ParameterStore};

use super::{bytes_of, file, file_of, layer, snapshot};

/// Loads a file in both ways, which return the same error, and checks that the module is unchanged.
fn refused(file: &[u8]) -> StateDictError {
    let mut module = layer();
    let before = snapshot(&module);
    let error = load_into(&mut module, file).unwrap_err();
    assert_eq!(snapshot(&module), before);
    assert_eq!(from_bytes::<f32>(file).unwrap_err().to_string(), error.to_string());
    error
}

/// Returns the message, which must not repeat the source, and the source.
fn messages(error: &StateDictError) -> (String, Option<String>) {
    let (message, source) = (error.to_string(), error.source().map(ToString::to_string));
    assert!(source.as_ref().is_none_or(|source| !message.contains(source)), "{message}");
    (message, source)
}

#[test]
fn read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("none.safetensors");
    let error = load_file::<f32>(&path).unwrap_err();
    assert!(matches!(&error, StateDictError::Read { path: found, .. } if *found == path));
    let (message, source) = messages(&error);
    assert_eq!(message, format!("cannot read `{}`", path.display()));
    assert_eq!(source.unwrap(), "No such file or directory (os error 2)");
}

#[test]
fn write() {
    let directory = tempfile::tempdir().unwrap();
    let error = save_file(&layer(), directory.path()).unwrap_err();
    assert!(matches!(&error, StateDictError::Write { path, .. } if path == directory.path()));
    let (message, source) = messages(&error);
    assert_eq!(message, format!("cannot write `{}`", directory.path().display()));
    assert_eq!(source.unwrap(), "not a regular file");
}

#[test]
fn truncated() {
    let error = refused(b"abc");
    assert!(matches!(error, StateDictError::Truncated { expected: 8, found: 3 }));
    assert_eq!(error.to_string(), "file has 3 bytes, but its header needs 8");

    let error = refused(b"\x05\0\0\0\0\0\0\0{}");
    assert_eq!(error.to_string(), "file has 10 bytes, but its header needs 13");

    let whole = to_bytes(&layer()).unwrap();
    let error = refused(&whole[..whole.len() - 1]);
    assert_eq!(error.to_string(), format!("file has {} bytes, but its header needs {}", whole.len() - 1, whole.len()));
}

#[test]
fn trailing_bytes() {
    let error = refused(&file("{}", b"xyz"));
    assert!(matches!(error, StateDictError::TrailingBytes { expected: 10, found: 13 }));
    assert_eq!(error.to_string(), "file has 13 bytes, but its header describes only 10");
}

#[test]
fn header_too_large() {
    let error = refused(&100_000_001_u64.to_le_bytes());
    assert!(matches!(error, StateDictError::HeaderTooLarge { limit: 100_000_000, found: 100_000_001 }));
    assert_eq!(error.to_string(), "header has 100000001 bytes, limit 100000000");
    assert!(matches!(refused(&[0xff; 8]), StateDictError::HeaderTooLarge { found: u64::MAX, .. }));
}

#[test]
fn invalid_header() {
    let message = "header is not valid safetensors JSON";
    let cases = [
        ("", "EOF while parsing a value at line 1 column 0"),
        ("[]", "invalid type: sequence, expected an object with a tensor for each name at line 1 column 0"),
        ("{", "EOF while parsing an object at line 1 column 1"),
        ("{} x", "trailing characters at line 1 column 4"),
        (r#"{"w":{"dtype":"F32","shape":[1]}}"#, "missing field `data_offsets` at line 1 column 32"),
        (
            r#"{"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
            "invalid value: integer `-1`, expected usize at line 1 column 31",
        ),
        (r#"{"w":{"dtype":"F32","dtype":"F32"}}"#, "duplicate field `dtype` at line 1 column 27"),
        (r#"{"__metadata__":{"a":1}}"#, "invalid type: integer `1`, expected a string at line 1 column 22"),
    ];
    for (header, expected) in cases {
        let error = refused(&file(header, &[]));
        assert!(matches!(error, StateDictError::InvalidHeader { .. }), "{header}");
        assert_eq!(messages(&error), (message.to_owned(), Some(expected.to_owned())), "{header}");
    }
    for header in [r#"{"w":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}"#, "{\"\u{0}\":1}", "\u{feff}{}"] {
        assert!(matches!(refused(&file(header, &[0; 4])), StateDictError::InvalidHeader { .. }), "{header}");
    }
    let not_utf8 = [&2_u64.to_le_bytes()[..], b"\xff\xfe"].concat();
    assert!(matches!(refused(&not_utf8), StateDictError::InvalidHeader { .. }));
}

#[test]
fn duplicate_name() {
    let tensor = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let error = refused(&file(&format!(r#"{{"w":{tensor},"w":{tensor}}}"#), &[0; 4]));
    assert!(matches!(&error, StateDictError::DuplicateName { name } if name == "w"));
    assert_eq!(error.to_string(), "`w` occurs twice");

    // An escaped name equals the same name without escapes.
    let error = refused(&file(&format!(r#"{{"\u0077\n":{tensor},"w\n":{tensor}}}"#), &[0; 4]));
    assert_eq!(error.to_string(), "`w\\n` occurs twice");
    let error = refused(&file(r#"{"__metadata__":{},"__metadata__":{}}"#, &[]));
    assert_eq!(error.to_string(), "`__metadata__` occurs twice");
}

#[test]
fn invalid_layout() {
    let message = "tensor data overlaps, leaves gaps or does not fit its shape";
    let case = |shape: &str, offsets: &str, data: usize| {
        let header = format!(r#"{{"w":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#);
        let error = refused(&file(&header, &vec![0; data]));
        assert!(matches!(error, StateDictError::InvalidLayout { .. }), "{header}");
        let (found, source) = messages(&error);
        assert_eq!(found, message);
        source.unwrap()
    };
    assert_eq!(case("[1]", "[4,8]", 8), "invalid offset for tensor `w`");
    assert_eq!(case("[1]", "[4,0]", 4), "invalid offset for tensor `w`");
    assert_eq!(case("[2]", "[0,4]", 4), "invalid shape, data type, or offset for tensor");
    let overflow = "overflow computing buffer size from shape and/or element type";
    assert_eq!(case("[4294967296,4294967296]", "[0,4]", 4), overflow);
    assert_eq!(case("[9223372036854775808,2,0]", "[0,0]", 0), overflow);

    let overlap = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    assert_eq!(messages(&refused(&file(overlap, &[0; 8]))).1.unwrap(), "invalid offset for tensor `b`");
}

#[test]
fn impossible_shape() {
    let file = file_of(&[("w\u{1b}[31m", "F32", "[0,9223372036854775808]", &[])]);
    let error = from_bytes::<f32>(&file).unwrap_err();
    let StateDictError::ImpossibleShape { tensor, found } = &error else { panic!("{error}") };
    assert_eq!((tensor.as_str(), found.as_str()), ("w\u{1b}[31m", "[0, 9223372036854775808]"));
    let message =
        "tensor `w\\u{1b}[31m` has an unsupported shape, [0, 9223372036854775808]: a size is negative or too large";
    assert_eq!(error.to_string(), message);
}

#[test]
fn shape_mismatch() {
    // Between an original and its mask,
    let file = file_of(&[("w_orig", "F32", "[2]", &[0; 8]), ("w_mask", "F32", "[1,2]", &[0; 8])]);
    let error = from_bytes::<f32>(&file).unwrap_err();
    assert!(matches!(&error, StateDictError::ShapeMismatch { tensor, .. } if tensor == "w_mask"));
    assert_eq!(error.to_string(), "`w_mask` has shape [1, 2], but its parameter has shape [2]");

    // and between the file and the module. The bias, which comes first in this file, is not loaded either.
    let mut other = ParameterStore::from_iter([("bias", arr1(&[7.0_f32, 7.0]))]);
    other.insert("weight", arr1(&[1.0, 2.0, 3.0, 4.0]));
    for pruned in [false, true] {
        if pruned {
            prune::identity(&mut other, "weight").unwrap();
        }
        let mut module = super::unpruned_layer();
        let before = snapshot(&module);
        let error = load_into(&mut module, &to_bytes(&other).unwrap()).unwrap_err();
        let name = if pruned { "weight_orig" } else { "weight" };
        assert_eq!(error.to_string(), format!("`{name}` has shape [4], but its parameter has shape [2, 2]"));
        assert_eq!(snapshot(&module), before);
    }
}

#[test]
fn mask_value() {
    let orig = bytes_of(&[1.0; 6]);
    let case = |dtype, mask: &[u8]| {
        let file = file_of(&[("w_orig", "F32", "[2,3]", &orig), ("w_mask", dtype, "[2,3]", mask)]);
        let error = from_bytes::<f32>(&file).unwrap_err();
        let StateDictError::MaskValue { tensor, index, found } = &error else { panic!("{error}") };
        assert_eq!(tensor, "w_mask");
        (index.clone(), *found, error.to_string())
    };
    let (index, found, message) = case("F32", &bytes_of(&[1.0, 0.0, 1.0, 1.0, 0.5, 2.0]));
    assert_eq!((index, found), (vec![1, 1], 0.5));
    assert_eq!(message, "mask `w_mask` holds 0.5 at [1, 1]; only 0 and 1 are allowed");
    assert_eq!(case("BOOL", &[1, 0, 2, 1, 1, 1]).2, "mask `w_mask` holds 2 at [0, 2]; only 0 and 1 are allowed");
    assert_eq!(case("I8", &[0xff, 0, 1, 1, 1, 1]).2, "mask `w_mask` holds -1 at [0, 0]; only 0 and 1 are allowed");
    assert!(case("F16", &[0, 0x7e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).1.is_nan());

    let in_three = file_of(&[
        ("w_orig", "F32", "[2,3,5]", &bytes_of(&[1.0; 30])),
        ("w_mask", "U8", "[2,3,5]", &std::array::from_fn::<_, 30, _>(|i| if i == 27 { 9 } else { 1 })),
    ]);
    let message = from_bytes::<f32>(&in_three).unwrap_err().to_string();
    assert_eq!(message, "mask `w_mask` holds 9 at [1, 2, 2]; only 0 and 1 are allowed");

    let mut module = layer();
    let before = snapshot(&module);
    let file = file_of(&[
        ("bias", "F32", "[2]", &[0; 8]),
        ("weight_orig", "F32", "[2,2]", &[0; 16]),
        ("weight_mask", "I32", "[2,2]", &[2; 16]),
    ]);
    assert!(load_into(&mut module, &file).is_err());
    assert_eq!(snapshot(&module), before);
}

#[test]
fn pruned_and_plain() {
    for dtype in ["F32", "I32"] {
        let error = refused(&file_of(&[
            ("w", dtype, "[1]", &[0; 4]),
            ("w_mask", "F32", "[1]", &[0; 4]),
            ("w_orig", "F32", "[1]", &[0; 4]),
        ]));
        assert!(matches!(&error, StateDictError::PrunedAndPlain { parameter } if parameter == "w"));
        assert_eq!(error.to_string(), "parameter `w` is stored both plain and as `w_orig` and `w_mask`");
    }
}

/// A module with the given names, which may be equal or reserved.
struct Names(&'static [&'static str], Vec<Parameter<f32>>);

impl Names {
    fn new(names: &'static [&'static str]) -> Self {
        Self(names, names.iter().map(|_| Parameter::new(arr1(&[1.0, 2.0]))).collect())
    }
}

impl Module for Names {
    type Elem = f32;

    fn named_parameters(&self) -> NamedParameters<'_, f32> {
        self.0.iter().map(|name| (*name).to_owned()).zip(&self.1).collect()
    }
    fn named_parameters_mut(&mut self) -> NamedParametersMut<'_, f32> {
        self.0.iter().map(|name| (*name).to_owned()).zip(&mut self.1).collect()
    }
}

#[test]
fn name_clash() {
    for taken in ["weight_orig", "weight_mask"] {
        let mut module = layer();
        module.insert(taken, arr1(&[0.0_f32]));
        let error = state_dict(&module).unwrap_err();
        assert!(matches!(&error, StateDictError::NameClash { name } if name == taken));
        assert_eq!(error.to_string(), format!("the state dict would contain two tensors named `{taken}`"));

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("layer.safetensors");
        std::fs::write(&path, "untouched").unwrap();
        assert!(save_file(&module, &path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"untouched");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    let mut twice = Names::new(&["w", "w"]);
    let clash = "the state dict would contain two tensors named `w`";
    assert_eq!(to_bytes(&twice).unwrap_err().to_string(), clash);
    let file = to_bytes(&Names::new(&["w"])).unwrap();
    assert_eq!(load_into(&mut twice, &file).unwrap_err().to_string(), clash);
    assert_eq!(apply_masks(&mut twice, [("w", arr1(&[true, false]).into_dyn())]).unwrap_err().to_string(), clash);
    // The names in a file would be unique: `w_orig`, `w_mask` and `w`.
    twice.1[0].prune(prune::Identity).unwrap();
    assert_eq!(to_bytes(&twice).unwrap_err().to_string(), clash);
    twice.1[1].prune(prune::Identity).unwrap();
    assert_eq!(masks_to_bytes(&twice).unwrap_err().to_string(), clash);

    // `w_mask` is the mask of `w`, although the pruned parameter `w_mask` would have other names in a file.
    let mut nested = Names::new(&["w", "w_mask"]);
    nested.1.iter_mut().for_each(|parameter| parameter.prune(prune::Identity).unwrap());
    assert_eq!(to_bytes(&nested).unwrap_err().to_string(), "the state dict would contain two tensors named `w_mask`");

    // As in `prune::apply`, a parameter that could not be saved is not pruned.
    let mut module = ParameterStore::from_iter([("w", arr1(&[1.0_f32])), ("w_mask", arr1(&[1.0]))]);
    let error = apply_masks(&mut module, [("w", arr1(&[false]).into_dyn())]).unwrap_err();
    assert_eq!(error.to_string(), "the state dict would contain two tensors named `w_mask`");
    assert!(!prune::is_pruned(&module));
}

#[test]
fn mistaken_for_pruned() {
    let error = to_bytes(&Names::new(&["a.w_orig", "b", "a.w_mask"])).unwrap_err();
    assert!(matches!(&error, StateDictError::MistakenForPruned { parameter } if parameter == "a.w"));
    let message = "parameters `a.w_orig` and `a.w_mask` would be read as a pruned parameter `a.w`";
    assert_eq!(error.to_string(), message);
}

#[test]
fn reserved_name() {
    let error = to_bytes(&Names::new(&["w", "__metadata__"])).unwrap_err();
    assert!(matches!(&error, StateDictError::ReservedName { name } if name == "__metadata__"));
    let message = "the file format reserves the name `__metadata__`";
    assert_eq!(error.to_string(), message);

    // A pruned parameter has other names in a file.
    let mut pruned = Names::new(&["__metadata__"]);
    pruned.1[0].prune(prune::Identity).unwrap();
    assert!(from_bytes::<f32>(&to_bytes(&pruned).unwrap()).unwrap().0["__metadata__"].is_pruned());
}

#[test]
fn not_masks() {
    let shape = 1_i64.to_le_bytes();
    for (found, file) in [
        ("weight_orig", to_bytes(&layer()).unwrap()),
        ("w_mask_shape", file_of(&[("w_mask_shape", "I64", "[1]", &shape)])),
        ("w_mask_bits", file_of(&[("w_mask_bits", "U8", "[1]", &[0])])),
    ] {
        let error = masks_from_bytes(&file).unwrap_err();
        assert!(matches!(&error, StateDictError::NotMasks { found: name } if name == found));
        let reason = "is not part of a mask, which is a pair named `*_mask_bits` and `*_mask_shape`";
        assert_eq!(error.to_string(), format!("tensor `{found}` {reason}"));
    }
}

/// Returns the error for a mask file with one mask.
fn packed(shape: (&str, &str, &[u8]), bits: (&str, &str, &[u8])) -> StateDictError {
    let file = file_of(&[("w_mask_shape", shape.0, shape.1, shape.2), ("w_mask_bits", bits.0, bits.1, bits.2)]);
    masks_from_bytes(&file).unwrap_err()
}

#[test]
fn mask_layout() {
    let (shape, bits): (&[u8], &[u8]) = (&3_i64.to_le_bytes(), &[0]);
    let error = packed(("I64", "[1]", shape), ("U8", "[1,1]", bits));
    assert!(matches!(&error, StateDictError::MaskLayout { tensor, .. } if tensor == "w_mask_bits"));
    assert_eq!(error.to_string(), "tensor `w_mask_bits` is U8 of shape [1, 1], not a vector of U8");
    let error = packed(("I64", "[1]", shape), ("BOOL", "[1]", bits));
    assert_eq!(error.to_string(), "tensor `w_mask_bits` is BOOL of shape [1], not a vector of U8");
    let error = packed(("U64", "[1]", shape), ("U8", "[1]", bits));
    assert_eq!(error.to_string(), "tensor `w_mask_shape` is U64 of shape [1], not a vector of I64");
    let error = packed(("I64", "[]", shape), ("U8", "[1]", bits));
    assert_eq!(error.to_string(), "tensor `w_mask_shape` is I64 of shape [], not a vector of I64");
}

#[test]
fn impossible_mask_shape() {
    for sizes in [[-1, 3], [0, i64::MIN], [1 << 40, 1 << 40], [i64::MAX, 4]] {
        let shape: Vec<u8> = sizes.iter().flat_map(|size: &i64| size.to_le_bytes()).collect();
        let error = packed(("I64", "[2]", &shape), ("U8", "[1]", &[0]));
        assert!(matches!(&error, StateDictError::ImpossibleShape { .. }), "{error}");
        let expected = "tensor `w_mask_shape` has an unsupported shape";
        assert_eq!(error.to_string(), format!("{expected}, {sizes:?}: a size is negative or too large"));
    }
    // Too large, although there are no entries.
    let shape: Vec<u8> = [i64::MAX, i64::MAX, 0].iter().flat_map(|size| size.to_le_bytes()).collect();
    assert!(matches!(packed(("I64", "[3]", &shape), ("U8", "[0]", &[])), StateDictError::ImpossibleShape { .. }));
}

#[test]
fn mask_length() {
    for (entries, len) in [(9_i64, 1_usize), (8, 2), (0, 1), (i64::MAX, 1)] {
        let error = packed(("I64", "[1]", &entries.to_le_bytes()), ("U8", &format!("[{len}]"), &vec![0; len]));
        let expected = (entries as usize).div_ceil(8);
        assert!(matches!(&error, StateDictError::MaskLength { tensor, .. } if tensor == "w_mask_bits"));
        assert_eq!(
            error.to_string(),
            format!("tensor `w_mask_bits` has {len} bytes, but the shape of its mask needs {expected}")
        );
    }
}

#[test]
fn mask_padding() {
    let error = packed(("I64", "[1]", &3_i64.to_le_bytes()), ("U8", "[1]", &[0b1000]));
    assert!(matches!(&error, StateDictError::MaskPadding { tensor } if tensor == "w_mask_bits"));
    let message = "tensor `w_mask_bits` is corrupt: a padding bit after the last entry is 1";
    assert_eq!(error.to_string(), message);
}

#[test]
fn masks_of_another_shape_prune_nothing() {
    let mut module = layer();
    let before = snapshot(&module);
    let bias = ("bias", arr1(&[false, true]).into_dyn());
    let error = apply_masks(&mut module, [bias, ("weight", arr2(&[[true, false]]).into_dyn())]).unwrap_err();
    assert_eq!(error.to_string(), "`weight` has shape [1, 2], but its parameter has shape [2, 2]");
    assert_eq!(snapshot(&module), before);
}

#[test]
fn what_a_file_can_be_is_safe_to_share() {
    fn check<T: Send + Sync + UnwindSafe + RefUnwindSafe>() {}
    check::<StateDictError>();
    check::<LoadReport>();
    check::<prune::safetensors::SkipReason>();
    check::<prune::safetensors::Entry<'_, f32>>();
}

#[test]
fn a_header_that_would_be_too_large_is_not_written() {
    // One name of 100 MB; the tensor itself is small.
    let module = ParameterStore::from_iter([("x".repeat(100_000_000), Array::<f32, _>::zeros(1))]);
    assert!(matches!(to_bytes(&module), Err(StateDictError::HeaderTooLarge { limit: 100_000_000, .. })));
}
