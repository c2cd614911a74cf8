//! The parameters that the tensors of a file make up.

use std::collections::HashSet;

use ::safetensors::Dtype;
use indexmap::IndexMap;

use crate::element::Element;
use crate::file::error::StateDictError;
use crate::file::names::Part;
use crate::file::tensors::{FileView, MaskReader, TensorView};
use crate::parameter::Parameter;
use crate::safetensors::report::{SkipReason, Skipped};

/// A parameter as a file stores it.
#[derive(Debug)]
pub(super) enum StoredParameter<'f> {
    Plain(TensorView<'f>),
    Pruned { orig: TensorView<'f>, mask: TensorView<'f>, read: MaskReader },
}

/// The parameters of a file, in its order, and the tensors that cannot be part of one.
#[derive(Debug, Default)]
pub(super) struct StoredParameters<'f> {
    pub(super) parameters: IndexMap<&'f str, StoredParameter<'f>>,
    pub(super) skipped: Vec<Skipped>,
}

impl<'f> StoredParameters<'f> {
    /// Sorts the tensors of a file for parameters of type `A`.
    ///
    /// A tensor with one of the names that the module has, its `own`, is a plain one whatever its suffix.
    pub(super) fn of<A: Element>(file: &'f FileView<'_>, own: &HashSet<&str>) -> Result<Self, StateDictError> {
        let tensors = file.by_name();
        let find = |name: &str| tensors.get(name).copied().filter(|tensor| !own.contains(tensor.name));

        let mut stored = Self::default();
        for tensor in file.tensors() {
            match Part::of(tensor.name, find, |_, _| true) {
                Part::Plain => stored.add_plain(tensor, A::STORED),
                Part::Orig { parameter, mask } => stored.add_pruned(parameter, tensor, mask, A::STORED),
                Part::Mask => {} // added with its original
                Part::PlainAndPruned => {
                    return Err(StateDictError::PrunedAndPlain { parameter: tensor.name.to_owned() });
                }
            }
        }
        Ok(stored)
    }

    fn add_plain(&mut self, tensor: TensorView<'f>, expected: Dtype) {
        if tensor.dtype == expected {
            self.parameters.insert(tensor.name, StoredParameter::Plain(tensor));
        } else {
            self.skip(tensor, other_dtype(tensor, expected));
        }
    }

    fn add_pruned(&mut self, parameter: &'f str, orig: TensorView<'f>, mask: TensorView<'f>, expected: Dtype) {
        let counterpart = |skipped: TensorView<'_>| SkipReason::Counterpart { tensor: skipped.name.to_owned() };
        if orig.dtype != expected {
            self.skip(orig, other_dtype(orig, expected));
            self.skip(mask, counterpart(orig));
        } else if let Some(read) = mask.mask_reader() {
            self.parameters.insert(parameter, StoredParameter::Pruned { orig, mask, read });
        } else {
            self.skip(orig, counterpart(mask));
            self.skip(mask, SkipReason::MaskDtype { found: mask.dtype.to_string() });
        }
    }

    fn skip(&mut self, tensor: TensorView<'_>, reason: SkipReason) {
        self.skipped.push(Skipped { tensor: tensor.name.to_owned(), reason });
    }
}

fn other_dtype(tensor: TensorView<'_>, expected: Dtype) -> SkipReason {
    SkipReason::Dtype { expected: expected.to_string(), found: tensor.dtype.to_string() }
}

impl StoredParameter<'_> {
    pub(super) fn is_pruned(&self) -> bool {
        matches!(self, Self::Pruned { .. })
    }

    /// Returns the names of its tensors.
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::Plain(tensor) => vec![tensor.name.to_owned()],
            Self::Pruned { orig, mask, .. } => vec![orig.name.to_owned(), mask.name.to_owned()],
        }
    }

    /// Returns an error unless it has the shape of its parameter.
    pub(super) fn check_shape(&self, expected: &[usize]) -> Result<(), StateDictError> {
        match self {
            Self::Plain(tensor) | Self::Pruned { orig: tensor, .. } => tensor.check_shape(expected),
        }
    }

    /// Copies the parameter from the file. Its type has the dtype that the tensors were sorted for.
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
