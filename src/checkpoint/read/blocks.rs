//! Reads parameters block by block, into buffers that are reused.

use std::ops::Range;
use std::sync::Mutex;

use bytemuck::Pod;
use num_traits::{Num, ToPrimitive};

use crate::checkpoint::CheckpointError;
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::checkpoint::read::{Checkpoint, Tensor};
use crate::element::Element;
use crate::file::dtype::with_dtype;
use crate::file::tensors::index_of;
use crate::tensor::chunk::CHUNK;
use crate::tensor::parallel::lock;

/// The size of a block, which a thread reads at once: large enough to make the call worthwhile, small enough for a cache.
const BLOCK_BYTES: usize = 1 << 20;

/// Returns the number of entries of a block if each takes `bytes` bytes: a multiple of [`CHUNK`].
pub(crate) fn block_entries(bytes: usize) -> usize {
    (BLOCK_BYTES / bytes.max(1)).max(CHUNK)
}

/// Divides a number of entries into blocks of at most `block`.
pub(crate) fn blocks(entries: usize, block: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    (0..entries.div_ceil(block)).map(move |i| i * block..((i + 1) * block).min(entries))
}

/// Memory for a block, aligned for every dtype. It grows to the largest block, and is reused.
#[derive(Default)]
pub(crate) struct Buffer(Vec<u64>);

impl Buffer {
    /// Returns `len` elements with arbitrary contents.
    pub fn take<T: Pod>(&mut self, len: usize) -> &mut [T] {
        let words = (len * size_of::<T>()).div_ceil(size_of::<u64>());
        if self.0.len() < words {
            self.0.resize(words, 0);
        }
        &mut bytemuck::cast_slice_mut(&mut self.0[..words])[..len]
    }
}

/// The buffers that a thread needs for a block.
#[derive(Default)]
pub(crate) struct Scratch {
    pub weights: Buffer,
    pub mask: Buffer,
    pub wide: Buffer,
    pub out: Buffer,
    pub remaining: Vec<bool>,
    pub kept: Vec<bool>,
}

/// Unused buffers: one set per thread, and some for whole tensors.
#[derive(Default)]
pub(crate) struct Pool {
    blocks: Mutex<Vec<Scratch>>,
    tensors: Mutex<Vec<Buffer>>,
}

impl Pool {
    /// Calls `f` with buffers for a block.
    pub fn with<R>(&self, f: impl FnOnce(&mut Scratch) -> R) -> R {
        reuse(&self.blocks, f)
    }

    /// Calls `f` with a buffer for a whole tensor.
    pub fn with_tensor<R>(&self, f: impl FnOnce(&mut Buffer) -> R) -> R {
        reuse(&self.tensors, f)
    }
}

/// Calls `f` with one of the unused buffers, or with a new one. The pages of a used buffer are mapped already.
fn reuse<T: Default, R>(unused: &Mutex<Vec<T>>, f: impl FnOnce(&mut T) -> R) -> R {
    let mut buffer = take(unused);
    let result = f(&mut buffer);
    put_back(unused, buffer);
    result
}

// Not a part of `reuse`, which is compiled for each of its callers.
fn take<T: Default>(unused: &Mutex<Vec<T>>) -> T {
    let waiting = lock(unused).pop();
    waiting.unwrap_or_default()
}

fn put_back<T>(unused: &Mutex<Vec<T>>, buffer: T) {
    lock(unused).push(buffer);
}

impl Checkpoint {
    /// Reads a range of the entries of a tensor, whose dtype has the size of `T`.
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

    /// Reads the entries of a tensor that begin at entry `start`.
    pub(crate) fn fill<T: Pod>(&self, tensor: &Tensor, start: usize, entries: &mut [T]) -> Result<(), CheckpointError> {
        let bytes = bytemuck::cast_slice_mut(entries);
        self.shards[tensor.shard].read(bytes, tensor.start + (start * size_of::<T>()) as u64)?;
        to_native::<T>(bytes);
        Ok(())
    }

    /// Returns whether two tensors of the same length have the same bytes. Reads up to the first block that differs.
    pub(crate) fn have_equal_bytes(&self, a: usize, b: usize) -> Result<bool, CheckpointError> {
        let (a, b) = (&self.tensors[a], &self.tensors[b]);
        let mut buffers = [Buffer::default(), Buffer::default()];
        for range in blocks(a.bytes.min(b.bytes) as usize, block_entries(1)) {
            let [left, right] = &mut buffers;
            if self.entries::<u8>(a, range.clone(), left)? != self.entries::<u8>(b, range, right)? {
                return Ok(false);
            }
        }
        Ok(a.bytes == b.bytes)
    }

    /// Reads a range of the entries of a parameter and multiplies them by its mask.
    pub(crate) fn values<'s, A: Element>(
        &self,
        parameter: &ParameterEntry,
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

    /// Reads a range of the mask of a parameter: `true` for remaining entries. Returns `None` if it has no mask.
    pub(crate) fn remaining<'s>(
        &self,
        parameter: &ParameterEntry,
        range: Range<usize>,
        buffer: &mut Buffer,
        remaining: &'s mut Vec<bool>,
    ) -> Result<Option<&'s [bool]>, CheckpointError> {
        let Some(mask) = parameter.mask else { return Ok(None) };
        remaining.resize(range.len(), false);
        self.read_mask(&self.tensors[mask], range.start, buffer, remaining)?;
        Ok(Some(&remaining[..]))
    }

    /// Reads the entries of a mask that begin at entry `start`: `true` for remaining entries.
    pub(crate) fn read_mask(
        &self,
        tensor: &Tensor,
        start: usize,
        buffer: &mut Buffer,
        remaining: &mut [bool],
    ) -> Result<(), CheckpointError> {
        with_dtype!(
            tensor.dtype,
            T: Number => self.read_mask_of::<T>(tensor, start, buffer, remaining),
            // `parameters` takes no tensor of another dtype for a mask.
            else => unreachable!("a mask of dtype {}", tensor.dtype),
        )
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

/// Converts elements between the byte order of files, which is little-endian, and that of this machine.
fn to_native<T>(bytes: &mut [u8]) {
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(size_of::<T>()).for_each(<[u8]>::reverse);
    }
}

/// Converts elements to the byte order of files, in place.
pub(crate) fn to_file<T: Pod>(elements: &mut [T]) -> &[u8] {
    let bytes = bytemuck::cast_slice_mut(elements);
    to_native::<T>(bytes);
    bytes
}
