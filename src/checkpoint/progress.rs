//! Progress of long runs.

use crate::checkpoint::CheckpointError;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Reading the masks of tensors that are pruned already, to count what is left.
    Counting,
    /// Looking for what is to go across all tensors.
    Ranking,
    /// Reading tensors, and writing those of the output if there is one.
    Processing,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing. Phases follow each other in the order of [`Phase`]; those without work are left out.
    pub phase: Phase,
    /// The bytes of this phase that are done; never more than `total`, and equal to it at the end.
    pub done: u64,
    /// The bytes of this phase. Tensors that are read twice count twice.
    pub total: u64,
}

/// Is told how far a run has come, and may stop it.
///
/// It is called from several threads, at most once for every few hundred kilobytes. Once it has returned
/// [`ControlFlow::Break`] the run ends with [`CheckpointError::Stopped`](crate::checkpoint::CheckpointError::Stopped) and removes its
/// temporary files, as after any error. Closures are observers, and `()` is one that does nothing.
///
/// ```
/// use std::ops::ControlFlow;
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use prune::checkpoint::{Observer, Progress};
///
/// static INTERRUPTED: AtomicBool = AtomicBool::new(false); // set by a signal handler, say
///
/// let observer = |progress: Progress| {
///     eprintln!("{:?}: {} of {} bytes", progress.phase, progress.done, progress.total);
///     if INTERRUPTED.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
/// };
/// fn is_observer(_: &impl Observer) {}
/// is_observer(&observer);
/// is_observer(&());
/// ```
pub trait Observer: Sync {
    /// Called when some work is done.
    fn progress(&self, progress: Progress) -> ControlFlow<()>;
}

impl<F: Fn(Progress) -> ControlFlow<()> + Sync> Observer for F {
    fn progress(&self, progress: Progress) -> ControlFlow<()> {
        self(progress)
    }
}

impl Observer for () {
    fn progress(&self, _: Progress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// The progress of one phase.
pub(super) struct ProgressCounter<'o> {
    observer: &'o dyn Observer,
    phase: Phase,
    done: AtomicU64,
    total: u64,
    stopped: AtomicBool,
}

impl<'o> ProgressCounter<'o> {
    pub fn new(observer: &'o dyn Observer, phase: Phase, total: u64) -> Self {
        Self { observer, phase, done: AtomicU64::new(0), total, stopped: AtomicBool::new(false) }
    }

    /// Counts some bytes as done, unless the run is to stop.
    pub fn add(&self, bytes: u64) -> Result<(), CheckpointError> {
        // A selection may have to look at some data once more than was planned.
        let done = (self.done.fetch_add(bytes, Ordering::Relaxed) + bytes).min(self.total);
        self.tell(done)
    }

    /// The end of the phase.
    pub fn finish(&self) -> Result<(), CheckpointError> {
        if self.total == 0 {
            return Ok(());
        }
        self.tell(self.total)
    }

    fn tell(&self, done: u64) -> Result<(), CheckpointError> {
        let progress = Progress { phase: self.phase, done, total: self.total };
        if self.stopped.load(Ordering::Relaxed) || self.observer.progress(progress) == ControlFlow::Break(()) {
            self.stopped.store(true, Ordering::Relaxed);
            return Err(CheckpointError::Stopped);
        }
        Ok(())
    }
}
