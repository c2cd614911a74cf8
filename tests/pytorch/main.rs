//! Files of PyTorch as checkpoints. `make.py` has written those in `files`, each beside what PyTorch holds after loading it.

mod hostile;
mod legacy;
mod output;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use prune::L1Unstructured;
use prune::checkpoint::{Checkpoint, CheckpointError, OpenOptions, Output, Pruner, PyTorchError, Selection, diff};
use safetensors::SafeTensors;
use tempfile::tempdir;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pytorch/files").join(name)
}

/// The reason why a file of PyTorch is refused.
fn refusal(result: Result<Checkpoint, CheckpointError>) -> PyTorchError {
    match result {
        Err(CheckpointError::PyTorch { source, .. }) => source,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

type Tensors = BTreeMap<String, (safetensors::Dtype, Vec<usize>, Vec<u8>)>;

fn tensors(bytes: &[u8]) -> Tensors {
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    let tensor = |name: &str| {
        let tensor = tensors.tensor(name).unwrap();
        (tensor.dtype(), tensor.shape().to_vec(), tensor.data().to_vec())
    };
    tensors.names().into_iter().map(|name| (name.to_owned(), tensor(name))).collect()
}

/// A run that changes nothing: it prunes no entry of any tensor, and makes masks permanent.
fn written(checkpoint: &Checkpoint) -> Vec<u8> {
    let directory = tempdir().unwrap();
    let path = directory.path().join("out.safetensors");
    let nothing = Pruner::new(L1Unstructured::new(0).unwrap()).selection(Selection::new().only("*"));
    let _ = nothing.run(checkpoint, &Output::new(&path), &()).unwrap();
    fs::read(path).unwrap()
}

/// Asserts that a checkpoint has the tensors of a safetensors file of Python.
fn check(checkpoint: &Checkpoint, expected: &Path) {
    let python = Checkpoint::open([expected]).unwrap();
    let difference = diff(checkpoint, &python, &()).unwrap();
    assert!(difference.is_equal(), "{difference:?}");
    let expected = tensors(&fs::read(expected).unwrap());
    let shapes: BTreeMap<_, _> = checkpoint.tensors().iter().map(|tensor| (&tensor.name, &tensor.shape)).collect();
    assert!(shapes.into_iter().eq(expected.iter().map(|(name, (_, shape, _))| (name, shape))));
    if !expected.keys().any(|name| name.ends_with("_mask")) {
        assert_eq!(tensors(&written(checkpoint)), expected);
    }
}

#[test]
fn tensors_are_those_that_pytorch_loads() {
    for name in [
        "dtypes.pt",
        "evil.pt",
        "legacy.pt",
        "module.pt",
        "protocol1.pt",
        "protocol3.pt",
        "protocol4.pt",
        "protocol5.pt",
        "pruned.pt",
        "pruned_module.pt",
        "pytorch_model-00001-of-00002.bin",
        "tied.pt",
        "tied_parameters.pt",
        "training.pt",
        "views.pt",
    ] {
        println!("{name}");
        check(&Checkpoint::open([file(name)]).unwrap(), &file(&format!("{name}.safetensors")));
    }
    assert!(!Path::new("nn-prune-was-here").exists(), "a command in evil.pt was executed");
}

#[test]
fn pruned_modules_are_pruned_parameters() {
    let found = tensors(&written(&Checkpoint::open([file("pruned.pt")]).unwrap()));
    let expected = tensors(&fs::read(file("pruned_weights.pt.safetensors")).unwrap());
    for (name, tensor) in expected {
        assert_eq!(found[&name], tensor, "{name}");
    }
    assert!(!found.keys().any(|name| name.ends_with("_mask") || name.ends_with("_orig")));
}

#[test]
fn the_dictionary_with_weights_is_found() {
    for (name, key, left_out) in [
        ("training.pt", Some("model"), &["loss", "optimizer", "callbacks"][..]),
        ("legacy.pt", Some("model"), &[]),
        ("pruned_module.pt", Some("net"), &[]),
        ("views.pt", None, &[]),
        ("module.pt", None, &[]),
    ] {
        let checkpoint = Checkpoint::open([file(name)]).unwrap();
        let shard = &checkpoint.shards()[0];
        assert_eq!(shard.key(), key, "{name}");
        assert_eq!(shard.left_out(), left_out, "{name}");
    }
}

#[test]
fn a_key_names_a_dictionary() {
    let with_key = |name: &str, key: &str| OpenOptions::new().key(key).open([file(name)]);
    let names = |name: &str, key: &str| {
        let checkpoint = with_key(name, key).unwrap();
        checkpoint.tensors().iter().map(|tensor| tensor.name.clone()).collect::<Vec<_>>().join(" ")
    };
    let several = refusal(Checkpoint::open([file("several.pt")]));
    assert_eq!(several.to_string(), "tensors are under several keys: `model`, `ema.model`");
    check(&with_key("several.pt", "ema.model").unwrap(), &file("several.pt.safetensors"));
    assert_eq!(with_key("several.pt", "ema.model").unwrap().shards()[0].left_out(), ["model"]);
    assert_eq!(names("several.pt", "ema"), "model.weight model.bias");
    assert_eq!(names("several.pt", ""), "model.weight model.bias ema.model.weight ema.model.bias");
    assert_eq!(names("training.pt", "optimizer.state.1"), "step exp_avg exp_avg_sq");
    assert_eq!(names("training.pt", "callbacks"), "checkpoint.best");
    for key in ["optimiser", "epoch", "model.", "mod", "callbacks.checkpoint.monitor"] {
        let expected = format!(
            "no tensors are under the key `{key}`; there are some under `loss`, `model`, `optimizer`, `callbacks`"
        );
        assert_eq!(refusal(with_key("training.pt", key)).to_string(), expected);
    }
    let plain = with_key("tied.pt.safetensors", "model");
    assert!(matches!(plain, Err(CheckpointError::NoKeys { path }) if path == file("tied.pt.safetensors")));
}

#[test]
fn what_safetensors_cannot_hold_is_refused() {
    for (name, message) in [
        ("quantized.pt", "tensor `x` is of a kind that safetensors does not have (torch._utils._rebuild_qtensor)"),
        ("sparse.pt", "tensor `x` is of a kind that safetensors does not have (torch._utils._rebuild_sparse_tensor)"),
        ("complex128.pt", "tensor `x` has a dtype that safetensors does not have (ComplexDoubleStorage)"),
        ("conjugate.pt", "tensor `x` has the flag `conj`, so its values are not those in the file"),
        (
            "meta.pt",
            "tensor `x` is of a kind that safetensors does not have (torch._utils._rebuild_meta_tensor_no_storage)",
        ),
        ("lone.pt", "the file has no dictionary of tensors"),
        ("nothing.pt", "the file has no dictionary of tensors"),
        ("compressed.pt", "entry `archive/byteorder` of the zip archive is not stored as it is"),
        ("big_endian.pt", "the file is big-endian"),
        ("script.pt", "the file is a program (TorchScript), not a state dict"),
        ("short.pt", "storage `0` is shorter than the pickle says"),
        ("lost.pt", "storage `0` is missing"),
    ] {
        assert_eq!(refusal(Checkpoint::open([file(name)])).to_string(), message, "{name}");
    }
}
