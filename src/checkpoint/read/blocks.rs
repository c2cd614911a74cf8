//! Parameters in blocks: read where they lie, into buffers that are used again.

use std::ops::Range;
use std::sync::Mutex;

use bytemuck::Pod;
use num_traits::{Num, ToPrimitive};

use crate::checkpoint::CheckpointError;
use crate::checkpoint::read::parameter::Parameter;
use crate::checkpoint::read::{Checkpoint, Dtype, Tensor};
use crate::element::Element;
use crate::file::tensors::index_of;
use crate::tensor::chunk::CHUNK;
use crate::tensor::parallel::lock;

/// What a thread reads at a time: enough to make the call worthwhile, and little enough to stay in a cache.
const BLOCK_BYTES: usize = 1 << 20;

/// Entries of a block of so many bytes each: a multiple of [`CHUNK`].
pub(crate) fn block_entries(bytes: usize) -> usize {
    (BLOCK_BYTES / bytes.max(1)).max(CHUNK)
}

/// The blocks of so many entries.
pub(crate) fn blocks(entries: usize, block: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    (0..entries.div_ceil(block)).map(move |i| i * block..((i + 1) * block).min(entries))
}

/// MemoryCandidates for what was read, aligned for every dtype. It grows to the largest block, and is used again.
#[derive(Default)]
pub(crate) struct Buffer(Vec<u64>);

impl Buffer {
    /// So many elements, with anything in them.
    pub fn take<T: Pod>(&mut self, len: usize) -> &mut [T] {
        let words = (len * size_of::<T>()).div_ceil(size_of::<u64>());
        if self.0.len() < words {
            self.0.resize(words, 0);
        }
        &mut bytemuck::cast_slice_mut(&mut self.0[..words])[..len]
    }
}

/// What one thread needs for a block.
#[derive(Default)]
pub(crate) struct Scratch {
    pub weights: Buffer,
    pub mask: Buffer,
    pub wide: Buffer,
    pub out: Buffer,
    pub remaining: Vec<bool>,
    pub kept: Vec<bool>,
}

/// Scratch space that waits for its next block, as many as there are threads, and room for a tensor that is kept.
#[derive(Default)]
pub(crate) struct Pool {
    blocks: Mutex<Vec<Scratch>>,
    tensors: Mutex<Vec<Buffer>>,
}

impl Pool {
    pub fn with<R>(&self, f: impl FnOnce(&mut Scratch) -> R) -> R {
        let waiting = lock(&self.blocks).pop();
        let mut scratch = waiting.unwrap_or_default();
        let result = f(&mut scratch);
        lock(&self.blocks).push(scratch);
        result
    }

    /// The same for the whole of a tensor.
    pub fn with_tensor<R>(&self, f: impl FnOnce(&mut Buffer) -> R) -> R {
        // MemoryCandidates that was used before has its pages already.
        let waiting = lock(&self.tensors).pop();
        let mut buffer = waiting.unwrap_or_default();
        let result = f(&mut buffer);
        lock(&self.tensors).push(buffer);
        result
    }
}

impl Checkpoint {
    /// Some entries of a tensor, whose dtype is that of `T`.
    pub(crate) fn entries<'b, T: Pod>(
        &self,
        tensor: &Tensor,
        range: Range<usize>,
        buffer: &'b mut Buffer,
    ) -> Result<&'b mut [T], CheckpointError> {
        let entries = buffer.take::<T>(range.len());
        self.fill(tensor, range.start, entries)?;
        Ok(entries)
    }

    /// Reads entries of a tensor, from `start` on.
    pub(crate) fn fill<T: Pod>(&self, tensor: &Tensor, start: usize, entries: &mut [T]) -> Result<(), CheckpointError> {
        let bytes = bytemuck::cast_slice_mut(entries);
        self.shards[tensor.shard].read(bytes, tensor.start + (start * size_of::<T>()) as u64)?;
        to_native::<T>(bytes);
        Ok(())
    }

    /// Some entries of a parameter after its mask.
    pub(crate) fn values<'s, A: Element>(
        &self,
        parameter: &Parameter,
        range: Range<usize>,
        scratch: &'s mut Scratch,
    ) -> Result<&'s mut [A], CheckpointError> {
        let Scratch { weights, mask, remaining, .. } = scratch;
        let values = self.entries::<A>(&self.tensors[parameter.weights], range.clone(), weights)?;
        if let Some(remaining) = self.remaining(parameter, range, mask, remaining)? {
            values.iter_mut().zip(remaining).for_each(|(x, &remaining)| *x = x.masked(remaining));
        }
        Ok(values)
    }

    /// Whether entries of a parameter are remaining, by its mask; `None` if it has none.
    pub(crate) fn remaining<'s>(
        &self,
        parameter: &Parameter,
        range: Range<usize>,
        buffer: &mut Buffer,
        remaining: &'s mut Vec<bool>,
    ) -> Result<Option<&'s [bool]>, CheckpointError> {
        let Some(mask) = parameter.mask else { return Ok(None) };
        remaining.resize(range.len(), false);
        self.read_mask(&self.tensors[mask], range.start, buffer, remaining)?;
        Ok(Some(&remaining[..]))
    }

    /// Reads entries of a mask, from `start` on.
    pub(crate) fn read_mask(
        &self,
        tensor: &Tensor,
        start: usize,
        buffer: &mut Buffer,
        remaining: &mut [bool],
    ) -> Result<(), CheckpointError> {
        use ::safetensors::Dtype as D;
        match tensor.dtype.0 {
            D::I8 => self.read_mask_of::<i8>(tensor, start, buffer, remaining),
            D::I16 => self.read_mask_of::<i16>(tensor, start, buffer, remaining),
            D::U16 => self.read_mask_of::<u16>(tensor, start, buffer, remaining),
            D::I32 => self.read_mask_of::<i32>(tensor, start, buffer, remaining),
            D::U32 => self.read_mask_of::<u32>(tensor, start, buffer, remaining),
            D::I64 => self.read_mask_of::<i64>(tensor, start, buffer, remaining),
            D::U64 => self.read_mask_of::<u64>(tensor, start, buffer, remaining),
            D::F16 => self.read_mask_of::<half::f16>(tensor, start, buffer, remaining),
            D::BF16 => self.read_mask_of::<half::bf16>(tensor, start, buffer, remaining),
            D::F32 => self.read_mask_of::<f32>(tensor, start, buffer, remaining),
            D::F64 => self.read_mask_of::<f64>(tensor, start, buffer, remaining),
            // BOOL and U8: of the others, none is read as a mask.
            _ => self.read_mask_of::<u8>(tensor, start, buffer, remaining),
        }
    }

    fn read_mask_of<T: Pod + Num + ToPrimitive>(
        &self,
        tensor: &Tensor,
        start: usize,
        buffer: &mut Buffer,
        remaining: &mut [bool],
    ) -> Result<(), CheckpointError> {
        let entries = self.entries::<T>(tensor, start..start + remaining.len(), buffer)?;
        let mut valid = true;
        for (remaining, entry) in remaining.iter_mut().zip(&*entries) {
            *remaining = entry.is_one();
            valid &= *remaining | entry.is_zero();
        }
        match entries.iter().position(|entry| !valid && !entry.is_one() && !entry.is_zero()) {
            None => Ok(()),
            Some(position) => Err(CheckpointError::MaskValue {
                tensor: tensor.name.clone(),
                index: index_of(start + position, &tensor.shape),
                found: entries[position].to_f64().unwrap_or(f64::NAN),
            }),
        }
    }
}

/// Files are little-endian.
fn to_native<T>(bytes: &mut [u8]) {
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(size_of::<T>()).for_each(<[u8]>::reverse);
    }
}

/// Elements as a file holds them.
pub(crate) fn to_file<T: Pod>(elements: &mut [T]) -> &[u8] {
    let bytes = bytemuck::cast_slice_mut(elements);
    to_native::<T>(bytes);
    bytes
}

/// The length in bytes of the elements of a dtype, and which of their bits are 0 in a 0; `None` if this crate does not know.
pub(crate) fn zero_bits(dtype: Dtype) -> Option<(usize, u64)> {
    use ::safetensors::Dtype as D;
    let all = |bytes: usize| (bytes, u64::MAX >> (64 - 8 * bytes));
    // All but the sign.
    let float = |bytes: usize| (bytes, u64::MAX >> (65 - 8 * bytes));
    Some(match dtype.0 {
        D::BOOL | D::U8 | D::I8 => all(1),
        D::U16 | D::I16 => all(2),
        D::U32 | D::I32 => all(4),
        D::U64 | D::I64 => all(8),
        D::F16 | D::BF16 => float(2),
        D::F32 => float(4),
        D::F64 => float(8),
        D::F8_E5M2 | D::F8_E4M3 => float(1),
        // These have no -0.
        D::F8_E5M2FNUZ | D::F8_E4M3FNUZ => all(1),
        // Two floats.
        D::C64 => (8, 0x7fff_ffff_7fff_ffff),
        _ => return None,
    })
}

/// A computation for the element type that a tensor turns out to have.
pub(crate) trait Generic {
    type Output;
    fn run<A: Element>(self) -> Self::Output;
}

/// Runs it for the type of a dtype that can be pruned.
pub(crate) fn dispatch<G: Generic>(dtype: Dtype, generic: G) -> G::Output {
    use ::safetensors::Dtype as D;
    match dtype.0 {
        D::F64 => generic.run::<f64>(),
        D::F16 => generic.run::<half::f16>(),
        D::BF16 => generic.run::<half::bf16>(),
        // F32: nothing else is pruned.
        _ => generic.run::<f32>(),
    }
}
