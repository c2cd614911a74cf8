//! Compaction: recorded cases, whole networks, mistakes and laws.
//!
//! `tests/golden/compact/README.md` says where the cases come from.

mod case;
mod choices;
mod golden;
mod laws;
mod mistakes;
mod networks;
mod parameters;
mod permutation;
mod program;
