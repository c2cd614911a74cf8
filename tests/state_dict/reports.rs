//! The outcome for each tensor of a file and each parameter of a module, case by case.

use half::f16;
use ndarray::{Array1, ArrayD, arr0, arr1, arr2};
use prune::safetensors::{Entry, LoadReport, SkipReason, Skipped, from_bytes, load_into, state_dict, to_bytes};
use prune::{Module, Parameter, ParameterStore};

use super::{bytes_of, file_of, history, layer, snapshot, tensors, unpruned_layer};

fn store(tensors: &[(&str, &[f32])]) -> ParameterStore<f32> {
    tensors.iter().map(|(name, values)| (*name, arr1(values))).collect()
}

fn skipped(tensor: &str, reason: SkipReason) -> Skipped {
    Skipped { tensor: tensor.to_owned(), reason }
}

fn dtype(expected: &str, found: &str) -> SkipReason {
    SkipReason::Dtype { expected: expected.to_owned(), found: found.to_owned() }
}

#[test]
fn a_state_dict_is_in_the_order_of_the_module() {
    let layer = layer();
    let state = state_dict(&layer).unwrap();
    let names: Vec<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["weight_orig", "weight_mask", "bias"]);
    assert!(matches!(&state[0].1, Entry::Orig(orig) if orig == layer["weight"].orig()));
    assert!(matches!(&state[1].1, Entry::Mask(mask) if *mask == layer["weight"].mask().unwrap()));
    assert!(matches!(&state[2].1, Entry::Tensor(tensor) if tensor == layer["bias"].value()));
    assert_eq!(state[1].1.shape(), [2, 2]);
    assert_eq!(state[1].1.to_array(), arr2(&[[0.0, 0.0], [1.0, 1.0]]).into_dyn());
    assert_eq!(state[2].1.to_array(), *layer["bias"].value());

    let (loaded, report) = from_bytes::<f32>(&to_bytes(&layer).unwrap()).unwrap();
    assert_eq!(report.applied, names);
    assert_eq!(loaded.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["weight", "bias"]);
}

#[test]
fn a_mask_is_stored_in_the_dtype_of_the_weight() {
    fn dtypes<A: prune::Element>() -> Vec<(String, Vec<u8>)> {
        let mut weight = Parameter::new(arr1(&[A::one(), A::zero()]));
        weight.prune(prune::L1Unstructured::new(1).unwrap()).unwrap();
        tensors(&to_bytes(&weight).unwrap()).into_values().map(|(dtype, _, bytes)| (dtype, bytes)).collect()
    }
    assert_eq!(dtypes::<f32>(), vec![("F32".to_owned(), vec![0, 0, 0x80, 0x3f, 0, 0, 0, 0]); 2]);
    assert_eq!(dtypes::<f16>(), vec![("F16".to_owned(), vec![0, 0x3c, 0, 0]); 2]);
    assert_eq!(dtypes::<half::bf16>(), vec![("BF16".to_owned(), vec![0x80, 0x3f, 0, 0]); 2]);
    assert_eq!(dtypes::<f64>()[1].0, "F64");
}

#[test]
fn a_single_parameter_is_a_module_without_a_name() {
    let mut weight = Parameter::new(arr0(-1.5_f64));
    weight.prune(prune::L1Unstructured::new(1).unwrap()).unwrap();
    let file = to_bytes(&weight).unwrap();
    assert_eq!(tensors(&file).into_keys().collect::<Vec<_>>(), ["_mask", "_orig"]);

    let mut other = Parameter::new(arr0(0.0_f64));
    assert!(load_into(&mut other, &file).unwrap().is_complete());
    assert_eq!(snapshot(&other).0, file);
    assert!(other.value().first().unwrap().is_sign_negative());
}

#[test]
fn a_pruned_state_prunes_an_unpruned_parameter() {
    let (source, mut target) = (layer(), unpruned_layer());
    let report = load_into(&mut target, &to_bytes(&source).unwrap()).unwrap();
    assert_eq!(report.applied, ["weight_orig", "weight_mask", "bias"]);
    assert!(report.is_complete());
    assert_eq!(to_bytes(&target).unwrap(), to_bytes(&source).unwrap());
    assert_eq!(target["weight"].value(), source["weight"].value());
    assert_eq!(history(&target["weight"]), ["CustomFromMask"]);
    assert!(history(&target["bias"]).is_empty());
}

#[test]
fn a_pruned_state_replaces_original_mask_and_history_of_a_pruned_parameter() {
    let (source, mut target) = (layer(), unpruned_layer());
    prune::random_unstructured(&mut target, "weight", 3, 1).unwrap();
    prune::identity(&mut target, "weight").unwrap();
    assert!(load_into(&mut target, &to_bytes(&source).unwrap()).unwrap().is_complete());
    assert_eq!(to_bytes(&target).unwrap(), to_bytes(&source).unwrap());
    assert_eq!(history(&target["weight"]), ["CustomFromMask"]);
}

#[test]
fn an_unpruned_state_does_not_touch_a_pruned_parameter() {
    let mut target = layer();
    let before = snapshot(&target["weight"]);
    let report = load_into(&mut target, &to_bytes(&unpruned_layer()).unwrap()).unwrap();
    assert_eq!(report.unexpected, ["weight"]);
    assert_eq!(report.missing, ["weight_orig", "weight_mask"]);
    assert_eq!(report.applied, ["bias"]);
    assert_eq!(snapshot(&target["weight"]), before);
    assert_eq!(target["bias"].value(), &arr1(&[9.0, 9.0]).into_dyn());
}

#[test]
fn a_pair_stands_where_its_original_does() {
    let one = bytes_of(&[1.0]);
    let part = |name| (name, "F32", "[1]", &one[..]);
    for (parts, expected) in [
        (["w_orig", "b", "w_mask"], ["w", "b"]),
        (["w_mask", "b", "w_orig"], ["b", "w"]),
        (["b", "w_mask", "w_orig"], ["b", "w"]),
    ] {
        let (store, report) = from_bytes::<f32>(&file_of(&parts.map(part))).unwrap();
        assert_eq!(store.iter().map(|(name, _)| name).collect::<Vec<_>>(), expected);
        assert!(report.is_complete());
    }
}

#[test]
fn complete_is_what_lacks_nothing_and_has_nothing_more() {
    let complete = LoadReport::default();
    let names = || vec!["w".to_owned()];
    assert!(complete.is_complete());
    assert!(!LoadReport { missing: names(), ..complete.clone() }.is_complete());
    assert!(!LoadReport { unexpected: names(), ..complete.clone() }.is_complete());
    let skipped = vec![skipped("w", SkipReason::Counterpart { tensor: "v".to_owned() })];
    assert!(!LoadReport { skipped, ..complete.clone() }.is_complete());
    assert!(LoadReport { applied: names(), ..complete }.is_complete());
}

#[test]
fn half_a_pair_is_an_ordinary_tensor() {
    for name in ["weight_orig", "weight_mask"] {
        // A lone mask is an ordinary tensor of any values.
        let lone = to_bytes(&store(&[(name, &[0.5, 7.0])])).unwrap();
        let (loaded, report) = from_bytes::<f32>(&lone).unwrap();
        assert_eq!(report.applied, [name]);
        assert!(!loaded[name].is_pruned());

        let mut owner = store(&[(name, &[1.0, 2.0])]);
        assert!(load_into(&mut owner, &lone).unwrap().is_complete());
        assert_eq!(owner[name].value(), &arr1(&[0.5, 7.0]).into_dyn());

        let mut target = layer();
        let before = snapshot(&target);
        let report = load_into(&mut target, &lone).unwrap();
        assert_eq!(report.unexpected, [name]);
        assert_eq!(report.missing, ["weight_orig", "weight_mask", "bias"]);
        assert_eq!(snapshot(&target), before);
    }
}

#[test]
fn names_that_the_module_has_stand_for_themselves() {
    let pair: [(&str, &str, &str, &[u8]); 2] = [("w_orig", "F32", "[1]", &[0; 4]), ("w_mask", "F32", "[1]", &[7; 4])];
    let file = file_of(&pair);

    let mut both = store(&[("w_orig", &[1.0]), ("w_mask", &[1.0])]);
    assert!(load_into(&mut both, &file).unwrap().is_complete());
    assert_eq!(both["w_mask"].value()[0].to_bits(), 0x0707_0707);

    let mut one = store(&[("w", &[1.0]), ("w_orig", &[1.0])]);
    let report = load_into(&mut one, &file).unwrap();
    assert_eq!(report.applied, ["w_orig"]);
    assert_eq!(report.missing, ["w"]);
    assert_eq!(report.unexpected, ["w_mask"]);
}

#[test]
fn a_name_may_end_in_a_suffix_and_be_pruned() {
    let mut nested = store(&[("w_orig", &[1.0, 2.0]), ("w_mask", &[3.0]), ("v_mask", &[4.0, 5.0])]);
    prune::l1_unstructured(&mut nested, "w_orig", 1).unwrap();
    prune::l1_unstructured(&mut nested, "v_mask", 1).unwrap();
    let file = to_bytes(&nested).unwrap();
    let (loaded, report) = from_bytes::<f32>(&file).unwrap();
    assert_eq!(report.applied, ["w_orig_orig", "w_orig_mask", "w_mask", "v_mask_orig", "v_mask_mask"]);
    assert!(loaded["w_orig"].is_pruned() && !loaded["w_mask"].is_pruned() && loaded["v_mask"].is_pruned());
    assert_eq!(to_bytes(&loaded).unwrap(), file);
}

#[test]
fn tensors_without_a_place_are_unexpected_and_parameters_without_a_tensor_missing() {
    let file = to_bytes(&store(&[("a", &[1.0]), ("b", &[2.0]), ("c", &[3.0])])).unwrap();
    let mut target = store(&[("d", &[0.0]), ("b", &[0.0]), ("e", &[0.0])]);
    let report = load_into(&mut target, &file).unwrap();
    let expected = LoadReport {
        applied: vec!["b".to_owned()],
        missing: vec!["d".to_owned(), "e".to_owned()],
        unexpected: vec!["a".to_owned(), "c".to_owned()],
        skipped: vec![],
    };
    assert_eq!(report, expected);
    assert_eq!(report.to_string(), "applied 1; missing `d`, `e`; unexpected `a`, `c`");
}

#[test]
fn another_dtype_is_skipped_and_the_parameter_missing() {
    let file = to_bytes(&ParameterStore::from_iter([("weight", Array1::<f64>::zeros(4))])).unwrap();
    let mut target = layer();
    let before = snapshot(&target);
    let report = load_into(&mut target, &file).unwrap();
    assert_eq!(report.skipped, [skipped("weight", dtype("F32", "F64"))]);
    assert_eq!(report.missing, ["weight_orig", "weight_mask", "bias"]);
    assert_eq!(snapshot(&target), before);
    assert_eq!(report.skipped[0].to_string(), "`weight`: dtype is F64, not F32");
}

#[test]
fn a_pair_is_skipped_as_a_whole() {
    let file = to_bytes(&layer()).unwrap();
    let (empty, report) = from_bytes::<f16>(&file).unwrap();
    assert!(empty.is_empty());
    let counterpart = SkipReason::Counterpart { tensor: "weight_orig".to_owned() };
    let expected = [
        skipped("weight_orig", dtype("F16", "F32")),
        skipped("weight_mask", counterpart),
        skipped("bias", dtype("F16", "F32")),
    ];
    assert_eq!(report.skipped, expected);
    let line = "applied 0; skipped `weight_orig`: dtype is F32, not F16, `weight_mask`: `weight_orig` is skipped, \
                `bias`: dtype is F32, not F16";
    assert_eq!(report.to_string(), line);
}

#[test]
fn a_mask_of_a_dtype_without_0_and_1_is_skipped_with_its_original() {
    let file = file_of(&[("w_mask", "F8_E4M3", "[1]", &[0]), ("w_orig", "F32", "[1]", &[0; 4])]);
    let (empty, report) = from_bytes::<f32>(&file).unwrap();
    assert!(empty.is_empty());
    let counterpart = SkipReason::Counterpart { tensor: "w_mask".to_owned() };
    let found = "F8_E4M3".to_owned();
    let expected = [skipped("w_orig", counterpart), skipped("w_mask", SkipReason::MaskDtype { found })];
    assert_eq!(report.skipped, expected);
    let reason = "dtype F8_E4M3 cannot hold a mask";
    assert_eq!(report.skipped[1].reason.to_string(), reason);
}

#[test]
fn masks_of_every_dtype_are_read() {
    let cases: [(&str, &[u8]); 14] = [
        ("BOOL", &[0, 1]),
        ("U8", &[0, 1]),
        ("I8", &[0, 1]),
        ("I16", &[0, 0, 1, 0]),
        ("U16", &[0, 0, 1, 0]),
        ("I32", &[0, 0, 0, 0, 1, 0, 0, 0]),
        ("U32", &[0, 0, 0, 0, 1, 0, 0, 0]),
        ("I64", &[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
        ("U64", &[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
        ("F16", &[0, 0, 0, 0x3c]),
        ("BF16", &[0, 0, 0x80, 0x3f]),
        ("F32", &[0, 0, 0, 0, 0, 0, 0x80, 0x3f]),
        ("F32", &[0, 0, 0, 0x80, 0, 0, 0x80, 0x3f]), // -0.0 is 0
        ("F64", &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]),
    ];
    for (dtype, mask) in cases {
        let orig = bytes_of(&[5.0, 6.0]);
        let file = file_of(&[("w_mask", dtype, "[2]", mask), ("w_orig", "F32", "[2]", &orig)]);
        let (store, report) = from_bytes::<f32>(&file).unwrap();
        assert!(report.is_complete(), "{dtype}: {report}");
        assert_eq!(store["w"].mask().unwrap(), &arr1(&[false, true]), "{dtype}");
        assert_eq!(store["w"].value(), &arr1(&[0.0, 6.0]).into_dyn(), "{dtype}");
    }
}

#[test]
fn a_file_without_tensors_is_a_store_without_parameters() {
    let file = to_bytes(&ParameterStore::<f32>::new()).unwrap();
    assert_eq!(file, b"\x08\0\0\0\0\0\0\0{}      ");
    let (store, report) = from_bytes::<f32>(&file).unwrap();
    assert!(store.is_empty() && report == LoadReport::default());
    assert_eq!(report.to_string(), "applied 0");
}

#[test]
fn metadata_and_unaligned_data_are_read() {
    let header = r#" {"__metadata__":{"format":"pt","x":"y"},"w":{"dtype":"F32","shape":[2],"data_offsets":[1,9]},"u":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    let data = [vec![1], bytes_of(&[5.0, -6.0])].concat();
    let (store, report) = from_bytes::<f32>(&super::file(header, &data)).unwrap();
    assert_eq!(store["w"].value(), &arr1(&[5.0, -6.0]).into_dyn());
    assert_eq!(report.skipped, [skipped("u", dtype("F32", "U8"))]);
}

#[test]
fn a_module_behind_a_pointer_is_loaded() {
    let mut net: Box<dyn Module<Elem = f32>> = Box::new(unpruned_layer());
    assert!(load_into(&mut *net, &to_bytes(&layer()).unwrap()).unwrap().is_complete());
    assert_eq!(to_bytes(&*net).unwrap(), to_bytes(&layer()).unwrap());
}

#[test]
fn nan_payloads_and_signed_zeros_survive() {
    let bits = [0x7fc0_0001_u32, 0xffa0_1234, 0x8000_0000, 0x0000_0001, 0x7f80_0000];
    let values: ArrayD<f32> = arr1(&bits.map(f32::from_bits)).into_dyn();
    let mut store = ParameterStore::from_iter([("a", values.clone()), ("b", values)]);
    prune::identity(&mut store, "b").unwrap();
    let file = to_bytes(&store).unwrap();
    let (loaded, _) = from_bytes::<f32>(&file).unwrap();
    assert!(loaded["b"].orig().iter().map(|x| x.to_bits()).eq(bits));
    assert_eq!(to_bytes(&loaded).unwrap(), file);
}
