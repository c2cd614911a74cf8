//! Masks of `torch.ao.pruning.WeightNormSparsifier`, replayed; README.md says what is compared.

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use ndarray::{ArrayD, IxDyn};
use prune::{Block, Element, Mask, NM, Parameter, PruneError, TieBreak};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Recording {
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
struct Case {
    dtype: String,
    /// The first entry of the weight in the tensor of its dtype.
    at: usize,
    shape: [usize; 2],
    block: [usize; 2],
    /// The number of entries that a touched block loses.
    zeros: usize,
    norm: String,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
struct Step {
    /// The share of the blocks that are touched; a text if it is not finite.
    level: serde_json::Value,
    revived: bool,
    mask: String,
    /// The mask that this crate promises, if it is another one.
    promised: Option<String>,
}

impl Case {
    fn size(&self) -> usize {
        self.block[0] * self.block[1]
    }

    fn blocks(&self) -> usize {
        self.shape[0].div_ceil(self.block[0]) * self.shape[1].div_ceil(self.block[1])
    }

    /// The number of blocks that PyTorch touches.
    fn touched(&self, level: f64) -> usize {
        if level >= 1.0 {
            self.blocks()
        } else {
            let rounded = (level.max(0.0) * self.blocks() as f64).round_ties_even() as usize;
            rounded.min(self.blocks() - 1)
        }
    }

    /// The reason why a step is not compared.
    fn skip(&self, step: &Step) -> Option<&'static str> {
        if self.norm != "1" && self.norm != "2" {
            Some("function")
        } else if step.revived {
            Some("revived")
        } else if self.zeros == 0 || self.zeros == self.size() {
            None
        } else if self.block.iter().all(|&size| size > 1) {
            Some("pattern of a rectangle")
        } else if self.norm == "1" && level(step) < 1.0 {
            Some("groups by mean magnitude")
        } else {
            None
        }
    }

    /// Prunes as many blocks as PyTorch has touched after a step.
    fn prune<A: Element>(&self, parameter: &mut Parameter<A>, level: f64, ties: TieBreak) -> Result<(), PruneError> {
        let norm = if self.norm == "1" { 1 } else { 2 };
        if self.zeros == self.size() {
            let block = Block::new(0, &self.block, norm)?;
            let left = self.left(parameter, &block)?;
            let count = self.touched(level).saturating_sub(self.blocks() - left);
            return parameter.prune(Block::new(count, &self.block, norm)?.tie_break(ties));
        }
        let dim = if self.block[0] == 1 { 1 } else { 0 };
        let pattern = NM::new(self.size() - self.zeros, self.size(), dim)?;
        if self.zeros == 0 {
            return Ok(());
        }
        let left = self.left(parameter, &pattern)?;
        let count = self.touched(level).saturating_sub(self.blocks() - left);
        let pattern = if level >= 1.0 { pattern } else { pattern.amount(count)? };
        parameter.prune(pattern.tie_break(ties))
    }

    fn left<A: Element>(&self, parameter: &Parameter<A>, method: &dyn prune::Describe) -> Result<usize, PruneError> {
        Ok(method.units(&self.shape, parameter.mask())?.left)
    }
}

fn level(step: &Step) -> f64 {
    step.level.as_f64().unwrap_or_else(|| step.level.as_str().and_then(|text| text.parse().ok()).unwrap())
}

/// The mask of hexadecimal digits.
fn mask(text: &str, shape: &[usize]) -> Mask {
    let digits = text.chars().map(|digit| digit.to_digit(16).unwrap());
    let bits: Vec<bool> = digits.flat_map(|digit| (0..4).rev().map(move |bit| digit >> bit & 1 == 1)).collect();
    let entries = shape.iter().product();
    Mask::from(ArrayD::from_shape_vec(IxDyn(shape), bits[..entries].to_vec()).unwrap())
}

/// The weights of each dtype, in little-endian bytes.
type Weights = BTreeMap<String, Vec<u8>>;

fn read() -> (Recording, Weights) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/training/weight_norm");
    let text = std::fs::read_to_string(path.with_extension("json")).unwrap();
    let bytes = std::fs::read(path.with_extension("safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let weights = file.iter().map(|(name, tensor)| (name.to_owned(), tensor.data().to_vec())).collect();
    (serde_json::from_str(&text).unwrap(), weights)
}

fn weight<A: Element, const N: usize>(case: &Case, weights: &Weights, of: fn([u8; N]) -> A) -> ArrayD<A> {
    let entries: usize = case.shape.iter().product();
    let bytes = &weights[&case.dtype][case.at * N..][..entries * N];
    let values = bytes.chunks(N).map(|bytes| of(bytes.try_into().unwrap())).collect();
    ArrayD::from_shape_vec(IxDyn(&case.shape), values).unwrap()
}

/// Replays the steps of a case; with PyTorch's choice among equals, only the first.
fn replay<A: Element>(case: &Case, tensor: ArrayD<A>, ties: TieBreak, tally: &mut BTreeMap<&'static str, usize>) {
    // PyTorch ranks entries by their squares.
    let vanishes = case.norm == "2" && tensor.iter().any(|&x| !x.is_zero() && (x * x).is_zero());
    let mut parameter = Parameter::new(tensor);
    for (number, step) in case.steps.iter().enumerate() {
        if let Some(reason) = case.skip(step) {
            *tally.entry(reason).or_default() += case.steps.len() - number;
            return;
        }
        let expected = match ties {
            TieBreak::PyTorch if number > 0 || size_of::<A>() == 2 => return,
            TieBreak::PyTorch if vanishes => {
                *tally.entry("squares vanish").or_default() += 1;
                return;
            }
            TieBreak::PyTorch => &step.mask,
            _ => step.promised.as_ref().unwrap_or(&step.mask),
        };
        case.prune(&mut parameter, level(step), ties).unwrap();
        let found = parameter.mask().cloned().unwrap_or_else(|| Mask::from_elem(IxDyn(&case.shape), true));
        assert_eq!(found, mask(expected, &case.shape), "step {number} of {case:?}");
        *tally.entry("equal").or_default() += 1;
    }
}

fn replayed(ties: TieBreak) -> String {
    let (recording, weights) = read();
    let mut tally = BTreeMap::new();
    for case in &recording.cases {
        match case.dtype.as_str() {
            "f32" => replay(case, weight(case, &weights, f32::from_le_bytes), ties, &mut tally),
            "f64" => replay(case, weight(case, &weights, f64::from_le_bytes), ties, &mut tally),
            "f16" => replay(case, weight(case, &weights, f16::from_le_bytes), ties, &mut tally),
            "bf16" => replay(case, weight(case, &weights, bf16::from_le_bytes), ties, &mut tally),
            other => panic!("a dtype that was not recorded: {other}"),
        }
    }
    tally.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
}

#[test]
fn masks_of_blocks_and_patterns_in_lowest_index_order() {
    let counts = "equal 763, function 2, groups by mean magnitude 7, pattern of a rectangle 49, revived 24";
    assert_eq!(replayed(TieBreak::LowestIndex), counts);
}

#[test]
fn masks_of_blocks_and_patterns_in_pytorch_order() {
    let counts =
        "equal 465, function 2, groups by mean magnitude 7, pattern of a rectangle 49, revived 6, squares vanish 4";
    assert_eq!(replayed(TieBreak::PyTorch), counts);
}
