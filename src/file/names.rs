//! The names that a parameter has in a file.

/// What PyTorch appends to the name of a pruned parameter for its original.
const ORIG_SUFFIX: &str = "_orig";
/// What PyTorch appends to the name of a pruned parameter for its mask.
const MASK_SUFFIX: &str = "_mask";
/// What a mask file appends to the name of a parameter for the packed bits of its mask.
pub(crate) const BITS: &str = "_mask_bits";
/// What a mask file appends to the name of a parameter for the shape of its mask.
pub(crate) const SHAPE: &str = "_mask_shape";
/// What the format keeps for itself.
pub(crate) const RESERVED: &str = "__metadata__";

pub(crate) fn orig(parameter: &str) -> String {
    format!("{parameter}{ORIG_SUFFIX}")
}

pub(crate) fn mask(parameter: &str) -> String {
    format!("{parameter}{MASK_SUFFIX}")
}

/// The parameter that a tensor would be the original or the mask of, by its name.
///
/// No name ends in both suffixes, so every tensor belongs to at most one pruned parameter.
pub(crate) fn pruned(tensor: &str) -> Option<&str> {
    tensor.strip_suffix(ORIG_SUFFIX).or_else(|| tensor.strip_suffix(MASK_SUFFIX))
}
