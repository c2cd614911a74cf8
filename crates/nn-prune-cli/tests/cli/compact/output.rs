//! The files of an output, and the report.

use std::fs;

use serde_json::{Value, json};

use super::{fixture, json_file, tensors};
use crate::Folder;

/// A model in two shards with an index: renumbered layers stay in their shard, an empty shard goes.
#[test]
fn shards_are_cut_and_the_index_is_rewritten() {
    let folder = Folder::new();
    let dense = fixture("llama-layers").join("dense");
    let all = tensors(&dense.join("model.safetensors"));
    let shard_of = |name: &str| match name {
        _ if name.contains(".1.") || name.contains(".2.") => "b.safetensors",
        _ if name.contains(".3.") => "c.safetensors",
        _ => "a.safetensors",
    };
    for shard in ["a.safetensors", "b.safetensors", "c.safetensors"] {
        let own = all.iter().filter(|(name, _)| shard_of(name) == shard).map(|(name, (shape, data))| {
            let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap();
            (name.as_str(), view)
        });
        folder.write(&format!("in/{shard}"), safetensors::serialize(own, None).unwrap());
    }
    let map: serde_json::Map<String, Value> = all.keys().map(|name| (name.clone(), shard_of(name).into())).collect();
    let index = json!({ "metadata": { "total_size": 0 }, "weight_map": map });
    folder.write("in/model.safetensors.index.json", index.to_string());
    for (name, contents) in [("tokenizer.json", "{}"), ("pytorch_model.bin", "stale"), ("notes.txt", "n")] {
        folder.write(&format!("in/{name}"), contents);
    }
    folder.write("in/config.json", fs::read(dense.join("config.json")).unwrap());

    let report = folder.run("compact in -o out --drop-layers 1-2 --json").json();
    let files = ["a.safetensors", "c.safetensors", "config.json", "model.safetensors.index.json", "tokenizer.json"];
    assert_eq!(folder.files().iter().filter_map(|name| name.strip_prefix("out/")).collect::<Vec<_>>(), files);
    assert!(report["left_out"].as_array().unwrap().contains(&"pytorch_model.bin".into()));
    let index = json_file(&folder.path("out/model.safetensors.index.json"));
    assert_eq!(index["weight_map"]["model.layers.1.mlp.up_proj.weight"], "c.safetensors");
    assert_eq!(index["metadata"]["total_size"], report["bytes"]);
    let mut found = tensors(&folder.path("out/a.safetensors"));
    found.extend(tensors(&folder.path("out/c.safetensors")));
    assert_eq!(found, tensors(&fixture("llama-layers").join("compact/model.safetensors")));
}

#[test]
fn existing_files_are_kept_unless_forced() {
    let folder = Folder::new();
    let dense = fixture("llama-ffn").join("dense");
    folder.write("out/config.json", "mine");
    let command = format!("compact {} -o out --ffn 0.5 -q", dense.display());
    folder.run(&command).fails(1, "error: output `out/config.json` already exists");
    assert_eq!(folder.read("out/config.json"), b"mine");
    folder.run(&format!("{command} --force")).ok();
    assert_eq!(json_file(&folder.path("out/config.json"))["intermediate_size"], 12);
    folder
        .run(&format!("compact {} -o small.safetensors --ffn 0.5", dense.display()))
        .fails(1, "error: output `small.safetensors` is not a directory");
}

#[test]
fn the_report_says_what_changes() {
    let folder = Folder::new();
    let dense = fixture("vit-heads").join("dense");
    let report = folder.run(&format!("compact {} --heads 2 --dry-run", dense.display())).ok();
    for line in [
        "0.heads        4     2",
        "\nunchanged: ",
        "weights:   7,408 -> 6,336",
        "config:    head_dim: null -> 4",
        "config:    num_attention_heads: 4 -> 2",
        "written:   nothing (dry run)",
        "The output computes what the input computes with the removed units masked. Train it further: quality is lost.",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
    assert_eq!(folder.files(), [""; 0]);
}

/// Tensors that stay as they are have a row only on request, and layers that are cut alike are one row if there are many.
#[test]
fn tables_of_what_changes() {
    let folder = Folder::new();
    let dense = fixture("llama-ffn").join("dense");
    let run = |options: &str| folder.run(&format!("compact {} --dry-run {options}", dense.display())).ok();
    let table = run("--ffn 0.5");
    assert!(table.contains("mlp.up_proj.weight") && !table.contains("self_attn.q_proj.weight"), "{table}");
    let full = run("--ffn 0.5 --full");
    assert!(full.contains("self_attn.q_proj.weight") && full.lines().count() > table.lines().count(), "{full}");
    let summary = run("--ffn 0.5 --summary");
    assert!(summary.starts_with("unchanged: ") && table.ends_with(&summary), "{summary}");
    assert_eq!(run("--ffn 0.5 --summary --quiet").lines().count(), 1);
    let dropped = run("--drop-layers 0");
    assert!(dropped.contains("dropped") && dropped.contains("renamed"), "{dropped}");
}
