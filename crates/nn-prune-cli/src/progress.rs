//! Shows a progress bar and stops a run on Ctrl-C.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use prune::checkpoint::{Observer, Phase, Progress};

use crate::error::CliError;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C and a termination signal stop the run instead of killing the program, so that the library removes its
/// temporary files.
pub fn stop_when_interrupted() -> Result<(), CliError> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))
        .map_err(|error| CliError::caused_by("cannot install a handler for Ctrl-C", error))
}

/// A progress bar on the terminal, which also stops an interrupted run.
pub struct ProgressReporter {
    bar: ProgressBar,
    phase: Mutex<Option<Phase>>,
    /// The label of the last phase, which differs between commands.
    label: &'static str,
}

impl ProgressReporter {
    /// Returns a bar that is hidden if `quiet`, or if standard error is not a terminal.
    pub fn new(label: &'static str, quiet: bool) -> Self {
        // The bar hides itself if there is no terminal.
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::no_length() };
        let template = "{msg:10} {wide_bar} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, phase: Mutex::default(), label }
    }

    fn show(&self, progress: Progress) {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        if *phase != Some(progress.phase) {
            *phase = Some(progress.phase);
            self.bar.update(|state| {
                state.set_len(progress.total);
                state.set_pos(0);
            });
            self.bar.reset_eta(); // phases run at different rates
            self.bar.set_message(match progress.phase {
                Phase::Counting => "counting",
                Phase::Ranking => "ranking",
                _ => self.label,
            });
        }
        // Threads may report out of order; the bar must not move back.
        if progress.done > self.bar.position() {
            self.bar.set_position(progress.done);
        }
    }
}

impl Observer for ProgressReporter {
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

impl Drop for ProgressReporter {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressDrawTarget;

    use super::*;

    fn state(reporter: &ProgressReporter) -> (String, u64, Option<u64>) {
        (reporter.bar.message(), reporter.bar.position(), reporter.bar.length())
    }

    #[test]
    fn each_phase_starts_at_zero_and_never_moves_back() {
        let reporter = ProgressReporter::new("pruning", true);
        for (phase, message) in
            [(Phase::Counting, "counting"), (Phase::Ranking, "ranking"), (Phase::Processing, "pruning")]
        {
            for (done, expected) in [(0, 0), (7, 7), (3, 7), (10, 10)] {
                reporter.show(Progress { phase, done, total: 10 });
                assert_eq!(state(&reporter), (message.to_owned(), expected, Some(10)));
            }
        }
    }

    #[test]
    fn nothing_is_shown_without_a_terminal() {
        let reporter = ProgressReporter::new("pruning", true);
        assert_eq!(
            reporter.progress(Progress { phase: Phase::Ranking, done: 5, total: 10 }),
            ControlFlow::Continue(())
        );
        assert_eq!(state(&reporter), (String::new(), 0, None));
    }

    #[test]
    fn the_bar_is_cleared_at_the_end_of_a_run() {
        let reporter = ProgressReporter::new("pruning", false);
        reporter.bar.set_draw_target(ProgressDrawTarget::hidden());
        let bar = reporter.bar.clone();
        assert!(!bar.is_finished());
        drop(reporter);
        assert!(bar.is_finished());
    }
}
