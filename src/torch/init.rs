//! The initial weights of PyTorch's layers.

use ndarray::{Array, Array1, Array2, ArrayD, Dimension, IntoDimension};

use crate::element::Element;
use crate::torch::Generator;

impl Generator {
    /// Draws the weight `(out_features, in_features)` and the bias `(out_features)` of a new
    /// [`nn.Linear(in_features, out_features)`](https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html).
    ///
    /// Create layers in the order in which the PyTorch model constructs them, from one generator, to get its weights. Layers
    /// without parameters, such as `nn.ReLU`, draw nothing. For `bias=False` use [`weight`](Self::weight): drawing a bias would
    /// advance the stream.
    ///
    /// ```
    /// use prune::torch::Generator;
    ///
    /// let generator = Generator::manual_seed(888);
    /// let (weight, bias) = generator.linear::<f32>(784, 10);
    /// assert_eq!(weight.dim(), (10, 784));
    /// assert_eq!(weight[[0, 0]], -0.032320306);
    /// assert_eq!(bias[0], 0.030104762);
    /// ```
    ///
    /// Without input features, the weight is empty and the bias is zero, as in PyTorch.
    ///
    /// # Panics
    ///
    /// Like every constructor of [`Array`], if the product of the non-zero axis lengths exceeds [`isize::MAX`].
    pub fn linear<A: Element>(&self, in_features: usize, out_features: usize) -> (Array2<A>, Array1<A>) {
        self.layer((out_features, in_features))
    }

    /// Draws the weight `(out_channels, in_channels_per_group, kernel...)` and the bias `(out_channels)` of a new
    /// [`nn.Conv2d`](https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html), or of an `nn.Conv1d` or
    /// `nn.Conv3d`, by the number of kernel axes.
    ///
    /// `in_channels_per_group` is PyTorch's `in_channels / groups`. Transposed convolutions have another initialisation.
    ///
    /// ```
    /// use prune::torch::Generator;
    ///
    /// let generator = Generator::manual_seed(888);
    /// let (weight, bias) = generator.conv::<f32>(16, 3, &[5, 5]); // nn.Conv2d(3, 16, 5)
    /// assert_eq!(weight.shape(), [16, 3, 5, 5]);
    /// assert_eq!(weight[[0, 0, 0, 0]], -0.10449676);
    /// assert_eq!(bias[0], -0.10122736);
    /// ```
    ///
    /// Without input channels, or for a kernel with an axis of size 0, the weight is empty and the bias is zero, as in PyTorch.
    ///
    /// # Panics
    ///
    /// Like every constructor of [`Array`], if the product of the non-zero axis lengths exceeds [`isize::MAX`].
    pub fn conv<A: Element>(
        &self,
        out_channels: usize,
        in_channels_per_group: usize,
        kernel: &[usize],
    ) -> (ArrayD<A>, Array1<A>) {
        self.layer([&[out_channels, in_channels_per_group], kernel].concat())
    }

    /// Draws the weight of a new layer with `bias=False`. The shape is outputs, inputs per group, and kernel axes if any.
    ///
    /// This is PyTorch's [`nn.init.kaiming_uniform_(weight, a=math.sqrt(5))`][kaiming], the initialisation of its linear and
    /// convolutional layers.
    ///
    /// ```
    /// use ndarray::Array4;
    /// use prune::torch::Generator;
    ///
    /// let generator = Generator::manual_seed(888);
    /// let weight: Array4<f32> = generator.weight((16, 3, 5, 5)); // nn.Conv2d(3, 16, 5, bias=False)
    /// assert_eq!(weight[[0, 0, 0, 0]], -0.10449676);
    /// ```
    ///
    /// # Panics
    ///
    /// Like every constructor of [`Array`], if the product of the non-zero axis lengths exceeds [`isize::MAX`].
    ///
    /// [kaiming]: https://docs.pytorch.org/docs/stable/nn.init.html#torch.nn.init.kaiming_uniform_
    pub fn weight<A: Element, Sh: IntoDimension>(&self, shape: Sh) -> Array<A, Sh::Dim> {
        // The bound is 1/sqrt(fan_in), but only the same roundings on the way give PyTorch's last bits.
        let shape = shape.into_dimension();
        let negative_slope = 5_f64.sqrt();
        let gain = (2.0 / (1.0 + negative_slope * negative_slope)).sqrt();
        let bound = 3_f64.sqrt() * (gain / fan_in(shape.slice()).sqrt());
        self.fill(shape, A::between(-bound, bound))
    }

    /// Draws a weight and then its bias, like PyTorch's `reset_parameters()`.
    fn layer<A: Element, Sh: IntoDimension>(&self, weight_shape: Sh) -> (Array<A, Sh::Dim>, Array1<A>) {
        let weight = self.weight(weight_shape);
        let shape = weight.shape(); // of two axes at least: outputs and inputs
        let fan_in = fan_in(shape);

        // Without inputs PyTorch draws from [0, 0): zeros that take words of the stream. `0.0 - x` and not `-x`, because a draw
        // from [-0, 0) would give negative zeros.
        let bound = if fan_in > 0.0 { 1.0 / fan_in.sqrt() } else { 0.0 };
        let bias = self.fill(shape[0], A::between(0.0 - bound, bound));
        (weight, bias)
    }
}

/// Returns the number of inputs of one output.
///
/// The product is one of floats, so that no size overflows. ndarray rejects shapes that are too large.
fn fan_in(weight_shape: &[usize]) -> f64 {
    weight_shape.iter().skip(1).map(|&length| length as f64).product()
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    #[test]
    fn a_layer_is_a_weight_and_then_a_bias() {
        let generator = Generator::manual_seed(6);
        let (weight, bias) = generator.conv::<f64>(4, 1, &[2, 2]);
        let in_order = Generator::manual_seed(6).uniform::<f64>(20, -0.5, 0.5);
        let both: Array1<f64> = weight.iter().chain(&bias).copied().collect();
        assert!((both - in_order).iter().all(|difference| difference.abs() < 1e-15));
    }

    #[test]
    fn a_linear_layer_is_a_convolution_without_a_kernel() {
        let (weight, bias) = Generator::manual_seed(7).linear::<f32>(5, 3);
        assert_eq!(Generator::manual_seed(7).conv(3, 5, &[]), (weight.into_dyn(), bias));
    }

    #[test]
    fn a_layer_without_inputs_has_a_bias_of_positive_zeros_which_take_words() {
        let generator = Generator::manual_seed(8);
        let (weight, bias) = generator.conv::<f32>(3, 2, &[0, 3]);
        assert_eq!(weight.shape(), [3, 2, 0, 3]);
        assert!(bias.len() == 3 && bias.iter().all(|b| b.to_bits() == 0));
        assert_eq!(generator.draw::<f32>(1), Generator::manual_seed(8).draw::<f32>(4)[3..]);
        assert!(generator.linear::<bf16>(5, 0).0.is_empty());
    }
}
