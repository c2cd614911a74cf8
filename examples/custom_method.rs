//! A custom pruning method, written outside the crate and used wherever a built-in one can be.
//!
//! ```text
//! cargo run --example custom_method
//! ```

use ndarray::{Array2, ArrayViewD};
use prune::{Describe, Element, L1Unstructured, Mask, Module, Parameter, PruneError, PruningMethod, PruningType};
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

    /// Single entries: a parameter that is already pruned gives the method its remaining entries, as a vector.
    fn pruning_type(&self) -> PruningType {
        PruningType::Unstructured
    }
}

impl<A: Element> PruningMethod<A> for KeepEvery {
    /// `scores` would be what to rank by; this method looks only at positions.
    fn compute_mask(&self, _scores: ArrayViewD<'_, A>, default_mask: ArrayViewD<'_, bool>) -> Result<Mask, PruneError> {
        if self.n == 0 {
            return Err(PruneError::method(self.name(), "n must be at least 1, not 0"));
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
    // On its own.
    let mut layer = Layer::new();
    prune::apply(&mut layer, "input", KeepEvery { n: 2 })?;
    println!("every second entry\n{}\n", layer.input.value());

    // After a built-in method: it sees the six entries that L1 leaves, and keeps the first, third and fifth of them.
    let mut layer = Layer::new();
    prune::l1_unstructured(&mut layer, "input", 0.5)?;
    prune::apply(&mut layer, "input", KeepEvery { n: 2 })?;
    let history: Vec<&str> = layer.input.methods().iter().map(|method| method.name()).collect();
    println!("{}\n{}\n", history.join(", then "), layer.input.value());

    // Before a built-in method, which prunes two of the four remaining entries.
    let mut layer = Layer::new();
    layer.input.prune(KeepEvery { n: 3 })?;
    layer.input.prune(L1Unstructured::new(0.5)?)?;
    println!("KeepEvery, then L1Unstructured\n{}\n", layer.input.value());

    // Over several parameters at once: it sees the entries of both, one after the other.
    let mut layer = Layer::new();
    prune::global_unstructured([&mut layer.input, &mut layer.recurrent], KeepEvery { n: 5 })?;
    println!("every fifth entry of both\n{}\n{}\n", layer.input.value(), layer.recurrent.value());

    // Its error comes back to the caller, and the layer is as it was.
    let mut layer = Layer::new();
    if let Err(error) = prune::apply(&mut layer, "input", KeepEvery { n: 0 }) {
        println!("{error} (is_pruned: {})", prune::is_pruned(&layer));
    }
    Ok(())
}
