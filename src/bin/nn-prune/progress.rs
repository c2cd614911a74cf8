//! Progress bars, and the end of a run by Ctrl-C.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use prune::checkpoint::{Observer, Phase, Progress};

use crate::failure::Failure;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C, and a request to end, do not kill the program: the library is told to stop, and cleans up.
pub fn stop_when_interrupted() -> Result<(), Failure> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))
        .map_err(|error| Failure::new("signals: cannot listen to Ctrl-C", error))
}

/// Shows how far a run has come, on a terminal.
pub struct Watch {
    bar: ProgressBar,
    phase: Mutex<Option<Phase>>,
    /// What the last phase does, which is where commands differ.
    doing: &'static str,
}

impl Watch {
    /// A bar that shows nothing if `quiet`, or if standard error is not a terminal.
    pub fn new(doing: &'static str, quiet: bool) -> Self {
        // The bar hides itself where there is no terminal.
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::no_length() };
        let template = "{msg:10} {wide_bar} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, phase: Mutex::default(), doing }
    }

    fn show(&self, progress: Progress) {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        if *phase != Some(progress.phase) {
            *phase = Some(progress.phase);
            self.bar.update(|state| {
                state.set_len(progress.total);
                state.set_pos(0);
            });
            self.bar.reset_eta(); // a phase has a rate of its own
            self.bar.set_message(match progress.phase {
                Phase::Counting => "counting",
                Phase::Ranking => "ranking",
                _ => self.doing,
            });
        }
        // Threads may overtake each other on the way here; a bar should not go back.
        if progress.done > self.bar.position() {
            self.bar.set_position(progress.done);
        }
    }
}

impl Observer for Watch {
    fn progress(&self, progress: Progress) -> ControlFlow<()> {
        if INTERRUPTED.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        if !self.bar.is_hidden() {
            self.show(progress);
        }
        ControlFlow::Continue(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
