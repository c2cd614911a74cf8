//! MNIST-1D: signals of 40 numbers, in ten classes.

use std::error::Error;

use ndarray::Array2;
use safetensors::SafeTensors;

/// Signals as rows, and the class of each.
pub struct Signals {
    pub inputs: Array2<f32>,
    pub labels: Vec<usize>,
}

pub struct Mnist1d {
    pub training: Signals,
    pub test: Signals,
}

impl Mnist1d {
    pub fn load() -> Result<Self, Box<dyn Error>> {
        let file = SafeTensors::deserialize(include_bytes!("mnist1d.safetensors"))?;
        Ok(Self { training: signals(&file, "x", "y")?, test: signals(&file, "x_test", "y_test")? })
    }
}

fn signals(file: &SafeTensors<'_>, inputs: &str, labels: &str) -> Result<Signals, Box<dyn Error>> {
    let tensor = file.tensor(inputs)?;
    let (numbers, _) = tensor.data().as_chunks::<4>();
    let numbers = numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    let inputs = Array2::from_shape_vec((tensor.shape()[0], tensor.shape()[1]), numbers)?;
    Ok(Signals { inputs, labels: file.tensor(labels)?.data().iter().map(|&label| usize::from(label)).collect() })
}
