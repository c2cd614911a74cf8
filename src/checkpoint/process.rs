//! Carrying a rule out on a parameter, block by block.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{ArrayViewD, IxDyn};

use super::meter::Meter;
use super::parameter::Parameter;
use super::plan::Made;
use super::positioned::write_at;
use super::rule::Rule;
use super::scores::{Scores, narrow_key};
use super::stream::{Buffer, Generic, Pool, Scratch, block_entries, blocks, dispatch, to_file};
use super::{Checkpoint, CheckpointError, Dtype};
use crate::channels::Channels;
use crate::chunk::{CHUNK, Position, Segment, count_true};
use crate::decision::{Decision, Place};
use crate::draw::Draw;
use crate::key::Ranked;
use crate::safetensors::bits::{pack, packed_len};
use crate::select::{Cut, lowest, lowest_keys, lowest_of};
use crate::{Element, Norm, norm, parallel};

/// A tensor of up to so many bytes is kept in memory between looking for what is to go and writing it.
const HELD: usize = 16 << 20;
/// Rows are read in groups of about so many bytes.
const ROWS: usize = 8 << 20;

/// Where to write to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sink<'f> {
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
pub(super) struct Process<'p, 'o> {
    pub checkpoint: &'p Checkpoint,
    pub pool: &'p Pool,
    pub meter: &'p Meter<'o>,
    pub parameter: &'p Parameter,
    pub rule: &'p Rule,
    pub made: &'p Made,
    pub sink: Option<Sink<'p>>,
}

/// A parameter in memory, with its mask.
struct Held<'b, A> {
    weights: &'b [A],
    alive: Option<Vec<bool>>,
}

impl Process<'_, '_> {
    /// Returns how many entries are pruned then.
    pub fn run(self) -> Result<usize, CheckpointError> {
        dispatch(self.parameter.dtype, self)
    }
}

/// The bytes that are read of a parameter.
pub(super) fn work(checkpoint: &Checkpoint, parameter: &Parameter, rule: &Rule) -> u64 {
    let bytes = checkpoint.tensors[parameter.weights].bytes;
    match rule {
        Rule::L1 { .. } if bytes > HELD as u64 => 2 * bytes,
        Rule::Ln { channels, .. } if channels.axis == 0 => 2 * bytes,
        _ => bytes,
    }
}

impl Generic for Process<'_, '_> {
    type Output = Result<usize, CheckpointError>;

    fn run<A: Element>(self) -> Self::Output {
        let bytes = self.checkpoint.tensors[self.parameter.weights].bytes;
        match self.rule {
            Rule::L1 { .. } if bytes <= HELD as u64 => {
                self.pool.with_tensor(|buffer| self.prune(Some(&self.hold::<A>(buffer)?)))
            }
            Rule::Ln { channels, .. } if channels.axis != 0 => {
                // There is no limit to its size, so it is not kept longer than it is needed.
                self.prune(Some(&self.hold::<A>(&mut Buffer::default())?))
            }
            _ => self.prune::<A>(None),
        }
    }
}

/// A rule in the type of a parameter.
struct Decided<A: Element> {
    decision: Decision<'static, A>,
    /// Its number among the parameters of the decision, and that of its first chunk.
    segment: usize,
    first: usize,
}

impl Process<'_, '_> {
    fn prune<A: Element>(&self, held: Option<&Held<'_, A>>) -> Result<usize, CheckpointError> {
        let decision = self.decide::<A>(held)?;
        let block = block_entries(size_of::<A>());
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
        let mut alive = parameter.mask.map(|_| vec![false; parameter.entries]);
        {
            let mut parts = alive.as_deref_mut().map(|alive| alive.chunks_mut(block));
            let jobs = weights.chunks_mut(block).map(|weights| (weights, parts.as_mut().and_then(Iterator::next)));
            let jobs: Vec<_> = jobs.map(|job| std::sync::Mutex::new(Some(job))).collect();
            parallel::try_each(jobs.len(), parameter.entries, |number| {
                let Some((weights, alive)) = parallel::lock(&jobs[number]).take() else { return Ok(()) };
                meter.add(size_of_val(weights) as u64)?;
                checkpoint.fill(tensor, number * block, weights)?;
                match (parameter.mask, alive) {
                    (Some(mask), Some(alive)) => pool.with(|scratch| {
                        checkpoint.read_mask(&checkpoint.tensors[mask], number * block, &mut scratch.mask, alive)
                    }),
                    _ => Ok(()),
                }
            })?;
        }
        Ok(Held { weights, alive })
    }

    fn decide<A: Element>(&self, held: Option<&Held<'_, A>>) -> Result<Decided<A>, CheckpointError> {
        let (mut segment, mut first) = (0, 0);
        let decision = match self.rule {
            Rule::Keep | Rule::Packed(_) | Rule::Zeros => Decision::Keep,
            &Rule::L1 { count } => Decision::Cut(match held {
                Some(Held { weights, alive }) => lowest(&[Segment { scores: weights, alive: alive.as_deref() }], count),
                None => {
                    let Self { checkpoint, pool, meter, parameter, .. } = *self;
                    lowest_of(&Scores::<A>::new(checkpoint, &[parameter], pool, meter), count)?
                }
            }),
            Rule::Cut { cut, segment: own } => {
                segment = *own;
                let (key, exact) = narrow_key::<A>(cut.key);
                // Where no entry can be at the cut, all those below go and nothing else.
                Decision::Cut(Cut { key, end: if exact { cut.end } else { Position::START }, tie: cut.tie })
            }
            Rule::Random { seed, count, standing } => {
                let living = standing.chunks(self.parameter);
                Decision::Draw(Arc::new(Draw::of(*seed, &living, self.parameter.entries, *count)))
            }
            Rule::Draw { first: own, draw } => {
                first = *own;
                Decision::Draw(Arc::clone(draw))
            }
            Rule::Ln { norm, channels, living, count } => {
                let norms = match held {
                    Some(held) => self.norms_of_held(held, channels, living, *norm)?,
                    None => self.norms_of_rows::<A>(channels, living, *norm)?,
                };
                let keys: Vec<A::Key> = norms.into_iter().map(Ranked::key).collect();
                let mut pruned = vec![false; channels.len];
                let (lowest, _) = lowest_keys(&keys, *count);
                living.iter().zip(lowest).for_each(|(&channel, lowest)| pruned[channel] = lowest);
                Decision::Channels(*channels, pruned)
            }
            Rule::Channels { channels, pruned } => Decision::Channels(*channels, pruned.clone()),
        };
        Ok(Decided { decision, segment, first })
    }

    fn norms_of_held<A: Element>(
        &self,
        held: &Held<'_, A>,
        channels: &Channels,
        living: &[usize],
        norm: Norm,
    ) -> Result<Vec<A>, CheckpointError> {
        let Some(alive) = &held.alive else {
            return Ok(norm::norms(self.view(&self.parameter.shape, held.weights)?, channels, living, norm));
        };
        let values: Vec<A> = held.weights.iter().zip(alive).map(|(x, &alive)| x.times(alive)).collect();
        Ok(norm::norms(self.view(&self.parameter.shape, &values)?, channels, living, norm))
    }

    /// The norms of channels that are rows, which lie one after the other: of some rows at a time.
    fn norms_of_rows<A: Element>(
        &self,
        channels: &Channels,
        living: &[usize],
        norm: Norm,
    ) -> Result<Vec<A>, CheckpointError> {
        let row = channels.inner;
        let group = (ROWS / (row * size_of::<A>()).max(1)).clamp(1, channels.len.max(1));
        let mut norms = Vec::with_capacity(channels.len);
        let mut scratch = Scratch::default();
        for rows in blocks(channels.len, group) {
            let range = rows.start * row..rows.end * row;
            self.meter.add((range.len() * size_of::<A>()) as u64)?;
            let values = self.checkpoint.values::<A>(self.parameter, range, &mut scratch)?;
            let mut shape = self.parameter.shape.clone();
            shape[0] = rows.len();
            let (part, all): (_, Vec<_>) = (Channels { len: rows.len(), ..*channels }, (0..rows.len()).collect());
            norms.extend(norm::norms(self.view(&shape, values)?, &part, &all, norm));
        }
        Ok(living.iter().map(|&channel| norms[channel]).collect())
    }

    fn view<'v, A>(&self, shape: &[usize], entries: &'v [A]) -> Result<ArrayViewD<'v, A>, CheckpointError> {
        ArrayViewD::from_shape(IxDyn(shape), entries).map_err(|_| CheckpointError::ImpossibleShape {
            tensor: self.parameter.name.clone(),
            found: shape.to_vec(),
        })
    }

    /// Whether the rule or the output needs the weights.
    fn needs_weights(&self) -> bool {
        let output = self.sink.is_some() && (self.made.value.is_some() || self.made.orig.is_some());
        output || matches!(self.rule, Rule::L1 { .. } | Rule::Cut { .. } | Rule::Zeros)
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
        let Scratch { weights, mask, out, alive, kept, .. } = scratch;
        let weights: &mut [A] = match held {
            Some(held) => {
                let copy = weights.take(range.len());
                copy.copy_from_slice(&held.weights[range.clone()]);
                copy
            }
            None => {
                self.meter.add((range.len() * size_of::<A>()) as u64)?;
                if self.needs_weights() {
                    checkpoint.entries(&checkpoint.tensors[parameter.weights], range.clone(), weights)?
                } else {
                    weights.take(range.len())
                }
            }
        };
        let alive = match held {
            Some(held) => held.alive.as_ref().map(|alive| &alive[range.clone()]),
            None => checkpoint.alive(parameter, range.clone(), mask, alive)?,
        };
        kept.clear();
        match alive {
            Some(alive) => kept.extend_from_slice(alive),
            None => kept.resize(range.len(), true),
        }
        for (i, (scores, kept)) in weights.chunks(CHUNK).zip(kept.chunks_mut(CHUNK)).enumerate() {
            let offset = range.start + i * CHUNK;
            let start = Position { segment: *segment, offset };
            decision.clear(Place { index: first + offset / CHUNK, start }, scores, kept);
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
                weights.iter_mut().zip(&*kept).for_each(|(x, &kept)| *x = x.times(kept));
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
    use super::super::Phase;
    use super::*;

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
        let needs = |rule: &Rule, made: &Made, sink: Option<Sink<'_>>| {
            let (pool, meter) = (&Pool::default(), &Meter::new(&(), Phase::Processing, 0));
            let (checkpoint, parameter) = (&checkpoint, &parameter);
            Process { checkpoint, pool, meter, parameter, rule, made, sink }.needs_weights()
        };
        let bits = Made { bits: Some(0), ..Made::default() };
        let mask = Made { mask: Some((0, parameter.dtype)), ..Made::default() };
        let value = Made { value: Some(0), ..Made::default() };
        let orig = Made { orig: Some(0), ..Made::default() };
        for made in [&bits, &mask] {
            assert!(!needs(&Rule::Keep, made, Some(sink)) && !needs(&Rule::Keep, made, None));
        }
        for made in [&value, &orig] {
            assert!(needs(&Rule::Keep, made, Some(sink)) && !needs(&Rule::Keep, made, None));
        }
        for made in [&bits, &value] {
            for rule in [Rule::L1 { count: 1 }, Rule::Zeros] {
                assert!(needs(&rule, made, Some(sink)) && needs(&rule, made, None));
            }
        }
    }
}
