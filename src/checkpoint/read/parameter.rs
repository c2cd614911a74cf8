//! Tensors as parameters: a pruned one is two tensors, wherever they are.

use std::collections::HashMap;

use crate::checkpoint::CheckpointError;
use crate::checkpoint::read::{Dtype, Shard, Tensor};
use crate::file::names;

/// A tensor that is not pruned, or the two halves of one that is.
#[derive(Debug)]
pub(crate) struct Parameter {
    /// Its plain name.
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub entries: usize,
    /// The tensor, or its original: an index into the tensors of the checkpoint.
    pub weights: usize,
    /// The mask, if it is pruned.
    pub mask: Option<usize>,
}

/// The parameters that some tensors make up, in the order of their weights.
pub(crate) fn parameters(shards: &[Shard], tensors: &[Tensor]) -> Result<Vec<Parameter>, CheckpointError> {
    let mut by_name = HashMap::with_capacity(tensors.len());
    for (number, tensor) in tensors.iter().enumerate() {
        if let Some(first) = by_name.insert(tensor.name.as_str(), number) {
            let path = |number: usize| shards[tensors[number].shard].path().to_owned();
            let (first, second) = (path(first), path(number));
            return Err(CheckpointError::DuplicateTensor { tensor: tensor.name.clone(), first, second });
        }
    }
    // Two tensors are halves only if they could be: an original that can be pruned, and a mask of a dtype with 0 and 1.
    let halves = |name: &str| {
        let find = |half: String| by_name.get(half.as_str()).copied();
        let (orig, mask) = (find(names::orig(name))?, find(names::mask(name))?);
        (tensors[orig].dtype.can_be_pruned() && mask_can_be_read(tensors[mask].dtype)).then_some((orig, mask))
    };

    let mut parameters = Vec::with_capacity(tensors.len());
    for (number, tensor) in tensors.iter().enumerate() {
        if halves(&tensor.name).is_some() {
            return Err(CheckpointError::PrunedAndPlain { tensor: tensor.name.clone() });
        }
        let (name, mask) = match names::pruned(&tensor.name).and_then(|name| Some((name, halves(name)?))) {
            None => (tensor.name.as_str(), None),
            Some((name, (orig, mask))) if orig == number => (name, Some(mask)),
            Some(_) => continue, // a mask, which was or will be added with its original
        };
        if let Some(mask) = mask.map(|mask| &tensors[mask]).filter(|mask| mask.shape != tensor.shape) {
            let (expected, found) = (tensor.shape.clone(), mask.shape.clone());
            return Err(CheckpointError::ShapeMismatch { tensor: mask.name.clone(), expected, found });
        }
        parameters.push(Parameter {
            name: name.to_owned(),
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            // The header was checked: there is a product, and what it takes in the file.
            entries: tensor.shape.iter().product(),
            weights: number,
            mask,
        });
    }
    Ok(parameters)
}

/// Whether a dtype has a 0 and a 1 that this crate knows.
pub(crate) fn mask_can_be_read(dtype: Dtype) -> bool {
    use ::safetensors::Dtype::{BOOL, I8, I16, I32, I64, U8, U16, U32, U64};
    dtype.can_be_pruned() || matches!(dtype.0, BOOL | U8 | I8 | I16 | U16 | I32 | U32 | I64 | U64)
}
