//! `nn-prune permute` on tiny models of every type, as transformers saves them.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ndarray::{Array1, Array2, Axis};
use prune::compact::{Coupling, Search, Use};
use prune::{NM, ParameterStore};
use serde_json::{Value, json};

use super::{Folder, tensor};

/// The cases with one dense model of each type.
const CASES: [&str; 12] = [
    "bert-ffn",
    "gemma-ffn",
    "gemma2-layers",
    "gemma3-layers",
    "gpt2-ffn-layers",
    "llama-bias-all",
    "llama-heads",
    "mistral-ffn-heads",
    "phi3-heads",
    "qwen3-all",
    "roberta-ffn",
    "vit-heads",
];

fn dense(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/compact/hf").join(case).join("dense")
}

type Model = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn model(path: &Path) -> Model {
    let bytes = fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |data: &[u8]| data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    file.tensors().into_iter().map(|(name, view)| (name, (view.shape().to_vec(), numbers(view.data())))).collect()
}

fn magnitude(model: &Model) -> f64 {
    model.values().flat_map(|(_, numbers)| numbers).map(|x| f64::from(x.abs())).sum()
}

fn dim(case: &str) -> &'static str {
    if case.starts_with("gpt2") { "0" } else { "-1" }
}

/// The same numbers in another order, under the same names and shapes; and `prune` keeps more of them.
#[test]
fn a_pattern_keeps_more_of_every_type() {
    for case in CASES {
        let folder = Folder::new();
        let (dense, dim) = (dense(case), dim(case));
        let report =
            folder.run(&format!("permute {} -o out/ --pattern 2:4 --dim {dim} --json", dense.display())).json();
        assert_eq!(folder.files(), ["out/config.json", "out/model.safetensors"], "{case}");
        let config = |folder: &Path| fs::read(folder.join("config.json")).unwrap();
        assert_eq!(config(&folder.path("out")), config(&dense), "{case}");
        let (before, after) = (model(&dense.join("model.safetensors")), model(&folder.path("out/model.safetensors")));
        let sorted = |model: &Model| -> Vec<_> {
            let sorted = |numbers: &[f32]| {
                let mut bits: Vec<u32> = numbers.iter().map(|x| x.to_bits()).collect();
                bits.sort_unstable();
                bits
            };
            model.iter().map(|(name, (shape, numbers))| (name.clone(), shape.clone(), sorted(numbers))).collect()
        };
        assert_eq!(sorted(&before), sorted(&after), "{case}");
        assert_ne!(before, after, "{case}");

        let number = |key: &str| report[key].as_f64().unwrap();
        assert!(number("kept") > number("kept_before"), "{case}: {report}");
        let pruned = |name: &str, input: &Path| {
            folder.run(&format!("prune {} -o {name}/ --method nm --pattern 2:4 --dim {dim} -q", input.display())).ok();
            magnitude(&model(&folder.path(name).join("model.safetensors")))
        };
        let gain = pruned("b", &folder.path("out")) - pruned("a", &dense);
        let reported = number("kept") - number("kept_before");
        assert!((gain - reported).abs() < 1e-9 * number("magnitude"), "{case}: {gain}, reported {reported}");
    }
}

/// A layer of a model: matrices of outputs by inputs, and biases.
struct Layers<'m> {
    model: &'m Model,
    is_transposed: bool,
}

impl Layers<'_> {
    fn tensor(&self, name: &str) -> Option<&(Vec<usize>, Vec<f32>)> {
        self.model.iter().find(|(key, _)| key.ends_with(name)).map(|(_, tensor)| tensor)
    }

    fn matrix(&self, layer: &str) -> Array2<f64> {
        let (shape, numbers) = self.tensor(&format!("{layer}.weight")).unwrap();
        let matrix = Array2::from_shape_vec([shape[0], shape[1]], numbers.clone()).unwrap().mapv(f64::from);
        if self.is_transposed { matrix.reversed_axes() } else { matrix }
    }

    /// Some outputs of a layer for one input.
    fn made(&self, layer: &str, outputs: Range<usize>) -> Array1<f64> {
        let matrix = self.matrix(layer);
        let input = Array1::from_iter((1..=matrix.ncols()).map(|i| (i as f64).sin()));
        let made = matrix.slice_axis(Axis(0), outputs.clone().into()).dot(&input);
        match self.tensor(&format!("{layer}.bias")) {
            Some((_, bias)) => made + Array1::from_iter(bias[outputs].iter().map(|&x| f64::from(x))),
            None => made,
        }
    }

    /// The outputs of a layer for some of its inputs.
    fn read(&self, layer: &str, inputs: Range<usize>, values: &Array1<f64>) -> Array1<f64> {
        self.matrix(layer).slice_axis(Axis(1), inputs.into()).dot(values)
    }
}

/// Each head by itself, and each feed-forward network, with a stand-in for its activation.
#[test]
fn what_a_layer_computes_stays() {
    let llama = ["self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"];
    let encoder = ["intermediate.dense", "intermediate.dense", "1.output.dense"];
    for (case, [value, output, gate, up, down], first_value, first_up) in [
        ("llama-bias-all", llama, 0, 0),
        ("gemma-ffn", llama, 0, 0),
        ("qwen3-all", llama, 0, 0),
        (
            "phi3-heads",
            ["self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.gate_up_proj", "mlp.down_proj"],
            24,
            24,
        ),
        ("bert-ffn", ["attention.self.value", "attention.output.dense", encoder[0], encoder[1], encoder[2]], 0, 0),
        (
            "vit-heads",
            ["attention.attention.value", "attention.output.dense", encoder[0], encoder[1], encoder[2]],
            0,
            0,
        ),
        ("gpt2-ffn-layers", ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_fc", "mlp.c_proj"], 32, 0),
    ] {
        let folder = Folder::new();
        let dense = dense(case);
        // Heads of four values would be one group of 2:4.
        folder.run(&format!("permute {} -o out/ --pattern 1:2 --dim {} -q", dense.display(), dim(case))).ok();
        let config: Value = serde_json::from_slice(&fs::read(dense.join("config.json")).unwrap()).unwrap();
        let number = |key: &str| config[key].as_u64().map(|number| number as usize);
        let heads = number("num_attention_heads").or(number("n_head")).unwrap();
        let queries = heads / number("num_key_value_heads").unwrap_or(heads);
        let models = [dense.join("model.safetensors"), folder.path("out/model.safetensors")].map(|path| model(&path));
        let computed = models.each_ref().map(|model| {
            let layers = Layers { model, is_transposed: case.starts_with("gpt2") };
            let name = |layer: &str| if layer.starts_with("1.") { layer.to_owned() } else { format!("1.{layer}") };
            let size = layers.matrix(&name(output)).ncols() / heads;
            let mut computed: Vec<Array1<f64>> = Vec::new();
            for head in 0..heads {
                let first = first_value + head / queries * size;
                let values = layers.made(&name(value), first..first + size);
                computed.push(layers.read(&name(output), head * size..(head + 1) * size, &values));
            }
            let inner = layers.matrix(&name(down)).ncols();
            let hidden = layers.made(&name(gate), 0..inner) * layers.made(&name(up), first_up..first_up + inner);
            computed.push(layers.read(&name(down), 0..inner, &hidden));
            computed
        });
        let [before, after] = &computed;
        for (number, (before, after)) in before.iter().zip(after).enumerate() {
            let difference = (before - after).iter().fold(0.0_f64, |most, x| most.max(x.abs()));
            assert!(difference < 1e-12, "{case}, {number}: {difference}");
        }
        // A small head may have the best order already, but not those of all layers.
        let [before, after] = &models;
        let is_moved = |name: &str| before.iter().any(|(key, tensor)| key.contains(name) && after[key] != *tensor);
        let width = number("hidden_size").or(number("n_embd")).unwrap();
        let is_one_group = number("head_dim").unwrap_or(width / heads) == 2;
        assert!(is_moved(up) && (is_one_group || is_moved(value)), "{case}");
    }
}

/// A network with a coupling file, and what the library makes of it.
fn network(folder: &Folder) -> (ParameterStore<f32>, Coupling) {
    let mut net = ParameterStore::new();
    for (name, shape) in
        [("fc1.weight", &[16, 3][..]), ("fc1.bias", &[16]), ("fc2.weight", &[5, 16]), ("fc2.bias", &[5])]
    {
        net.insert(name, tensor(shape, 7));
    }
    prune::l1_unstructured(&mut net, "fc1.weight", 0.5).unwrap();
    prune::l1_unstructured(&mut net, "fc2.weight", 0.25).unwrap();
    prune::safetensors::save_file(&net, folder.path("net.safetensors")).unwrap();
    let use_ = |tensor: &str, axis: usize, role: &str| json!({ "tensor": tensor, "axis": axis, "role": role });
    let uses = [use_("fc1.weight", 0, "out"), use_("fc1.bias", 0, "follow"), use_("fc2.weight", 1, "in")];
    folder.write("net.json", json!({ "dimensions": [{ "name": "h", "uses": uses }] }).to_string());
    let uses = [Use::out("fc1.weight", 0), Use::follow("fc1.bias", 0), Use::input("fc2.weight", 1)];
    (net, Coupling::new().dimension("h", uses).fixed("fc2.bias"))
}

/// The file has the order that memory has; originals and masks move together.
#[test]
fn a_coupling_file_gives_what_memory_gives() {
    let folder = Folder::new();
    let (mut net, coupling) = network(&folder);
    let arguments = "permute net.safetensors -o out.safetensors --pattern 2:4 --coupling net.json --seed 3 --budget 7";
    let report = folder.run(&format!("{arguments} --json")).json();
    let search = Search { budget: 7, seed: 3, ..Search::new(NM::new(2, 4, -1).unwrap()) };
    let found = coupling.permute(&net, &search).unwrap();
    found.permutation.apply(&mut net).unwrap();
    prune::safetensors::save_file(&net, folder.path("expected.safetensors")).unwrap();
    assert_eq!(model(&folder.path("out.safetensors")), model(&folder.path("expected.safetensors")));
    let [total, dimension] = [&report, &report["dimensions"][0]];
    assert_eq!([&total["kept_before"], &total["kept"]], [&json!(found.total.before), &json!(found.total.after)]);
    assert_eq!(dimension["taken"], json!(found.dimensions[0].taken));
    assert!(found.dimensions[0].taken > 0 && dimension["tried"] == json!(56));

    // Without rounds, the file stays as it is.
    folder.run("permute net.safetensors -o same.safetensors --pattern 2:4 --coupling net.json --budget 0 -q").ok();
    assert_eq!(model(&folder.path("same.safetensors")), model(&folder.path("net.safetensors")));
}

#[test]
fn the_report_says_how_much_is_kept() {
    let folder = Folder::new();
    network(&folder);
    let run = |options: &str| {
        folder.run(&format!("permute net.safetensors --pattern 2:4 --coupling net.json {options}")).ok()
    };
    let report = run("--dry-run");
    for part in [
        "dimension  units  kept before  kept after  swaps",
        "h             16 ",
        "\nkept:      ",
        "written:   nothing (dry run)",
    ] {
        assert!(report.contains(part), "{part}\n{report}");
    }
    assert!(report.ends_with("The output computes what the input computes, but for rounding.\n"), "{report}");
    assert!(run("--dry-run --summary --quiet").starts_with("kept:      "));
    assert_eq!(folder.files(), ["net.json", "net.safetensors"]);
    // Many dimensions are one row for equal layers.
    let dense = dense("llama-heads");
    let many = folder.run(&format!("permute {} --pattern 2:4 --dry-run --budget 1 --full", dense.display())).ok();
    assert!(many.contains("3.ffn") && many.contains("0.values.1"), "{many}");
}

#[test]
fn shards_keep_their_tensors() {
    let folder = Folder::new();
    let dense = dense("llama-heads");
    let all = fs::read(dense.join("model.safetensors")).unwrap();
    let all = safetensors::SafeTensors::deserialize(&all).unwrap();
    for (shard, is_first) in [("a.safetensors", true), ("b.safetensors", false)] {
        let own = all.tensors().into_iter().filter(|(name, _)| name.contains("mlp.down") == is_first);
        folder.write(&format!("in/{shard}"), safetensors::serialize(own, None).unwrap());
    }
    let map: serde_json::Map<String, Value> = all
        .names()
        .into_iter()
        .map(|name| (name.to_owned(), if name.contains("mlp.down") { "a.safetensors" } else { "b.safetensors" }.into()))
        .collect();
    folder.write("in/model.safetensors.index.json", json!({ "metadata": {}, "weight_map": map }).to_string());
    folder.write("in/config.json", fs::read(dense.join("config.json")).unwrap());
    folder.write("in/tokenizer.json", "{}");
    folder.run("permute in -o out --pattern 2:4 -q").ok();
    folder.run(&format!("permute {} -o whole/ --pattern 2:4 -q", dense.display())).ok();
    let mut found = model(&folder.path("out/a.safetensors"));
    found.extend(model(&folder.path("out/b.safetensors")));
    assert_eq!(found, model(&folder.path("whole/model.safetensors")));
    for file in ["config.json", "tokenizer.json", "model.safetensors.index.json"] {
        assert!(folder.path("out").join(file).exists(), "{file}");
    }
}

#[test]
fn what_cannot_be_permuted_is_refused() {
    let folder = Folder::new();
    network(&folder);
    let missing = "error: the following required arguments were not provided";
    for (arguments, code, message) in [
        ("--pattern 2:4 -o o.safetensors", 1, "error: cannot read `./config.json`"),
        (
            "--pattern 2:4 -o o.safetensors --coupling net.json --dim 4",
            1,
            "error: the arguments do not fit the model\n  caused by: no dimension has units along axis 4",
        ),
        ("--pattern 5:4 -o o.safetensors --coupling net.json", 2, "error: "),
        ("--pattern 2:4 --coupling net.json", 2, missing),
        ("--pattern 2:4 -o net.safetensors --coupling net.json", 1, "error: "),
        ("-o o.safetensors --coupling net.json", 2, missing),
    ] {
        folder.run(&format!("permute net.safetensors {arguments}")).fails(code, message);
        assert_eq!(folder.files(), ["net.json", "net.safetensors"], "{arguments}");
    }
}
