//! Mask files.

use ndarray::{Array, ArrayD, Axis, IxDyn, arr0, arr1, arr2};
use prune::safetensors::{StateDictError, apply_masks, masks_from_bytes, masks_to_bytes, save_named_masks, to_bytes};
use prune::{Mask, ParameterStore};

use super::{file_of, history, layer, tensors};

#[test]
fn the_layout_is_what_the_documentation_says() {
    let mut store = ParameterStore::from_iter([("a", Array::<f32, _>::zeros((3, 3)).into_dyn())]);
    store.insert("b", ArrayD::zeros(vec![0, 2]));
    store.insert("unpruned", ArrayD::zeros(vec![4]));
    store.insert("c", arr0(1.0));
    let mask = [[1, 0, 0], [0, 1, 1], [0, 0, 1]];
    prune::custom_from_mask(&mut store, "a", arr2(&mask)).unwrap();
    prune::identity(&mut store, "b").unwrap();
    prune::identity(&mut store, "c").unwrap();

    let file = masks_to_bytes(&store).unwrap();
    let ints = |numbers: &[i64]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let expected = [
        ("a_mask_bits", "U8", vec![2], vec![0b0011_0001, 1]),
        ("a_mask_shape", "I64", vec![2], ints(&[3, 3])),
        ("b_mask_bits", "U8", vec![0], vec![]),
        ("b_mask_shape", "I64", vec![2], ints(&[0, 2])),
        ("c_mask_bits", "U8", vec![1], vec![1]),
        ("c_mask_shape", "I64", vec![0], vec![]),
    ];
    let expected = expected.map(|(name, dtype, shape, bytes)| (name.to_owned(), (dtype.to_owned(), shape, bytes)));
    assert_eq!(tensors(&file), expected.into());

    let masks = masks_from_bytes(&file).unwrap();
    assert_eq!(masks.len(), 3);
    assert!(masks.iter().all(|(name, mask)| store[name.as_str()].mask() == Some(mask)));
    assert_eq!(masks.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn the_same_masks_are_the_same_bytes_whatever_the_weights() {
    let mut doubled = layer();
    doubled["weight"].update(|mut weight| weight *= 2.0);
    assert_eq!(masks_to_bytes(&layer()).unwrap(), masks_to_bytes(&doubled).unwrap());
    assert_eq!(masks_to_bytes(&ParameterStore::<f64>::new()).unwrap(), b"\x08\0\0\0\0\0\0\0{}      ");
}

#[test]
fn masks_without_a_module_are_the_bytes_of_a_module_with_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("masks.safetensors");
    let module = layer();
    let parameters = module.iter().filter_map(|(name, parameter)| Some((name, parameter.mask()?)));
    save_named_masks(parameters, &path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), masks_to_bytes(&module).unwrap());

    let mask = Mask::from_elem([2], true);
    let error = save_named_masks([("w", &mask), ("w", &mask)], &path).unwrap_err();
    assert!(matches!(error, StateDictError::NameClash { name } if name == "w"));
    assert_eq!(std::fs::read(&path).unwrap(), masks_to_bytes(&module).unwrap());
}

#[test]
fn a_mask_costs_one_bit_per_weight() {
    let mut large = ParameterStore::from_iter([("w", Array::<f32, _>::ones((1000, 1000)))]);
    prune::l1_unstructured(&mut large, "w", 0.5).unwrap();
    let bytes = masks_to_bytes(&large).unwrap().len();
    assert!((125_000..125_200).contains(&bytes), "{bytes}");
}

#[test]
fn masks_are_applied_on_top_of_what_is_pruned() {
    let mut store = ParameterStore::from_iter([("w", arr1(&[1.0_f32, -2.0, 3.0])), ("v", arr1(&[1.0, 2.0, 3.0]))]);
    prune::l1_unstructured(&mut store, "w", 1).unwrap();
    let mask = |kept: [bool; 3]| arr1(&kept).into_dyn();
    let masks = [("w", mask([true, false, true])), ("x", mask([true; 3])), ("v", mask([false, true, true]))];
    let report = apply_masks(&mut store, masks).unwrap();
    assert_eq!(report.applied, ["w", "v"]);
    assert_eq!(report.unexpected, ["x"]);
    assert!(report.missing.is_empty() && report.skipped.is_empty());
    assert_eq!(store["w"].mask().unwrap(), &mask([false, false, true]));
    assert_eq!(store["w"].value(), &arr1(&[0.0, -0.0, 3.0]).into_dyn());
    assert_eq!(store["w"].orig(), &arr1(&[1.0, -2.0, 3.0]).into_dyn());
    assert_eq!(store["v"].value(), &arr1(&[0.0, 2.0, 3.0]).into_dyn());
    assert_eq!(history(&store["w"]), ["L1Unstructured", "CustomFromMask"]);
    assert_eq!(history(&store["v"]), ["CustomFromMask"]);
}

#[test]
fn a_module_with_masks_saves_like_one_that_was_pruned_by_them() {
    let weights = arr2(&[[1.0_f64, -2.0], [3.0, -4.0]]);
    let (mut ours, mut theirs) =
        (ParameterStore::from_iter([("weight", weights.clone())]), ParameterStore::from_iter([("weight", weights)]));
    let masks = masks_from_bytes(&masks_to_bytes(&layer()).unwrap()).unwrap();
    prune::custom_from_mask(&mut theirs, "weight", &masks[0].1).unwrap();
    let _ = apply_masks(&mut ours, masks).unwrap();
    assert_eq!(to_bytes(&ours).unwrap(), to_bytes(&theirs).unwrap());
}

#[test]
fn masks_of_any_layout_are_applied_by_index() {
    let mask = ArrayD::from_shape_fn(IxDyn(&[2, 3]), |index| index[0] == 0 && index[1] != 1);
    let mut transposed = mask.t().as_standard_layout().into_owned();
    transposed.swap_axes(0, 1);
    transposed.invert_axis(Axis(1));
    transposed.invert_axis(Axis(1));
    assert!(!transposed.is_standard_layout());
    let mut store = ParameterStore::from_iter([("w", Array::<f32, _>::ones((2, 3)))]);
    assert_eq!(apply_masks(&mut store, [("w".to_owned(), transposed)]).unwrap().applied, ["w"]);
    assert_eq!(store["w"].mask().unwrap(), &mask);
}

#[test]
fn a_file_by_numpy_is_read_whatever_its_order() {
    // numpy.packbits(mask, bitorder="little"), and names that resemble those of other masks.
    let shape = 10_i64.to_le_bytes();
    let tensors: [(&str, &str, &str, &[u8]); 4] = [
        ("a_mask_bits_mask_bits", "U8", "[2]", &[0xff, 0b01]),
        ("_mask_bits", "U8", "[2]", &[0x0f, 0b10]),
        ("_mask_shape", "I64", "[1]", &shape),
        ("a_mask_bits_mask_shape", "I64", "[1]", &shape),
    ];
    let masks = masks_from_bytes(&file_of(&tensors)).unwrap();
    let names: Vec<&str> = masks.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["", "a_mask_bits"]);
    assert!(masks[0].1.iter().eq((0..10).map(|i| i < 4 || i == 9)));
    assert!(masks[1].1.iter().eq((0..10).map(|i| i < 9)));
}
