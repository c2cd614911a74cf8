//! Mask files.

use candle_core::DType;
use prune::checkpoint::{Checkpoint, Output, Pruner};
use prune::safetensors::{StateDictError, load_masks, masks_to_bytes};
use prune::{L1Unstructured, Mask, ParameterStore};
use prune_candle::{Error, PrunedVars};

use crate::{array, assert_same_bits, for_each_float, snapshot, vars_of};

#[test]
fn a_mask_file_is_that_of_the_library_byte_for_byte() {
    let (a, b) = (array::<f32>(1, &[3, 5]), array::<f32>(2, &[4]));
    let map = vars_of(&[("b.weight", &b), ("a.weight", &a)]);
    let pruned = PrunedVars::new(&map);
    pruned.l1_unstructured("*", 0.4).unwrap();
    let mut store = ParameterStore::from_iter([("a.weight", a), ("b.weight", b)]);
    prune::l1_unstructured(&mut store, "a.weight", 0.4).unwrap();
    prune::l1_unstructured(&mut store, "b.weight", 0.4).unwrap();

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("masks.safetensors");
    pruned.save_masks(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), masks_to_bytes(&store).unwrap());
    assert_eq!(load_masks(&path).unwrap(), pruned.masks());
}

#[test]
fn masks_go_to_a_model_of_any_dtype_and_compose() {
    for_each_float!(check_load);
}

fn check_load<A: crate::Float>() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("masks.safetensors");
    let teacher = PrunedVars::new(&vars_of(&[("w", &array::<f32>(1, &[3, 5]))]));
    teacher.l1_unstructured("w", 6).unwrap();
    teacher.save_masks(&path).unwrap();

    let student = array::<A>(9, &[3, 5]);
    let map = vars_of(&[("w", &student), ("other", &student)]);
    let pruned = PrunedVars::new(&map);
    pruned.l1_unstructured("w", 4).unwrap();
    pruned.load_masks(&path).unwrap();
    let mut store = ParameterStore::from_iter([("w", student)]);
    prune::l1_unstructured(&mut store, "w", 4).unwrap();
    prune::custom_from_mask(&mut store, "w", teacher.mask("w").unwrap()).unwrap();
    assert_eq!(pruned.mask("w").as_ref(), store["w"].mask());
    assert_same_bits(&map, "w", store["w"].value());
    assert!(pruned.mask("other").is_none());
}

/// `nn-prune prune --method mask` on the file of the model gives the weights that the model has here.
#[test]
fn the_command_line_applies_the_masks_to_the_saved_model() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let mut map = vars_of(&[("fc.weight", &array::<f32>(1, &[8, 6])), ("fc.bias", &array::<f32>(2, &[8]))]);
    map.save(path("dense.safetensors")).unwrap();
    let pruned = PrunedVars::new(&map);
    pruned.global_unstructured(&["*"], L1Unstructured::new(0.5).unwrap()).unwrap();
    pruned.save_masks(path("masks.safetensors")).unwrap();
    let expected = snapshot(&map, &pruned);

    let dense = Checkpoint::open([path("dense.safetensors")]).unwrap();
    let output = Output::new(path("pruned.safetensors"));
    let report = Pruner::masks(path("masks.safetensors")).run(&dense, &output, &()).unwrap();
    assert_eq!(report.tensors.len(), 2);
    map.load(path("pruned.safetensors")).unwrap();
    pruned.reapply().unwrap();
    assert_eq!(snapshot(&map, &pruned), expected);
}

#[test]
fn a_resumed_run_has_the_masks_and_the_weights() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let map = vars_of(&[("a", &array::<f32>(1, &[8, 6])), ("b", &array::<f32>(2, &[8]))]);
    let pruned = PrunedVars::new(&map);
    pruned.l1_unstructured("a", 0.5).unwrap();
    map.save(path("model.safetensors")).unwrap();
    pruned.save_masks(path("masks.safetensors")).unwrap();

    let mut resumed = vars_of(&[("a", &array::<f32>(3, &[8, 6])), ("b", &array::<f32>(4, &[8]))]);
    resumed.load(path("model.safetensors")).unwrap();
    let again = PrunedVars::new(&resumed);
    again.load_masks(path("masks.safetensors")).unwrap();
    assert_eq!(snapshot(&resumed, &again), snapshot(&map, &pruned));
    for pruned in [&pruned, &again] {
        pruned.l1_unstructured("a", 0.5).unwrap();
    }
    assert_eq!(snapshot(&resumed, &again), snapshot(&map, &pruned));
}

#[test]
fn files_that_do_not_fit_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("masks.safetensors");
    let map = vars_of(&[("a", &array::<f32>(1, &[3])), ("b", &array::<f32>(2, &[3]))]);
    let pruned = PrunedVars::new(&map);
    let before = snapshot(&map, &pruned);
    let save = |masks: &[(&str, Mask)]| prune::safetensors::save_named_masks(masks.iter().cloned(), &path).unwrap();

    save(&[("a", Mask::from_elem([3], false)), ("c", Mask::from_elem([3], false))]);
    assert!(matches!(pruned.load_masks(&path), Err(Error::NoMatch { pattern, .. }) if pattern == "c"));
    save(&[("a", Mask::from_elem([3], false)), ("b", Mask::from_elem([4], false))]);
    let error = pruned.load_masks(&path).unwrap_err();
    let message = "cannot prune `b`: mask has shape [4], but should have shape [3]";
    assert!(candle_core::Error::from(error).to_string().starts_with(message));
    std::fs::write(&path, b"no masks").unwrap();
    assert!(matches!(pruned.load_masks(&path), Err(Error::MaskFile(_))));
    let missing = pruned.load_masks(directory.path().join("missing"));
    assert!(matches!(missing, Err(Error::MaskFile(StateDictError::Read { .. }))));
    assert!(matches!(
        pruned.save_masks(directory.path().join("no/such")),
        Err(Error::MaskFile(StateDictError::Write { .. }))
    ));
    assert_eq!(snapshot(&map, &pruned), before);
    assert_eq!(crate::var(&map, "a").dtype(), DType::F32);
}
