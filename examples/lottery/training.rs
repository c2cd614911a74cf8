//! Adam that keeps pruned weights pruned.

use ndarray::{ArrayD, Axis, Slice, Zip};
use prune::{Module, PruneError};

use crate::{data::Mnist1d, network::Network};

const BATCH: usize = 100;
const LEARNING_RATE: f32 = 0.02;
/// The number of steps from one evaluation to the next.
const EVALUATE: usize = 100;

/// Trains a network, pruned or not, on batches in the order of the data. Returns the accuracy on the test signals after the steps
/// 0, 100, 200, ...
pub fn train(
    network: &mut Network,
    data: &Mnist1d,
    steps: usize,
    mut after_step: impl FnMut(),
) -> Result<Vec<f64>, PruneError> {
    // A fresh optimizer each time: its state would belong to weights that are gone.
    let mut adam = Adam::new(network);
    let mut accuracies = Vec::new();
    for step in 0..steps {
        let at = step * BATCH % data.training.labels.len();
        let inputs = data.training.inputs.slice_axis(Axis(0), Slice::from(at..at + BATCH));
        let gradients = network.gradients(inputs, &data.training.labels[at..at + BATCH]);
        adam.step(network, gradients)?;
        if step.is_multiple_of(EVALUATE) {
            accuracies.push(network.accuracy(&data.test));
        }
        after_step();
    }
    Ok(accuracies)
}

/// Adam with the defaults of `torch.optim.Adam`, but for the learning rate.
struct Adam {
    steps: i32,
    /// The two moments of each parameter.
    moments: Vec<[ArrayD<f32>; 2]>,
}

impl Adam {
    fn new(network: &Network) -> Self {
        let zeros = |parameter: &prune::Parameter<f32>| ArrayD::zeros(parameter.orig().raw_dim());
        let parameters = network.named_parameters().into_iter();
        Self { steps: 0, moments: parameters.map(|(_, parameter)| [zeros(parameter), zeros(parameter)]).collect() }
    }

    fn step(&mut self, network: &mut Network, gradients: Vec<ArrayD<f32>>) -> Result<(), PruneError> {
        self.steps += 1;
        let [first, second] = [0.9_f32, 0.999].map(|decay| 1.0 - decay.powi(self.steps));
        let parameters = network.named_parameters_mut().into_iter();
        for (((_, parameter), mut gradient), [mean, square]) in parameters.zip(gradients).zip(&mut self.moments) {
            // Without it, the originals of pruned weights would drift. Their values are 0 in any case.
            parameter.mask_gradient(gradient.view_mut())?;
            parameter.update(|orig| {
                Zip::from(orig).and(mean).and(square).and(&gradient).for_each(|weight, mean, square, &gradient| {
                    *mean += 0.1 * (gradient - *mean);
                    *square += 0.001 * (gradient * gradient - *square);
                    *weight -= LEARNING_RATE / first * *mean / ((*square / second).sqrt() + 1e-8);
                });
            });
        }
        Ok(())
    }
}
