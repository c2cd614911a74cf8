use std::collections::HashSet;
use std::path::Path;

use crate::element::Element;
use crate::file::error::StateDictError;
use crate::file::open;
use crate::file::tensors::File;
use crate::module::Module;
use crate::safetensors::report::LoadReport;
use crate::safetensors::state_dict::{check_unique, names_of};
use crate::safetensors::stored::{State, Stored};
use crate::store::ParameterStore;

/// The parameters of a safetensors file, in its order, and what of the file cannot be a parameter of type `A`.
///
/// Nothing can be missing or unexpected. What is pruned in the file is pruned here, its history being one
/// `CustomFromMask`.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("layer.safetensors");
/// # let mut layer = prune::ParameterStore::from_iter([("weight", ndarray::Array2::<f32>::ones((4, 4)))]);
/// # prune::l1_unstructured(&mut layer, "weight", 0.5)?;
/// # prune::safetensors::save_file(&layer, &path)?;
/// let (mut layer, report) = prune::safetensors::load_file::<f32>(&path)?;
/// assert_eq!(report.applied, ["weight_orig", "weight_mask"]);
/// prune::l1_unstructured(&mut layer, "weight", 0.5)?; // a half of the half that is left
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`StateDictError::Read`], and those of [`from_bytes`].
pub fn load_file<A: Element>(path: impl AsRef<Path>) -> Result<(ParameterStore<A>, LoadReport), StateDictError> {
    from_bytes(&read_file(path.as_ref())?)
}

/// [`load_file`] of a file in memory.
///
/// # Errors
///
/// For bytes that are not a valid file: [`StateDictError::Truncated`], [`StateDictError::TrailingBytes`],
/// [`StateDictError::HeaderTooLarge`], [`StateDictError::InvalidHeader`], [`StateDictError::DuplicateName`],
/// [`StateDictError::InvalidLayout`], [`StateDictError::ImpossibleShape`]. For a valid file that is not a state dict:
/// [`StateDictError::PrunedAndPlain`], [`StateDictError::MaskValue`], and [`StateDictError::ShapeMismatch`] between the two
/// halves of a pruned parameter.
pub fn from_bytes<A: Element>(bytes: &[u8]) -> Result<(ParameterStore<A>, LoadReport), StateDictError> {
    let file = File::parse(bytes)?;
    let State { parameters, skipped } = State::of::<A>(&file, &HashSet::new())?;
    let mut report = LoadReport { skipped, ..LoadReport::default() };
    let mut store = ParameterStore::new();
    for (name, stored) in parameters {
        store.insert(name, stored.parameter()?);
        report.applied.extend(stored.names());
    }
    Ok((store, report))
}

/// Loads a safetensors file into a module, by name, as `load_state_dict(strict=False)` does.
///
/// A pruned state makes a parameter pruned that was not, and replaces original and mask of one that was; either way the
/// history is then one `CustomFromMask`, since nothing that it held made this mask. An unpruned state leaves a pruned
/// parameter as it is: [`remove`](crate::remove) the pruning first.
///
/// # Errors
///
/// [`StateDictError::Read`], and those of [`load_into`].
pub fn load_file_into<M: Module + ?Sized>(
    module: &mut M,
    path: impl AsRef<Path>,
) -> Result<LoadReport, StateDictError> {
    load_into(module, &read_file(path.as_ref())?)
}

/// [`load_file_into`] from a file in memory.
///
/// # Errors
///
/// Those of [`from_bytes`]; [`StateDictError::ShapeMismatch`] when a tensor does not have the shape of its parameter;
/// [`StateDictError::NameClash`] when the module has two parameters of one name. The module is then as it was.
pub fn load_into<M: Module + ?Sized>(module: &mut M, bytes: &[u8]) -> Result<LoadReport, StateDictError> {
    let file = File::parse(bytes)?;
    let mut parameters = module.named_parameters_mut();
    check_unique(parameters.iter().map(|(name, _)| name))?;
    let own = parameters.iter().map(|(name, _)| name.as_str()).collect();
    let State { parameters: stored, skipped } = State::of::<M::Elem>(&file, &own)?;

    let mut report = LoadReport { skipped, ..LoadReport::default() };
    let mut stored: indexmap::IndexMap<&str, Option<Stored<'_>>> =
        stored.into_iter().map(|(name, stored)| (name, Some(stored))).collect();
    let mut loaded = Vec::with_capacity(parameters.len());
    for (name, parameter) in &parameters {
        let fits = |stored: &mut Stored<'_>| stored.is_pruned() || !parameter.is_pruned();
        match stored.get_mut(name.as_str()).and_then(|stored| stored.take_if(fits)) {
            None => {
                report.missing.extend(names_of(name, parameter));
                loaded.push(None);
            }
            Some(stored) => {
                stored.check_shape(parameter.value().shape())?;
                loaded.push(Some(stored.parameter()?));
                report.applied.extend(stored.names());
            }
        }
    }
    report.unexpected = stored.into_values().flatten().flat_map(|stored| stored.names()).collect();

    for ((_, parameter), loaded) in parameters.iter_mut().zip(loaded) {
        if let Some(loaded) = loaded {
            **parameter = loaded;
        }
    }
    Ok(report)
}

pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, StateDictError> {
    open::read(path).map_err(|source| StateDictError::Read { path: path.to_owned(), source })
}
