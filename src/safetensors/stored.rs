//! From the tensors of a file to parameters that may be pruned.

use std::collections::HashSet;

use ::safetensors::Dtype;
use indexmap::IndexMap;

use crate::element::Element;
use crate::file::error::StateDictError;
use crate::file::names;
use crate::file::tensors::{File, MaskReader, Tensor};
use crate::parameter::Parameter;
use crate::safetensors::report::{SkipReason, Skipped};

/// A parameter as a file holds it.
#[derive(Debug)]
pub(super) enum Stored<'f> {
    Plain(Tensor<'f>),
    Pruned { orig: Tensor<'f>, mask: Tensor<'f>, read: MaskReader },
}

/// The parameters that a file holds, in its order, and the tensors that cannot be any.
#[derive(Debug, Default)]
pub(super) struct State<'f> {
    pub(super) parameters: IndexMap<&'f str, Stored<'f>>,
    pub(super) skipped: Vec<Skipped>,
}

impl<'f> State<'f> {
    /// Sorts the tensors of a file for parameters of type `A`.
    ///
    /// Names that the module has as they are, its `own`, are ordinary ones whatever they end in.
    pub(super) fn of<A: Element>(file: &'f File<'_>, own: &HashSet<&str>) -> Result<Self, StateDictError> {
        let tensors = file.by_name();
        let half = |name: String| tensors.get(name.as_str()).copied().filter(|half| !own.contains(half.name));
        let halves = |parameter: &str| half(names::orig(parameter)).zip(half(names::mask(parameter)));

        let mut state = Self::default();
        for tensor in file.tensors() {
            if halves(tensor.name).is_some() {
                return Err(StateDictError::PrunedAndPlain { parameter: tensor.name.to_owned() });
            }
            let parameter = names::pruned(tensor.name).filter(|_| !own.contains(tensor.name));
            match parameter.and_then(|parameter| Some(parameter).zip(halves(parameter))) {
                None => state.add_plain(tensor, A::STORED),
                Some((parameter, (orig, mask))) if orig.name == tensor.name => {
                    state.add_pruned(parameter, orig, mask, A::STORED);
                }
                Some(_) => {} // a mask, which was or will be added with its original
            }
        }
        Ok(state)
    }

    fn add_plain(&mut self, tensor: Tensor<'f>, expected: Dtype) {
        if tensor.dtype == expected {
            self.parameters.insert(tensor.name, Stored::Plain(tensor));
        } else {
            self.skip(tensor, other_dtype(tensor, expected));
        }
    }

    fn add_pruned(&mut self, parameter: &'f str, orig: Tensor<'f>, mask: Tensor<'f>, expected: Dtype) {
        let counterpart = |half: Tensor<'_>| SkipReason::Counterpart { tensor: half.name.to_owned() };
        if orig.dtype != expected {
            self.skip(orig, other_dtype(orig, expected));
            self.skip(mask, counterpart(orig));
        } else if let Some(read) = mask.mask_reader() {
            self.parameters.insert(parameter, Stored::Pruned { orig, mask, read });
        } else {
            self.skip(orig, counterpart(mask));
            self.skip(mask, SkipReason::MaskDtype { found: mask.dtype.to_string() });
        }
    }

    fn skip(&mut self, tensor: Tensor<'_>, reason: SkipReason) {
        self.skipped.push(Skipped { tensor: tensor.name.to_owned(), reason });
    }
}

fn other_dtype(tensor: Tensor<'_>, expected: Dtype) -> SkipReason {
    SkipReason::Dtype { expected: expected.to_string(), found: tensor.dtype.to_string() }
}

impl Stored<'_> {
    pub(super) fn is_pruned(&self) -> bool {
        matches!(self, Self::Pruned { .. })
    }

    /// The tensors that it is made of.
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::Plain(tensor) => vec![tensor.name.to_owned()],
            Self::Pruned { orig, mask, .. } => vec![orig.name.to_owned(), mask.name.to_owned()],
        }
    }

    /// `Ok` when it has the shape of the parameter that it is for.
    pub(super) fn check_shape(&self, expected: &[usize]) -> Result<(), StateDictError> {
        match self {
            Self::Plain(tensor) | Self::Pruned { orig: tensor, .. } => tensor.check_shape(expected),
        }
    }

    /// The parameter, whose type has the dtype that this was sorted for.
    pub(super) fn parameter<A: Element>(&self) -> Result<Parameter<A>, StateDictError> {
        match self {
            Self::Plain(tensor) => Ok(Parameter::new(tensor.array()?)),
            Self::Pruned { orig, mask, read } => {
                mask.check_shape(orig.shape)?;
                Ok(Parameter::restored(orig.array()?, read(mask)?))
            }
        }
    }
}
