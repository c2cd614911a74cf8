//! Every call of `torch.nn.utils.prune` in Rust, and every difference.
//!
//! Functions have PyTorch's names and order of arguments, so that most calls translate word by word. The *module* is
//! different. PyTorch attaches `weight_orig`, `weight_mask` and a hook to a module when it prunes. Here, a tensor that may
//! be pruned is a [`Parameter`] from the start, and a [`Module`] is a type that can name its parameters.
//!
//! - [The pruned parameter](#the-pruned-parameter)
//! - [Call by call](#call-by-call)
//! - [Global pruning](#global-pruning)
//! - [Custom methods](#custom-methods)
//! - [Training a pruned model](#training-a-pruned-model)
//! - [Reproducing a PyTorch run](#reproducing-a-pytorch-run)
//! - [Parity](#parity)
//! - [Differences](#differences)
//! - [Surprising similarities](#surprising-similarities)
//!
//! # The pruned parameter
//!
//! | PyTorch | here |
//! |---|---|
//! | `module.weight`, in `forward` | [`weight.value()`](crate::Parameter::value) |
//! | `module.weight_orig` | [`weight.orig()`](crate::Parameter::orig) |
//! | `module.weight_mask` | [`weight.mask()`](crate::Parameter::mask), of `bool`: true = kept |
//! | the pruning hook, with its container | [`weight.methods()`](crate::Parameter::methods) |
//! | `optimizer.step()` on `weight_orig` | [`weight.update(\|orig\| ...)`](crate::Parameter::update) |
//! | `weight_orig.grad` | your own gradient, through [`weight.mask_gradient(...)`](crate::Parameter::mask_gradient) |
//! | `copy.deepcopy(module)` | `module.clone()` |
//! | `module.state_dict()`, in a safetensors file | `prune::safetensors::save_file`, with the feature [`safetensors`](crate::doc::features#safetensors) |
//!
//! Parameters are fields of your structs, named with [`named_parameters!`](crate::named_parameters), or entries of a
//! [`ParameterStore`], an ordered map from names to parameters that needs no struct. A name is a path: `"weight"` in a
//! layer, `"conv1.weight"` in a model of layers.
//!
//! ```
//! use ndarray::array;
//! use prune::{Mask, Module, Parameter};
//!
//! struct Linear {
//!     weight: Parameter<f32>,
//!     bias: Option<Parameter<f32>>, // bias=False is None
//! }
//!
//! impl Module for Linear {
//!     type Elem = f32;
//!     prune::named_parameters!(weight, bias);
//! }
//!
//! let weight = array![[0.9, -0.1, 0.4], [-0.2, 0.05, -0.8]];
//! let mut fc = Linear { weight: weight.clone().into(), bias: None };
//! prune::l1_unstructured(&mut fc, "weight", 0.5)?;
//!
//! assert_eq!(fc.weight.value(), &array![[0.9, -0.0, 0.4], [-0.0, 0.0, -0.8]].into_dyn()); // fc.weight
//! assert_eq!(fc.weight.orig(), &weight.into_dyn()); // fc.weight_orig
//! let mask = Mask::from(array![[true, false, true], [false, false, true]]);
//! assert_eq!(fc.weight.mask(), Some(&mask)); // fc.weight_mask
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! # Call by call
//!
//! Each function returns a `Result` instead of the module. On an `Err` every parameter is bitwise unchanged. The left
//! column assumes `import torch.nn.utils.prune as prune`:
//!
//! | PyTorch | here |
//! |---|---|
//! | `prune.identity(m, "weight")` | [`prune::identity(&mut m, "weight")`](crate::identity) |
//! | `prune.random_unstructured(m, "weight", amount=0.5)` | [`prune::random_unstructured(&mut m, "weight", 0.5, source)`](crate::random_unstructured) |
//! | `prune.l1_unstructured(m, "weight", amount=3)` | [`prune::l1_unstructured(&mut m, "weight", 3)`](crate::l1_unstructured) |
//! | `prune.random_structured(m, "weight", amount=1, dim=0)` | [`prune::random_structured(&mut m, "weight", 1, 0, source)`](crate::random_structured) |
//! | `prune.ln_structured(m, "weight", amount=1, n=2, dim=0)` | [`prune::ln_structured(&mut m, "weight", 1, 2, 0)`](crate::ln_structured) |
//! | `n=float("-inf")`, `n="fro"`, `n="nuc"` | `f64::NEG_INFINITY`, [`Norm::Frobenius`](crate::Norm::Frobenius), [`Norm::Nuclear`](crate::Norm::Nuclear) |
//! | `prune.global_unstructured([(a, "weight"), ...], pruning_method=..., amount=0.2)` | [`prune::global_unstructured([&mut a.weight, ...], method)`](crate::global_unstructured) |
//! | `prune.custom_from_mask(m, "weight", mask)` | [`prune::custom_from_mask(&mut m, "weight", mask)`](crate::custom_from_mask) |
//! | `prune.remove(m, "weight")` | [`prune::remove(&mut m, "weight")`](crate::remove) |
//! | `prune.is_pruned(m)` | [`prune::is_pruned(&m)`](crate::is_pruned) |
//! | `Method.apply(m, "weight", ...)` | [`prune::apply(&mut m, "weight", Method::new(...)?)`](crate::apply), or [`m.weight.prune(...)`](crate::Parameter::prune) |
//! | `importance_scores=scores` | [`prune::apply_with_scores(&mut m, "weight", method, scores.view())`](crate::apply_with_scores) |
//! | `method.prune(t, default_mask, importance_scores)` | [`method.prune(t.view(), default_mask, scores)`](crate::PruningMethod::prune) |
//! | `method.compute_mask(t, default_mask)` | [`method.compute_mask(t.view(), default_mask.view())`](crate::PruningMethod::compute_mask) |
//! | `PruningContainer.add_pruning_method(method)` | [`container.push(method)`](crate::PruningContainer::push) |
//!
//! **Amounts** mean the same as in PyTorch: an integer is a number of entries or channels, a float is a fraction of them, so
//! `1` is one and `1.0` is all. Both refer to the remaining entries or channels, and a fraction is rounded half to even. A
//! negative integer does not compile. Neither does an `f32`, because `0.1_f32` is not the fraction `0.1`.
//!
//! ```
//! # use ndarray::Array1;
//! # use prune::ParameterStore;
//! # let numbers: Array1<f64> = (1..=10).map(f64::from).collect();
//! # let mut m = ParameterStore::from_iter([("weight", numbers)]); // 1 to 10
//! let mut pruned = Vec::new();
//! for _ in 0..4 {
//!     prune::l1_unstructured(&mut m, "weight", 0.5)?; // half of the remaining entries
//!     pruned.push(m["weight"].value().iter().filter(|&&x| x == 0.0).count());
//! }
//! assert_eq!(pruned, [5, 7, 9, 9]);
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! **Randomness** is an argument, because there is no global generator: a seed, any [`rand::Rng`], or PyTorch's
//! [`torch::Generator`](crate::torch::Generator). Each of them converts to a [`RandomSource`](crate::RandomSource).
//!
//! ```
//! # use ndarray::Array2;
//! # use prune::ParameterStore;
//! # let mut m = ParameterStore::from_iter([("weight", Array2::<f32>::ones((8, 8)))]);
//! # let mut rng = rand::rng();
//! prune::random_unstructured(&mut m, "weight", 0.5, 42)?; // the same mask every time
//! prune::random_unstructured(&mut m, "weight", 0.5, &mut rng)?; // another one every time
//! let generator = prune::torch::Generator::manual_seed(888);
//! prune::random_unstructured(&mut m, "weight", 0.5, &generator)?; // PyTorch's mask
//! prune::random_structured(&mut m, "weight", 1, 0, &generator)?;
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! **Structured** pruning takes the axis after the norm, as in PyTorch, and counts negative axes from the last one.
//!
//! ```
//! # use ndarray::array;
//! # use prune::ParameterStore;
//! let mut m = ParameterStore::from_iter([("weight", array![[3.0, 4.0], [0.0, -1.0], [2.0, 2.0]])]);
//! prune::ln_structured(&mut m, "weight", 1, 2, 0)?; // the row with the smallest Euclidean norm
//! assert_eq!(m["weight"].value(), &array![[3.0, 4.0], [0.0, -0.0], [2.0, 2.0]].into_dyn());
//! prune::ln_structured(&mut m, "weight", 0.5, f64::INFINITY, -1)?; // half of the columns, by their largest entry
//! assert_eq!(m["weight"].value(), &array![[0.0, 4.0], [0.0, -0.0], [0.0, 2.0]].into_dyn());
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! **Scores** have the shape and the element type of the parameter, and any layout. Only methods that rank use them: the
//! random methods, `Identity` and `CustomFromMask` do not.
//!
//! ```
//! # use ndarray::array;
//! # use prune::{L1Unstructured, ParameterStore};
//! # let mut m = ParameterStore::from_iter([("weight", array![1.0_f32, 2.0, 3.0])]);
//! let scores = array![9.0, 0.1, 5.0];
//! prune::apply_with_scores(&mut m, "weight", L1Unstructured::new(1)?, scores.view())?;
//! assert_eq!(m["weight"].value(), &array![1.0, 0.0, 3.0].into_dyn());
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! **Custom masks** are arrays or views of `bool`, or of numbers that are all 0 or 1. They are multiplied with the existing
//! mask, and the history lists all methods.
//!
//! ```
//! # use ndarray::array;
//! # use prune::ParameterStore;
//! # let mut m = ParameterStore::from_iter([("weight", array![1.0_f32, 2.0, 3.0])]);
//! prune::custom_from_mask(&mut m, "weight", array![1, 0, 1])?;
//! prune::custom_from_mask(&mut m, "weight", array![true, true, false].view())?;
//! assert_eq!(m["weight"].value(), &array![1.0, 0.0, 0.0].into_dyn());
//! assert_eq!(m["weight"].methods().len(), 2);
//!
//! prune::remove(&mut m, "weight")?; // keeps the zeros, drops mask and history
//! assert!(!prune::is_pruned(&m) && m["weight"].methods().is_empty());
//! assert_eq!(m["weight"].value(), &array![1.0, 0.0, 0.0].into_dyn());
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! # Global pruning
//!
//! The method is a value that holds its amount, instead of a class with keyword arguments. Scores are passed together with
//! their parameter. Pass parameters as fields or by name. If only some of them have scores, collect
//! [`Target`](crate::Target)s.
//!
//! ```
//! use ndarray::array;
//! use prune::{L1Unstructured, ParameterStore, Target};
//!
//! let mut net = ParameterStore::from_iter([("a", array![5.0_f32, 1.0, 3.0]), ("b", array![2.0, 4.0, 0.5])]);
//! prune::global_unstructured(prune::parameters_mut(&mut net, &["a", "b"])?, L1Unstructured::new(0.5)?)?;
//! assert_eq!(net["a"].value(), &array![5.0, 0.0, 3.0].into_dyn());
//! assert_eq!(net["b"].value(), &array![0.0, 4.0, 0.0].into_dyn());
//!
//! // importance_scores={(net, "a"): scores}: the other parameter is ranked by its values.
//! let scores = array![0.25, 9.0, 9.0];
//! let mut parameters = prune::parameters_mut(&mut net, &["a", "b"])?.into_iter();
//! let (a, b) = (parameters.next().unwrap(), parameters.next().unwrap());
//! prune::global_unstructured([Target::from((a, scores.view())), Target::from(b)], L1Unstructured::new(1)?)?;
//! assert_eq!(net["a"].value(), &array![0.0, 0.0, 3.0].into_dyn());
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! # Custom methods
//!
//! A subclass of `BasePruningMethod` becomes a type with two impls: [`Describe`](crate::Describe) for its name and its
//! `PRUNING_TYPE`, and [`PruningMethod`](crate::PruningMethod) for `compute_mask`. It is accepted wherever a built-in method
//! is. As in PyTorch, the method is given the whole tensor when a parameter is first pruned. Later prunings give it the
//! remaining entries or channels, by its type.
//!
//! ```
//! use ndarray::{ArrayD, ArrayViewD, array};
//! use prune::{Describe, Element, ParameterStore, PruneError, PruningMethod, PruningType};
//!
//! #[derive(Debug, Clone)]
//! struct EveryOther;
//!
//! impl Describe for EveryOther {
//!     fn name(&self) -> &str {
//!         "EveryOther"
//!     }
//!     fn pruning_type(&self) -> PruningType {
//!         PruningType::Unstructured
//!     }
//! }
//!
//! impl<A: Element> PruningMethod<A> for EveryOther {
//!     fn compute_mask(&self, _: ArrayViewD<'_, A>, kept: ArrayViewD<'_, bool>) -> Result<ArrayD<bool>, PruneError> {
//!         let mut mask = kept.to_owned();
//!         mask.iter_mut().step_by(2).for_each(|kept| *kept = false); // mask.view(-1)[::2] = 0
//!         Ok(mask)
//!     }
//! }
//!
//! let mut m = ParameterStore::from_iter([("weight", array![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])]);
//! prune::apply(&mut m, "weight", EveryOther)?;
//! assert_eq!(m["weight"].value(), &array![0.0, 2.0, 0.0, 4.0, 0.0, 6.0].into_dyn());
//! prune::apply(&mut m, "weight", EveryOther)?; // sees 2, 4, 6
//! assert_eq!(m["weight"].value(), &array![0.0, 0.0, 0.0, 4.0, 0.0, 0.0].into_dyn());
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! # Training a pruned model
//!
//! There is no autograd, so you call two functions for the work of PyTorch's hook and graph. [`Parameter::mask_gradient`]
//! converts the gradient with respect to `value` to the one with respect to `orig`, and the optimizer changes `orig` within
//! [`Parameter::update`]. Momentum and weight decay may change pruned entries of `orig`, as in PyTorch; in `value` they
//! remain zero.
//!
//! ```
//! use ndarray::{ArrayD, array};
//! use prune::Parameter;
//!
//! fn sgd_step(
//!     weight: &mut Parameter<f32>,
//!     velocity: &mut ArrayD<f32>,
//!     mut gradient: ArrayD<f32>,
//! ) -> Result<(), prune::PruneError> {
//!     weight.mask_gradient(gradient.view_mut())?;
//!     weight.update(|mut orig| {
//!         gradient.scaled_add(0.01, &orig); // weight decay
//!         *velocity *= 0.9; // momentum
//!         *velocity += &gradient;
//!         orig.scaled_add(-0.1, velocity);
//!     });
//!     Ok(())
//! }
//!
//! let mut weight = Parameter::new(array![0.5, -0.1, 2.0]);
//! let mut velocity = array![0.0, 7.0, 0.0].into_dyn(); // from training before
//! weight.prune(prune::L1Unstructured::new(1)?)?;
//! sgd_step(&mut weight, &mut velocity, array![1.0, 1.0, 1.0].into_dyn())?;
//! assert_ne!(weight.orig()[1], -0.1);
//! assert_eq!(weight.value()[1], 0.0);
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! After [`remove`](crate::remove) a parameter has no mask, so that training can change its zeros. To continue training with
//! the zeros, prune again with [`custom_from_mask`](crate::custom_from_mask).
//!
//! # Reproducing a PyTorch run
//!
//! [`torch::Generator`](crate::torch::Generator) is PyTorch's CPU generator. To get the same weights and masks, create the
//! layers and prune in the order of the Python program, with one generator:
//!
//! ```python
//! torch.manual_seed(888)
//! conv = nn.Conv2d(1, 1, 3)
//! prune.random_unstructured(conv, "weight", amount=0.5)
//! conv.weight_mask  # [[[[0., 0., 0.], [1., 1., 1.], [1., 1., 0.]]]]
//! prune.random_structured(conv, "weight", amount=1, dim=2)
//! conv.weight_mask  # [[[[0., 0., 0.], [1., 1., 1.], [0., 0., 0.]]]]
//! ```
//!
//! ```
//! use ndarray::array;
//! use prune::{Mask, ParameterStore, torch::Generator};
//!
//! let generator = Generator::manual_seed(888);
//! let (weight, bias) = generator.conv::<f32>(1, 1, &[3, 3]);
//! let mut conv = ParameterStore::from_iter([("weight", weight), ("bias", bias.into_dyn())]);
//!
//! prune::random_unstructured(&mut conv, "weight", 0.5, &generator)?;
//! let mask = array![[[[false, false, false], [true, true, true], [true, true, false]]]];
//! assert_eq!(conv["weight"].mask(), Some(&Mask::from(mask)));
//!
//! prune::random_structured(&mut conv, "weight", 1, 2, &generator)?;
//! let mask = array![[[[false, false, false], [true, true, true], [false, false, false]]]];
//! assert_eq!(conv["weight"].mask(), Some(&Mask::from(mask)));
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! Methods that rank by magnitude or by norm need no generator. They prune the same entries as PyTorch, unless a tie
//! straddles the threshold. To make PyTorch's choice there too, set [`TieBreak::PyTorch`](crate::TieBreak::PyTorch) on the
//! method. With a generator as the source, it is already set.
//!
//! ```
//! use prune::{L1Unstructured, Parameter, TieBreak};
//!
//! let pruned = |method: L1Unstructured| -> Result<Vec<f32>, prune::PruneError> {
//!     let mut weight = Parameter::new(ndarray::Array1::<f32>::ones(4));
//!     weight.prune(method)?;
//!     Ok(weight.value().iter().copied().collect())
//! };
//! assert_eq!(pruned(L1Unstructured::new(1)?)?, [0.0, 1.0, 1.0, 1.0]);
//! assert_eq!(pruned(L1Unstructured::new(1)?.tie_break(TieBreak::PyTorch))?, [1.0, 1.0, 0.0, 1.0]);
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! # `torch.ao.pruning`
//!
//! PyTorch's [sparsifiers](https://docs.pytorch.org/docs/stable/generated/torch.ao.pruning.WeightNormSparsifier.html) prune blocks
//! and patterns. Their masks were recorded, and are the same here for `f32` and `f64`, except where equal scores straddle a
//! boundary.
//!
//! | in PyTorch | here |
//! |---|---|
//! | `WeightNormSparsifier(1.0, (1, 4), 2)` | [`NM::new(2, 4, -1)`](crate::NM): n counts what is kept, `zeros_per_block` what is not |
//! | `WeightNormSparsifier(1.0, (4, 1), 2)` | `NM::new(2, 4, 0)` |
//! | `WeightNormSparsifier(level, (1, 4), 2)` | `NM::new(2, 4, -1)?.amount(level)`: the level is a share of groups |
//! | `WeightNormSparsifier(level, (4, 4))` | [`Block::new(level, &[4, 4], 2)`](crate::Block) |
//! | `WeightNormSparsifier(level, (1, 1), norm=1)` | [`L1Unstructured::new(level)`](crate::L1Unstructured) |
//! | `norm=` a function | an array of scores; [`Lowest`](crate::Lowest) ranks signs too |
//! | `FPGMPruner(level)` | [`Fpgm::new(level, 0)`](crate::Fpgm) |
//!
//! | in PyTorch | here |
//! |---|---|
//! | Below a level of 1, at least one block stays. | A fraction rounds half to even, up to all blocks. |
//! | A pattern with a short group at an edge gives a mask of another shape. | What is missing counts as zeros. |
//! | Convolutions and vectors are errors; `prepare` without a configuration ignores them silently. | Any shape, along any axis. |
//! | A half-precision weight becomes `f32`, and the layer fails. | Every dtype stays what it is. |
//! | Squares and means are rounded to half precision, so that they overflow, vanish or tie. | They are taken in `f32`. Entries of a group are ranked by magnitude. |
//! | A lower level in a later step revives entries. | Pruning never revives. |
//!
//! # Parity
//!
//! Parity is with **PyTorch 2.15 or newer on the CPU of an x86-64 Linux machine with AVX2**; it was checked against
//! 2.15.0. These are the same, bit for bit:
//!
//! - `value`, `orig` and mask after every method and any sequence of methods, in `f32`, `f64`, `f16` and `bf16`, including
//!   signed zeros, except for the rows of [Differences](#differences). A NaN appears wherever PyTorch has one; its bit
//!   pattern is not promised.
//! - the counts that amounts come to;
//! - the norms that rank channels, to the last bit, with the two exceptions below;
//! - with a [`torch::Generator`](crate::torch::Generator): draws, masks, default initial weights of linear and
//!   convolutional layers, and the place in the stream after each call;
//! - with [`TieBreak::PyTorch`](crate::TieBreak::PyTorch): the choice among equal scores.
//!
//! All results are the same on every platform that this crate runs on, with two exceptions among the norms. For orders
//! other than 0, 1, 2 and ±infinity, powers come from the platform's mathematical library, as in PyTorch. The nuclear
//! norm uses another singular value decomposition than PyTorch, so its last bits differ.
//!
//! The promise excludes the cases in which PyTorch itself gives other results: older versions (draws of `f16` and
//! `bf16`), GPUs (all draws), macOS and Windows (ties), CPUs without AVX2 (last bits of initial weights and of some
//! `f32` Euclidean norms). [`prune::torch`](crate::torch#guarantees) has the table. PyTorch with AVX-512 kernels was not
//! checked.
//!
//! # Differences
//!
//! Each row is a pitfall of `torch.nn.utils.prune` 2.15. *Fixed* is the result that PyTorch's documentation promises;
//! *rejected* is an error that changes nothing.
//!
//! | in PyTorch | here |
//! |---|---|
//! | A second pruning that fails drops the hook: the mask stops working and cannot be removed. A first one that fails moves the parameter to the end of the order. | Fixed. Everything is computed first; on an error every parameter is bitwise as it was, history and order too. |
//! | A global call that fails half way leaves some parameters pruned. | Fixed. It prunes all parameters or none. |
//! | By default the attribute `weight` is ranked, which is stale after an optimizer step until the next forward pass. | Fixed. The current `orig * mask` is ranked, as PyTorch has it after a forward pass. |
//! | `module.weight` itself is stale until then. | Fixed. [`value`](crate::Parameter::value) never is: `orig` is only changed within [`update`](crate::Parameter::update). |
//! | An amount of NaN is accepted, and fails later with another error. | Rejected when the method is made. |
//! | An amount is a count or a fraction by its Python type; `True` sometimes works as 1. | An amount is a count or a fraction by its Rust type: [`Amount::Count`](crate::Amount::Count) and [`Amount::Fraction`](crate::Amount::Fraction). Range checks and rounding are PyTorch's. |
//! | The message says that an amount should be smaller than the size, though it may be equal. | The condition is the same; the message says "exceeds". |
//! | Structured pruning of a vector is an error as the first pruning, and passes with a wrong result as a later one. | Always rejected. |
//! | A `dim` out of range gives different errors on first and later prunings. | One error. |
//! | `n="nuc"` is correct for 3-dimensional tensors only; for others it prunes the wrong channels, or fails. | [`Norm::Nuclear`](crate::Norm::Nuclear) is defined if every channel is a matrix: for 3-dimensional tensors of `f32` and `f64`. Rejected for others, for every amount. |
//! | `n=float("nan")` is accepted, and all norms are NaN. | Rejected when the method is made. |
//! | A bad `n` fails even for an amount of 0, because the norms are computed anyway. | `n` is checked when the method is made, and against the tensor for every amount; no norms are computed for 0. |
//! | The dtype of the mask follows that of the scores: integer scores make an integer mask. | Fixed. A mask is boolean. |
//! | A custom mask may hold any numbers. They scale the weights, and scale them again in a later global pruning. | Rejected: a numeric mask may hold only 0 and 1. |
//! | `RandomStructured` prunes more channels than requested if draws are equal (about one call in 2^25 per channel). | The same with PyTorch's generator, for parity. Any other source prunes exactly the requested number. |
//! | The choice among equal scores depends on the selection of the C++ library. | By default the lowest row-major index, or the lowest channel, is pruned first, on every platform. PyTorch's choice is an option: [`TieBreak`](crate::TieBreak). |
//! | Global pruning checks no shapes of scores, only their total length, and ignores scores of unknown parameters. | Scores of another shape are rejected. Scores are passed with their parameter, so that none can be unknown. |
//! | A parameter listed twice in a global call counts twice. | Rejected: by the borrow checker, or by [`parameters_mut`](crate::parameters_mut) if it is named twice. |
//! | A global call without parameters fails within `torch.cat`. | Rejected with a message that says so. |
//! | Pruning `weight` overwrites any other `weight_orig` or `weight_mask`. | Rejected if the parameter is pruned by name. (Global pruning and [`Parameter::prune`](crate::Parameter::prune) know no names.) |
//! | A container may be without a name, hold `None`, or hold containers. | Not possible: a [`PruningContainer`](crate::PruningContainer) is not itself a method. An empty one is an error. |
//! | An unknown `PRUNING_TYPE` is noticed on the second pruning. | Not possible: [`PruningType`](crate::PruningType) is an enum. |
//! | Pruning and removing move a parameter to the end of the module's order. | The order never changes. |
//! | Unstructured and global pruning of transposed or channels-last tensors fail. | Fixed. Any layout works, and is read in row-major order. |
//! | `copy.deepcopy` of a pruned module fails. | Fixed. `clone()` works, and the copy is independent. |
//! | For channels without entries, `n=inf` and `n<0` fail within `torch.linalg`. | Rejected with a message that says so, for every amount. |
//! | Scores may have another dtype than the parameter, and a global call may mix dtypes, which are promoted. | Not possible: a call has one element type. Convert first. |
//!
//! Two more differences follow from ownership. A parameter cannot belong to two modules, so tied weights cannot have two
//! masks. Only parameters can be pruned; in PyTorch, pruning a buffer fails too.
//!
//! # Surprising similarities
//!
//! - **A pruned NaN or infinity is NaN**, because 0 times it is NaN. Its channel then has a NaN norm and is pruned last. A
//!   pruned -2 is -0.0.
//! - **NaN ranks highest**, in values, scores and norms, so it is pruned last.
//! - **Half-precision norms are rounded to half precision before they are ranked**, though they are summed in `f32`. They
//!   are often equal, and [`TieBreak`](crate::TieBreak) decides.
//! - **In later structured prunings the scores of pruned entries count**, if scores are given and single entries of a
//!   channel are pruned. Without scores those entries are ranked by their values, which are zeros.
//! - **The first pruning gives a method the whole tensor, later prunings the remaining entries**: a vector for an
//!   unstructured method. A custom method has to work with both.
//! - **After global pruning, or loading a state dict, the history says `CustomFromMask`** for any method. PyTorch stores one
//!   more full mask for every round. Here the history stores only the name, and the parameter has the only mask. (The entry
//!   of [`custom_from_mask`](crate::custom_from_mask) does hold its mask.)
//! - **[`PruningMethod::prune`](crate::PruningMethod::prune) and `compute_mask` count entries that `default_mask` has
//!   pruned.** Only a [`PruningContainer`](crate::PruningContainer), and so every function that prunes a parameter,
//!   excludes them.
//!
//! [`Module`]: crate::Module
//! [`Parameter`]: crate::Parameter
//! [`Parameter::mask_gradient`]: crate::Parameter::mask_gradient
//! [`Parameter::update`]: crate::Parameter::update
//! [`ParameterStore`]: crate::ParameterStore
