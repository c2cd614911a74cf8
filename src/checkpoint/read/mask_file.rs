//! A mask file whose bits are read block by block.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::checkpoint::CheckpointError;
use crate::checkpoint::read::{OpenOptions, Shard};
use crate::file::bits::packed_len;
use crate::file::mask_file::{MaskEntry, MaskShape};

/// A mask file with the places of its masks, which are not in memory.
#[derive(Debug)]
pub(crate) struct MaskFile {
    pub file: Shard,
    /// The masks by the names of their parameters.
    pub masks: HashMap<String, MaskLocation>,
}

/// A mask in the file.
#[derive(Debug)]
pub(crate) struct MaskLocation {
    pub shape: Vec<usize>,
    entries: usize,
    /// The offset of its bits in the file.
    start: u64,
}

impl MaskFile {
    /// Opens a mask file and reads the shapes of its masks.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let (file, header) = Shard::open(path.to_owned(), path.to_owned(), 0, &Arc::default(), &OpenOptions::new())?;
        let invalid = |source| CheckpointError::MaskFile { path: path.to_owned(), source };
        let mut masks = HashMap::new();
        for entry in MaskEntry::all(&header) {
            let entry = entry.map_err(invalid)?;
            let sizes_range = entry.shape_range();
            let mut sizes = vec![0; sizes_range.len()];
            file.read(&mut sizes, file.data + sizes_range.start as u64)?;
            let MaskShape { shape, entries } = entry.decode_shape(&sizes).map_err(invalid)?;
            let start = file.data + entry.bits_range().start as u64;
            masks.insert(entry.parameter.to_owned(), MaskLocation { shape, entries, start });
        }
        Ok(Self { file, masks })
    }

    /// Clears the entries of `kept` that the mask of this name prunes. `range` begins at a multiple of 8; `bytes` is scratch
    /// space for its bits.
    pub fn clear(
        &self,
        name: &str,
        range: Range<usize>,
        bytes: &mut [u8],
        kept: &mut [bool],
    ) -> Result<(), CheckpointError> {
        let Some(mask) = self.masks.get(name) else { return Ok(()) };
        let bytes = &mut bytes[..packed_len(range.len())];
        self.file.read(bytes, mask.start + (range.start / 8) as u64)?;
        for (kept, byte) in kept.chunks_mut(8).zip(&*bytes) {
            kept.iter_mut().enumerate().for_each(|(bit, kept)| *kept &= byte >> bit & 1 == 1);
        }
        let padding_start = range.len() % 8;
        let last = bytes.last().copied().unwrap_or_default();
        if range.end == mask.entries && padding_start > 0 && last >> padding_start != 0 {
            return Err(CheckpointError::MaskPadding { tensor: name.to_owned() });
        }
        Ok(())
    }
}
