//! The forward pass of BERT, for sentences of any length together: all tokens are rows of one matrix.

use std::collections::HashMap;

use ndarray::linalg::general_mat_mul;
use ndarray::{Array, Array1, Array2, ArrayBase, Axis, Dimension, Ix2, RawData, Slice};
use prune::safetensors::PackedTensor;
use prune::sparse::Scratch;
use prune::{Module, ParameterStore};

use crate::elementwise::{Norm, gelu, softmax};
use crate::linear::{Linear, Product};

pub const LAYERS: usize = 6;
const HEADS: usize = 12;

/// The inputs of a layer's matrices, and the matrices that take each of them.
pub const INPUTS: [(&str, &[&str]); 4] = [
    ("hidden", &["attention.self.query", "attention.self.key", "attention.self.value"]),
    ("context", &["attention.output.dense"]),
    ("attended", &["intermediate.dense"]),
    ("activated", &["output.dense"]),
];

/// The name of a matrix of a layer.
pub fn weight_name(layer: usize, part: &str) -> String {
    format!("encoder.layer.{layer}.{part}.weight")
}

/// The names of all matrices of the encoder.
pub fn weight_names() -> impl Iterator<Item = String> {
    let parts = || INPUTS.iter().flat_map(|(_, parts)| *parts);
    (0..LAYERS).flat_map(move |layer| parts().map(move |part| weight_name(layer, part)))
}

/// The encoder.
pub struct Bert {
    words: Array2<f32>,
    positions: Array2<f32>,
    kinds: Array2<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

struct Layer {
    query: Box<dyn Linear>,
    key: Box<dyn Linear>,
    value: Box<dyn Linear>,
    attention_output: Box<dyn Linear>,
    attention_norm: Norm,
    intermediate: Box<dyn Linear>,
    output: Box<dyn Linear>,
    norm: Norm,
}

impl Layer {
    fn linears(&self) -> [&dyn Linear; 6] {
        [&self.query, &self.key, &self.value, &self.attention_output, &self.intermediate, &self.output].map(|x| &**x)
    }
}

/// The tensors of a file by name, each of which is taken once.
struct Tensors(HashMap<String, PackedTensor<f32>>);

impl Tensors {
    fn take(&mut self, name: &str) -> PackedTensor<f32> {
        self.0.remove(name).unwrap_or_else(|| panic!("the model has no tensor `{name}`"))
    }

    fn array<D: Dimension>(&mut self, name: &str) -> Array<f32, D> {
        let array = self.take(name).to_dense();
        array.into_dimensionality().unwrap_or_else(|_| panic!("the tensor `{name}` has another number of axes"))
    }

    fn norm(&mut self, name: &str) -> Norm {
        Norm { scale: self.array(&format!("{name}.weight")), shift: self.array(&format!("{name}.bias")) }
    }

    fn linear(&mut self, name: &str, product: Product) -> Box<dyn Linear> {
        let bias = self.array(&format!("{name}.bias"));
        product.layer(self.take(&format!("{name}.weight")).into_packed(), bias)
    }
}

impl Bert {
    /// The encoder with the tensors of a file. `product` tells the product of the matrices of a layer, by its number.
    pub fn new(
        tensors: impl IntoIterator<Item = (String, PackedTensor<f32>)>,
        product: impl Fn(usize) -> Product,
    ) -> Self {
        let mut tensors = Tensors(tensors.into_iter().collect());
        let layer = |layer: usize, tensors: &mut Tensors| {
            let (name, product) = (|part: &str| format!("encoder.layer.{layer}.{part}"), product(layer));
            Layer {
                query: tensors.linear(&name("attention.self.query"), product),
                key: tensors.linear(&name("attention.self.key"), product),
                value: tensors.linear(&name("attention.self.value"), product),
                attention_output: tensors.linear(&name("attention.output.dense"), product),
                attention_norm: tensors.norm(&name("attention.output.LayerNorm")),
                intermediate: tensors.linear(&name("intermediate.dense"), product),
                output: tensors.linear(&name("output.dense"), product),
                norm: tensors.norm(&name("output.LayerNorm")),
            }
        };
        Self {
            layers: (0..LAYERS).map(|number| layer(number, &mut tensors)).collect(),
            words: tensors.array("embeddings.word_embeddings.weight"),
            positions: tensors.array("embeddings.position_embeddings.weight"),
            kinds: tensors.array("embeddings.token_type_embeddings.weight"),
            norm: tensors.norm("embeddings.LayerNorm"),
        }
    }

    /// The encoder with these parameters and dense products.
    pub fn dense(parameters: &ParameterStore<f32>) -> Self {
        let tensors = parameters.named_parameters().into_iter();
        Self::new(tensors.map(|(name, tensor)| (name, PackedTensor::Dense(tensor.value().clone()))), |_| Product::Dense)
    }

    /// The bytes of weights and biases in the layers, as they are in memory.
    pub fn encoder_bytes(&self) -> usize {
        self.layers.iter().flat_map(|layer| layer.linears()).map(Linear::bytes).sum()
    }

    fn embed(&self, sentences: &[Vec<usize>]) -> Array2<f32> {
        let tokens = sentences.iter().flat_map(|sentence| sentence.iter().enumerate());
        let row = |(position, &id)| &self.words.row(id) + &self.positions.row(position) + self.kinds.row(0);
        let rows: Vec<f32> = tokens.flat_map(row).collect();
        let size = (rows.len() / self.words.ncols(), self.words.ncols());
        self.norm.apply(Array2::from_shape_vec(size, rows).expect("every token is a row"))
    }

    /// The hidden states of all tokens. `see` is given the inputs of each layer's matrices, by the names of [`INPUTS`].
    pub fn hidden(
        &self,
        sentences: &[Vec<usize>],
        mut see: impl FnMut(usize, &'static str, &Array2<f32>),
    ) -> Array2<f32> {
        let lengths: Vec<usize> = sentences.iter().map(Vec::len).collect();
        let mut scratch = Scratch::default();
        let mut x = self.embed(sentences);
        for (number, layer) in self.layers.iter().enumerate() {
            see(number, "hidden", &x);
            let context = layer.attend(&x, &lengths, &mut scratch);
            see(number, "context", &context);
            let attended = layer.attention_norm.apply(layer.attention_output.forward(&context, &mut scratch) + &x);
            see(number, "attended", &attended);
            let mut activated = layer.intermediate.forward(&attended, &mut scratch);
            activated.mapv_inplace(gelu);
            see(number, "activated", &activated);
            x = layer.norm.apply(layer.output.forward(&activated, &mut scratch) + &attended);
        }
        x
    }

    /// The embeddings of sentences, of length 1: the means of their hidden states. So many sentences are encoded at once.
    pub fn encode(&self, sentences: &[Vec<usize>], at_once: usize) -> Array2<f32> {
        let mut embeddings = Vec::new();
        for batch in sentences.chunks(at_once) {
            let hidden = self.hidden(batch, |_, _, _| {});
            let mut start = 0;
            for sentence in batch {
                let rows = hidden.slice_axis(Axis(0), Slice::from(start..start + sentence.len()));
                let mean: Array1<f32> = rows.mean_axis(Axis(0)).expect("no sentence is empty");
                let norm = mean.dot(&mean).sqrt();
                embeddings.extend(mean.into_iter().map(|x| x / norm));
                start += sentence.len();
            }
        }
        let size = (sentences.len(), embeddings.len() / sentences.len().max(1));
        Array2::from_shape_vec(size, embeddings).expect("every sentence is a row")
    }
}

impl Layer {
    /// Attention within each sentence.
    fn attend(&self, x: &Array2<f32>, lengths: &[usize], scratch: &mut Scratch<f32>) -> Array2<f32> {
        let [q, k, v] = [&self.query, &self.key, &self.value].map(|linear| linear.forward(x, scratch));
        let size = x.ncols() / HEADS;
        let mut context = Array2::zeros(x.raw_dim());
        let mut start = 0;
        for &length in lengths {
            let rows = Slice::from(start..start + length);
            for head in 0..HEADS {
                let columns = Slice::from(head * size..(head + 1) * size);
                let [q, k, v] = [&q, &k, &v].map(|x| part(x.view(), rows, columns));
                let mut scores = q.dot(&k.t());
                scores /= (size as f32).sqrt();
                scores.rows_mut().into_iter().for_each(softmax);
                general_mat_mul(1.0, &scores, &v, 0.0, &mut part(context.view_mut(), rows, columns));
            }
            start += length;
        }
        context
    }
}

/// Some rows and columns of a view.
fn part<S: RawData>(mut view: ArrayBase<S, Ix2>, rows: Slice, columns: Slice) -> ArrayBase<S, Ix2> {
    view.slice_axis_inplace(Axis(0), rows);
    view.slice_axis_inplace(Axis(1), columns);
    view
}
