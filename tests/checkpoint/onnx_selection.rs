//! The selection in ONNX models, by the operators that take a tensor, and the tensors that cannot be pruned.

use std::fs;

use prune::LnStructured;
use prune::checkpoint::{
    Checkpoint, CheckpointError, Compactor, Format, Output, Packer, Pruner, Selection, SkipReason, diff, inspect,
    remove,
};

use super::onnx::{half, opened, reasons, skipped, written};
use super::onnx_file::*;
use super::support::*;

/// A tensor of 4 x 6.
fn matrix(name: &str) -> Message {
    raw(name, FLOAT, &[4, 6], bits(&weights::<f32>(&[4, 6], 1)))
}

#[test]
fn weights_are_found_behind_nodes_that_pass_them_on() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["plain", "flipped", "twice", "cast", "reshaped", "left"];
    let nodes = [
        node("Transpose", "flipped", "a").with_numbers("perm", &[1, 0]),
        node("Transpose", "twice", "b"),
        node("Identity", "b", "c"),
        node("Transpose", "c", "d").with_numbers("perm", &[1, 0]),
        node("Cast", "cast", "e").with("to", 10),
        node("Reshape", "reshaped shape", "f"),
        node("MatMul", "x plain", "1"),
        node("MatMul", "x a", "2"),
        node("MatMul", "x d", "3"),
        node("MatMul", "x e", "4"),
        node("MatMul", "x f", "5"),
        node("MatMul", "left x", "6"),
    ];
    let checkpoint = opened(folder.path(), &nodes, &names.map(matrix));
    let method = LnStructured::new(1, 2, 0).unwrap();
    let report = Pruner::new(method).output_axis(true).dry_run(&checkpoint, &()).unwrap();
    let axes: Vec<_> = report.tensors.iter().map(|tensor| tensor.axis.map(|axis| axis.axis)).collect();
    assert_eq!(axes, [Some(1), Some(0), Some(1), Some(1), None, None]);
    let reshaped = SkipReason::NotALayer { name: "Reshape".into() };
    assert_eq!(skipped(&report)[4..], [("reshaped", Some(&reshaped)), ("left", Some(&SkipReason::LastLayer))]);
}

/// The first of two layers that take one weight says where output channels lie, also if the other takes it transposed.
#[test]
fn the_first_of_two_layers_has_the_channels() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = [
        node("Transpose", "a", "a^T"),
        node("Transpose", "b", "b^T"),
        node("MatMul", "x a", "1"),
        node("Gemm", "x a^T", "2"),
        node("Gemm", "x b^T", "3"),
        node("MatMul", "x b", "4"),
        node("MatMul", "x last", "5"),
    ];
    let checkpoint = opened(folder.path(), &nodes, &["a", "b", "last"].map(matrix));
    let pruner = Pruner::new(LnStructured::new(1, 2, 0).unwrap()).output_axis(true);
    let report = pruner.dry_run(&checkpoint, &()).unwrap();
    let axes: Vec<_> = report.tensors.iter().map(|tensor| tensor.axis.map(|axis| axis.to_string())).collect();
    let [first, second] = ["axis 1: output channels of MatMul", "axis 0: output channels of Gemm"].map(str::to_owned);
    assert_eq!(axes, [Some(first), Some(second), None]);
}

#[test]
fn operators_decide_what_is_pruned() {
    let folder = tempfile::tempdir().unwrap();
    let data = bits(&weights::<f32>(&[4, 6], 1));
    // Each has other entries: what equals an embedding is left out.
    let matrix = |(seed, name)| raw(name, FLOAT, &[4, 6], bits(&weights::<f32>(&[4, 6], seed)));
    let names = [
        "embeddings.weight",
        "layer_norm.weight",
        "added.weight",
        "custom.weight",
        "table",
        "tied",
        "unused.weight",
        "both",
        "output.weight",
        "shaped",
        "fake_quantised",
    ];
    let nodes = [
        // The names say otherwise, and have no say.
        node("MatMul", "x embeddings.weight", "1"),
        node("MatMul", "x layer_norm.weight", "2"),
        node("Add", "x added.weight", "3"),
        node("MatMul", "x custom.weight", "4").domain("my.domain"),
        node("Gather", "table x", "5"),
        node("Gather", "tied x", "6"),
        node("MatMul", "x tied", "7"),
        node("MatMul", "x both", "8"),
        node("Gemm", "x both", "9"),
        node("Identity", "output.weight", "y"),
        node("Shape", "shaped", "10"),
        node("FusedMatMul", "x shaped", "11").domain("com.microsoft"),
        node("QuantizeLinear", "fake_quantised scale zero", "12"),
        node("DequantizeLinear", "quantised scales zeros", "13"),
        node("Conv", "x 13", "14"),
    ];
    let mut initializers: Vec<_> = (2..).zip(names).map(matrix).collect();
    initializers.push(raw("quantised", INT8, &[4, 6], [3; 24]));
    initializers.push(raw("scales", FLOAT, &[4], &data[..16]));
    initializers.push(raw("steps", INT64, &[1], [0; 8]));
    let checkpoint = opened(folder.path(), &nodes, &initializers);
    let other = |name: &str| Some(SkipReason::NotALayer { name: name.into() });
    let table = || Some(SkipReason::Embedding { word: "Gather" });
    let quantised = |weight: &str| Some(SkipReason::Quantization { weight: weight.into() });
    let expected = [
        ("embeddings.weight", None),
        ("layer_norm.weight", None),
        ("added.weight", other("Add")),
        ("custom.weight", other("MatMul")),
        ("table", table()),
        ("tied", table()),
        ("unused.weight", other("unused")),
        ("both", None),
        ("output.weight", other("output")),
        ("shaped", None),
        ("fake_quantised", quantised("fake_quantised")),
        ("quantised", quantised("quantised")),
        ("scales", quantised("quantised")),
        ("steps", Some(SkipReason::Dtype)),
    ];
    assert_eq!(reasons(&checkpoint), expected);
    // A named tensor is pruned, whatever it is; one that two operators take, once.
    let only = |pattern: &str| Pruner::new(half()).selection(Selection::new().only(pattern));
    assert_eq!(only("table").dry_run(&checkpoint, &()).unwrap().pruned_after(), 12);
    assert_eq!(only("both").dry_run(&checkpoint, &()).unwrap().pruned_after(), 12);
    let included = Pruner::new(half()).selection(Selection::new().include("*.weight").exclude("layer*"));
    assert_eq!(included.dry_run(&checkpoint, &()).unwrap().pruned_after(), 12);
}

#[test]
fn what_cannot_be_replaced_in_place_is_named_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let data = bits(&weights::<f32>(&[4, 6], 1));
    let branch = |name: &str| {
        graph(
            &[node("MatMul", "x w", name)],
            &[raw("w", FLOAT, &[4, 6], &data), raw("axes", INT64, &[1], [0; 8])],
            name,
        )
    };
    let numbers: Vec<u8> = (0..24).flat_map(|_| varint(0x3c00)).collect();
    let single = data.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
    let nodes = [
        node("Constant", "", "const").with_tensor("value", raw("", FLOAT, &[4, 6], &data)),
        node("Constant", "", "scalar").with_tensor("value", raw("", FLOAT, &[], &data[..4])),
        node("MatMul", "x const", "1"),
        node("MatMul", "x halves", "2"),
        node("MatMul", "x floats", "3"),
        node("MatMul", "x singles", "4"),
        node("MatMul", "x parts", "5"),
        node("If", "cond", "6").with_graph("then_branch", branch("7")).with_graph("else_branch", branch("8")),
        node("Loop", "", "9").with_graph("body", graph(&[node("Gemm", "x outer", "10")], &[], "10")),
        node("MatMul", "x sparse", "11"),
    ];
    let sparse = Message::new().field(1, raw("sparse", FLOAT, &[24], &data)).field(2, tensor("", INT64, &[0]));
    let mut contents = graph(
        &nodes,
        &[
            tensor("halves", FLOAT16, &[4, 6]).field(5, numbers),
            tensor("floats", FLOAT, &[4, 6]).field(4, &data),
            single.fold(tensor("singles", FLOAT, &[4, 6]), |tensor, number| tensor.float(4, number)),
            raw("parts", FLOAT, &[4, 6], &data).field(3, Message::new().number(1, 0).number(2, 24)),
            raw("outer", FLOAT, &[4, 6], &data),
            tensor("words", TEXT, &[2]).field(6, "a").field(6, "b"),
            raw("nibbles", INT4, &[3], [0; 2]),
        ],
        "y",
    );
    contents = contents.field(15, sparse);
    let input = written(folder.path(), &model(&contents));
    let checkpoint = Checkpoint::open([&input]).unwrap();
    let encoded = |field| Some(SkipReason::Encoded { field });
    let mut found = reasons(&checkpoint);
    found.sort_by_key(|(name, _)| *name);
    let expected = [
        ("6.else_branch.w", Some(SkipReason::Subgraph)),
        ("6.then_branch.w", Some(SkipReason::Subgraph)),
        ("const", None),
        ("floats", None),
        ("halves", encoded("int32_data")),
        ("outer", None),
        ("parts", encoded("segment")),
        ("singles", encoded("float_data")),
        ("sparse", Some(SkipReason::Vector)),
    ];
    assert_eq!(found, expected);
    // Not even if they are named.
    let pruner = Pruner::new(half()).selection(Selection::new().only("*"));
    let output = folder.path().join("pruned.onnx");
    let report = run(&pruner, [&input], &output).unwrap();
    assert_eq!(report.pruned_after(), 3 * 12);
    let found: Vec<_> = skipped(&report).into_iter().filter_map(|(name, reason)| Some((name, reason?))).collect();
    assert!(found.contains(&("sparse", &SkipReason::Encoded { field: "sparse_initializer" })), "{found:?}");
    assert_eq!(found.len(), 6);
    let (before, after) = (fs::read(&input).unwrap(), fs::read(&output).unwrap());
    assert_eq!(before.len(), after.len());
    let changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
    assert!(changed > 0 && changed <= 3 * 12 * 4, "{changed}");
    // Tensors in a subgraph can be inspected.
    let inspection = inspect(&checkpoint, true, &()).unwrap();
    let unread: Vec<_> = inspection.tensors.iter().filter(|tensor| tensor.zeros.is_none()).map(|t| &*t.name).collect();
    assert_eq!(unread, ["halves", "singles", "parts", "sparse"]);
    let found = diff(&checkpoint, &Checkpoint::open([&output]).unwrap(), &()).unwrap();
    assert_eq!(found.common.iter().filter(|tensor| tensor.entries.is_none()).count(), 4);
}

#[test]
fn data_with_a_checksum_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("data"), bits(&weights::<f32>(&[2, 24], 1))).unwrap();
    let location = ("location", "data");
    let checkpoint = opened(
        folder.path(),
        &[node("MatMul", "x a", "1"), node("MatMul", "x b", "y")],
        &[
            external("a", FLOAT, &[4, 6], &[location]),
            external("b", FLOAT, &[4, 6], &[location, ("offset", "96"), ("checksum", "0123")]),
        ],
    );
    let reason = Some(SkipReason::Encoded { field: "checksum" });
    assert_eq!(reasons(&checkpoint), [("a", reason.clone()), ("b", reason)]);
    assert!(inspect(&checkpoint, false, &()).unwrap().tensors.iter().all(|tensor| tensor.zeros.is_some()));
}

#[test]
fn names_make_no_pairs_and_nothing_else_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = [node("Mul", "w_orig w_mask", "w"), node("MatMul", "x v", "1"), node("MatMul", "x w", "y")];
    let checkpoint = opened(folder.path(), &nodes, &["w_orig", "w_mask", "v"].map(matrix));
    let other = Some(SkipReason::NotALayer { name: "Mul".into() });
    assert_eq!(reasons(&checkpoint), [("w_orig", other.clone()), ("w_mask", other), ("v", None)]);

    let output = Output::new(folder.path().join("out.onnx"));
    let pair = Pruner::new(half()).format(Format::PyTorch).run(&checkpoint, &output, &()).unwrap_err();
    let pack = Packer::new().run(&checkpoint, &output, &()).unwrap_err();
    let compact = Compactor::new().ffn(0.5).run(&checkpoint, &output, &()).unwrap_err();
    let path = folder.path().join("model.onnx");
    for (error, what) in [(pair, "write originals and masks into"), (pack, "pack"), (compact, "compact")] {
        let rest = format!("ONNX model `{}`: only the values of its tensors can be changed", path.display());
        assert_eq!(error.to_string(), format!("cannot {what} {rest}"));
    }
    assert!(matches!(remove(&checkpoint, &output, &()), Err(CheckpointError::NothingPruned)));
    // It is no shard of anything.
    let other = write(&folder.path().join("a.safetensors"), &[], &[Raw::of("a", &weights::<f32>(&[2, 2], 1))]);
    assert!(matches!(Checkpoint::open([&path, &other]), Err(CheckpointError::Header { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}
