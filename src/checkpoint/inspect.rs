use std::ops::Range;

use bytemuck::Pod;

use crate::checkpoint::progress::ProgressCounter;
use crate::checkpoint::read::blocks::{Generic, Pool, block_entries, blocks, dispatch, zero_bits};
use crate::checkpoint::read::parameter::Parameter;
use crate::checkpoint::read::{Checkpoint, Dtype};
use crate::checkpoint::{CheckpointError, Observer, Phase};
use crate::element::Element;
use crate::tensor::parallel;

/// What is in a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// The tensors in the order of the shards, and of their data within each. A pruned tensor, which is two tensors in the
    /// file, is one here, under its plain name.
    pub tensors: Vec<TensorInspection>,
}

/// What is in a tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInspection {
    /// Its name.
    pub name: String,
    /// Its dtype.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The shard that it is in, an index into [`Checkpoint::shards`]. Of a pruned tensor, its original.
    pub shard: usize,
    /// The number of its entries.
    pub entries: usize,
    /// How many of its entries are 0 or -0, of a pruned tensor after its mask; `None` for a dtype that this crate cannot
    /// read, such as F4.
    pub zeros: Option<usize>,
    /// Of a pruned tensor, that is one with `_orig` and `_mask`, how many entries the mask prunes.
    pub masked: Option<usize>,
    /// What it takes in the file; of a pruned tensor, original and mask together.
    pub bytes: u64,
    /// What its values would take if the zeros were left out; `None` where [`zeros`](Self::zeros) is.
    pub packed: Option<Packed>,
    /// The magnitudes of its nonzero entries; `None` if they were not asked for, and for other dtypes than F32, F64, F16
    /// and BF16.
    pub magnitudes: Option<Magnitudes>,
}

/// What a tensor would take in bytes, its entries in their own dtype.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// As it is, without a mask.
    pub dense: u64,
    /// One bit for each entry, and the nonzero ones.
    pub bitmask: u64,
    /// As a compressed sparse row matrix whose rows are the first dimension (a single row, if it is the only one): the nonzero entries, a column index of 4 bytes
    /// for each (of 8 beyond 2^31 columns), and an offset for each row and one more, of 4 bytes (of 8 beyond 2^31 nonzero
    /// entries).
    pub csr: u64,
}

/// The distribution of the magnitudes of a tensor's nonzero entries.
#[derive(Debug, Clone, PartialEq)]
pub struct Magnitudes {
    /// The smallest, if there is one. In a tensor pruned by magnitude, no magnitude below it was kept.
    pub smallest: Option<f64>,
    /// The largest that is not NaN, if there is one.
    pub largest: Option<f64>,
    /// Pairs of an exponent e and how many entries have a magnitude from 2^e to below 2^(e + 1), in ascending order;
    /// exponents without entries are left out.
    pub log2: Vec<(i32, u64)>,
    /// How many entries are infinite.
    pub infinite: u64,
    /// How many are NaN.
    pub nan: u64,
}

/// The exponent of the smallest `f64`.
const LOWEST: i32 = -1074;
/// The number of exponents of finite `f64`s.
const EXPONENTS: usize = 1074 + 1024;

/// Reads a checkpoint and counts its zeros; with `magnitudes`, also the distribution of what is not zero.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("layer.safetensors");
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
/// [`CheckpointError::Read`], [`CheckpointError::Changed`], [`CheckpointError::MaskValue`], [`CheckpointError::Stopped`].
pub fn inspect(
    checkpoint: &Checkpoint,
    magnitudes: bool,
    observer: &dyn Observer,
) -> Result<Inspection, CheckpointError> {
    let total = checkpoint.parameters.iter().map(|parameter| checkpoint.tensors[parameter.weights].bytes).sum();
    let meter = ProgressCounter::new(observer, Phase::Processing, total);
    let look = Look { checkpoint, pool: &Pool::default(), meter: &meter, magnitudes };
    let tensors = checkpoint.parameters.iter().map(|parameter| look.inspect(parameter));
    let tensors = tensors.collect::<Result<_, _>>()?;
    checkpoint.check_unchanged()?;
    meter.finish()?;
    Ok(Inspection { tensors })
}

struct Look<'l, 'o> {
    checkpoint: &'l Checkpoint,
    pool: &'l Pool,
    meter: &'l ProgressCounter<'o>,
    magnitudes: bool,
}

/// What one thread has counted.
#[derive(Default)]
struct Counts {
    zeros: usize,
    masked: usize,
    smallest: Option<f64>,
    largest: Option<f64>,
    /// By exponent, from the lowest on; empty if they are not asked for.
    log2: Vec<u64>,
    infinite: u64,
    nan: u64,
}

impl Look<'_, '_> {
    fn inspect(&self, parameter: &Parameter) -> Result<TensorInspection, CheckpointError> {
        let tensor = &self.checkpoint.tensors[parameter.weights];
        let mask = parameter.mask.map(|mask| &self.checkpoint.tensors[mask]);
        let size = zero_bits(parameter.dtype);
        let counts = match size {
            _ if parameter.dtype.can_be_pruned() => Some(dispatch(parameter.dtype, Floats { look: self, parameter })?),
            Some((1, bits)) => Some(self.count(parameter, |x: u8| u64::from(x) & bits == 0)?),
            Some((2, bits)) => Some(self.count(parameter, |x: u16| u64::from(x) & bits == 0)?),
            Some((4, bits)) => Some(self.count(parameter, |x: u32| u64::from(x) & bits == 0)?),
            Some((_, bits)) => Some(self.count(parameter, |x: u64| x & bits == 0)?),
            None => None,
        };
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
            packed: size
                .zip(zeros)
                .map(|((size, _), zeros)| Packed::of(&parameter.shape, parameter.entries, zeros, size)),
            magnitudes: counts.filter(|_| self.magnitudes && parameter.dtype.can_be_pruned()).map(Magnitudes::of),
        })
    }

    /// Adds what `add` finds in each block.
    fn fold(
        &self,
        parameter: &Parameter,
        size: usize,
        add: impl Fn(&mut Counts, Range<usize>) -> Result<(), CheckpointError> + Send + Sync,
    ) -> Result<Counts, CheckpointError> {
        let ranges: Vec<_> = blocks(parameter.entries, block_entries(size)).collect();
        let add = |mut counts, number: usize| {
            self.meter.add((ranges[number].len() * size) as u64)?;
            add(&mut counts, ranges[number].clone())?;
            Ok(counts)
        };
        parallel::try_fold(ranges.len(), parameter.entries, Counts::default, add, Counts::merged)
    }

    /// Of a tensor that cannot be pruned, the zeros.
    fn count<T: Pod>(
        &self,
        parameter: &Parameter,
        is_zero: impl Fn(T) -> bool + Send + Sync,
    ) -> Result<Counts, CheckpointError> {
        let tensor = &self.checkpoint.tensors[parameter.weights];
        self.fold(parameter, size_of::<T>(), |counts, range| {
            self.pool.with(|scratch| {
                let entries = self.checkpoint.entries::<T>(tensor, range, &mut scratch.weights)?;
                counts.zeros += entries.iter().filter(|&&x| is_zero(x)).count();
                Ok(())
            })
        })
    }
}

struct Floats<'l, 'o> {
    look: &'l Look<'l, 'o>,
    parameter: &'l Parameter,
}

impl Generic for Floats<'_, '_> {
    type Output = Result<Counts, CheckpointError>;

    fn run<A: Element>(self) -> Self::Output {
        let Self { look, parameter } = self;
        look.fold(parameter, size_of::<A>(), |counts, range| {
            look.pool.with(|scratch| {
                let values = look.checkpoint.values::<A>(parameter, range, scratch)?;
                counts.zeros += values.iter().filter(|x| x.is_zero()).count();
                if look.magnitudes {
                    counts.log2.resize(EXPONENTS, 0);
                    for x in values.iter().filter(|x| !x.is_zero()) {
                        counts.add(num_traits::cast(x.widen_abs()).unwrap_or(f64::NAN));
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
        // Without an exponent of its own, the highest bit tells.
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

impl Packed {
    fn of(shape: &[usize], entries: usize, zeros: usize, size: usize) -> Self {
        let index = |most: usize| if most > i32::MAX as usize { 8 } else { 4 };
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
    use crate::checkpoint::Packed;

    const MOST: usize = i32::MAX as usize;

    /// Indices of 4 bytes as long as they suffice, of columns and of entries.
    #[test]
    fn sparse_rows_of_large_tensors() {
        let csr = |shape: &[usize], nonzero: usize| {
            let entries = shape.iter().product();
            Packed::of(shape, entries, entries - nonzero, 1).csr
        };
        // The nonzero entries, a column for each, and 3 offsets.
        assert_eq!(csr(&[2, MOST], 5), 5 + 5 * 4 + 3 * 4);
        assert_eq!(csr(&[2, MOST + 1], 5), 5 + 5 * 8 + 3 * 4);
        let most = MOST as u64;
        assert_eq!(csr(&[2, MOST], MOST), most + most * 4 + 3 * 4);
        assert_eq!(csr(&[2, MOST], MOST + 1), (most + 1) + (most + 1) * 4 + 3 * 8);
    }

    #[test]
    fn rows_are_the_first_dimension_if_there_are_others() {
        let csr = |shape: &[usize]| Packed::of(shape, shape.iter().product(), 0, 2).csr;
        assert_eq!(csr(&[]), 2 + 4 + 2 * 4);
        assert_eq!(csr(&[6]), 6 * (2 + 4) + 2 * 4);
        assert_eq!(csr(&[3, 2]), 6 * (2 + 4) + 4 * 4);
        assert_eq!(csr(&[3, 1, 2]), 6 * (2 + 4) + 4 * 4);
    }
}
