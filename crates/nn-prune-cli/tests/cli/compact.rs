//! `nn-prune compact` on tiny models of every type, as transformers saves them.

mod fold;
mod models;
mod output;
mod refused;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::Value;

pub fn fixture(case: &str) -> PathBuf {
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
