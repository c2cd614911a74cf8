//! Small files, their contents, and pruners.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use ndarray::{Array1, ArrayD, IxDyn};
use prune::checkpoint::{Checkpoint, CheckpointError, Outcome, Output, PruneReport, Pruner};
use prune::{Amount, Element, L1Unstructured, LnStructured, Norm, RandomStructured, RandomUnstructured};

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Raw {
    pub name: String,
    pub dtype: &'static str,
    pub shape: Vec<usize>,
    pub data: Vec<u8>,
}

pub trait Stored: Element {
    const NAME: &'static str;
    fn bytes(self) -> Vec<u8>;
    fn of(bytes: &[u8]) -> Self;
    fn number(x: f64) -> Self;
}

macro_rules! stored {
    ($($float:ident, $dtype:literal, $from:expr;)*) => {$(
        impl Stored for $float {
            const NAME: &'static str = $dtype;
            fn bytes(self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }
            fn of(bytes: &[u8]) -> Self {
                $float::from_le_bytes(bytes.try_into().unwrap())
            }
            fn number(x: f64) -> Self {
                $from(x)
            }
        }
    )*};
}
stored! {
    f32, "F32", |x| x as f32;
    f64, "F64", |x| x;
    f16, "F16", f16::from_f64;
    bf16, "BF16", bf16::from_f64;
}

impl Raw {
    pub fn new(name: &str, dtype: &'static str, shape: &[usize], data: Vec<u8>) -> Self {
        Self { name: name.to_owned(), dtype, shape: shape.to_vec(), data }
    }

    pub fn of<A: Stored>(name: &str, array: &ArrayD<A>) -> Self {
        Self::new(name, A::NAME, array.shape(), array.iter().flat_map(|x| x.bytes()).collect())
    }

    /// Zeros and ones.
    pub fn mask<A: Stored>(name: &str, mask: &ArrayD<bool>) -> Self {
        Self::of(name, &mask.map(|&kept| A::number(f64::from(u8::from(kept)))))
    }

    pub fn array<A: Stored>(&self) -> ArrayD<A> {
        assert_eq!(self.dtype, A::NAME, "{}", self.name);
        let entries = self.data.chunks_exact(size_of::<A>()).map(A::of);
        ArrayD::from_shape_vec(IxDyn(&self.shape), entries.collect()).unwrap()
    }
}

/// Numbers that look like weights: many different ones, of both signs, some equal and some zero.
pub fn weights<A: Stored>(shape: &[usize], seed: u64) -> ArrayD<A> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let entries = (0..shape.iter().product()).map(|_| {
        let mut sum = 0.0;
        for _ in 0..3 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            sum += (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
        }
        A::number(if state.is_multiple_of(50) { 0.0 } else { sum / 8.0 })
    });
    Array1::from_iter(entries).into_shape_with_order(IxDyn(shape)).unwrap()
}

/// Writes a file, tensors in the given order.
pub fn write(path: &Path, metadata: &[(&str, &str)], tensors: &[Raw]) -> PathBuf {
    let mut header = String::from("{");
    if !metadata.is_empty() {
        let notes: BTreeMap<_, _> = metadata.iter().copied().collect();
        header += &format!("\"__metadata__\":{},", serde_json::to_string(&notes).unwrap());
    }
    let mut end = 0;
    for Raw { name, dtype, shape, data } in tensors {
        let start = end;
        end += data.len();
        let name = serde_json::to_string(name).unwrap();
        header += &format!("{name}:{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}},");
    }
    if header.ends_with(',') {
        header.pop();
    }
    header += "}   ";
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    tensors.iter().for_each(|tensor| bytes.extend(&tensor.data));
    fs::write(path, bytes).unwrap();
    path.to_owned()
}

/// Two shards and their index; returns its path.
pub fn write_sharded(folder: &Path, shards: &[&[Raw]]) -> PathBuf {
    let mut map = serde_json::Map::new();
    let mut total = 0;
    for (number, tensors) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{:05}.safetensors", number + 1, shards.len());
        write(&folder.join(&name), &[("format", "pt")], tensors);
        for tensor in *tensors {
            map.insert(tensor.name.clone(), name.clone().into());
            total += tensor.data.len();
        }
    }
    let index = serde_json::json!({ "metadata": { "total_size": total }, "weight_map": map });
    let path = folder.join("model.safetensors.index.json");
    fs::write(&path, serde_json::to_string_pretty(&index).unwrap()).unwrap();
    path
}

/// The header of a file as text, without its length.
pub fn header(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    String::from_utf8(bytes[8..8 + length].to_vec()).unwrap()
}

/// All tensors of a file, in the order of their data.
pub fn read(path: &Path) -> Vec<Raw> {
    let bytes = fs::read(path).unwrap();
    let (length, _) = bytes.split_first_chunk().unwrap();
    let data = 8 + u64::from_le_bytes(*length) as usize;
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<_> = file
        .iter()
        .map(|(name, tensor)| {
            let dtype: &'static str = tensor.dtype().to_string().leak();
            let place = tensor.data().as_ptr() as usize - bytes.as_ptr() as usize - data;
            (place, Raw::new(name, dtype, tensor.shape(), tensor.data().to_vec()))
        })
        .collect();
    tensors.sort_by_key(|(place, tensor)| (*place, tensor.data.len()));
    tensors.into_iter().map(|(_, tensor)| tensor).collect()
}

/// The tensor of that name.
pub fn named<'t>(tensors: &'t [Raw], name: &str) -> &'t Raw {
    tensors.iter().find(|tensor| tensor.name == name).unwrap_or_else(|| panic!("no {name}"))
}

pub fn l1_pruner(amount: impl Into<Amount>) -> Pruner {
    Pruner::new(L1Unstructured::new(amount).unwrap())
}

pub fn random_pruner(amount: impl Into<Amount>, seed: u64) -> Pruner {
    Pruner::new(RandomUnstructured::new(amount, seed).unwrap())
}

pub fn ln_pruner(amount: impl Into<Amount>, norm: impl Into<Norm>, dim: isize) -> Pruner {
    Pruner::new(LnStructured::new(amount, norm, dim).unwrap())
}

pub fn random_structured_pruner(amount: impl Into<Amount>, dim: isize, seed: u64) -> Pruner {
    Pruner::new(RandomStructured::new(amount, dim, seed).unwrap())
}

/// Prunes files into another file, or into a directory.
pub fn run<P: AsRef<Path>>(
    prune: &Pruner,
    inputs: impl IntoIterator<Item = P>,
    output: &Path,
) -> Result<PruneReport, CheckpointError> {
    prune.run(&Checkpoint::open(inputs)?, &Output::new(output), &())
}

/// The number of entries of a tensor that are pruned after the run.
pub fn after(report: &PruneReport, name: &str) -> usize {
    match report.tensors.iter().find(|tensor| tensor.name == name).unwrap().outcome {
        Outcome::Pruned { after, .. } => after,
        ref skipped => panic!("{name}: {skipped:?}"),
    }
}

/// The bits of an array.
pub fn bits<A: Stored>(array: &ArrayD<A>) -> Vec<u8> {
    array.iter().flat_map(|x| x.bytes()).collect()
}
