//! The errors that belong to failures of PyTorch, and to the rows of the table in README.md.

use prune::PruneError;

/// Returns `true` if the crate's error is the one for this message of PyTorch.
pub fn matches_message(error: &PruneError, message: &str) -> bool {
    use PruneError as E;
    let says = |part: &str| message.contains(part);
    match error {
        E::InvalidFraction { .. } => says("should either be a float in the range") || says("cannot convert float NaN"),
        E::AmountTooLarge { count, available, .. } => {
            says(&format!("amount={count} should be smaller than the number of parameters to prune={available}"))
        }
        E::ShapeMismatch { expected, found, .. } => {
            let sizes = [expected, found].map(|shape| size(shape));
            says("importance_scores should have the same shape") && says(&format!("got {} vs {}", sizes[1], sizes[0]))
                || says(&format!("default_mask shape {} must match self.mask shape {}", sizes[0], sizes[1]))
                || says("The shape of the mask")
        }
        E::TooFewDimensions { shape } => says("multidimensional tensors") && says(&size(shape)),
        E::AxisOutOfRange { found, ndim } => {
            says("list assignment index out of range")
                || says("tuple index out of range")
                || says(&format!("Index is out of bounds for tensor with dimensions {ndim}"))
                || says(&format!("Invalid index {found} for tensor of size"))
        }
        E::NotPruned { parameter: Some(name) } => {
            let name = name.rsplit('.').next().unwrap_or_default();
            says(&format!("Parameter '{name}' of module Module() has to be pruned before"))
        }
        E::NotUnstructured { method, .. } => says(&format!("torch.nn.utils.prune.{method}")),
        E::NoTargets => says("expected a non-empty list of Tensors"),
        E::EmptyChannels { .. } => says("because this dimension is empty"),
        E::NuclearNorm { .. } => says("selected index k out of range") || says("Low precision dtypes not supported"),
        _ => false,
    }
}

/// Returns `true` if the crate's error is the one by which it refuses what this row says.
pub fn matches_row(error: &PruneError, row: &str) -> bool {
    use PruneError as E;
    matches!(
        (row, error),
        ("e", E::InvalidFraction { .. })
            | ("h", E::TooFewDimensions { .. })
            | ("i", E::AxisOutOfRange { .. })
            | ("j", E::NuclearNorm { .. })
            | ("k", E::InvalidNorm { .. })
            | ("m", E::MaskValue { .. })
            | ("v", E::ShapeMismatch { .. })
            | ("w", E::RepeatedParameter { .. })
            | ("x", E::NoTargets)
            | ("y", E::NameClash { .. })
            | ("F", E::EmptyChannels { .. })
    )
}

/// A shape as PyTorch prints it.
fn size(shape: &[usize]) -> String {
    format!("torch.Size({shape:?})")
}
