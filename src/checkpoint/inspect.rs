use std::collections::HashMap;
use std::ops::Range;

use bytemuck::Pod;

use crate::checkpoint::progress::ProgressCounter;
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::read::blocks::{Pool, block_entries, blocks};
use crate::checkpoint::read::packed::{PackedEntry, hidden_parts};
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::checkpoint::{CheckpointError, Observer, Phase};
use crate::element::Element;
use crate::file::dtype::{Dtype, with_dtype, with_word};
use crate::tensor::parallel;

/// The contents of a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// The tensors, ordered by shard and by position in the shard. A pruned tensor, stored as `w_orig` and `w_mask`, is one
    /// tensor `w` here.
    pub tensors: Vec<TensorInspection>,
}

/// The contents of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInspection {
    /// Its name.
    pub name: String,
    /// Its dtype.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The shard that has the tensor, or its original, as an index into [`Checkpoint::shards`].
    pub shard: usize,
    /// The number of its entries.
    pub entries: usize,
    /// The number of entries that are 0 or -0, counted after the mask of a pruned tensor. `None` for a dtype that this crate
    /// cannot read, such as F4.
    pub zeros: Option<usize>,
    /// The number of entries that the mask prunes, if the tensor has one.
    pub masked: Option<usize>,
    /// Its length in the file, in bytes. For a pruned tensor, the sum for original and mask.
    pub bytes: u64,
    /// The bytes that its values take if zeros are not stored; `None` where [`zeros`](Self::zeros) is.
    pub packed: Option<PackedSizes>,
    /// The file stores it packed, as by `nn-prune pack`: the other fields but `bytes` describe the dense tensor.
    pub is_packed: bool,
    /// The magnitudes of its nonzero entries; `None` if they were not requested, and for dtypes other than F32, F64, F16 and
    /// BF16. Boxed, because most inspections of many tensors have none.
    pub magnitudes: Option<Box<Magnitudes>>,
}

/// The bytes that the values of a tensor take in dense and sparse formats, in their own dtype.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PackedSizes {
    /// All entries, without a mask.
    pub dense: u64,
    /// One bit per entry, and the nonzero entries.
    pub bitmask: u64,
    /// A compressed sparse row matrix: the nonzero entries, a column index for each, and an offset for each row and one more.
    ///
    /// The first of several dimensions gives the rows; a vector is one row. Column indices take 4 bytes for up to
    /// `i32::MAX` columns, and offsets for up to `i32::MAX` nonzero entries; otherwise 8.
    pub csr: u64,
}

/// The distribution of the magnitudes of a tensor's nonzero entries.
#[derive(Debug, Clone, PartialEq)]
pub struct Magnitudes {
    /// The smallest that is not NaN, if there is one. In a tensor pruned by magnitude, it is the smallest that was kept.
    pub smallest: Option<f64>,
    /// The largest that is not NaN, if there is one.
    pub largest: Option<f64>,
    /// Pairs of an exponent e and the number of entries with a magnitude from 2^e to below 2^(e + 1), in ascending order.
    /// Exponents without entries are omitted.
    pub log2: Vec<(i32, u64)>,
    /// The number of infinite entries.
    pub infinite: u64,
    /// The number of NaN entries.
    pub nan: u64,
}

/// The exponent of the smallest `f64`.
const LOWEST: i32 = -1074;
/// The number of exponents of finite `f64`s.
const EXPONENTS: usize = 1074 + 1024;

/// Reads a checkpoint and counts its zeros. If `magnitudes` is `true`, also returns the distribution of nonzero magnitudes.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("layer.safetensors");
/// # let layer = prune::ParameterStore::from_iter([("weight", ndarray::arr2(&[[0.0_f32, -2.0], [3.0, -0.0]]))]);
/// # prune::safetensors::save_file(&layer, &path)?;
/// use prune::checkpoint::{Checkpoint, inspect};
///
/// let inspection = inspect(&Checkpoint::open([&path])?, true, &())?;
/// let weight = &inspection.tensors[0];
/// assert_eq!((weight.zeros, weight.entries), (Some(2), 4));
/// let packed = weight.packed.unwrap();
/// assert_eq!((packed.dense, packed.bitmask, packed.csr), (16, 9, 28));
/// assert_eq!(weight.magnitudes.as_ref().unwrap().log2, [(1, 2)]); // from 2 to below 4
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// - [`CheckpointError::Read`] if a file cannot be read, [`CheckpointError::Changed`] if it has changed since it was opened.
/// - [`CheckpointError::MaskValue`] if a mask has an entry other than 0 and 1.
/// - [`CheckpointError::Stopped`] if the observer stops the run.
pub fn inspect(
    checkpoint: &Checkpoint,
    magnitudes: bool,
    observer: &dyn Observer,
) -> Result<Inspection, CheckpointError> {
    let packed = checkpoint.packed()?;
    let hidden = hidden_parts(&packed);
    let mut packed: HashMap<usize, PackedEntry> =
        packed.into_iter().map(|entry| (entry.parts.compressed, entry)).collect();
    let listed = || checkpoint.parameters.iter().filter(|parameter| !hidden.contains(&parameter.weights));
    let total = listed().map(|parameter| checkpoint.tensors[parameter.weights].bytes).sum();
    let progress = ProgressCounter::new(observer, Phase::Processing, total);
    let inspector = Inspector { checkpoint, pool: &Pool::default(), progress: &progress, magnitudes };
    // There may be millions, so they are not moved from one list to a longer one.
    let mut tensors = Vec::with_capacity(checkpoint.parameters.len() - hidden.len());
    for parameter in listed() {
        let stored = inspector.inspect(parameter)?;
        tensors.push(match packed.remove(&parameter.weights) {
            Some(entry) => dense(checkpoint, entry, stored),
            None => stored,
        });
    }
    checkpoint.check_unchanged()?;
    progress.finish()?;
    Ok(Inspection { tensors })
}

/// The dense tensor that packed values stand for.
fn dense(checkpoint: &Checkpoint, entry: PackedEntry, values: TensorInspection) -> TensorInspection {
    let entries = entry.dense.entries();
    let zeros = values.zeros.map(|zeros| entries - entry.kept + zeros);
    TensorInspection {
        bytes: entry.bytes(checkpoint),
        packed: zeros.map(|zeros| PackedSizes::of(&entry.dense.shape, entries, zeros, entry.dtype)),
        name: entry.name,
        shape: entry.dense.shape,
        entries,
        zeros,
        is_packed: true,
        ..values
    }
}

/// Inspects the tensors of a checkpoint.
struct Inspector<'i, 'o> {
    checkpoint: &'i Checkpoint,
    pool: &'i Pool,
    progress: &'i ProgressCounter<'o>,
    magnitudes: bool,
}

/// The counts of one thread.
#[derive(Default)]
struct Counts {
    zeros: usize,
    masked: usize,
    smallest: Option<f64>,
    largest: Option<f64>,
    /// By exponent, beginning with the lowest; empty if magnitudes were not requested.
    log2: Vec<u64>,
    infinite: u64,
    nan: u64,
}

impl Inspector<'_, '_> {
    fn inspect(&self, parameter: &ParameterEntry) -> Result<TensorInspection, CheckpointError> {
        let tensor = &self.checkpoint.tensors[parameter.weights];
        let mask = parameter.mask.map(|mask| &self.checkpoint.tensors[mask]);
        let counts = self.count(parameter)?;
        let zeros = counts.as_ref().map(|counts| counts.zeros);
        Ok(TensorInspection {
            name: parameter.name.clone(),
            dtype: parameter.dtype,
            shape: parameter.shape.clone(),
            shard: tensor.shard,
            entries: parameter.entries,
            zeros,
            masked: mask.and(counts.as_ref()).map(|counts| counts.masked),
            bytes: tensor.bytes + mask.map_or(0, |mask| mask.bytes),
            packed: zeros.map(|zeros| PackedSizes::of(&parameter.shape, parameter.entries, zeros, parameter.dtype)),
            is_packed: false,
            magnitudes: counts
                .filter(|_| self.magnitudes && parameter.dtype.can_be_pruned())
                .map(Magnitudes::of)
                .map(Box::new),
        })
    }

    /// Counts the zeros of a tensor, and all else for a dtype that can be pruned. Returns `None` for a dtype that this crate
    /// cannot read.
    fn count(&self, parameter: &ParameterEntry) -> Result<Option<Counts>, CheckpointError> {
        if !self.checkpoint.usage(parameter).is_readable() {
            return Ok(None);
        }
        let zero = parameter.dtype.zero_bits();
        with_dtype!(
            parameter.dtype,
            A: Element => self.count_floats::<A>(parameter).map(Some),
            else => zero
                .map(|zero| with_word!(zero.word, W => self.count_zeros::<W>(parameter, zero.nonzero)))
                .transpose(),
        )
    }

    /// Calls `add` for each block, and adds up the counts.
    fn fold(
        &self,
        parameter: &ParameterEntry,
        size: usize,
        add: impl Fn(&mut Counts, Range<usize>) -> Result<(), CheckpointError> + Send + Sync,
    ) -> Result<Counts, CheckpointError> {
        let ranges: Vec<_> = blocks(parameter.entries, block_entries(size)).collect();
        let add = |mut counts, number: usize| {
            self.progress.add((ranges[number].len() * size) as u64)?;
            add(&mut counts, ranges[number].clone())?;
            Ok(counts)
        };
        parallel::try_fold(ranges.len(), parameter.entries, Counts::default, add, Counts::merged)
    }

    /// Counts the elements that have none of the bits `nonzero`.
    fn count_zeros<W: Pod + Into<u64>>(
        &self,
        parameter: &ParameterEntry,
        nonzero: u64,
    ) -> Result<Counts, CheckpointError> {
        let tensor = &self.checkpoint.tensors[parameter.weights];
        self.fold(parameter, size_of::<W>(), |counts, range| {
            self.pool.with(|scratch| {
                let entries = self.checkpoint.entries::<W>(tensor, range, &mut scratch.weights)?;
                counts.zeros += entries.iter().filter(|&&x| x.into() & nonzero == 0).count();
                Ok(())
            })
        })
    }

    fn count_floats<A: Element>(&self, parameter: &ParameterEntry) -> Result<Counts, CheckpointError> {
        self.fold(parameter, size_of::<A>(), |counts, range| {
            self.pool.with(|scratch| {
                let values = self.checkpoint.values::<A>(parameter, range, scratch)?;
                counts.zeros += values.iter().filter(|x| x.is_zero()).count();
                if self.magnitudes {
                    counts.log2.resize(EXPONENTS, 0);
                    for x in values.iter().filter(|x| !x.is_zero()) {
                        counts.add(x.widen_abs().into());
                    }
                }
                if parameter.mask.is_some() {
                    counts.masked += scratch.remaining.iter().filter(|&&remaining| !remaining).count();
                }
                Ok(())
            })
        })
    }
}

impl Counts {
    /// Adds a magnitude that is not zero.
    fn add(&mut self, x: f64) {
        if x.is_nan() {
            self.nan += 1;
            return;
        }
        self.smallest = Some(self.smallest.map_or(x, |smallest| smallest.min(x)));
        self.largest = Some(self.largest.map_or(x, |largest| largest.max(x)));
        if x.is_infinite() {
            self.infinite += 1;
            return;
        }
        let bits = x.to_bits();
        let exponent = (bits >> 52) as usize;
        // A subnormal number has no exponent; its highest bit gives the magnitude.
        self.log2[if exponent > 0 { exponent + 51 } else { bits.ilog2() as usize }] += 1;
    }

    fn merged(mut self, other: Self) -> Self {
        self.zeros += other.zeros;
        self.masked += other.masked;
        self.smallest = self.smallest.into_iter().chain(other.smallest).reduce(f64::min);
        self.largest = self.largest.into_iter().chain(other.largest).reduce(f64::max);
        self.log2.resize(self.log2.len().max(other.log2.len()), 0);
        self.log2.iter_mut().zip(other.log2).for_each(|(count, other)| *count += other);
        self.infinite += other.infinite;
        self.nan += other.nan;
        self
    }
}

impl Magnitudes {
    fn of(counts: Counts) -> Self {
        let Counts { smallest, largest, log2, infinite, nan, .. } = counts;
        let log2 = (LOWEST..).zip(log2).filter(|&(_, count)| count > 0).collect();
        Self { smallest, largest, log2, infinite, nan }
    }
}

impl PackedSizes {
    fn of(shape: &[usize], entries: usize, zeros: usize, dtype: Dtype) -> Self {
        let size = dtype.bits() / 8;
        let index = |max: usize| if max > i32::MAX as usize { 8 } else { 4 };
        let nonzero = entries - zeros;
        let rows = if shape.len() < 2 { 1 } else { shape[0] };
        let columns = entries.checked_div(rows).unwrap_or(0);
        let values = nonzero as u64 * size as u64;
        Self {
            dense: entries as u64 * size as u64,
            bitmask: values + entries.div_ceil(8) as u64,
            csr: values
                + nonzero as u64 * index(columns)
                + (rows as u64).saturating_add(1).saturating_mul(index(nonzero)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = i32::MAX as usize;

    /// Indices of columns and of entries take 4 bytes if that suffices.
    #[test]
    fn sparse_rows_of_large_tensors() {
        let csr = |shape: &[usize], nonzero: usize| {
            let entries = shape.iter().product();
            PackedSizes::of(shape, entries, entries - nonzero, Dtype(safetensors::Dtype::U8)).csr
        };
        // The nonzero entries, a column index for each, and 3 offsets.
        assert_eq!(csr(&[2, MAX], 5), 5 + 5 * 4 + 3 * 4);
        assert_eq!(csr(&[2, MAX + 1], 5), 5 + 5 * 8 + 3 * 4);
        let max = MAX as u64;
        assert_eq!(csr(&[2, MAX], MAX), max + max * 4 + 3 * 4);
        assert_eq!(csr(&[2, MAX], MAX + 1), (max + 1) + (max + 1) * 4 + 3 * 8);
    }

    #[test]
    fn rows_are_the_first_dimension_if_there_are_others() {
        let csr =
            |shape: &[usize]| PackedSizes::of(shape, shape.iter().product(), 0, Dtype(safetensors::Dtype::I16)).csr;
        assert_eq!(csr(&[]), 2 + 4 + 2 * 4);
        assert_eq!(csr(&[6]), 6 * (2 + 4) + 2 * 4);
        assert_eq!(csr(&[3, 2]), 6 * (2 + 4) + 4 * 4);
        assert_eq!(csr(&[3, 1, 2]), 6 * (2 + 4) + 4 * 4);
    }
}
