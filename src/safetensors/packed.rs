use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use ::safetensors::Dtype as Stored;
use ndarray::ArrayD;

use crate::element::{Element, ElementInternals};
use crate::file::dtype::Dtype;
use crate::file::elements::{decode, encode};
use crate::file::error::StateDictError;
use crate::file::header::Header;
use crate::file::names;
use crate::file::packed_file::{
    self, BITMASK, COMPRESSED, DenseShape, PackedParts, PartInfo, ROW_OFFSETS, SHAPE, packed_bytes,
};
use crate::file::tensors::{FileView, TensorView};
use crate::module::Module;
use crate::safetensors::load::read_file;
use crate::safetensors::report::{LoadReport, SkipReason, Skipped};
use crate::safetensors::save::write_file;
use crate::safetensors::state_dict::check_unique;
use crate::sparse::Packed;
use crate::sparse::bits;

/// A tensor of a packed file.
#[derive(Debug, Clone, PartialEq)]
pub enum PackedTensor<A: Element> {
    /// A packed one.
    Packed(Packed<A>),
    /// One that would not be smaller if it were packed.
    Dense(ArrayD<A>),
}

/// The tensors of a packed file with their names, in its order.
pub type NamedTensors<A> = Vec<(String, PackedTensor<A>)>;

impl<A: Element> PackedTensor<A> {
    /// Returns the tensor with all its entries.
    pub fn to_dense(&self) -> ArrayD<A> {
        match self {
            Self::Packed(packed) => packed.to_dense(),
            Self::Dense(dense) => dense.clone(),
        }
    }

    /// Returns the tensor as a packed one, to multiply with it.
    pub fn into_packed(self) -> Packed<A> {
        match self {
            Self::Packed(packed) => packed,
            Self::Dense(dense) => Packed::from_array(&dense),
        }
    }
}

/// Writes a module without its pruned entries: the parameters in the packed form of [`Packed::new`], and those that would not
/// become smaller as dense tensors, with their masks made permanent.
///
/// `docs/PACKED.md` describes the layout, which is `sparse-bitmask` of compressed-tensors 0.14. `nn-prune unpack` and
/// [`load_packed`] read it. The file is replaced as a whole, like that of [`save_file`](crate::safetensors::save_file). It can be
/// read with numpy:
///
/// ```python
#[doc = include_str!("read_packed.py")]
/// ```
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("packed.safetensors");
/// use prune::safetensors::{PackedTensor, load_packed, save_packed};
///
/// let mut layer = prune::ParameterStore::from_iter([("fc.weight", ndarray::Array2::<f32>::ones((64, 64)))]);
/// prune::l1_unstructured(&mut layer, "fc.weight", 0.9)?;
/// save_packed(&layer, &path)?;
///
/// let (tensors, _) = load_packed::<f32>(&path)?;
/// let (name, PackedTensor::Packed(weight)) = &tensors[0] else { panic!("it is packed") };
/// assert_eq!((name.as_str(), weight.kept()), ("fc.weight", 410));
/// assert_eq!(weight.to_dense(), layer["fc.weight"].value());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`StateDictError::Write`] if the file cannot be written; [`StateDictError::NameClash`] if two tensors would have one name,
/// [`StateDictError::ReservedName`] if a parameter is named `__metadata__`.
pub fn save_packed<M: Module + ?Sized>(module: &M, path: impl AsRef<Path>) -> Result<(), StateDictError> {
    let tensors = tensors_of(module)?;
    let header = header(&tensors)?;
    write_file(path.as_ref(), &header, tensors.iter().flat_map(|(_, tensor)| bytes(tensor)))
}

/// Returns the bytes that [`save_packed`] writes.
///
/// # Errors
///
/// Those of `save_packed` that do not concern the file.
pub fn packed_to_bytes<M: Module + ?Sized>(module: &M) -> Result<Vec<u8>, StateDictError> {
    let tensors = tensors_of(module)?;
    let mut file = header(&tensors)?;
    tensors.iter().flat_map(|(_, tensor)| bytes(tensor)).for_each(|bytes| file.extend_from_slice(&bytes));
    Ok(file)
}

/// Loads the names and tensors of a packed file, in its order, and reports the tensors that are not of type `A`.
///
/// Also reads a file without any packed tensor, and files by `nn-prune pack` and by compressed-tensors 0.14.
///
/// # Errors
///
/// [`StateDictError::Read`] if the file cannot be read; any error of [`packed_from_bytes`].
pub fn load_packed<A: Element>(path: impl AsRef<Path>) -> Result<(NamedTensors<A>, LoadReport), StateDictError> {
    packed_from_bytes(&read_file(path.as_ref())?)
}

/// Loads a packed file in memory, like [`load_packed`].
///
/// # Errors
///
/// If the bytes are not a valid file, the errors of [`from_bytes`](crate::safetensors::from_bytes). If a packed tensor is invalid:
/// [`StateDictError::PackedLayout`], [`StateDictError::PackedValues`], [`StateDictError::PackedOffset`],
/// [`StateDictError::MaskPadding`], [`StateDictError::ImpossibleShape`].
pub fn packed_from_bytes<A: Element>(bytes: &[u8]) -> Result<(NamedTensors<A>, LoadReport), StateDictError> {
    let file = FileView::parse(bytes)?;
    let views: Vec<TensorView<'_>> = file.tensors().collect();
    let found = packed_file::find(views.iter().map(|view| view.name), &[file.header.metadata.as_ref()]);
    let parts: HashSet<usize> = found.iter().flat_map(|(_, parts)| parts.all()).collect();
    let mut tensors = Vec::new();
    let mut report = LoadReport::default();
    let mut found = found.into_iter().peekable();
    for (number, view) in views.iter().enumerate() {
        let packed = found.next_if(|(_, parts)| parts.compressed == number);
        if packed.is_none() && parts.contains(&number) {
            continue;
        }
        if view.dtype != A::STORED {
            let reason = SkipReason::Dtype { expected: A::STORED.to_string(), found: view.dtype.to_string() };
            report.skipped.push(Skipped { tensor: view.name.to_owned(), reason });
            continue;
        }
        let (name, tensor) = match packed {
            Some((name, parts)) => (name, PackedTensor::Packed(load(&views, parts)?)),
            None => (view.name.to_owned(), PackedTensor::Dense(view.array()?)),
        };
        report.applied.push(name.clone());
        tensors.push((name, tensor));
    }
    check_unique(tensors.iter().map(|(name, _)| name))?;
    Ok((tensors, report))
}

/// Checks the parts of a packed tensor against each other, and copies them.
fn load<A: Element>(views: &[TensorView<'_>], parts: PackedParts) -> Result<Packed<A>, StateDictError> {
    let info = |number: usize| {
        let view: &TensorView<'_> = &views[number];
        PartInfo { name: view.name, dtype: Dtype(view.dtype), shape: view.shape }
    };
    let dense = DenseShape::new(&parts, info, views[parts.shape].data())?;
    let (bits, values) = (views[parts.bitmask].data(), views[parts.compressed]);
    let values: Vec<A> = decode(values.data()).collect();
    let row = bits::row_bytes(dense.columns);
    let mut starts = vec![0];
    let mut total = 0;
    let offsets = decode::<i64>(views[parts.row_offsets].data());
    for (number, (bits, found)) in bits.chunks(row.max(1)).zip(offsets).enumerate() {
        if usize::try_from(found) != Ok(total) {
            let tensor = views[parts.row_offsets].name.to_owned();
            return Err(StateDictError::PackedOffset { tensor, row: number, expected: total, found });
        }
        if !bits::is_padded(bits, dense.columns) {
            return Err(StateDictError::MaskPadding { tensor: views[parts.bitmask].name.to_owned() });
        }
        total += bits::count(bits);
        starts.push(total);
    }
    if total != values.len() {
        let tensor = views[parts.compressed].name.to_owned();
        return Err(StateDictError::PackedValues { tensor, bits: total, values: values.len() });
    }
    let signs = parts.signs.map(|signs| views[signs].data().to_vec());
    Ok(Packed::from_parts(dense.shape, bits.to_vec(), starts, values, signs))
}

/// Returns the parameters, packed where that is smaller.
fn tensors_of<M: Module + ?Sized>(module: &M) -> Result<NamedTensors<M::Elem>, StateDictError> {
    let tensors = module.named_parameters().into_iter().map(|(name, parameter)| {
        let packed = Packed::new(parameter);
        let tensor = match packed_bytes(packed.shape(), packed.kept(), size_of::<M::Elem>(), false) {
            Some(_) => PackedTensor::Packed(packed),
            None => PackedTensor::Dense(parameter.value().clone()),
        };
        (name, tensor)
    });
    Ok(tensors.collect())
}

fn header<A: Element>(tensors: &[(String, PackedTensor<A>)]) -> Result<Vec<u8>, StateDictError> {
    let mut entries: Vec<(String, Stored, Vec<usize>)> = Vec::new();
    let mut whole_names = Vec::new();
    for (name, tensor) in tensors {
        match tensor {
            PackedTensor::Dense(_) if name == names::RESERVED => {
                return Err(StateDictError::ReservedName { name: name.clone() });
            }
            PackedTensor::Dense(dense) => entries.push((name.clone(), A::STORED, dense.shape().to_vec())),
            PackedTensor::Packed(packed) => {
                let stem = packed_file::stem(name);
                if packed_file::is_whole_name(name) {
                    whole_names.push(name.as_str());
                }
                let rows = packed.rows();
                let mut push = |suffix, dtype, shape| entries.push((format!("{stem}{suffix}"), dtype, shape));
                push(SHAPE, Stored::I64, vec![packed.shape().len()]);
                push(ROW_OFFSETS, Stored::I64, vec![rows]);
                push(COMPRESSED, <A as ElementInternals>::STORED, vec![packed.kept()]);
                push(BITMASK, Stored::U8, vec![rows, bits::row_bytes(packed.columns())]);
            }
        }
    }
    check_unique(entries.iter().map(|(name, _, _)| name))?;
    let metadata = packed_file::with_whole_names(None, whole_names);
    Header::encode_with(metadata.as_ref(), entries.iter().map(|(name, dtype, shape)| (name.as_str(), *dtype, shape)))
}

/// The data of the parts of a tensor, in the order of the header.
fn bytes<A: Element>(tensor: &PackedTensor<A>) -> Vec<Cow<'_, [u8]>> {
    match tensor {
        PackedTensor::Dense(dense) => vec![encode(crate::tensor::flat(dense))],
        PackedTensor::Packed(packed) => {
            let sizes: Vec<u8> = packed.shape().iter().flat_map(|&size| (size as i64).to_le_bytes()).collect();
            let (bits, starts, values) = packed.parts();
            let offsets = starts[..packed.rows()].iter().flat_map(|&start| (start as i64).to_le_bytes()).collect();
            vec![Cow::Owned(sizes), Cow::Owned(offsets), encode(values), Cow::Borrowed(bits)]
        }
    }
}
