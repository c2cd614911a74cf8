//! Tells the observer how far a run has come.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{CheckpointError, Observer, Phase, Progress};

/// The progress of one phase.
pub(super) struct Meter<'o> {
    observer: &'o dyn Observer,
    phase: Phase,
    done: AtomicU64,
    total: u64,
    stopped: AtomicBool,
}

impl<'o> Meter<'o> {
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
