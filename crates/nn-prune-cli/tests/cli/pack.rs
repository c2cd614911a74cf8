//! `nn-prune pack` and `nn-prune unpack`.

use ndarray::Array2;
use prune::{ParameterStore, safetensors};
use serde_json::json;

use crate::{Folder, INDEX, SHARDS, file_of, numbers, tensor, write_shards};

/// A directory with a model that is pruned by 80 %: dense in `pruned`, and with masks in `pytorch`.
fn folder() -> Folder {
    let folder = Folder::new();
    let model = ParameterStore::from_iter([
        ("layer.0.weight", tensor(&[64, 100], 1)),
        ("layer.0.bias", tensor(&[64], 2)),
        ("layer.1.weight", tensor(&[32, 10, 3], 3)),
        ("head", tensor(&[16, 64], 4)),
    ]);
    safetensors::save_file(&model, folder.path("model")).unwrap();
    folder.run("prune model -o pruned --method l1 --amount 0.8 --only *.weight --only head").ok();
    folder.run("prune model -o pytorch --method l1 --amount 0.8 --only *.weight --only head --format pytorch").ok();
    folder
}

#[test]
fn a_packed_file_is_smaller_and_comes_back() {
    let folder = folder();
    let report = folder.run("pack pruned -o packed --json").json();
    assert_eq!((&report["packed"], &report["written"]), (&json!(3), &json!("packed")));
    let bytes = |name: &str| std::fs::metadata(folder.path(name)).unwrap().len();
    assert!(3 * bytes("packed") < bytes("pruned"), "{} of {}", bytes("packed"), bytes("pruned"));
    let layer = &report["tensors"][0];
    // 1280 values, 13 bytes of bits and 8 of an offset for each row, and the shape.
    assert_eq!((&layer["kept"], &layer["bytes"]), (&json!(1280), &json!(1280 * 4 + 64 * 13 + 64 * 8 + 16)));
    assert_eq!(report["tensors"][1]["dense"], "not smaller");

    // The same numbers; a pruned negative one was -0.0.
    folder.run("unpack packed -o unpacked").ok();
    let [pruned, unpacked] =
        ["pruned", "unpacked"].map(|name| safetensors::load_file::<f32>(folder.path(name)).unwrap().0);
    assert!(pruned.iter().zip(unpacked.iter()).all(|(a, b)| a.0 == b.0 && a.1.value() == b.1.value()));
    folder.run("pack pytorch -o again").ok();
    assert_eq!(folder.read("again"), folder.read("packed"));
}

#[test]
fn signs_make_it_equal_bit_for_bit() {
    let folder = folder();
    folder.run("pack pruned -o packed --signs").ok();
    let printed = folder.run("unpack packed -o unpacked").ok();
    assert!(printed.contains("layer.0.weight: unpacked\n"), "{printed}");
    assert!(printed.ends_with("wrote 3 tensors to unpacked\n"), "{printed}");
    assert_eq!(folder.read("unpacked"), folder.read("pruned"));
}

#[test]
fn the_table_says_what_is_smaller_and_what_stays() {
    let folder = folder();
    let printed = folder.run("pack pruned --dry-run").ok();
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].starts_with("tensor"), "{printed}");
    assert!(lines.iter().any(|line| line.starts_with("layer.0.weight") && line.contains("80.00 %")), "{printed}");
    assert!(lines.iter().any(|line| line.starts_with("would not be smaller")), "{printed}");
    assert!(printed.contains("\npacked:  3 tensors of 4\n"), "{printed}");
    assert!(printed.ends_with("written: nothing (dry run)\n"), "{printed}");
    assert!(!folder.path("packed").exists());
    let line = folder.run("pack pruned -o packed --quiet --summary").ok();
    assert!(line.starts_with("bytes:   ") && line.lines().count() == 1, "{line}");
    assert_eq!(folder.run("pack pruned -o packed --force --quiet").ok(), "");
}

#[test]
fn a_minimum_sparsity_leaves_others_dense() {
    let folder = folder();
    folder
        .run("prune model -o half --method l1 --amount layer.0.weight=90% --amount 50% --only *.weight --only head")
        .ok();
    let report = folder.run("pack half -o packed --min-sparsity 60% --json").json();
    let dense: Vec<_> = report["tensors"].as_array().unwrap().iter().map(|tensor| tensor["dense"].clone()).collect();
    assert_eq!(
        dense,
        [json!(null), json!("not smaller"), json!("below minimum sparsity"), json!("below minimum sparsity")]
    );
}

#[test]
fn nothing_to_do_is_an_error() {
    let folder = folder();
    folder.run("pack model -o packed").fails(1, "error: no tensor would be smaller if it were packed\n");
    folder.run("unpack model -o unpacked").fails(1, "error: the checkpoint has no packed tensors\n");
    folder.run("pack pruned -o packed").ok();
    folder.run("pack pruned -o packed").fails(1, "error: output `packed` already exists\n");
    folder.run("pack packed -o twice").fails(1, "error: no tensor would be smaller if it were packed\n");
    folder.run("pack pruned -o p --min-sparsity 2").fails(2, "error: invalid value '2' for '--min-sparsity");
    assert!(!folder.path("unpacked").exists() && !folder.path("twice").exists());
}

#[test]
fn shards_are_packed_each_with_an_index() {
    let folder = Folder::new();
    write_shards(&folder.path("in"));
    folder.run("prune in -o pruned --method l1 --amount 0.95 --all").ok();
    let report = folder.run("pack pruned -o packed --signs --json").json();
    assert_ne!(report["packed"], 0);
    let index: serde_json::Value = serde_json::from_slice(&folder.read(&format!("packed/{INDEX}"))).unwrap();
    assert_eq!(index["weight_map"]["embeddings.word_embeddings.bitmask"], json!(SHARDS[0]));
    folder.run("unpack packed -o unpacked").ok();
    folder.run("diff pruned unpacked").ok();
    let index = |folder_name: &str| folder.read(&format!("{folder_name}/{INDEX}"));
    let map = |bytes: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()["weight_map"].clone();
    assert_eq!(map(index("unpacked")), map(index("pruned")));
}

#[test]
fn inspect_lists_packed_tensors_as_what_they_are() {
    let folder = folder();
    folder.run("pack pruned -o packed").ok();
    let [dense, packed] = ["pruned", "packed"].map(|name| folder.run(&format!("inspect {name} --json")).json());
    for (dense, packed) in dense["tensors"].as_array().unwrap().iter().zip(packed["tensors"].as_array().unwrap()) {
        for key in ["name", "dtype", "shape", "weights", "zeros", "dense", "bitmask", "csr"] {
            assert_eq!(dense[key], packed[key], "{key}");
        }
        let is_packed = dense["name"] != "layer.0.bias";
        assert_eq!(packed["packed"], is_packed);
        assert_eq!(packed["bytes"].as_u64() < dense["bytes"].as_u64(), is_packed);
    }
    folder.run("inspect packed").ok();
}

/// The parts of a packed tensor of 2 x 9, with a kept entry in each row.
fn parts(shape: &[i64], offsets: &[i64], bits: &[u8], values: &[f32]) -> Vec<u8> {
    let integers = |numbers: &[i64]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
    let values_bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    file_of(&[
        ("l.shape", "I64", &[shape.len()], &integers(shape)),
        ("l.row_offsets", "I64", &[offsets.len()], &integers(offsets)),
        ("l.compressed", "F32", &[values.len()], &values_bytes),
        ("l.bitmask", "U8", &[offsets.len(), bits.len() / offsets.len().max(1)], bits),
    ])
}

#[test]
fn files_whose_parts_contradict_each_other_are_refused() {
    let folder = Folder::new();
    folder.write("good", parts(&[2, 9], &[0, 1], &[1, 0, 0, 1], &[1.0, 2.0]));
    folder.run("unpack good -o dense").ok();
    let (store, _) = safetensors::load_file::<f32>(folder.path("dense")).unwrap();
    let mut expected = Array2::<f32>::zeros((2, 9));
    (expected[[0, 0]], expected[[1, 8]]) = (1.0, 2.0);
    assert_eq!(store["l.weight"].value(), &expected.into_dyn());

    for (file, cause) in [
        (parts(&[2, 9], &[0, 2], &[1, 0, 0, 1], &[1.0, 2.0]), "tensor `l.row_offsets` places row 1 at 2"),
        (parts(&[2, 9], &[0, -1], &[1, 0, 0, 1], &[1.0, 2.0]), "tensor `l.row_offsets` places row 1 at -1"),
        (
            parts(&[2, 9], &[0, 1], &[1, 0, 0, 1], &[1.0]),
            "tensor `l.compressed` has 1 values, but its bit mask keeps 2",
        ),
        (parts(&[2, 9], &[0, 1], &[1, 0, 0, 2], &[1.0, 2.0]), "tensor `l.bitmask` is corrupt: a padding bit"),
        (parts(&[2, 8], &[0, 1], &[1, 0, 0, 1], &[1.0, 2.0]), "tensor `l.bitmask` is U8 of shape [2, 2], not U8 of"),
        (parts(&[3, 9], &[0, 1], &[1, 0, 0, 1], &[1.0, 2.0]), "tensor `l.bitmask` is U8 of shape [2, 2], not U8 of"),
        (parts(&[-2, 9], &[0, 1], &[1, 0, 0, 1], &[1.0, 2.0]), "tensor `l.shape` has an unsupported shape, [-2, 9]"),
        (parts(&[2, i64::MAX], &[0, 1], &[1, 0, 0, 1], &[1.0, 2.0]), "tensor `l.shape` has an unsupported shape"),
    ] {
        folder.write("bad", file);
        let run = folder.run("unpack bad -o out");
        assert!(run.err.contains(cause), "expected {cause}, found {}", run.err);
        run.fails(1, "error: packed tensor `l.weight` is invalid\n");
        assert!(!folder.path("out").exists());
    }
}

#[test]
fn large_rows_are_packed_in_pieces() {
    let folder = Folder::new();
    // A row of more than one block, of 1 MiB, that does not end at a byte.
    let row: Vec<f32> = numbers(300_003, 5).into_iter().map(|x| if x < 0.8 { 0.0 } else { x }).collect();
    let wide = Array2::from_shape_vec((1, row.len()), row.clone()).unwrap();
    let model = ParameterStore::from_iter([("wide.weight", wide.into_dyn()), ("flat", ndarray::arr1(&row).into_dyn())]);
    safetensors::save_file(&model, folder.path("model")).unwrap();
    folder.run("pack model -o packed").ok();
    folder.run("unpack packed -o unpacked").ok();
    assert_eq!(folder.read("unpacked"), folder.read("model"));
    let (tensors, _) = safetensors::load_packed::<f32>(folder.path("packed")).unwrap();
    assert!(tensors.iter().all(|(_, tensor)| tensor.to_dense().iter().eq(&row)));
}
