use std::collections::HashSet;
use std::path::Path;

use crate::element::Element;
use crate::file::error::StateDictError;
use crate::file::open;
use crate::file::tensors::FileView;
use crate::module::Module;
use crate::safetensors::report::LoadReport;
use crate::safetensors::state_dict::{check_unique, names_of};
use crate::safetensors::stored::{StoredParameter, StoredParameters};
use crate::store::ParameterStore;

/// Loads the parameters of a safetensors file, in its order, and reports the tensors that cannot be one of type `A`.
///
/// No tensor is reported as missing or unexpected. A parameter that is pruned in the file is pruned in the store, with
/// one `CustomFromMask` as its history. Packed files are read by [`load_packed`](crate::safetensors::load_packed): here, their
/// parts are tensors like any others.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("layer.safetensors");
/// # let mut layer = prune::ParameterStore::from_iter([("weight", ndarray::Array2::<f32>::ones((4, 4)))]);
/// # prune::l1_unstructured(&mut layer, "weight", 0.5)?;
/// # prune::safetensors::save_file(&layer, &path)?;
/// let (mut layer, report) = prune::safetensors::load_file::<f32>(&path)?;
/// assert_eq!(report.applied, ["weight_orig", "weight_mask"]);
/// prune::l1_unstructured(&mut layer, "weight", 0.5)?; // half of the remaining half
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`StateDictError::Read`] if the file cannot be read; any error of [`from_bytes`].
pub fn load_file<A: Element>(path: impl AsRef<Path>) -> Result<(ParameterStore<A>, LoadReport), StateDictError> {
    from_bytes(&read_file(path.as_ref())?)
}

/// Loads the parameters of a safetensors file in memory, like [`load_file`].
///
/// # Errors
///
/// If the bytes are not a valid file: [`StateDictError::OtherFormat`], [`StateDictError::Truncated`],
/// [`StateDictError::TrailingBytes`], [`StateDictError::HeaderTooLarge`], [`StateDictError::InvalidHeader`],
/// [`StateDictError::DuplicateName`], [`StateDictError::InvalidLayout`], [`StateDictError::ImpossibleShape`].
///
/// If the file is valid, but not a state dict: [`StateDictError::PrunedAndPlain`] if it has a parameter twice,
/// [`StateDictError::MaskValue`] if a mask has an entry other than 0 and 1, and [`StateDictError::ShapeMismatch`] if a mask
/// differs in shape from its original.
pub fn from_bytes<A: Element>(bytes: &[u8]) -> Result<(ParameterStore<A>, LoadReport), StateDictError> {
    let file = FileView::parse(bytes)?;
    let StoredParameters { parameters, skipped } = StoredParameters::of::<A>(&file, &HashSet::new())?;
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
/// A parameter that is pruned in the file becomes pruned in the module, or has its original and mask replaced. Its history
/// becomes one `CustomFromMask`, since the methods that made the mask are unknown. A parameter that is pruned only in the
/// module is unchanged: [`remove`](crate::remove) the pruning first.
///
/// # Errors
///
/// [`StateDictError::Read`] if the file cannot be read; any error of [`load_into`].
pub fn load_file_into<M: Module + ?Sized>(
    module: &mut M,
    path: impl AsRef<Path>,
) -> Result<LoadReport, StateDictError> {
    load_into(module, &read_file(path.as_ref())?)
}

/// Loads a safetensors file in memory into a module, like [`load_file_into`].
///
/// # Errors
///
/// Any error of [`from_bytes`]; [`StateDictError::ShapeMismatch`] if a tensor differs in shape from its parameter;
/// [`StateDictError::NameClash`] if the module has two parameters of one name. On an error, the module is unchanged.
pub fn load_into<M: Module + ?Sized>(module: &mut M, bytes: &[u8]) -> Result<LoadReport, StateDictError> {
    load_view(module, &FileView::parse(bytes)?, &[])
}

/// Loads a file of which these parameters must be loaded; others may be missing.
pub(super) fn load_view<M: Module + ?Sized>(
    module: &mut M,
    file: &FileView<'_>,
    required: &[String],
) -> Result<LoadReport, StateDictError> {
    let mut parameters = module.named_parameters_mut();
    check_unique(parameters.iter().map(|(name, _)| name))?;
    let own = parameters.iter().map(|(name, _)| name.as_str()).collect();
    let StoredParameters { parameters: stored, skipped } = StoredParameters::of::<M::Elem>(file, &own)?;

    let mut report = LoadReport { skipped, ..LoadReport::default() };
    let mut stored: indexmap::IndexMap<&str, Option<StoredParameter<'_>>> =
        stored.into_iter().map(|(name, stored)| (name, Some(stored))).collect();
    let mut loaded = Vec::with_capacity(parameters.len());
    for (name, parameter) in &parameters {
        let fits = |stored: &mut StoredParameter<'_>| stored.is_pruned() || !parameter.is_pruned();
        match stored.get_mut(name.as_str()).and_then(|stored| stored.take_if(fits)) {
            None if required.contains(name) => {
                return Err(StateDictError::NotLoaded { parameter: name.clone() });
            }
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
