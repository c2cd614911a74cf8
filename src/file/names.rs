//! The names that a parameter and its mask have in a file.

/// PyTorch's suffix for the original of a pruned parameter.
const ORIG_SUFFIX: &str = "_orig";
/// PyTorch's suffix for the mask of a pruned parameter.
const MASK_SUFFIX: &str = "_mask";
/// The suffix that a mask file gives to the bits of a mask.
pub(crate) const BITS: &str = "_mask_bits";
/// The suffix that a mask file gives to the shape of a mask.
pub(crate) const SHAPE: &str = "_mask_shape";
/// The name that the format reserves for metadata.
pub(crate) const RESERVED: &str = "__metadata__";

/// Returns the name of the original of a pruned parameter.
pub(crate) fn orig(parameter: &str) -> String {
    format!("{parameter}{ORIG_SUFFIX}")
}

/// Returns the name of the mask of a pruned parameter.
pub(crate) fn mask(parameter: &str) -> String {
    format!("{parameter}{MASK_SUFFIX}")
}

/// Returns the name of the parameter that a tensor would be the original or the mask of.
///
/// No name ends in both suffixes, so every tensor belongs to at most one pruned parameter.
pub(crate) fn pruned(tensor: &str) -> Option<&str> {
    tensor.strip_suffix(ORIG_SUFFIX).or_else(|| tensor.strip_suffix(MASK_SUFFIX))
}

/// The part that a tensor of a file has in a parameter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'n, T> {
    /// An unpruned parameter of the same name.
    Plain,
    /// The original of a pruned parameter.
    Orig { parameter: &'n str, mask: T },
    /// The mask of a pruned parameter.
    Mask,
    /// An unpruned parameter that the file also has as a pruned one.
    PlainAndPruned,
}

impl<'n, T> Part<'n, T> {
    /// Pairs a tensor with its counterpart, if the file has both the original and the mask of a parameter.
    ///
    /// `find` looks a tensor up by its name; `is_pair` decides if an original and a mask belong together.
    pub(crate) fn of(tensor: &'n str, find: impl Fn(&str) -> Option<T>, is_pair: impl Fn(&T, &T) -> bool) -> Self {
        let pair = |parameter: &str| {
            let (orig, mask) = (find(&orig(parameter))?, find(&mask(parameter))?);
            is_pair(&orig, &mask).then_some((orig, mask))
        };
        if pair(tensor).is_some() {
            return Self::PlainAndPruned;
        }
        match pruned(tensor).and_then(|parameter| Some((parameter, pair(parameter)?))) {
            Some((parameter, (_, mask))) if tensor.ends_with(ORIG_SUFFIX) => Self::Orig { parameter, mask },
            Some(_) => Self::Mask,
            None => Self::Plain,
        }
    }
}

/// The part that a tensor of a mask file has in a mask, with the name of the parameter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MaskPart<'n> {
    /// The shape of the mask.
    Shape(&'n str),
    /// The bits of the mask.
    Bits(&'n str),
}

impl<'n> MaskPart<'n> {
    /// Returns the part that a tensor has by its name, if it has one.
    pub(crate) fn of(tensor: &'n str) -> Option<Self> {
        let shape = tensor.strip_suffix(SHAPE).map(Self::Shape);
        shape.or_else(|| tensor.strip_suffix(BITS).map(Self::Bits))
    }

    /// Returns the name of the tensor with the other part.
    pub(crate) fn counterpart(&self) -> String {
        match self {
            Self::Shape(parameter) => format!("{parameter}{BITS}"),
            Self::Bits(parameter) => format!("{parameter}{SHAPE}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part<'n>(tensor: &'n str, file: &[&'static str]) -> Part<'n, &'static str> {
        Part::of(tensor, |name| file.iter().copied().find(|found| *found == name), |_, mask| *mask != "i_mask")
    }

    #[test]
    fn only_a_pair_is_a_pruned_parameter() {
        let file = ["a_orig", "a_mask", "b_orig", "c_mask", "i_orig", "i_mask", "i"];
        assert_eq!(part("a_orig", &file), Part::Orig { parameter: "a", mask: "a_mask" });
        assert_eq!(part("a_mask", &file), Part::Mask);
        for tensor in ["b_orig", "c_mask", "i_orig", "i_mask", "i"] {
            assert_eq!(part(tensor, &file), Part::Plain, "{tensor}");
        }
        assert_eq!(part("a", &file), Part::PlainAndPruned);
    }

    #[test]
    fn suffixes_are_stripped_once() {
        let file = ["a_mask_orig", "a_mask_mask", "a_orig", "_orig", "_mask"];
        assert_eq!(part("a_mask_mask", &file), Part::Mask);
        assert_eq!(part("a_orig", &file), Part::Plain);
        assert_eq!(part("_orig", &file), Part::Orig { parameter: "", mask: "_mask" });
    }

    #[test]
    fn shape_and_bits_are_counterparts() {
        for (tensor, part, counterpart) in [
            ("a_mask_shape", MaskPart::Shape("a"), "a_mask_bits"),
            ("a_mask_bits", MaskPart::Bits("a"), "a_mask_shape"),
            ("a_mask_bits_mask_shape", MaskPart::Shape("a_mask_bits"), "a_mask_bits_mask_bits"),
            ("_mask_bits", MaskPart::Bits(""), "_mask_shape"),
        ] {
            assert_eq!(MaskPart::of(tensor).as_ref(), Some(&part));
            assert_eq!(part.counterpart(), counterpart);
        }
        assert_eq!(MaskPart::of("a_mask"), None);
    }
}
