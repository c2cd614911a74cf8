//! Pruning while training: schedules, sessions, snapshots, and dynamic sparse training.
//!
//! Four concepts, each of its own type, are put together as needed:
//!
//! | concept | question | here |
//! |---|---|---|
//! | schedule | how sparse, at which step | [`Schedule`] |
//! | allocation | which parameter gets how much of it | [`Allocation`], with [`Bounds`] |
//! | method | which entries, blocks or channels of a parameter | any [`PruningMethod`](crate::PruningMethod) |
//! | state | what has been done so far | [`Session`]; the masks are in the parameters |
//!
//! [`doc::pruning_during_training`](crate::doc::pruning_during_training) has recipes: N:M patterns, gradual pruning, lottery
//! tickets and sensitivity; and the calls of other libraries beside those of this one.
//!
//! ```
//! use prune::training::{Schedule, Session};
//! use prune::{L1Unstructured, ParameterStore};
//!
//! let mut net = ParameterStore::from_iter([("weight", ndarray::Array2::<f32>::ones((10, 10)))]);
//! let schedule = Schedule::cubic(0.0, 0.9)?.between(20, 95)?.every(10)?;
//! let mut session = Session::new(&["weight"], schedule, |due| L1Unstructured::new(due.amount));
//! for _ in 0..100 {
//!     net["weight"].update(|mut weight| weight *= 0.99); // a step of the optimizer
//!     if let Some(pruned) = session.step(&mut net)? {
//!         println!("step {}: {:.1} %", pruned.step, 100.0 * pruned.level);
//!     }
//! }
//! assert_eq!(net["weight"].pruned(), 90); // step 95 is due, though 10 does not divide 75
//! # Ok::<(), prune::PruneError>(())
//! ```

pub(crate) mod allocation;
mod due;
mod dynamic;
pub(crate) mod merge;
mod schedule;
mod schedule_text;
mod sensitivity;
mod session;
mod snapshot;
mod state;

pub use allocation::{Allocation, Bounds};
pub use dynamic::{Exchange, Growth, cosine, exchange};
pub use schedule::Schedule;
pub use sensitivity::{Sensitivity, sensitivity};
pub use session::{Due, Pruned, Session};
pub use snapshot::Snapshot;
pub use state::SessionState;
