//! ONNX models: the places of their tensors, and the operators that take them.
//!
//! A model is a protobuf message. Its fields are walked in the file, by the numbers of `onnx.proto`, and nothing of it is
//! decoded that is not needed to find the weights of layers. A model that is written again would differ in more than its
//! weights; here, only their bytes are ever replaced.

mod error;
mod graph;
mod operator;
mod tensor;
mod wire;

use std::fs::File;

pub(crate) use error::Failure;
pub use error::OnnxError;
pub(crate) use graph::Role;
pub(crate) use tensor::{Place, Tensor};

use graph::Walk;
use wire::{Field, Span, Value, Window};

/// The tensors of a model that the file of the model names.
#[derive(Debug)]
pub(crate) struct Model {
    /// The initializers in the order of the file, then the tensors of `Constant` nodes and subgraphs.
    pub tensors: Vec<(Tensor, Role)>,
    /// The tensor that the last layer has for its weight.
    pub last_layer: Option<usize>,
}

impl Model {
    /// Reads the tensors of a model in a file of this length.
    pub fn read(file: &File, len: u64) -> Result<Self, Failure> {
        let mut window = Window::new(file);
        let mut graphs = Vec::new();
        let mut message = Span { start: 0, end: len };
        while let Some(field) = window.field(&mut message)? {
            if let Field { number: 7, value: Value::Span(graph) } = field {
                graphs.push(graph);
            }
        }
        match graphs[..] {
            [graph] => Walk::new(window).model(graph),
            _ => Err(OnnxError::Graphs { found: graphs.len() }.into()),
        }
    }
}
