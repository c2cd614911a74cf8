//! Records hold masks.

use burn::prelude::*;
use burn::store::ModuleRecord;

use crate::{Net, all_bits, messages, net};

fn saved() -> (tempfile::TempDir, std::path::PathBuf, Net) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("net.bpk");
    let net = prune_burn::l1_unstructured(net(), ["hidden.*.weight", "conv.weight"], 0.5).unwrap();
    net.clone().save_file(&file).unwrap();
    (directory, file, net)
}

fn assert_same(loaded: &Net, saved: &Net) {
    assert_eq!(prune_burn::masks(loaded).unwrap(), prune_burn::masks(saved).unwrap());
    assert_eq!(all_bits(loaded), all_bits(saved));
}

#[test]
fn into_a_plain_module() {
    let (_directory, file, saved) = saved();
    let loaded = prune_burn::load_file(net(), &file).unwrap();
    assert_same(&loaded, &saved);
    // And on from there.
    let (loaded, saved) = (
        prune_burn::l1_unstructured(loaded, "*.weight", 0.5).unwrap(),
        prune_burn::l1_unstructured(saved, "*.weight", 0.5).unwrap(),
    );
    assert_same(&loaded, &saved);
    assert_eq!(prune_burn::masks(&loaded).unwrap()["hidden.0.weight"].pruned(), 144);
}

#[test]
fn into_a_module_with_masks() {
    let (_directory, file, saved) = saved();
    let some = prune_burn::l1_unstructured(net(), "hidden.0.weight", 3).unwrap();
    assert_same(&prune_burn::load_file(some, &file).unwrap(), &saved);
    let masked = prune_burn::identity(net(), ["hidden.*.weight", "conv.weight"]).unwrap();
    assert_same(&masked.try_load_file(&file).unwrap(), &saved);
}

#[test]
fn in_memory() {
    let (_directory, _file, saved) = saved();
    let bytes = saved.clone().into_record().into_bytes().unwrap();
    let masked = prune_burn::identity(net(), ["hidden.*.weight", "conv.weight"]).unwrap();
    assert_same(&masked.try_load_record(ModuleRecord::from_bytes(bytes).unwrap()).unwrap(), &saved);
}

/// burn's own loader refuses masks for which a module has no place, and names them.
#[test]
fn plain_loading_into_a_plain_module_is_an_error() {
    let (_directory, file, _saved) = saved();
    let error = net().try_load_file(&file).unwrap_err().to_string();
    assert!(error.contains("Unused tensors") && error.contains("hidden.0.weight.prune.kept"), "{error}");
}

#[test]
fn dense_records_and_missing_files() {
    let (directory, _file, saved) = saved();
    let dense = directory.path().join("dense.bpk");
    net().save_file(&dense).unwrap();
    assert!(!prune_burn::is_pruned(&prune_burn::load_file(net(), &dense).unwrap()));
    let error = messages(prune_burn::load_file(saved, &dense).unwrap_err());
    assert!(error.starts_with("cannot load the record: "), "{error}");
    assert!(error.contains("Missing tensors") && error.contains("conv.weight.prune.kept"), "{error}");
    let error = messages(prune_burn::load_file(net(), directory.path().join("none.bpk")).unwrap_err());
    assert!(error.starts_with("cannot load the record: ") && error.contains("none.bpk"), "{error}");
}
