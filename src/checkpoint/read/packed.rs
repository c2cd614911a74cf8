//! Packed tensors of a checkpoint: four tensors that are one.

use std::collections::HashSet;

use crate::checkpoint::CheckpointError;
use crate::checkpoint::progress::ProgressCounter;
use crate::checkpoint::read::blocks::{Pool, Scratch};
use crate::checkpoint::read::cuts::{Cuts, Part};
use crate::checkpoint::read::{Checkpoint, Dtype};
use crate::file::error::StateDictError;
use crate::file::packed_file::{self, DenseShape, PackedParts, PartInfo};
use crate::sparse::bits;
use crate::tensor::chunk::running_sum;
use crate::tensor::parallel;

/// The most sizes that the shape of a packed tensor may have; files with more are refused before they are read.
const MAX_DIMENSIONS: u64 = 1 << 10;

/// A packed tensor.
#[derive(Debug, Clone)]
pub(crate) struct PackedEntry {
    /// The name of the dense tensor.
    pub name: String,
    pub parts: PackedParts,
    pub dtype: Dtype,
    pub dense: DenseShape,
    /// The number of kept values.
    pub kept: usize,
}

/// Returns the numbers of the tensors that are parts of packed ones.
pub(crate) fn all_parts(entries: &[PackedEntry]) -> HashSet<usize> {
    entries.iter().flat_map(|entry| entry.parts.all()).collect()
}

/// Returns the numbers of the parts that no list of tensors shows: the values of a packed tensor stand for it.
pub(crate) fn hidden_parts(entries: &[PackedEntry]) -> HashSet<usize> {
    entries.iter().flat_map(|entry| entry.parts.all().filter(|&part| part != entry.parts.compressed)).collect()
}

impl Checkpoint {
    /// Returns the packed tensors, in the order of their values. Reads their shapes, no bits and no values. Tensors of dtypes that
    /// cannot be pruned, such as F8, are not read as packed ones.
    pub(crate) fn packed(&self) -> Result<Vec<PackedEntry>, CheckpointError> {
        if self.in_place().is_some() {
            return Ok(Vec::new());
        }
        let metadata: Vec<_> = self.shards.iter().map(|shard| shard.metadata.as_ref()).collect();
        let found = packed_file::find(self.tensors.iter().map(|tensor| tensor.name.as_str()), &metadata);
        let found = found.into_iter().filter(|(_, parts)| self.tensors[parts.compressed].dtype.can_be_pruned());
        found.map(|(name, parts)| self.packed_entry(name, parts)).collect()
    }

    fn packed_entry(&self, name: String, parts: PackedParts) -> Result<PackedEntry, CheckpointError> {
        let invalid = |source| CheckpointError::Packed { tensor: name.clone(), source };
        let shape = &self.tensors[parts.shape];
        let bytes = if shape.bytes > 8 * MAX_DIMENSIONS { 0 } else { shape.bytes as usize };
        let mut sizes = vec![0; bytes];
        self.shards[shape.shard].read(&mut sizes, shape.start)?;
        let info = |number: usize| {
            let tensor = &self.tensors[number];
            PartInfo { name: &tensor.name, dtype: tensor.dtype, shape: &tensor.shape }
        };
        let dense = DenseShape::new(&parts, info, &sizes).map_err(invalid)?;
        let compressed = &self.tensors[parts.compressed];
        Ok(PackedEntry { dtype: compressed.dtype, kept: compressed.shape.iter().product(), name, parts, dense })
    }
}

impl PackedEntry {
    /// The parts in which the tensor is read.
    pub fn cuts(&self) -> Cuts {
        Cuts::new(self.dense.rows, self.dense.columns, self.dtype.bits() / 8)
    }

    /// The bytes that all its parts take.
    pub fn bytes(&self, checkpoint: &Checkpoint) -> u64 {
        self.parts.all().map(|part| checkpoint.tensors[part].bytes).sum()
    }

    /// The bytes that [`starts`](Self::starts) reads.
    pub fn work(&self, checkpoint: &Checkpoint) -> u64 {
        checkpoint.tensors[self.parts.bitmask].bytes
    }

    /// Returns where the values of each part of the tensor begin, and the number of all. Reads bits and offsets and checks them.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Packed`] if bits, offsets and the number of values contradict each other.
    pub fn starts(
        &self,
        checkpoint: &Checkpoint,
        pool: &Pool,
        progress: &ProgressCounter<'_>,
    ) -> Result<Vec<usize>, CheckpointError> {
        let cuts = self.cuts();
        let count = |number| {
            let part = cuts.part(number);
            pool.with(|scratch| {
                let bits = self.bits(checkpoint, self.parts.bitmask, &part, scratch)?;
                progress.add(bits.len() as u64)?;
                Ok::<_, CheckpointError>(bits::count(bits))
            })
        };
        let counts = parallel::try_map(cuts.len(), self.dense.entries(), count)?;
        let total = counts.iter().sum();
        if total != self.kept {
            let (bits, values) = (total, self.kept);
            return Err(self.invalid(checkpoint, self.parts.compressed, |tensor| StateDictError::PackedValues {
                tensor,
                bits,
                values,
            }));
        }
        let starts: Vec<usize> = running_sum(&counts).chain([total]).collect();
        parallel::try_each(cuts.len(), self.dense.entries(), |number| {
            let part = cuts.part(number);
            pool.with(|scratch| self.check_offsets(checkpoint, &part, starts[number], scratch))
        })?;
        Ok(starts)
    }

    /// Reads the bits of a part, from the mask or from the signs. Rows must be padded with zeros.
    pub fn bits<'s>(
        &self,
        checkpoint: &Checkpoint,
        tensor: usize,
        part: &Part,
        scratch: &'s mut Scratch,
    ) -> Result<&'s [u8], CheckpointError> {
        let columns = self.dense.columns;
        let row = bits::row_bytes(columns);
        let first = part.rows.start * row + part.columns.start / 8;
        let len = part.rows.len() * bits::row_bytes(part.columns.len());
        let found = checkpoint.entries::<u8>(&checkpoint.tensors[tensor], first..first + len, &mut scratch.mask)?;
        let is_last = part.columns.end == columns;
        if is_last && !found.chunks(bits::row_bytes(part.columns.len()).max(1)).all(|row| bits::is_padded(row, columns))
        {
            return Err(self.invalid(checkpoint, tensor, |tensor| StateDictError::MaskPadding { tensor }));
        }
        Ok(found)
    }

    /// Returns an error unless the rows that begin in a part have the offsets that follow from their bits.
    fn check_offsets(
        &self,
        checkpoint: &Checkpoint,
        part: &Part,
        start: usize,
        scratch: &mut Scratch,
    ) -> Result<(), CheckpointError> {
        if part.columns.start > 0 {
            return Ok(());
        }
        let bits = self.bits(checkpoint, self.parts.bitmask, part, scratch)?;
        let row = bits::row_bytes(part.columns.len());
        let counts: Vec<usize> = bits.chunks(row.max(1)).map(bits::count).collect();
        let expected: Vec<usize> = running_sum(&counts).map(|before| start + before).collect();
        let offsets = &checkpoint.tensors[self.parts.row_offsets];
        let found = checkpoint.entries::<i64>(offsets, part.rows.clone(), &mut scratch.out)?;
        let wrong = found.iter().zip(&expected).position(|(&found, &expected)| usize::try_from(found) != Ok(expected));
        match wrong {
            None => Ok(()),
            Some(i) => {
                let (row, found, expected) = (part.rows.start + i, found[i], expected[i]);
                Err(self.invalid(checkpoint, self.parts.row_offsets, |tensor| StateDictError::PackedOffset {
                    tensor,
                    row,
                    expected,
                    found,
                }))
            }
        }
    }

    fn invalid(
        &self,
        checkpoint: &Checkpoint,
        part: usize,
        error: impl FnOnce(String) -> StateDictError,
    ) -> CheckpointError {
        let source = error(checkpoint.tensors[part].name.clone());
        CheckpointError::Packed { tensor: self.name.clone(), source }
    }
}
