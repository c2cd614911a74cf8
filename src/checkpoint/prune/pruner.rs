use std::path::PathBuf;
use std::sync::Arc;

use crate::amount::Amount;
use crate::checkpoint::prune::Selection;
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::write::{Format, Output};
use crate::checkpoint::{CheckpointError, Observer, PruneReport};
use crate::error::PruneError;
use crate::method::{BuiltIn, L1Unstructured, LnStructured, RandomStructured, RandomUnstructured};
use crate::pruning_type::PruningType;
use crate::score::Norm;

/// What decides which entries go.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// The entries of lowest magnitude, as [`L1Unstructured`](crate::L1Unstructured) prunes them.
    L1 {
        /// How many entries, of each tensor or of all together.
        amount: Amount,
    },
    /// Entries at random, as [`RandomUnstructured`](crate::RandomUnstructured) prunes them.
    ///
    /// With [`Scope::Global`] the seed is used as it is. With [`Scope::Tensor`] each tensor has its own, the first eight
    /// bytes, in little-endian order, that ChaCha8 gives for `seed` in the stream whose number is the 64-bit FNV-1a hash of
    /// the tensor's name ([`tensor_seed`](crate::checkpoint::tensor_seed)): tensors of one shape do not share one pattern, and a tensor's does not depend
    /// on which others there are.
    Random {
        /// How many entries, of each tensor or of all together.
        amount: Amount,
        /// Decides what is drawn.
        seed: u64,
    },
    /// The channels of lowest norm, as [`LnStructured`](crate::LnStructured) prunes them.
    Ln {
        /// How many channels of each tensor.
        amount: Amount,
        /// What ranks them.
        norm: Norm,
        /// The axis; negative numbers count from the last one.
        dim: isize,
    },
    /// Channels at random, as [`RandomStructured`](crate::RandomStructured) prunes them. Each tensor has its own seed, as at
    /// [`Method::Random`].
    RandomStructured {
        /// How many channels of each tensor.
        amount: Amount,
        /// The axis; negative numbers count from the last one.
        dim: isize,
        /// Decides what is drawn.
        seed: u64,
    },
    /// What the masks in a file do not keep: one that [`save_masks`](crate::safetensors::save_masks), [`Format::Masks`] or
    /// [`extract_masks`](crate::checkpoint::extract_masks) wrote.
    ///
    /// The default selection is then what the file has masks for. Every mask must belong to a tensor of the checkpoint.
    Masks {
        /// The mask file.
        path: PathBuf,
    },
}

/// What is ranked together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Scope {
    /// Each tensor by itself.
    #[default]
    Tensor,
    /// The entries of all selected tensors of all shards, as [`global_unstructured`](crate::global_unstructured) does.
    Global,
}

/// A pruning of a checkpoint, to be [run](Self::run) or [tried](Self::dry_run).
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let (input, output) = (folder.path().join("in.safetensors"), folder.path().join("out.safetensors"));
/// # let mut layer = prune::ParameterStore::from_iter([("fc.weight", ndarray::Array2::<f32>::ones((4, 4)))]);
/// # layer.insert("fc.bias", ndarray::Array1::ones(4));
/// # prune::safetensors::save_file(&layer, &input)?;
/// use prune::checkpoint::{Checkpoint, Method, Output, Prune, Scope, Selection};
///
/// let checkpoint = Checkpoint::open([&input])?;
/// let report = Prune::new(Method::L1 { amount: 0.5.into() })?
///     .scope(Scope::Global)
///     .selection(Selection::new().include("fc.*").exclude("*.bias"))
///     .run(&checkpoint, &Output::new(&output), &())?;
/// assert_eq!(report.pruned_after(), 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Prune {
    pub(crate) by: By,
    pub(crate) scope: Scope,
    pub(crate) format: Format,
    pub(crate) selection: Selection,
}

impl Prune {
    /// Prunes the default selection, each tensor by itself, and writes weights.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Method`] with [`PruneError::InvalidFraction`] or [`PruneError::InvalidNorm`].
    pub fn new(method: Method) -> Result<Self, CheckpointError> {
        Ok(Self::by(method.by().map_err(|source| CheckpointError::Method { source })?))
    }

    /// Prunes the default selection by a method of this crate, each tensor by itself, and writes weights.
    pub fn with(method: impl BuiltIn + 'static) -> Self {
        Self::by(By::Method(Arc::new(method)))
    }

    fn by(by: By) -> Self {
        Self { by, scope: Scope::default(), format: Format::default(), selection: Selection::default() }
    }

    /// Sets what is ranked together.
    pub fn scope(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// Sets what is written.
    pub fn format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// Sets which tensors are pruned.
    pub fn selection(self, selection: Selection) -> Self {
        Self { selection, ..self }
    }

    /// Prunes the checkpoint and writes the output.
    ///
    /// The same input and options give the same bytes, on every machine and for any number of threads.
    ///
    /// # Errors
    ///
    /// Before anything is written: [`CheckpointError::UnmatchedPattern`], [`CheckpointError::InvalidPattern`],
    /// [`CheckpointError::NothingSelected`], [`CheckpointError::Method`], [`CheckpointError::Tensor`],
    /// [`CheckpointError::NotUnstructured`], [`CheckpointError::NameClash`]; those of the mask file,
    /// [`CheckpointError::MaskWithoutTensor`] and [`CheckpointError::ShapeMismatch`]; those of the output,
    /// [`CheckpointError::OutputIsInput`], [`CheckpointError::ReservedName`], [`CheckpointError::OutputExists`],
    /// [`CheckpointError::OtherRun`].
    ///
    /// Later: [`CheckpointError::Read`], [`CheckpointError::Write`], [`CheckpointError::Changed`],
    /// [`CheckpointError::MaskValue`], [`CheckpointError::MaskPadding`], [`CheckpointError::Stopped`]. A file is then
    /// complete or as it was before; a folder may have some of its shards, with which the run can be
    /// [resumed](Output::resume).
    pub fn run(
        &self,
        checkpoint: &Checkpoint,
        output: &Output,
        observer: &dyn Observer,
    ) -> Result<PruneReport, CheckpointError> {
        crate::checkpoint::prune::run::run(self, checkpoint, Some(output), observer)
    }

    /// The report of [`run`](Self::run), with nothing written.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run) that do not concern the output.
    pub fn dry_run(&self, checkpoint: &Checkpoint, observer: &dyn Observer) -> Result<PruneReport, CheckpointError> {
        crate::checkpoint::prune::run::run(self, checkpoint, None, observer)
    }
}

/// What decides which entries go.
#[derive(Debug, Clone)]
pub(crate) enum By {
    Method(Arc<dyn BuiltIn>),
    Masks(PathBuf),
}

impl By {
    pub fn kind(&self) -> PruningType {
        match self {
            Self::Method(method) => method.pruning_type(),
            Self::Masks(_) => PruningType::Global,
        }
    }
}

/// Only for callers of before: the methods are those of the crate.
impl Method {
    fn by(self) -> Result<By, PruneError> {
        Ok(By::Method(match self {
            Self::L1 { amount } => Arc::new(L1Unstructured::new(amount)?),
            Self::Random { amount, seed } => Arc::new(RandomUnstructured::new(amount, seed)?),
            Self::Ln { amount, norm, dim } => Arc::new(LnStructured::new(amount, norm, dim)?),
            Self::RandomStructured { amount, dim, seed } => Arc::new(RandomStructured::new(amount, dim, seed)?),
            Self::Masks { path } => return Ok(By::Masks(path)),
        }))
    }
}
