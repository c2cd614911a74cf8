//! Operators: the inputs of theirs that are weights of a layer, and the axes of the channels of these.

/// The properties of a node on which the axes of its weights depend.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub operator: String,
    /// The domain is that of ONNX or of ONNX Runtime, whose operators are known.
    pub is_known: bool,
    /// The name of the first output.
    pub output: String,
    pub transposes_a: bool,
    pub transposes_b: bool,
    /// The order of axes that a transposition gives; `None` for the reverse one.
    pub order: Option<Vec<u64>>,
}

/// The use that an operator makes of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum InputUse {
    /// It is the weight of a layer.
    Weight(WeightInput),
    /// It is the table of an embedding.
    Table(&'static str),
    /// It is quantised, or a part of something quantised.
    Quantized,
    /// Its values are not used, or only passed on: those of the output are the same.
    Nothing,
    /// The output is the input with the axes in this order; as they are if there is none.
    Same(Option<Vec<u64>>),
    /// Anything else.
    Other,
}

/// The input of an operator that is the weight of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WeightInput {
    pub operator: &'static str,
    /// The axis of the output channels.
    pub outputs: usize,
}

impl Node {
    /// Returns the use of an input with `rank` axes, by its position among the inputs.
    pub fn use_of(&self, position: usize, rank: usize) -> InputUse {
        let operator = self.operator.as_str();
        if is_quantized(operator) {
            return InputUse::Quantized;
        }
        if !self.is_known {
            return InputUse::Other;
        }
        if let Some(weight) = self.weight(position, rank) {
            return InputUse::Weight(weight);
        }
        match (operator, position) {
            ("Gather", 0) => InputUse::Table("Gather"),
            ("EmbedLayerNormalization", 2..=4) => InputUse::Table("EmbedLayerNormalization"),
            ("Shape" | "Size", _) => InputUse::Nothing,
            ("Identity" | "Cast", 0) => InputUse::Same(None),
            ("Transpose", 0) => {
                let reverse = || (0..rank as u64).rev().collect();
                InputUse::Same(Some(self.order.clone().unwrap_or_else(reverse)))
            }
            _ => InputUse::Other,
        }
    }

    /// The layer that has an input for its weight, and the axis of its output channels.
    fn weight(&self, position: usize, rank: usize) -> Option<WeightInput> {
        // Of the left factor of a product, the rows are the output channels; of the right one, the columns.
        let rows = rank.checked_sub(2)?;
        let columns = rows + 1;
        let flipped = |is_flipped: bool, plain, other| if is_flipped { other } else { plain };
        let (operator, outputs) = match (self.operator.as_str(), position) {
            ("Conv", 1) => ("Conv", 0),
            ("FusedConv", 1) => ("FusedConv", 0),
            ("DeformConv", 1) => ("DeformConv", 0),
            ("ConvTranspose", 1) => ("ConvTranspose", 1),
            ("Gemm", 0) => ("Gemm", flipped(self.transposes_a, rows, columns)),
            ("Gemm", 1) => ("Gemm", flipped(self.transposes_b, columns, rows)),
            ("MatMul", 0) => ("MatMul", rows),
            ("MatMul", 1) => ("MatMul", columns),
            ("FusedMatMul", 0) => ("FusedMatMul", flipped(self.transposes_a, rows, columns)),
            ("FusedMatMul", 1) => ("FusedMatMul", flipped(self.transposes_b, columns, rows)),
            ("Attention", 1) if rank == 2 => ("Attention", columns),
            // A weight for each direction.
            ("LSTM", 1 | 2) if rank == 3 => ("LSTM", 1),
            ("GRU", 1 | 2) if rank == 3 => ("GRU", 1),
            ("RNN", 1 | 2) if rank == 3 => ("RNN", 1),
            _ => return None,
        };
        Some(WeightInput { operator, outputs })
    }
}

/// Returns `true` for operators that quantise, or work on quantised tensors.
fn is_quantized(operator: &str) -> bool {
    let others = ["MatMulNBits", "MatMulBnb4", "QAttention", "QGemm", "QMoE"];
    operator.to_ascii_lowercase().contains("quantize")
        || operator.starts_with("QLinear")
        || operator.contains("Integer")
        || others.contains(&operator)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(operator: &str) -> Node {
        Node { operator: operator.into(), is_known: true, ..Node::default() }
    }

    #[test]
    fn channels_lie_along_the_axes_that_the_operator_says() {
        let transposed = |operator| Node { transposes_a: true, transposes_b: true, ..node(operator) };
        for (node, position, rank, expected) in [
            (node("Conv"), 1, 4, Some(0)),
            (node("Conv"), 0, 4, None),
            (node("Conv"), 1, 1, None),
            (node("ConvTranspose"), 1, 3, Some(1)),
            (node("Gemm"), 0, 2, Some(0)),
            (node("Gemm"), 1, 2, Some(1)),
            (transposed("Gemm"), 0, 2, Some(1)),
            (transposed("Gemm"), 1, 2, Some(0)),
            (node("Gemm"), 2, 2, None),
            (node("MatMul"), 0, 2, Some(0)),
            (node("MatMul"), 1, 2, Some(1)),
            (node("MatMul"), 1, 3, Some(2)),
            (node("MatMul"), 1, 1, None),
            (transposed("FusedMatMul"), 1, 3, Some(1)),
            (node("Attention"), 1, 2, Some(1)),
            (node("LSTM"), 2, 3, Some(1)),
            (node("LSTM"), 3, 2, None),
            (node("Add"), 1, 2, None),
            (Node { is_known: false, ..node("MatMul") }, 1, 2, None),
        ] {
            let found = match node.use_of(position, rank) {
                InputUse::Weight(WeightInput { outputs, .. }) => Some(outputs),
                _ => None,
            };
            assert_eq!(found, expected, "{node:?} {position} {rank}");
        }
    }

    #[test]
    fn operators_that_are_no_layers() {
        for (operator, position, expected) in [
            ("Gather", 0, InputUse::Table("Gather")),
            ("Gather", 1, InputUse::Other),
            ("Shape", 0, InputUse::Nothing),
            ("Identity", 0, InputUse::Same(None)),
            ("Transpose", 0, InputUse::Same(Some(vec![1, 0]))),
            ("Reshape", 0, InputUse::Other),
            ("DequantizeLinear", 0, InputUse::Quantized),
            ("QLinearConv", 3, InputUse::Quantized),
            ("MatMulInteger", 1, InputUse::Quantized),
            ("MatMulNBits", 1, InputUse::Quantized),
            ("Mul", 1, InputUse::Other),
        ] {
            assert_eq!(node(operator).use_of(position, 2), expected, "{operator}");
        }
    }
}
