//! Pruning during training: four recipes, and the calls of other libraries beside those of this one.
//!
//! There is no training loop in this crate, and none is needed: a [`Parameter`](crate::Parameter) keeps what is pruned at 0 whatever
//! an optimizer does to it, and the types of [`training`](crate::training) are called from a loop of your own.
//!
//! - [2:4 for sparse tensor cores](#24-for-sparse-tensor-cores)
//! - [Gradual pruning](#gradual-pruning)
//! - [Lottery tickets](#lottery-tickets)
//! - [Sensitivity](#sensitivity)
//! - [Dynamic sparse training](#dynamic-sparse-training)
//! - [Call by call](#call-by-call)
//! - [What goes wrong elsewhere](#what-goes-wrong-elsewhere)
//!
//! # 2:4 for sparse tensor cores
//!
//! [`NM`](crate::NM) keeps two of every four neighbours. The axis is the one that a product sums over: the last of a linear weight
//! `[outputs, inputs]`. A [`Session`](crate::training::Session) prunes all layers at one step of the training, and the rest of the
//! training repairs what that costs.
//!
//! ```
//! use prune::training::{Schedule, Session};
//! use prune::{NM, ParameterStore, torch::Generator};
//!
//! let generator = Generator::manual_seed(1);
//! let mut net = ParameterStore::from_iter([
//!     ("fc1.weight", generator.linear::<f32>(64, 32).0),
//!     ("fc2.weight", generator.linear::<f32>(32, 10).0),
//! ]);
//! let pattern = NM::new(2, 4, -1)?;
//! // The level is the share of groups that get the pattern; 1.0 is all of them.
//! let mut session = Session::new(&["fc1.weight", "fc2.weight"], Schedule::once(100, 1.0)?, move |due| pattern.amount(due.amount));
//! for _ in 0..200 {
//!     // ... a step of the optimizer
//!     session.step(&mut net)?;
//! }
//! for (name, parameter) in net.iter() {
//!     let mask = parameter.mask().ok_or("it is pruned")?;
//!     assert_eq!((pattern.violations(mask)?.count, mask.sparsity()), (0, 0.5), "{name}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The order of units decides which weights are neighbours, and it is accidental.
//! [`Coupling::permute`](crate::compact::Coupling::permute) finds an order in which the pattern keeps more magnitude, and reorders all
//! weights that make and read these units: the model computes what it did. Do it before the session prunes. The gain depends on the
//! weights: little for random ones, as the example shows; in the reordered matrices of all-MiniLM-L6-v2, 76.13 % are kept instead of
//! 75.10 % (`nn-prune permute minilm/ --pattern 2:4 --dry-run`); much where units with large weights lie side by side.
//!
//! ```
//! use ndarray::Array2;
//! use prune::compact::{Coupling, Search, Use};
//! use prune::{NM, ParameterStore, torch::Generator};
//!
//! let coupling = Coupling::new().dimension("hidden", [Use::out("fc1.weight", 0), Use::input("fc2.weight", 1)]);
//! let kept = |fc2: Array2<f32>| -> Result<[f64; 2], Box<dyn std::error::Error>> {
//!     let mut net = ParameterStore::from_iter([("fc1.weight", Array2::zeros((256, 64))), ("fc2.weight", fc2)]);
//!     let found = coupling.permute(&net, &Search::new(NM::new(2, 4, -1)?))?;
//!     found.permutation.apply(&mut net)?;
//!     Ok([found.total.share_before(), found.total.share_after()].map(|share| (1000.0 * share).round() / 10.0))
//! };
//! let generator = Generator::manual_seed(1);
//! let mut uniform = || generator.rand::<f32>((256, 256)).into_dimensionality::<ndarray::Ix2>();
//! let normal = uniform()?.mapv(|x| (-2.0 * (1.0 - x).ln()).sqrt()) * uniform()?.mapv(|x| (std::f32::consts::TAU * x).cos());
//! assert_eq!(kept(normal.clone())?, [74.3, 75.5]); // per cent of the magnitude
//!
//! // The same weights, but of every eight units the last four have a tenth of the size.
//! let size = Array2::from_shape_fn((1, 256), |(_, unit)| if unit % 8 < 4 { 1.0 } else { 0.1 });
//! let [before, after] = kept(normal * &size)?;
//! assert!(before < 75.0 && after > 85.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Gradual pruning
//!
//! A cubic [`Schedule`](crate::training::Schedule) prunes much at first, while there is much to choose from, and little at the end.
//! [`Allocation::Erk`](crate::training::Allocation::Erk) leaves more to small layers, and a bound keeps every layer alive. The run can
//! be stopped and resumed: the example `gradual` does it in two processes.
//!
//! ```
//! use prune::training::{Allocation, Bounds, Schedule, Session};
//! use prune::{L1Unstructured, ParameterStore, torch::Generator};
//!
//! # let generator = Generator::manual_seed(1);
//! # let mut net = ParameterStore::from_iter([
//! #     ("fc1.weight", generator.linear::<f32>(64, 32).0), ("fc2.weight", generator.linear::<f32>(32, 10).0),
//! # ]);
//! # let mut momenta: Vec<_> = net.iter().map(|(_, parameter)| parameter.value().clone()).collect();
//! let schedule = Schedule::cubic(0.0, 0.9)?.between(20, 185)?.every(10)?; // 185 is due, though 10 does not divide 165
//! let mut session = Session::new(&["fc1.weight", "fc2.weight"], schedule, |due| L1Unstructured::new(due.amount))
//!     .allocation(Allocation::Erk)
//!     .bounds(Bounds { min: 0.0, max: 0.98 });
//! while session.next_step() < 200 {
//!     // ... a step of the optimizer, through Parameter::update
//!     if let Some(pruned) = session.step(&mut net)? {
//!         println!("step {}: {:.1} %", pruned.step, 100.0 * pruned.level);
//!         for ((_, parameter), momentum) in net.iter().zip(&mut momenta) {
//!             parameter.zero_pruned(momentum.view_mut())?; // writes 0, so it also clears NaN
//!         }
//!         // prune::safetensors::save_session(&session, &net, "run.safetensors")?;
//!     }
//! }
//! assert_eq!(net["fc1.weight"].pruned() + net["fc2.weight"].pruned(), 2131); // 90 % of 2368
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! A criterion that needs gradients is an array of scores, which [`Session::step_with_scores`](crate::training::Session::step_with_scores)
//! asks for at due steps only: `session.step_with_scores(&mut net, |name, weight| score::taylor(weight.value().view(), gradients[name].view()))`.
//!
//! # Lottery tickets
//!
//! Train, prune, go back to the start, and train what is left. [`Snapshot::rewind`](crate::training::Snapshot::rewind) puts weights
//! back and keeps masks. The example `lottery` repeats a published experiment.
//!
//! ```
//! use prune::training::{Schedule, Session, Snapshot};
//! use prune::{L1Unstructured, Module, ParameterStore, torch::Generator};
//!
//! # let generator = Generator::manual_seed(1);
//! # let mut net = ParameterStore::from_iter([("fc1.weight", generator.linear::<f32>(64, 32).0)]);
//! # let train = |net: &mut ParameterStore<f32>| net["fc1.weight"].update(|mut weight| weight *= 1.5);
//! let start = Snapshot::of(&net); // or after some steps: late rewinding
//! // Step 0 is dense; each round then prunes 20 % of what is left.
//! let mut session = Session::new(&["fc1.weight"], Schedule::rounds(0.2, 5)?, |due| L1Unstructured::new(due.amount));
//! for _ in 0..=5 {
//!     session.step(&mut net)?;
//!     start.rewind(&mut net)?;
//!     train(&mut net); // with a new optimizer: the state of the old one belongs to weights that are gone
//! }
//! assert_eq!(net["fc1.weight"].pruned(), 1377); // 1 - 0.8^5 of 2048
//! start.restore(&mut net)?; // dense again, bit for bit
//! assert!(!prune::is_pruned(&net));
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! # Sensitivity
//!
//! [`sensitivity`](crate::training::sensitivity) prunes one layer at a time and evaluates the model, which is put back after each
//! evaluation, even if it fails. Layers that lose much deserve a lower sparsity: give them to [`prune_each`](crate::prune_each).
//!
//! ```
//! use prune::training::sensitivity;
//! use prune::{L1Unstructured, ParameterStore, PruneError, torch::Generator};
//!
//! # let generator = Generator::manual_seed(1);
//! # let mut net = ParameterStore::from_iter([
//! #     ("fc1.weight", generator.linear::<f32>(64, 32).0), ("fc2.weight", generator.linear::<f32>(32, 10).0),
//! # ]);
//! # let accuracy = |net: &ParameterStore<f32>| Ok::<_, PruneError>(net.iter().map(|(_, p)| f64::from(p.value().sum())).sum());
//! let names = ["fc1.weight", "fc2.weight"];
//! let rows = sensitivity(&mut net, &names, &[0.5, 0.7, 0.9], |due| L1Unstructured::new(due.amount), accuracy)?;
//! for row in &rows {
//!     println!("{:20} {:.2} {:.3}", row.name, row.sparsity, row.score);
//! }
//! assert_eq!(rows.len(), 6);
//! assert!(!prune::is_pruned(&net));
//! # Ok::<(), PruneError>(())
//! ```
//!
//! # Dynamic sparse training
//!
//! Pruning never revives an entry. [`exchange`](crate::training::exchange) does, and is a call of its own: it drops some kept entries
//! and lets as many others grow, at random (SET) or where the dense gradient is largest (RigL).
//!
//! ```
//! use prune::training::{Growth, cosine, exchange};
//! use prune::{Parameter, RandomUnstructured, torch::Generator};
//!
//! let mut weight = Parameter::new(Generator::manual_seed(1).linear::<f32>(64, 32).0);
//! weight.prune(RandomUnstructured::new(0.9, 7)?)?; // a random sparse start
//! # let gradient = weight.value().mapv(|x| x * x);
//! # let mut momentum = gradient.clone();
//! for step in (0..1000).step_by(100) {
//!     // ... 100 steps of the optimizer, and the gradient of the value, not masked
//!     let exchanged = exchange(&mut weight, cosine(0.3, step, 750), Growth::Scores(gradient.view()))?;
//!     ndarray::Zip::from(&mut momentum).and(&exchanged.grown.to_array()).for_each(|m, &grown| *m = if grown { 0.0 } else { *m });
//! }
//! assert_eq!(weight.pruned(), 1843); // as before
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! # Call by call
//!
//! | `torch.ao.pruning` | TensorFlow Model Optimization | jaxpruner | here |
//! |---|---|---|---|
//! | `CubicSL(s, init_sl, init_t, delta_t, total_t)` | `PolynomialDecay(s0, sf, begin, end)` | `PolynomialSchedule` | [`Schedule::cubic(s0, sf)?.between(begin, end)?.every(n)?`](crate::training::Schedule) |
//! | a level without a scheduler | `ConstantSparsity(sf, begin)` | `OneShotSchedule(step)` | [`Schedule::once(step, sf)?`](crate::training::Schedule::once) |
//! | `LambdaSL` | | | [`Schedule::list(&[(step, level), ..])?`](crate::training::Schedule::list) |
//! | `sparsifier.prepare(model, config)` | `prune_low_magnitude(model, schedule)` | `create_updater_from_config(config)` | [`Session::new(&names, schedule, method)`](crate::training::Session::new) |
//! | `sparsifier.step(); scheduler.step()` | the callback `UpdatePruningStep()` | `updater.wrap_optax(optimizer)` | [`session.step(&mut net)?`](crate::training::Session::step) |
//! | `sparsifier.squash_mask()` | `strip_pruning(model)` | `updater.post_gradient_update(params, state)` | [`remove_all(&mut net)`](crate::remove_all) |
//! | `sparsifier.state_dict()` and the model's | the variables of the wrapped layers | the state of the optimizer | `prune::safetensors::{save_session, load_session}` |
//! | `sparse_block_shape=(1, 4), zeros_per_block=2` | `sparsity_m_by_n=(2, 4)` | `NByM(2, 4)` | [`NM::new(2, 4, -1)?`](crate::NM) |
//! | `sparse_block_shape=(4, 4)` | `block_size=(4, 4)` | `Block((4, 4))` | [`Block::new(amount, &[4, 4], 2)?`](crate::Block) |
//! | | | `sparsity_distributions.erk` | [`Allocation::Erk`](crate::training::Allocation::Erk) |
//! | | | `GlobalMagnitudePruning` | [`Allocation::Global`](crate::training::Allocation::Global) |
//! | | | `SaliencyPruning` | [`step_with_scores`](crate::training::Session::step_with_scores) |
//! | | | `SET`, `RigL` | [`exchange`](crate::training::exchange) |
//!
//! In `zeros_per_block` and `sparsity_m_by_n` the first number counts zeros; in N:M, as here, it counts what is kept.
//!
//! # What goes wrong elsewhere
//!
//! Seen in PyTorch 2.15, and read in the sources of the others:
//!
//! | there | here |
//! |---|---|
//! | The final sparsity is never reached if the frequency does not divide the steps (TensorFlow, jaxpruner) | The end is always due |
//! | `delta_t` of `CubicSL` only scales time: the level changes at every step | [`every`](crate::training::Schedule::every) is a frequency |
//! | A lower level, or an equal score, revives pruned entries (`torch.ao`) | Only [`exchange`](crate::training::exchange) revives |
//! | A scheduler built after loading takes the current level for the final one; the next step prunes nothing (`torch.ao`) | One state, one call to load it; a file of another session is an error |
//! | The masks are not in the state dict of the model (`torch.ao`) | Masks, weights and the counter are in one file |
//! | A share of what is left is rounded in every round, and drifts | Counts are cumulative, of the whole parameter |
//! | Ties keep more than asked (TensorFlow), or prune one entry less | Counts are exact; of equal scores the lowest index is pruned first |
//! | NaN under a mask of 0 is NaN for ever | [`zero_pruned`](crate::Parameter::zero_pruned) writes 0 |
