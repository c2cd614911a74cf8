//! ONNX models on the command line.

use std::fs;

use serde_json::{Value, json};

use crate::Folder;
use onnx_file::*;

#[allow(dead_code, reason = "the tests of the library use the rest")]
#[path = "../../../../tests/checkpoint/onnx_file.rs"]
mod onnx_file;

const L1: &str = "--method l1 --amount 0.5";

/// The entries 1, -2, 3, ... as bytes.
fn numbers(count: usize) -> Vec<u8> {
    (1..=count).flat_map(|i| (i as f32 * if i % 2 == 0 { -1.0 } else { 1.0 }).to_le_bytes()).collect()
}

fn contents(weight: Message) -> Vec<u8> {
    let branch = graph(&[node("MatMul", "x w", "z")], &[raw("w", FLOAT, &[2, 4], numbers(8))], "z");
    let nodes = [
        node("Gather", "words x", "g"),
        node("Gemm", "g fc.weight fc.bias", "h").with("transB", 1),
        node("Add", "h positions", "p"),
        node("DequantizeLinear", "quantised scale", "q"),
        node("If", "c", "i").with_graph("then_branch", branch),
        node("MatMul", "p onnx::MatMul_7", "y"),
    ];
    let initializers = [
        weight,
        raw("fc.bias", FLOAT, &[4], numbers(4)),
        raw("words", FLOAT, &[8, 4], numbers(32)),
        raw("positions", FLOAT, &[3, 4], numbers(12)),
        raw("quantised", INT8, &[2, 4], [1; 8]),
        raw("scale", FLOAT, &[1], numbers(1)),
        tensor("onnx::MatMul_7", FLOAT16, &[4, 2]).field(5, [1; 8]),
    ];
    model(&graph(&nodes, &initializers, "y"))
}

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("model.onnx", contents(raw("fc.weight", FLOAT, &[4, 4], numbers(16))));
    folder
}

#[test]
fn a_model_is_pruned_in_place_and_the_rest_is_named() {
    let folder = folder();
    let report = folder.run(&format!("prune model.onnx -o pruned.onnx {L1} --json")).json();
    let skipped = |tensor: &Value| json!([tensor["name"], tensor["skipped"], tensor["reason"]]);
    let found: Vec<_> = report["tensors"].as_array().unwrap().iter().map(skipped).collect();
    let reason =
        |name: &str, text: &str, code: &str, detail: Value| json!([name, text, { "code": code, "detail": detail }]);
    let quantised = |name| reason(name, "part of a quantised weight", "quantization", json!("quantised"));
    let encoded = "stored in `int32_data`, not as plain bytes";
    let expected = [
        reason("i.then_branch.w", "in a subgraph", "subgraph", Value::Null),
        json!(["fc.weight", null, null]),
        reason("fc.bias", "a vector", "vector", Value::Null),
        reason("words", "an embedding", "embedding", json!("Gather")),
        reason("positions", "not a layer's weight", "not_a_layer", json!("Add")),
        quantised("quantised"),
        quantised("scale"),
        reason("onnx::MatMul_7", encoded, "encoded", json!("int32_data")),
    ];
    assert_eq!(found, expected);
    let (before, after) = (folder.read("model.onnx"), folder.read("pruned.onnx"));
    let at = before.windows(64).position(|window| window == numbers(16)).unwrap();
    let mut zeros = before.clone();
    for (i, entry) in zeros[at..at + 32].chunks_mut(4).enumerate() {
        entry.copy_from_slice(&(if i % 2 == 0 { 0.0 } else { -0.0_f32 }).to_le_bytes());
    }
    assert!(after == zeros);

    let table = folder.run(&format!("prune model.onnx {L1} --dry-run")).ok();
    for text in ["fc.weight", "in a subgraph", encoded, "an embedding", "part of a quantised weight", "8 of 16 entries"]
    {
        assert!(table.contains(text), "{text}\n{table}");
    }
    // `inspect` says the same, and what can be counted.
    let inspection = folder.run("inspect pruned.onnx --json").json();
    let found: Vec<_> = inspection["tensors"].as_array().unwrap().iter().map(skipped).collect();
    assert_eq!(found, expected);
    let zeros: Vec<_> = inspection["tensors"].as_array().unwrap().iter().map(|tensor| &tensor["zeros"]).collect();
    assert_eq!(zeros[1..], [&json!(8), &json!(0), &json!(0), &json!(0), &json!(0), &json!(0), &Value::Null]);
    folder.run("inspect pruned.onnx").ok();
    let difference = folder.run("diff model.onnx pruned.onnx");
    assert_eq!(difference.code, Some(3), "{difference:?}");
}

#[test]
fn patterns_masks_and_channels_apply() {
    let folder = folder();
    folder.run("prune model.onnx -o 2of4.onnx -q --method nm --pattern 2:4").ok();
    folder.run("verify 2of4.onnx -q --pattern 2:4").ok();
    assert_eq!(folder.run("verify model.onnx -q --pattern 2:4").code, Some(3));
    folder.run(&format!("prune model.onnx -o m.safetensors -q --format masks {L1}")).ok();
    folder.run("prune model.onnx -o a.onnx -q --method mask --mask m.safetensors").ok();
    folder.run(&format!("prune model.onnx -o b.onnx -q {L1}")).ok();
    assert!(folder.read("a.onnx") == folder.read("b.onnx"));
    folder.run("masks b.onnx -o zeros.safetensors -q --zeros").ok();
    let table = folder.run("prune model.onnx -o c.onnx --method ln --amount 1").ok();
    assert!(table.contains("channels:  1 tensor along axis 0: output channels of Gemm\n"), "{table}");
}

#[test]
fn external_data_needs_a_directory() {
    let folder = Folder::new();
    let place = [("location", "model.onnx.data"), ("offset", "0"), ("length", "64")];
    folder.write("model.onnx", contents(external("fc.weight", FLOAT, &[4, 4], &place)));
    folder.write("model.onnx.data", numbers(16));
    let message = "error: output `out.onnx` is not a directory\n  hint: shards are written to a directory: -o out/";
    folder.run(&format!("prune model.onnx -o out.onnx {L1}")).fails(1, message);
    folder.run(&format!("prune model.onnx -o . --force {L1}")).fails(1, "error: output `./model.onnx` would overwrite");
    folder.run(&format!("prune model.onnx -o out/ {L1}")).ok();
    assert_eq!(folder.files(), ["model.onnx", "model.onnx.data", "out/model.onnx", "out/model.onnx.data"]);
    assert!(folder.read("out/model.onnx") == folder.read("model.onnx"));
    assert_eq!(folder.read("out/model.onnx.data").chunks(4).filter(|entry| entry[2..] == [0, 0]).count(), 4);
    fs::remove_file(folder.path("model.onnx.data")).unwrap();
    let cause = "error: `model.onnx` is not a valid ONNX model\n  caused by: the data of tensor `fc.weight` is in ";
    folder.run("inspect model.onnx").fails(1, &format!("{cause}`model.onnx.data`, which does not exist\n"));
}

#[test]
fn what_does_not_apply_to_a_model_is_refused() {
    let folder = folder();
    folder.write("other.onnx", b"\x08\x08\x12\x07pytorch\x1a\x051.0.0");
    let cause =
        "error: `other.onnx` is not a valid ONNX model\n  caused by: the model has 0 graphs, and must have one\n";
    folder.run("inspect other.onnx").fails(1, cause);
    let run = folder.run("inspect model.onnx other.onnx");
    assert!(run.err.ends_with("  hint: an ONNX model is pruned in place, as the only input\n"), "{run:?}");
    for (command, what) in [
        (format!("prune model.onnx -o out.onnx --format pytorch {L1}"), "write originals and masks into"),
        ("pack model.onnx -o out.onnx".to_owned(), "pack"),
    ] {
        let rest =
            "ONNX model `model.onnx`: only the values of its tensors can be changed\n  hint: do it to the checkpoint";
        folder.run(&command).fails(1, &format!("error: cannot {what} {rest}"));
    }
    let message = "error: output `a.safetensors` is not an ONNX model\n  hint: -o a.onnx\n";
    folder.run(&format!("prune model.onnx -o a.safetensors {L1}")).fails(1, message);
    assert_eq!(folder.files(), ["model.onnx", "other.onnx"]);
}
