//! Stochastic gradient descent that keeps pruned weights pruned.

use crate::{data::Digits, network::Network};
use ndarray::{ArrayD, Zip};
use prune::{Module, PruneError};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::error::Error;

/// The settings of a training.
#[derive(Clone, Copy)]
pub struct Recipe {
    pub epochs: usize,
    pub batch: usize,
    /// The learning rate at the start. It falls to zero along half a cosine.
    pub learning_rate: f32,
    pub momentum: f32,
    pub weight_decay: f32,
    /// The seed of the order of the images.
    pub seed: u64,
}

/// Trains `network`, pruned or not, and calls `after_epoch` with the mean loss of each epoch.
pub fn train(
    network: &mut Network,
    data: &Digits,
    recipe: &Recipe,
    mut after_epoch: impl FnMut(f32),
) -> Result<(), Box<dyn Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(recipe.seed);
    let mut order: Vec<usize> = (0..data.len()).collect();
    let mut sgd = Sgd::new(network, recipe);
    for epoch in 0..recipe.epochs {
        let progress = epoch as f32 / recipe.epochs as f32;
        sgd.learning_rate = recipe.learning_rate * (1.0 + (std::f32::consts::PI * progress).cos()) / 2.0;
        order.shuffle(&mut rng);
        let mut total = 0.0;
        for indices in order.chunks(recipe.batch) {
            let (loss, gradients) = network.loss_and_gradients(&data.select(indices));
            sgd.step(network, gradients)?;
            total += loss * indices.len() as f32;
        }
        after_epoch(total / data.len() as f32);
    }
    Ok(())
}

/// SGD with momentum and weight decay, as in `torch.optim.SGD`.
pub struct Sgd {
    learning_rate: f32,
    momentum: f32,
    weight_decay: f32,
    /// One array per parameter.
    velocities: Vec<ArrayD<f32>>,
}

impl Sgd {
    pub fn new(network: &Network, recipe: &Recipe) -> Self {
        let parameters = network.named_parameters();
        Self {
            learning_rate: recipe.learning_rate,
            momentum: recipe.momentum,
            weight_decay: recipe.weight_decay,
            velocities: parameters.iter().map(|(_, parameter)| ArrayD::zeros(parameter.orig().raw_dim())).collect(),
        }
    }

    /// Takes one step along `gradients`, which are in the order of `named_parameters`.
    pub fn step(&mut self, network: &mut Network, gradients: Vec<ArrayD<f32>>) -> Result<(), PruneError> {
        let parameters = network.named_parameters_mut().into_iter();
        for (((_, parameter), mut gradient), velocity) in parameters.zip(gradients).zip(&mut self.velocities) {
            // This turns a gradient of the value into one of the original: it is zero for pruned entries.
            parameter.mask_gradient(gradient.view_mut())?;
            // Momentum and weight decay still change the originals of pruned entries. The values remain zero, because
            // `update` recomputes value = orig * mask.
            parameter.update(|orig| {
                Zip::from(orig).and(velocity).and(&gradient).for_each(|weight, velocity, &gradient| {
                    *velocity = self.momentum * *velocity + gradient + self.weight_decay * *weight;
                    *weight -= self.learning_rate * *velocity;
                });
            });
        }
        Ok(())
    }
}
