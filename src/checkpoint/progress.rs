//! Progress of long runs: an observer is called, and may stop the run.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::checkpoint::error::CheckpointError;

/// A phase of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Reading the masks of tensors that are pruned already, to count the remaining entries.
    Counting,
    /// Ranking the entries of all tensors together.
    Ranking,
    /// Reading tensors, and writing the output if there is one.
    Processing,
}

/// The progress of a run in one phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The phase. Phases follow each other in the order of [`Phase`]; phases without work are omitted.
    pub phase: Phase,
    /// The number of bytes of this phase that are done; at most `total`, and equal to it at the end.
    pub done: u64,
    /// The number of bytes of this phase. Tensors that are read twice count twice.
    pub total: u64,
}

/// A callback that receives the progress of a run, and may stop the run.
///
/// Observers are called from several threads, at most once per few hundred kilobytes. If an observer returns
/// [`ControlFlow::Break`], the run removes its temporary files, as after any error, and returns
/// [`CheckpointError::Stopped`](crate::checkpoint::CheckpointError::Stopped). Closures are observers, and `()` is an observer
/// that does nothing.
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
    /// Receives the progress after each piece of work. [`ControlFlow::Break`] stops the run.
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

/// Counts the work of one phase, and reports it to the observer.
pub(crate) struct ProgressCounter<'o> {
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

    /// Returns a counter without an observer.
    pub fn silent() -> ProgressCounter<'static> {
        ProgressCounter::new(&(), Phase::Ranking, 0)
    }

    /// Counts bytes as done. Returns [`CheckpointError::Stopped`] if the observer stops the run.
    pub fn add(&self, bytes: u64) -> Result<(), CheckpointError> {
        // A selection may have to read some data once more than was planned.
        let done = (self.done.fetch_add(bytes, Ordering::Relaxed) + bytes).min(self.total);
        self.report(done)
    }

    /// Reports the end of the phase, unless the phase has no work.
    pub fn finish(&self) -> Result<(), CheckpointError> {
        if self.total == 0 {
            return Ok(());
        }
        self.report(self.total)
    }

    fn report(&self, done: u64) -> Result<(), CheckpointError> {
        let progress = Progress { phase: self.phase, done, total: self.total };
        if self.stopped.load(Ordering::Relaxed) || self.observer.progress(progress) == ControlFlow::Break(()) {
            self.stopped.store(true, Ordering::Relaxed);
            return Err(CheckpointError::Stopped);
        }
        Ok(())
    }
}
