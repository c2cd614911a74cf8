//! [`Pruner`]: the method, the scope, the format and the selection of a pruning.

use std::path::PathBuf;

use half::{bf16, f16};
use serde_json::json;

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::Observer;
use crate::checkpoint::prune::run;
use crate::checkpoint::prune::selection::Selection;
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::report::PruneReport;
use crate::checkpoint::write::output::{Format, Output};
use crate::checkpoint::write::resume::RunIdentity;
use crate::method::{AnyMethod, Describe, PruningMethod};

/// The entries that one ranking covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Scope {
    /// The entries of one tensor. Amounts apply to each tensor.
    ///
    /// A random method with a seed gets another seed for each tensor, [`tensor_seed`](crate::checkpoint::tensor_seed):
    /// tensors of the same shape then have different masks, and the mask of a tensor does not depend on the other tensors.
    #[default]
    Tensor,
    /// The entries of all selected tensors of all shards, as in [`global_unstructured`](crate::global_unstructured). The
    /// method must be unstructured.
    Global,
}

/// A pruning of a checkpoint: a method with its scope, its selection of tensors and the format of its output.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let (input, output) = (directory.path().join("in.safetensors"), directory.path().join("out.safetensors"));
/// # let mut layer = prune::ParameterStore::from_iter([("fc.weight", ndarray::Array2::<f32>::ones((4, 4)))]);
/// # layer.insert("fc.bias", ndarray::Array1::ones(4));
/// # prune::safetensors::save_file(&layer, &input)?;
/// use prune::L1Unstructured;
/// use prune::checkpoint::{Checkpoint, Output, Pruner, Scope, Selection};
///
/// let checkpoint = Checkpoint::open([&input])?;
/// let report = Pruner::new(L1Unstructured::new(0.5)?)
///     .scope(Scope::Global)
///     .selection(Selection::new().include("fc.*").exclude("*.bias"))
///     .run(&checkpoint, &Output::new(&output), &())?;
/// assert_eq!(report.pruned_after(), 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Pruner {
    pub(crate) by: PruneBy,
    pub(crate) scope: Scope,
    pub(crate) format: Format,
    pub(crate) selection: Selection,
}

/// The origin of the new masks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PruneBy {
    Method(AnyMethod),
    MaskFile(PathBuf),
}

impl Pruner {
    /// Returns a pruner with a method, which prunes the default selection, each tensor alone, and writes weights.
    ///
    /// Built-in methods read tensors in pieces. A custom method is given each tensor as a whole, as on a
    /// [`Parameter`](crate::Parameter), so that the largest selected tensor and its mask must fit in memory.
    ///
    /// Methods that work in memory only are accepted here and refused by [`run`](Self::run):
    /// [`CustomFromMask`](crate::CustomFromMask), methods with [`TieBreak::PyTorch`](crate::TieBreak::PyTorch) or with a
    /// [`torch::Generator`](crate::torch::Generator), and custom methods with [`Scope::Global`].
    pub fn new<M>(method: M) -> Self
    where
        M: PruningMethod<f32> + PruningMethod<f64> + PruningMethod<f16> + PruningMethod<bf16> + 'static,
    {
        Self::by(PruneBy::Method(AnyMethod::new(method)))
    }

    /// Returns a pruner with the masks of a file, as written by [`save_masks`](crate::safetensors::save_masks),
    /// [`Format::Masks`] or [`extract_masks`](crate::checkpoint::extract_masks).
    ///
    /// The default selection is every tensor that the file has a mask for. Every mask must belong to a tensor of the
    /// checkpoint. The scope has no effect.
    pub fn masks(path: impl Into<PathBuf>) -> Self {
        Self::by(PruneBy::MaskFile(path.into()))
    }

    fn by(by: PruneBy) -> Self {
        Self { by, scope: Scope::default(), format: Format::default(), selection: Selection::default() }
    }

    /// Sets the scope of the ranking.
    pub fn scope(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// Sets the format of the output.
    pub fn format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// Sets the selection of tensors.
    pub fn selection(self, selection: Selection) -> Self {
        Self { selection, ..self }
    }

    /// Prunes the checkpoint and writes the output.
    ///
    /// The same input and options give the same bytes, on every machine and for any number of threads.
    ///
    /// # Errors
    ///
    /// Before anything is written:
    ///
    /// - [`CheckpointError::InvalidPattern`], [`CheckpointError::UnmatchedPattern`] or
    ///   [`CheckpointError::NothingSelected`] if the selection is invalid or empty.
    /// - [`CheckpointError::Tensor`] or [`CheckpointError::Method`] if the method cannot prune a tensor, or with global scope
    ///   all of them together; [`CheckpointError::NotUnstructured`] if it does not support global scope;
    ///   [`CheckpointError::OnlyInMemory`] if it does not support files.
    /// - [`CheckpointError::ImpossibleShape`] if the nonzero sizes of a selected tensor are too large.
    /// - [`CheckpointError::MaskFile`], [`CheckpointError::MaskWithoutTensor`] or [`CheckpointError::ShapeMismatch`] if the
    ///   mask file is invalid or does not fit the checkpoint.
    /// - [`CheckpointError::NameClash`] or [`CheckpointError::OutputHeader`] if the output cannot be a safetensors file.
    /// - [`CheckpointError::OutputIsInput`], [`CheckpointError::ReservedName`], [`CheckpointError::OutputKind`],
    ///   [`CheckpointError::OutputExists`], [`CheckpointError::UnfinishedRun`] or [`CheckpointError::OtherRun`] if the output
    ///   cannot be written to its path.
    ///
    /// At any time: [`CheckpointError::Read`], [`CheckpointError::Write`], [`CheckpointError::Changed`],
    /// [`CheckpointError::MaskValue`], [`CheckpointError::MaskPadding`] or [`CheckpointError::Stopped`]. An output file is
    /// then complete or as it was before. A directory may contain some of its shards, with which the run can be
    /// [resumed](Output::resume).
    pub fn run(
        &self,
        checkpoint: &Checkpoint,
        output: &Output,
        observer: &dyn Observer,
    ) -> Result<PruneReport, CheckpointError> {
        run::run(self, checkpoint, Some(output), observer)
    }

    /// Returns the report of [`run`](Self::run) without writing anything.
    ///
    /// # Errors
    ///
    /// The errors of [`run`](Self::run), except those of the output.
    pub fn dry_run(&self, checkpoint: &Checkpoint, observer: &dyn Observer) -> Result<PruneReport, CheckpointError> {
        run::run(self, checkpoint, None, observer)
    }

    /// The options that decide the bytes of the output. The mask file is not one of them: it is an input.
    pub(crate) fn identity(&self) -> RunIdentity {
        let Self { by, scope, format, selection: Selection { include, exclude } } = self;
        let method = match by {
            PruneBy::Method(method) => json!({ "name": method.name(), "options": method.options() }),
            PruneBy::MaskFile(_) => "mask file".into(),
        };
        let scope = match scope {
            Scope::Tensor => "tensor",
            Scope::Global => "global",
        };
        let format = match format {
            Format::Weights => "weights",
            Format::PyTorch => "pytorch",
            Format::Masks => "masks",
        };
        vec![
            ("method", method),
            ("scope", scope.into()),
            ("format", format.into()),
            ("selection", json!({ "include": include, "exclude": exclude })),
        ]
    }
}
