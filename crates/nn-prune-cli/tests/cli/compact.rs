//! `nn-prune compact` on tiny models of every type, as transformers saves them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::{Value, json};

use super::{Folder, tensor};

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

fn fixture(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/compact/hf").join(case)
}

fn json_file(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

fn tensors(path: &Path) -> Tensors {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.tensors().into_iter().map(|(name, view)| (name, (view.shape().to_vec(), view.data().to_vec()))).collect()
}

/// The arguments that drop the layers of a case.
fn drop_layers(case: &Value) -> String {
    let dropped: Vec<String> = case["drop"].as_array().unwrap().iter().map(ToString::to_string).collect();
    if dropped.is_empty() { String::new() } else { format!("--drop-layers {}", dropped.join(",")) }
}

/// The recorded output: tensors and configuration.
#[track_caller]
fn assert_recorded(case: &str, output: &Path) {
    let expected = fixture(case).join("compact");
    assert_eq!(tensors(&output.join("model.safetensors")), tensors(&expected.join("model.safetensors")), "{case}");
    assert_eq!(json_file(&output.join("config.json")), json_file(&expected.join("config.json")), "{case}");
}

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
        let mut arguments = format!("compact {} -o out --reduce sum {}", dense.display(), drop_layers(&recorded));
        for (part, option) in [(".ffn", "--ffn"), (".kv_groups", "--kv-groups"), (".heads", "--heads")] {
            if has(part) {
                arguments += &format!(" {option} 0.5");
            }
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

/// Changes the configuration of a case, and compacts it.
fn changed(case: &str, change: impl FnOnce(&mut Value), arguments: &str) -> super::Run {
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

fn floats((_, data): &(Vec<usize>, Vec<u8>)) -> Vec<f64> {
    data.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()).into()).collect()
}

/// The biases of consumers after `--fold`, computed entry by entry.
#[test]
fn constants_are_folded() {
    use prune::compact::Activation;

    /// The constants of all positions of a consumer, of the biases of a layer.
    type Constants = fn(&dyn Fn(&str) -> Vec<f64>) -> Vec<f64>;
    let bert: Constants =
        |bias| bias("intermediate.dense.bias").into_iter().map(|x| Activation::Gelu.apply(x)).collect();
    let gpt2: Constants = |bias| bias("mlp.c_fc.bias").into_iter().map(|x| Activation::GeluTanh.apply(x)).collect();
    let gated: Constants = |bias| {
        let up = bias("mlp.up_proj.bias");
        bias("mlp.gate_proj.bias").into_iter().zip(up).map(|(gate, up)| Activation::Silu.apply(gate) * up).collect()
    };
    // Two query heads of two numbers share the values of a key/value head.
    let values: Constants = |bias| {
        let values = bias("self_attn.v_proj.bias");
        (0..16).map(|position| values[position / 4 * 2 + position % 2]).collect()
    };
    let heads: Constants = |bias| bias("attention.attention.value.bias");
    for (case, part, block, prefix, consumer, into, constants) in [
        ("bert-ffn", "ffn", 1, "encoder.layer.", "output.dense.weight", "output.dense.bias", bert),
        ("gpt2-ffn-layers", "ffn", 1, "transformer.h.", "mlp.c_proj.weight", "mlp.c_proj.bias", gpt2),
        ("llama-bias-all", "ffn", 1, "model.layers.", "mlp.down_proj.weight", "mlp.down_proj.bias", gated),
        ("llama-bias-all", "kv_groups", 4, "model.layers.", "self_attn.o_proj.weight", "self_attn.o_proj.bias", values),
        (
            "vit-heads",
            "heads",
            4,
            "encoder.layer.",
            "attention.output.dense.weight",
            "attention.output.dense.bias",
            heads,
        ),
    ] {
        let folder = Folder::new();
        let (dense, plan) = (fixture(case).join("dense"), fixture(case).join("case.json"));
        let recorded = json_file(&plan);
        let dropped = drop_layers(&recorded);
        let arguments =
            format!("compact {} -o out/ --fold --keep {} {dropped} --json", dense.display(), plan.display());
        assert_eq!(folder.run(&arguments).json()["equals"], "masked producers");
        let (before, after) =
            (tensors(&dense.join("model.safetensors")), tensors(&folder.path("out/model.safetensors")));
        let tensor = |name: &str| floats(&before[&format!("{prefix}0.{name}")]);
        let (weight, mut expected, constants) = (tensor(consumer), tensor(into), constants(&tensor));
        let kept = recorded["keep"][format!("0.{part}")].as_array().unwrap();
        let (outputs, positions) = (expected.len(), constants.len());
        for position in (0..positions).filter(|position| !kept.contains(&(position / block).into())) {
            for (output, bias) in expected.iter_mut().enumerate() {
                // GPT-2 stores its matrices as [in, out].
                let entry =
                    if case.starts_with("gpt2") { position * outputs + output } else { output * positions + position };
                *bias += weight[entry] * constants[position];
            }
        }
        let found = floats(&after[&format!("{prefix}0.{into}")]);
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{case}: {found:?} {expected:?}");
        assert!(found.iter().zip(tensor(into)).any(|(a, b)| (a - b).abs() > 1e-3), "{case}");
    }
    // Qwen2 has biases of values, but none to receive them.
    let qwen = fixture("qwen2-all").join("dense");
    Folder::new().run(&format!("compact {} -o out/ --fold --kv-groups 1", qwen.display())).fails(
        1,
        "error: cannot fold the constants of dimension `0.kv_groups`: the model has no `self_attn.o_proj.bias`",
    );
}
