//! [`Cut`]: one threshold for all shards, found from their counts.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::amount::Amount;
use crate::checkpoint::cut_error::CutError;
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::prune::counts::{
    CountedTensor, Counts, ShardCounts, Within, counted_tensors, hash_of_selected, hash_of_tensors,
};
use crate::checkpoint::prune::cut_file::{CutFile, CutShard, read, save};
use crate::checkpoint::prune::plan::ParameterPlan;
use crate::checkpoint::prune::pruner::{Pruner, Scope};
use crate::checkpoint::prune::selection::{Selected, Selection};
use crate::checkpoint::read::parameter::{ParameterEntry, parameters};
use crate::checkpoint::read::usage::Usage;
use crate::checkpoint::read::{Checkpoint, Dtype, Shard, Tensor};
use crate::checkpoint::report::SkipReason;
use crate::checkpoint::write::output::Output;
use crate::checkpoint::write::resume::name_of;
use crate::method::UpTo;
use crate::select::{Bracket, Histogram};

/// One threshold for all shards of a checkpoint, and the number of entries at it that are pruned from each. [`Counts`] has an
/// example.
///
/// Until it is [exact](Self::threshold), it is a bracket within which the shards are [counted](Counts::within) again.
///
/// Shards are ordered by their names, as those of an index or of a directory are: of equal entries, those of the first shards are
/// pruned. Shards that are pruned with a cut are then, byte for byte, those that [`Pruner::run`] with
/// [`L1Unstructured`](crate::L1Unstructured) and [`Scope::Global`] writes for the whole checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Cut {
    selection: Selection,
    count: u64,
    bracket: Bracket,
    exact: bool,
    /// The shards in the order of their names.
    shards: Vec<CutShard>,
}

impl Cut {
    /// Finds the cut that prunes an amount of all entries that were counted: an exact one, or a narrower bracket.
    ///
    /// The counts are those of all shards, in any order. The amount may be left out if the shards were counted
    /// [within](Counts::within) a cut, which knows it.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Cut`] if the counts are not those of all shards, once each, with one selection and within one cut, or if
    /// the selection of a shard depends on others that were not counted with it; [`CheckpointError::Method`] if the amount is not
    /// valid or too large; [`CheckpointError::UnmatchedPattern`] and [`CheckpointError::UnsupportedDtype`] if a pattern matches
    /// nothing in all shards, or nothing that can be pruned; [`CheckpointError::CountsChanged`] if weights have changed since they
    /// were counted before.
    pub fn of(parts: &[Counts], amount: Option<Amount>) -> Result<Self, CheckpointError> {
        let (first, shards) = joined(parts)?;
        check_selection(&first.selection, &shards, parts)?;
        let total = |number: fn(&ShardCounts) -> u64| -> u64 { shards.iter().map(|shard| number(shard)).sum() };
        let (entries, remaining) = (total(|shard| shard.entries), total(|shard| shard.remaining));
        let amount = amount.map(|amount| amount.count_remaining(entries as usize, remaining as usize)).transpose();
        let count = match (
            amount.map_err(|source| CheckpointError::Method { source })?.map(|count| count as u64),
            &first.within,
        ) {
            (None, None) => return Err(refused(CutError::NoAmount)),
            (Some(found), Some(within)) if found != within.count => {
                return Err(refused(CutError::OtherAmount { expected: within.count, found }));
            }
            (_, Some(within)) => within.count,
            (Some(count), None) => count,
        };

        let within = first.within.as_ref().map_or_else(Bracket::all, Within::bracket);
        let mut sum = Histogram::within(&within);
        for counts in shards.iter().flat_map(|shard| &shard.counts) {
            sum.add_type(counts).ok_or(CheckpointError::CountsChanged)?;
        }
        let bracket = sum.bracket(count).ok_or(CheckpointError::CountsChanged)?;
        let mut left = count - bracket.below();
        let shards = shards.iter().map(|shard| {
            let (below, ties) = match bracket.threshold() {
                // If nothing is pruned, entries at the threshold may be in a bin with others.
                Some(threshold) if count > 0 => {
                    shard.histogram(&within).map_or((0, 0), |histogram| histogram.rank(threshold))
                }
                Some(_) | None => (0, 0),
            };
            let pruned_ties = ties.min(left);
            left -= pruned_ties;
            CutShard { below, ties, pruned_ties, ..cut_shard(shard) }
        });
        let shards = shards.collect();
        let exact = bracket.threshold().is_some();
        Ok(Self { selection: first.selection.clone(), count, bracket, exact, shards })
    }

    /// Returns the magnitude up to which entries are pruned, or `None` if the shards must be [counted](Counts::within) again.
    pub fn threshold(&self) -> Option<f64> {
        self.exact.then(|| self.bracket.low())
    }

    /// Returns the magnitudes among which the threshold is.
    pub fn bracket(&self) -> Bracket {
        self.bracket
    }

    /// Returns the number of entries that are pruned in all shards together.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the number of entries of all selected tensors that masks keep.
    pub fn entries(&self) -> u64 {
        self.shards.iter().map(|shard| shard.remaining).sum()
    }

    /// Returns the number of shards.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Returns the selection with which the shards were counted.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Returns the pruner for some of the shards.
    ///
    /// A run returns [`CutError::Changed`], and writes nothing, if another number of entries of a shard would be pruned than when it
    /// was counted. If it is the same, the cut is that of the weights as they are now.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Cut`] if the cut is not exact, or if the files are not shards that it was made for, in the order of their
    /// names.
    pub fn pruner(&self, checkpoint: &Checkpoint) -> Result<Pruner, CheckpointError> {
        let Some(threshold) = self.threshold() else {
            return Err(refused(CutError::NotExact { low: self.bracket.low(), high: self.bracket.high() }));
        };
        let shards = self.shards_of(checkpoint)?;
        if let Some(pair) = shards.windows(2).find(|pair| pair[0].name > pair[1].name) {
            let (first, second) = (pair[0].name.clone(), pair[1].name.clone());
            return Err(refused(CutError::Order { first, second }));
        }
        let ties: u64 = shards.iter().map(|shard| shard.ties).sum();
        let pruned: u64 = shards.iter().map(|shard| shard.pruned_ties).sum();
        let ties = if pruned == ties && self.count > 0 { usize::MAX } else { pruned as usize };
        let pruner = Pruner::new(UpTo::new(threshold, ties)).scope(Scope::Global).selection(self.selection.clone());
        Ok(Pruner { cut: Some(Arc::new(self.clone())), ..pruner })
    }

    /// Reads a cut from a file.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Read`] if the file cannot be read; [`CheckpointError::InvalidJson`] or [`CheckpointError::Config`] if
    /// it is not a cut.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let CutFile { selection, count, low, high, exact, mut shards, .. } = read::<CutFile>(path)?;
        shards.sort_by(|a, b| a.name.cmp(&b.name));
        let is_valid = |shard: &CutShard| {
            let counted = shard.below.checked_add(shard.ties);
            shard.entries <= shard.bytes
                && shard.remaining <= shard.entries
                && shard.pruned_ties <= shard.ties
                && counted.is_some_and(|counted| counted <= shard.remaining)
        };
        if !shards.iter().all(is_valid) || exact && low != high {
            let reason = "has numbers that contradict each other".to_owned();
            return Err(CheckpointError::Config { path: path.to_owned(), reason });
        }
        Ok(Self { selection, count, bracket: Bracket::new(low.0, high.0), exact, shards })
    }

    /// Writes the cut to a file. It appears when it is complete.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::OutputExists`] if the file exists and is not to be replaced; [`CheckpointError::Write`].
    pub fn save(&self, output: &Output) -> Result<(), CheckpointError> {
        let Self { selection, count, bracket, exact, shards } = self.clone();
        save(output, &CutFile::new(selection, count, (bracket.low(), bracket.high(), exact), shards))
    }

    /// The shards of a checkpoint, in its order.
    fn shards_of(&self, checkpoint: &Checkpoint) -> Result<Vec<&CutShard>, CheckpointError> {
        let find = |shard: &Shard| {
            let name = name_of(shard.name());
            let found = self.shards.binary_search_by(|other| other.name.cmp(&name));
            found.map(|number| &self.shards[number]).map_err(|_| refused(CutError::UnknownShard { shard: name }))
        };
        checkpoint.shards.iter().map(find).collect()
    }

    /// The selection among the tensors of some of the shards, which must be the one with which they were counted.
    pub(super) fn selected(&self, checkpoint: &Checkpoint) -> Result<Selected, CheckpointError> {
        let reasons = self.selection.in_part(checkpoint)?;
        for (number, shard) in self.shards_of(checkpoint)?.into_iter().enumerate() {
            let tensors = counted_tensors(checkpoint, &reasons, number);
            let name = || shard.name.clone();
            if shard.bytes != checkpoint.shards[number].bytes() || shard.tensors != hex(hash_of_tensors(&tensors)) {
                return Err(refused(CutError::OtherFile { shard: name() }));
            }
            if shard.selected != hex(hash_of_selected(&tensors)) {
                return Err(refused(CutError::OtherTensors { shard: name() }));
            }
        }
        Ok(Selected { reasons, unmatched: Vec::new() })
    }

    /// Returns an error if all parameters of a shard were pruned, and not as many of their entries as when they were counted.
    /// `parameter` is the number of the last one.
    pub(super) fn check_pruned(
        &self,
        checkpoint: &Checkpoint,
        parameter: usize,
        plans: &[ParameterPlan<'_>],
    ) -> Result<(), CheckpointError> {
        let shard = |parameter: &ParameterEntry| checkpoint.tensors[parameter.weights].shard;
        let number = shard(&checkpoint.parameters[parameter]);
        let own = plans.iter().filter(|plan| plan.skip.is_none() && shard(plan.parameter) == number);
        let pruned: Option<usize> = own.map(|plan| plan.after).sum();
        // Some are not pruned yet.
        let Some(found) = pruned else { return Ok(()) };
        let CutShard { name, entries, remaining, below, pruned_ties, .. } = self.shards_of(checkpoint)?[number];
        let (expected, found) = (entries - remaining + below + pruned_ties, found as u64);
        match found == expected {
            true => Ok(()),
            false => Err(refused(CutError::Changed { shard: name.clone(), expected, found })),
        }
    }
}

fn refused(source: CutError) -> CheckpointError {
    CheckpointError::Cut { source }
}

fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}

fn cut_shard(shard: &ShardCounts) -> CutShard {
    CutShard {
        name: shard.name.clone(),
        bytes: shard.bytes,
        tensors: hex(hash_of_tensors(&shard.tensors)),
        selected: hex(hash_of_selected(&shard.tensors)),
        entries: shard.entries,
        remaining: shard.remaining,
        below: 0,
        ties: 0,
        pruned_ties: 0,
    }
}

/// The first of the counts, with which all agree, and the shards of all, in the order of their names: each once, none missing.
fn joined(parts: &[Counts]) -> Result<(&Counts, Vec<&ShardCounts>), CheckpointError> {
    let name = |part: &Counts| part.shards.first().map(|shard| shard.name.clone()).unwrap_or_default();
    let Some(first) = parts.first() else { return Err(refused(CutError::NoCounts)) };
    for part in parts {
        if part.selection != first.selection {
            return Err(refused(CutError::OtherSelection { first: name(first), second: name(part) }));
        }
        if part.within != first.within {
            return Err(refused(CutError::OtherCut { first: name(first), second: name(part) }));
        }
    }
    let mut shards: Vec<&ShardCounts> = parts.iter().flat_map(|part| &part.shards).collect();
    shards.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = shards.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(refused(CutError::ShardTwice { shard: pair[0].name.clone() }));
    }
    if let Some(shard) = missing(shards.iter().map(|shard| shard.name.as_str())) {
        return Err(refused(CutError::ShardMissing { shard }));
    }
    match first.within.as_ref().map(|within| within.shards) {
        Some(expected) if expected != shards.len() => {
            Err(refused(CutError::ShardsMissing { expected, found: shards.len() }))
        }
        Some(_) | None => Ok((first, shards)),
    }
}

/// The first name that is missing among names such as `model-00001-of-00003.safetensors`.
fn missing<'n>(names: impl Iterator<Item = &'n str> + Clone) -> Option<String> {
    let numbered = |name: &'n str| {
        let (beginning, end) = name.split_once("-of-")?;
        let (stem, number) = beginning.rsplit_once('-')?;
        let count = &end[..end.find(|c: char| !c.is_ascii_digit()).unwrap_or(end.len())];
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        (is_number(number) && is_number(count)).then_some((stem, number.len(), end, count.parse::<usize>().ok()?))
    };
    let found: HashSet<&str> = names.clone().collect();
    let mut numbers = names.filter_map(numbered);
    numbers.find_map(|(stem, width, end, count)| {
        // Not more than one after the last that there can be.
        let name = |number: usize| format!("{stem}-{number:0width$}-of-{end}");
        (1..=count.min(found.len() + 1)).map(name).find(|name| !found.contains(name.as_str()))
    })
}

/// Returns an error unless all shards together have the selection that each has with those that it was counted with.
fn check_selection(selection: &Selection, shards: &[&ShardCounts], parts: &[Counts]) -> Result<(), CheckpointError> {
    let counted: Vec<&CountedTensor> = shards.iter().flat_map(|shard| &shard.tensors).collect();
    let tensors = shards.iter().enumerate().flat_map(|(number, shard)| {
        shard.tensors.iter().map(move |CountedTensor { name, dtype, shape, .. }| Tensor {
            name: name.clone(),
            dtype: Dtype(*dtype),
            shape: shape.clone(),
            shard: number,
            bytes: 0,
            start: 0,
            usage: Usage::Unknown,
        })
    });
    let tensors: Vec<Tensor> = tensors.collect();
    let shard = |tensor: usize| shards[tensors[tensor].shard].name.as_str();
    let mut by_name = HashMap::new();
    for (number, tensor) in tensors.iter().enumerate() {
        if let Some(other) = by_name.insert(tensor.name.as_str(), number) {
            let (first, second) = (PathBuf::from(shard(other)), PathBuf::from(shard(number)));
            return Err(CheckpointError::DuplicateTensor { tensor: tensor.name.clone(), first, second });
        }
    }
    // The processes that counted the shards, by number.
    let part_of: HashMap<&str, usize> = parts
        .iter()
        .enumerate()
        .flat_map(|(number, part)| part.shards.iter().map(move |shard| (shard.name.as_str(), number)))
        .collect();
    let part = |tensor: usize| part_of.get(shard(tensor));

    let parameters = parameters(&[], &tensors)?;
    let reasons = selection.by_headers(&parameters)?;
    for (parameter, reason) in parameters.iter().zip(&reasons) {
        let &ParameterEntry { ref name, weights, mask, .. } = parameter;
        let tensor = || name.clone();
        if let (None, Some(mask)) = (reason, mask)
            && part(weights) != part(mask)
        {
            let (weights, mask) = (shard(weights).to_owned(), shard(mask).to_owned());
            return Err(refused(CutError::Split { tensor: tensor(), weights, mask }));
        }
        match (reason, counted[weights]) {
            (Some(reason), CountedTensor { selected: true, .. }) => {
                return Err(refused(CutError::Counted { tensor: tensor(), reason: reason.clone() }));
            }
            (None, CountedTensor { selected: false, skipped_by_contents: false, .. }) => {
                return Err(refused(CutError::Skipped { tensor: tensor() }));
            }
            (Some(_), _) | (None, _) => {}
        }
    }
    if selection.is_default() { check_ties(&parameters, &reasons, |a, b| part(a) != part(b)) } else { Ok(()) }
}

/// Returns an error if a selected tensor may equal an embedding that another process counted. It would be skipped then, and only
/// a process that counted both could see it. `is_apart` tells whether two processes counted the tensors with these numbers.
fn check_ties(
    parameters: &[ParameterEntry],
    reasons: &[Option<SkipReason>],
    is_apart: impl Fn(usize, usize) -> bool,
) -> Result<(), CheckpointError> {
    let mut embeddings: HashMap<&[usize], Vec<&ParameterEntry>> = HashMap::new();
    for (parameter, reason) in parameters.iter().zip(reasons) {
        if let Some(SkipReason::Embedding { .. }) = reason {
            embeddings.entry(&parameter.shape).or_default().push(parameter);
        }
    }
    for (parameter, _) in parameters.iter().zip(reasons).filter(|(_, reason)| reason.is_none()) {
        let mut of_shape = embeddings.get(parameter.shape.as_slice()).into_iter().flatten();
        let may_equal =
            |other: &&&ParameterEntry| other.dtype == parameter.dtype && is_apart(other.weights, parameter.weights);
        if let Some(embedding) = of_shape.find(may_equal) {
            let (tensor, embedding) = (parameter.name.clone(), embedding.name.clone());
            return Err(refused(CutError::MaybeTied { tensor, embedding }));
        }
    }
    Ok(())
}
