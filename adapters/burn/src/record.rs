//! Records with masks are loaded into modules without.

use std::collections::HashSet;
use std::path::Path;

use burn_core::module::Module;
use burn_core::store::{ModuleRecord, RecordError};
use burn_pack::Reader;

use crate::apply::keep_all;
use crate::error::Error;
use crate::mask::parameter_of;
use crate::survey::survey;

/// Loads a record from a file into a module, and gives each parameter a mask that has one in the record.
///
/// burn's own [`Module::load_file`] loads a pruned record into a module whose masks are on the same parameters, and refuses
/// any other: it names `weight.prune.kept` as unused. This function reads the names in the file first.
///
/// ```
/// # use burn::nn::LinearConfig;
/// # use burn::prelude::*;
/// # let directory = tempfile::tempdir()?;
/// # let file = directory.path().join("layer.bpk");
/// # let device = Device::default();
/// let layer = prune_burn::l1_unstructured(LinearConfig::new(8, 4).init(&device), "weight", 0.5)?;
/// layer.clone().save_file(&file)?;
///
/// let loaded = prune_burn::load_file(LinearConfig::new(8, 4).init(&device), &file)?;
/// assert_eq!(prune_burn::masks(&loaded)?, prune_burn::masks(&layer)?);
/// let sparser = prune_burn::l1_unstructured(loaded, "weight", 0.5)?; // goes on from there
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`Error::Record`] if the file cannot be read or does not fit the module, a mask that only the module has included;
/// [`Error::OtherReparameterization`] if a parameter has a mask in the record and another reparameterization in the module.
pub fn load_file<M: Module>(module: M, path: impl AsRef<Path>) -> Result<M, Error> {
    let path = path.as_ref();
    let reader = Reader::from_file(path).map_err(RecordError::from)?; // its header only
    let masked: HashSet<_> = reader.tensor_names().into_iter().filter_map(parameter_of).collect();
    let mut entries = survey(&module);
    entries.retain(|entry| entry.mask.is_none() && masked.contains(entry.path.as_str()));
    entries.iter().try_for_each(|entry| entry.check())?;
    Ok(keep_all(module, &entries).try_load_record(ModuleRecord::load(path)?)?)
}
