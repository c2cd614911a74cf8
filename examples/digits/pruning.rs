//! The four ways to prune the network that are compared.

use crate::network::Network;
use ndarray::{Array1, Axis, Ix2};
use prune::{L1Unstructured, Module, Parameter, PruneError};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::error::Error;

/// The method that chooses the pruned weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Any weights: the baseline that every other method has to beat.
    Random,
    /// The smallest weights of each layer, the same fraction of each.
    L1PerLayer,
    /// The smallest weights of the whole network: layers compete.
    L1Global,
    /// The neurons of each hidden layer whose weights have the smallest L2 norms.
    L2Neurons,
}

impl Method {
    pub const ALL: [Self; 4] = [Self::Random, Self::L1PerLayer, Self::L1Global, Self::L2Neurons];

    pub fn label(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::L1PerLayer => "L1 per layer",
            Self::L1Global => "L1 global",
            Self::L2Neurons => "L2 neurons",
        }
    }

    /// Prunes the fraction `amount` of the remaining weights or neurons.
    pub fn prune(self, network: &mut Network, amount: f64) -> Result<(), Box<dyn Error>> {
        match self {
            Self::Random => {
                let mut rng = ChaCha8Rng::seed_from_u64(2);
                for layer in network.layers_mut() {
                    prune::random_unstructured(layer, "weight", amount, &mut rng)?;
                }
            }
            Self::L1PerLayer => {
                for layer in network.layers_mut() {
                    prune::l1_unstructured(layer, "weight", amount)?;
                }
            }
            Self::L1Global => {
                let weights = network.layers_mut().map(|layer| &mut layer.weight);
                prune::global_unstructured(weights, L1Unstructured::new(amount)?)?;
            }
            Self::L2Neurons => {
                // Only hidden neurons: a row of the output layer is a digit, which the network could never answer again.
                for layer in &mut network.hidden {
                    prune::ln_structured(layer, "weight", amount, 2, 0)?;
                    // A neuron without weights still adds its bias, so the bias is pruned too.
                    let neurons = remaining_rows(&layer.weight)?;
                    prune::custom_from_mask(layer, "bias", neurons)?;
                }
            }
        }
        Ok(())
    }
}

/// Returns, for each row of a matrix, whether any of its entries remains.
fn remaining_rows(weight: &Parameter<f32>) -> Result<Array1<bool>, Box<dyn Error>> {
    let mask = weight.mask().ok_or("the weight is not pruned")?.view().into_dimensionality::<Ix2>()?;
    Ok(mask.map_axis(Axis(1), |row| row.iter().any(|&kept| kept)))
}

/// Weights (biases not counted) in all, and those that are not zero.
pub fn count_weights(network: &Network) -> (usize, usize) {
    let weights = || network.layers().flat_map(|layer| layer.weight.value());
    (weights().count(), weights().filter(|&&weight| weight != 0.0).count())
}

/// The fraction of the weights that are zero, 0..=1.
pub fn sparsity(network: &Network) -> f64 {
    let (all, nonzero) = count_weights(network);
    1.0 - nonzero as f64 / all as f64
}

/// Makes all pruning permanent.
pub fn remove_all(network: &mut Network) -> Result<(), PruneError> {
    for (_, parameter) in network.named_parameters_mut() {
        if parameter.is_pruned() {
            parameter.remove()?;
        }
    }
    Ok(())
}

/// All values, bit by bit: 0.0 and -0.0 are not the same here.
pub fn bits(network: &Network) -> Vec<u32> {
    network.named_parameters().iter().flat_map(|(_, parameter)| parameter.value()).map(|x| x.to_bits()).collect()
}
