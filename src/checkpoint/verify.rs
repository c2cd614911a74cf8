//! Checks that the zeros of tensors have a pattern.

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::{Observer, Phase, ProgressCounter};
use crate::checkpoint::prune::Selection;
use crate::checkpoint::prune::plan::check_shape;
use crate::checkpoint::prune::selection::Purpose;
use crate::checkpoint::read::blocks::{Pool, Scratch, block_entries};
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::checkpoint::read::{Checkpoint, Dtype};
use crate::checkpoint::report::SkipReason;
use crate::element::Element;
use crate::error::PruneError;
use crate::file::dtype::with_dtype;
use crate::method::violations::Rule;
use crate::method::{Block, NM, Violations};
use crate::tensor::parallel;

/// A pattern of zeros, made of the method that prunes by it; its amount and its norm have no meaning here.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ZeroPattern {
    /// No group has more nonzero entries than it may keep.
    NM(NM),
    /// The entries of every block are all zero or all nonzero.
    Block(Block),
}

impl From<NM> for ZeroPattern {
    fn from(pattern: NM) -> Self {
        Self::NM(pattern)
    }
}

impl From<Block> for ZeroPattern {
    fn from(block: Block) -> Self {
        Self::Block(block)
    }
}

impl ZeroPattern {
    fn rule(&self, shape: &[usize]) -> Result<Rule, PruneError> {
        match self {
            Self::NM(pattern) => pattern.rule(shape),
            Self::Block(block) => block.rule(shape),
        }
    }
}

/// The result of [`verify`].
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// The tensors, in the order of [`Inspection::tensors`](crate::checkpoint::Inspection::tensors).
    pub tensors: Vec<TensorVerification>,
}

/// The result of [`verify`] for one tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorVerification {
    /// The plain name of the tensor.
    pub name: String,
    /// The dtype of the tensor.
    pub dtype: Dtype,
    /// The shape of the tensor.
    pub shape: Vec<usize>,
    /// The shard that has the tensor, as an index into [`Checkpoint::shards`].
    pub shard: usize,
    /// The number of entries.
    pub entries: usize,
    /// The groups that break the pattern, or the reason why the tensor was not checked.
    pub result: Result<Violations, SkipReason>,
}

impl Verification {
    /// Returns `true` if no tensor that was checked breaks the pattern.
    pub fn holds(&self) -> bool {
        self.violations() == 0
    }

    /// Returns the number of groups that break the pattern.
    pub fn violations(&self) -> usize {
        self.tensors.iter().filter_map(|tensor| tensor.result.as_ref().ok()).map(|found| found.count).sum()
    }
}

/// Checks that the zeros of the selected tensors have a pattern. Zeros are 0, -0, and what a mask prunes; NaN is none.
///
/// Tensors are read once, in pieces of whole groups.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("layer.safetensors");
/// # let layer = prune::ParameterStore::from_iter([("weight", ndarray::arr2(&[[0.0_f32, 2.0, 3.0, 0.0], [1.0, 2.0, 3.0, 0.0]]))]);
/// # prune::safetensors::save_file(&layer, &path)?;
/// use prune::NM;
/// use prune::checkpoint::{Checkpoint, Selection, verify};
///
/// let found = verify(&Checkpoint::open([&path])?, &Selection::new(), NM::new(2, 4, -1)?, &())?;
/// assert!(!found.holds());
/// let weight = found.tensors[0].result.as_ref().unwrap();
/// assert_eq!((weight.count, weight.groups), (1, 2));
/// assert_eq!((&weight.first[0].at, weight.first[0].kept), (&vec![1, 0], 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// - Those of [`Selection::skipped`], and [`CheckpointError::NothingSelected`] if no tensor is selected.
/// - [`CheckpointError::Tensor`] if a tensor does not have the axes of the pattern; [`CheckpointError::ImpossibleShape`] if its
///   nonzero sizes are too large.
/// - [`CheckpointError::Read`] if a file cannot be read, [`CheckpointError::Changed`] if it has changed since it was opened,
///   [`CheckpointError::MaskValue`] if a mask has an entry other than 0 and 1, and [`CheckpointError::Stopped`] if the
///   observer stops the run.
pub fn verify(
    checkpoint: &Checkpoint,
    selection: &Selection,
    pattern: impl Into<ZeroPattern>,
    observer: &dyn Observer,
) -> Result<Verification, CheckpointError> {
    let pattern = pattern.into();
    let selected = selection.resolve(checkpoint, Purpose::Entries)?;
    let mut rules = Vec::with_capacity(selected.reasons.len());
    for (parameter, reason) in checkpoint.parameters.iter().zip(selected.reasons) {
        rules.push(match reason {
            Some(reason) => Err(reason),
            None => {
                check_shape(parameter)?;
                let refused = |source| CheckpointError::Tensor { tensor: parameter.name.clone(), source };
                Ok(pattern.rule(&parameter.shape).map_err(refused)?)
            }
        });
    }
    let checked = checkpoint.parameters.iter().zip(&rules).filter(|(_, rule)| rule.is_ok());
    let total = checked.map(|(parameter, _)| checkpoint.tensors[parameter.weights].bytes).sum();
    let progress = ProgressCounter::new(observer, Phase::Processing, total);
    let verifier = Verifier { checkpoint, pool: &Pool::default(), progress: &progress };
    let tensors = checkpoint.parameters.iter().zip(rules).map(|(parameter, rule)| verifier.verify(parameter, rule));
    let tensors = tensors.collect::<Result<_, _>>()?;
    checkpoint.check_unchanged()?;
    progress.finish()?;
    Ok(Verification { tensors })
}

struct Verifier<'v, 'o> {
    checkpoint: &'v Checkpoint,
    pool: &'v Pool,
    progress: &'v ProgressCounter<'o>,
}

impl Verifier<'_, '_> {
    fn verify(
        &self,
        parameter: &ParameterEntry,
        rule: Result<Rule, SkipReason>,
    ) -> Result<TensorVerification, CheckpointError> {
        let result = match rule {
            Err(reason) => Err(reason),
            Ok(rule) => Ok(with_dtype!(
                parameter.dtype,
                A: Element => self.check::<A>(parameter, &rule)?,
                else => parameter.dtype.cannot_be_pruned(),
            )),
        };
        Ok(TensorVerification {
            name: parameter.name.clone(),
            dtype: parameter.dtype,
            shape: parameter.shape.clone(),
            shard: self.checkpoint.tensors[parameter.weights].shard,
            entries: parameter.entries,
            result,
        })
    }

    fn check<A: Element>(&self, parameter: &ParameterEntry, rule: &Rule) -> Result<Violations, CheckpointError> {
        let Self { checkpoint, pool, progress } = self;
        let parts: Vec<_> = rule.groups.parts(block_entries(size_of::<A>())).collect();
        let found = parallel::try_map(parts.len(), parameter.entries, |number| {
            let part = parts[number].clone();
            progress.add((part.len() * size_of::<A>()) as u64)?;
            pool.with(|scratch| {
                let Scratch { weights, mask, remaining, kept, .. } = scratch;
                let entries = checkpoint.entries::<A>(&checkpoint.tensors[parameter.weights], part.clone(), weights)?;
                kept.clear();
                kept.extend(entries.iter().map(|x| !x.is_zero()));
                if let Some(remaining) = checkpoint.remaining(parameter, part.clone(), mask, remaining)? {
                    kept.iter_mut().zip(remaining).for_each(|(kept, remaining)| *kept &= remaining);
                }
                Ok(rule.check(part, kept))
            })
        })?;
        Ok(found.into_iter().fold(Violations::default(), Violations::merge))
    }
}
