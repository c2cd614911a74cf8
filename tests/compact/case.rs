//! Reading the recorded cases.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use ndarray::ArrayD;
use prune::ParameterStore;
use prune::compact::{Coupling, Dimension, Role, Use};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/compact")
}

pub fn json<T: DeserializeOwned>(name: &str) -> T {
    let path = directory().join(format!("{name}.json"));
    serde_json::from_slice(&fs::read(&path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[derive(Deserialize)]
pub struct StoredDimension {
    pub name: String,
    pub size: Option<usize>,
    #[serde(default)]
    pub open: bool,
    pub uses: Vec<StoredUse>,
}

#[derive(Deserialize)]
pub struct StoredUse {
    pub tensor: String,
    pub axis: usize,
    pub role: String,
    #[serde(default)]
    offset: usize,
    #[serde(default = "one")]
    repeat: usize,
    #[serde(default = "one")]
    block: usize,
}

fn one() -> usize {
    1
}

impl StoredUse {
    pub fn get(&self) -> Use {
        let role = match self.role.as_str() {
            "out" => Role::Out,
            "follow" => Role::Follow,
            "in" => Role::In,
            "buffer" => Role::Buffer,
            other => panic!("{other}"),
        };
        Use::new(role, &self.tensor, self.axis).offset(self.offset).repeat(self.repeat).block(self.block)
    }
}

impl StoredDimension {
    pub fn get(&self) -> Dimension {
        let mut dimension = Dimension::new(&self.name, self.uses.iter().map(StoredUse::get));
        if let Some(size) = self.size {
            dimension = dimension.size(size);
        }
        if self.open { dimension.open() } else { dimension }
    }
}

/// The coupling of these dimensions. All other parameters are fixed.
pub fn coupling<'n>(
    dimensions: impl IntoIterator<Item = Dimension>,
    stored: &[StoredDimension],
    names: impl IntoIterator<Item = &'n str>,
) -> Coupling {
    let coupling = dimensions.into_iter().fold(Coupling::new(), Coupling::with);
    let is_used = |name: &str| stored.iter().flat_map(|dimension| &dimension.uses).any(|use_| use_.tensor == name);
    names.into_iter().filter(|name| !is_used(name)).fold(coupling, Coupling::fixed)
}

#[derive(Deserialize)]
pub struct Scale {
    pub tensor: String,
}

#[derive(Deserialize)]
pub struct Attribute {
    pub binding: Value,
}

/// A case: a small model, its coupling and what was recorded of it.
#[derive(Deserialize)]
pub struct Case {
    pub expect: String,
    pub dimensions: Vec<StoredDimension>,
    pub keep: BTreeMap<String, Vec<usize>>,
    pub attributes: BTreeMap<String, Attribute>,
    pub program: Vec<Value>,
    pub importance: BTreeMap<String, BTreeMap<String, Vec<f64>>>,
    #[serde(default)]
    pub fold: Vec<Value>,
    #[serde(default)]
    pub scale: Vec<Scale>,
    pub output_axis: Option<Value>,
    #[serde(skip)]
    pub tensors: BTreeMap<String, Tensor>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Tensor {
    Floats(ArrayD<f32>),
    Bools(ArrayD<bool>),
    Integers(ArrayD<i64>),
}

impl Tensor {
    pub fn floats(&self) -> &ArrayD<f32> {
        match self {
            Self::Floats(array) => array,
            other => panic!("{other:?}"),
        }
    }
}

impl Case {
    pub fn read(name: &str) -> Self {
        let mut case: Self = json(name);
        case.tensors = tensors(&fs::read(directory().join(format!("{name}.safetensors"))).unwrap());
        case
    }

    /// The tensors under a prefix such as `dense/`, without it.
    pub fn under<'c>(&'c self, prefix: &'c str) -> impl Iterator<Item = (&'c str, &'c Tensor)> {
        self.tensors.iter().filter_map(move |(name, tensor)| Some((name.strip_prefix(prefix)?, tensor)))
    }

    pub fn model(&self, prefix: &str) -> ParameterStore<f32> {
        self.under(prefix).map(|(name, tensor)| (name, tensor.floats().clone())).collect()
    }

    pub fn coupling(&self) -> Coupling {
        let scaled = |name: &str| self.scale.iter().any(|scale| scale.tensor == name);
        let dimensions = self.dimensions.iter().map(|stored| {
            let uses = stored.uses.iter().map(|stored| match scaled(&stored.tensor) {
                true => stored.get().norm(prune::compact::WidthNorm::Rms),
                false => stored.get(),
            });
            let dimension = Dimension::new(&stored.name, uses).size(stored.size.unwrap());
            if stored.open { dimension.open() } else { dimension }
        });
        coupling(dimensions, &self.dimensions, self.under("dense/").map(|(name, _)| name))
    }

    pub fn kept(&self) -> impl Iterator<Item = (&str, Vec<usize>)> {
        self.keep.iter().map(|(name, kept)| (name.as_str(), kept.clone()))
    }
}

pub fn tensors(bytes: &[u8]) -> BTreeMap<String, Tensor> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let tensors = file.tensors().into_iter().map(|(name, view)| {
        let (shape, data) = (view.shape().to_vec(), view.data());
        let tensor = match view.dtype() {
            Dtype::F32 => {
                let entries = data.chunks_exact(4).map(|x| f32::from_le_bytes(x.try_into().unwrap())).collect();
                Tensor::Floats(ArrayD::from_shape_vec(shape, entries).unwrap())
            }
            Dtype::I64 => {
                let entries = data.chunks_exact(8).map(|x| i64::from_le_bytes(x.try_into().unwrap())).collect();
                Tensor::Integers(ArrayD::from_shape_vec(shape, entries).unwrap())
            }
            Dtype::BOOL => {
                Tensor::Bools(ArrayD::from_shape_vec(shape, data.iter().map(|&x| x == 1).collect()).unwrap())
            }
            other => panic!("{other:?}"),
        };
        (name, tensor)
    });
    tensors.collect()
}
