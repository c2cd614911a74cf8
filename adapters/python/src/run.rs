//! Long runs, which report their progress and can be interrupted.

use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use prune::checkpoint::{CheckpointError, Observer, Phase, Progress};
use pyo3::prelude::*;

use crate::error::of_checkpoint;
use crate::pool::on_all_cores;

/// The time between two looks at signals, and between two reports of progress.
const PERIOD: Duration = Duration::from_millis(100);

/// The state that a run shares with the thread that waits for it.
#[derive(Default)]
struct Shared {
    latest: Mutex<Option<Progress>>,
    stopped: AtomicBool,
}

impl Observer for Shared {
    fn progress(&self, progress: Progress) -> ControlFlow<()> {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
        if self.stopped.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Runs on another thread, while this one looks at signals (Python delivers those to the main thread only) and calls
/// `progress(phase, done, total)`. The exception of either stops the run.
pub fn run<T: Send>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    run: impl FnOnce(&dyn Observer) -> Result<T, CheckpointError> + Send,
) -> PyResult<T> {
    let shared = Shared::default();
    py.detach(|| {
        thread::scope(|scope| {
            let (sender, receiver) = channel::<()>();
            let worker = scope.spawn(|| {
                // Dropped at the end, in a panic too.
                let _sender = sender;
                on_all_cores(|| run(&shared))
            });
            let mut outcome = Ok(());
            while outcome.is_ok() && receiver.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                outcome = Python::attach(|py| {
                    py.check_signals()?;
                    report(py, &shared, progress.as_ref())
                });
            }
            shared.stopped.store(outcome.is_err(), Ordering::Relaxed);
            let result = worker.join().unwrap_or_else(|panic| resume_unwind(panic));
            outcome?;
            let result = result?.map_err(of_checkpoint)?;
            Python::attach(|py| report(py, &shared, progress.as_ref()))?;
            Ok(result)
        })
    })
}

fn report(py: Python<'_>, shared: &Shared, callback: Option<&Py<PyAny>>) -> PyResult<()> {
    let latest = *shared.latest.lock().unwrap_or_else(PoisonError::into_inner);
    if let (Some(callback), Some(Progress { phase, done, total })) = (callback, latest) {
        let phase = match phase {
            Phase::Counting => "counting",
            Phase::Ranking => "ranking",
            Phase::Processing => "processing",
            _ => "working",
        };
        callback.call1(py, (phase, done, total))?;
    }
    Ok(())
}
