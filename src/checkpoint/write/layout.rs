//! What the output consists of: every byte of every file has its origin and its place before anything is written.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use crate::checkpoint::CheckpointError;
use crate::checkpoint::read::parameter::ParameterEntry as Parameter;
use crate::checkpoint::read::{Checkpoint, Dtype};
use crate::checkpoint::write::Format;
use crate::file::bits::packed_len;
use crate::file::header::Header;
use crate::file::names;

/// A file to be written.
#[derive(Debug)]
pub(crate) struct OutFile {
    /// Its name below the output folder; `None` where the output is this file.
    pub name: Option<PathBuf>,
    pub header: Vec<u8>,
    pub items: Vec<Item>,
    /// The length of the file.
    pub bytes: u64,
}

/// A part of the data, or several parts that are made together.
#[derive(Debug)]
pub(crate) enum Item {
    /// Bytes of the input as they are.
    Copy { shard: usize, from: u64, to: u64, bytes: u64 },
    /// Bytes that were made with the plan.
    Bytes { bytes: Vec<u8>, to: u64 },
    /// What comes of a parameter.
    Parameter(Made),
}

/// The tensors that are made of a parameter, and where they go.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// An index into the parameters of the checkpoint.
    pub parameter: usize,
    /// The pruned values.
    pub value: Option<u64>,
    /// The values as they are.
    pub orig: Option<u64>,
    /// The mask, as numbers of a dtype.
    pub mask: Option<(u64, Dtype)>,
    /// The mask in bits.
    pub bits: Option<u64>,
}

/// All files of an output.
#[derive(Debug)]
pub(crate) struct Plan {
    /// In the order in which they are written.
    pub files: Vec<OutFile>,
    /// The index, which comes last.
    pub index: Option<(PathBuf, Vec<u8>)>,
}

/// A tensor of the output, and what it is made of.
struct Slot<'c> {
    name: String,
    dtype: Dtype,
    shape: &'c [usize],
    bytes: u64,
    origin: Origin,
}

enum Origin {
    Tensor(usize),
    Value(usize),
    Orig(usize),
    Mask(usize),
}

impl Plan {
    /// The output of a checkpoint of which some parameters are pruned.
    pub fn new(checkpoint: &Checkpoint, selected: &[bool], format: Format) -> Result<Self, CheckpointError> {
        if format == Format::Masks {
            return Self::masks(checkpoint, selected);
        }
        let mut slots: Vec<Vec<Slot<'_>>> = checkpoint.shards.iter().map(|_| Vec::new()).collect();
        for (number, parameter) in owners(checkpoint).into_iter().enumerate() {
            let shard = checkpoint.tensors[number].shard;
            if selected[parameter] {
                slots_of(checkpoint, parameter, number, format, &mut slots[shard]);
            } else {
                slots[shard].push(Slot::of(checkpoint, number, Origin::Tensor(number)));
            }
        }
        let mut seen = HashSet::new();
        if let Some(clash) = slots.iter().flatten().find(|slot| !seen.insert(slot.name.as_str())) {
            return Err(CheckpointError::NameClash { tensor: clash.name.clone() });
        }
        let files = slots.iter().enumerate().map(|(shard, slots)| file(checkpoint, shard, slots));
        Ok(Self { files: files.collect::<Result<_, _>>()?, index: index(checkpoint, &slots) })
    }

    /// A mask file: all shapes come first, so that every tensor is aligned.
    fn masks(checkpoint: &Checkpoint, selected: &[bool]) -> Result<Self, CheckpointError> {
        let parameters = checkpoint.parameters.iter().enumerate().filter(|&(number, _)| selected[number]);
        let parameters: Vec<_> = parameters.collect();
        let shapes = parameters.iter().map(|(_, Parameter { name, shape, .. })| {
            (format!("{name}{}", names::SHAPE), ::safetensors::Dtype::I64, shape.len())
        });
        let bits = parameters.iter().map(|(_, Parameter { name, entries, .. })| {
            (format!("{name}{}", names::BITS), ::safetensors::Dtype::U8, packed_len(*entries))
        });
        // Parameters have names of their own, and no name ends in both suffixes.
        let tensors: Vec<_> = shapes.chain(bits).collect();
        let header = Header::encode(tensors.iter().map(|(name, dtype, len)| (name.as_str(), *dtype, [*len])));
        let header = header.map_err(|source| CheckpointError::OutputHeader { source })?;

        let mut place = header.len() as u64;
        let mut items = Vec::with_capacity(tensors.len());
        for (_, parameter) in &parameters {
            let sizes = parameter.shape.iter().map(|&size| i64::try_from(size)).collect::<Result<Vec<_>, _>>();
            // A tensor without entries can have sizes of any kind.
            let sizes = sizes.map_err(|_| CheckpointError::ImpossibleShape {
                tensor: parameter.name.clone(),
                found: parameter.shape.clone(),
            })?;
            let bytes: Vec<u8> = sizes.into_iter().flat_map(i64::to_le_bytes).collect();
            let to = place;
            place += bytes.len() as u64;
            items.push(Item::Bytes { bytes, to });
        }
        for &(number, parameter) in &parameters {
            let bits = Some(place);
            place += packed_len(parameter.entries) as u64;
            items.push(Item::Parameter(Made { parameter: number, bits, ..Made::default() }));
        }
        Ok(Self { files: vec![OutFile { name: None, header, items, bytes: place }], index: None })
    }
}

/// For each tensor, the parameter that it belongs to.
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

/// What stands in the output for a tensor of a pruned parameter.
fn slots_of<'c>(checkpoint: &'c Checkpoint, number: usize, tensor: usize, format: Format, slots: &mut Vec<Slot<'c>>) {
    let parameter = &checkpoint.parameters[number];
    let is_mask = parameter.mask == Some(tensor);
    let slot = |name, origin| Slot { name, ..Slot::of(checkpoint, tensor, origin) };
    match format {
        Format::PyTorch if is_mask => slots.push(slot(names::mask(&parameter.name), Origin::Mask(number))),
        Format::PyTorch => {
            slots.push(slot(names::orig(&parameter.name), Origin::Orig(number)));
            if parameter.mask.is_none() {
                slots.push(slot(names::mask(&parameter.name), Origin::Mask(number)));
            }
        }
        // The mask goes into the values.
        _ if is_mask => {}
        _ => slots.push(slot(parameter.name.clone(), Origin::Value(number))),
    }
}

impl<'c> Slot<'c> {
    /// A tensor of the dtype and shape of one of the input.
    fn of(checkpoint: &'c Checkpoint, tensor: usize, origin: Origin) -> Self {
        let tensor = &checkpoint.tensors[tensor];
        Self { name: tensor.name.clone(), dtype: tensor.dtype, shape: &tensor.shape, bytes: tensor.bytes, origin }
    }
}

/// A shard of the output.
fn file(checkpoint: &Checkpoint, number: usize, slots: &[Slot<'_>]) -> Result<OutFile, CheckpointError> {
    let shard = &checkpoint.shards[number];
    let before = checkpoint.tensors.iter().filter(|tensor| tensor.shard == number).map(|tensor| &tensor.name);
    let header = if before.eq(slots.iter().map(|slot| &slot.name)) {
        // Nothing changes but values: the header stays as it is, byte for byte.
        shard.header()?
    } else {
        let tensors = slots.iter().map(|slot| (slot.name.as_str(), slot.dtype.0, slot.shape));
        Header::encode_with(shard.metadata.as_ref(), tensors)
            .map_err(|source| CheckpointError::OutputHeader { source })?
    };
    let mut items = Vec::new();
    let mut made = BTreeMap::<usize, Made>::new();
    let mut place = header.len() as u64;
    for slot in slots {
        let to = place;
        place += slot.bytes;
        let (parameter, part): (_, fn(&mut Made, u64, Dtype)) = match slot.origin {
            Origin::Tensor(tensor) => {
                copy(checkpoint, tensor, to, &mut items);
                continue;
            }
            Origin::Orig(parameter) if has_mask_elsewhere(checkpoint, parameter, number) => {
                copy(checkpoint, checkpoint.parameters[parameter].weights, to, &mut items);
                continue;
            }
            Origin::Value(parameter) => (parameter, |made, to, _| made.value = Some(to)),
            Origin::Orig(parameter) => (parameter, |made, to, _| made.orig = Some(to)),
            Origin::Mask(parameter) => (parameter, |made, to, dtype| made.mask = Some((to, dtype))),
        };
        part(made.entry(parameter).or_insert(Made { parameter, ..Made::default() }), to, slot.dtype);
    }
    items.extend(made.into_values().map(Item::Parameter));
    items.sort_by_key(Item::place);
    let name = checkpoint.is_sharded().then(|| shard.name().to_owned());
    Ok(OutFile { name, header, items, bytes: place })
}

/// Whether the mask of a pruned parameter is in another shard, so that nothing is made here together with it.
fn has_mask_elsewhere(checkpoint: &Checkpoint, parameter: usize, shard: usize) -> bool {
    checkpoint.parameters[parameter].mask.is_some_and(|mask| checkpoint.tensors[mask].shard != shard)
}

/// Adds a tensor that stays as it is, to the last one if it follows it in both files.
fn copy(checkpoint: &Checkpoint, tensor: usize, to: u64, items: &mut Vec<Item>) {
    let tensor = &checkpoint.tensors[tensor];
    if let Some(Item::Copy { shard, from, to: last, bytes }) = items.last_mut()
        && *shard == tensor.shard
        && *from + *bytes == tensor.start
        && *last + *bytes == to
    {
        *bytes += tensor.bytes;
        return;
    }
    items.push(Item::Copy { shard: tensor.shard, from: tensor.start, to, bytes: tensor.bytes });
}

impl Item {
    /// Where its first part goes.
    fn place(&self) -> u64 {
        match self {
            Self::Copy { to, .. } | Self::Bytes { to, .. } => *to,
            Self::Parameter(Made { value, orig, mask, bits, .. }) => {
                [*value, *orig, mask.map(|(to, _)| to), *bits].into_iter().flatten().min().unwrap_or_default()
            }
        }
    }
}

/// The index of the output: the one of the input, byte for byte, if names and places are the same.
fn index(checkpoint: &Checkpoint, slots: &[Vec<Slot<'_>>]) -> Option<(PathBuf, Vec<u8>)> {
    let index = checkpoint.index.as_ref()?;
    let shards = checkpoint.shards.iter().map(|shard| shard.name().to_string_lossy().into_owned());
    let weight_map: BTreeMap<String, String> = shards
        .zip(slots)
        .flat_map(|(shard, slots)| slots.iter().map(move |slot| (slot.name.clone(), shard.clone())))
        .collect();
    let name = PathBuf::from(index.path.file_name()?);
    if weight_map == index.weight_map {
        return Some((name, index.bytes.clone()));
    }
    let total_size = slots.iter().flatten().map(|slot| slot.bytes).sum();
    Some((name, index.rewritten(weight_map, total_size)))
}
