//! A whole file in memory: names to tensors.

use std::collections::HashMap;

use ::safetensors::Dtype;
use bytemuck::AnyBitPattern;
use half::{bf16, f16};
use ndarray::{ArrayD, IxDyn};
use num_traits::{Num, ToPrimitive};

use crate::file::elements::decode;
use crate::file::error::StateDictError;
use crate::file::header::{Header, PREFIX};
use crate::mask::Mask;

/// What was parsed of a file's bytes.
#[derive(Debug)]
pub(crate) struct File<'b> {
    header: Header,
    data: &'b [u8],
}

/// A tensor of a file, where it lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tensor<'f> {
    pub(crate) name: &'f str,
    pub(crate) dtype: Dtype,
    pub(crate) shape: &'f [usize],
    pub(crate) data: &'f [u8],
}

impl<'b> File<'b> {
    pub(crate) fn parse(bytes: &'b [u8]) -> Result<Self, StateDictError> {
        let file_len = bytes.len() as u64;
        // Not longer than the bytes, so it fits.
        let length = Header::length(bytes, file_len)? as usize;
        let (json, data) = bytes[PREFIX..].split_at(length);
        Ok(Self { header: Header::parse(json, file_len)?, data })
    }

    /// The tensors in the order of their data.
    pub(crate) fn tensors(&self) -> impl ExactSizeIterator<Item = Tensor<'_>> {
        self.header.tensors.iter().map(|(name, info)| {
            let (start, end) = info.data_offsets;
            Tensor { name, dtype: info.dtype, shape: &info.shape, data: &self.data[start..end] }
        })
    }

    /// The tensors by name.
    pub(crate) fn by_name(&self) -> HashMap<&str, Tensor<'_>> {
        self.tensors().map(|tensor| (tensor.name, tensor)).collect()
    }
}

/// Reads a tensor as a mask, for the dtype that it was chosen for.
pub(crate) type MaskReader = fn(&Tensor<'_>) -> Result<Mask, StateDictError>;

impl Tensor<'_> {
    /// The elements, which are of the dtype of `T`, as an array.
    pub(crate) fn array<T: AnyBitPattern>(&self) -> Result<ArrayD<T>, StateDictError> {
        self.shaped(decode(self.data).collect())
    }

    /// How to read it as a mask, if its dtype can hold one.
    ///
    /// PyTorch's masks have the dtype of what was ranked, which may be any importance scores.
    pub(crate) fn mask_reader(&self) -> Option<MaskReader> {
        Some(match self.dtype {
            Dtype::BOOL | Dtype::U8 => read_mask::<u8>,
            Dtype::I8 => read_mask::<i8>,
            Dtype::I16 => read_mask::<i16>,
            Dtype::U16 => read_mask::<u16>,
            Dtype::I32 => read_mask::<i32>,
            Dtype::U32 => read_mask::<u32>,
            Dtype::I64 => read_mask::<i64>,
            Dtype::U64 => read_mask::<u64>,
            Dtype::F16 => read_mask::<f16>,
            Dtype::BF16 => read_mask::<bf16>,
            Dtype::F32 => read_mask::<f32>,
            Dtype::F64 => read_mask::<f64>,
            _ => return None,
        })
    }

    fn shaped<T>(&self, elements: Vec<T>) -> Result<ArrayD<T>, StateDictError> {
        // There are as many elements as the shape asks for, but an array without elements may still have too large sizes.
        ArrayD::from_shape_vec(IxDyn(self.shape), elements).map_err(|_| StateDictError::ImpossibleShape {
            tensor: self.name.to_owned(),
            found: format!("{:?}", self.shape),
        })
    }

    /// `Ok` when the tensor has the shape of what it is for.
    pub(crate) fn check_shape(&self, expected: &[usize]) -> Result<(), StateDictError> {
        if self.shape == expected {
            return Ok(());
        }
        let (tensor, found) = (self.name.to_owned(), self.shape.to_vec());
        Err(StateDictError::ShapeMismatch { tensor, expected: expected.to_vec(), found })
    }
}

/// The mask that zeros and ones stand for.
fn read_mask<T: AnyBitPattern + Num + ToPrimitive>(tensor: &Tensor<'_>) -> Result<Mask, StateDictError> {
    let elements = || decode::<T>(tensor.data);
    if let Some((position, element)) = elements().enumerate().find(|(_, x)| !x.is_zero() && !x.is_one()) {
        let (index, found) = (index_of(position, tensor.shape), element.to_f64().unwrap_or(f64::NAN));
        return Err(StateDictError::MaskValue { tensor: tensor.name.to_owned(), index, found });
    }
    tensor.shaped(elements().map(|x| x.is_one()).collect())
}

/// The index of the entry at a row-major position.
pub(crate) fn index_of(position: usize, shape: &[usize]) -> Vec<usize> {
    let mut rest = position;
    let mut index = vec![0; shape.len()];
    for (index, size) in index.iter_mut().zip(shape).rev() {
        (rest, *index) = (rest / size, rest % size);
    }
    index
}
