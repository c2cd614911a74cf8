//! Writing the files of a layout.

use std::fs::File;
use std::path::Path;
use std::sync::Mutex;

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::ProgressCounter;
use crate::checkpoint::read::blocks::{Pool, blocks};
use crate::checkpoint::read::{Checkpoint, Shard};
use crate::checkpoint::write::layout::file::{FileLayout, OutputSlots, Piece};
use crate::file::atomic::AtomicFile;
use crate::file::positional::write_at;
use crate::tensor::parallel;
use crate::tensor::slice::Slice;

/// The number of bytes that are copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// Makes the tensors of a pruned parameter and writes them to the sink. Without a sink, it only counts pruned entries.
pub(crate) type MakeParameter<'m> = dyn FnMut(&OutputSlots, Option<Sink<'_>>) -> Result<(), CheckpointError> + 'm;

/// A file that bytes are written to, by one thread at a time.
///
/// The system lets only one thread write to a file, and the others spin until it is done. Waiting for a lock instead leaves the
/// core to others: a third less system time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sink<'f> {
    pub file: &'f File,
    /// Held by the thread that writes.
    pub turn: &'f Mutex<()>,
    pub path: &'f Path,
}

impl Sink<'_> {
    /// Writes bytes at an offset.
    pub fn write(&self, bytes: &[u8], offset: u64) -> Result<(), CheckpointError> {
        let _turn = parallel::lock(self.turn);
        write_at(self.file, bytes, offset)
            .map_err(|source| CheckpointError::Write { path: self.path.to_owned(), source })
    }
}

/// Writes the files of a layout.
pub(crate) struct Writer<'w, 'o> {
    pub checkpoint: &'w Checkpoint,
    /// The mask file, which is an input too.
    pub mask_file: Option<&'w Shard>,
    pub pool: &'w Pool,
    pub progress: &'w ProgressCounter<'o>,
    /// Flushes each file to disk before it is renamed.
    pub durable: bool,
}

impl Writer<'_, '_> {
    /// Writes a file. It appears at its path when it is complete and the shards that it is made from have not changed; if it is
    /// the whole output, only after the observer was told of the end.
    pub fn write(
        &self,
        layout: &FileLayout,
        path: &Path,
        is_output: bool,
        make: &mut MakeParameter<'_>,
    ) -> Result<(), CheckpointError> {
        let failed = |source| CheckpointError::Write { path: path.to_owned(), source };
        let file = AtomicFile::create(path).map_err(failed)?;
        let turn = Mutex::new(());
        let sink = Sink { file: file.file(), turn: &turn, path };
        file.file().set_len(layout.bytes).map_err(failed)?;
        sink.write(&layout.header, 0)?;
        for piece in &layout.pieces {
            match piece {
                Piece::Copy { shard, from, to, bytes } => self.copy(*shard, *from, *to, *bytes, sink)?,
                Piece::Parameter(slots) => make(slots, Some(sink))?,
                Piece::Slice { tensor, slice, to } => self.slice(*tensor, slice, *to, sink)?,
                Piece::Pack { plan, to } => plan.write(self.checkpoint, *to, self.pool, self.progress, sink)?,
                Piece::Unpack { plan, to } => plan.write(self.checkpoint, *to, self.pool, self.progress, sink)?,
                Piece::Bytes { bytes, to } => sink.write(bytes, *to)?,
            }
        }
        // Not all shards: with thousands of them, that would take longer than the work.
        let sources = layout.sources(self.checkpoint);
        sources.into_iter().try_for_each(|shard| self.checkpoint.shards[shard].check_unchanged())?;
        self.mask_file.map_or(Ok(()), Shard::check_unchanged)?;
        if is_output {
            // If the observer stops the run even now, nothing may be left: a single file cannot be resumed.
            self.progress.finish()?;
        }
        if self.durable { file.commit() } else { file.commit_unsynced() }.map_err(failed)
    }

    /// Counts the pruned entries of the parameters of a file that is not written.
    pub fn count(&self, layout: &FileLayout, make: &mut MakeParameter<'_>) -> Result<(), CheckpointError> {
        layout.pieces.iter().try_for_each(|piece| match piece {
            Piece::Copy { .. }
            | Piece::Slice { .. }
            | Piece::Pack { .. }
            | Piece::Unpack { .. }
            | Piece::Bytes { .. } => Ok(()),
            Piece::Parameter(slots) => make(slots, None),
        })
    }

    /// Returns `Ok` if no input file has changed since it was opened.
    pub fn check_unchanged(&self) -> Result<(), CheckpointError> {
        self.checkpoint.check_unchanged()?;
        self.mask_file.map_or(Ok(()), Shard::check_unchanged)
    }

    /// Writes the kept part of a tensor.
    fn slice(&self, tensor: usize, slice: &Slice, to: u64, sink: Sink<'_>) -> Result<(), CheckpointError> {
        let tensor = &self.checkpoint.tensors[tensor];
        let shard = &self.checkpoint.shards[tensor.shard];
        let size = tensor.dtype.bits() / 8;
        let pieces = slice.pieces(COPY_BYTES / size);
        parallel::try_each(pieces.len(), slice.len(), |number| {
            let piece = &pieces[number];
            // The whole tensor is done at the end, whatever part of it is kept.
            let done = |kept: usize| (u128::from(tensor.bytes) * kept as u128 / slice.len() as u128) as u64;
            self.progress.add(done(piece.kept.end) - done(piece.kept.start))?;
            self.pool.with(|scratch| {
                let entries = scratch.weights.take::<u8>(piece.entries.len() * size);
                shard.read(entries, tensor.start + (piece.entries.start * size) as u64)?;
                let kept = scratch.out.take::<u8>(piece.kept.len() * size);
                slice.gather_piece(piece, size, entries, kept);
                sink.write(kept, to + (piece.kept.start * size) as u64)
            })
        })
    }

    fn copy(&self, shard: usize, from: u64, to: u64, bytes: u64, sink: Sink<'_>) -> Result<(), CheckpointError> {
        let shard = &self.checkpoint.shards[shard];
        // The cast cannot truncate: the data lies in the file, as was checked, and offsets of the header are `usize`.
        let ranges: Vec<_> = blocks(bytes as usize, COPY_BYTES).collect();
        parallel::try_each(ranges.len(), bytes as usize, |number| {
            let range = ranges[number].clone();
            self.progress.add(range.len() as u64)?;
            self.pool.with(|scratch| {
                let buffer = scratch.out.take::<u8>(range.len());
                shard.read(buffer, from + range.start as u64)?;
                sink.write(buffer, to + range.start as u64)
            })
        })
    }
}

/// Writes a small file as a whole.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    use std::io::Write;
    let write = || {
        let mut file = AtomicFile::create(path)?;
        file.write_all(bytes)?;
        file.commit()
    };
    write().map_err(|source| CheckpointError::Write { path: path.to_owned(), source })
}
