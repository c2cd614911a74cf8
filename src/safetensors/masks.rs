use std::borrow::{Borrow, Cow};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};

use crate::file::bits::{pack, unpack};
use crate::file::error::StateDictError;
use crate::file::mask_file::{EncodedMasks, MaskEntry, MaskShape};
use crate::file::names;
use crate::file::tensors::FileView;
use crate::mask::Mask;
use crate::method::decision::Decision;
use crate::module::Module;
use crate::parameter::Parameter;
use crate::safetensors::load::read_file;
use crate::safetensors::report::LoadReport;
use crate::safetensors::save::write_file;
use crate::safetensors::state_dict::check_unique;

/// Writes the masks of the pruned parameters of a module, one bit per entry.
///
/// For `weight` the file has two tensors:
///
/// - `weight_mask_shape` is a vector of `I64`.
/// - `weight_mask_bits` is a vector of `U8`. Entry `i` of the mask, in row-major order, is bit `i % 8` of byte `i / 8`,
///   counted from the lowest: 1 if the entry is kept. The bits after the last entry are 0.
///
/// The file is replaced as a whole, like that of [`save_file`](crate::safetensors::save_file). It can be read with numpy:
///
/// ```python
#[doc = include_str!("read_masks.py")]
/// ```
///
/// # Errors
///
/// [`StateDictError::Write`] if the file cannot be written; any error of [`masks_to_bytes`].
pub fn save_masks<M: Module + ?Sized>(module: &M, path: impl AsRef<Path>) -> Result<(), StateDictError> {
    save_named_masks(masks_of(module), path)
}

/// Writes masks with their names, like [`save_masks`], for tensors that are in no [`Module`].
///
/// ```
/// use ndarray::arr1;
/// use prune::{Mask, safetensors};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("masks.safetensors");
/// let masks = vec![("a".to_owned(), Mask::from(arr1(&[true, false]))), ("b".to_owned(), Mask::from_elem([2, 3], true))];
/// safetensors::save_named_masks(masks.clone(), &path)?;
/// assert_eq!(safetensors::load_masks(&path)?, masks);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`StateDictError::Write`] if the file cannot be written; [`StateDictError::NameClash`] if two masks have one name;
/// [`StateDictError::HeaderTooLarge`] if the names are too long for a file.
pub fn save_named_masks(
    masks: impl IntoIterator<Item = (impl Into<String>, impl Borrow<Mask>)>,
    path: impl AsRef<Path>,
) -> Result<(), StateDictError> {
    let masks: Vec<(String, _)> = masks.into_iter().map(|(name, mask)| (name.into(), mask)).collect();
    let encoded = encode(&masks)?;
    let bits = masks.iter().map(|(_, mask)| Cow::Owned(pack(mask.borrow().as_slice())));
    write_file(path.as_ref(), &encoded.beginning, bits)
}

/// Returns the bytes that [`save_masks`] writes.
///
/// # Errors
///
/// [`StateDictError::NameClash`] if the module has two pruned parameters of one name; [`StateDictError::HeaderTooLarge`] if
/// their names are too long for a file.
pub fn masks_to_bytes<M: Module + ?Sized>(module: &M) -> Result<Vec<u8>, StateDictError> {
    let masks = masks_of(module);
    let EncodedMasks { beginning: mut bytes, len, .. } = encode(&masks)?;
    bytes.reserve_exact(len as usize - bytes.len());
    masks.iter().for_each(|(_, mask)| bytes.extend(pack(mask.as_slice())));
    Ok(bytes)
}

/// Loads the names and masks of a file by [`save_masks`], in its order.
///
/// # Errors
///
/// [`StateDictError::Read`] if the file cannot be read; any error of [`masks_from_bytes`].
pub fn load_masks(path: impl AsRef<Path>) -> Result<Vec<(String, Mask)>, StateDictError> {
    masks_from_bytes(&read_file(path.as_ref())?)
}

/// Loads the names and masks of a mask file in memory, like [`load_masks`].
///
/// # Errors
///
/// If the bytes are not a valid file, the errors of [`from_bytes`](crate::safetensors::from_bytes). If the file is valid,
/// but not a mask file:
///
/// - [`StateDictError::NotMasks`] if a tensor is not part of a mask.
/// - [`StateDictError::MaskLayout`] if a part of a mask has another dtype or number of dimensions.
/// - [`StateDictError::ImpossibleShape`] if a mask has a shape that no array can have.
/// - [`StateDictError::MaskLength`] if a mask has more or fewer bits than its shape needs.
/// - [`StateDictError::MaskPadding`] if a bit after the last entry is 1.
pub fn masks_from_bytes(bytes: &[u8]) -> Result<Vec<(String, Mask)>, StateDictError> {
    let file = FileView::parse(bytes)?;
    let mut masks = Vec::new();
    for entry in MaskEntry::all(&file.header) {
        let entry = entry?;
        let MaskShape { shape, entries } = entry.decode_shape(&file.data[entry.shape_range()])?;
        let mask = unpack(&file.data[entry.bits_range()], entries).ok_or_else(|| entry.padding())?;
        let mask = ArrayD::from_shape_vec(IxDyn(&shape), mask).map_err(|_| entry.impossible_shape(&shape))?;
        masks.push((entry.parameter.to_owned(), mask.into()));
    }
    Ok(masks)
}

/// Prunes parameters with masks by name, as [`custom_from_mask`](crate::custom_from_mask) does: pruned entries remain
/// pruned. On an error, no parameter is changed.
///
/// Masks without a parameter are `unexpected` in the report. Parameters without a mask are not `missing`, as a mask file has
/// pruned parameters only.
///
/// ```
/// use ndarray::arr1;
/// use prune::{ParameterStore, safetensors};
///
/// let mut teacher = ParameterStore::from_iter([("weight", arr1(&[1.0_f32, 2.0, 3.0])), ("bias", arr1(&[4.0]))]);
/// prune::l1_unstructured(&mut teacher, "weight", 1)?;
/// let masks = safetensors::masks_to_bytes(&teacher)?;
///
/// let mut student = ParameterStore::from_iter([("weight", arr1(&[0.5_f64, 0.6, 0.7])), ("bias", arr1(&[0.8]))]);
/// let report = safetensors::apply_masks(&mut student, safetensors::masks_from_bytes(&masks)?)?;
/// assert_eq!(student["weight"].value(), &arr1(&[0.0, 0.6, 0.7]).into_dyn());
/// assert_eq!(report.applied, ["weight"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// - [`StateDictError::ShapeMismatch`] if a mask differs in shape from its parameter.
/// - [`StateDictError::NameClash`] if the module has two parameters of one name, or a parameter with the name that a file
///   would give to the original or the mask of another one.
pub fn apply_masks<M: Module + ?Sized>(
    module: &mut M,
    masks: impl IntoIterator<Item = (impl Into<String>, impl Into<Mask>)>,
) -> Result<LoadReport, StateDictError> {
    let mut parameters = module.named_parameters_mut();
    check_unique(parameters.iter().map(|(name, _)| name))?;
    let numbers: HashMap<&str, usize> =
        parameters.iter().enumerate().map(|(number, (name, _))| (name.as_str(), number)).collect();

    let mut report = LoadReport::default();
    let mut checked = Vec::new();
    for (name, mask) in masks {
        let (name, mask) = (name.into(), mask.into());
        let Some(&number) = numbers.get(name.as_str()) else {
            report.unexpected.push(name);
            continue;
        };
        if let Some(clash) = [names::orig(&name), names::mask(&name)].into_iter().find(|n| numbers.contains_key(&**n)) {
            return Err(StateDictError::NameClash { name: clash });
        }
        let expected = parameters[number].1.value().shape();
        if mask.shape() != expected {
            let (expected, found) = (expected.to_vec(), mask.shape().to_vec());
            return Err(StateDictError::ShapeMismatch { tensor: name, expected, found });
        }
        checked.push((number, mask));
        report.applied.push(name);
    }

    for (number, mask) in checked {
        let parameter = &mut *parameters[number].1;
        Parameter::commit_mask(vec![(parameter, None)], &Decision::Mask(Arc::new(mask)));
    }
    Ok(report)
}

/// Returns the names and masks of the pruned parameters of a module.
fn masks_of<M: Module + ?Sized>(module: &M) -> Vec<(String, &Mask)> {
    let parameters = module.named_parameters();
    parameters.into_iter().filter_map(|(name, parameter)| Some((name, parameter.mask()?))).collect()
}

fn encode(masks: &[(String, impl Borrow<Mask>)]) -> Result<EncodedMasks, StateDictError> {
    check_unique(masks.iter().map(|(name, _)| name))?;
    EncodedMasks::new(masks.iter().map(|(name, mask)| (name.as_str(), mask.borrow().shape())))
}
