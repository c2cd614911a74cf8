//! The masks and the sparsity of a module.

use std::collections::BTreeMap;
use std::fmt;

use burn_core::module::{Module, Param};
use burn_core::tensor::{Bool, Tensor};
use ndarray::{ArrayD, IxDyn};
use prune::Mask;

use crate::decide::slice;
use crate::error::Error;
use crate::survey::survey;

/// Returns `true` if a parameter of the module has a mask, even one that keeps every entry, like
/// [`torch.nn.utils.prune.is_pruned`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.is_pruned.html).
pub fn is_pruned<M: Module>(module: &M) -> bool {
    survey(module).iter().any(|entry| entry.mask.is_some())
}

/// Returns the masks of a module by the paths of their parameters, copied from their devices.
///
/// ```
/// # use burn::nn::LinearConfig;
/// # use burn::prelude::*;
/// # let layer = LinearConfig::new(8, 4).init(&Device::default());
/// let layer = prune_burn::l1_unstructured(layer, "weight", 0.5)?;
/// let masks = prune_burn::masks(&layer)?;
/// assert_eq!((masks.len(), masks["weight"].shape(), masks["weight"].kept()), (1, &[8, 4][..], 16));
/// # Ok::<(), prune_burn::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Read`] if a mask cannot be copied from its device.
pub fn masks<M: Module>(module: &M) -> Result<BTreeMap<String, Mask>, Error> {
    let mut masks = BTreeMap::new();
    for entry in survey(module) {
        if let Some(mask) = &entry.mask {
            let kept = ArrayD::from_shape_vec(IxDyn(entry.param.lazy_shape().as_slice()), kept(mask, &entry.path)?);
            masks.insert(entry.path.clone(), kept.map_err(Error::read(&entry.path))?.into());
        }
    }
    Ok(masks)
}

/// Returns how many entries of each floating-point parameter are pruned.
///
/// Masks are counted, not zeros: after [`remove`](crate::remove) nothing is pruned.
///
/// # Errors
///
/// [`Error::Read`] if a mask cannot be copied from its device.
pub fn sparsity<M: Module>(module: &M) -> Result<Sparsity, Error> {
    let mut parameters = Vec::new();
    for entry in survey(module) {
        let pruned = match &entry.mask {
            Some(mask) => kept(mask, &entry.path)?.iter().filter(|kept| !**kept).count(),
            None => 0,
        };
        parameters.push(ParameterSparsity {
            entries: entry.param.lazy_shape().num_elements(),
            path: entry.path,
            pruned,
        });
    }
    Ok(Sparsity { parameters })
}

/// The entries of a mask, on the host.
fn kept(mask: &Param<Tensor<1, Bool>>, path: &str) -> Result<Vec<bool>, Error> {
    let data = mask.val().try_into_data().map_err(Error::read(path))?;
    Ok(slice::<bool>(&data, path)?.into_owned())
}

/// The pruned entries of a module: one line for each parameter, and totals. Displays as a table.
///
/// ```
/// # use burn::nn::LinearConfig;
/// # use burn::prelude::*;
/// # let layer = LinearConfig::new(8, 4).init(&Device::default());
/// let layer = prune_burn::l1_unstructured(layer, "weight", 0.5)?;
/// let table = "\
/// parameter  entries  pruned  sparsity
/// weight          32      16    50.0 %
/// bias             4       0     0.0 %
/// total           36      16    44.4 %
/// ";
/// assert_eq!(prune_burn::sparsity(&layer)?.to_string(), table);
/// # Ok::<(), prune_burn::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sparsity {
    /// The floating-point parameters, in the order of the module.
    pub parameters: Vec<ParameterSparsity>,
}

/// The pruned entries of one parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParameterSparsity {
    /// The path in the module.
    pub path: String,
    /// The number of entries.
    pub entries: usize,
    /// The number of entries that the mask prunes.
    pub pruned: usize,
}

impl Sparsity {
    /// Returns the number of entries of all parameters.
    pub fn entries(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.entries).sum()
    }

    /// Returns the number of entries that the masks prune.
    pub fn pruned(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.pruned).sum()
    }

    /// Returns the fraction of all entries that is pruned, from 0.0 to 1.0; 0.0 if there are no entries.
    pub fn fraction(&self) -> f64 {
        fraction(self.pruned(), self.entries())
    }
}

impl ParameterSparsity {
    /// Returns the fraction of the entries that is pruned, from 0.0 to 1.0; 0.0 if there are no entries.
    pub fn fraction(&self) -> f64 {
        fraction(self.pruned, self.entries)
    }
}

fn fraction(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl fmt::Display for Sparsity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths = self.parameters.iter().map(|parameter| parameter.path.chars().count());
        let path_width = paths.chain(["parameter".len()]).max().unwrap_or_default();
        let digits = |count: usize, title: &str| count.to_string().len().max(title.len());
        let (entries_width, pruned_width) = (digits(self.entries(), "entries"), digits(self.pruned(), "pruned"));
        let mut line = |path: &str, entries: &str, pruned: &str, sparsity: &str| {
            writeln!(f, "{path:path_width$}  {entries:>entries_width$}  {pruned:>pruned_width$}  {sparsity:>8}")
        };
        line("parameter", "entries", "pruned", "sparsity")?;
        let total = ParameterSparsity { path: "total".to_owned(), entries: self.entries(), pruned: self.pruned() };
        for parameter in self.parameters.iter().chain([&total]) {
            let percent = format!("{:.1} %", 100.0 * parameter.fraction());
            line(&parameter.path, &parameter.entries.to_string(), &parameter.pruned.to_string(), &percent)?;
        }
        Ok(())
    }
}
