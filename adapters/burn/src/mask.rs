//! The mask as a reparameterization of burn, and how it comes to a parameter.

use std::any::Any;
use std::collections::HashMap;

use burn_core as burn;
use burn_core::module::{Module, ModuleMapper, Param, ParamId, Reparameterization, Reparameterizer};
use burn_core::tensor::{Bool, Device, FloatDType, Tensor, TensorData};
use ndarray::ArrayD;
use prune::Mask;

/// The name of the field that holds the mask, and so the last part of its path.
const FIELD: &str = "kept";

/// The mask of a pruned parameter: its value is `base * mask`.
///
/// [`Param::base`] is the tensor that the optimizer trains, `weight_orig` in PyTorch, and [`Param::val`] is its product with the
/// mask, which every layer computes with. The state is one tensor of `bool` with as many entries as the parameter, in row-major
/// order: `weight.prune.kept` in records. It moves with the module, is saved with it, and is no parameter for an optimizer.
///
/// ```
/// # use burn::nn::LinearConfig;
/// # use burn::prelude::*;
/// use prune_burn::PruneMask;
///
/// let layer = LinearConfig::new(4, 2).init(&Device::default());
/// let layer = prune_burn::l1_unstructured(layer, "weight", 3)?;
/// let mask = layer.weight.reparameterization::<PruneMask>().expect("it is pruned");
/// assert_eq!(mask.kept().int().sum().into_scalar::<i64>(), 5);
/// # Ok::<(), prune_burn::Error>(())
/// ```
#[derive(Module, Debug)]
pub struct PruneMask {
    kept: Param<Tensor<1, Bool>>,
}

impl PruneMask {
    /// Returns the mask, `true` = kept, of shape `[entries]`.
    pub fn kept(&self) -> Tensor<1, Bool> {
        self.kept.val()
    }
}

impl Reparameterization for PruneMask {
    const NAME: &'static str = "prune";

    /// Multiplies, as PyTorch does: a pruned -2 is -0.0, and a pruned infinity is NaN.
    fn apply<const D: usize>(&self, base: Tensor<D>) -> Tensor<D> {
        let kept = self.kept.val().reshape(base.shape());
        let dtype = base.dtype();
        // A base that was quantized after pruning has no type that a mask could have.
        let mask = if dtype.is_float() { kept.cast(FloatDType::from(dtype)) } else { kept.float() };
        base * mask
    }
}

/// The path of the parameter to which the tensor at this path is the mask.
pub(crate) fn masked_path(path: &[String]) -> Option<&[String]> {
    match path {
        [parameter @ .., name, field] if name == PruneMask::NAME && field == FIELD => Some(parameter),
        _ => None,
    }
}

/// The path of the mask of a parameter, in a record.
pub(crate) fn mask_path(parameter: &str) -> String {
    let dot = if parameter.is_empty() { "" } else { "." };
    format!("{parameter}{dot}{}.{FIELD}", PruneMask::NAME)
}

/// The path of the parameter to which the tensor of this name is the mask.
pub(crate) fn parameter_of(mask: &str) -> Option<&str> {
    let parameter = mask.strip_suffix(&mask_path(""))?;
    if parameter.is_empty() { Some(parameter) } else { parameter.strip_suffix('.') }
}

/// A mask as burn stores it. The entries are moved.
fn tensor(mask: Mask, device: &Device) -> Tensor<1, Bool> {
    let kept = ArrayD::<bool>::from(mask);
    let entries = kept.len();
    // The array of a mask is in standard layout, so its memory is its entries.
    let (kept, _) = kept.into_raw_vec_and_offset();
    Tensor::from_data(TensorData::new(kept, [entries]), device)
}

/// Gives parameters that have no mask one, by their paths.
pub(crate) struct Attach {
    pub masks: HashMap<String, Mask>,
}

impl Reparameterizer for Attach {
    type Reparam = PruneMask;

    fn reparameterize<const D: usize>(
        &mut self,
        path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<PruneMask>) {
        let mask = self.masks.remove(path).map(|mask| {
            let kept = tensor(mask, &param.lazy_device());
            PruneMask { kept: Param::initialized(ParamId::new(), kept) }
        });
        (param, mask)
    }
}

/// Replaces masks of parameters that have one. burn keeps the old mask when it is given a second one for a parameter, so the new
/// entries go into the tensor of the old mask.
pub(crate) struct Replace {
    pub masks: HashMap<String, Mask>,
    pub path: Vec<String>,
}

impl ModuleMapper for Replace {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_bool<const D: usize>(&mut self, param: Param<Tensor<D, Bool>>) -> Param<Tensor<D, Bool>> {
        let new = masked_path(&self.path).and_then(|parameter| self.masks.remove(&parameter.join(".")));
        match new {
            // A mask has one axis, so this is no change of its shape.
            Some(mask) => param.map(|old| tensor(mask, &old.device()).reshape(old.shape())),
            None => param,
        }
    }
}

/// Gives parameters back the tensor and the mask that they had before masks were merged into them.
pub(crate) struct Restore {
    /// By path.
    pub parameters: HashMap<String, Saved>,
}

/// A `Param<Tensor<D>>` of some `D`, and its mask.
pub(crate) type Saved = (Box<dyn Any>, Param<Tensor<1, Bool>>);

impl Reparameterizer for Restore {
    type Reparam = PruneMask;

    fn reparameterize<const D: usize>(
        &mut self,
        path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<PruneMask>) {
        let saved = self.parameters.remove(path);
        match saved.and_then(|(base, kept)| Some((base.downcast::<Param<Tensor<D>>>().ok()?, kept))) {
            Some((base, kept)) => (*base, Some(PruneMask { kept })),
            None => (param, None),
        }
    }
}
