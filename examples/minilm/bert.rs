//! The forward pass of BERT, for sentences of any length together: all tokens are rows of one matrix.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, Ix1, Ix2, Slice};
use prune::ParameterStore;

pub const LAYERS: usize = 6;
const HEADS: usize = 12;
const EPSILON: f32 = 1e-12;

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

/// The encoder with its parameters.
pub struct Bert<'m> {
    pub parameters: &'m ParameterStore<f32>,
}

impl<'m> Bert<'m> {
    fn vector(&self, name: &str) -> ArrayView1<'m, f32> {
        self.parameters[name].view::<Ix1>()
    }

    fn matrix(&self, name: &str) -> ArrayView2<'m, f32> {
        self.parameters[name].view::<Ix2>()
    }

    fn linear(&self, x: &Array2<f32>, name: &str) -> Array2<f32> {
        x.dot(&self.matrix(&format!("{name}.weight")).t()) + self.vector(&format!("{name}.bias"))
    }

    fn norm(&self, mut x: Array2<f32>, name: &str) -> Array2<f32> {
        let (scale, shift) = (self.vector(&format!("{name}.weight")), self.vector(&format!("{name}.bias")));
        for mut row in x.rows_mut() {
            let mean = row.mean().unwrap_or_default();
            row -= mean;
            let deviation = (row.dot(&row) / row.len() as f32 + EPSILON).sqrt();
            row.zip_mut_with(&scale, |x, scale| *x *= scale / deviation);
            row += &shift;
        }
        x
    }

    fn embed(&self, sentences: &[Vec<usize>]) -> Array2<f32> {
        let words = self.matrix("embeddings.word_embeddings.weight");
        let positions = self.matrix("embeddings.position_embeddings.weight");
        let kinds = self.matrix("embeddings.token_type_embeddings.weight");
        let tokens = sentences.iter().flat_map(|sentence| sentence.iter().enumerate());
        let rows: Vec<f32> =
            tokens.flat_map(|(position, &id)| &words.row(id) + &positions.row(position) + kinds.row(0)).collect();
        let size = (rows.len() / words.ncols(), words.ncols());
        let rows = Array2::from_shape_vec(size, rows).expect("every token is a row");
        self.norm(rows, "embeddings.LayerNorm")
    }

    /// Attention within each sentence.
    fn attend(&self, x: &Array2<f32>, lengths: &[usize], name: &str) -> Array2<f32> {
        let [q, k, v] = ["query", "key", "value"].map(|part| self.linear(x, &format!("{name}.{part}")));
        let size = x.ncols() / HEADS;
        let mut context = Array2::zeros(x.raw_dim());
        let mut start = 0;
        for &length in lengths {
            let rows = Slice::from(start..start + length);
            for head in 0..HEADS {
                let columns = Slice::from(head * size..(head + 1) * size);
                let part = |x: &Array2<f32>| x.slice_axis(Axis(0), rows).slice_axis(Axis(1), columns).to_owned();
                let mut scores = part(&q).dot(&part(&k).t()) / (size as f32).sqrt();
                scores.rows_mut().into_iter().for_each(softmax);
                let mut rows_of_head = context.slice_axis_mut(Axis(0), rows);
                rows_of_head.slice_axis_mut(Axis(1), columns).assign(&scores.dot(&part(&v)));
            }
            start += length;
        }
        context
    }

    /// The hidden states of all tokens. `see` is given the inputs of each layer's matrices, by the names of [`INPUTS`].
    pub fn hidden(&self, sentences: &[Vec<usize>], mut see: impl FnMut(usize, &str, &Array2<f32>)) -> Array2<f32> {
        let lengths: Vec<usize> = sentences.iter().map(Vec::len).collect();
        let mut x = self.embed(sentences);
        for layer in 0..LAYERS {
            let name = |part: &str| format!("encoder.layer.{layer}.{part}");
            see(layer, "hidden", &x);
            let context = self.attend(&x, &lengths, &name("attention.self"));
            see(layer, "context", &context);
            let attended = self.linear(&context, &name("attention.output.dense")) + x;
            let attended = self.norm(attended, &name("attention.output.LayerNorm"));
            see(layer, "attended", &attended);
            let activated = self.linear(&attended, &name("intermediate.dense")).mapv(gelu);
            see(layer, "activated", &activated);
            x = self.norm(self.linear(&activated, &name("output.dense")) + attended, &name("output.LayerNorm"));
        }
        x
    }

    /// The embeddings of sentences, of length 1: the means of their hidden states.
    pub fn encode(&self, sentences: &[Vec<usize>]) -> Array2<f32> {
        let mut embeddings = Vec::new();
        for batch in sentences.chunks(32) {
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

fn softmax(mut row: ndarray::ArrayViewMut1<'_, f32>) {
    let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.mapv_inplace(|x| (x - highest).exp());
    let sum = row.sum();
    row /= sum;
}

fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + libm::erff(x / std::f32::consts::SQRT_2))
}
