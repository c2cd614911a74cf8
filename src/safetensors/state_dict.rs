use std::borrow::Cow;
use std::collections::HashSet;

use ndarray::{ArrayD, ArrayViewD};

use crate::element::Element;
use crate::file::elements::encode;
use crate::file::error::StateDictError;
use crate::file::names;
use crate::module::{Module, NamedParameters};
use crate::parameter::Parameter;
use crate::tensor::flat;

/// The tensors of a module and the names that they have in a file, in the order of the module.
pub type StateDict<'a, A> = Vec<(String, Entry<'a, A>)>;

/// A tensor of a [`StateDict`].
#[derive(Debug, Clone)]
pub enum Entry<'a, A> {
    /// An unpruned parameter.
    Tensor(ArrayViewD<'a, A>),
    /// The original of a pruned parameter, under the name `{parameter}_orig`.
    Orig(ArrayViewD<'a, A>),
    /// The mask of a pruned parameter, under the name `{parameter}_mask`.
    Mask(ArrayViewD<'a, bool>),
}

impl<A: Element> Entry<'_, A> {
    /// Returns the shape of the tensor.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Tensor(tensor) | Self::Orig(tensor) => tensor.shape(),
            Self::Mask(mask) => mask.shape(),
        }
    }

    /// Copies the tensor as a file stores it: a mask becomes zeros and ones in the dtype of the parameter, as in PyTorch.
    pub fn to_array(&self) -> ArrayD<A> {
        match self {
            Self::Tensor(tensor) | Self::Orig(tensor) => tensor.to_owned(),
            Self::Mask(mask) => mask.map(|&kept| number(kept)),
        }
    }

    /// Returns the bytes of [`to_array`](Self::to_array) in row-major order, borrowed if possible.
    pub(super) fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Tensor(tensor) | Self::Orig(tensor) => encode(flat(tensor)),
            Self::Mask(mask) => {
                let (zero, one) = ([A::zero()], [A::one()]);
                let (zero, one) = (encode(&zero), encode(&one));
                let mut bytes = Vec::with_capacity(mask.len() * size_of::<A>());
                for &kept in flat(mask) {
                    bytes.extend_from_slice(if kept { &one } else { &zero });
                }
                bytes.into()
            }
        }
    }
}

/// Returns the tensors of a module as a file stores them: PyTorch's
/// [`state_dict`](https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.state_dict).
///
/// A pruned `weight` becomes `weight_orig` and `weight_mask`, in its place. Other parameters keep their names.
///
/// ```
/// use ndarray::arr1;
/// use prune::ParameterStore;
/// use prune::safetensors::{StateDictError, state_dict};
///
/// let mut layer = ParameterStore::from_iter([("weight", arr1(&[1.0_f32, 2.0])), ("bias", arr1(&[3.0]))]);
/// layer["weight"].prune(prune::L1Unstructured::new(1)?)?;
///
/// let state = state_dict(&layer)?;
/// let names: Vec<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
/// assert_eq!(names, ["weight_orig", "weight_mask", "bias"]);
/// assert_eq!(state[1].1.to_array(), arr1(&[0.0, 1.0]).into_dyn());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// An error means that a file of these tensors would not be read as the same parameters:
///
/// - [`StateDictError::NameClash`] if two tensors would have one name.
/// - [`StateDictError::MistakenForPruned`] if two unpruned parameters are named like an original and its mask.
/// - [`StateDictError::ReservedName`] if an unpruned parameter is named `__metadata__`.
pub fn state_dict<M: Module + ?Sized>(module: &M) -> Result<StateDict<'_, M::Elem>, StateDictError> {
    let parameters = module.named_parameters();
    check_names(&parameters)?;
    let mut state = Vec::with_capacity(parameters.len());
    for (name, parameter) in parameters {
        match parameter.mask() {
            None => state.push((name, Entry::Tensor(parameter.value().view()))),
            Some(mask) => {
                state.push((names::orig(&name), Entry::Orig(parameter.orig().view())));
                state.push((names::mask(&name), Entry::Mask(mask.view())));
            }
        }
    }
    Ok(state)
}

/// Returns an error unless a file of these parameters is read as the same ones.
fn check_names<A: Element>(parameters: &NamedParameters<'_, A>) -> Result<(), StateDictError> {
    let (pruned, plain): (Vec<_>, Vec<_>) = parameters.iter().partition(|(_, parameter)| parameter.is_pruned());
    // The file does not have the plain name of a pruned parameter, but no other parameter may have it.
    let suffixed: Vec<String> = pruned.iter().flat_map(|(name, parameter)| names_of(name, parameter)).collect();
    check_unique(parameters.iter().map(|(name, _)| name).chain(&suffixed))?;

    let mut stems = HashSet::new();
    for (name, _) in plain {
        if name == names::RESERVED {
            return Err(StateDictError::ReservedName { name: name.clone() });
        }
        if let Some(stem) = names::pruned(name).filter(|stem| !stems.insert(*stem)) {
            return Err(StateDictError::MistakenForPruned { parameter: stem.to_owned() });
        }
    }
    Ok(())
}

/// Returns the names of the tensors that a file stores for a parameter.
pub(super) fn names_of<A: Element>(name: &str, parameter: &Parameter<A>) -> Vec<String> {
    if parameter.is_pruned() { vec![names::orig(name), names::mask(name)] } else { vec![name.to_owned()] }
}

/// Returns an error if a name occurs twice.
pub(super) fn check_unique<'a>(names: impl IntoIterator<Item = &'a String>) -> Result<(), StateDictError> {
    let mut seen = HashSet::new();
    match names.into_iter().find(|name| !seen.insert(*name)) {
        Some(repeated) => Err(StateDictError::NameClash { name: repeated.clone() }),
        None => Ok(()),
    }
}

fn number<A: Element>(kept: bool) -> A {
    if kept { A::one() } else { A::zero() }
}
