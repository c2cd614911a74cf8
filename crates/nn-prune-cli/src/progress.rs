//! Shows a progress bar and stops a run on Ctrl-C.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use indicatif::{BinaryBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use prune::checkpoint::{Observer, Phase, Progress};
use terminal_size::{Width, terminal_size_of};

use crate::error::CliError;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C and a termination signal stop the run instead of killing the program, so that the library removes its
/// temporary files.
pub fn stop_when_interrupted() -> Result<(), CliError> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))
        .map_err(|error| CliError::caused_by("cannot install a handler for Ctrl-C", error))
}

/// The width of a terminal that has room for the bar and the bytes.
const WIDE: usize = 72;
const WIDE_TEMPLATE: &str = "{msg:10} {wide_bar} {binary_bytes} of {binary_total_bytes}{rate}";
const NARROW_TEMPLATE: &str = "{msg:10} {percent} %{rate}";

/// A progress bar on the terminal for each phase, which also stops an interrupted run.
pub struct ProgressReporter {
    /// The phase that runs, with its bar.
    bar: Mutex<Option<(Phase, ProgressBar)>>,
    /// The label of the last phase, which differs between commands.
    label: &'static str,
    quiet: bool,
    /// Standard error is not a terminal, or nothing is to be shown.
    hidden: bool,
}

impl ProgressReporter {
    /// Returns bars that are hidden if `quiet`, or if standard error is not a terminal.
    pub fn new(label: &'static str, quiet: bool) -> Self {
        let mut this = Self { bar: Mutex::default(), label, quiet, hidden: false };
        this.hidden = this.target().is_hidden();
        this
    }

    fn target(&self) -> ProgressDrawTarget {
        if self.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() }
    }

    fn show(&self, progress: Progress) {
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = match &mut *bar {
            Some((phase, bar)) if *phase == progress.phase => bar,
            other => {
                if let Some((_, last)) = other.take() {
                    last.finish_and_clear();
                }
                // A bar of its own, because phases run at different rates.
                &mut other.insert((progress.phase, self.new_bar(progress))).1
            }
        };
        // Threads may report out of order; the bar must not move back.
        if progress.done > bar.position() {
            bar.set_position(progress.done);
        }
    }

    fn new_bar(&self, Progress { phase, total, .. }: Progress) -> ProgressBar {
        let message = match phase {
            Phase::Counting => "counting",
            Phase::Ranking => "ranking",
            _ => self.label,
        };
        let is_wide = terminal_size_of(io::stderr()).is_none_or(|(Width(width), _)| usize::from(width) >= WIDE);
        let template = if is_wide { WIDE_TEMPLATE } else { NARROW_TEMPLATE };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::with_draw_target(Some(total), self.target())
            .with_style(style.with_key("rate", write_rate))
            .with_message(message)
    }
}

/// Writes the rate and the time left, after the first second: before, they would only be guesses.
fn write_rate(state: &ProgressState, out: &mut dyn fmt::Write) {
    if state.elapsed() >= Duration::from_secs(1) {
        let rate = BinaryBytes(state.per_sec() as u64);
        // Text on a terminal; the next frame replaces it.
        let _ = write!(out, ", {rate}/s, {:#} left", HumanDuration(state.eta()));
    }
}

impl Observer for ProgressReporter {
    fn progress(&self, progress: Progress) -> ControlFlow<()> {
        if INTERRUPTED.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        if !self.hidden {
            self.show(progress);
        }
        ControlFlow::Continue(())
    }
}

impl Drop for ProgressReporter {
    fn drop(&mut self) {
        if let Some((_, bar)) = self.bar.get_mut().unwrap_or_else(PoisonError::into_inner) {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(reporter: &ProgressReporter) -> Option<ProgressBar> {
        reporter.bar.lock().unwrap().as_ref().map(|(_, bar)| bar.clone())
    }

    #[test]
    fn each_phase_starts_at_zero_and_never_moves_back() {
        let reporter = ProgressReporter::new("pruning", true);
        for (phase, message) in
            [(Phase::Counting, "counting"), (Phase::Ranking, "ranking"), (Phase::Processing, "pruning")]
        {
            let last = bar(&reporter);
            for (done, expected) in [(0, 0), (7, 7), (3, 7), (10, 10)] {
                reporter.show(Progress { phase, done, total: 10 });
                let bar = bar(&reporter).unwrap();
                assert_eq!((bar.message(), bar.position(), bar.length()), (message.to_owned(), expected, Some(10)));
            }
            assert!(last.is_none_or(|last| last.is_finished()));
        }
    }

    #[test]
    fn nothing_is_shown_without_a_terminal() {
        let reporter = ProgressReporter::new("pruning", true);
        assert_eq!(
            reporter.progress(Progress { phase: Phase::Ranking, done: 5, total: 10 }),
            ControlFlow::Continue(())
        );
        assert!(bar(&reporter).is_none());
    }

    #[test]
    fn the_bar_is_cleared_at_the_end_of_a_run() {
        let reporter = ProgressReporter::new("pruning", true);
        reporter.show(Progress { phase: Phase::Ranking, done: 5, total: 10 });
        let bar = bar(&reporter).unwrap();
        assert!(!bar.is_finished());
        drop(reporter);
        assert!(bar.is_finished());
    }
}
