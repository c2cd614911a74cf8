//! A naive model of a parameter, and exact snapshots of the real one.

use prune::{Parameter, PruningType};

use super::dtype::{Dtype, assert_same};
use super::oracle::{self, Tensor};
use super::spec::Spec;

/// The state that a parameter must have: plain row-major vectors, with the value multiplied out on demand.
#[derive(Debug, Clone)]
pub struct Model<A> {
    pub shape: Vec<usize>,
    pub orig: Vec<A>,
    pub mask: Option<Vec<bool>>,
    pub history: Vec<&'static str>,
}

impl<A: Dtype> Model<A> {
    pub fn new<'a>(shape: &[usize], orig: impl IntoIterator<Item = &'a A>) -> Self {
        Self { shape: shape.to_vec(), orig: orig.into_iter().copied().collect(), mask: None, history: Vec::new() }
    }

    pub fn value(&self) -> Vec<A> {
        self.masked(&self.orig)
    }

    /// A tensor times the mask, by multiplication: that is where signed zeros and NaNs come from.
    pub fn masked(&self, tensor: &[A]) -> Vec<A> {
        let Some(mask) = &self.mask else { return tensor.to_vec() };
        tensor.iter().zip(mask).map(|(&x, &kept)| x * if kept { A::one() } else { A::zero() }).collect()
    }

    /// Prunes by scores, or by the value; false and unchanged where that must be an error.
    pub fn prune(&mut self, spec: &Spec, scores: Option<&[A]>) -> bool {
        let value = self.value();
        let scores = scores.unwrap_or(&value);
        let tensor = Tensor { shape: &self.shape, scores, remaining: self.mask.as_deref() };
        let Some(mask) = oracle::mask(spec, tensor) else { return false };
        self.mask = Some(mask);
        self.history.push(spec.name());
        true
    }

    /// Prunes several as if they were one long vector, of which a method is given the remaining entries.
    pub fn prune_globally(models: &mut [&mut Self], scores: &[Option<Vec<A>>], spec: &Spec) -> bool {
        if models.is_empty() || spec.kind() != PruningType::Unstructured {
            return false;
        }
        let parts = models.iter().zip(scores);
        let scores: Vec<A> = parts.flat_map(|(model, own)| own.clone().unwrap_or_else(|| model.value())).collect();
        let remaining: Vec<bool> = models.iter().flat_map(|model| model.remaining()).collect();
        let tensor = Tensor { shape: &[scores.len()], scores: &scores, remaining: Some(&remaining) };
        let Some(mask) = oracle::mask(spec, tensor) else { return false };
        let mut rest = mask.as_slice();
        for model in models {
            let (own, others) = rest.split_at(model.orig.len());
            model.mask = Some(own.to_vec());
            model.history.push("CustomFromMask");
            rest = others;
        }
        true
    }

    pub fn remaining(&self) -> Vec<bool> {
        self.mask.clone().unwrap_or_else(|| vec![true; self.orig.len()])
    }

    pub fn remove(&mut self) -> bool {
        self.orig = self.value();
        self.history.clear();
        self.mask.take().is_some()
    }

    /// Above all: `value == orig * mask`.
    #[track_caller]
    pub fn assert_is(&self, parameter: &Parameter<A>) {
        assert_same(parameter.orig(), &self.orig, "orig");
        assert_eq!(parameter.mask().map(|mask| mask.iter().collect()), self.mask, "mask");
        assert_same(parameter.value(), &self.value(), "value");
        assert_eq!(parameter.is_pruned(), self.mask.is_some());
        assert_eq!(history(parameter), self.history);
        assert!(parameter.orig().shape() == self.shape && parameter.value().shape() == self.shape);
    }
}

pub fn history<A: Dtype>(parameter: &Parameter<A>) -> Vec<&str> {
    parameter.methods().iter().map(|method| method.name()).collect()
}

/// Everything that can be seen of a parameter, to the last bit.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    shape: Vec<usize>,
    value: Vec<u64>,
    orig: Vec<u64>,
    mask: Option<Vec<bool>>,
    history: Vec<String>,
}

impl Snapshot {
    pub fn of<A: Dtype>(parameter: &Parameter<A>) -> Self {
        Self {
            shape: parameter.value().shape().to_vec(),
            value: parameter.value().iter().map(|x| x.bits()).collect(),
            orig: parameter.orig().iter().map(|x| x.bits()).collect(),
            mask: parameter.mask().map(|mask| mask.iter().collect()),
            history: history(parameter).into_iter().map(str::to_owned).collect(),
        }
    }
}
