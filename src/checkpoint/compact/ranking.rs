//! Reading a checkpoint to rank units: norms, zeros, constants and scores from a file.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::ProgressCounter;
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::read::blocks::{Pool, blocks};
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::compact::importance::{AxisSums, BLOCK, EntryNorm, is_ranked};
use crate::compact::layout::Layout;
use crate::compact::{Rank, Scores, Use};
use crate::element::ElementInternals;
use crate::file::dtype::with_dtype;
use crate::tensor::channels::Channels;
use crate::tensor::parallel;

/// The number of blocks whose results are held at once.
const WAVE: usize = 32;

/// Reads the parameters of a checkpoint.
pub(crate) struct Ranking<'r, 'o> {
    pub checkpoint: &'r Checkpoint,
    pub parameters: HashMap<&'r str, &'r ParameterEntry>,
    pub pool: &'r Pool,
    pub progress: &'r ProgressCounter<'o>,
}

impl<'r, 'o> Ranking<'r, 'o> {
    pub fn new(checkpoint: &'r Checkpoint, pool: &'r Pool, progress: &'r ProgressCounter<'o>) -> Self {
        Self { checkpoint, parameters: checkpoint.parameters_by_name(), pool, progress }
    }

    /// The norms of the units of the dimensions of which some are chosen.
    pub fn importance(&self, layout: &Layout, rank: &Rank) -> Result<Scores, CheckpointError> {
        let compact = |source| CheckpointError::Compact { source };
        let norm = EntryNorm::new(rank.norm).map_err(|error| compact(error.into()))?;
        let mut scores = Scores::new();
        for (dimension, &units) in layout.dimensions.iter().zip(&layout.units).filter(|(d, _)| !d.left_out) {
            let mut slices = Vec::new();
            for use_ in dimension.uses.iter().filter(|use_| is_ranked(use_)) {
                let parameter = self.parameters[use_.parameter.as_str()];
                let channels = Channels::along(&parameter.shape, use_.axis);
                let mut total = AxisSums::new(norm, channels);
                self.fold(
                    parameter,
                    |offset, values| {
                        let mut sums = AxisSums::new(norm, channels);
                        sums.add(offset, values);
                        sums
                    },
                    |sums| total.join(&sums),
                )?;
                slices.push(norm.units(&total.sums, use_, units));
            }
            scores.insert(dimension.name.as_str(), norm.reduce(rank.reduce, units, slices));
        }
        Ok(scores)
    }

    /// For each dimension, use and unit, the first nonzero number of the slice.
    pub fn nonzeros(&self, layout: &Layout) -> Result<Vec<Vec<Vec<Option<f64>>>>, CheckpointError> {
        let of_use = |use_: &Use, units: usize| {
            let parameter = self.parameters[use_.parameter.as_str()];
            let channels = Channels::along(&parameter.shape, use_.axis);
            let mut first: Vec<Option<f64>> = vec![None; channels.len];
            let find = |offset: usize, values: &[f64]| {
                let mut found = vec![None; channels.len];
                for (entry, &x) in values.iter().enumerate().filter(|(_, x)| **x != 0.0) {
                    found[(offset + entry) / channels.inner % channels.len].get_or_insert(x);
                }
                found
            };
            self.fold(parameter, find, |found: Vec<Option<f64>>| {
                first.iter_mut().zip(found).for_each(|(first, found)| *first = first.or(found));
            })?;
            let unit = |unit| use_.positions(unit, units).find_map(|position| first[position]);
            Ok((0..units).map(unit).collect())
        };
        let of_dimension = |(dimension, &units): (&crate::compact::Dimension, &usize)| {
            dimension.uses.iter().map(|use_| of_use(use_, units)).collect::<Result<_, _>>()
        };
        layout.dimensions.iter().zip(&layout.units).map(of_dimension).collect()
    }

    /// Reads a parameter in blocks, maps each, and folds the results in order, so that they do not depend on threads.
    pub fn fold<R: Send>(
        &self,
        parameter: &ParameterEntry,
        map: impl Fn(usize, &[f64]) -> R + Sync,
        fold: impl FnMut(R),
    ) -> Result<(), CheckpointError> {
        self.fold_range(parameter, 0..parameter.entries, map, fold)
    }

    /// [`fold`](Self::fold) for some neighbouring entries.
    pub fn fold_range<R: Send>(
        &self,
        parameter: &ParameterEntry,
        entries: Range<usize>,
        map: impl Fn(usize, &[f64]) -> R + Sync,
        mut fold: impl FnMut(R),
    ) -> Result<(), CheckpointError> {
        let ranges = blocks(entries.len(), BLOCK);
        let ranges: Vec<Range<usize>> =
            ranges.map(|range| entries.start + range.start..entries.start + range.end).collect();
        for wave in ranges.chunks(WAVE) {
            let entries = wave.iter().map(ExactSizeIterator::len).sum();
            let results = parallel::try_map(wave.len(), entries, |number| {
                let range = wave[number].clone();
                self.progress.add((range.len() * parameter.dtype.bits() / 8) as u64)?;
                self.values(parameter, range.clone(), |values| map(range.start, values))
            })?;
            results.into_iter().for_each(&mut fold);
        }
        Ok(())
    }

    /// Reads the values of a range of a parameter, with its mask applied.
    fn values<R>(
        &self,
        parameter: &ParameterEntry,
        range: Range<usize>,
        f: impl FnOnce(&[f64]) -> R,
    ) -> Result<R, CheckpointError> {
        self.pool.with(|scratch| {
            let mut wide = std::mem::take(&mut scratch.wide);
            let numbers = wide.take::<f64>(range.len());
            with_dtype!(
                parameter.dtype,
                A: Element => {
                    let values = self.checkpoint.values::<A>(parameter, range, scratch)?;
                    numbers.iter_mut().zip(&*values).for_each(|(number, x)| *number = x.exact_f64());
                },
                else => parameter.dtype.cannot_be_pruned(),
            );
            let result = f(numbers);
            scratch.wide = wide;
            Ok(result)
        })
    }
}

/// The bytes that [`Ranking::importance`] and [`Ranking::nonzeros`] read.
pub(crate) fn work(checkpoint: &Checkpoint, layout: &Layout, uses: impl Fn(&Use) -> bool) -> u64 {
    let parameters = checkpoint.parameters_by_name();
    let dimensions = layout.dimensions.iter().filter(|dimension| !dimension.left_out);
    let uses = dimensions.flat_map(|dimension| &dimension.uses).filter(|use_| uses(use_));
    uses.map(|use_| checkpoint.tensors[parameters[use_.parameter.as_str()].weights].bytes).sum()
}

/// Reads the scores of a file: a vector of numbers for each dimension.
pub(crate) fn read_scores(path: &Path, wanted: &[&str]) -> Result<Scores, CheckpointError> {
    let file = Checkpoint::open([path])?;
    let (pool, progress) = (Pool::default(), ProgressCounter::silent());
    let ranking = Ranking::new(&file, &pool, &progress);
    let mut scores = Scores::new();
    for parameter in file.parameters.iter().filter(|parameter| wanted.contains(&parameter.name.as_str())) {
        if !parameter.dtype.can_be_pruned() || parameter.shape.len() != 1 {
            let reason = format!(
                "holds {} of shape {:?} for the scores of {}, not a vector of floats",
                parameter.dtype,
                parameter.shape,
                crate::file::escape::Quoted(&parameter.name)
            );
            return Err(CheckpointError::Config { path: path.to_owned(), reason });
        }
        let mut all: Vec<f64> = Vec::with_capacity(parameter.entries);
        ranking.fold(parameter, |_, values| values.to_vec(), |values| all.extend(values))?;
        scores.insert(parameter.name.as_str(), all);
    }
    Ok(scores)
}
