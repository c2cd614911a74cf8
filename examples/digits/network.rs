//! A multilayer perceptron on ndarray whose layers can be pruned.

use crate::data::Digits;
use ndarray::{Array1, Array2, ArrayD, ArrayView1, ArrayView2, Axis, Ix1, Ix2, ShapeError, Zip};
use prune::{Parameter, torch::Generator};

/// `input . weight^T + bias`, with a weight of shape [outputs, inputs] as in PyTorch.
#[derive(Clone)]
pub struct Linear {
    pub weight: Parameter<f32>,
    pub bias: Parameter<f32>,
}

impl prune::Module for Linear {
    type Elem = f32;
    prune::named_parameters!(weight, bias);
}

impl Linear {
    fn new(inputs: usize, outputs: usize, generator: &Generator) -> Self {
        let (weight, bias) = generator.linear::<f32>(inputs, outputs);
        Self { weight: weight.into(), bias: bias.into() }
    }

    /// Computes with `value()`, the pruned weight: nothing else in a layer has to know about pruning.
    fn forward(&self, input: &Array2<f32>) -> Result<Array2<f32>, ShapeError> {
        Ok(input.dot(&self.weight_matrix()?.t()) + self.bias_vector()?)
    }

    /// From the gradient of the output to all others.
    fn backward(&self, input: &Array2<f32>, output: &Array2<f32>) -> Result<LinearGradients, ShapeError> {
        Ok(LinearGradients {
            weight: output.t().dot(input),
            bias: output.sum_axis(Axis(0)),
            input: output.dot(&self.weight_matrix()?),
        })
    }

    fn weight_matrix(&self) -> Result<ArrayView2<'_, f32>, ShapeError> {
        self.weight.value().view().into_dimensionality::<Ix2>()
    }

    fn bias_vector(&self) -> Result<ArrayView1<'_, f32>, ShapeError> {
        self.bias.value().view().into_dimensionality::<Ix1>()
    }
}

struct LinearGradients {
    weight: Array2<f32>,
    bias: Array1<f32>,
    input: Array2<f32>,
}

/// Hidden layers with ReLU, then an output layer with softmax.
#[derive(Clone)]
pub struct Network {
    pub hidden: Vec<Linear>,
    pub output: Linear,
}

/// Its parameters are `hidden.0.weight`, `hidden.0.bias`, `hidden.1.weight`, ..., `output.bias`.
impl prune::Module for Network {
    type Elem = f32;
    prune::named_parameters!(hidden, output);
}

impl Network {
    /// From `inputs` values through layers of the sizes `hidden` to `classes` scores; `seed` decides the first weights.
    pub fn new(inputs: usize, hidden: &[usize], classes: usize, seed: u64) -> Self {
        let generator = Generator::manual_seed(seed);
        let mut inputs = inputs;
        let mut layer = |outputs| Linear::new(std::mem::replace(&mut inputs, outputs), outputs, &generator);
        Self { hidden: hidden.iter().map(|&size| layer(size)).collect(), output: layer(classes) }
    }

    /// First to last.
    pub fn layers(&self) -> impl Iterator<Item = &Linear> {
        self.hidden.iter().chain([&self.output])
    }

    /// First to last.
    pub fn layers_mut(&mut self) -> impl Iterator<Item = &mut Linear> {
        self.hidden.iter_mut().chain([&mut self.output])
    }

    /// What each layer is fed, and after them the scores of the classes.
    fn forward(&self, images: &Array2<f32>) -> Result<(Vec<Array2<f32>>, Array2<f32>), ShapeError> {
        let mut inputs = Vec::new();
        let mut input = images.clone();
        for layer in &self.hidden {
            let output = layer.forward(&input)?.mapv_into(|x| x.max(0.0));
            inputs.push(std::mem::replace(&mut input, output));
        }
        let scores = self.output.forward(&input)?;
        inputs.push(input);
        Ok((inputs, scores))
    }

    /// The fraction of `data` that is recognised, 0..=1.
    pub fn accuracy(&self, data: &Digits) -> Result<f64, ShapeError> {
        let (_, scores) = self.forward(&data.images)?;
        let right = scores.outer_iter().zip(&data.labels).filter(|(row, label)| argmax(row) == Some(**label));
        Ok(right.count() as f64 / data.len() as f64)
    }

    /// The mean cross-entropy of `batch` and its gradients, one a parameter, in the order of `named_parameters`.
    ///
    /// They are gradients of the values. The optimizer masks them before it trains the originals.
    pub fn loss_and_gradients(&self, batch: &Digits) -> Result<(f32, Vec<ArrayD<f32>>), ShapeError> {
        let (inputs, scores) = self.forward(&batch.images)?;
        let (loss, mut upstream) = softmax_cross_entropy(scores, &batch.labels);
        let mut gradients = Vec::new();
        let layers: Vec<_> = self.layers().zip(inputs).collect();
        for (layer, input) in layers.into_iter().rev() {
            let gradient = layer.backward(&input, &upstream)?;
            gradients.extend([gradient.bias.into_dyn(), gradient.weight.into_dyn()]);
            // The derivative of ReLU. (Of no consequence in the first layer, whose input is the images.)
            upstream = gradient.input;
            Zip::from(&mut upstream).and(&input).for_each(|gradient, &x| {
                if x <= 0.0 {
                    *gradient = 0.0;
                }
            });
        }
        gradients.reverse();
        Ok((loss, gradients))
    }
}

/// The mean loss, and its gradient with respect to `scores`.
fn softmax_cross_entropy(mut scores: Array2<f32>, labels: &[usize]) -> (f32, Array2<f32>) {
    let count = labels.len() as f32;
    let mut loss = 0.0;
    for (mut row, &label) in scores.outer_iter_mut().zip(labels) {
        let highest = row.fold(f32::NEG_INFINITY, |a, &b| a.max(b));
        row.mapv_inplace(|score| (score - highest).exp());
        let total = row.sum();
        loss -= (row[label] / total).ln() / count;
        row.mapv_inplace(|x| x / total / count);
        row[label] -= 1.0 / count;
    }
    (loss, scores)
}

fn argmax(row: &ArrayView1<'_, f32>) -> Option<usize> {
    row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(index, _)| index)
}
