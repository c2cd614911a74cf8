//! Any bytes as the configuration, the coupling or the plan of a compaction.

use std::error::Error;
use std::fs;

use ndarray::ArrayD;
use prune::ParameterStore;
use prune::checkpoint::{Checkpoint, CheckpointError, Compactor, Output};

/// The tensors of a llama of one layer: width 4, four inner neurons, two heads with two key/value heads.
const TENSORS: [(&str, &[usize]); 12] = [
    ("model.embed_tokens.weight", &[3, 4]),
    ("model.layers.0.input_layernorm.weight", &[4]),
    ("model.layers.0.mlp.down_proj.weight", &[4, 4]),
    ("model.layers.0.mlp.gate_proj.weight", &[4, 4]),
    ("model.layers.0.mlp.up_proj.weight", &[4, 4]),
    ("model.layers.0.post_attention_layernorm.weight", &[4]),
    ("model.layers.0.self_attn.k_proj.weight", &[4, 4]),
    ("model.layers.0.self_attn.o_proj.weight", &[4, 4]),
    ("model.layers.0.self_attn.q_proj.weight", &[4, 4]),
    ("model.layers.0.self_attn.v_proj.weight", &[4, 4]),
    ("model.norm.weight", &[4]),
    ("lm_head.weight", &[3, 4]),
];
const CONFIG: &str = r#"{"model_type": "llama", "hidden_size": 4, "intermediate_size": 4, "num_attention_heads": 2,
    "num_hidden_layers": 1}"#;

/// The first byte selects the file that the others are: a configuration, a coupling with units to keep, or a plan. They are
/// refused, or the output has the shapes that the report says.
pub fn check(bytes: &[u8]) {
    let Some((kind, contents)) = bytes.split_first() else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let tensor = |(name, shape): (&str, &[usize])| (name.to_owned(), ArrayD::<f32>::ones(shape));
    let model = ParameterStore::from_iter(TENSORS.map(tensor));
    prune::safetensors::save_file(&model, path("model.safetensors")).unwrap();
    fs::write(path("config.json"), CONFIG).unwrap();
    fs::write(path("file.json"), contents).unwrap();
    let compactor = match kind % 3 {
        0 => {
            fs::write(path("config.json"), contents).unwrap();
            Compactor::new().ffn(1).kv_groups(0.5)
        }
        1 => Compactor::new().coupling(path("file.json")).keep(path("file.json")),
        _ => Compactor::new().keep(path("file.json")),
    };
    let checkpoint = Checkpoint::open([path("model.safetensors")]).unwrap();
    let out = path(if kind % 3 == 1 { "out.safetensors" } else { "out" });
    let report = match compactor.run(&checkpoint, &Output::new(&out), &()) {
        Ok(report) => report,
        Err(error) => return refused(&error, &out),
    };
    let out = if kind % 3 == 1 { out } else { out.join("model.safetensors") };
    let output = Checkpoint::open([out]).expect("it was just written");
    let written: Vec<_> = output.tensors().iter().map(|tensor| (&tensor.name, &tensor.shape)).collect();
    let mut reported: Vec<_> = report.tensors.iter().filter_map(|t| Some((t.renamed.as_ref()?, &t.after))).collect();
    reported.sort();
    let mut written = written;
    written.sort();
    assert_eq!(written, reported);
    assert!(report.entries_after() <= report.entries_before());
}

/// Nothing was written, and the message can be shown.
fn refused(error: &CheckpointError, out: &std::path::Path) {
    assert!(!out.exists(), "{error}");
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        assert!(!error.to_string().contains(char::is_control), "{error}");
        cause = error.source();
    }
}
