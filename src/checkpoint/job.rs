use std::path::{Path, PathBuf};

use super::{Checkpoint, CheckpointError, Observer, PruneReport, Selection};
use crate::{Amount, Norm, PruneError};

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
    /// the tensor's name ([`tensor_seed`](super::tensor_seed)): tensors of one shape do not share one pattern, and a tensor's does not depend
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
    /// [`extract_masks`](super::extract_masks) wrote.
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

/// What is written.
///
/// | input | `Weights` | `PyTorch` | `Masks` |
/// |---|---|---|---|
/// | `w`, selected | `w`: the pruned values | `w_orig`: as it was; `w_mask` in its dtype | the mask of `w` |
/// | `w_orig`, `w_mask`, selected | `w`: the pruned values | `w_orig`: as it was; `w_mask`: what is left of it | the mask of `w`: what is left of it |
/// | anything else | as it was | as it was | nothing |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// The checkpoint with zeros where entries were pruned (-0.0 for negative ones, NaN for NaN and infinite ones, as
    /// everywhere). Tensors that were pruned already and are selected are baked into one.
    #[default]
    Weights,
    /// The checkpoint as the state dict of a pruned PyTorch module.
    PyTorch,
    /// Only the masks, in the layout of [`save_masks`](crate::safetensors::save_masks): one file, also for many shards.
    Masks,
}

/// Where a run writes to, and what it does about what is there.
///
/// A checkpoint in one file is written to a file, one in shards to a folder, where the shards and the index have the names
/// that they have in the input. Everything is written beside its place and renamed when it is complete. No file of the
/// input is ever written to. A process that is killed half-way leaves at most a file `.nn-prune-*.tmp` beside the output;
/// in a folder, the next run into it clears that away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub(super) path: PathBuf,
    pub(super) force: bool,
    pub(super) resume: bool,
    pub(super) durable: bool,
}

impl Output {
    /// A file, or for a checkpoint in shards a folder, which is made if it is not there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), force: false, resume: false, durable: false }
    }

    /// Whether files that exist may be replaced. Without it they are an error.
    pub fn force(self, force: bool) -> Self {
        Self { force, ..self }
    }

    /// Whether shards that an interrupted run has finished are kept, so that only the others are written.
    ///
    /// A run into a folder keeps a description of itself there, `.nn-prune-run.json`, until it is finished: options, names,
    /// sizes and times of the input files, and which shards are finished. Only the same run on the same input is resumed,
    /// any other is an error. Without such a description in the folder, the run starts from the beginning.
    pub fn resume(self, resume: bool) -> Self {
        Self { resume, ..self }
    }

    /// Whether each file is safely on the disk before it appears at its path.
    ///
    /// Without it, the operating system writes the files when it likes, as after `cp`, which is often several times as
    /// fast. No process, killed or not, leaves or sees an incomplete file either way; a power failure may.
    pub fn durable(self, durable: bool) -> Self {
        Self { durable, ..self }
    }

    /// The path it was made of.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl From<PathBuf> for Output {
    fn from(path: PathBuf) -> Self {
        Self::new(path)
    }
}

impl From<&Path> for Output {
    fn from(path: &Path) -> Self {
        Self::new(path)
    }
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
#[derive(Debug, Clone, PartialEq)]
pub struct Prune {
    pub(super) method: Method,
    pub(super) scope: Scope,
    pub(super) format: Format,
    pub(super) selection: Selection,
}

impl Prune {
    /// Prunes the default selection, each tensor by itself, and writes weights.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Method`] with [`PruneError::InvalidFraction`] or [`PruneError::InvalidNorm`].
    pub fn new(method: Method) -> Result<Self, CheckpointError> {
        match method {
            Method::L1 { amount }
            | Method::Random { amount, .. }
            | Method::Ln { amount, .. }
            | Method::RandomStructured { amount, .. } => {
                PruneError::check_amount(amount).map_err(|source| CheckpointError::Method { source })?;
            }
            Method::Masks { .. } => {}
        }
        if let Method::Ln { norm, .. } = method {
            norm.validated().map_err(|source| CheckpointError::Method { source })?;
        }
        Ok(Self { method, scope: Scope::default(), format: Format::default(), selection: Selection::default() })
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
        super::run::run(self, checkpoint, Some(output), observer)
    }

    /// The report of [`run`](Self::run), with nothing written.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run) that do not concern the output.
    pub fn dry_run(&self, checkpoint: &Checkpoint, observer: &dyn Observer) -> Result<PruneReport, CheckpointError> {
        super::run::run(self, checkpoint, None, observer)
    }
}
