//! A custom pruning method, which is accepted wherever a built-in one is, and custom scores for a built-in method.
//!
//! ```text
//! cargo run --example custom_method
//! ```

use ndarray::{Array2, ArrayD, ArrayViewD, arr1};
use prune::{Amount, Describe, Element, L1Unstructured, Module, Parameter, PruneError, PruningMethod, PruningType};
use std::error::Error;

/// Keeps every n-th of the remaining entries, starting with the first.
#[derive(Debug, Clone)]
struct KeepEvery {
    n: usize,
}

impl Describe for KeepEvery {
    fn name(&self) -> &str {
        "KeepEvery"
    }

    /// Single entries: when a parameter is pruned again, the method is given the remaining entries as a vector.
    fn pruning_type(&self) -> PruningType {
        PruningType::Unstructured
    }
}

impl<A: Element> PruningMethod<A> for KeepEvery {
    /// Most methods rank the scores. This one uses positions only.
    fn compute_mask(
        &self,
        _scores: ArrayViewD<'_, A>,
        default_mask: ArrayViewD<'_, bool>,
    ) -> Result<ArrayD<bool>, PruneError> {
        if self.n == 0 {
            return Err(PruneError::method(self.name(), "n must be at least 1"));
        }
        let mut mask = default_mask.to_owned();
        for (position, kept) in mask.iter_mut().enumerate() {
            *kept &= position.is_multiple_of(self.n);
        }
        Ok(mask)
    }
}

/// A layer with two matrices, which hold the numbers 1, 2, 3, ...
struct Layer {
    input: Parameter<f32>,
    recurrent: Parameter<f32>,
}

impl Module for Layer {
    type Elem = f32;
    prune::named_parameters!(input, recurrent);
}

impl Layer {
    fn new() -> Self {
        let counting = |rows, columns| Array2::from_shape_fn((rows, columns), |(i, j)| (columns * i + j + 1) as f32);
        Self { input: counting(3, 4).into(), recurrent: counting(2, 4).into() }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    custom_method()?;
    saliency()
}

fn custom_method() -> Result<(), Box<dyn Error>> {
    // Alone.
    let mut layer = Layer::new();
    prune::apply(&mut layer, "input", KeepEvery { n: 2 })?;
    println!("every second entry\n{}\n", layer.input.value());

    // After a built-in method. Six entries remain; it keeps the first, third and fifth of them.
    let mut layer = Layer::new();
    prune::l1_unstructured(&mut layer, "input", 0.5)?;
    prune::apply(&mut layer, "input", KeepEvery { n: 2 })?;
    let history: Vec<&str> = layer.input.methods().iter().map(|record| record.name()).collect();
    println!("{}\n{}\n", history.join(", then "), layer.input.value());

    // Before a built-in method, which prunes two of the four remaining entries.
    let mut layer = Layer::new();
    layer.input.prune(KeepEvery { n: 3 })?;
    layer.input.prune(L1Unstructured::new(0.5)?)?;
    println!("KeepEvery, then L1Unstructured\n{}\n", layer.input.value());

    // On several parameters at once. It is given the entries of both, in the order of the call.
    let mut layer = Layer::new();
    prune::global_unstructured([&mut layer.input, &mut layer.recurrent], KeepEvery { n: 5 })?;
    println!("every fifth entry of both\n{}\n{}\n", layer.input.value(), layer.recurrent.value());

    // An error of the method is returned to the caller, and nothing has changed.
    let mut layer = Layer::new();
    if let Err(error) = prune::apply(&mut layer, "input", KeepEvery { n: 0 }) {
        println!("{error} (is_pruned: {})\n", prune::is_pruned(&layer));
    }
    Ok(())
}

/// Prunes by a saliency, `|weight * gradient|`: an estimate of how much the loss changes if a weight becomes zero.
///
/// A criterion that needs more than the weights is not a method, but an array of scores for a built-in one. Each round
/// computes the scores again, for the whole tensor; the method ranks those of the remaining entries.
fn saliency() -> Result<(), Box<dyn Error>> {
    let mut layer = Layer::new();
    for sparsity in [0.25, 0.5] {
        let saliency = layer.input.value() * &gradient(&layer.input);
        let method = L1Unstructured::new(Amount::sparsity(sparsity))?;
        layer.input.prune_with_scores(method, saliency.view())?;
        println!("sparsity {} by saliency\n{}\n", layer.input.sparsity(), layer.input.value());
    }
    Ok(())
}

/// Returns the gradient of a loss, the sum of the outputs of the layer for one input. The gradient of each weight is then the
/// entry of the input that it is multiplied by.
fn gradient(weight: &Parameter<f32>) -> ArrayD<f32> {
    let mut gradient = ArrayD::zeros(weight.value().raw_dim());
    gradient.assign(&arr1(&[4.0, 1.0, 0.25, 0.1]));
    gradient
}
