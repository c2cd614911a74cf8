//! A mask file, read bit by bit where the bits are needed.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use ::safetensors::Dtype;
use ::safetensors::tensor::TensorInfo;

use crate::checkpoint::CheckpointError;
use crate::checkpoint::read::Shard;
use crate::file::bits::packed_len;
use crate::file::error::StateDictError;
use crate::file::names;

/// The masks of a file, which stay where they are.
#[derive(Debug)]
pub(crate) struct PackedMasks {
    pub file: Shard,
    pub masks: HashMap<String, PackedMask>,
}

/// A mask in the file.
#[derive(Debug)]
pub(crate) struct PackedMask {
    pub shape: Vec<usize>,
    entries: usize,
    /// Where its bits begin.
    start: u64,
}

impl PackedMasks {
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let (file, header) = Shard::open(path.to_owned(), path.to_owned())?;
        let fault = |source| CheckpointError::MaskFile { path: path.to_owned(), source };
        let tensors: HashMap<&str, &TensorInfo> =
            header.tensors.iter().map(|(name, info)| (name.as_str(), info)).collect();
        let mut masks = HashMap::new();
        for (name, info) in &header.tensors {
            let half = |suffix, other| Some((name.strip_suffix(suffix)?, other));
            let parameter = half(names::SHAPE, names::BITS).or_else(|| half(names::BITS, names::SHAPE));
            let counterpart = parameter.and_then(|(parameter, other)| {
                let other = format!("{parameter}{other}");
                Some((parameter, *tensors.get(other.as_str())?, other))
            });
            let Some((parameter, bits, bits_name)) = counterpart else {
                return Err(fault(StateDictError::NotMasks { found: name.clone() }));
            };
            if name.ends_with(names::SHAPE) {
                check_layout(name, info, Dtype::I64, "a vector of I64").map_err(fault)?;
                check_layout(&bits_name, bits, Dtype::U8, "a vector of U8").map_err(fault)?;
                let mut sizes = vec![0_u8; info.data_offsets.1 - info.data_offsets.0];
                file.read(&mut sizes, file.data + info.data_offsets.0 as u64)?;
                let sizes: Vec<_> = sizes.as_chunks().0.iter().map(|size| i64::from_le_bytes(*size)).collect();
                let mask = PackedMask::new(name, &sizes, &bits_name, bits, file.data).map_err(fault)?;
                masks.insert(parameter.to_owned(), mask);
            }
        }
        Ok(Self { file, masks })
    }

    /// Clears the entries of a mask that the one of this name in the file does not keep; `range` begins at a multiple of 8.
    pub fn clear(
        &self,
        name: &str,
        range: Range<usize>,
        bytes: &mut [u8],
        kept: &mut [bool],
    ) -> Result<(), CheckpointError> {
        let Some(mask) = self.masks.get(name) else { return Ok(()) };
        let bytes = &mut bytes[..packed_len(range.len())];
        self.file.read(bytes, mask.start + (range.start / 8) as u64)?;
        for (kept, byte) in kept.chunks_mut(8).zip(&*bytes) {
            kept.iter_mut().enumerate().for_each(|(bit, kept)| *kept &= byte >> bit & 1 == 1);
        }
        let padding = range.len() % 8;
        let last = bytes.last().copied().unwrap_or_default();
        if range.end == mask.entries && padding > 0 && last >> padding != 0 {
            return Err(CheckpointError::MaskPadding { tensor: name.to_owned() });
        }
        Ok(())
    }
}

impl PackedMask {
    fn new(name: &str, sizes: &[i64], bits_name: &str, bits: &TensorInfo, data: u64) -> Result<Self, StateDictError> {
        let impossible = || StateDictError::ImpossibleShape { tensor: name.to_owned(), found: format!("{sizes:?}") };
        let shape: Vec<usize> =
            sizes.iter().map(|&size| usize::try_from(size).ok()).collect::<Option<_>>().ok_or_else(impossible)?;
        let entries =
            shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size)).ok_or_else(impossible)?;
        let (expected, found) = (packed_len(entries), bits.data_offsets.1 - bits.data_offsets.0);
        if expected != found {
            return Err(StateDictError::MaskLength { tensor: bits_name.to_owned(), expected, found });
        }
        Ok(Self { shape, entries, start: data + bits.data_offsets.0 as u64 })
    }
}

fn check_layout(tensor: &str, info: &TensorInfo, dtype: Dtype, expected: &'static str) -> Result<(), StateDictError> {
    if info.dtype == dtype && info.shape.len() == 1 {
        return Ok(());
    }
    let found = format!("{} of shape {:?}", info.dtype, info.shape);
    Err(StateDictError::MaskLayout { tensor: tensor.to_owned(), expected, found })
}
