use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use ::safetensors::Dtype;
use ndarray::IxDyn;

use crate::file::bits::{pack, packed_len, unpack};
use crate::file::elements::{decode, encode};
use crate::file::error::StateDictError;
use crate::file::header::Header;
use crate::file::names;
use crate::file::tensors::{File, Tensor};
use crate::mask::Mask;
use crate::method::AppliedMask;
use crate::method::decision::Decision;
use crate::module::Module;
use crate::parameter::commit;
use crate::safetensors::load::read_file;
use crate::safetensors::report::LoadReport;
use crate::safetensors::save::write_file;
use crate::safetensors::state_dict::check_unique;
use crate::tensor::flat;

/// Writes the masks of the pruned parameters of a module, one bit per entry.
///
/// For `weight` the file has two tensors. `weight_mask_shape` is a vector of `I64`. `weight_mask_bits` is a vector of
/// `U8`: entry `i` of the mask, in row-major order, is bit `i % 8` of byte `i / 8`, counted from the lowest, and 1 where the
/// entry is kept; the bits after the last entry are 0. The file is written like that of
/// [`save_file`](crate::safetensors::save_file). This reads it with numpy:
///
/// ```python
#[doc = include_str!("read_masks.py")]
/// ```
///
/// # Errors
///
/// [`StateDictError::Write`]; [`StateDictError::NameClash`] when the module has two pruned parameters of one name.
pub fn save_masks<M: Module + ?Sized>(module: &M, path: impl AsRef<Path>) -> Result<(), StateDictError> {
    let packed = Packed::of(module)?;
    write_file(path.as_ref(), &packed.header()?, packed.data())
}

/// What [`save_masks`] writes, as bytes.
///
/// # Errors
///
/// [`StateDictError::NameClash`] when the module has two pruned parameters of one name.
pub fn masks_to_bytes<M: Module + ?Sized>(module: &M) -> Result<Vec<u8>, StateDictError> {
    let packed = Packed::of(module)?;
    let mut bytes = packed.header()?;
    packed.data().for_each(|tensor| bytes.extend_from_slice(&tensor));
    Ok(bytes)
}

/// Names and masks of a file that [`save_masks`] wrote, in its order.
///
/// # Errors
///
/// [`StateDictError::Read`], and those of [`masks_from_bytes`].
pub fn load_masks(path: impl AsRef<Path>) -> Result<Vec<(String, Mask)>, StateDictError> {
    masks_from_bytes(&read_file(path.as_ref())?)
}

/// [`load_masks`] of a file in memory.
///
/// # Errors
///
/// For bytes that are not a valid file, as [`from_bytes`](crate::safetensors::from_bytes). For a valid file that does not have the
/// layout: [`StateDictError::NotMasks`], [`StateDictError::MaskLayout`], [`StateDictError::ImpossibleShape`],
/// [`StateDictError::MaskLength`], [`StateDictError::MaskPadding`].
pub fn masks_from_bytes(bytes: &[u8]) -> Result<Vec<(String, Mask)>, StateDictError> {
    let file = File::parse(bytes)?;
    let tensors = file.by_name();
    let mut masks = Vec::new();
    for tensor in file.tensors() {
        let half = |suffix, other| Some((tensor.name.strip_suffix(suffix)?, other));
        let counterpart = half(names::SHAPE, names::BITS).or_else(|| half(names::BITS, names::SHAPE));
        let counterpart = counterpart.and_then(|(name, other)| Some((name, tensors.get(&*format!("{name}{other}"))?)));
        match counterpart {
            None => return Err(StateDictError::NotMasks { found: tensor.name.to_owned() }),
            Some((name, bits)) if tensor.name.ends_with(names::SHAPE) => {
                masks.push((name.to_owned(), unpacked(&tensor, bits)?));
            }
            Some(_) => {} // bits, which were or will be read with their shape
        }
    }
    Ok(masks)
}

/// Prunes the parameters that there are masks for, as [`custom_from_mask`](crate::custom_from_mask) does: what was pruned
/// stays pruned. Either all of them are pruned or, on an error, none.
///
/// Names that the module does not have are `unexpected` in the report. Parameters without a mask are not `missing`: a mask
/// file says nothing of them.
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
/// [`StateDictError::ShapeMismatch`]; [`StateDictError::NameClash`] when a pruned parameter could not be saved because of
/// the name of another one, or when the module has two parameters of one name.
pub fn apply_masks<M: Module + ?Sized>(
    module: &mut M,
    masks: impl IntoIterator<Item = (impl Into<String>, Mask)>,
) -> Result<LoadReport, StateDictError> {
    let mut parameters = module.named_parameters_mut();
    check_unique(parameters.iter().map(|(name, _)| name))?;
    let places: HashMap<&str, usize> = parameters.iter().enumerate().map(|(i, (name, _))| (name.as_str(), i)).collect();

    let mut report = LoadReport::default();
    let mut checked = Vec::new();
    for (name, mask) in masks {
        let name = name.into();
        let Some(&place) = places.get(name.as_str()) else {
            report.unexpected.push(name);
            continue;
        };
        if let Some(clash) = [names::orig(&name), names::mask(&name)].into_iter().find(|n| places.contains_key(&**n)) {
            return Err(StateDictError::NameClash { name: clash });
        }
        let expected = parameters[place].1.value().shape();
        if mask.shape() != expected {
            let (expected, found) = (expected.to_vec(), mask.shape().to_vec());
            return Err(StateDictError::ShapeMismatch { tensor: name, expected, found });
        }
        let mask = if mask.is_standard_layout() { mask } else { mask.as_standard_layout().into_owned() };
        checked.push((place, mask));
        report.applied.push(name);
    }

    for (place, mask) in checked {
        let parameter = &mut parameters[place].1;
        commit::commit(vec![parameter.target(None)], &Decision::Mask(mask.into()));
        parameter.record(AppliedMask);
    }
    Ok(report)
}

/// The tensors of a mask file.
struct Packed {
    /// All shapes come first, so that every tensor is aligned.
    shapes: Vec<(String, Vec<i64>)>,
    bits: Vec<(String, Vec<u8>)>,
}

impl Packed {
    fn of<M: Module + ?Sized>(module: &M) -> Result<Self, StateDictError> {
        let parameters = module.named_parameters();
        check_unique(parameters.iter().filter(|(_, parameter)| parameter.is_pruned()).map(|(name, _)| name))?;
        let mut packed = Self { shapes: Vec::new(), bits: Vec::new() };
        for (name, mask) in parameters.iter().filter_map(|(name, parameter)| Some((name, parameter.mask()?))) {
            // Sizes of arrays are below 2^63, the largest number of elements that an array can have.
            let shape = mask.shape().iter().map(|&size| size as i64).collect();
            packed.shapes.push((format!("{name}{}", names::SHAPE), shape));
            packed.bits.push((format!("{name}{}", names::BITS), pack(flat(mask))));
        }
        Ok(packed)
    }

    fn header(&self) -> Result<Vec<u8>, StateDictError> {
        let shapes = self.shapes.iter().map(|(name, shape)| (name.as_str(), Dtype::I64, shape.len()));
        let bits = self.bits.iter().map(|(name, bits)| (name.as_str(), Dtype::U8, bits.len()));
        Header::encode(shapes.chain(bits).map(|(name, dtype, len)| (name, dtype, [len])))
    }

    fn data(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        let shapes = self.shapes.iter().map(|(_, shape)| encode(shape));
        shapes.chain(self.bits.iter().map(|(_, bits)| Cow::Borrowed(bits.as_slice())))
    }
}

/// The mask that a shape and bits stand for.
fn unpacked(shape: &Tensor<'_>, bits: &Tensor<'_>) -> Result<Mask, StateDictError> {
    check_layout(shape, Dtype::I64, "a vector of I64")?;
    check_layout(bits, Dtype::U8, "a vector of U8")?;
    let sizes: Vec<i64> = decode(shape.data).collect();
    let impossible = || StateDictError::ImpossibleShape { tensor: shape.name.to_owned(), found: format!("{sizes:?}") };
    let sizes: Vec<usize> =
        sizes.iter().map(|&size| usize::try_from(size).ok()).collect::<Option<_>>().ok_or_else(impossible)?;
    let entries = sizes.iter().try_fold(1_usize, |product, &size| product.checked_mul(size)).ok_or_else(impossible)?;
    let (expected, found) = (packed_len(entries), bits.data.len());
    if expected != found {
        return Err(StateDictError::MaskLength { tensor: bits.name.to_owned(), expected, found });
    }
    let mask =
        unpack(bits.data, entries).ok_or_else(|| StateDictError::MaskPadding { tensor: bits.name.to_owned() })?;
    Mask::from_shape_vec(IxDyn(&sizes), mask).map_err(|_| impossible())
}

fn check_layout(tensor: &Tensor<'_>, dtype: Dtype, expected: &'static str) -> Result<(), StateDictError> {
    if tensor.dtype == dtype && tensor.shape.len() == 1 {
        return Ok(());
    }
    let found = format!("{} of shape {:?}", tensor.dtype, tensor.shape);
    Err(StateDictError::MaskLayout { tensor: tensor.name.to_owned(), expected, found })
}
