//! Carrying a rule out on a parameter, block by block.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::checkpoint::CheckpointError;
use crate::checkpoint::progress::ProgressCounter;
use crate::checkpoint::prune::candidates::{FileCandidates, FileScores, narrowed, view};
use crate::checkpoint::prune::plan::Rule;
use crate::checkpoint::read::blocks::{Buffer, Generic, Pool, Scratch, block_entries, blocks, dispatch, to_file};
use crate::checkpoint::read::parameter::ParameterEntry as Parameter;
use crate::checkpoint::read::{Checkpoint, Dtype};
use crate::checkpoint::write::layout::Made;
use crate::element::Element;
use crate::file::bits::{pack, packed_len};
use crate::file::positional::write_at;
use crate::method::candidates::{MemoryCandidates, Tensor};
use crate::method::decision::{ChunkId, Decision};
use crate::method::request::{Reads, Request};
use crate::select::scores::infallible;
use crate::tensor::chunk::{CHUNK, Position, count_true};
use crate::tensor::parallel;

/// A tensor of up to so many bytes is kept in memory between looking for what is to go and writing it.
const HELD: usize = 16 << 20;

/// Where to write to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sink<'f> {
    pub file: &'f File,
    pub path: &'f Path,
}

impl Sink<'_> {
    pub fn write(&self, bytes: &[u8], place: u64) -> Result<(), CheckpointError> {
        write_at(self.file, bytes, place)
            .map_err(|source| CheckpointError::Write { path: self.path.to_owned(), source })
    }
}

/// One parameter to be pruned, and what is to be made of it.
pub(crate) struct Process<'p, 'o> {
    pub checkpoint: &'p Checkpoint,
    pub pool: &'p Pool,
    pub meter: &'p ProgressCounter<'o>,
    pub parameter: &'p Parameter,
    pub rule: &'p Rule,
    pub made: &'p Made,
    pub sink: Option<Sink<'p>>,
}

/// A parameter in memory, with its mask.
struct Held<'b, A> {
    weights: &'b [A],
    remaining: Option<Vec<bool>>,
}

impl<A: Element> Held<'_, A> {
    fn decide(&self, request: &Request, parameter: &Parameter) -> Result<Decision<A>, CheckpointError> {
        // Magnitudes of what is pruned count for a norm, as zeros.
        let masked = self.remaining.as_ref().filter(|_| request.reads() != Reads::Pieces);
        let values: Option<Vec<A>> = masked
            .map(|remaining| self.weights.iter().zip(remaining).map(|(x, &remaining)| x.masked(remaining)).collect());
        let scores = view(parameter, &parameter.shape, values.as_deref().unwrap_or(self.weights))?;
        let remaining =
            self.remaining.as_deref().map(|remaining| view(parameter, &parameter.shape, remaining)).transpose()?;
        Ok(infallible(request.decide(&MemoryCandidates::new(vec![Tensor { scores, remaining }]))))
    }
}

impl Process<'_, '_> {
    /// Returns how many entries are pruned then.
    pub fn run(self) -> Result<usize, CheckpointError> {
        dispatch(self.parameter.dtype, self)
    }
}

fn reads(rule: &Rule) -> Reads {
    match rule {
        Rule::Own { request, .. } => request.reads(),
        Rule::Keep | Rule::All { .. } | Rule::Packed(_) | Rule::Zeros => Reads::Nothing,
    }
}

/// The bytes that are read of a parameter.
pub(crate) fn work(checkpoint: &Checkpoint, parameter: &Parameter, rule: &Rule) -> u64 {
    let bytes = checkpoint.tensors[parameter.weights].bytes;
    match reads(rule) {
        Reads::Nothing | Reads::Whole => bytes,
        Reads::Pieces if bytes <= HELD as u64 => bytes,
        Reads::Pieces | Reads::Rows => 2 * bytes,
    }
}

impl Generic for Process<'_, '_> {
    type Output = Result<usize, CheckpointError>;

    fn run<A: Element>(self) -> Self::Output {
        let bytes = self.checkpoint.tensors[self.parameter.weights].bytes;
        match reads(self.rule) {
            Reads::Pieces if bytes <= HELD as u64 => {
                self.pool.with_tensor(|buffer| self.prune(Some(&self.hold::<A>(buffer)?)))
            }
            // There is no limit to its size, so it is not kept longer than it is needed.
            Reads::Whole => self.prune(Some(&self.hold::<A>(&mut Buffer::default())?)),
            Reads::Nothing | Reads::Pieces | Reads::Rows => self.prune::<A>(None),
        }
    }
}

/// A rule in the type of a parameter.
struct Decided<A: Element> {
    decision: Decision<A>,
    /// Its number among the parameters of the decision, and that of its first chunk.
    segment: usize,
    first: usize,
}

impl Process<'_, '_> {
    fn prune<A: Element>(&self, held: Option<&Held<'_, A>>) -> Result<usize, CheckpointError> {
        let decision = self.decide::<A>(held)?;
        let block = block_entries(size_of::<A>()).next_multiple_of(decision.decision.stretch());
        let ranges: Vec<_> = blocks(self.parameter.entries, block).collect();
        let pruned = AtomicUsize::new(0);
        parallel::try_each(ranges.len(), self.parameter.entries, |number| {
            let count = self.pool.with(|scratch| self.block(&decision, held, ranges[number].clone(), scratch))?;
            pruned.fetch_add(count, Ordering::Relaxed);
            Ok(())
        })?;
        Ok(pruned.into_inner())
    }

    /// Reads all of the parameter.
    fn hold<'b, A: Element>(&self, buffer: &'b mut Buffer) -> Result<Held<'b, A>, CheckpointError> {
        let Self { checkpoint, pool, meter, parameter, .. } = self;
        let tensor = &checkpoint.tensors[parameter.weights];
        let block = block_entries(size_of::<A>());
        let weights = buffer.take::<A>(parameter.entries);
        let mut remaining = parameter.mask.map(|_| vec![false; parameter.entries]);
        {
            let mut parts = remaining.as_deref_mut().map(|remaining| remaining.chunks_mut(block));
            let jobs = weights.chunks_mut(block).map(|weights| (weights, parts.as_mut().and_then(Iterator::next)));
            let jobs: Vec<_> = jobs.map(|job| std::sync::Mutex::new(Some(job))).collect();
            parallel::try_each(jobs.len(), parameter.entries, |number| {
                let Some((weights, remaining)) = parallel::lock(&jobs[number]).take() else { return Ok(()) };
                meter.add(size_of_val(weights) as u64)?;
                checkpoint.fill(tensor, number * block, weights)?;
                match (parameter.mask, remaining) {
                    (Some(mask), Some(remaining)) => pool.with(|scratch| {
                        checkpoint.read_mask(&checkpoint.tensors[mask], number * block, &mut scratch.mask, remaining)
                    }),
                    _ => Ok(()),
                }
            })?;
        }
        Ok(Held { weights, remaining })
    }

    fn decide<A: Element>(&self, held: Option<&Held<'_, A>>) -> Result<Decided<A>, CheckpointError> {
        let Self { checkpoint, pool, meter, parameter, .. } = *self;
        let (decision, segment, first) = match self.rule {
            Rule::Keep | Rule::Packed(_) | Rule::Zeros => (Decision::Keep, 0, 0),
            Rule::All { decision, segment, first } => (narrowed(decision), *segment, *first),
            Rule::Own { request, standing } => match held {
                Some(held) => (held.decide(request, parameter)?, 0, 0),
                None => {
                    let (parameters, standings) = (&[parameter], std::slice::from_ref(standing));
                    let scores = FileScores::<A>::new(checkpoint, parameters, pool, meter);
                    (request.decide(&FileCandidates { scores, parameters, standings })?, 0, 0)
                }
            },
        };
        Ok(Decided { decision, segment, first })
    }

    /// Whether the decision or the output needs the weights.
    fn needs_weights<A: Element>(&self, decision: &Decision<A>) -> bool {
        let output = self.sink.is_some() && (self.made.value.is_some() || self.made.orig.is_some());
        output || decision.looks_at_scores() || matches!(self.rule, Rule::Zeros)
    }

    /// Prunes a block, writes it if there is somewhere to write it to, and counts what is pruned of it.
    fn block<A: Element>(
        &self,
        Decided { decision, segment, first }: &Decided<A>,
        held: Option<&Held<'_, A>>,
        range: Range<usize>,
        scratch: &mut Scratch,
    ) -> Result<usize, CheckpointError> {
        let Self { checkpoint, parameter, .. } = self;
        let Scratch { weights, mask, out, remaining, kept, .. } = scratch;
        let weights: &mut [A] = match held {
            Some(held) => {
                let copy = weights.take(range.len());
                copy.copy_from_slice(&held.weights[range.clone()]);
                copy
            }
            None => {
                self.meter.add((range.len() * size_of::<A>()) as u64)?;
                if self.needs_weights(decision) {
                    checkpoint.entries(&checkpoint.tensors[parameter.weights], range.clone(), weights)?
                } else {
                    weights.take(range.len())
                }
            }
        };
        let remaining = match held {
            Some(held) => held.remaining.as_ref().map(|remaining| &remaining[range.clone()]),
            None => checkpoint.remaining(parameter, range.clone(), mask, remaining)?,
        };
        kept.clear();
        match remaining {
            Some(remaining) => kept.extend_from_slice(remaining),
            None => kept.resize(range.len(), true),
        }
        let stretch = decision.stretch();
        for (i, (scores, kept)) in weights.chunks(stretch).zip(kept.chunks_mut(stretch)).enumerate() {
            let offset = range.start + i * stretch;
            let start = Position { segment: *segment, offset };
            decision.clear(ChunkId { index: first + offset / CHUNK, start }, scores, kept);
        }
        match self.rule {
            Rule::Packed(masks) => {
                masks.clear(&parameter.name, range.clone(), out.take(packed_len(range.len())), kept)?;
            }
            Rule::Zeros => kept.iter_mut().zip(&*weights).for_each(|(kept, x)| *kept &= !x.is_zero()),
            _ => {}
        }
        if let Some(sink) = self.sink {
            let place = |to: u64, bits: usize| to + (range.start * bits / 8) as u64;
            if let Some(to) = self.made.bits {
                sink.write(&pack(kept), place(to, 1))?;
            }
            if let Some((to, dtype)) = self.made.mask {
                sink.write(as_numbers(kept, dtype, out), place(to, dtype.bits()))?;
            }
            let bits = size_of::<A>() * 8;
            if let Some(to) = self.made.orig {
                sink.write(to_file(weights), place(to, bits))?;
            } else if let Some(to) = self.made.value {
                weights.iter_mut().zip(&*kept).for_each(|(x, &kept)| *x = x.masked(kept));
                sink.write(to_file(weights), place(to, bits))?;
            }
        }
        Ok(range.len() - count_true(kept))
    }
}

/// A mask as ones and zeros of a dtype, in bytes.
fn as_numbers<'b>(kept: &[bool], dtype: Dtype, out: &'b mut Buffer) -> &'b [u8] {
    use ::safetensors::Dtype as D;
    let one: u64 = match dtype.0 {
        D::F64 => 1_f64.to_bits(),
        D::F32 => 1_f32.to_bits().into(),
        D::F16 => half::f16::ONE.to_bits().into(),
        D::BF16 => half::bf16::ONE.to_bits().into(),
        _ => 1,
    };
    macro_rules! write {
        ($unsigned:ty) => {{
            let numbers = out.take::<$unsigned>(kept.len());
            numbers
                .iter_mut()
                .zip(kept)
                .for_each(|(number, &kept)| *number = <$unsigned>::from(kept) * one as $unsigned);
            to_file(numbers)
        }};
    }
    match dtype.bits() {
        64 => write!(u64),
        32 => write!(u32),
        16 => write!(u16),
        _ => write!(u8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Phase;

    /// What nothing is made of is not read: of a mask at random, say, the weights.
    #[test]
    fn weights_are_read_where_they_are_needed() {
        let file = tempfile::tempfile().unwrap();
        let sink = Sink { file: &file, path: Path::new("") };
        let parameter = Parameter {
            name: String::new(),
            dtype: Dtype(::safetensors::Dtype::F32),
            shape: vec![1],
            entries: 1,
            weights: 0,
            mask: None,
        };
        let checkpoint = Checkpoint { shards: vec![], tensors: vec![], parameters: vec![], index: None };
        let needs = |rule: &Rule, decision: &Decision<f32>, made: &Made, sink: Option<Sink<'_>>| {
            let (pool, meter) = (&Pool::default(), &ProgressCounter::new(&(), Phase::Processing, 0));
            let (checkpoint, parameter) = (&checkpoint, &parameter);
            Process { checkpoint, pool, meter, parameter, rule, made, sink }.needs_weights(decision)
        };
        let bits = Made { bits: Some(0), ..Made::default() };
        let mask = Made { mask: Some((0, parameter.dtype)), ..Made::default() };
        let value = Made { value: Some(0), ..Made::default() };
        let orig = Made { orig: Some(0), ..Made::default() };
        let keep = Decision::Keep;
        for made in [&bits, &mask] {
            assert!(!needs(&Rule::Keep, &keep, made, Some(sink)) && !needs(&Rule::Keep, &keep, made, None));
        }
        for made in [&value, &orig] {
            assert!(needs(&Rule::Keep, &keep, made, Some(sink)) && !needs(&Rule::Keep, &keep, made, None));
        }
        let cut = Decision::Lowest(crate::select::Threshold::NOTHING);
        for made in [&bits, &value] {
            for (rule, decision) in [(Rule::Keep, &cut), (Rule::Zeros, &keep)] {
                assert!(needs(&rule, decision, made, Some(sink)) && needs(&rule, decision, made, None));
            }
        }
    }
}
