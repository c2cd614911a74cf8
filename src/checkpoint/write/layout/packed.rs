//! The layouts of packed and of unpacked checkpoints.

use std::collections::HashMap;
use std::sync::Arc;

use ::safetensors::Dtype as Stored;

use super::file::FileLayout;
use super::{Layout, Origin, OutputTensor, index, owners, push_value};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::read::{Checkpoint, Dtype};
use crate::checkpoint::write::output::Format;
use crate::checkpoint::write::pack::{PackPlan, PackedOffsets, UnpackPlan};
use crate::file::packed_file::{self, BITMASK, COMPRESSED, ROW_OFFSETS, SHAPE, SIGNS};
use crate::sparse::bits::row_bytes;
use crate::sparse::packed::matrix;

/// A part of a packed tensor that is written while the tensor is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PackedPart {
    Compressed,
    Bitmask,
    RowOffsets,
    Signs,
}

impl PackedOffsets {
    /// Sets the offset of a part.
    pub(super) fn set(&mut self, part: PackedPart, to: u64) {
        *match part {
            PackedPart::Compressed => &mut self.compressed,
            PackedPart::Bitmask => &mut self.bitmask,
            PackedPart::RowOffsets => &mut self.row_offsets,
            PackedPart::Signs => &mut self.signs,
        } = to;
    }
}

impl Layout {
    /// Returns the layout of a checkpoint in which these parameters are packed, and the masks of all others are permanent.
    pub fn packed(checkpoint: &Checkpoint, plans: Vec<PackPlan>) -> Result<Self, CheckpointError> {
        let plans: HashMap<usize, Arc<PackPlan>> =
            plans.into_iter().map(|plan| (plan.parameter, Arc::new(plan))).collect();
        let mut shards: Vec<Vec<OutputTensor<'_>>> = checkpoint.shards.iter().map(|_| Vec::new()).collect();
        for (number, parameter) in owners(checkpoint).into_iter().enumerate() {
            let shard = &mut shards[checkpoint.tensors[number].shard];
            let is_mask = checkpoint.parameters[parameter].mask == Some(number);
            match plans.get(&parameter) {
                Some(plan) if !is_mask => push_packed(checkpoint, plan, shard),
                Some(_) => {}
                None if checkpoint.parameters[parameter].mask.is_some() => {
                    push_value(checkpoint, parameter, number, shard);
                }
                None => shard.push(OutputTensor::of(checkpoint, number, Origin::Tensor(number))),
            }
        }
        let whole_names = |shard: usize| {
            let packed = plans.values().map(|plan| &checkpoint.parameters[plan.parameter]);
            let here = packed.filter(|parameter| checkpoint.tensors[parameter.weights].shard == shard);
            here.map(|parameter| parameter.name.as_str()).filter(|name| packed_file::is_whole_name(name)).collect()
        };
        Self::with_whole_names(checkpoint, shards, whole_names)
    }

    /// Returns the layout of a checkpoint in which these packed tensors are dense.
    pub fn unpacked(checkpoint: &Checkpoint, plans: Vec<UnpackPlan>) -> Result<Self, CheckpointError> {
        let mut dense = HashMap::new();
        for plan in plans {
            dense.extend(plan.entry.parts.all().map(|part| (part, None)));
            dense.insert(plan.entry.parts.compressed, Some(Arc::new(plan)));
        }
        let mut shards: Vec<Vec<OutputTensor<'_>>> = checkpoint.shards.iter().map(|_| Vec::new()).collect();
        for (number, tensor) in checkpoint.tensors.iter().enumerate() {
            let tensor = match dense.remove(&number) {
                Some(None) => continue,
                Some(Some(plan)) => OutputTensor {
                    name: plan.entry.name.clone(),
                    dtype: tensor.dtype,
                    shape: plan.entry.dense.shape.clone().into(),
                    bytes: (plan.entry.dense.entries() * tensor.dtype.bits() / 8) as u64,
                    origin: Origin::Unpack(plan),
                },
                None => OutputTensor::of(checkpoint, number, Origin::Tensor(number)),
            };
            shards[checkpoint.tensors[number].shard].push(tensor);
        }
        Self::with_whole_names(checkpoint, shards, |_| Vec::new())
    }

    fn with_whole_names<'n>(
        checkpoint: &Checkpoint,
        shards: Vec<Vec<OutputTensor<'_>>>,
        whole_names: impl Fn(usize) -> Vec<&'n str>,
    ) -> Result<Self, CheckpointError> {
        Self::check_names(&shards)?;
        let index = index(checkpoint, &shards);
        let files = shards.into_iter().enumerate().map(|(shard, tensors)| {
            let metadata = checkpoint.shards[shard].metadata.as_ref();
            let metadata = packed_file::with_whole_names(metadata, whole_names(shard));
            FileLayout::with_metadata(checkpoint, shard, tensors, metadata.as_ref())
        });
        Ok(Self { files: files.collect::<Result<_, _>>()?, index, format: Format::Weights, config: None })
    }
}

/// Adds the parts of a packed parameter. The offsets come first, so that all of them are aligned if the first tensor is.
fn push_packed<'c>(checkpoint: &'c Checkpoint, plan: &Arc<PackPlan>, shard: &mut Vec<OutputTensor<'c>>) {
    let parameter = &checkpoint.parameters[plan.parameter];
    let (rows, columns) = matrix(&parameter.shape);
    let stem = packed_file::stem(&parameter.name);
    let mut push = |suffix, dtype: Dtype, shape: Vec<usize>, origin| {
        let bytes = (shape.iter().product::<usize>() * dtype.bits() / 8) as u64;
        shard.push(OutputTensor { name: format!("{stem}{suffix}"), dtype, shape: shape.into(), bytes, origin });
    };
    let part = |part| Origin::Pack(Arc::clone(plan), part);
    let sizes: Vec<u8> = parameter.shape.iter().flat_map(|&size| (size as i64).to_le_bytes()).collect();
    push(SHAPE, Dtype(Stored::I64), vec![parameter.shape.len()], Origin::Bytes(sizes));
    push(ROW_OFFSETS, Dtype(Stored::I64), vec![rows], part(PackedPart::RowOffsets));
    push(COMPRESSED, parameter.dtype, vec![plan.kept()], part(PackedPart::Compressed));
    push(BITMASK, Dtype(Stored::U8), vec![rows, row_bytes(columns)], part(PackedPart::Bitmask));
    if plan.signs {
        push(SIGNS, Dtype(Stored::U8), vec![rows, row_bytes(columns)], part(PackedPart::Signs));
    }
}
