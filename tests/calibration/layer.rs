//! The golden layers.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use half::bf16;
use ndarray::{Array2, ArrayD, IxDyn};
use prune::calibration::{Moments, Pattern};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// All layers, and all patterns with their names.
pub const LAYERS: [&str; 6] = ["small_f32", "small_bf16", "dead_f32", "deficient_f32", "outliers_bf16", "ragged_f32"];
pub const PATTERNS: [&str; 4] = ["0.5", "0.8", "2:4", "4:8"];

pub fn pattern(name: &str) -> Pattern {
    name.parse().unwrap_or_else(|_| name.parse::<f64>().unwrap().into())
}

/// The number of consecutive columns within which a pattern chooses.
pub fn group(name: &str) -> Option<usize> {
    name.split_once(':').map(|(_, of)| of.parse().unwrap())
}

/// A layer with its inputs and what the reference makes of it.
pub struct Layer {
    pub name: &'static str,
    pub weight: Array2<f64>,
    pub is_bf16: bool,
    pub inputs: Array2<f32>,
    pub moments: Arc<Moments>,
    tensors: HashMap<String, Vec<f64>>,
    masks: HashMap<String, ArrayD<bool>>,
    results: Value,
}

fn numbers(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
    match dtype {
        Dtype::BF16 => bytes.chunks(2).map(|x| bf16::from_le_bytes(x.try_into().unwrap()).to_f64()).collect(),
        Dtype::F32 => bytes.chunks(4).map(|x| f64::from(f32::from_le_bytes(x.try_into().unwrap()))).collect(),
        Dtype::F64 => bytes.chunks(8).map(|x| f64::from_le_bytes(x.try_into().unwrap())).collect(),
        other => panic!("{other:?}"),
    }
}

impl Layer {
    pub fn load(name: &'static str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/calibration");
        let bytes = std::fs::read(folder.join(format!("{name}.safetensors"))).unwrap();
        let index: Value = serde_json::from_slice(&std::fs::read(folder.join("golden.json")).unwrap()).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let matrix = |tensor: &str| {
            let view = file.tensor(tensor).unwrap();
            let size = (view.shape()[0], view.shape()[1]);
            Array2::from_shape_vec(size, numbers(view.dtype(), view.data())).unwrap()
        };
        let (weight, inputs) = (matrix("weight"), matrix("inputs").mapv(|x| x as f32));
        let (mut tensors, mut masks) = (HashMap::new(), HashMap::new());
        for (key, view) in file.tensors() {
            match key.strip_suffix(".keep") {
                Some(method) => {
                    let kept = (0..weight.len()).map(|i| view.data()[i / 8] >> (i % 8) & 1 == 1).collect();
                    masks.insert(method.to_owned(), ArrayD::from_shape_vec(IxDyn(weight.shape()), kept).unwrap());
                }
                None => drop(tensors.insert(key, numbers(view.dtype(), view.data()))),
            }
        }
        let mut moments = Moments::with_gram(weight.ncols());
        moments.push(inputs.view()).unwrap();
        let is_bf16 = file.tensor("weight").unwrap().dtype() == Dtype::BF16;
        let results = index["layers"][name]["results"].clone();
        Self { name, weight, is_bf16, inputs, moments: Arc::new(moments), tensors, masks, results }
    }

    pub fn all() -> impl Iterator<Item = Self> {
        LAYERS.into_iter().map(Self::load)
    }

    pub fn sum_squares(&self) -> &[f64] {
        &self.tensors["sum_squares"]
    }

    /// The mask of the reference.
    pub fn mask(&self, pattern: &str, method: &str) -> Option<&ArrayD<bool>> {
        self.masks.get(&format!("{pattern}.{method}"))
    }

    /// The weights of the reference in `f32`, before they are rounded to the layer's dtype.
    pub fn updated(&self, pattern: &str, method: &str) -> Option<&[f64]> {
        self.tensors.get(&format!("{pattern}.{method}.weight")).map(Vec::as_slice)
    }

    /// The relative reconstruction error of the reference.
    pub fn error(&self, pattern: &str, method: &str) -> f64 {
        self.results[pattern][method]["error"].as_f64().unwrap()
    }
}

/// `‖a - b‖ / ‖b‖`.
pub fn distance<'a>(a: impl IntoIterator<Item = &'a f64>, b: &[f64]) -> f64 {
    let squares = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>();
    let difference = squares(&mut a.into_iter().zip(b).map(|(a, b)| a - b));
    (difference / squares(&mut b.iter().copied())).sqrt()
}

/// The share of entries in which two masks agree.
pub fn agreement<'a>(a: impl IntoIterator<Item = bool>, b: impl IntoIterator<Item = &'a bool>) -> f64 {
    let pairs: Vec<bool> = a.into_iter().zip(b).map(|(a, b)| a == *b).collect();
    pairs.iter().filter(|equal| **equal).count() as f64 / pairs.len() as f64
}
