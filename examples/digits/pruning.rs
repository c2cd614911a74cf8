//! The four methods that are compared.

use crate::network::Network;
use ndarray::Array1;
use prune::{Amount, L1Unstructured, Module, Parameter};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::error::Error;

/// A method, applied to the weights of all layers or of some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Random weights: the baseline for the other methods.
    Random,
    /// The weights with the lowest magnitudes of each layer, the same fraction of each.
    L1PerLayer,
    /// The weights with the lowest magnitudes of the whole network: one ranking for all layers.
    L1Global,
    /// The neurons of each hidden layer with the lowest L2 norms.
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

    /// Prunes an amount of the weights, or of the neurons.
    pub fn prune(self, network: &mut Network, amount: impl Into<Amount>) -> Result<(), Box<dyn Error>> {
        let amount = amount.into();
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
                // Only hidden neurons: a row of the output layer is a digit, which the network could not predict without it.
                for layer in &mut network.hidden {
                    prune::ln_structured(layer, "weight", amount, 2, 0)?;
                    // A neuron without weights still outputs its bias, so the bias is pruned too.
                    let kept = kept_rows(&layer.weight)?;
                    prune::custom_from_mask(layer, "bias", kept)?;
                }
            }
        }
        Ok(())
    }
}

/// Returns a mask of the rows of a pruned matrix: `true` if an entry of the row is kept.
fn kept_rows(weight: &Parameter<f32>) -> Result<Array1<bool>, Box<dyn Error>> {
    let mask = weight.mask().ok_or("the weight is not pruned")?;
    let mut kept = Array1::from_elem(mask.shape()[0], false);
    for row in mask.kept_channels(0)? {
        kept[row] = true;
    }
    Ok(kept)
}

/// Returns the number of weights, and the number of those that are not zero. Biases are not counted.
pub fn count_weights(network: &Network) -> (usize, usize) {
    let all: usize = network.layers().map(|layer| layer.weight.value().len()).sum();
    let zeros: usize = network.layers().map(|layer| layer.weight.zeros()).sum();
    (all, all - zeros)
}

/// Returns the fraction of the weights that are zero, from 0 to 1.
pub fn sparsity(network: &Network) -> f64 {
    let (all, nonzero) = count_weights(network);
    1.0 - nonzero as f64 / all as f64
}

/// Returns the bits of all values. Unlike the values, the bits of 0.0 and -0.0 differ.
pub fn bits(network: &Network) -> Vec<u32> {
    network.named_parameters().iter().flat_map(|(_, parameter)| parameter.value()).map(|x| x.to_bits()).collect()
}
