//! [`Pruner`]: the method, the scope, the format and the selection of a pruning.

use std::path::PathBuf;
use std::sync::Arc;

use half::{bf16, f16};
use serde_json::json;

use crate::calibration::Statistics;
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::peers::{Group, Peers};
use crate::checkpoint::progress::Observer;
use crate::checkpoint::prune::calibrated;
use crate::checkpoint::prune::cut::Cut;
use crate::checkpoint::prune::layer_methods::LayerMethods;
use crate::checkpoint::prune::run;
use crate::checkpoint::prune::selection::Selection;
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::report::PruneReport;
use crate::checkpoint::write::output::{Format, Output};
use crate::checkpoint::write::resume::RunIdentity;
use crate::method::{AnyMethod, Describe, PruningMethod};
use crate::training::{Allocation, Bounds};

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
    pub(crate) allocation: Option<(Allocation, Bounds)>,
    pub(crate) format: Format,
    pub(crate) selection: Selection,
    pub(crate) output_axis: bool,
    pub(crate) statistics: Option<Arc<Statistics>>,
    pub(crate) check: Option<Arc<Statistics>>,
    pub(crate) cut: Option<Arc<Cut>>,
}

/// The origin of the new masks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PruneBy {
    Methods(LayerMethods),
    MaskFile(PathBuf),
}

impl Pruner {
    /// Returns a pruner with a method, which prunes the default selection, each tensor alone, and writes weights.
    ///
    /// Built-in methods read tensors in pieces. A custom method is given each tensor as a whole, as on a
    /// [`Parameter`](crate::Parameter), so that the largest selected tensor and its mask must fit in memory.
    ///
    /// Methods that work in memory only are accepted here and refused by [`run`](Self::run):
    /// [`CustomFromMask`](crate::CustomFromMask), [`Lowest`](crate::Lowest) and methods with a
    /// [`torch::Generator`](crate::torch::Generator); with [`Scope::Global`], custom methods and
    /// [`TieBreak::PyTorch`](crate::TieBreak::PyTorch) too.
    pub fn new<M>(method: M) -> Self
    where
        M: PruningMethod<f32> + PruningMethod<f64> + PruningMethod<f16> + PruningMethod<bf16> + 'static,
    {
        Self::by(PruneBy::Methods(LayerMethods { layers: Vec::new(), others: Some(AnyMethod::new(method)) }))
    }

    /// Returns a pruner with a method for each pattern of names, such as an amount for each kind of layer. The first pattern
    /// that matches a tensor counts; tensors that match none are skipped. All methods must prune entries, or all channels.
    ///
    /// ```
    /// use prune::checkpoint::Pruner;
    /// use prune::{AnyMethod, L1Unstructured};
    ///
    /// let amount = |amount: f64| L1Unstructured::new(amount).map(AnyMethod::new);
    /// let pruner = Pruner::by_layer([("*.attention.*", amount(0.3)?), ("*", amount(0.7)?)]);
    /// # Ok::<(), prune::PruneError>(())
    /// ```
    pub fn by_layer<P: Into<String>>(methods: impl IntoIterator<Item = (P, AnyMethod)>) -> Self {
        let layers = methods.into_iter().map(|(pattern, method)| (pattern.into(), method)).collect();
        Self::by(PruneBy::Methods(LayerMethods { layers, others: None }))
    }

    /// Adds a method for the tensors that match a pattern and no earlier one; [`new`](Self::new) gives the method for all
    /// others. Has no effect on a pruner with the masks of a file.
    pub fn layer(mut self, pattern: impl Into<String>, method: AnyMethod) -> Self {
        if let PruneBy::Methods(methods) = &mut self.by {
            methods.layers.push((pattern.into(), method));
        }
        self
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
        Self {
            by,
            scope: Scope::default(),
            allocation: None,
            format: Format::default(),
            selection: Selection::default(),
            output_axis: false,
            statistics: None,
            check: None,
            cut: None,
        }
    }

    /// Sets the scope of the ranking.
    pub fn scope(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// Divides the amount among all selected tensors: it is the amount of all their entries together, of which each tensor loses
    /// a part within the bounds. The method must prune entries of each tensor: [`L1Unstructured`](crate::L1Unstructured) or
    /// [`RandomUnstructured`](crate::RandomUnstructured). Entries that a mask prunes are a part of the counts.
    ///
    /// [`Allocation::Global`] and [`Allocation::Lamp`] rank values, and hold one tensor in memory while they do.
    pub fn allocation(self, allocation: Allocation, bounds: Bounds) -> Self {
        Self { allocation: Some((allocation, bounds)), ..self }
    }

    /// Sets the format of the output.
    pub fn format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// Sets the selection of tensors.
    pub fn selection(self, selection: Selection) -> Self {
        Self { selection, ..self }
    }

    /// Sets whether channels are those of each layer's output, instead of those along the axis that the method names.
    ///
    /// They lie along the first axis, except in layers that store input channels first: the `Conv1D` of GPT-2 and transposed
    /// convolutions. Such a layer is recognised by its bias, which has one entry per output channel, or by its name where
    /// both axes have one size; in an ONNX model, the operator that takes the weight says it.
    /// [`TensorReport::axis`](crate::checkpoint::TensorReport::axis) says which axis was taken, and
    /// why. Custom methods always have the axis that they name.
    pub fn output_axis(self, output_axis: bool) -> Self {
        Self { output_axis, ..self }
    }

    /// Names the statistics that the methods take, so that a run is refused if a selected tensor has none, before anything is read.
    ///
    /// The methods have the statistics themselves:
    ///
    /// ```
    /// # use ndarray::arr2;
    /// # let directory = tempfile::tempdir()?;
    /// # let (input, output) = (directory.path().join("in.safetensors"), directory.path().join("out.safetensors"));
    /// # let layer = prune::ParameterStore::from_iter([("fc.weight", ndarray::Array2::<f32>::ones((4, 2)))]);
    /// # prune::safetensors::save_file(&layer, &input)?;
    /// use std::sync::Arc;
    ///
    /// use prune::calibration::{LeastSquares, Moments, Statistics, Wanda};
    /// use prune::checkpoint::{Checkpoint, Output, Pruner};
    ///
    /// let mut moments = Moments::with_gram(2);
    /// moments.push(arr2(&[[1.0_f32, 2.0], [2.0, 1.0]]).view())?;
    /// let mut statistics = Statistics::new(); // or Statistics::open(path)?
    /// statistics.input("fc", &["fc.weight"], moments);
    /// let statistics = Arc::new(statistics);
    ///
    /// let method = LeastSquares::after(Wanda::new(0.5, statistics.clone())?, statistics.clone());
    /// let pruner = Pruner::new(method).statistics(statistics);
    /// let report = pruner.run(&Checkpoint::open([&input])?, &Output::new(&output), &())?;
    /// assert_eq!(report.pruned_after(), 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn statistics(self, statistics: Arc<Statistics>) -> Self {
        Self { statistics: Some(statistics), ..self }
    }

    /// Measures the relative error of each layer's output on other data, and on the [statistics](Self::statistics) if there are any:
    /// [`TensorReport::calibration`](crate::checkpoint::TensorReport::calibration). Each tensor is then held in memory.
    pub fn check(self, statistics: Arc<Statistics>) -> Self {
        Self { check: Some(statistics), ..self }
    }

    /// Returns the tensor for which a run needs the most memory because of its data, and about how many bytes, or `None` if the
    /// methods read tensors in pieces.
    ///
    /// # Errors
    ///
    /// The errors of [`run`](Self::run) about the selection.
    pub fn working_memory(&self, checkpoint: &Checkpoint) -> Result<Option<(String, u64)>, CheckpointError> {
        calibrated::working_memory(self, checkpoint)
    }

    /// Prunes the checkpoint and writes the output.
    ///
    /// The same input and options give the same bytes, on every machine and for any number of threads.
    ///
    /// # Errors
    ///
    /// Before anything is written:
    ///
    /// - [`CheckpointError::InvalidPattern`], [`CheckpointError::UnmatchedPattern`], [`CheckpointError::UnsupportedDtype`] or
    ///   [`CheckpointError::NothingSelected`] if the selection is invalid or empty.
    /// - [`CheckpointError::WeightNorm`] if channels of the direction of a weight norm would be pruned;
    ///   [`CheckpointError::MixedUnits`] or [`CheckpointError::LayersWithGlobalScope`] if the methods of a pruner
    ///   [by layer](Self::by_layer) do not fit together.
    /// - [`CheckpointError::Tensor`] or [`CheckpointError::Method`] if the method cannot prune a tensor, or with global scope
    ///   all of them together; [`CheckpointError::NotUnstructured`] if it does not support global scope;
    ///   [`CheckpointError::OnlyInMemory`] if it does not support files.
    /// - [`CheckpointError::NotAllocated`], [`CheckpointError::LayersWithAllocation`] or
    ///   [`CheckpointError::AllocationWithGlobalScope`] if an [`allocation`](Self::allocation) does not apply to the method, its
    ///   layers or the scope; [`CheckpointError::Method`] if its bounds do not allow the amount.
    /// - [`CheckpointError::MissingStatistics`] if a selected tensor has no statistics or they are of no tokens;
    ///   [`CheckpointError::UpdateWithMasks`] if a method changes weights but only masks would be written.
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

    /// Prunes the checkpoint together with other processes, each of which calls this with the same arguments, reads some of the
    /// shards and writes them. Files and report are those of [`run`](Self::run) by one process, byte for byte.
    ///
    /// Shards are divided by their bytes; neighbours stay together. With [`Scope::Global`], one exact threshold is found from
    /// [`Histogram`](crate::Histogram)s that are added up over all processes, two for `f32`, one for `f16` and `bf16`, four for `f64`;
    /// a random subset is drawn by its seed, where each process draws for its own entries. With [`Scope::Tensor`], only errors
    /// and the numbers of the report are exchanged. The first process checks the output and writes index and
    /// [companions](crate::checkpoint::Companions).
    ///
    /// If a process ends early, the others get an error or are ended too. The output then is an unfinished run, which any number
    /// of processes can [resume](Output::resume), and one alone by [`run`](Self::run).
    ///
    /// [`PruneReport::resumed`] lists the shards of this process only, and only they have
    /// [`TensorReport::calibration`](crate::checkpoint::TensorReport::calibration).
    ///
    /// ```
    /// # use ndarray::arr2;
    /// # let directory = tempfile::tempdir()?;
    /// # let shards = ["a.safetensors", "b.safetensors"].map(|name| directory.path().join(name));
    /// # for (path, name) in shards.iter().zip(["a.weight", "b.weight"]) {
    /// #     let layer = prune::ParameterStore::from_iter([(name, arr2(&[[1.0_f32, -2.0], [3.0, 1.0]]))]);
    /// #     prune::safetensors::save_file(&layer, path)?;
    /// # }
    /// # let output = Output::new(directory.path().join("out"));
    /// use std::sync::{Barrier, Mutex};
    /// use prune::L1Unstructured;
    /// use prune::checkpoint::{Checkpoint, Output, Peers, Pruner, Scope};
    ///
    /// struct Threads<'a> {
    ///     rank: usize,
    ///     all: &'a Barrier,
    ///     sums: &'a Mutex<Vec<u64>>,
    /// }
    ///
    /// impl Peers for Threads<'_> {
    ///     fn rank(&self) -> usize {
    ///         self.rank
    ///     }
    ///     fn size(&self) -> usize {
    ///         2
    ///     }
    ///     fn sum(&self, numbers: &mut [u64]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    ///         let mut sums = self.sums.lock().unwrap();
    ///         sums.resize(numbers.len(), 0);
    ///         sums.iter_mut().zip(&*numbers).for_each(|(sum, number)| *sum += number);
    ///         drop(sums);
    ///         self.all.wait(); // all have added
    ///         numbers.copy_from_slice(&self.sums.lock().unwrap());
    ///         self.all.wait(); // all have read
    ///         self.sums.lock().unwrap().clear();
    ///         self.all.wait();
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let pruner = Pruner::new(L1Unstructured::new(0.5)?).scope(Scope::Global);
    /// let (all, sums) = (Barrier::new(2), Mutex::default());
    /// let prune = |rank| {
    ///     let peers = Threads { rank, all: &all, sums: &sums };
    ///     pruner.run_among(&Checkpoint::open(&shards)?, &output, &peers, &())
    /// };
    /// let reports = std::thread::scope(|scope| {
    ///     [0, 1].map(|rank| scope.spawn(move || prune(rank))).map(|thread| thread.join().unwrap())
    /// });
    /// for report in reports {
    ///     assert_eq!(report?.pruned_after(), 4);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run). [`CheckpointError::NotShared`] for [`Format::Masks`], for an [`allocation`](Self::allocation), and
    /// with global scope for other methods than [`L1Unstructured`](crate::L1Unstructured) and
    /// [`RandomUnstructured`](crate::RandomUnstructured); [`CheckpointError::PeersFailed`] if another process returns an error;
    /// [`CheckpointError::Peers`] if numbers cannot be added up; [`CheckpointError::CountsChanged`] if weights changed.
    pub fn run_among(
        &self,
        checkpoint: &Checkpoint,
        output: &Output,
        peers: &dyn Peers,
        observer: &dyn Observer,
    ) -> Result<PruneReport, CheckpointError> {
        run::run_among(self, checkpoint, Some(output), &Group::new(checkpoint, peers), observer)
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
        // A method names its statistics among its options, and what is measured is not written. A cut is a method, and a condition.
        let Self {
            by,
            scope,
            allocation,
            format,
            selection: Selection { only, include, exclude },
            output_axis,
            statistics: _,
            check: _,
            cut: _,
        } = self;
        let describe = |method: &AnyMethod| json!({ "name": method.name(), "options": method.options() });
        let method = match by {
            PruneBy::Methods(LayerMethods { layers, others }) => {
                let layers: Vec<_> = layers.iter().map(|(pattern, method)| (pattern, describe(method))).collect();
                json!({ "layers": layers, "others": others.as_ref().map(describe) })
            }
            PruneBy::MaskFile(_) => "mask file".into(),
        };
        let scope = match scope {
            Scope::Tensor => "tensor",
            Scope::Global => "global",
        };
        let allocation = allocation.map(|(allocation, Bounds { min, max })| format!("{allocation} {min:?}..{max:?}"));
        let format = match format {
            Format::Weights => "weights",
            Format::PyTorch => "pytorch",
            Format::Masks => "masks",
        };
        vec![
            ("method", method),
            ("scope", scope.into()),
            ("allocation", allocation.into()),
            ("format", format.into()),
            ("selection", json!({ "only": only, "include": include, "exclude": exclude })),
            ("axis", (*output_axis).into()),
        ]
    }
}
