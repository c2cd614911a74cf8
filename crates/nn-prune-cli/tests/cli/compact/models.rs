//! Models of every type, against the recorded ones.

use std::fs;

use serde_json::json;

use super::{assert_recorded, drop_layers, fixture, json_file, tensors};
use crate::{Folder, tensor};

const CASES: [&str; 18] = [
    "bert-ffn",
    "bert-layers",
    "gemma-ffn",
    "gemma2-layers",
    "gemma3-layers",
    "gpt2-ffn-layers",
    "llama-bias-all",
    "llama-ffn",
    "llama-heads",
    "llama-layers",
    "mistral-ffn-heads",
    "phi3-ffn",
    "phi3-heads",
    "qwen2-all",
    "qwen3-all",
    "roberta-ffn",
    "vit-ffn-layers",
    "vit-heads",
];

#[test]
fn kept_units_from_a_file_give_the_recorded_models() {
    for case in CASES {
        let folder = Folder::new();
        let (dense, plan) = (fixture(case).join("dense"), fixture(case).join("case.json"));
        let dropped = drop_layers(&json_file(&plan));
        let arguments = format!("compact {} -o out/ --keep {} {dropped} --quiet", dense.display(), plan.display());
        folder.run(&arguments).ok();
        assert_recorded(case, &folder.path("out"));
        assert_eq!(folder.files(), ["out/config.json", "out/model.safetensors"], "{case}");
    }
}

/// The recorded units are those with the lowest sums of norms.
#[test]
fn ranked_units_give_the_recorded_models() {
    for case in CASES {
        let folder = Folder::new();
        let (dense, recorded) = (fixture(case).join("dense"), json_file(&fixture(case).join("case.json")));
        let has = |part: &str| recorded["keep"].as_object().unwrap().keys().any(|name| name.ends_with(part));
        let mut arguments = format!("compact {} -o out {}", dense.display(), drop_layers(&recorded));
        for (part, option) in [(".ffn", "--ffn"), (".kv_groups", "--kv-groups"), (".heads", "--heads")] {
            if has(part) {
                arguments += &format!(" {option} 0.5");
            }
        }
        if arguments.ends_with("0.5") {
            arguments += " --reduce sum";
        }
        let report = folder.run(&format!("{arguments} --json --save-plan plan.json")).json();
        assert_recorded(case, &folder.path("out"));
        assert_eq!(
            [&report["entries_before"], &report["entries"]],
            [&recorded["elements"][0], &recorded["elements"][1]]
        );
        let equals = if case == "bert-layers" { "none" } else { "masked" };
        assert_eq!(report["equals"], equals);

        // The saved plan gives the same model.
        let again = format!("compact {} -o again/ --keep plan.json {} -q", dense.display(), drop_layers(&recorded));
        folder.run(&again).ok();
        assert_recorded(case, &folder.path("again"));
    }
}

/// Scores from a file decide instead of norms: the recorded units have the higher ones.
#[test]
fn scores_from_a_file_give_the_recorded_model() {
    let folder = Folder::new();
    let recorded = json_file(&fixture("qwen2-all").join("case.json"));
    let scores = recorded["dimensions"].as_array().unwrap().iter().map(|dimension| {
        let name = dimension["name"].as_str().unwrap();
        let size = dimension["size"].as_u64().unwrap();
        let kept = &recorded["keep"][name].as_array().unwrap();
        let score = |unit: u64| if kept.contains(&unit.into()) { 2.0_f32 } else { 1.0 };
        (name, ndarray::Array1::from_iter((0..size).map(score)))
    });
    let scores: prune::ParameterStore<f32> = scores.collect();
    prune::safetensors::save_file(&scores, folder.path("scores.safetensors")).unwrap();
    let dense = fixture("qwen2-all").join("dense");
    let arguments = "--ffn 0.5 --kv-groups 2 --drop-layers 0 --scores scores.safetensors -q";
    folder.run(&format!("compact {} -o out/ {arguments}", dense.display())).ok();
    assert_recorded("qwen2-all", &folder.path("out"));
}

/// Masks of a plan, then `--dead`: the same model as by the plan.
#[test]
fn dead_units_are_removed() {
    let case = "llama-ffn";
    let folder = Folder::new();
    let dense = fixture(case).join("dense");
    let recorded = json_file(&fixture(case).join("case.json"));
    let mut all = tensors(&dense.join("model.safetensors"));
    for dimension in recorded["dimensions"].as_array().unwrap() {
        let kept = recorded["keep"][dimension["name"].as_str().unwrap()].as_array().unwrap();
        for unit in (0..dimension["size"].as_u64().unwrap()).filter(|unit| !kept.contains(&(*unit).into())) {
            // Only the consumer: what nothing reads is dead.
            for use_ in dimension["uses"].as_array().unwrap().iter().filter(|use_| use_["role"] == "in") {
                let (shape, data) = all.get_mut(use_["tensor"].as_str().unwrap()).unwrap();
                for row in data.chunks_exact_mut(4 * shape[1]) {
                    row[4 * unit as usize..4 * (unit as usize + 1)].fill(0);
                }
            }
        }
    }
    let views = all.iter().map(|(name, (shape, data))| {
        (name.as_str(), safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap())
    });
    folder.write("in/model.safetensors", safetensors::serialize(views, None).unwrap());
    folder.write("in/config.json", fs::read(dense.join("config.json")).unwrap());
    let report = folder.run("compact in -o out --dead --json").json();
    assert_eq!(report["equals"], "input");
    assert_recorded(case, &folder.path("out"));
}

/// Any model, by a coupling file, and pruned tensors as originals and masks.
#[test]
fn a_coupling_file_cuts_any_model() {
    let folder = Folder::new();
    let mut model = prune::ParameterStore::new();
    for (name, shape) in [("fc1.weight", &[4, 3][..]), ("fc1.bias", &[4]), ("fc2.weight", &[2, 4]), ("fc2.bias", &[2])]
    {
        model.insert(name, tensor(shape, 7));
    }
    prune::l1_unstructured(&mut model, "fc1.weight", 0.5).unwrap();
    prune::safetensors::save_file(&model, folder.path("net.safetensors")).unwrap();
    let use_ = |tensor: &str, axis: usize, role: &str| json!({ "tensor": tensor, "axis": axis, "role": role });
    let uses = [use_("fc1.weight", 0, "out"), use_("fc1.bias", 0, "follow"), use_("fc2.weight", 1, "in")];
    let coupling = json!({ "dimensions": [{ "name": "h", "uses": uses }] });
    folder.write("net.json", coupling.to_string());
    folder.write("plan.json", json!({ "keep": { "h": [1, 3] }, "other": 1 }).to_string());
    folder.run("compact net.safetensors -o small.safetensors --coupling net.json --keep plan.json -q").ok();

    let coupling = prune::compact::Coupling::new()
        .dimension(
            "h",
            [
                prune::compact::Use::out("fc1.weight", 0),
                prune::compact::Use::follow("fc1.bias", 0),
                prune::compact::Use::input("fc2.weight", 1),
            ],
        )
        .fixed("fc2.bias");
    coupling.keep(&model, [("h", vec![1, 3])]).unwrap().compact(&mut model).unwrap();
    prune::safetensors::save_file(&model, folder.path("expected.safetensors")).unwrap();
    assert_eq!(tensors(&folder.path("small.safetensors")), tensors(&folder.path("expected.safetensors")));
}
