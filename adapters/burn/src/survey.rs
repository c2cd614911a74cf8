//! The parameters of a module, in the order in which burn visits them.

use std::any::Any;

use burn_core::module::{Module, ModuleVisitor, Param, Reparameterization};
use burn_core::tensor::{Bool, DType, Shape, Tensor};

use crate::error::Error;
use crate::mask::{PruneMask, masked_path};
use crate::paths::{Matcher, Paths};

/// A floating-point parameter. No tensor is copied, because burn counts references, and a lazy one is not initialized.
pub(crate) struct Entry {
    pub path: String,
    /// Without its mask.
    pub param: Box<dyn FloatParam>,
    pub mask: Option<Param<Tensor<1, Bool>>>,
    /// The name of a reparameterization that is not a mask.
    pub other: Option<String>,
}

/// A `Param<Tensor<D>>` of any `D`.
pub(crate) trait FloatParam {
    /// The shape; before a lazy parameter is initialized, that of its initializer.
    fn lazy_shape(&self) -> Shape;
    /// The shape, and the entries as a tensor with one axis, or their type if they are no floating-point numbers.
    fn flat(&self) -> Result<(Shape, Tensor<1>), DType>;
    /// The parameter, to be cast to its own type.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<const D: usize> FloatParam for Param<Tensor<D>> {
    fn lazy_shape(&self) -> Shape {
        Self::lazy_shape(self)
    }

    fn flat(&self) -> Result<(Shape, Tensor<1>), DType> {
        let base = self.base().without_autodiff();
        let (dtype, shape) = (base.dtype(), base.shape());
        if !dtype.is_float() {
            return Err(dtype);
        }
        let entries = shape.num_elements();
        Ok((shape, base.reshape([entries])))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl Entry {
    /// The shape and the entries of a parameter that a mask can be made for.
    pub fn flat(&self) -> Result<(Shape, Tensor<1>), Error> {
        self.check()?;
        self.param.flat().map_err(|dtype| Error::UnsupportedDtype { path: self.path.clone(), dtype })
    }

    /// Rejects a parameter that can have no mask.
    pub fn check(&self) -> Result<(), Error> {
        match &self.other {
            Some(name) => Err(Error::OtherReparameterization { path: self.path.clone(), name: name.clone() }),
            None => Ok(()),
        }
    }
}

/// Returns all floating-point parameters.
pub(crate) fn survey<M: Module>(module: &M) -> Vec<Entry> {
    let mut survey = Survey { path: Vec::new(), entries: Vec::new() };
    module.visit(&mut survey);
    survey.entries
}

/// Returns the selected parameters, and what they are selected by.
pub(crate) fn select<M: Module>(module: &M, paths: impl Into<Paths>) -> Result<(Matcher, Vec<Entry>), Error> {
    let (matcher, mut entries) = (paths.into().compile()?, survey(module));
    matcher.check(&entries.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>())?;
    entries.retain(|entry| matcher.selects(&entry.path));
    Ok((matcher, entries))
}

struct Survey {
    path: Vec<String>,
    entries: Vec<Entry>,
}

impl ModuleVisitor for Survey {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        // burn visits the reparameterization of a parameter directly after it, under the same path.
        if container_type == "Reparameterization" && name != PruneMask::NAME {
            let path = self.path.join(".");
            if let Some(entry) = self.entries.iter_mut().rev().find(|entry| entry.path == path) {
                entry.other = Some(name.to_owned());
            }
        }
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.entries.push(Entry { path: self.path.join("."), param: Box::new(param.clone()), mask: None, other: None });
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        let Some(path) = masked_path(&self.path).map(|path| path.join(".")) else { return };
        let mask = (param as &dyn Any).downcast_ref::<Param<Tensor<1, Bool>>>();
        if let Some(entry) = self.entries.iter_mut().rev().find(|entry| entry.path == path) {
            entry.mask = mask.cloned();
        }
    }
}
