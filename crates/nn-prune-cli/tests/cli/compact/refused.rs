//! Configurations and options that are refused.

use std::fs;

use serde_json::{Value, json};

use super::{fixture, json_file};
use crate::{Folder, Run};

/// Changes the configuration of a case, and compacts it.
fn changed(case: &str, change: impl FnOnce(&mut Value), arguments: &str) -> Run {
    let folder = Folder::new();
    let dense = fixture(case).join("dense");
    let mut config = json_file(&dense.join("config.json"));
    change(&mut config);
    folder.write("in/config.json", config.to_string());
    folder.write("in/model.safetensors", fs::read(dense.join("model.safetensors")).unwrap());
    let run = folder.run(&format!("compact in -o out {arguments}"));
    assert_eq!(folder.files(), ["in/config.json", "in/model.safetensors"]);
    run
}

#[test]
fn models_that_do_not_fit_are_refused() {
    let set = |key: &'static str, value: Value| move |config: &mut Value| config[key] = value;
    for (case, key, value, arguments, message) in [
        (
            "llama-ffn",
            "model_type",
            json!("t5"),
            "--ffn 1",
            "error: no preset for model type `t5`; the types are bert, gemma",
        ),
        ("llama-ffn", "model_type", json!(null), "--ffn 1", "error: `in/config.json` has no `model_type`"),
        (
            "llama-ffn",
            "hidden_size",
            json!(-1),
            "--ffn 1",
            "error: `in/config.json` has a number for `hidden_size`, not a positive",
        ),
        (
            "llama-ffn",
            "intermediate_size",
            json!(23),
            "--ffn 1",
            "error: tensor `model.layers.0.mlp.down_proj.weight` has shape [16, 24], but the configuration says [16, 23]",
        ),
        (
            "llama-ffn",
            "num_attention_heads",
            json!(u64::MAX),
            "--ffn 1",
            "error: `in/config.json` has 4 key/value heads, which do not divide the 18446744073709551615 heads",
        ),
        (
            "phi3-ffn",
            "intermediate_size",
            json!(u64::MAX),
            "--ffn 1",
            "error: `in/config.json` has sizes that are too large",
        ),
        (
            "llama-ffn",
            "num_hidden_layers",
            json!(5),
            "--ffn 1",
            "error: `in/config.json` has 5 for `num_hidden_layers`, but the file has tensors of 4 layers",
        ),
        (
            "llama-ffn",
            "quantization_config",
            json!({}),
            "--ffn 1",
            "error: `in/config.json` describes quantized weights",
        ),
        (
            "qwen3-all",
            "model_type",
            json!("qwen2"),
            "--ffn 1",
            "error: tensor `model.layers.0.self_attn.k_norm.weight` is not part of a model of type `qwen2`",
        ),
        (
            "llama-ffn",
            "model_type",
            json!("qwen3"),
            "--ffn 1",
            "error: layer 0 has no tensor `self_attn.k_norm.weight`",
        ),
        (
            "llama-ffn",
            "mlp_only_layers",
            json!([1]),
            "--drop-layers 0",
            "error: `in/config.json` has a list `mlp_only_layers`, which may name layers",
        ),
        ("gemma2-layers", "layer_types", json!(null), "--drop-layers 0", "error: `in/config.json` lacks `layer_types`"),
        (
            "llama-ffn",
            "vocab_size",
            json!(64),
            "--heads 1",
            "error: a model of type `llama` cannot lose heads; remove kv_groups instead",
        ),
        (
            "bert-ffn",
            "vocab_size",
            json!(64),
            "--heads 1",
            "error: a model of type `bert` cannot lose heads; remove ffn instead",
        ),
        (
            "llama-ffn",
            "vocab_size",
            json!(64),
            "--drop-layers 4",
            "error: layer 4 is out of range: the model has 4 layers",
        ),
        ("llama-ffn", "vocab_size", json!(64), "--drop-layers 0-3", "error: all 4 layers would be dropped"),
        (
            "llama-ffn",
            "vocab_size",
            json!(64),
            "--ffn 25",
            "error: the arguments do not fit the model\n  caused by: amount 25 exceeds",
        ),
        ("llama-ffn", "vocab_size", json!(64), "--keep in/config.json", "error: `in/config.json` has no object `keep`"),
        (
            "llama-ffn",
            "vocab_size",
            json!(64),
            "--ffn 1 --scores in/model.safetensors",
            "error: the arguments do not fit the model\n  caused by: no scores for dimension `0.ffn`",
        ),
    ] {
        changed(case, set(key, value), arguments).fails(1, message);
    }
    let uneven = |config: &mut Value| config["keep"] = json!({ "1.ffn": [0, 1] });
    changed("llama-ffn", uneven, "--keep in/config.json")
        .fails(1, "error: dimension `1.ffn` would keep 2 units, but those of other layers 24");
}

#[test]
fn options_are_checked_before_files_are_read() {
    let folder = Folder::new();
    for (arguments, message) in [
        ("compact in -o out", "error: the following required arguments were not provided"),
        ("compact in --ffn 0.5", "error: the following required arguments were not provided"),
        ("compact in -o out --ffn 0.5 --coupling net.json", "error: the argument '--ffn <AMOUNT>' cannot be used with"),
        ("compact in -o out --dead --multiple 2", "error: the following required arguments were not provided"),
        ("compact in -o out --dead --minimum 2", "error: the following required arguments were not provided"),
        ("compact in -o out --keep k --norm 1", "error: the following required arguments were not provided"),
        ("compact in -o out --drop-layers 1 --reduce sum", "error: the following required arguments were not provided"),
        ("compact in -o out --dead --scores s", "error: the following required arguments were not provided"),
        ("compact in -o out --ffn 1 --scores s --norm 1", "error: the argument '--scores <FILE>' cannot be used with"),
        ("compact in -o out --drop-layers x", "error: invalid value 'x' for '--drop-layers <LAYERS>'"),
    ] {
        folder.run(arguments).fails(2, message);
    }
}

/// A configuration is untrusted: it is refused, whatever it holds.
#[test]
fn hostile_configurations_are_refused() {
    let folder = Folder::new();
    let dense = fixture("llama-ffn").join("dense");
    folder.write("in/model.safetensors", fs::read(dense.join("model.safetensors")).unwrap());
    let deep = "[".repeat(100_000);
    for (config, message) in [
        (deep.as_bytes(), "error: `in/config.json` is not valid JSON"),
        (b"{\"model_type\": \"\xff\"}", "error: `in/config.json` is not valid JSON"),
        (b"[1]", "error: `in/config.json` holds a list, not an object"),
        (b"", "error: `in/config.json` is not valid JSON"),
        (b"{\"model_type\": \"\\u001b[2J\"}", "error: no preset for model type `\\u{1b}[2J`"),
    ] {
        folder.write("in/config.json", config);
        folder.run("compact in -o out --ffn 0.5").fails(1, message);
    }
    fs::remove_file(folder.path("in/config.json")).unwrap();
    folder.run("compact in -o out --ffn 0.5").fails(1, "error: cannot read `in/config.json`");
    assert_eq!(folder.files(), ["in/model.safetensors"]);
}
