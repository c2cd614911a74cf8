use std::collections::HashMap;
use std::ops::Range;

use bytemuck::Pod;

use crate::checkpoint::progress::ProgressCounter;
use crate::checkpoint::read::blocks::{Generic, Pool, Scratch, block_entries, blocks, dispatch, zero_bits};
use crate::checkpoint::read::parameter::Parameter;
use crate::checkpoint::read::{Checkpoint, Dtype};
use crate::checkpoint::{CheckpointError, Observer, Phase};
use crate::element::Element;
use crate::tensor::parallel;

/// How two checkpoints differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Tensors that only the first has.
    pub only_a: Vec<String>,
    /// Tensors that only the second has.
    pub only_b: Vec<String>,
    /// Tensors that both have, in the order of the first. A pruned tensor, which is two tensors in the file, is compared
    /// under its plain name, by its values after the mask.
    pub common: Vec<TensorDifference>,
}

/// How a tensor differs between two checkpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorDifference {
    /// Its name.
    pub name: String,
    /// Its dtype and shape in the first.
    pub a: (Dtype, Vec<usize>),
    /// Its dtype and shape in the second.
    pub b: (Dtype, Vec<usize>),
    /// How the entries compare; `None` if the shapes differ, or if the dtypes differ and are not both floating-point.
    pub entries: Option<EntryDifference>,
}

/// How the entries of a tensor differ.
///
/// The entries of floating-point tensors are compared by their bits, and by their values if the dtypes differ; those of
/// other tensors by their bits. Of dtypes whose elements this crate does not know, such as F4, [`differing`](Self::differing)
/// counts bytes, and nothing is taken for a zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EntryDifference {
    /// The number of entries of either.
    pub entries: usize,
    /// How many differ in any way.
    pub differing: usize,
    /// How many are zero in the second only.
    pub became_zero: usize,
    /// How many are zero in the first only.
    pub became_nonzero: usize,
    /// How many are zero in both. (A change from 0 to -0 is among [`differing`](Self::differing) all the same.)
    pub zero_in_both: usize,
}

/// How the zeros of a tensor, taken as a mask, relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Containment {
    /// Both have the same zeros.
    Equal,
    /// The second has all zeros of the first and more: it was pruned further.
    AInB,
    /// The first has all zeros of the second and more.
    BInA,
    /// Each has zeros that the other does not have.
    Neither,
}

impl EntryDifference {
    /// How the zeros relate.
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
    /// Whether dtype, shape and all entries are the same.
    pub fn is_equal(&self) -> bool {
        self.a == self.b && self.entries.is_some_and(|entries| entries.differing == 0)
    }
}

impl Difference {
    /// Whether both have the same tensors with the same entries.
    pub fn is_equal(&self) -> bool {
        self.only_a.is_empty() && self.only_b.is_empty() && self.common.iter().all(TensorDifference::is_equal)
    }
}

/// Compares two checkpoints, tensor by tensor.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let (before, after) = (folder.path().join("before.safetensors"), folder.path().join("after.safetensors"));
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
/// [`CheckpointError::Read`], [`CheckpointError::Changed`], [`CheckpointError::MaskValue`], [`CheckpointError::Stopped`].
pub fn diff(a: &Checkpoint, b: &Checkpoint, observer: &dyn Observer) -> Result<Difference, CheckpointError> {
    let by_name = |checkpoint: &Checkpoint| -> HashMap<String, usize> {
        checkpoint.parameters.iter().enumerate().map(|(number, parameter)| (parameter.name.clone(), number)).collect()
    };
    let (names_a, names_b) = (by_name(a), by_name(b));
    let only = |checkpoint: &Checkpoint, other: &HashMap<String, usize>| {
        let names = checkpoint.parameters.iter().map(|parameter| &parameter.name);
        names.filter(|name| !other.contains_key(*name)).cloned().collect()
    };
    let pairs = a.parameters.iter().filter_map(|own| Some((own, &b.parameters[*names_b.get(&own.name)?])));
    let pairs: Vec<_> = pairs.collect();
    let work = |&(a, b): &(&Parameter, &Parameter)| if comparable(a, b) { bytes(a) } else { 0 };
    let meter = ProgressCounter::new(observer, Phase::Processing, pairs.iter().map(work).sum());
    let look = Look { a, b, pool_a: &Pool::default(), pool_b: &Pool::default(), meter: &meter };
    let common = pairs.into_iter().map(|(a, b)| {
        let entries = if comparable(a, b) { Some(look.compare(a, b)?) } else { None };
        let kind = |parameter: &Parameter| (parameter.dtype, parameter.shape.clone());
        Ok(TensorDifference { name: a.name.clone(), a: kind(a), b: kind(b), entries })
    });
    let common = common.collect::<Result<_, CheckpointError>>()?;
    a.check_unchanged()?;
    b.check_unchanged()?;
    meter.finish()?;
    Ok(Difference { only_a: only(a, &names_b), only_b: only(b, &names_a), common })
}

fn comparable(a: &Parameter, b: &Parameter) -> bool {
    a.shape == b.shape && (a.dtype == b.dtype || (a.dtype.can_be_pruned() && b.dtype.can_be_pruned()))
}

/// What a parameter takes without its mask.
fn bytes(parameter: &Parameter) -> u64 {
    (parameter.entries as u64).saturating_mul(parameter.dtype.bits() as u64) / 8
}

struct Look<'l, 'o> {
    a: &'l Checkpoint,
    b: &'l Checkpoint,
    pool_a: &'l Pool,
    pool_b: &'l Pool,
    meter: &'l ProgressCounter<'o>,
}

impl Look<'_, '_> {
    fn compare(&self, a: &Parameter, b: &Parameter) -> Result<EntryDifference, CheckpointError> {
        if a.dtype.can_be_pruned() {
            return dispatch(a.dtype, Floats { look: self, a, b });
        }
        match zero_bits(a.dtype) {
            Some((1, bits)) => self.others(a, b, a.entries, |x: u8| u64::from(x) & bits == 0),
            Some((2, bits)) => self.others(a, b, a.entries, |x: u16| u64::from(x) & bits == 0),
            Some((4, bits)) => self.others(a, b, a.entries, |x: u32| u64::from(x) & bits == 0),
            Some((_, bits)) => self.others(a, b, a.entries, |x: u64| x & bits == 0),
            None => {
                let bytes = self.others(a, b, bytes(a) as usize, |_: u8| false)?;
                Ok(EntryDifference { entries: a.entries, ..bytes })
            }
        }
    }

    /// Adds what is found in each block; `add` reads a block of both.
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
            self.meter.add((range.len() * size) as u64)?;
            self.pool_a.with(|a| self.pool_b.with(|b| add(&mut found, range, a, b)))?;
            Ok(found)
        };
        let mut found =
            parallel::try_fold(ranges.len(), entries, EntryDifference::default, add, EntryDifference::merged)?;
        found.entries = entries;
        Ok(found)
    }

    /// Elements whose bits are compared.
    fn others<T: Pod + PartialEq>(
        &self,
        a: &Parameter,
        b: &Parameter,
        entries: usize,
        is_zero: impl Fn(T) -> bool + Send + Sync,
    ) -> Result<EntryDifference, CheckpointError> {
        let (a, b) = (&self.a.tensors[a.weights], &self.b.tensors[b.weights]);
        self.fold(entries, size_of::<T>(), |found, range, in_a, in_b| {
            let a = self.a.entries::<T>(a, range.clone(), &mut in_a.weights)?;
            let b = self.b.entries::<T>(b, range, &mut in_b.weights)?;
            for (&a, &b) in a.iter().zip(&*b) {
                found.add(a != b, is_zero(a), is_zero(b));
            }
            Ok(())
        })
    }
}

/// Two parameters of floats, of which the type of the first is to be found out.
struct Floats<'l, 'o> {
    look: &'l Look<'l, 'o>,
    a: &'l Parameter,
    b: &'l Parameter,
}

impl Generic for Floats<'_, '_> {
    type Output = Result<EntryDifference, CheckpointError>;

    fn run<A: Element>(self) -> Self::Output {
        dispatch(self.b.dtype, FloatsOf::<A>(self, std::marker::PhantomData))
    }
}

/// Two parameters of floats, of which the type of the second is to be found out.
struct FloatsOf<'l, 'o, A>(Floats<'l, 'o>, std::marker::PhantomData<A>);

impl<A: Element> Generic for FloatsOf<'_, '_, A> {
    type Output = Result<EntryDifference, CheckpointError>;

    fn run<B: Element>(self) -> Self::Output {
        let Floats { look, a, b } = self.0;
        let same_type = a.dtype == b.dtype;
        // The larger of the two sizes, so that neither block is too large.
        look.fold(a.entries, size_of::<A>().max(size_of::<B>()), |found, range, in_a, in_b| {
            let a = look.a.values::<A>(a, range.clone(), in_a)?;
            let b = look.b.values::<B>(b, range, in_b)?;
            for (a, b) in a.iter().zip(&*b) {
                let differs = if same_type {
                    bytemuck::bytes_of(a) != bytemuck::bytes_of(b)
                } else {
                    // Every value is one of f64, and all NaNs are taken for equal.
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
