//! The layout of an output: the origin and the offset of every byte of every file, before anything is written.

pub(crate) mod file;
mod in_place;
mod packed;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::read::contents::safetensors_name;
use crate::checkpoint::read::index::Index;
use crate::checkpoint::read::{Checkpoint, Dtype};
use crate::checkpoint::write::layout::file::{FileLayout, OutputSlots, Piece};
use crate::checkpoint::write::layout::packed::PackedPart;
use crate::checkpoint::write::output::Format;
use crate::checkpoint::write::pack::{PackPlan, UnpackPlan};
use crate::file::error::StateDictError;
use crate::file::mask_file::EncodedMasks;
use crate::file::names;
use crate::tensor::slice::Slice;

/// The files of an output.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The files in the order in which they are written.
    pub files: Vec<FileLayout>,
    /// The name and the bytes of the index, which is written last.
    pub index: Option<(PathBuf, Vec<u8>)>,
    /// The content of the files.
    pub format: Format,
    /// The bytes of the configuration, if it is not that of the input.
    pub config: Option<Vec<u8>>,
}

/// A tensor of the output.
struct OutputTensor<'c> {
    name: String,
    dtype: Dtype,
    shape: Cow<'c, [usize]>,
    bytes: u64,
    origin: Origin,
}

/// The origin of a tensor: a tensor of the input, by number, or a part of a parameter, by number.
enum Origin {
    Tensor(usize),
    Value(usize),
    Orig(usize),
    Mask(usize),
    Slice(usize, Slice),
    Pack(Arc<PackPlan>, PackedPart),
    Unpack(Arc<UnpackPlan>),
    Bytes(Vec<u8>),
}

/// A tensor of a compacted output.
#[derive(Debug)]
pub(crate) struct CompactedTensor {
    /// Its number in the input.
    pub tensor: usize,
    /// Its name in the output.
    pub name: String,
    /// The part that is kept; `None` for all of it.
    pub slice: Option<Slice>,
    /// The bytes that replace those of the input, before they are cut.
    pub bytes: Option<Vec<u8>>,
}

impl CompactedTensor {
    /// The shape in the output.
    pub fn shape<'t>(&'t self, checkpoint: &'t Checkpoint) -> &'t [usize] {
        self.slice.as_ref().map_or(&checkpoint.tensors[self.tensor].shape, Slice::shape)
    }

    /// The number of bytes in the output.
    pub fn len(&self, checkpoint: &Checkpoint) -> u64 {
        let tensor = &checkpoint.tensors[self.tensor];
        self.slice.as_ref().map_or(tensor.bytes, |slice| (slice.len() * tensor.dtype.bits() / 8) as u64)
    }
}

impl Layout {
    /// Returns the layout of these tensors, each in the shard that it is in. Shards without tensors are left out.
    pub fn compacted(
        checkpoint: &Checkpoint,
        tensors: Vec<CompactedTensor>,
        config: Option<Vec<u8>>,
    ) -> Result<Self, CheckpointError> {
        let mut shards: Vec<Vec<OutputTensor<'_>>> = checkpoint.shards.iter().map(|_| Vec::new()).collect();
        for tensor in tensors {
            let (shape, bytes) = (tensor.shape(checkpoint).to_vec(), tensor.len(checkpoint));
            let CompactedTensor { tensor, name, slice, bytes: known } = tensor;
            let origin = match (known, slice) {
                (Some(known), slice) => Origin::Bytes(match slice {
                    Some(slice) => slice.gather_bytes(&known, checkpoint.tensors[tensor].dtype.bits() / 8),
                    None => known,
                }),
                (None, Some(slice)) => Origin::Slice(tensor, slice),
                (None, None) => Origin::Tensor(tensor),
            };
            let whole = OutputTensor::of(checkpoint, tensor, origin);
            shards[checkpoint.tensors[tensor].shard].push(OutputTensor { name, shape: shape.into(), bytes, ..whole });
        }
        let index = index(checkpoint, &shards);
        let shards = shards.into_iter().enumerate().filter(|(_, tensors)| !tensors.is_empty());
        let files = shards.map(|(shard, tensors)| FileLayout::of_shard(checkpoint, shard, tensors));
        Ok(Self { files: files.collect::<Result<_, _>>()?, index, format: Format::Weights, config })
    }

    /// Returns the layout of the output if the selected parameters are pruned.
    pub fn new(checkpoint: &Checkpoint, selected: &[bool], format: Format) -> Result<Self, CheckpointError> {
        match format {
            Format::Weights if checkpoint.in_place().is_some() => Ok(Self::in_place(checkpoint, selected)),
            Format::Weights => Self::of_tensors(checkpoint, selected, format, push_value),
            Format::PyTorch => {
                checkpoint.check_rewritable("write originals and masks into")?;
                Self::of_tensors(checkpoint, selected, format, push_pair)
            }
            Format::Masks => Self::of_masks(checkpoint, selected),
        }
    }

    /// Returns the layout of the output if the selected parameters are stored as their originals, without masks.
    pub fn restored(checkpoint: &Checkpoint, selected: &[bool]) -> Result<Self, CheckpointError> {
        Self::of_tensors(checkpoint, selected, Format::Weights, push_original)
    }

    /// A checkpoint. `push` adds the tensors of a selected parameter in the place of one of its tensors.
    fn of_tensors(
        checkpoint: &Checkpoint,
        selected: &[bool],
        format: Format,
        push: Push,
    ) -> Result<Self, CheckpointError> {
        let mut shards: Vec<Vec<OutputTensor<'_>>> = checkpoint.shards.iter().map(|_| Vec::new()).collect();
        for (number, parameter) in owners(checkpoint).into_iter().enumerate() {
            let shard = &mut shards[checkpoint.tensors[number].shard];
            if selected[parameter] {
                push(checkpoint, parameter, number, shard);
            } else {
                shard.push(OutputTensor::of(checkpoint, number, Origin::Tensor(number)));
            }
        }
        Self::check_names(&shards)?;
        let index = index(checkpoint, &shards);
        let shards = shards.into_iter().enumerate();
        let files = shards.map(|(shard, tensors)| FileLayout::of_shard(checkpoint, shard, tensors));
        Ok(Self { files: files.collect::<Result<_, _>>()?, index, format, config: None })
    }

    /// Returns an error if two tensors have one name.
    fn check_names(shards: &[Vec<OutputTensor<'_>>]) -> Result<(), CheckpointError> {
        let mut seen = HashSet::new();
        match shards.iter().flatten().find(|tensor| !seen.insert(tensor.name.as_str())) {
            Some(clash) => Err(CheckpointError::NameClash { tensor: clash.name.clone() }),
            None => Ok(()),
        }
    }

    /// A mask file. All shapes come first, so that every tensor is aligned.
    fn of_masks(checkpoint: &Checkpoint, selected: &[bool]) -> Result<Self, CheckpointError> {
        let parameters = checkpoint.parameters.iter().enumerate().filter(|&(number, _)| selected[number]);
        let parameters: Vec<_> = parameters.collect();
        let shapes = parameters.iter().map(|(_, parameter)| (parameter.name.as_str(), parameter.shape.as_slice()));
        let EncodedMasks { beginning, bits, len } = EncodedMasks::new(shapes).map_err(|source| match source {
            // The sizes of a tensor without entries are not limited by the length of the file.
            StateDictError::ImpossibleShape { tensor, .. } => {
                let shape = parameters.iter().find(|(_, parameter)| parameter.name == tensor);
                let found = shape.map(|(_, parameter)| parameter.shape.clone()).unwrap_or_default();
                CheckpointError::ImpossibleShape { tensor, found }
            }
            source => CheckpointError::OutputHeader { source },
        })?;
        let pieces = parameters.iter().zip(bits).map(|(&(parameter, _), to)| {
            Piece::Parameter(OutputSlots { parameter, bits: Some(to), ..OutputSlots::default() })
        });
        let pieces = pieces.collect();
        let file = FileLayout { name: PathBuf::new(), header: beginning, pieces, bytes: len };
        Ok(Self { files: vec![file], index: None, format: Format::Masks, config: None })
    }
}

/// For each tensor of the input, the number of its parameter.
fn owners(checkpoint: &Checkpoint) -> Vec<usize> {
    let mut owners = vec![0; checkpoint.tensors.len()];
    for (number, parameter) in checkpoint.parameters.iter().enumerate() {
        owners[parameter.weights] = number;
        if let Some(mask) = parameter.mask {
            owners[mask] = number;
        }
    }
    owners
}

/// Adds what a parameter, given by its number, has in the place of one of its tensors, given by its number too.
type Push = for<'c> fn(&'c Checkpoint, usize, usize, &mut Vec<OutputTensor<'c>>);

/// Adds `w_orig` or `w_mask` in the place of a tensor of a pruned parameter, and both in the place of a plain `w`.
fn push_pair<'c>(checkpoint: &'c Checkpoint, number: usize, tensor: usize, shard: &mut Vec<OutputTensor<'c>>) {
    let parameter = &checkpoint.parameters[number];
    let mut push = |name, origin| shard.push(OutputTensor { name, ..OutputTensor::of(checkpoint, tensor, origin) });
    if parameter.mask != Some(tensor) {
        push(names::orig(&parameter.name), Origin::Orig(number));
    }
    if parameter.mask.is_none_or(|mask| mask == tensor) {
        push(names::mask(&parameter.name), Origin::Mask(number));
    }
}

/// Adds `w` in the place of the weights of a pruned parameter, and nothing in the place of the mask: it goes into the values.
fn push_value<'c>(checkpoint: &'c Checkpoint, number: usize, tensor: usize, shard: &mut Vec<OutputTensor<'c>>) {
    let parameter = &checkpoint.parameters[number];
    if parameter.mask != Some(tensor) {
        let name = parameter.name.clone();
        shard.push(OutputTensor { name, ..OutputTensor::of(checkpoint, tensor, Origin::Value(number)) });
    }
}

/// Adds `w`, as it is, in the place of the weights of a parameter, and nothing in the place of the mask.
fn push_original<'c>(checkpoint: &'c Checkpoint, number: usize, tensor: usize, shard: &mut Vec<OutputTensor<'c>>) {
    let parameter = &checkpoint.parameters[number];
    if parameter.mask != Some(tensor) {
        let name = parameter.name.clone();
        shard.push(OutputTensor { name, ..OutputTensor::of(checkpoint, tensor, Origin::Tensor(tensor)) });
    }
}

impl<'c> OutputTensor<'c> {
    /// A tensor with the name, dtype and shape of a tensor of the input.
    fn of(checkpoint: &'c Checkpoint, tensor: usize, origin: Origin) -> Self {
        let tensor = &checkpoint.tensors[tensor];
        Self {
            name: tensor.name.clone(),
            dtype: tensor.dtype,
            shape: (&tensor.shape).into(),
            bytes: tensor.bytes,
            origin,
        }
    }
}

/// The index of the output: that of the input, byte for byte, if no tensor was renamed, added or removed. Shards without an
/// index get one, unless it could not name them: an index is UTF-8.
fn index(checkpoint: &Checkpoint, shards: &[Vec<OutputTensor<'_>>]) -> Option<(PathBuf, Vec<u8>)> {
    if !checkpoint.is_sharded() {
        return None;
    }
    let names = checkpoint.shards.iter().map(|shard| Some(shard.output_name().to_str()?.to_owned()));
    let names: Vec<String> = names.collect::<Option<_>>()?;
    let maps = names.iter().zip(shards);
    let weight_map: BTreeMap<String, String> =
        maps.flat_map(|(shard, tensors)| tensors.iter().map(|tensor| (tensor.name.clone(), shard.clone()))).collect();
    let total_size = shards.iter().flatten().map(|tensor| tensor.bytes).sum();
    match &checkpoint.index {
        None => {
            let name = match checkpoint.index_path() {
                Some(ignored) => safetensors_name(Path::new(ignored.file_name()?)),
                None => Index::name_for(&names).into(),
            };
            Some((name, Index::encode(weight_map, total_size)))
        }
        Some(index) => {
            let name = safetensors_name(Path::new(index.path.file_name()?));
            let is_equal = weight_map == index.weight_map;
            Some((name, if is_equal { index.bytes.clone() } else { index.rewritten(weight_map, total_size) }))
        }
    }
}
