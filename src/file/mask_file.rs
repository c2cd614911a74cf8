//! The layout of a mask file: for each mask a vector of `I64` with its shape and a vector of `U8` with its bits.
//!
//! Shapes come first, so that all tensors are aligned. Files by others may have another order.

use std::collections::HashMap;
use std::ops::Range;

use ::safetensors::Dtype;
use ::safetensors::tensor::TensorInfo;

use crate::file::bits::packed_len;
use crate::file::elements::{decode, encode};
use crate::file::error::StateDictError;
use crate::file::header::Header;
use crate::file::names::{self, MaskPart};

/// A mask of a file whose header was read.
#[derive(Debug)]
pub(crate) struct MaskEntry<'h> {
    /// The name of the parameter.
    pub(crate) parameter: &'h str,
    shape: &'h (String, TensorInfo),
    bits: &'h (String, TensorInfo),
}

/// The shape of a mask, checked against the length of its bits.
#[derive(Debug)]
pub(crate) struct MaskShape {
    pub(crate) shape: Vec<usize>,
    /// The number of entries: the product of the shape.
    pub(crate) entries: usize,
}

impl<'h> MaskEntry<'h> {
    /// Returns the masks of a file, in the order of their shapes.
    ///
    /// # Errors
    ///
    /// An item is [`StateDictError::NotMasks`] for a tensor that is not one of a pair, and
    /// [`StateDictError::MaskLayout`] for a pair of other dtypes or numbers of dimensions.
    pub(crate) fn all(header: &'h Header) -> impl Iterator<Item = Result<Self, StateDictError>> {
        let by_name: HashMap<&str, _> = header.tensors.iter().map(|tensor| (tensor.0.as_str(), tensor)).collect();
        header.tensors.iter().filter_map(move |tensor| {
            let pair = MaskPart::of(&tensor.0).and_then(|part| {
                let counterpart = *by_name.get(part.counterpart().as_str())?;
                Some((part, counterpart))
            });
            match pair {
                None => Some(Err(StateDictError::NotMasks { found: tensor.0.clone() })),
                Some((MaskPart::Shape(parameter), bits)) => Some(Self::new(parameter, tensor, bits)),
                Some((MaskPart::Bits(_), _)) => None, // part of the item of its shape
            }
        })
    }

    fn new(
        parameter: &'h str,
        shape: &'h (String, TensorInfo),
        bits: &'h (String, TensorInfo),
    ) -> Result<Self, StateDictError> {
        check_layout(shape, Dtype::I64, "a vector of I64")?;
        check_layout(bits, Dtype::U8, "a vector of U8")?;
        Ok(Self { parameter, shape, bits })
    }

    /// The offsets of the shape in the data of the file.
    pub(crate) fn shape_range(&self) -> Range<usize> {
        self.shape.1.data_offsets.0..self.shape.1.data_offsets.1
    }

    /// The offsets of the bits in the data of the file.
    pub(crate) fn bits_range(&self) -> Range<usize> {
        self.bits.1.data_offsets.0..self.bits.1.data_offsets.1
    }

    /// Decodes the shape from its bytes.
    ///
    /// # Errors
    ///
    /// [`StateDictError::ImpossibleShape`] if a size is negative or there are too many entries,
    /// [`StateDictError::MaskLength`] if there are more or fewer bits.
    pub(crate) fn decode_shape(&self, bytes: &[u8]) -> Result<MaskShape, StateDictError> {
        let sizes: Vec<i64> = decode(bytes).collect();
        let shape: Option<Vec<usize>> = sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
        let product = |shape: &Vec<usize>| shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        let Some((entries, shape)) = shape.and_then(|shape| Some((product(&shape)?, shape))) else {
            return Err(self.impossible_shape(&sizes));
        };
        let (expected, found) = (packed_len(entries), self.bits_range().len());
        if expected != found {
            return Err(StateDictError::MaskLength { tensor: self.bits.0.clone(), expected, found });
        }
        Ok(MaskShape { shape, entries })
    }

    /// The error for a shape that no array can have.
    pub(crate) fn impossible_shape(&self, sizes: &[impl std::fmt::Debug]) -> StateDictError {
        StateDictError::ImpossibleShape { tensor: self.shape.0.clone(), found: format!("{sizes:?}") }
    }

    /// The error for a bit after the last entry that is 1.
    pub(crate) fn padding(&self) -> StateDictError {
        StateDictError::MaskPadding { tensor: self.bits.0.clone() }
    }
}

fn check_layout(
    (name, info): &(String, TensorInfo),
    dtype: Dtype,
    expected: &'static str,
) -> Result<(), StateDictError> {
    if info.dtype == dtype && info.shape.len() == 1 {
        return Ok(());
    }
    let found = format!("{} of shape {:?}", info.dtype, info.shape);
    Err(StateDictError::MaskLayout { tensor: name.clone(), expected, found })
}

/// A mask file to be written, complete but for the bits of its masks.
#[derive(Debug)]
pub(crate) struct EncodedMasks {
    /// The header and the shapes, which begin the file.
    pub(crate) beginning: Vec<u8>,
    /// The offset in the file of the bits of each mask. They lie one after the other, in the order of the masks.
    pub(crate) bits: Vec<u64>,
    /// The length of the file.
    pub(crate) len: u64,
}

impl EncodedMasks {
    /// Encodes masks of these parameters and shapes, whose numbers of entries fit a `usize`.
    ///
    /// # Errors
    ///
    /// [`StateDictError::ImpossibleShape`], with the name of the parameter, if a size exceeds `i64::MAX`, which only shapes
    /// without entries have; [`StateDictError::HeaderTooLarge`].
    pub(crate) fn new<'a>(masks: impl IntoIterator<Item = (&'a str, &'a [usize])>) -> Result<Self, StateDictError> {
        let (mut shapes, mut bits) = (Vec::new(), Vec::new());
        let mut sizes = Vec::new();
        for (parameter, shape) in masks {
            for &size in shape {
                sizes.push(i64::try_from(size).map_err(|_| StateDictError::ImpossibleShape {
                    tensor: parameter.to_owned(),
                    found: format!("{shape:?}"),
                })?);
            }
            shapes.push((format!("{parameter}{}", names::SHAPE), Dtype::I64, shape.len()));
            bits.push((format!("{parameter}{}", names::BITS), Dtype::U8, packed_len(shape.iter().product())));
        }
        let tensors = shapes.iter().chain(&bits);
        let mut beginning = Header::encode(tensors.map(|(name, dtype, len)| (name.as_str(), *dtype, [*len])))?;
        beginning.extend_from_slice(&encode(&sizes));

        let mut len = beginning.len() as u64;
        let offsets = bits.iter().map(|(_, _, bytes)| {
            let offset = len;
            len += *bytes as u64;
            offset
        });
        let bits = offsets.collect();
        Ok(Self { beginning, bits, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::header::PREFIX;

    #[test]
    fn an_encoded_file_is_parsed_as_its_masks() {
        let shapes: [(&str, &[usize]); 4] = [("a", &[3, 3]), ("", &[]), ("a_mask_bits", &[0, 2]), ("b", &[17])];
        let EncodedMasks { beginning, bits, len } = EncodedMasks::new(shapes).unwrap();
        let (json, data) = beginning[PREFIX..].split_at(Header::length(&beginning, len).unwrap() as usize);
        let header = Header::parse(json, len).unwrap();
        let data_start = (PREFIX + json.len()) as u64;
        let masks: Vec<_> = MaskEntry::all(&header).collect::<Result<_, _>>().unwrap();
        assert_eq!(masks.len(), shapes.len());
        for ((mask, (parameter, shape)), offset) in masks.iter().zip(shapes).zip(bits) {
            assert_eq!(mask.parameter, parameter);
            let found = mask.decode_shape(&data[mask.shape_range()]).unwrap();
            assert_eq!((found.shape.as_slice(), found.entries), (shape, shape.iter().product()));
            assert_eq!(offset, data_start + mask.bits_range().start as u64);
        }
        assert_eq!(len - beginning.len() as u64, 2 + 1 + 3);
    }

    #[test]
    fn sizes_that_no_mask_file_can_hold() {
        let error = EncodedMasks::new([("w", &[0, usize::MAX][..])]).unwrap_err();
        assert!(matches!(error, StateDictError::ImpossibleShape { tensor, .. } if tensor == "w"));
    }
}
