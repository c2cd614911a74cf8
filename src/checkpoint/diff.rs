use std::collections::HashMap;
use std::ops::Range;

use bytemuck::Pod;

use crate::checkpoint::progress::ProgressCounter;
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::read::blocks::{Pool, Scratch, block_entries, blocks};
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::checkpoint::{CheckpointError, Observer, Phase};
use crate::element::Element;
use crate::file::dtype::{Dtype, ZeroBits, with_dtype, with_word};
use crate::tensor::parallel;

/// The differences between two checkpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The tensors that only the first has.
    pub only_a: Vec<String>,
    /// The tensors that only the second has.
    pub only_b: Vec<String>,
    /// The tensors that both have, in the order of the first. A pruned tensor, stored as `w_orig` and `w_mask`, is compared
    /// as `w`, by its values after the mask.
    pub common: Vec<TensorDifference>,
}

/// The differences between two tensors of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorDifference {
    /// The name.
    pub name: String,
    /// The dtype and shape in the first checkpoint.
    pub a: (Dtype, Vec<usize>),
    /// The dtype and shape in the second checkpoint.
    pub b: (Dtype, Vec<usize>),
    /// The comparison of the entries; `None` if the shapes differ, or if the dtypes differ and are not both floating-point.
    pub entries: Option<EntryDifference>,
}

/// The comparison of the entries of two tensors.
///
/// Entries are compared by their bits. Floating-point entries of different dtypes are compared by their values, and all NaNs
/// are equal. For dtypes that this crate cannot read, such as F4, [`differing`](Self::differing) counts bytes, and no entry
/// counts as zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EntryDifference {
    /// The number of entries of each tensor.
    pub entries: usize,
    /// The number of entries that differ.
    pub differing: usize,
    /// The number of entries that are zero in the second tensor only.
    pub became_zero: usize,
    /// The number of entries that are zero in the first tensor only.
    pub became_nonzero: usize,
    /// The number of entries that are zero in both, including those that are 0 in one and -0 in the other, which
    /// [`differing`](Self::differing) counts too.
    pub zero_in_both: usize,
}

/// The relation between the zeros of two tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Containment {
    /// Both have the same zeros.
    Equal,
    /// The second has all zeros of the first and more, as after further pruning.
    AInB,
    /// The first has all zeros of the second and more.
    BInA,
    /// Each has zeros that the other does not have.
    Neither,
}

impl EntryDifference {
    /// Returns the relation between the zeros.
    pub fn containment(&self) -> Containment {
        match (self.became_zero, self.became_nonzero) {
            (0, 0) => Containment::Equal,
            (_, 0) => Containment::AInB,
            (0, _) => Containment::BInA,
            _ => Containment::Neither,
        }
    }
}

impl TensorDifference {
    /// Returns `true` if dtype, shape and all entries are equal.
    pub fn is_equal(&self) -> bool {
        self.a == self.b && self.entries.is_some_and(|entries| entries.differing == 0)
    }
}

impl Difference {
    /// Returns `true` if both have the same tensors with equal entries.
    pub fn is_equal(&self) -> bool {
        self.only_a.is_empty() && self.only_b.is_empty() && self.common.iter().all(TensorDifference::is_equal)
    }
}

/// Compares two checkpoints, tensor by tensor.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let (before, after) = (directory.path().join("before.safetensors"), directory.path().join("after.safetensors"));
/// # let mut layer = prune::ParameterStore::from_iter([("weight", ndarray::arr2(&[[1.0_f32, -2.0], [3.0, -4.0]]))]);
/// # prune::safetensors::save_file(&layer, &before)?;
/// # prune::l1_unstructured(&mut layer, "weight", 0.5)?;
/// # prune::safetensors::save_file(&layer, &after)?;
/// use prune::checkpoint::{Checkpoint, Containment, diff};
///
/// let difference = diff(&Checkpoint::open([&before])?, &Checkpoint::open([&after])?, &())?;
/// let entries = difference.common[0].entries.unwrap();
/// assert_eq!((entries.became_zero, entries.containment()), (2, Containment::AInB));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// - [`CheckpointError::Read`] if a file cannot be read, [`CheckpointError::Changed`] if it has changed since it was opened.
/// - [`CheckpointError::MaskValue`] if a mask has an entry other than 0 and 1.
/// - [`CheckpointError::Stopped`] if the observer stops the run.
pub fn diff(a: &Checkpoint, b: &Checkpoint, observer: &dyn Observer) -> Result<Difference, CheckpointError> {
    let by_name = |checkpoint: &Checkpoint| -> HashMap<String, usize> {
        checkpoint.parameters.iter().enumerate().map(|(number, parameter)| (parameter.name.clone(), number)).collect()
    };
    let (names_a, names_b) = (by_name(a), by_name(b));
    let only = |checkpoint: &Checkpoint, other: &HashMap<String, usize>| {
        let names = checkpoint.parameters.iter().map(|parameter| &parameter.name);
        names.filter(|name| !other.contains_key(*name)).cloned().collect()
    };
    let pairs = a.parameters.iter().filter_map(|of_a| Some((of_a, &b.parameters[*names_b.get(&of_a.name)?])));
    let pairs: Vec<_> = pairs.collect();
    let readable = |of_a: &ParameterEntry, of_b: &ParameterEntry| {
        comparable(of_a, of_b) && a.usage(of_a).is_readable() && b.usage(of_b).is_readable()
    };
    let work = |&(of_a, of_b): &(&ParameterEntry, &ParameterEntry)| if readable(of_a, of_b) { bytes(of_a) } else { 0 };
    let progress = ProgressCounter::new(observer, Phase::Processing, pairs.iter().map(work).sum());
    let comparison = Comparison { a, b, pool_a: &Pool::default(), pool_b: &Pool::default(), progress: &progress };
    let common = pairs.into_iter().map(|(of_a, of_b)| {
        let entries = if readable(of_a, of_b) { comparison.compare(of_a, of_b)? } else { None };
        let kind = |parameter: &ParameterEntry| (parameter.dtype, parameter.shape.clone());
        Ok(TensorDifference { name: of_a.name.clone(), a: kind(of_a), b: kind(of_b), entries })
    });
    let common = common.collect::<Result<_, CheckpointError>>()?;
    a.check_unchanged()?;
    b.check_unchanged()?;
    progress.finish()?;
    Ok(Difference { only_a: only(a, &names_b), only_b: only(b, &names_a), common })
}

fn comparable(a: &ParameterEntry, b: &ParameterEntry) -> bool {
    a.shape == b.shape && (a.dtype == b.dtype || (a.dtype.can_be_pruned() && b.dtype.can_be_pruned()))
}

/// Returns the bytes that a parameter takes without its mask.
fn bytes(parameter: &ParameterEntry) -> u64 {
    (parameter.entries as u64).saturating_mul(parameter.dtype.bits() as u64) / 8
}

/// Compares the tensors of two checkpoints.
struct Comparison<'c, 'o> {
    a: &'c Checkpoint,
    b: &'c Checkpoint,
    pool_a: &'c Pool,
    pool_b: &'c Pool,
    progress: &'c ProgressCounter<'o>,
}

impl Comparison<'_, '_> {
    /// Compares two tensors of one shape. Returns `None` if their dtypes differ and are not both floating-point.
    fn compare(&self, a: &ParameterEntry, b: &ParameterEntry) -> Result<Option<EntryDifference>, CheckpointError> {
        with_dtype!(
            a.dtype,
            A: Element => with_dtype!(
                b.dtype,
                B: Element => self.compare_floats::<A, B>(a, b).map(Some),
                else => Ok(None),
            ),
            else => self.compare_bits_of(a, b).map(Some),
        )
    }

    /// Compares two tensors of one dtype that cannot be pruned.
    fn compare_bits_of(&self, a: &ParameterEntry, b: &ParameterEntry) -> Result<EntryDifference, CheckpointError> {
        match a.dtype.zero_bits() {
            Some(ZeroBits { word, nonzero }) => with_word!(word, W => self.compare_words::<W>(a, b, nonzero)),
            None => {
                let bytes = self.compare_bits(a, b, bytes(a) as usize, |_: u8| false)?;
                Ok(EntryDifference { entries: a.entries, ..bytes })
            }
        }
    }

    /// Calls `add` for the same block of both tensors, for each block, and adds up the differences.
    fn fold(
        &self,
        entries: usize,
        size: usize,
        add: impl Fn(&mut EntryDifference, Range<usize>, &mut Scratch, &mut Scratch) -> Result<(), CheckpointError>
        + Send
        + Sync,
    ) -> Result<EntryDifference, CheckpointError> {
        let ranges: Vec<_> = blocks(entries, block_entries(size)).collect();
        let add = |mut found, number: usize| {
            let range = ranges[number].clone();
            self.progress.add((range.len() * size) as u64)?;
            self.pool_a.with(|a| self.pool_b.with(|b| add(&mut found, range, a, b)))?;
            Ok(found)
        };
        let mut found =
            parallel::try_fold(ranges.len(), entries, EntryDifference::default, add, EntryDifference::merged)?;
        found.entries = entries;
        Ok(found)
    }

    /// Compares the bits of elements. Those that have none of the bits `nonzero` are zeros.
    fn compare_words<W: Pod + PartialEq + Into<u64>>(
        &self,
        a: &ParameterEntry,
        b: &ParameterEntry,
        nonzero: u64,
    ) -> Result<EntryDifference, CheckpointError> {
        self.compare_bits(a, b, a.entries, |x: W| x.into() & nonzero == 0)
    }

    /// Compares the bits of `entries` elements.
    fn compare_bits<W: Pod + PartialEq>(
        &self,
        a: &ParameterEntry,
        b: &ParameterEntry,
        entries: usize,
        is_zero: impl Fn(W) -> bool + Send + Sync,
    ) -> Result<EntryDifference, CheckpointError> {
        let (a, b) = (&self.a.tensors[a.weights], &self.b.tensors[b.weights]);
        self.fold(entries, size_of::<W>(), |found, range, scratch_a, scratch_b| {
            let a = self.a.entries::<W>(a, range.clone(), &mut scratch_a.weights)?;
            let b = self.b.entries::<W>(b, range, &mut scratch_b.weights)?;
            for (&a, &b) in a.iter().zip(&*b) {
                found.add(a != b, is_zero(a), is_zero(b));
            }
            Ok(())
        })
    }

    /// Compares floats after their masks: by their bits, or by their values if the dtypes differ.
    fn compare_floats<A: Element, B: Element>(
        &self,
        a: &ParameterEntry,
        b: &ParameterEntry,
    ) -> Result<EntryDifference, CheckpointError> {
        let same_type = a.dtype == b.dtype;
        // The larger of the two sizes, so that neither block is too large.
        self.fold(a.entries, size_of::<A>().max(size_of::<B>()), |found, range, scratch_a, scratch_b| {
            let a = self.a.values::<A>(a, range.clone(), scratch_a)?;
            let b = self.b.values::<B>(b, range, scratch_b)?;
            for (a, b) in a.iter().zip(&*b) {
                let differs = if same_type {
                    bytemuck::bytes_of(a) != bytemuck::bytes_of(b)
                } else {
                    // Every value is exact as f64, and NaNs of different dtypes have no bits to compare.
                    let (a, b) = (a.to_f64(), b.to_f64());
                    a != b && !(a.is_none_or(f64::is_nan) && b.is_none_or(f64::is_nan))
                };
                found.add(differs, a.is_zero(), b.is_zero());
            }
            Ok(())
        })
    }
}

impl EntryDifference {
    fn add(&mut self, differs: bool, zero_in_a: bool, zero_in_b: bool) {
        self.differing += usize::from(differs);
        self.became_zero += usize::from(!zero_in_a & zero_in_b);
        self.became_nonzero += usize::from(zero_in_a & !zero_in_b);
        self.zero_in_both += usize::from(zero_in_a & zero_in_b);
    }

    fn merged(self, other: Self) -> Self {
        Self {
            entries: self.entries,
            differing: self.differing + other.differing,
            became_zero: self.became_zero + other.became_zero,
            became_nonzero: self.became_nonzero + other.became_nonzero,
            zero_in_both: self.zero_in_both + other.zero_in_both,
        }
    }
}
