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

#[cfg(test)]
mod tests {
    use indicatif::ProgressDrawTarget;

    use super::*;

    fn shown(watch: &Watch) -> (String, u64, Option<u64>) {
        (watch.bar.message(), watch.bar.position(), watch.bar.length())
    }

    #[test]
    fn each_phase_starts_anew_and_none_goes_back() {
        let watch = Watch::new("pruning", true);
        for (phase, message) in
            [(Phase::Counting, "counting"), (Phase::Ranking, "ranking"), (Phase::Processing, "pruning")]
        {
            for (done, expected) in [(0, 0), (7, 7), (3, 7), (10, 10)] {
                watch.show(Progress { phase, done, total: 10 });
                assert_eq!(shown(&watch), (message.to_owned(), expected, Some(10)));
            }
        }
    }

    #[test]
    fn without_a_terminal_nothing_is_shown() {
        let watch = Watch::new("pruning", true);
        assert_eq!(watch.progress(Progress { phase: Phase::Ranking, done: 5, total: 10 }), ControlFlow::Continue(()));
        assert_eq!(shown(&watch), (String::new(), 0, None));
    }

    #[test]
    fn the_bar_goes_when_the_run_ends() {
        let watch = Watch::new("pruning", false);
        watch.bar.set_draw_target(ProgressDrawTarget::hidden());
        let bar = watch.bar.clone();
        assert!(!bar.is_finished());
        drop(watch);
        assert!(bar.is_finished());
    }
}
