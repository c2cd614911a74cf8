//! Tensors as parameters: a pruned one is two tensors, in the same shard or in two.

use std::collections::HashMap;

use crate::checkpoint::CheckpointError;
use crate::checkpoint::read::{Shard, Tensor};
use crate::file::dtype::Dtype;
use crate::file::names::Part;

/// An unpruned tensor, or the original and the mask of a pruned one.
#[derive(Debug)]
pub(crate) struct ParameterEntry {
    /// The name without a suffix.
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub entries: usize,
    /// The tensor or the original, as an index into the tensors of the checkpoint.
    pub weights: usize,
    /// The mask of a pruned tensor, as such an index. Its dtype is one that [can be a mask](Dtype::can_be_mask).
    pub mask: Option<usize>,
}

/// Returns the parameters that tensors make up, in the order of the tensors and originals.
pub(crate) fn parameters(shards: &[Shard], tensors: &[Tensor]) -> Result<Vec<ParameterEntry>, CheckpointError> {
    let by_name = numbers_by_name(shards, tensors)?;
    let find = |name: &str| by_name.get(name).copied();
    // Names alone make no pair: nothing else can be pruned, or read as a mask.
    let is_pair =
        |orig: &usize, mask: &usize| tensors[*orig].dtype.can_be_pruned() && tensors[*mask].dtype.can_be_mask();

    let mut parameters = Vec::with_capacity(tensors.len());
    for (number, tensor) in tensors.iter().enumerate() {
        let (name, mask) = match Part::of(&tensor.name, find, is_pair) {
            Part::Plain => (tensor.name.as_str(), None),
            Part::Orig { parameter, mask } => (parameter, Some(mask)),
            Part::Mask => continue, // part of the parameter of its original
            Part::PlainAndPruned => {
                return Err(CheckpointError::PrunedAndPlain { tensor: tensor.name.clone() });
            }
        };
        if let Some(mask) = mask.map(|mask| &tensors[mask]).filter(|mask| mask.shape != tensor.shape) {
            let (expected, found) = (tensor.shape.clone(), mask.shape.clone());
            return Err(CheckpointError::ShapeMismatch { tensor: mask.name.clone(), expected, found });
        }
        parameters.push(ParameterEntry::of(name, number, tensor, mask));
    }
    Ok(parameters)
}

impl ParameterEntry {
    /// The parameter that a tensor of a number is, or a tensor and its mask.
    pub fn of(name: &str, number: usize, tensor: &Tensor, mask: Option<usize>) -> Self {
        Self {
            name: name.to_owned(),
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            // The file was checked: the product does not overflow, and fits the data.
            entries: tensor.shape.iter().product(),
            weights: number,
            mask,
        }
    }
}

/// Returns the index of each tensor, or an error if a name occurs twice.
fn numbers_by_name<'t>(shards: &[Shard], tensors: &'t [Tensor]) -> Result<HashMap<&'t str, usize>, CheckpointError> {
    let mut by_name = HashMap::with_capacity(tensors.len());
    for (number, tensor) in tensors.iter().enumerate() {
        if let Some(first) = by_name.insert(tensor.name.as_str(), number) {
            let path = |number: usize| shards[tensors[number].shard].path().to_owned();
            let (first, second) = (path(first), path(number));
            return Err(CheckpointError::DuplicateTensor { tensor: tensor.name.clone(), first, second });
        }
    }
    Ok(by_name)
}
