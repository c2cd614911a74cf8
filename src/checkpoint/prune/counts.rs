//! [`Counts`]: the numbers of entries that one process counts in its shards, for a [`Cut`].

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::{Observer, Phase, ProgressCounter};
use crate::checkpoint::prune::cut::Cut;
use crate::checkpoint::prune::cut_file::{Magnitude, PartFile, read, save};
use crate::checkpoint::prune::global::count_magnitudes;
use crate::checkpoint::prune::plan::check_shape;
use crate::checkpoint::prune::remaining::RemainingEntries;
use crate::checkpoint::prune::selection::Selection;
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::read::blocks::Pool;
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::checkpoint::report::SkipReason;
use crate::checkpoint::write::output::Output;
use crate::checkpoint::write::resume::name_of;
use crate::file::escape::Quoted;
use crate::hash::fnv1a;
use crate::select::histogram::TypeCounts;
use crate::select::{Bracket, Histogram};

/// The magnitudes of some shards of a checkpoint, counted by one of several processes: the first step to one global threshold
/// where no process reads all shards.
///
/// [`Cut::of`] joins the counts of all shards. Counts are kept for each shard, so that shards may be divided among processes in
/// any way. They can be stored in files, which `docs/MANY-MACHINES.md` describes.
#[derive(Debug, Clone, PartialEq)]
pub struct Counts {
    pub(super) selection: Selection,
    pub(super) within: Option<Within>,
    /// The shards in the order of their names.
    pub(super) shards: Vec<ShardCounts>,
}

/// The cut within which shards were counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Within {
    pub low: Magnitude,
    pub high: Magnitude,
    /// The number of entries that the cut prunes.
    pub count: u64,
    /// The number of shards of the cut.
    pub shards: usize,
}

impl Within {
    pub fn bracket(&self) -> Bracket {
        Bracket::new(self.low.0, self.high.0)
    }
}

/// The counts of a shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShardCounts {
    pub name: String,
    /// The size of the file.
    pub bytes: u64,
    /// All its tensors, in order.
    pub tensors: Vec<CountedTensor>,
    /// The entries of the selected parameters whose weights are in the shard.
    pub entries: u64,
    /// The entries among them that masks keep, which were counted.
    pub remaining: u64,
    pub counts: Vec<TypeCounts>,
}

/// A tensor of a shard that was counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CountedTensor {
    pub name: String,
    pub dtype: ::safetensors::Dtype,
    pub shape: Vec<usize>,
    /// `true` for the weights of a selected parameter.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub selected: bool,
    /// `true` for the weights of a parameter with a mask.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub masked: bool,
    /// `true` if it is skipped for its contents, which no header shows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skipped_by_contents: bool,
}

impl Counts {
    /// Counts the magnitudes of all selected tensors of some shards. The files are a checkpoint of their own; a weight and its mask
    /// must be among them together.
    ///
    /// Unlike [`Pruner::run`](crate::checkpoint::Pruner::run), nothing may be selected here, and patterns may match nothing.
    ///
    /// ```
    /// # use ndarray::arr2;
    /// # let directory = tempfile::tempdir()?;
    /// # let shards = ["a.safetensors", "b.safetensors"].map(|name| directory.path().join(name));
    /// # for (path, name) in shards.iter().zip(["a.weight", "b.weight"]) {
    /// #     let layer = prune::ParameterStore::from_iter([(name, arr2(&[[1.0_f32, -2.0], [3.0, 1.0]]))]);
    /// #     prune::safetensors::save_file(&layer, path)?;
    /// # }
    /// use prune::checkpoint::{Checkpoint, Counts, Cut, Output, Selection};
    ///
    /// // On each machine, for its shards:
    /// let count = |shard| Counts::of(&Checkpoint::open([shard])?, &Selection::new(), &());
    /// let parts = [count(&shards[0])?, count(&shards[1])?];
    /// // On one machine:
    /// let cut = Cut::of(&parts, Some(0.375.into()))?;
    /// // On each machine again, since `f32` needs two passes:
    /// assert_eq!(cut.threshold(), None);
    /// let count = |shard| Counts::within(&Checkpoint::open([shard])?, &cut, &());
    /// let cut = Cut::of(&[count(&shards[0])?, count(&shards[1])?], None)?;
    /// assert_eq!((cut.threshold(), cut.count()), (Some(1.0), 3));
    ///
    /// // Of four equal entries, the three in front are pruned: two of the first shard, and one of the second.
    /// let second = Checkpoint::open([&shards[1]])?;
    /// let output = Output::new(directory.path().join("pruned-b.safetensors"));
    /// let report = cut.pruner(&second)?.run(&second, &output, &())?;
    /// assert_eq!(report.pruned_after(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`CheckpointError::InvalidPattern`] if a pattern is not a valid glob; [`CheckpointError::Read`],
    /// [`CheckpointError::Changed`], [`CheckpointError::MaskValue`], [`CheckpointError::ImpossibleShape`] and
    /// [`CheckpointError::Packed`] as for [`Pruner::run`](crate::checkpoint::Pruner::run); [`CheckpointError::Stopped`].
    pub fn of(
        checkpoint: &Checkpoint,
        selection: &Selection,
        observer: &dyn Observer,
    ) -> Result<Self, CheckpointError> {
        checkpoint.check_rewritable("count shards of")?;
        let shards = count(checkpoint, selection, &Bracket::all(), observer)?;
        Ok(Self { selection: selection.clone(), within: None, shards })
    }

    /// Counts the magnitudes within a cut that is not exact yet. The selection is that of the cut.
    ///
    /// # Errors
    ///
    /// Those of [`of`](Self::of); [`CheckpointError::Cut`] if a shard is not one of the cut, or not the same file.
    pub fn within(checkpoint: &Checkpoint, cut: &Cut, observer: &dyn Observer) -> Result<Self, CheckpointError> {
        cut.selected(checkpoint)?;
        let (bracket, selection) = (cut.bracket(), cut.selection());
        let shards = count(checkpoint, selection, &bracket, observer)?;
        let within = Within {
            low: Magnitude(bracket.low()),
            high: Magnitude(bracket.high()),
            count: cut.count(),
            shards: cut.shards(),
        };
        Ok(Self { selection: selection.clone(), within: Some(within), shards })
    }

    /// Returns the number of entries that were counted: those of selected tensors that masks keep.
    pub fn entries(&self) -> u64 {
        self.shards.iter().map(|shard| shard.remaining).sum()
    }

    /// Reads counts from a file.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Read`] if the file cannot be read; [`CheckpointError::InvalidJson`] or [`CheckpointError::Config`] if
    /// it is not a file of counts.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let PartFile { selection, within, mut shards, .. } = read::<PartFile>(path)?;
        let bracket = within.as_ref().map_or_else(Bracket::all, Within::bracket);
        if let Some(shard) = shards.iter().find(|shard| !shard.is_valid(&bracket)) {
            let reason = format!("has counts of {} that contradict each other", Quoted(&shard.name));
            return Err(CheckpointError::Config { path: path.to_owned(), reason });
        }
        shards.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { selection, within, shards })
    }

    /// Writes the counts to a file. It appears when it is complete.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::OutputExists`] if the file exists and is not to be replaced; [`CheckpointError::Write`].
    pub fn save(&self, output: &Output) -> Result<(), CheckpointError> {
        let Self { selection, within, shards } = self.clone();
        save(output, &PartFile::new(selection, within, shards))
    }
}

impl ShardCounts {
    /// Returns `true` if numbers of a file fit together, so that no sum of them overflows later.
    fn is_valid(&self, within: &Bracket) -> bool {
        let entries = |shape: &[usize]| shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size as u64));
        let tensors = self.tensors.iter().map(|tensor| Some((tensor.selected, entries(&tensor.shape)?)));
        let Some(tensors) = tensors.collect::<Option<Vec<_>>>() else { return false };
        let selected = tensors.iter().filter(|(selected, _)| *selected).map(|&(_, entries)| entries);
        let counted = self.counts.iter().map(TypeCounts::entries);
        let counted =
            counted.collect::<Option<Vec<_>>>().and_then(|counts| counts.into_iter().try_fold(0, u64::checked_add));
        selected.into_iter().try_fold(0, u64::checked_add) == Some(self.entries)
            && self.entries <= self.bytes
            && self.remaining <= self.entries
            && counted == Some(self.remaining)
            && self.histogram(within).is_some()
    }

    /// The counts as a histogram; `None` if they have no place in it.
    pub fn histogram(&self, within: &Bracket) -> Option<Histogram> {
        let mut histogram = Histogram::within(within);
        self.counts.iter().try_for_each(|counts| histogram.add_type(counts))?;
        Some(histogram)
    }
}

/// Counts each shard.
fn count(
    checkpoint: &Checkpoint,
    selection: &Selection,
    within: &Bracket,
    observer: &dyn Observer,
) -> Result<Vec<ShardCounts>, CheckpointError> {
    let reasons = selection.in_part(checkpoint)?;
    let selected = |shard: usize| {
        let all = checkpoint.parameters.iter().zip(&reasons).filter(|(_, reason)| reason.is_none());
        let own = all.filter(move |(parameter, _)| checkpoint.tensors[parameter.weights].shard == shard);
        own.map(|(parameter, _)| parameter).collect::<Vec<&ParameterEntry>>()
    };
    let shards: Vec<_> = (0..checkpoint.shards.len()).map(selected).collect();
    let all = || shards.iter().flatten();
    all().try_for_each(|parameter| check_shape(parameter))?;

    let pool = Pool::default();
    let bytes = |tensor: usize| checkpoint.tensors[tensor].bytes;
    let masks = ProgressCounter::new(observer, Phase::Counting, all().filter_map(|entry| entry.mask).map(bytes).sum());
    let remaining = |parameters: &Vec<&ParameterEntry>| {
        let counts = parameters.iter().map(|parameter| RemainingEntries::of(checkpoint, parameter, &pool, &masks));
        counts.map(|remaining| Ok(remaining?.count as u64)).sum::<Result<u64, CheckpointError>>()
    };
    let remaining = shards.iter().map(remaining).collect::<Result<Vec<_>, _>>()?;
    masks.finish()?;

    let progress = ProgressCounter::new(observer, Phase::Ranking, all().map(|entry| bytes(entry.weights)).sum());
    let mut counted = Vec::with_capacity(shards.len());
    for ((number, parameters), remaining) in shards.iter().enumerate().zip(remaining) {
        let mut histogram = Histogram::within(within);
        count_magnitudes(checkpoint, parameters, &mut histogram, &pool, &progress)?;
        counted.push(ShardCounts {
            name: name_of(checkpoint.shards[number].name()),
            bytes: checkpoint.shards[number].bytes(),
            tensors: counted_tensors(checkpoint, &reasons, number),
            entries: parameters.iter().map(|parameter| parameter.entries as u64).sum(),
            remaining,
            counts: histogram.types().filter(|counts| counts.entries() != Some(0)).collect(),
        });
    }
    progress.finish()?;
    checkpoint.check_unchanged()?;
    counted.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(counted)
}

/// The tensors of a shard, given the reasons why parameters are skipped.
pub(super) fn counted_tensors(
    checkpoint: &Checkpoint,
    reasons: &[Option<SkipReason>],
    shard: usize,
) -> Vec<CountedTensor> {
    let mut tensors: Vec<_> = checkpoint.tensors[checkpoint.tensors_of(shard)]
        .iter()
        .map(|tensor| CountedTensor {
            name: tensor.name.clone(),
            dtype: tensor.dtype.0,
            shape: tensor.shape.clone(),
            selected: false,
            masked: false,
            skipped_by_contents: false,
        })
        .collect();
    let first = checkpoint.tensors_of(shard).start;
    for (parameter, reason) in checkpoint.parameters.iter().zip(reasons) {
        if let Some(tensor) = parameter.weights.checked_sub(first).and_then(|number| tensors.get_mut(number)) {
            tensor.selected = reason.is_none();
            tensor.masked = parameter.mask.is_some();
            tensor.skipped_by_contents = matches!(reason, Some(SkipReason::Tied { .. } | SkipReason::Packed));
        }
    }
    tensors
}

/// A hash of the names, types and shapes of tensors.
pub(super) fn hash_of_tensors(tensors: &[CountedTensor]) -> u64 {
    let text = |tensor: &CountedTensor| format!("{:?} {} {:?};", tensor.name, tensor.dtype, tensor.shape);
    fnv1a(tensors.iter().flat_map(|tensor| text(tensor).into_bytes()))
}

/// A hash of which tensors are selected, and of which of those have a mask.
pub(super) fn hash_of_selected(tensors: &[CountedTensor]) -> u64 {
    fnv1a(tensors.iter().map(|tensor| u8::from(tensor.selected) + 2 * u8::from(tensor.selected && tensor.masked)))
}
