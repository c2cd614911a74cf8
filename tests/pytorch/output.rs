//! Outputs of runs on files of PyTorch: their names, their index and what is copied.

use std::fs;
use std::path::Path;

use prune::L1Unstructured;
use prune::checkpoint::{Checkpoint, CheckpointError, Format, Output, PruneReport, Pruner, remove};
use serde_json::json;
use tempfile::tempdir;

use crate::pytorch::{file, tensors};

const SHARDS: [&str; 2] = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"];
const INDEX: &str = "pytorch_model.bin.index.json";

/// Writes a checkpoint as `save_pretrained(safe_serialization=False)` does.
fn write_shards(directory: &Path) {
    for shard in SHARDS {
        fs::copy(file(shard), directory.join(shard)).unwrap();
    }
    let map = json!({ "a.weight": SHARDS[0], "b.weight": SHARDS[1], "b.bias": SHARDS[1] });
    let index = json!({ "metadata": { "total_size": 1 }, "weight_map": map });
    fs::write(directory.join(INDEX), index.to_string()).unwrap();
    fs::write(directory.join("config.json"), "{}").unwrap();
    fs::write(directory.join("training_args.bin"), "whatever").unwrap();
}

fn half() -> Pruner {
    Pruner::new(L1Unstructured::new(0.5).unwrap())
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn shards_become_those_of_hugging_face() {
    let directory = tempdir().unwrap();
    let (input, output) = (directory.path().join("in"), directory.path().join("out"));
    fs::create_dir(&input).unwrap();
    write_shards(&input);
    let checkpoint = Checkpoint::open([input.join(INDEX)]).unwrap();
    let run = |output: Output| -> Result<PruneReport, CheckpointError> { half().run(&checkpoint, &output, &()) };
    let report = run(Output::new(&output)).unwrap();
    assert_eq!(report.pruned_after(), 6 + 3);
    let shards = SHARDS.map(|shard| shard.replace("pytorch_model", "model").replace(".bin", ".safetensors"));
    assert_eq!(names_in(&output), ["config.json", &shards[0], &shards[1], "model.safetensors.index.json"]);
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(output.join("model.safetensors.index.json")).unwrap()).unwrap();
    let map = json!({ "a.weight": shards[0], "b.weight": shards[1], "b.bias": shards[1] });
    assert_eq!(index, json!({ "metadata": { "total_size": 4 * (12 + 6 + 2) }, "weight_map": map }));
    let pruned = Checkpoint::open([output.join("model.safetensors.index.json")]).unwrap();
    assert_eq!(pruned.tensors().len(), 3);

    // The same rules for outputs that exist, and for runs that were interrupted.
    assert!(matches!(run(Output::new(&output)), Err(CheckpointError::OutputExists { .. })));
    let _ = run(Output::new(&output).force(true)).unwrap();
    assert!(run(Output::new(&output).resume(true)).is_err());
}

#[test]
fn one_file_becomes_a_safetensors_file() {
    let directory = tempdir().unwrap();
    let input = directory.path().join("model.pth");
    fs::copy(file("pruned.pt"), &input).unwrap();
    let checkpoint = Checkpoint::open([&input]).unwrap();
    let output = directory.path().join("out/");
    fs::create_dir(&output).unwrap();
    remove(&checkpoint, &Output::new(&output), &()).unwrap();
    assert_eq!(names_in(&output), ["model.safetensors"]);
    let bytes = fs::read(output.join("model.safetensors")).unwrap();
    let expected = tensors(&fs::read(file("pruned_weights.pt.safetensors")).unwrap());
    assert_eq!(tensors(&bytes)["fc.weight"], expected["fc.weight"]);
    // `transformers` asks for it.
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");

    for name in ["out.pth", "OUT.BIN"] {
        let path = directory.path().join(name);
        let refused = half().run(&checkpoint, &Output::new(&path), &()).unwrap_err();
        let expected =
            format!("output `{}` is a safetensors file, but has the name of a file of PyTorch", path.display());
        assert_eq!(refused.to_string(), expected);
        assert!(!path.exists());
    }
    // The state dict of a pruned module, again.
    let again = directory.path().join("again.safetensors");
    let _ = half().format(Format::PyTorch).run(&checkpoint, &Output::new(&again), &()).unwrap();
    assert!(tensors(&fs::read(&again).unwrap()).contains_key("fc.weight_orig"));
}

#[test]
fn two_files_of_one_output_name() {
    let directory = tempdir().unwrap();
    let paths = ["model.pt", "model.pth"].map(|name| directory.path().join(name));
    fs::copy(file(SHARDS[0]), &paths[0]).unwrap();
    fs::copy(file(SHARDS[1]), &paths[1]).unwrap();
    match Checkpoint::open(&paths) {
        Err(CheckpointError::SameShardName { first, second }) => assert_eq!([first, second], paths),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_changed_file_is_noticed() {
    let directory = tempdir().unwrap();
    let input = directory.path().join("model.pt");
    fs::copy(file(SHARDS[0]), &input).unwrap();
    let checkpoint = Checkpoint::open([&input]).unwrap();
    fs::write(&input, b"shorter").unwrap();
    let output = directory.path().join("out.safetensors");
    let changed = half().run(&checkpoint, &Output::new(&output), &());
    assert!(matches!(changed, Err(CheckpointError::Changed { .. })), "{changed:?}");
    assert!(!output.exists());
}
