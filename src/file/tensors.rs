//! A whole file in memory: its tensors, as views of its bytes.

use std::collections::HashMap;

use ::safetensors::Dtype as StoredDtype;
use bytemuck::AnyBitPattern;
use ndarray::{ArrayD, IxDyn};
use num_traits::{Num, ToPrimitive};

use crate::file::dtype::{Dtype, with_dtype};
use crate::file::elements::decode;
use crate::file::error::StateDictError;
use crate::file::header::{Header, PREFIX};
use crate::mask::Mask;

/// The header of a file, and the data that it describes.
#[derive(Debug)]
pub(crate) struct FileView<'b> {
    pub(crate) header: Header,
    pub(crate) data: &'b [u8],
}

/// A tensor of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TensorView<'f> {
    pub(crate) name: &'f str,
    pub(crate) dtype: StoredDtype,
    pub(crate) shape: &'f [usize],
    data: &'f [u8],
}

impl<'b> FileView<'b> {
    /// Parses the header, which describes all of the bytes.
    pub(crate) fn parse(bytes: &'b [u8]) -> Result<Self, StateDictError> {
        let file_len = bytes.len() as u64;
        // Not longer than the bytes, so it fits.
        let length = Header::length(bytes, file_len)? as usize;
        let (json, data) = bytes[PREFIX..].split_at(length);
        Ok(Self { header: Header::parse(json, file_len)?, data })
    }

    /// Returns the tensors in the order of their data.
    pub(crate) fn tensors(&self) -> impl ExactSizeIterator<Item = TensorView<'_>> {
        self.header.tensors.iter().map(|(name, info)| {
            let (start, end) = info.data_offsets;
            TensorView { name, dtype: info.dtype, shape: &info.shape, data: &self.data[start..end] }
        })
    }

    /// Returns the tensors by name.
    pub(crate) fn by_name(&self) -> HashMap<&str, TensorView<'_>> {
        self.tensors().map(|tensor| (tensor.name, tensor)).collect()
    }
}

/// A function that reads a tensor of a certain dtype as a mask.
pub(crate) type MaskReader = fn(&TensorView<'_>) -> Result<Mask, StateDictError>;

impl TensorView<'_> {
    /// Returns the bytes of the elements.
    pub(crate) fn data(&self) -> &[u8] {
        self.data
    }

    /// Copies the elements, which are of the dtype of `T`, into an array.
    pub(crate) fn array<T: AnyBitPattern>(&self) -> Result<ArrayD<T>, StateDictError> {
        self.shaped(decode(self.data).collect())
    }

    /// Returns the function that reads the tensor as a mask, or `None` if its dtype has no 0 and 1.
    ///
    /// PyTorch's masks have the dtype of what was ranked, which may be any importance scores.
    pub(crate) fn mask_reader(&self) -> Option<MaskReader> {
        with_dtype!(Dtype(self.dtype), T: Number => Some(read_mask::<T>), else => None)
    }

    fn shaped<T>(&self, elements: Vec<T>) -> Result<ArrayD<T>, StateDictError> {
        // There are as many elements as the shape asks for, but an array without elements may still have too large sizes.
        ArrayD::from_shape_vec(IxDyn(self.shape), elements).map_err(|_| StateDictError::ImpossibleShape {
            tensor: self.name.to_owned(),
            found: format!("{:?}", self.shape),
        })
    }

    /// Returns an error unless the tensor has this shape.
    pub(crate) fn check_shape(&self, expected: &[usize]) -> Result<(), StateDictError> {
        if self.shape == expected {
            return Ok(());
        }
        let (tensor, found) = (self.name.to_owned(), self.shape.to_vec());
        Err(StateDictError::ShapeMismatch { tensor, expected: expected.to_vec(), found })
    }
}

/// Reads zeros and ones.
fn read_mask<T: AnyBitPattern + Num + ToPrimitive>(tensor: &TensorView<'_>) -> Result<Mask, StateDictError> {
    let elements = || decode::<T>(tensor.data);
    if let Some((position, element)) = elements().enumerate().find(|(_, x)| !x.is_zero() && !x.is_one()) {
        let (index, found) = (index_of(position, tensor.shape), element.to_f64().unwrap_or(f64::NAN));
        return Err(StateDictError::MaskValue { tensor: tensor.name.to_owned(), index, found });
    }
    Ok(tensor.shaped(elements().map(|x| x.is_one()).collect())?.into())
}

/// Returns the index of the entry at a row-major position.
pub(crate) fn index_of(position: usize, shape: &[usize]) -> Vec<usize> {
    let mut rest = position;
    let mut index = vec![0; shape.len()];
    for (index, size) in index.iter_mut().zip(shape).rev() {
        (rest, *index) = (rest / size, rest % size);
    }
    index
}
