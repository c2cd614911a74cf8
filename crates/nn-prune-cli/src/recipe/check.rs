//! The options that a method takes.

use clap::error::ErrorKind;

use crate::calibrated::AllocationRule;
use crate::error::CliError;
use crate::parse::MethodName;
use crate::recipe::{Recipe, usage};

impl Recipe {
    /// Returns `true` if it names statistics by which nothing is pruned. They are of use only to measure errors.
    pub fn only_measures(&self) -> bool {
        let is_calibrated = matches!(self.method, Some(MethodName::Calibrated(_)));
        self.statistics.is_some() && !is_calibrated && self.option_with_data().is_none()
    }

    /// Returns an option that makes any method prune by statistics.
    fn option_with_data(&self) -> Option<&'static str> {
        let options = [
            ("--allocation owl", matches!(self.allocation, Some(AllocationRule::Owl(_)))),
            ("--refine", self.refine.is_some()),
            ("--update", self.update.is_some()),
        ];
        options.into_iter().find_map(|(option, given)| given.then_some(option))
    }

    /// Returns an error for an option that the method does not take.
    pub(super) fn check_options(&self, method: MethodName) -> Result<(), CliError> {
        let options = [
            ("--amount", !self.amount.is_empty()),
            ("--sparsity", !self.sparsity.is_empty()),
            ("--scope", self.scope.is_some()),
            ("--allocation", self.allocation.is_some()),
            ("--min-sparsity", self.min_sparsity.is_some()),
            ("--max-sparsity", self.max_sparsity.is_some()),
            ("--dim", self.dim.is_some()),
            ("--norm", self.norm.is_some()),
            ("--pattern", self.pattern.is_some()),
            ("--block", self.block.is_some()),
            ("--ties", self.ties.is_some()),
            ("--seed", self.seed.is_some()),
            ("--mask", self.mask.is_some()),
            ("--statistics", self.statistics.is_some()),
            ("--dampening", self.dampening.is_some()),
            ("--dampening-of", self.dampening_of.is_some()),
            ("--refine", self.refine.is_some()),
            ("--update", self.update.is_some()),
        ];
        let mut allowed = method.flags();
        if method.prunes_entries() {
            allowed.extend(["--refine", "--statistics", "--update"]);
        }
        if self.update.is_some() {
            allowed.extend(["--dampening", "--dampening-of"]);
        }
        if let Some(option) = self.option_with_data().filter(|_| method.prunes_entries()) {
            if self.statistics.is_none() {
                return Err(usage(ErrorKind::MissingRequiredArgument, &format!("{option} needs --statistics FILE")));
            }
            if self.is_global() {
                let message = format!("{option} is for tensors one by one, so --scope global does not apply");
                return Err(usage(ErrorKind::ArgumentConflict, &message));
            }
        }
        match options.into_iter().find(|(option, given)| *given && !allowed.contains(option)) {
            None => Ok(()),
            Some((option, _)) => {
                let (method, allowed) = (method.as_str(), method.flags().join(", "));
                let takes = if allowed.is_empty() { "no options" } else { &allowed };
                let message = format!("{option} does not apply to --method {method}, which takes {takes}");
                Err(usage(ErrorKind::ArgumentConflict, &message))
            }
        }
    }
}
