//! Writing the files of a plan.

use std::path::{Path, PathBuf};

use crate::checkpoint::CheckpointError;
use crate::checkpoint::progress::ProgressCounter;
use crate::checkpoint::prune::execute::{Process, Sink, work};
use crate::checkpoint::prune::plan::Task;
use crate::checkpoint::read::blocks::{Pool, blocks};
use crate::checkpoint::read::{Checkpoint, Shard};
use crate::checkpoint::write::layout::{Item, OutFile};
use crate::file::atomic::AtomicFile;
use crate::tensor::parallel;

/// Bytes copied at a time.
const COPY: usize = 1 << 20;

/// What is needed to make the files of a plan.
pub(crate) struct Making<'m, 'o> {
    pub checkpoint: &'m Checkpoint,
    /// The mask file, which is input too.
    pub masks: Option<&'m Shard>,
    /// One for each parameter that is pruned.
    pub tasks: &'m [Option<Task>],
    pub pool: &'m Pool,
    pub meter: &'m ProgressCounter<'o>,
    /// Whether files are to be on the disk before they appear.
    pub durable: bool,
}

impl Making<'_, '_> {
    /// Writes a file. It appears at its path when it is complete and the input has not changed; where it is the whole output,
    /// not before the observer was told of the end.
    pub fn write(&self, out: &OutFile, path: &Path, after: &mut [Option<usize>]) -> Result<(), CheckpointError> {
        let failed = |source| CheckpointError::Write { path: path.to_owned(), source };
        let file = AtomicFile::create(path).map_err(failed)?;
        let sink = Sink { file: file.file(), path };
        file.file().set_len(out.bytes).map_err(failed)?;
        sink.write(&out.header, 0)?;
        for item in &out.items {
            self.item(item, Some(sink), after)?;
        }
        self.check_unchanged()?;
        if out.name.is_none() {
            // A run that is stopped even now leaves nothing, since nothing could be resumed.
            self.meter.finish()?;
        }
        if self.durable { file.commit() } else { file.commit_unsynced() }.map_err(failed)
    }

    /// `Ok` when no file of the input has changed since it was opened.
    pub fn check_unchanged(&self) -> Result<(), CheckpointError> {
        self.checkpoint.check_unchanged()?;
        self.masks.map_or(Ok(()), Shard::check_unchanged)
    }

    /// Looks at what would be written, as far as it is not known how much is pruned.
    pub fn look(&self, out: &OutFile, after: &mut [Option<usize>]) -> Result<(), CheckpointError> {
        out.items.iter().try_for_each(|item| self.item(item, None, after))
    }

    /// The bytes that are read for a file.
    pub fn work(&self, out: &OutFile, writes: bool) -> u64 {
        let work = |item: &Item| match item {
            Item::Copy { bytes, .. } if writes => *bytes,
            Item::Parameter(made) => match &self.tasks[made.parameter] {
                Some(task) if writes || task.after.is_none() => {
                    work(self.checkpoint, &self.checkpoint.parameters[made.parameter], &task.rule)
                }
                _ => 0,
            },
            Item::Copy { .. } | Item::Bytes { .. } => 0,
        };
        out.items.iter().map(work).sum()
    }

    fn item(&self, item: &Item, sink: Option<Sink<'_>>, after: &mut [Option<usize>]) -> Result<(), CheckpointError> {
        match (item, sink) {
            (Item::Parameter(made), sink) => {
                let Some(task) = &self.tasks[made.parameter] else { return Ok(()) };
                let after = &mut after[made.parameter];
                *after = after.or(task.after);
                if sink.is_some() || after.is_none() {
                    let Self { checkpoint, pool, meter, .. } = *self;
                    let parameter = &checkpoint.parameters[made.parameter];
                    let process = Process { checkpoint, pool, meter, parameter, rule: &task.rule, made, sink };
                    *after = Some(process.run()?);
                }
                Ok(())
            }
            (Item::Bytes { bytes, to }, Some(sink)) => sink.write(bytes, *to),
            (Item::Copy { shard, from, to, bytes }, Some(sink)) => self.copy(*shard, *from, *to, *bytes, sink),
            (_, None) => Ok(()),
        }
    }

    fn copy(&self, shard: usize, from: u64, to: u64, bytes: u64, sink: Sink<'_>) -> Result<(), CheckpointError> {
        let shard = &self.checkpoint.shards[shard];
        // The data was found to lie in the file.
        let ranges: Vec<_> = blocks(bytes as usize, COPY).collect();
        parallel::try_each(ranges.len(), bytes as usize, |number| {
            let range = ranges[number].clone();
            self.meter.add(range.len() as u64)?;
            self.pool.with(|scratch| {
                let buffer = scratch.out.take::<u8>(range.len());
                shard.read(buffer, from + range.start as u64)?;
                sink.write(buffer, to + range.start as u64)
            })
        })
    }
}

/// Writes a small file at once.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    use std::io::Write;
    let write = || {
        let mut file = AtomicFile::create(path)?;
        file.write_all(bytes)?;
        file.commit()
    };
    write().map_err(|source| CheckpointError::Write { path: PathBuf::from(path), source })
}
