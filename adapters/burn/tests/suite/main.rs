//! Everything that users of the crate rely on, in one binary: it links faster than several.

mod composition;
mod errors;
mod parity;
mod records;
mod state;
mod training;

use burn::module::{ModuleMapper, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::{DType, FloatDType};

/// A convolution, two layers in a vector and an output: rank 1, 2 and 4, and paths with an index.
#[derive(Module, Debug)]
struct Net {
    conv: Conv2d,
    hidden: Vec<Linear>,
    output: Linear,
}

const WEIGHTS: [&str; 4] = ["conv.weight", "hidden.0.weight", "hidden.1.weight", "output.weight"];

impl Net {
    fn new(device: &Device) -> Self {
        Self {
            conv: Conv2dConfig::new([1, 4], [3, 3]).init(device),
            hidden: vec![LinearConfig::new(16, 12).init(device), LinearConfig::new(12, 12).init(device)],
            output: LinearConfig::new(12, 4).init(device),
        }
    }

    /// Images of `[batch, 1, 4, 4]` to `[batch, 4]`.
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x: Tensor<2> = self.conv.forward(images).flatten(1, 3);
        for layer in &self.hidden {
            x = burn::tensor::activation::relu(layer.forward(x));
        }
        self.output.forward(x)
    }
}

fn net() -> Net {
    Net::new(&Device::default())
}

/// Converts every floating-point parameter.
struct CastTo(FloatDType);

impl ModuleMapper for CastTo {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.cast(self.0))
    }
}

/// The types that the backend of the tests has: all four.
const TYPES: [FloatDType; 4] = [FloatDType::F32, FloatDType::F64, FloatDType::F16, FloatDType::BF16];

/// The bits of the entries: unlike the entries themselves, those of 0.0 and -0.0 differ, and NaN equals itself.
fn bits<const D: usize>(tensor: Tensor<D>) -> Vec<u8> {
    tensor.into_data().bytes().to_vec()
}

/// The bits of all values and of all tensors before masking, by which two modules are compared.
fn all_bits(net: &Net) -> Vec<Vec<u8>> {
    let mut all = vec![bits(net.conv.weight.val()), bits(net.conv.weight.base())];
    for layer in net.hidden.iter().chain([&net.output]) {
        all.extend([bits(layer.weight.val()), bits(layer.weight.base())]);
    }
    all
}

/// The whole chain of messages of an error.
fn messages(error: prune_burn::Error) -> String {
    let mut error: &dyn std::error::Error = &error;
    let mut all = error.to_string();
    while let Some(source) = error.source() {
        all += &format!(": {source}");
        error = source;
    }
    all
}

fn dtype(tensor: FloatDType) -> DType {
    tensor.into()
}
