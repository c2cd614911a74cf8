//! Linear layers that can take each other's place: `X W^T + b`, with a dense or a packed weight.

use ndarray::{Array1, Array2};
use prune::sparse::{Form, Packed, PackedLinear, Prepared, Scratch};

/// A linear layer for inference.
pub trait Linear {
    /// The outputs, a row for each row of `x`. Memory that the product needs is taken from `scratch`.
    fn forward(&self, x: &Array2<f32>, scratch: &mut Scratch<f32>) -> Array2<f32>;
    /// The bytes of weight and bias in memory.
    fn bytes(&self) -> usize;
}

/// A layer with a dense weight, multiplied by ndarray.
pub struct Dense {
    pub weight: Array2<f32>,
    pub bias: Array1<f32>,
}

impl Linear for Dense {
    fn forward(&self, x: &Array2<f32>, _: &mut Scratch<f32>) -> Array2<f32> {
        x.dot(&self.weight.t()) + &self.bias
    }

    fn bytes(&self) -> usize {
        size_of::<f32>() * (self.weight.len() + self.bias.len())
    }
}

impl Linear for PackedLinear<f32> {
    fn forward(&self, x: &Array2<f32>, scratch: &mut Scratch<f32>) -> Array2<f32> {
        let mut out = Array2::zeros((x.nrows(), self.weight().rows()));
        self.forward_into(x.view(), out.view_mut(), scratch).expect("the layer fits its input");
        out
    }

    fn bytes(&self) -> usize {
        PackedLinear::bytes(self)
    }
}

/// The products that a layer can have.
#[derive(Clone, Copy)]
pub enum Product {
    /// The product of ndarray.
    Dense,
    /// The form of [`Packed`] that is fastest for so many rows of inputs.
    Prepared(usize),
    /// A form of [`Packed`].
    Form(Form),
}

impl Product {
    /// A layer with this product.
    pub fn layer(self, weight: Packed<f32>, bias: Array1<f32>) -> Box<dyn Linear> {
        let packed =
            |weight: Prepared<f32>| PackedLinear::new(weight, Some(bias.clone())).expect("a bias for each row");
        match self {
            Self::Dense => {
                let weight = weight.to_dense().into_dimensionality().expect("a weight is a matrix");
                Box::new(Dense { weight, bias })
            }
            Self::Prepared(rows) => Box::new(packed(weight.prepare(rows))),
            Self::Form(form) => Box::new(packed(weight.prepare_as(form))),
        }
    }
}
