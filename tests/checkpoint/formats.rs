//! The content of each format, for tensors that are pruned already and for others.

use half::bf16;
use ndarray::{ArrayD, array};
use prune::checkpoint::{
    Checkpoint, CheckpointError, Format, MaskSource, Output, Pruner, Selection, extract_masks, remove,
};
use prune::safetensors::load_masks;

use super::support::*;

fn l1(count: usize, format: Format) -> Pruner {
    l1_pruner(count).format(format).selection(Selection::new().only("{*.weight,w}"))
}

/// A layer that is pruned already, next to one that is not, in two shards: a mask away from its original.
fn model(folder: &std::path::Path) -> std::path::PathBuf {
    let fc = array![[1.0_f32, -2.0], [3.0, -4.0]].into_dyn();
    let head = array![[bf16::from_f32(-0.5), bf16::from_f32(0.25)]].into_dyn();
    let alive = array![[true, false], [true, true]].into_dyn();
    let bias = array![0.5_f32, -0.5].into_dyn();
    write_sharded(
        folder,
        &[
            &[Raw::of("fc.weight_orig", &fc), Raw::of("fc.bias", &bias)],
            &[Raw::mask::<f32>("fc.weight_mask", &alive), Raw::of("head.weight", &head)],
        ],
    )
}

fn shards(output: &std::path::Path) -> [Vec<Raw>; 2] {
    ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"].map(|name| read(&output.join(name)))
}

fn names(tensors: &[Raw]) -> Vec<&str> {
    tensors.iter().map(|tensor| tensor.name.as_str()).collect()
}

fn weight_map(output: &std::path::Path) -> (serde_json::Value, serde_json::Value) {
    let bytes = std::fs::read(output.join("model.safetensors.index.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    (json["weight_map"].clone(), json["metadata"]["total_size"].clone())
}

#[test]
fn weights() {
    let folder = tempfile::tempdir().unwrap();
    let (index, output) = (model(folder.path()), folder.path().join("out"));
    let report = run(&l1(1, Format::Weights), [&index], &output).unwrap();
    assert_eq!((report.pruned_before(), report.pruned_after()), (1, 3));
    let [one, two] = shards(&output);
    assert_eq!(names(&one), ["fc.weight", "fc.bias"]);
    assert_eq!(one[0].array::<f32>(), array![[0.0, -0.0], [3.0, -4.0]].into_dyn());
    assert!(one[0].data[7] == 0x80, "a pruned negative number is -0");
    assert_eq!(names(&two), ["head.weight"]);
    let (map, total) = weight_map(&output);
    let (first, second) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    assert_eq!(map, serde_json::json!({"fc.weight": first, "fc.bias": first, "head.weight": second}));
    assert_eq!(total, 16 + 8 + 4);
    assert!(header(&output.join(first)).starts_with("{\"__metadata__\":{\"format\":\"pt\"},\"fc.weight\""));
    // In shard two no tensor is renamed, but a mask is absent, so the header is a new one.
    assert!(Checkpoint::open([output.join("model.safetensors.index.json")]).is_ok());
}

#[test]
fn pytorch() {
    let folder = tempfile::tempdir().unwrap();
    let (index, output) = (model(folder.path()), folder.path().join("out"));
    let report = run(&l1(1, Format::PyTorch), [&index], &output).unwrap();
    assert_eq!(report.pruned_after(), 3);
    let [one, two] = shards(&output);
    assert_eq!(names(&one), ["fc.weight_orig", "fc.bias"]);
    assert_eq!(one[0].array::<f32>(), array![[1.0, -2.0], [3.0, -4.0]].into_dyn());
    assert_eq!(names(&two), ["fc.weight_mask", "head.weight_orig", "head.weight_mask"]);
    assert_eq!(two[0].array::<f32>(), array![[0.0, 0.0], [1.0, 1.0]].into_dyn());
    assert_eq!(two[2].array::<bf16>(), array![[bf16::ONE, bf16::ZERO]].into_dyn());
    assert_eq!(weight_map(&output).1, 16 + 8 + 16 + 4 + 4);

    // The output is the input of a second run.
    let (next, last) = (output.join("model.safetensors.index.json"), folder.path().join("last"));
    let report = run(&l1(1, Format::PyTorch), [&next], &last).unwrap();
    assert_eq!((report.pruned_before(), report.pruned_after()), (3, 5));
    assert!(std::fs::read(&next).unwrap() == std::fs::read(last.join("model.safetensors.index.json")).unwrap());

    // Made permanent.
    let baked = folder.path().join("baked");
    let checkpoint = Checkpoint::open([last.join("model.safetensors.index.json")]).unwrap();
    assert_eq!(remove(&checkpoint, &Output::new(&baked), &()).unwrap().tensors, ["fc.weight", "head.weight"]);
    let [one, two] = shards(&baked);
    assert_eq!(one[0].array::<f32>(), array![[0.0, -0.0], [0.0, -4.0]].into_dyn());
    assert_eq!((names(&two), two[0].data.as_slice()), (vec!["head.weight"], &[0x00, 0x80, 0, 0][..]));

    let checkpoint = Checkpoint::open([baked.join("model.safetensors.index.json")]).unwrap();
    let error = remove(&checkpoint, &Output::new(folder.path().join("no")), &()).unwrap_err();
    assert!(matches!(error, CheckpointError::NothingPruned));
}

/// The masks of a file, as arrays.
fn loaded(path: &std::path::Path) -> Vec<(String, ArrayD<bool>)> {
    let masks = load_masks(path).unwrap();
    masks.into_iter().map(|(name, mask)| (name, mask.to_array())).collect()
}

#[test]
fn masks() {
    let folder = tempfile::tempdir().unwrap();
    let (index, output) = (model(folder.path()), folder.path().join("masks.safetensors"));
    let report = run(&l1(1, Format::Masks), [&index], &output).unwrap();
    assert_eq!(report.pruned_after(), 3);
    let expected = [
        ("fc.weight".to_owned(), array![[false, false], [true, true]].into_dyn()),
        ("head.weight".to_owned(), array![[true, false]].into_dyn()),
    ];
    assert_eq!(loaded(&output), expected);

    let checkpoint = Checkpoint::open([&index]).unwrap();
    let output = Output::new(folder.path().join("extracted.safetensors"));
    assert_eq!(extract_masks(&checkpoint, &MaskSource::Masks, &output, &()).unwrap(), ["fc.weight"]);
    let before = ("fc.weight".to_owned(), array![[true, false], [true, true]].into_dyn());
    assert_eq!(loaded(output.path()), std::slice::from_ref(&before));

    let zeros = MaskSource::Zeros(Selection::new().only("*"));
    let all = extract_masks(&checkpoint, &zeros, &output.clone().force(true), &()).unwrap();
    assert_eq!(all, ["fc.weight", "fc.bias", "head.weight"]);
    let found = loaded(output.path());
    assert_eq!((&found[0], found[1].1.iter().all(|&kept| kept)), (&before, true));
}

/// Masks of PyTorch have the dtype of the importance scores, and keep it.
#[test]
fn a_mask_keeps_its_dtype() {
    let folder = tempfile::tempdir().unwrap();
    let weight = array![[3.0_f32, 1.0, 2.0]].into_dyn();
    for (dtype, one) in [
        ("BOOL", vec![1]),
        ("U8", vec![1]),
        ("I16", vec![1, 0]),
        ("I64", vec![1, 0, 0, 0, 0, 0, 0, 0]),
        ("F16", vec![0, 0x3c]),
        ("BF16", vec![0x80, 0x3f]),
        ("F32", vec![0, 0, 0x80, 0x3f]),
        ("F64", vec![0, 0, 0, 0, 0, 0, 0xf0, 0x3f]),
    ] {
        let zero = vec![0; one.len()];
        let before = [one.clone(), one.clone(), zero.clone()].concat();
        let tensors = [Raw::new("w_mask", dtype, &[1, 3], before), Raw::of("w_orig", &weight)];
        let input = write(&folder.path().join("in.safetensors"), &[], &tensors);
        let output = folder.path().join("out.safetensors");
        let checkpoint = Checkpoint::open([&input]).unwrap();
        let output = Output::new(output).force(true);
        let report = l1(1, Format::PyTorch).run(&checkpoint, &output, &()).unwrap();
        assert_eq!(report.pruned_after(), 2);
        let after = [one, zero.clone(), zero].concat();
        assert_eq!(read(output.path()), [Raw::new("w_mask", dtype, &[1, 3], after), Raw::of("w_orig", &weight)]);
    }
}
