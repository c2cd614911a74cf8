//! Writing packed tensors, and unpacking them, part by part.

use std::ops::Range;

use bytemuck::Pod;

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::ProgressCounter;
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::read::blocks::{Pool, Scratch, to_file};
use crate::checkpoint::read::cuts::{Cuts, Part};
use crate::checkpoint::read::packed::PackedEntry;
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::checkpoint::write::writer::Sink;
use crate::element::Element;
use crate::file::dtype::with_dtype;
use crate::sparse::bits::{self, row_bytes};
use crate::sparse::packed::matrix;
use crate::tensor::chunk::{count_true, running_sum};
use crate::tensor::parallel;

/// A parameter that is packed. What is kept was counted before, because the sizes of the output depend on it.
#[derive(Debug, Clone)]
pub(crate) struct PackPlan {
    /// An index into the parameters of the checkpoint.
    pub parameter: usize,
    /// The index of the first value of each part, and the number of all values.
    pub starts: Vec<usize>,
    /// The signs of zeros are written too.
    pub signs: bool,
}

/// The offsets of the parts of a packed tensor in the output.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PackedOffsets {
    pub compressed: u64,
    pub bitmask: u64,
    pub row_offsets: u64,
    pub signs: u64,
}

/// A packed tensor that is unpacked, with the places of its values.
#[derive(Debug, Clone)]
pub(crate) struct UnpackPlan {
    pub entry: PackedEntry,
    /// The index of the first value of each part, and the number of all values.
    pub starts: Vec<usize>,
}

/// The entries of a part that are kept.
enum Kept<'k> {
    /// The entries that the mask keeps.
    Mask(&'k [bool]),
    /// The entries that are not zero.
    Nonzero,
}

impl PackPlan {
    /// Counts what a parameter keeps: by its mask or, without one or with `signs`, by its zeros.
    pub fn count(
        checkpoint: &Checkpoint,
        parameter: usize,
        signs: bool,
        pool: &Pool,
        progress: &ProgressCounter<'_>,
    ) -> Result<Self, CheckpointError> {
        let entry = &checkpoint.parameters[parameter];
        let cuts = cuts(entry);
        let count = |number| {
            let range = cuts.part(number).entries(columns(entry));
            progress.add((range.len() * entry.dtype.bits() / 8) as u64)?;
            pool.with(|scratch| {
                with_dtype!(
                    entry.dtype,
                    A: Element => count_kept::<A>(checkpoint, entry, range, signs, scratch),
                    else => entry.dtype.cannot_be_pruned(),
                )
            })
        };
        let counts = parallel::try_map(cuts.len(), entry.entries, count)?;
        let starts = running_sum(&counts).chain([counts.iter().sum()]).collect();
        Ok(Self { parameter, starts, signs })
    }

    /// The number of kept entries.
    pub fn kept(&self) -> usize {
        self.starts.last().copied().unwrap_or_default()
    }

    /// Writes the parts of the packed tensor.
    pub fn write(
        &self,
        checkpoint: &Checkpoint,
        to: PackedOffsets,
        pool: &Pool,
        progress: &ProgressCounter<'_>,
        sink: Sink<'_>,
    ) -> Result<(), CheckpointError> {
        let entry = &checkpoint.parameters[self.parameter];
        let cuts = cuts(entry);
        parallel::try_each(cuts.len(), entry.entries, |number| {
            progress.add((cuts.part(number).entries(columns(entry)).len() * entry.dtype.bits() / 8) as u64)?;
            pool.with(|scratch| {
                with_dtype!(
                    entry.dtype,
                    A: Element => self.write_part::<A>(checkpoint, entry, number, to, scratch, sink),
                    else => entry.dtype.cannot_be_pruned(),
                )
            })
        })
    }

    fn write_part<A: Element>(
        &self,
        checkpoint: &Checkpoint,
        entry: &ParameterEntry,
        number: usize,
        to: PackedOffsets,
        scratch: &mut Scratch,
        sink: Sink<'_>,
    ) -> Result<(), CheckpointError> {
        let part = cuts(entry).part(number);
        let (all, width) = (columns(entry), part.columns.len());
        let mut packed = PackedPart::default();
        // Taken out, because reading borrows the rest. An error leaves the scratch without it, which is no more than an allocation.
        let mut buffer = std::mem::take(&mut scratch.out);
        let (values, kept) = load::<A>(checkpoint, entry, part.entries(all), self.signs, scratch)?;
        let out = buffer.take::<A>(self.starts[number + 1] - self.starts[number] + width);
        let mut count = 0;
        for (row, values) in values.chunks(width).enumerate() {
            packed.offsets.push((self.starts[number] + count) as i64);
            // If the file has changed since, there may be more values than were counted.
            let Some(out) = out.get_mut(count..).filter(|out| out.len() >= width) else {
                return Err(changed(checkpoint, entry.weights));
            };
            count += match kept {
                Kept::Mask(kept) => packed.row(values, |i, _| kept[row * width + i], out),
                Kept::Nonzero => packed.row(values, |_, x| !x.is_zero(), out),
            };
            if self.signs {
                packed.sign_row(values);
            }
        }
        if count != self.starts[number + 1] - self.starts[number] {
            return Err(changed(checkpoint, entry.weights));
        }
        let byte = (part.rows.start * row_bytes(all) + part.columns.start / 8) as u64;
        sink.write(to_file(&mut out[..count]), to.compressed + (self.starts[number] * size_of::<A>()) as u64)?;
        sink.write(&packed.bits, to.bitmask + byte)?;
        if self.signs {
            sink.write(&packed.signs, to.signs + byte)?;
        }
        scratch.out = buffer;
        // Of a row in several parts, the first one has its offset.
        if part.columns.start > 0 {
            return Ok(());
        }
        sink.write(to_file(&mut packed.offsets), to.row_offsets + (part.rows.start * size_of::<i64>()) as u64)
    }
}

/// The packed form of a part, without the values.
#[derive(Default)]
struct PackedPart {
    bits: Vec<u8>,
    signs: Vec<u8>,
    offsets: Vec<i64>,
}

impl PackedPart {
    /// Packs a row, and returns the number of its kept values.
    fn row<A: Element>(&mut self, values: &[A], kept: impl Fn(usize, A) -> bool, out: &mut [A]) -> usize {
        let start = self.bits.len();
        self.bits.resize(start + row_bytes(values.len()), 0);
        bits::pack(values, kept, &mut self.bits[start..], out)
    }

    fn sign_row<A: Element>(&mut self, values: &[A]) {
        let byte = |values: &[A]| {
            let is_signed = |x: &A| x.is_zero() && x.is_sign_negative();
            values.iter().rev().fold(0, |byte, x| byte << 1 | u8::from(is_signed(x)))
        };
        self.signs.extend(values.chunks(8).map(byte));
    }
}

/// Reads the values of a range, and what is kept of them.
fn load<'s, A: Element>(
    checkpoint: &Checkpoint,
    entry: &ParameterEntry,
    range: Range<usize>,
    signs: bool,
    scratch: &'s mut Scratch,
) -> Result<(&'s [A], Kept<'s>), CheckpointError> {
    if signs {
        // Also the signs of pruned entries, and NaN in the place of a pruned infinity.
        return Ok((checkpoint.values::<A>(entry, range, scratch)?, Kept::Nonzero));
    }
    let Scratch { weights, mask, remaining, .. } = scratch;
    let values = checkpoint.entries::<A>(&checkpoint.tensors[entry.weights], range.clone(), weights)?;
    let kept = checkpoint.remaining(entry, range, mask, remaining)?;
    Ok((values, kept.map_or(Kept::Nonzero, Kept::Mask)))
}

/// Returns how many entries of a range are kept.
fn count_kept<A: Element>(
    checkpoint: &Checkpoint,
    entry: &ParameterEntry,
    range: Range<usize>,
    signs: bool,
    scratch: &mut Scratch,
) -> Result<usize, CheckpointError> {
    let (values, kept) = load::<A>(checkpoint, entry, range, signs, scratch)?;
    Ok(match kept {
        Kept::Mask(kept) => count_true(kept),
        Kept::Nonzero => values.iter().filter(|x| !x.is_zero()).count(),
    })
}

fn columns(entry: &ParameterEntry) -> usize {
    matrix(&entry.shape).1
}

fn cuts(entry: &ParameterEntry) -> Cuts {
    let (rows, columns) = matrix(&entry.shape);
    Cuts::new(rows, columns, entry.dtype.bits() / 8)
}

/// The error for a tensor that has other kept entries than were counted.
fn changed(checkpoint: &Checkpoint, tensor: usize) -> CheckpointError {
    let shard = checkpoint.tensors[tensor].shard;
    CheckpointError::Changed { path: checkpoint.shards[shard].path().to_owned() }
}

impl UnpackPlan {
    /// Writes the dense tensor.
    pub fn write(
        &self,
        checkpoint: &Checkpoint,
        to: u64,
        pool: &Pool,
        progress: &ProgressCounter<'_>,
        sink: Sink<'_>,
    ) -> Result<(), CheckpointError> {
        let (cuts, dtype) = (self.entry.cuts(), self.entry.dtype);
        parallel::try_each(cuts.len(), self.entry.dense.entries(), |number| {
            let part = cuts.part(number);
            let values = self.starts[number]..self.starts[number + 1];
            progress.add((values.len() * dtype.bits() / 8) as u64)?;
            pool.with(|scratch| {
                with_dtype!(
                    dtype,
                    A: Element => self.write_part::<A>(checkpoint, &part, values, to, scratch, sink),
                    else => dtype.cannot_be_pruned(),
                )
            })
        })
    }

    fn write_part<A: Element>(
        &self,
        checkpoint: &Checkpoint,
        part: &Part,
        range: Range<usize>,
        to: u64,
        scratch: &mut Scratch,
        sink: Sink<'_>,
    ) -> Result<(), CheckpointError> {
        let parts = &self.entry.parts;
        let row = row_bytes(part.columns.len());
        let bits = self.entry.bits(checkpoint, parts.bitmask, part, scratch)?.to_vec();
        if bits::count(&bits) != range.len() {
            return Err(changed(checkpoint, parts.compressed));
        }
        let signs = match parts.signs {
            Some(signs) => self.entry.bits(checkpoint, signs, part, scratch)?.to_vec(),
            None => Vec::new(),
        };
        let Scratch { weights, out, .. } = scratch;
        let mut values = &*checkpoint.entries::<A>(&checkpoint.tensors[parts.compressed], range, weights)?;
        let entries = part.entries(self.entry.dense.columns);
        let dense = out.take::<A>(entries.len());
        for (dense, bits) in dense.chunks_mut(part.columns.len()).zip(bits.chunks(row)) {
            let taken = bits::unpack(bits, values, dense);
            values = &values[taken..];
        }
        for (dense, signs) in dense.chunks_mut(part.columns.len()).zip(signs.chunks(row)) {
            set_signs(dense, signs);
        }
        sink.write(to_file(dense), to + (entries.start * size_of::<A>()) as u64)
    }
}

/// Sets the zeros of a row that are -0.0. A sign of an entry that is not zero means nothing.
fn set_signs<A: Element + Pod>(dense: &mut [A], signs: &[u8]) {
    for (i, x) in dense.iter_mut().enumerate() {
        if signs[i / 8] >> (i % 8) & 1 == 1 && x.is_zero() {
            *x = -A::zero();
        }
    }
}
