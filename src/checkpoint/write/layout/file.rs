//! The layout of one file of an output.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::{Origin, OutputTensor};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::read::{Checkpoint, Dtype};
use crate::checkpoint::write::pack::{PackPlan, PackedOffsets, UnpackPlan};
use crate::file::header::{Header, Metadata};
use crate::tensor::slice::Slice;

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

impl FileLayout {
    /// The layout of a shard of the output.
    pub(super) fn of_shard(
        checkpoint: &Checkpoint,
        number: usize,
        tensors: Vec<OutputTensor<'_>>,
    ) -> Result<Self, CheckpointError> {
        Self::with_metadata(checkpoint, number, tensors, checkpoint.shards[number].metadata.as_ref())
    }

    /// The layout of a shard of the output, with other metadata.
    pub(super) fn with_metadata(
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
