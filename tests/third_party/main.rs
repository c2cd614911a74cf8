//! Methods and modules of somebody else: what the crate hands to them, and what it does when they misbehave.

mod misbehaviour;
mod modules;
mod results;
mod views;

use ndarray::{Array1, ArrayD, ArrayViewD, IxDyn};
use prune::{Describe, Element, Parameter, PruneError, PruningMethod, PruningType};

const UNSTRUCTURED: PruningType = PruningType::Unstructured;
const GLOBAL: PruningType = PruningType::Global;

const fn structured(dim: isize) -> PruningType {
    PruningType::Structured { dim }
}

/// Keeps every n-th of the entries it sees, for every element type.
#[derive(Debug, Clone)]
struct KeepEvery(usize);

impl Describe for KeepEvery {
    fn name(&self) -> &str {
        "KeepEvery"
    }
    fn pruning_type(&self) -> PruningType {
        UNSTRUCTURED
    }
}

impl<A: Element> PruningMethod<A> for KeepEvery {
    fn compute_mask(
        &self,
        _: ArrayViewD<'_, A>,
        default_mask: ArrayViewD<'_, bool>,
    ) -> Result<ArrayD<bool>, PruneError> {
        let mut mask = default_mask.to_owned();
        mask.iter_mut().enumerate().for_each(|(position, kept)| *kept &= position.is_multiple_of(self.0));
        Ok(mask)
    }
}

/// 1, 2, 3, ... in row-major order.
fn counting(shape: &[usize]) -> Parameter<f32> {
    let count = shape.iter().product::<usize>();
    let numbers = Array1::from_iter((1..=count).map(|x| x as f32));
    numbers.into_shape_with_order(IxDyn(shape)).expect("as many as the shape holds").into()
}

fn all_true(shape: &[usize]) -> ArrayD<bool> {
    ArrayD::from_elem(shape, true)
}

fn history<A: Element>(parameter: &Parameter<A>) -> Vec<&str> {
    parameter.methods().iter().map(|method| method.name()).collect()
}
