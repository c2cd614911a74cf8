//! The state of a session, to be saved.

use crate::error::PruneError;
use crate::training::allocation::{Allocation, Bounds};
use crate::training::schedule::Schedule;

/// All that a [`Session`](crate::training::Session) knows beside its method: one counter, and what it was built with. The masks
/// are in the parameters.
///
/// `prune::safetensors::save_session` stores it with the masks, in one file.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionState {
    /// The step that comes next.
    pub next: u64,
    /// The schedule.
    pub schedule: Schedule,
    /// The names of the parameters.
    pub names: Vec<String>,
    /// The allocation.
    pub allocation: Allocation,
    /// The bounds of each parameter.
    pub bounds: Bounds,
}

impl SessionState {
    /// Rejects another state unless it differs in nothing but the counter.
    pub(super) fn check_same(&self, other: &Self) -> Result<(), PruneError> {
        let bounds = |bounds: &Bounds| format!("{}..{}", bounds.min, bounds.max);
        let parts = [
            ("schedule", self.schedule.to_string(), other.schedule.to_string()),
            ("names", self.names.join(" "), other.names.join(" ")),
            ("allocation", self.allocation.to_string(), other.allocation.to_string()),
            ("bounds", bounds(&self.bounds), bounds(&other.bounds)),
        ];
        match parts.into_iter().find(|(_, own, found)| own != found) {
            Some((part, expected, found)) => Err(PruneError::OtherSession { part, expected, found }),
            None => Ok(()),
        }
    }
}
