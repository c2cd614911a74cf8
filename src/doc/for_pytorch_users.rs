//! Every call of `torch.nn.utils.prune` in Rust, and everything that differs.
//!
//! The functions have the names and the order of arguments that they have in PyTorch, so most calls are translated word
//! by word. What changes is what a *module* is: PyTorch attaches `weight_orig`, `weight_mask` and a hook to a module
//! when it is pruned; here a tensor that may be pruned is a [`Parameter`] from the start, and a [`Module`] is whatever
//! can name its parameters.
//!
//! - [The pruned parameter](#the-pruned-parameter)
//! - [Call by call](#call-by-call)
//! - [Global pruning](#global-pruning)
//! - [A method of your own](#a-method-of-your-own)
//! - [Training a pruned model](#training-a-pruned-model)
//! - [Reproducing a PyTorch run](#reproducing-a-pytorch-run)
//! - [What parity is promised](#what-parity-is-promised)
//! - [What differs](#what-differs)
//! - [What is the same, though it may surprise](#what-is-the-same-though-it-may-surprise)
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
//! Parameters are fields of your own structs, with [`named_parameters!`](crate::named_parameters) to name them, or
//! entries of a [`ParameterStore`], which is an ordered map of names and needs no struct. A name is a path: `"weight"`
//! in a layer, `"conv1.weight"` in a model of layers.
//!
//! ```
//! use ndarray::array;
//! use prune::{Module, Parameter};
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
//! assert_eq!(fc.weight.mask(), Some(&array![[true, false, true], [false, false, true]].into_dyn())); // fc.weight_mask
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! # Call by call
//!
//! Each function returns a `Result` and not the module. On an `Err` every parameter is bitwise as it was. With `import
//! torch.nn.utils.prune as prune` on the left:
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
//! **Amounts** are what they are in PyTorch: an integer is a number of entries or channels, a float a share of them, so
//! `1` is one and `1.0` is all. Both count only what is still there, and a share is rounded half to even. A negative
//! integer does not compile, and neither does an `f32`, since `0.1_f32` is not the share that `0.1` is.
//!
//! ```
//! # use ndarray::Array1;
//! # use prune::ParameterStore;
//! # let numbers: Array1<f64> = (1..=10).map(f64::from).collect();
//! # let mut m = ParameterStore::from_iter([("weight", numbers)]); // 1 to 10
//! let mut pruned = Vec::new();
//! for _ in 0..4 {
//!     prune::l1_unstructured(&mut m, "weight", 0.5)?; // the half of what is left
//!     pruned.push(m["weight"].value().iter().filter(|&&x| x == 0.0).count());
//! }
//! assert_eq!(pruned, [5, 7, 9, 9]);
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! **Randomness** is an argument, because there is no global generator: a seed, any [`rand::Rng`], or PyTorch's own
//! [`torch::Generator`](crate::torch::Generator). A [`RandomSource`](crate::RandomSource) is made from each of them.
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
//! prune::ln_structured(&mut m, "weight", 1, 2, 0)?; // the row of the smallest Euclidean norm
//! assert_eq!(m["weight"].value(), &array![[3.0, 4.0], [0.0, -0.0], [2.0, 2.0]].into_dyn());
//! prune::ln_structured(&mut m, "weight", 0.5, f64::INFINITY, -1)?; // half of the columns, by their largest entry
//! assert_eq!(m["weight"].value(), &array![[0.0, 4.0], [0.0, -0.0], [0.0, 2.0]].into_dyn());
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! **Scores** have the shape and the element type of the parameter and any layout. Only a method that ranks something
//! makes use of them: the random ones, `Identity` and `CustomFromMask` do not.
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
//! **Masks** of your own are arrays or views, of `bool` or of numbers that are all 0 or 1. They multiply with the mask
//! that is there already, and the history says which methods there were.
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
//! prune::remove(&mut m, "weight")?; // the zeros stay, mask and history go
//! assert!(!prune::is_pruned(&m) && m["weight"].methods().is_empty());
//! assert_eq!(m["weight"].value(), &array![1.0, 0.0, 0.0].into_dyn());
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! # Global pruning
//!
//! The method is a value with its amount in it, not a class and keyword arguments, and each parameter brings its own
//! scores, if it has any. The parameters come as fields or by name; where some have scores and others do not, collect
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
//! # A method of your own
//!
//! A subclass of `BasePruningMethod` becomes a type with two impls: [`Describe`](crate::Describe), for its name and its
//! `PRUNING_TYPE`, and [`PruningMethod`](crate::PruningMethod), for `compute_mask`. Everything that takes one of the
//! crate's methods takes it too. As in PyTorch, the first pruning of a parameter hands it the whole tensor and later
//! ones what is still there, by its type.
//!
//! ```
//! use ndarray::{ArrayViewD, array};
//! use prune::{Describe, Element, Mask, ParameterStore, PruneError, PruningMethod, PruningType};
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
//!     fn compute_mask(&self, _: ArrayViewD<'_, A>, default_mask: ArrayViewD<'_, bool>) -> Result<Mask, PruneError> {
//!         let mut mask = default_mask.to_owned();
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
//! There is no autograd here, so the two things that PyTorch's hook and graph do are calls. The gradient with respect
//! to `value` becomes the one with respect to `orig` by [`Parameter::mask_gradient`], and the optimizer changes `orig`
//! within [`Parameter::update`]. Momentum and weight decay may move the entries of `orig` that are under the mask, as
//! they do in PyTorch; `value` never shows it.
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
//! After [`remove`](crate::remove) a parameter has no mask, and nothing holds its zeros in place any more. To train on
//! with them, prune again with [`custom_from_mask`](crate::custom_from_mask).
//!
//! # Reproducing a PyTorch run
//!
//! [`torch::Generator`](crate::torch::Generator) is PyTorch's CPU generator. Make the layers and prune in the order of
//! the Python program, from one handle, and weights and masks are the same:
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
//! use prune::{ParameterStore, torch::Generator};
//!
//! let generator = Generator::manual_seed(888);
//! let (weight, bias) = generator.conv::<f32>(1, 1, &[3, 3]);
//! let mut conv = ParameterStore::from_iter([("weight", weight), ("bias", bias.into_dyn())]);
//!
//! prune::random_unstructured(&mut conv, "weight", 0.5, &generator)?;
//! let mask = array![[[[false, false, false], [true, true, true], [true, true, false]]]];
//! assert_eq!(conv["weight"].mask(), Some(&mask.into_dyn()));
//!
//! prune::random_structured(&mut conv, "weight", 1, 2, &generator)?;
//! let mask = array![[[[false, false, false], [true, true, true], [false, false, false]]]];
//! assert_eq!(conv["weight"].mask(), Some(&mask.into_dyn()));
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! Methods that rank by magnitude or by norm need no generator. They choose what PyTorch chooses, unless equal scores
//! lie on both sides of the cut: then set [`TieBreak::PyTorch`](crate::TieBreak::PyTorch) on the method to make the
//! same choice there too. With a generator as the source it is set already.
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
//! # What parity is promised
//!
//! Parity is with **PyTorch 2.15 or newer on the CPU of an x86-64 Linux machine with AVX2**; it was checked against
//! 2.15.0. Bit for bit the same are:
//!
//! - `value`, `orig` and mask after every method and any sequence of them, in `f32`, `f64`, `f16` and `bf16`, signed
//!   zeros included, but for the rows of [What differs](#what-differs). A NaN comes out where PyTorch has one; which of
//!   the many bit patterns of NaN it is, is not promised.
//! - the counts that amounts come to;
//! - the norms that rank channels, to the last bit, with two exceptions below;
//! - with a [`torch::Generator`](crate::torch::Generator): draws, masks, default initial weights of linear and
//!   convolutional layers, and the place in the stream after each call;
//! - with [`TieBreak::PyTorch`](crate::TieBreak::PyTorch): which of several equal scores is pruned.
//!
//! All of it is the same on every platform that this crate runs on, with two exceptions among the norms. For orders
//! other than 0, 1, 2 and ±infinity, powers come from the platform's mathematical library, as PyTorch's do. The nuclear
//! norm comes from another singular value decomposition than PyTorch's, so its last bits differ.
//!
//! What PyTorch itself does differently elsewhere is outside of the promise: older versions (draws of `f16` and
//! `bf16`), GPUs (all draws), macOS and Windows (ties), CPUs without AVX2 (last bits of initial weights and of some
//! `f32` Euclidean norms). [`prune::torch`](crate::torch#what-is-promised) has the table. Where PyTorch runs AVX-512
//! kernels, it was not checked.
//!
//! # What differs
//!
//! Each row is a sharp edge of `torch.nn.utils.prune` 2.15. *Fixed* is the result that PyTorch's documentation
//! promises; *rejected* is an error that names what was expected, and nothing has changed.
//!
//! | in PyTorch | here |
//! |---|---|
//! | A second pruning that fails drops the hook: the mask stops working and cannot be removed. A first one that fails moves the parameter to the end of the order. | Fixed. Everything is computed first; on an error every parameter is bitwise as it was, history and order too. |
//! | A global call that fails half way leaves some parameters pruned. | Fixed. All or none. |
//! | What is ranked by default is the attribute `weight`, which is stale after an optimizer step until the next forward pass. | Fixed. It is `orig * mask` of this moment: what PyTorch has after a forward pass. |
//! | `module.weight` itself is stale then. | Fixed. [`value`](crate::Parameter::value) never is: `orig` is only changed within [`update`](crate::Parameter::update). |
//! | An amount of NaN is accepted, and fails later with another error. | Rejected when the method is made. |
//! | An amount is a count or a share by its Python type; `True` sometimes works as 1. | The same by the Rust type, as [`Amount::Count`](crate::Amount::Count) and [`Amount::Fraction`](crate::Amount::Fraction). Range checks and rounding are PyTorch's. |
//! | The message says that an amount should be smaller than the size, though it may be equal. | The same condition; the message says "at most". |
//! | Structured pruning of a vector is an error at first and passes, with a wrong result, as a second pruning. | Rejected always. |
//! | A `dim` out of range gives different errors on first and later prunings. | One error. |
//! | `n="nuc"` does what it says for 3-dimensional tensors only; elsewhere it prunes other channels than it should, or fails. | [`Norm::Nuclear`](crate::Norm::Nuclear) is defined where every channel is a matrix: 3-dimensional tensors of `f32` and `f64`. Rejected elsewhere, whatever the amount. |
//! | `n=float("nan")` is accepted, and all norms are NaN. | Rejected when the method is made. |
//! | A bad `n` fails even for an amount of 0, since the norms are computed all the same. | `n` is checked when the method is made, and against the tensor for every amount; no norms are computed for 0. |
//! | The dtype of the mask follows that of the scores: integer scores make an integer mask. | Fixed. A mask is boolean. |
//! | A custom mask may hold any numbers. They scale the weights, and scale them again in a later global pruning. | Rejected: a mask of numbers holds 0 and 1. |
//! | `RandomStructured` prunes more channels than asked when draws are equal (about one call in 2^25 per channel). | With PyTorch's generator the same, to be the same. With any other source, exactly the number asked. |
//! | Which of several equal scores is pruned depends on the C++ library's selection. | By default the one with the lowest row-major index goes first, channels too, on every platform. PyTorch's choice on request: [`TieBreak`](crate::TieBreak). |
//! | Global pruning checks no shapes of scores, only their total length, and ignores scores of unknown parameters. | Scores of another shape are rejected. They come together with their parameter, so there are no unknown ones. |
//! | A parameter listed twice in a global call counts twice. | Rejected: by the borrow checker, or by [`parameters_mut`](crate::parameters_mut) where it is named twice. |
//! | A global call for no parameters fails within `torch.cat`. | Rejected with a message that says so. |
//! | Pruning `weight` overwrites whatever else is called `weight_orig` or `weight_mask`. | Rejected wherever a parameter is pruned by its name. (Global pruning and [`Parameter::prune`](crate::Parameter::prune) see no names.) |
//! | A container may be without a name, hold `None`, or hold containers. | Not possible: a [`PruningContainer`](crate::PruningContainer) is not itself a method. An empty one is an error. |
//! | An unknown `PRUNING_TYPE` is noticed on the second pruning. | Not possible: [`PruningType`](crate::PruningType) is an enum. |
//! | Pruning and removing move a parameter to the end of the module's order. | The order is the module's own and never moves. |
//! | Unstructured and global pruning of transposed or channels-last tensors fail. | Fixed. Any layout works and is read in row-major order. |
//! | `copy.deepcopy` of a pruned module fails. | Fixed. `clone()` works, and the copy is independent. |
//! | For channels without entries, `n=inf` and `n<0` fail within `torch.linalg`. | Rejected with a message that says so, whatever the amount. |
//! | Scores may have another dtype than the parameter, and a global call may mix dtypes, which are promoted. | Not possible: all have the one element type of the call. Convert first. |
//!
//! Two more follow from ownership. A parameter cannot belong to two modules, so there are no tied weights with two
//! masks. And only parameters can be pruned: PyTorch's buffers are no parameters either, and fail there.
//!
//! # What is the same, though it may surprise
//!
//! - **A pruned NaN or infinity is NaN**, since 0 times it is: pruning does not heal a tensor. Such a channel has a NaN
//!   norm from then on and is pruned last. A pruned -2 is -0.0.
//! - **NaN ranks highest**, in values, scores and norms, so it is pruned last.
//! - **Half-precision norms are rounded to half precision before they are ranked**, though summed in `f32`. So they are
//!   often equal, and [`TieBreak`](crate::TieBreak) decides.
//! - **In later structured prunings the scores of pruned entries count**, where single entries of a channel are pruned
//!   and scores are given. Without scores those entries are ranked by their values, which are zeros.
//! - **The first pruning hands a method the whole tensor, later ones what is still there**: a vector of entries for an
//!   unstructured method. One of your own has to work with both.
//! - **After global pruning, or loading a state dict, the history says `CustomFromMask`**, whatever the method was.
//!   PyTorch keeps one more full mask there for every round; here the entry is a name only, and the parameter's mask is
//!   the only one. (The entry of [`custom_from_mask`](crate::custom_from_mask) does hold its mask.)
//! - **[`PruningMethod::prune`](crate::PruningMethod::prune) and `compute_mask` do not leave out what `default_mask`
//!   has pruned.** Only a [`PruningContainer`](crate::PruningContainer), and so every function that prunes a parameter,
//!   does.
//!
//! [`Module`]: crate::Module
//! [`Parameter`]: crate::Parameter
//! [`Parameter::mask_gradient`]: crate::Parameter::mask_gradient
//! [`Parameter::update`]: crate::Parameter::update
//! [`ParameterStore`]: crate::ParameterStore
