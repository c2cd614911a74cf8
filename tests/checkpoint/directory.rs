//! Directories in place of files.

use std::fs;
use std::path::Path;

use prune::checkpoint::{Checkpoint, CheckpointError, OpenOptions};

use super::support::*;

const INDEX: &str = "model.safetensors.index.json";

fn weight(name: &str) -> Raw {
    Raw::of(name, &weights::<f32>(&[4, 4], 1))
}

fn names(checkpoint: &Checkpoint) -> Vec<&str> {
    checkpoint.tensors().iter().map(|tensor| tensor.name.as_str()).collect()
}

fn message(folder: &Path, result: Result<Checkpoint, CheckpointError>) -> String {
    result.unwrap_err().to_string().replace(folder.to_str().unwrap(), "FOLDER")
}

#[test]
fn a_directory_stands_for_its_index_or_its_shards() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Names in order, whatever the order in which they are written; other files are left alone.
    for name in ["b", "a", "c"] {
        write(&folder.join(format!("{name}.safetensors")), &[], &[weight(name)]);
    }
    fs::write(folder.join("config.json"), "{}").unwrap();
    let checkpoint = Checkpoint::open([folder]).unwrap();
    assert_eq!(names(&checkpoint), ["a", "b", "c"]);
    assert!(checkpoint.is_sharded() && checkpoint.index().is_none());

    fs::write(folder.join(INDEX), r#"{"weight_map": {"b": "b.safetensors"}}"#).unwrap();
    let checkpoint = Checkpoint::open([folder]).unwrap();
    assert_eq!((names(&checkpoint), checkpoint.index()), (vec!["b"], Some(folder.join(INDEX).as_path())));

    // The index is ignored by its path or by that of its directory.
    for ignored in [folder.join(INDEX), folder.to_owned()] {
        let checkpoint = OpenOptions::new().ignored_index(ignored).open([folder]).unwrap();
        assert_eq!(names(&checkpoint), ["a", "b", "c"]);
        assert!(checkpoint.is_sharded() && checkpoint.index().is_none());
    }
}

#[test]
fn adapters_are_no_shards_of_the_model_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["adapter_model", "adapter_model-00001-of-00001", "adapters"] {
        write(&folder.join(format!("{name}.safetensors")), &[], &[weight(name)]);
    }
    // Alone, they are what is meant.
    assert_eq!(Checkpoint::open([folder]).unwrap().tensors().len(), 3);
    write(&folder.join("model.safetensors"), &[], &[weight("w")]);
    let checkpoint = Checkpoint::open([folder]).unwrap();
    assert_eq!((names(&checkpoint), checkpoint.is_sharded()), (vec!["w"], false));
}

#[test]
fn directories_that_are_unclear_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let weights = if cfg!(feature = "pytorch") { ".safetensors, .bin, .pt or .pth" } else { ".safetensors" };
    assert_eq!(message(folder, Checkpoint::open([folder])), format!("no {weights} file in `FOLDER`"));
    assert_eq!(message(folder, Checkpoint::open([folder.join("missing")])), "cannot read `FOLDER/missing`");

    write(&folder.join("a.safetensors"), &[], &[weight("a")]);
    let ignoring = |index: &Path| OpenOptions::new().ignored_index(index).open([folder]);
    assert_eq!(message(folder, ignoring(folder)), "no index to ignore in `FOLDER`");
    for name in [INDEX, "other.safetensors.index.json"] {
        fs::write(folder.join(name), "{}").unwrap();
    }
    let several = "more than one .safetensors.index.json in `FOLDER` (2): name one of them";
    assert_eq!(message(folder, Checkpoint::open([folder])), several);
    assert_eq!(message(folder, ignoring(folder)), several);
    assert_eq!(names(&ignoring(&folder.join(INDEX)).unwrap()), ["a"]);
    fs::remove_file(folder.join("a.safetensors")).unwrap();
    let error = message(folder, ignoring(&folder.join(INDEX)));
    assert_eq!(error, format!("no {weights} file in `FOLDER`"));
}
