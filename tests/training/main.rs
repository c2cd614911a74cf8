//! Pruning while training: schedules, sessions, snapshots, sweeps, exchanges, and what PyTorch's schedulers recorded.

mod dynamic;
#[cfg(feature = "safetensors")]
mod files;
mod recorded;
mod schedule;
mod sensitivity;
mod session;
mod snapshot;

use ndarray::{ArrayD, IxDyn};
use prune::{Mask, Module, Parameter, ParameterStore};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Weights between -1 and 1.
fn weights(shape: &[usize], seed: u64) -> ArrayD<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    ArrayD::from_shape_simple_fn(IxDyn(shape), || rng.random_range(-1.0..1.0))
}

/// Three layers, of which two are matrices.
fn net() -> ParameterStore<f32> {
    let layer = |name, shape: &[usize], seed| (name, weights(shape, seed));
    ParameterStore::from_iter([layer("a", &[8, 16], 1), layer("b", &[10, 8], 2), layer("c", &[7], 3)])
}

/// A stand-in for training: every original moves, those under a mask too.
fn train(module: &mut impl Module<Elem = f32>, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for (_, parameter) in module.named_parameters_mut() {
        let noise = || -> f32 { rng.random_range(-0.3..0.3) };
        parameter.update(|orig| {
            let mut noise = noise;
            orig.into_iter().for_each(|x| *x += noise());
        });
    }
}

/// Everything about a parameter: bits of value and original, mask, names of the history.
type State = (Vec<u32>, Vec<u32>, Option<Mask>, Vec<String>);

fn state(parameter: &Parameter<f32>) -> State {
    let bits = |array: &ArrayD<f32>| array.iter().map(|x| x.to_bits()).collect();
    let history = parameter.methods().iter().map(|record| record.name().to_owned()).collect();
    (bits(parameter.value()), bits(parameter.orig()), parameter.mask().cloned(), history)
}

/// The state of every parameter.
fn states(module: &impl Module<Elem = f32>) -> Vec<(String, State)> {
    module.named_parameters().into_iter().map(|(name, parameter)| (name, state(parameter))).collect()
}
