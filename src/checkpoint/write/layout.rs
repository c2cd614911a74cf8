//! The layout of an output: the origin and the offset of every byte of every file, before anything is written.

mod in_place;
mod packed;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::read::contents::safetensors_name;
use crate::checkpoint::read::index::Index;
use crate::checkpoint::read::{Checkpoint, Dtype};
use crate::checkpoint::write::layout::packed::PackedPart;
use crate::checkpoint::write::output::Format;
use crate::checkpoint::write::pack::{PackPlan, PackedOffsets, UnpackPlan};
use crate::file::error::StateDictError;
use crate::file::header::{Header, Metadata};
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

/// The layout of one file.
#[derive(Debug)]
pub(crate) struct FileLayout {
    /// The path below the output directory. An output that is a file has a path of its own.
    pub name: PathBuf,
    pub header: Vec<u8>,
    pub pieces: Vec<Piece>,
    /// The length of the file.
    pub bytes: u64,
}

/// A piece of the data of a file. Offsets count from the beginning of a file, header included.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Bytes of an input file, copied as they are.
    Copy { shard: usize, from: u64, to: u64, bytes: u64 },
    /// The tensors of a pruned parameter.
    Parameter(OutputSlots),
    /// The kept part of a tensor.
    Slice { tensor: usize, slice: Slice, to: u64 },
    /// The parts of a tensor that is packed.
    Pack { plan: Arc<PackPlan>, to: PackedOffsets },
    /// A packed tensor that becomes dense.
    Unpack { plan: Arc<UnpackPlan>, to: u64 },
    /// Bytes that are known already.
    Bytes { bytes: Vec<u8>, to: u64 },
}

/// The offsets of the tensors that are made from one parameter; `None` for those that are not part of the output.
#[derive(Debug, Default)]
pub(crate) struct OutputSlots {
    /// An index into the parameters of the checkpoint.
    pub parameter: usize,
    /// The pruned values.
    pub value: Option<u64>,
    /// The original values.
    pub orig: Option<u64>,
    /// The mask as numbers of a dtype.
    pub mask: Option<(u64, Dtype)>,
    /// The mask with one bit per entry.
    pub bits: Option<u64>,
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

impl FileLayout {
    /// The layout of a shard of the output.
    fn of_shard(
        checkpoint: &Checkpoint,
        number: usize,
        tensors: Vec<OutputTensor<'_>>,
    ) -> Result<Self, CheckpointError> {
        Self::with_metadata(checkpoint, number, tensors, checkpoint.shards[number].metadata.as_ref())
    }

    /// The layout of a shard of the output, with other metadata.
    fn with_metadata(
        checkpoint: &Checkpoint,
        number: usize,
        tensors: Vec<OutputTensor<'_>>,
        metadata: Option<&Metadata>,
    ) -> Result<Self, CheckpointError> {
        let shard = &checkpoint.shards[number];
        let before = checkpoint.tensors[checkpoint.tensors_of(number)].iter();
        let before = before.map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice()));
        let header = if before.eq(tensors.iter().map(|tensor| (tensor.name.as_str(), &*tensor.shape))) {
            // Only values change, so the header is kept, byte for byte.
            shard.header()?
        } else {
            let tensors = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.dtype.0, &*tensor.shape));
            Header::encode_with(metadata, tensors).map_err(|source| CheckpointError::OutputHeader { source })?
        };
        let mut pieces = Vec::new();
        let mut slots = BTreeMap::<usize, OutputSlots>::new();
        let mut packed = BTreeMap::<usize, (Arc<PackPlan>, PackedOffsets)>::new();
        let mut offset = header.len() as u64;
        for tensor in tensors {
            let to = offset;
            offset += tensor.bytes;
            match tensor.origin {
                Origin::Tensor(tensor) => push_copy(checkpoint, tensor, to, &mut pieces),
                Origin::Orig(parameter) if has_mask_elsewhere(checkpoint, parameter, number) => {
                    push_copy(checkpoint, checkpoint.parameters[parameter].weights, to, &mut pieces);
                }
                Origin::Orig(parameter) => slots.entry(parameter).or_default().orig = Some(to),
                Origin::Value(parameter) => slots.entry(parameter).or_default().value = Some(to),
                Origin::Mask(parameter) => slots.entry(parameter).or_default().mask = Some((to, tensor.dtype)),
                Origin::Slice(tensor, slice) => pieces.push(Piece::Slice { tensor, slice, to }),
                Origin::Pack(plan, part) => {
                    let (_, offsets) = packed.entry(plan.parameter).or_insert((plan, PackedOffsets::default()));
                    offsets.set(part, to);
                }
                Origin::Unpack(plan) => pieces.push(Piece::Unpack { plan, to }),
                Origin::Bytes(bytes) => pieces.push(Piece::Bytes { bytes, to }),
            }
        }
        let slots = slots.into_iter().map(|(parameter, slots)| OutputSlots { parameter, ..slots });
        pieces.extend(slots.map(Piece::Parameter));
        pieces.extend(packed.into_values().map(|(plan, to)| Piece::Pack { plan, to }));
        pieces.sort_by_key(Piece::offset);
        Ok(Self { name: shard.output_name().to_owned(), header, pieces, bytes: offset })
    }

    /// Returns the shards of the input that the file is made from, without its header.
    pub fn sources(&self, checkpoint: &Checkpoint) -> BTreeSet<usize> {
        let shard = |tensor: usize| checkpoint.tensors[tensor].shard;
        let of_parameter = |number: usize| {
            let parameter = &checkpoint.parameters[number];
            [Some(parameter.weights), parameter.mask].into_iter().flatten().map(shard).collect()
        };
        let of_piece = |piece: &Piece| -> Vec<usize> {
            match piece {
                Piece::Copy { shard, .. } => vec![*shard],
                Piece::Parameter(slots) => of_parameter(slots.parameter),
                Piece::Slice { tensor, .. } => vec![shard(*tensor)],
                Piece::Pack { plan, .. } => of_parameter(plan.parameter),
                Piece::Unpack { plan, .. } => plan.entry.parts.all().map(shard).collect(),
                Piece::Bytes { .. } => Vec::new(),
            }
        };
        self.pieces.iter().flat_map(of_piece).collect()
    }

    /// Returns the number of bytes that are read for the file. `parameter` returns that number for a pruned parameter.
    pub fn work(&self, checkpoint: &Checkpoint, is_written: bool, parameter: impl Fn(&OutputSlots) -> u64) -> u64 {
        let work = |piece: &Piece| match piece {
            Piece::Copy { bytes, .. } => u64::from(is_written) * bytes,
            Piece::Parameter(slots) => parameter(slots),
            Piece::Slice { tensor, .. } => u64::from(is_written) * checkpoint.tensors[*tensor].bytes,
            Piece::Pack { plan, .. } => {
                let parameter = &checkpoint.parameters[plan.parameter];
                u64::from(is_written) * checkpoint.tensors[parameter.weights].bytes
            }
            Piece::Unpack { plan, .. } => u64::from(is_written) * checkpoint.tensors[plan.entry.parts.compressed].bytes,
            Piece::Bytes { .. } => 0,
        };
        self.pieces.iter().map(work).sum()
    }
}

/// Returns `true` if the mask of a pruned parameter is in another shard, so that the original is copied here.
fn has_mask_elsewhere(checkpoint: &Checkpoint, parameter: usize, shard: usize) -> bool {
    checkpoint.parameters[parameter].mask.is_some_and(|mask| checkpoint.tensors[mask].shard != shard)
}

/// Adds a tensor that is copied. It extends the last piece if it follows that piece in both files.
fn push_copy(checkpoint: &Checkpoint, tensor: usize, to: u64, pieces: &mut Vec<Piece>) {
    let tensor = &checkpoint.tensors[tensor];
    if let Some(Piece::Copy { shard, from, to: last, bytes }) = pieces.last_mut()
        && *shard == tensor.shard
        && *from + *bytes == tensor.start
        && *last + *bytes == to
    {
        *bytes += tensor.bytes;
        return;
    }
    pieces.push(Piece::Copy { shard: tensor.shard, from: tensor.start, to, bytes: tensor.bytes });
}

impl Piece {
    /// The offset of the first byte.
    fn offset(&self) -> u64 {
        match self {
            Self::Copy { to, .. } | Self::Slice { to, .. } | Self::Unpack { to, .. } | Self::Bytes { to, .. } => *to,
            Self::Pack { to, .. } => to.row_offsets,
            Self::Parameter(OutputSlots { value, orig, mask, bits, parameter: _ }) => {
                [*value, *orig, mask.map(|(to, _)| to), *bits].into_iter().flatten().min().unwrap_or_default()
            }
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
