//! Executing the plan for a parameter: a new mask is found, and blocks are loaded, pruned and written.

use std::ops::Range;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytemuck::Pod;
use num_traits::Num;

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::ProgressCounter;
use crate::checkpoint::prune::candidates::{FileCandidates, narrowed};
use crate::checkpoint::prune::loaded::LoadedTensor;
use crate::checkpoint::prune::plan::{MaskPlan, ParameterPlan};
use crate::checkpoint::read::blocks::{Buffer, Pool, Scratch, block_entries, blocks, to_file};
use crate::checkpoint::read::mask_file::MaskFile;
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::checkpoint::read::{Checkpoint, Dtype};
use crate::checkpoint::report::CalibrationReport;
use crate::checkpoint::write::layout::file::OutputSlots;
use crate::checkpoint::write::writer::Sink;
use crate::element::Element;
use crate::file::bits::{pack, packed_len};
use crate::file::dtype::with_dtype;
use crate::method::Reconstruction;
use crate::method::decision::{ChunkId, Decision};
use crate::method::resolved::{Reads, ResolvedRequest};
use crate::select::scores::infallible;
use crate::tensor::chunk::{CHUNK, count_true};
use crate::tensor::{flat, parallel};

/// Tensors up to this size stay in memory between selection and writing.
const MAX_LOADED_BYTES: u64 = 16 << 20;

/// The execution of the plan for one parameter.
pub(crate) struct Execute<'e, 'o> {
    pub checkpoint: &'e Checkpoint,
    pub pool: &'e Pool,
    pub progress: &'e ProgressCounter<'o>,
    pub plan: &'e ParameterPlan<'e>,
    pub slots: &'e OutputSlots,
    /// The output file; `None` if pruned entries are only counted.
    pub sink: Option<Sink<'e>>,
    /// Weights are read to count those that were zero before.
    pub counts_zeros: bool,
}

/// The numbers of entries that are pruned.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pruned {
    /// The report of a method with data.
    pub calibration: Option<CalibrationReport>,
    pub after: usize,
    /// The number among them that was zero before, by the mask or, if zeros are counted, by value.
    pub before: usize,
}

/// The origin of a new mask, in the element type of the parameter. It only clears entries of the mask in the input.
pub(super) enum NewMask<'e, A: Element> {
    /// A decision about parameters, and the place of this one's first chunk among theirs.
    Decision { decision: Decision<A>, first: ChunkId },
    /// The mask and the weights of a method that changes weights.
    Reconstructed(Box<Reconstruction<A>>),
    /// The mask in a mask file.
    File(&'e MaskFile),
    /// The zeros among the weights.
    Zeros,
}

impl ParameterPlan<'_> {
    /// The way in which weights are read to decide about this parameter.
    fn reads(&self) -> Reads {
        match &self.mask {
            _ if self.measure.is_some() => Reads::Whole,
            MaskPlan::Request { request, .. } => request.reads(),
            MaskPlan::Custom(_) => Reads::Whole,
            MaskPlan::Unchanged | MaskPlan::Global { .. } | MaskPlan::File(_) | MaskPlan::Zeros => Reads::Nothing,
        }
    }

    /// Returns the number of bytes that are read if the plan is executed, with or without a sink.
    pub fn work(&self, checkpoint: &Checkpoint, is_written: bool) -> u64 {
        if self.skip.is_some() || !is_written && self.after.is_some() {
            return 0;
        }
        let bytes = checkpoint.tensors[self.parameter.weights].bytes;
        match self.reads() {
            Reads::Nothing | Reads::Whole => bytes,
            Reads::Pieces if bytes <= MAX_LOADED_BYTES => bytes,
            Reads::Pieces | Reads::Rows => 2 * bytes,
        }
    }
}

impl<A: Element> NewMask<'_, A> {
    /// The mask is made for stretches of this many entries, and the rest: a multiple of 8.
    fn stretch(&self) -> usize {
        match self {
            Self::Decision { decision, .. } => decision.stretch(),
            Self::Reconstructed(_) | Self::File(_) | Self::Zeros => CHUNK,
        }
    }

    /// Returns `true` if [`clear`](Self::clear) needs the weights.
    fn needs_weights(&self) -> bool {
        match self {
            Self::Decision { decision, .. } => decision.reads_scores(),
            Self::Reconstructed(_) | Self::File(_) => false,
            Self::Zeros => true,
        }
    }

    /// The weights of a block that replace those of the input, if there are any.
    pub(super) fn replaced(&self, range: &Range<usize>) -> Option<&[A]> {
        match self {
            Self::Reconstructed(done) => Some(&flat(&done.weights)[range.clone()]),
            Self::Decision { .. } | Self::File(_) | Self::Zeros => None,
        }
    }

    /// Clears the pruned entries of a block of the mask, which begins at a multiple of [`stretch`](Self::stretch).
    pub(super) fn clear(
        &self,
        parameter: &ParameterEntry,
        range: Range<usize>,
        weights: &[A],
        kept: &mut [bool],
        buffer: &mut Buffer,
    ) -> Result<(), CheckpointError> {
        match self {
            Self::Decision { decision, first } => {
                let stretch = decision.stretch();
                for (i, (scores, kept)) in weights.chunks(stretch).zip(kept.chunks_mut(stretch)).enumerate() {
                    decision.clear(first.at(range.start + i * stretch, stretch), scores, kept);
                }
                Ok(())
            }
            Self::Reconstructed(done) => {
                let new = &done.mask.as_slice()[range];
                kept.iter_mut().zip(new).for_each(|(kept, new)| *kept &= new);
                Ok(())
            }
            Self::File(masks) => {
                masks.clear(&parameter.name, range.clone(), buffer.take(packed_len(range.len())), kept)
            }
            Self::Zeros => {
                kept.iter_mut().zip(weights).for_each(|(kept, x)| *kept &= !x.is_zero());
                Ok(())
            }
        }
    }
}

/// The decision of a built-in method about a loaded tensor.
fn decide_request<A: Element>(
    loaded: &LoadedTensor<'_, A>,
    request: &ResolvedRequest,
) -> Result<Decision<A>, CheckpointError> {
    let as_values = match request.reads() {
        // Pruned entries are no candidates.
        Reads::Nothing | Reads::Pieces => false,
        // For a norm, pruned entries count as zeros.
        Reads::Rows | Reads::Whole => true,
    };
    loaded.with_candidates(as_values, |candidates| Ok(infallible(request.decide(candidates))))
}

impl Execute<'_, '_> {
    /// Makes the tensors of the parameter, and returns the numbers of entries that are pruned in them.
    pub fn run(self) -> Result<Pruned, CheckpointError> {
        let dtype = self.plan.parameter.dtype;
        with_dtype!(dtype, A: Element => self.run_typed::<A>(), else => dtype.cannot_be_pruned())
    }

    fn run_typed<A: Element>(self) -> Result<Pruned, CheckpointError> {
        let bytes = self.checkpoint.tensors[self.plan.parameter.weights].bytes;
        match self.plan.reads() {
            Reads::Pieces if bytes <= MAX_LOADED_BYTES => {
                self.pool.with_tensor(|buffer| self.blocks(Some(&self.load::<A>(buffer)?)))
            }
            // The size has no limit, so the memory is not kept in the pool.
            Reads::Whole => self.blocks(Some(&self.load::<A>(&mut Buffer::default())?)),
            Reads::Nothing | Reads::Pieces | Reads::Rows => self.blocks::<A>(None),
        }
    }

    pub(super) fn load<'b, A: Element>(
        &'b self,
        buffer: &'b mut Buffer,
    ) -> Result<LoadedTensor<'b, A>, CheckpointError> {
        LoadedTensor::load(self.checkpoint, self.plan.parameter, self.pool, self.progress, buffer)
    }

    /// Finds the new mask, of a tensor in memory if it is loaded.
    fn new_mask<A: Element>(&self, loaded: Option<&LoadedTensor<'_, A>>) -> Result<NewMask<'_, A>, CheckpointError> {
        let Self { checkpoint, pool, progress, plan, .. } = *self;
        let alone = |decision| NewMask::Decision { decision, first: ChunkId::FIRST };
        Ok(match &plan.mask {
            MaskPlan::Unchanged => alone(Decision::Keep),
            MaskPlan::Request { request, remaining } => alone(match loaded {
                Some(loaded) => decide_request(loaded, request)?,
                None => {
                    let remaining = slice::from_ref(remaining);
                    request.decide(&FileCandidates::<A>::new(checkpoint, remaining, pool, progress))?
                }
            }),
            MaskPlan::Custom(method) => match loaded {
                Some(loaded) => self.custom(method, loaded)?,
                None => self.custom(method, &self.load(&mut Buffer::default())?)?,
            },
            MaskPlan::Global { decision, first } => NewMask::Decision { decision: narrowed(decision), first: *first },
            MaskPlan::File(masks) => NewMask::File(masks),
            MaskPlan::Zeros => NewMask::Zeros,
        })
    }

    /// Prunes block by block, and counts the pruned entries.
    fn blocks<A: Element>(&self, loaded: Option<&LoadedTensor<'_, A>>) -> Result<Pruned, CheckpointError> {
        let new_mask = self.new_mask(loaded)?;
        let calibration = self.calibration(&new_mask, loaded)?;
        let entries = self.plan.parameter.entries;
        let block = block_entries(size_of::<A>()).next_multiple_of(new_mask.stretch());
        let ranges: Vec<_> = blocks(entries, block).collect();
        let (after, before) = (AtomicUsize::new(0), AtomicUsize::new(0));
        parallel::try_each(ranges.len(), entries, |number| {
            let block = self.pool.with(|scratch| self.block(&new_mask, loaded, ranges[number].clone(), scratch))?;
            after.fetch_add(block.after, Ordering::Relaxed);
            before.fetch_add(block.before, Ordering::Relaxed);
            Ok(())
        })?;
        Ok(Pruned { calibration, after: after.into_inner(), before: before.into_inner() })
    }

    /// Loads a block, prunes it, writes it if there is a sink, and counts the pruned entries.
    fn block<A: Element>(
        &self,
        new_mask: &NewMask<'_, A>,
        loaded: Option<&LoadedTensor<'_, A>>,
        range: Range<usize>,
        scratch: &mut Scratch,
    ) -> Result<Pruned, CheckpointError> {
        let Scratch { weights, mask, out, remaining, kept, .. } = scratch;
        let weights = self.load_weights(loaded, new_mask, &range, weights)?;
        let remaining = match loaded {
            Some(loaded) => loaded.remaining.as_ref().map(|remaining| &remaining[range.clone()]),
            None => self.checkpoint.remaining(self.plan.parameter, range.clone(), mask, remaining)?,
        };
        kept.clear();
        match remaining {
            Some(remaining) => kept.extend_from_slice(remaining),
            None => kept.resize(range.len(), true),
        }
        new_mask.clear(self.plan.parameter, range.clone(), weights, kept, out)?;
        let after = range.len() - count_true(kept);
        let before = match (self.counts_zeros, remaining) {
            (true, Some(remaining)) => {
                let was_zero = |((x, &kept), &remaining): ((&A, &bool), &bool)| !kept & (!remaining | x.is_zero());
                count(weights.iter().zip(&*kept).zip(remaining).map(was_zero))
            }
            (true, None) => count(weights.iter().zip(&*kept).map(|(x, &kept)| !kept & x.is_zero())),
            (false, Some(remaining)) => range.len() - count_true(remaining),
            (false, None) => 0,
        };
        if let Some(new) = new_mask.replaced(&range) {
            weights.copy_from_slice(new);
        }
        if let Some(sink) = self.sink {
            self.write(sink, range.start, weights, kept, out)?;
        }
        Ok(Pruned { calibration: None, after, before })
    }

    /// The weights of a block. Their content is arbitrary if neither the new mask nor the output needs them.
    fn load_weights<'b, A: Element>(
        &self,
        loaded: Option<&LoadedTensor<'_, A>>,
        new_mask: &NewMask<'_, A>,
        range: &Range<usize>,
        buffer: &'b mut Buffer,
    ) -> Result<&'b mut [A], CheckpointError> {
        let Self { checkpoint, progress, plan: ParameterPlan { parameter, .. }, .. } = self;
        if let Some(loaded) = loaded {
            let copy = buffer.take(range.len());
            copy.copy_from_slice(&loaded.weights[range.clone()]);
            return Ok(copy);
        }
        progress.add((range.len() * size_of::<A>()) as u64)?;
        if self.needs_weights(new_mask) {
            checkpoint.entries(&checkpoint.tensors[parameter.weights], range.clone(), buffer)
        } else {
            Ok(buffer.take(range.len()))
        }
    }

    /// Returns `true` if the new mask or the output needs the weights.
    fn needs_weights<A: Element>(&self, new_mask: &NewMask<'_, A>) -> bool {
        let is_written = self.sink.is_some() && (self.slots.value.is_some() || self.slots.orig.is_some());
        is_written || self.counts_zeros || new_mask.needs_weights()
    }

    /// Writes the part of each output tensor that begins with the entry `start`. The weights are overwritten.
    fn write<A: Element>(
        &self,
        sink: Sink<'_>,
        start: usize,
        weights: &mut [A],
        kept: &[bool],
        buffer: &mut Buffer,
    ) -> Result<(), CheckpointError> {
        let offset = |to: u64, bits: usize| to + (start * bits / 8) as u64;
        if let Some(to) = self.slots.bits {
            sink.write(&pack(kept), offset(to, 1))?;
        }
        if let Some((to, dtype)) = self.slots.mask {
            sink.write(as_numbers(kept, dtype, buffer), offset(to, dtype.bits()))?;
        }
        let bits = size_of::<A>() * 8;
        if let Some(to) = self.slots.orig {
            sink.write(to_file(weights), offset(to, bits))?;
        } else if let Some(to) = self.slots.value {
            weights.iter_mut().zip(kept).for_each(|(x, &kept)| *x = x.masked(kept));
            sink.write(to_file(weights), offset(to, bits))?;
        }
        Ok(())
    }
}

fn count(conditions: impl Iterator<Item = bool>) -> usize {
    conditions.map(usize::from).sum()
}

/// A mask as ones and zeros of a dtype, in bytes.
fn as_numbers<'b>(kept: &[bool], dtype: Dtype, out: &'b mut Buffer) -> &'b [u8] {
    fn numbers<'b, T: Pod + Num>(kept: &[bool], out: &'b mut Buffer) -> &'b [u8] {
        let numbers = out.take::<T>(kept.len());
        let number = |kept| if kept { T::one() } else { T::zero() };
        numbers.iter_mut().zip(kept).for_each(|(out, &kept)| *out = number(kept));
        to_file(numbers)
    }
    with_dtype!(
        dtype,
        T: Number => numbers::<T>(kept, out),
        // The mask in the input has this dtype, or the tensor has.
        else => unreachable!("a mask of dtype {dtype}"),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use super::*;
    use crate::checkpoint::progress::Phase;
    use crate::select::Threshold;

    /// Weights are read only if the method or the output needs them. A random mask needs none.
    #[test]
    fn weights_are_read_where_they_are_needed() {
        let file = tempfile::tempfile().unwrap();
        let turn = Mutex::new(());
        let sink = Sink { file: &file, turn: &turn, path: Path::new("") };
        let parameter = ParameterEntry {
            name: String::new(),
            dtype: Dtype(::safetensors::Dtype::F32),
            shape: vec![1],
            entries: 1,
            weights: 0,
            mask: None,
        };
        let checkpoint =
            Checkpoint { shards: vec![], tensors: vec![], parameters: vec![], index: None, ignored_index: None };
        let (pool, progress) = (Pool::default(), ProgressCounter::new(&(), Phase::Processing, 0));
        let plan = ParameterPlan::new(&parameter, None);
        let needs = |new_mask: &NewMask<'_, f32>, slots: &OutputSlots| {
            [None, Some(sink)].map(|sink| {
                let (checkpoint, pool, progress, plan) = (&checkpoint, &pool, &progress, &plan);
                Execute { checkpoint, pool, progress, plan, slots, sink, counts_zeros: false }.needs_weights(new_mask)
            })
        };
        let bits = OutputSlots { bits: Some(0), ..OutputSlots::default() };
        let mask = OutputSlots { mask: Some((0, parameter.dtype)), ..OutputSlots::default() };
        let value = OutputSlots { value: Some(0), ..OutputSlots::default() };
        let orig = OutputSlots { orig: Some(0), ..OutputSlots::default() };
        let decision = |decision| NewMask::Decision { decision, first: ChunkId::FIRST };
        for slots in [&bits, &mask] {
            assert_eq!(needs(&decision(Decision::Keep), slots), [false, false]);
        }
        for slots in [&value, &orig] {
            assert_eq!(needs(&decision(Decision::Keep), slots), [false, true]);
        }
        for slots in [&bits, &value] {
            for new_mask in [decision(Decision::Lowest(Threshold::NOTHING)), NewMask::Zeros] {
                assert_eq!(needs(&new_mask, slots), [true, true]);
            }
        }
    }
}
