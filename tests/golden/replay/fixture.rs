//! The JSON of a recording; README.md and the key "format" of golden_s1.json say what it means.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::tensor::Tensors;

/// One recording with its tensors.
#[derive(Debug)]
pub struct Recording {
    pub name: &'static str,
    pub manifest: Manifest,
    pub tensors: Tensors,
}

impl Recording {
    pub fn read(name: &'static str) -> Self {
        Self { name, manifest: json(&path(name, "json")), tensors: Tensors::read(&path(name, "safetensors")) }
    }
}

fn path(name: &str, extension: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).with_extension(extension)
}

fn json<T: DeserializeOwned>(path: &Path) -> T {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[derive(Debug, Deserialize)]
pub struct Manifest {
    pub cases: Vec<Case>,
    pub primitives: Primitives,
    #[serde(default)]
    pub large: Vec<Large>,
    /// By case and step of golden_s1; in the manifest of golden_more only.
    #[serde(default)]
    pub mended_s1: HashMap<usize, HashMap<usize, Mended>>,
}

#[derive(Debug, Deserialize)]
pub struct Case {
    pub id: usize,
    #[serde(default)]
    pub family: String,
    pub modules: BTreeMap<String, BTreeMap<String, String>>,
    pub steps: Vec<Step>,
    pub flags: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct Step {
    pub op: String,
    pub target: Option<String>,
    pub targets: Option<Vec<String>>,
    pub method: Option<String>,
    pub amount: Option<Amount>,
    pub n: Option<Order>,
    pub dim: Option<isize>,
    pub seed: Option<u64>,
    pub mask: Option<String>,
    pub value: Option<String>,
    pub upstream: Option<String>,
    pub importance_scores: Option<Scores>,
    /// The result in PyTorch; `None` if it could not go on.
    pub expect: Option<Expect>,
    /// The result that this crate promises instead, if it promises another one.
    pub mended: Option<Mended>,
}

#[derive(Debug, Deserialize)]
pub struct Expect {
    pub error: Option<TorchError>,
    pub flags: Vec<String>,
    /// Of golden_more only the parameters that changed.
    pub params: BTreeMap<String, State>,
    pub grad: Option<String>,
    pub next_word_u24: Option<u32>,
}

#[derive(Debug, Deserialize)]
pub struct TorchError {
    pub message: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct State {
    pub attr: String,
    pub orig: Option<String>,
    pub mask: Option<String>,
    pub methods: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
pub struct Mended {
    pub row: String,
    pub fails: bool,
    pub refused: Option<String>,
    pub error: Option<TorchError>,
    pub params: Option<BTreeMap<String, State>>,
    pub grad: Option<String>,
    pub next_word_u24: Option<u32>,
    #[serde(default)]
    pub tie: bool,
}

impl Step {
    /// The parameters that the step works on.
    pub fn names(&self) -> &[String] {
        self.targets.as_deref().unwrap_or(self.target.as_slice())
    }

    pub fn is_tie(&self) -> bool {
        self.expect.as_ref().is_some_and(|expect| expect.flags.iter().any(|flag| flag == "tie"))
            || self.mended.as_ref().is_some_and(|mended| mended.tie)
    }

    /// The scores of the only target.
    pub fn scores(&self) -> Option<&str> {
        match &self.importance_scores {
            Some(Scores::One(name)) => Some(name),
            _ => None,
        }
    }

    /// The scores of one of several targets.
    pub fn scores_of(&self, target: &str) -> Option<&str> {
        self.scores_by_target()?.get(target).map(String::as_str)
    }

    pub fn scores_by_target(&self) -> Option<&BTreeMap<String, String>> {
        match &self.importance_scores {
            Some(Scores::ByTarget(scores)) => Some(scores),
            _ => None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Scores {
    One(String),
    ByTarget(BTreeMap<String, String>),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Amount {
    Int(i64),
    Float(Number),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    Num(Number),
    Str(String),
}

impl Order {
    pub fn norm(&self) -> prune::Norm {
        match self {
            Self::Num(n) => prune::Norm::L(n.0),
            Self::Str(name) if name == "fro" => prune::Norm::Frobenius,
            Self::Str(name) if name == "nuc" => prune::Norm::Nuclear,
            Self::Str(name) => panic!("unknown norm {name}"),
        }
    }
}

/// A float, written as a number or, for the values that JSON lacks and for the last bit, as text.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(from = "NumberOrText")]
pub struct Number(pub f64);

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(f64),
    Text(String),
}

impl From<NumberOrText> for Number {
    fn from(number: NumberOrText) -> Self {
        match number {
            NumberOrText::Number(x) => Self(x),
            NumberOrText::Text(text) => Self(text.parse().unwrap()),
        }
    }
}

#[derive(Debug, Deserialize)]
pub struct Primitives {
    pub rng: Vec<Draws>,
    pub init: Vec<Layer>,
    pub topk: Vec<TopK>,
    pub norms: Vec<Norms>,
    #[serde(default)]
    pub amounts: Vec<Rounded>,
    #[serde(default)]
    pub streams: Vec<Stream>,
    #[serde(default)]
    pub direct: Vec<Direct>,
}

#[derive(Debug, Deserialize)]
pub struct Draws {
    pub seed: String,
    pub dtype: String,
    pub n: usize,
    pub values: String,
    pub next_word_u24: u32,
}

/// Numbers or initial weights, or a pruning of such weights, from a stream.
#[derive(Debug, Deserialize)]
pub struct Layer {
    pub kind: String,
    pub seed: Option<u64>,
    pub dtype: String,
    pub values: Option<String>,
    pub from: Option<Number>,
    pub to: Option<Number>,
    #[serde(rename = "in")]
    pub inputs: Option<usize>,
    #[serde(rename = "out")]
    pub outputs: Option<usize>,
    pub k: Option<usize>,
    pub kernel: Option<Vec<usize>>,
    pub weight: Option<String>,
    pub bias: Option<String>,
    pub layer: Option<usize>,
    pub kept: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Stream {
    pub seed: String,
    pub steps: Vec<Layer>,
    pub next_word_u24: u32,
}

#[derive(Debug, Deserialize)]
pub struct TopK {
    pub input: String,
    pub k: usize,
    pub largest: bool,
    pub selected_sorted: Vec<usize>,
}

#[derive(Debug, Deserialize)]
pub struct Norms {
    pub input: Option<String>,
    /// The seed of torch.rand, if there is no input; the input is ones if there is no seed either.
    pub seed: Option<u64>,
    pub shape: Option<Vec<usize>>,
    pub n: Order,
    pub dim: isize,
    pub norm: String,
}

#[derive(Debug, Deserialize)]
pub struct Rounded {
    pub n: usize,
    pub fraction: Number,
    pub count: usize,
}

/// A method without a module.
#[derive(Debug, Deserialize)]
pub struct Direct {
    pub method: String,
    pub tensor: String,
    pub default_mask: String,
    pub scores: Option<String>,
    pub seed: Option<u64>,
    pub amount: Option<Amount>,
    pub n: Option<Order>,
    pub dim: Option<isize>,
    pub mask: Option<String>,
    pub computed: String,
    pub pruned: String,
    pub pruned_all: String,
    pub container: String,
    pub next_word_u24: Option<u32>,
}

/// Prunes of tensors that are made by seed.
#[derive(Debug, Deserialize)]
pub struct Large {
    pub dtype: String,
    pub shapes: Vec<Vec<usize>>,
    pub weights: Weights,
    pub steps: Vec<LargeStep>,
}

#[derive(Debug, Deserialize)]
pub struct LargeStep {
    pub op: String,
    pub amount: Amount,
    pub seed: Option<u64>,
    pub n: Option<Order>,
    pub dim: Option<isize>,
    pub tie: bool,
    pub zeros: Vec<usize>,
    pub kept: Vec<Kept>,
    pub next_word_u24: Option<u32>,
}

/// A packed mask, or its hash as text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Kept {
    Packed(String),
    Hash { fnv1a: String },
}

#[derive(Debug, Deserialize)]
pub struct Weights {
    pub seed: u64,
    pub levels: Option<Number>,
}
