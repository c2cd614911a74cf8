//! Sessions: pruning as the steps of a training go by.

use std::fmt;

use ndarray::ArrayD;

use crate::amount::Amount;
use crate::element::Element;
use crate::error::PruneError;
use crate::functional::parameters_mut;
use crate::hash::fnv1a;
use crate::method::{PruningMethod, Units};
use crate::module::Module;
use crate::parameter::{ImportanceScores, Parameter, standard};
use crate::training::allocation::{Allocation, Bounds};
use crate::training::due::{DueStep, Target};
use crate::training::schedule::Schedule;
use crate::training::state::SessionState;

/// The turn of one parameter in a step at which something is pruned, from which a [`Session`] makes its method.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Due<'a> {
    /// The name of the parameter.
    pub name: &'a str,
    /// The step.
    pub step: u64,
    /// The amount to prune now, as a [`Count`](Amount::Count) of units.
    pub amount: Amount,
}

impl Due<'_> {
    /// Returns a seed for random methods that differs by name and by step.
    ///
    /// ```
    /// use prune::training::{Schedule, Session};
    /// use prune::RandomUnstructured;
    ///
    /// let session: Session<f32> = Session::new(&["weight"], Schedule::linear(0.0, 0.5)?.between(0, 9)?, |due| {
    ///     RandomUnstructured::new(due.amount, due.seed(42))
    /// });
    /// # Ok::<(), prune::PruneError>(())
    /// ```
    pub fn seed(&self, base: u64) -> u64 {
        fnv1a(base.to_le_bytes().into_iter().chain(self.step.to_le_bytes()).chain(self.name.bytes()))
    }
}

/// The units that a step of a [`Session`] has pruned.
#[derive(Debug, Clone, PartialEq)]
pub struct Pruned {
    /// The step.
    pub step: u64,
    /// The sparsity that the schedule asks for, from 0.0 to 1.0.
    pub level: f64,
    /// The units of each parameter after the step, in the order of the names: counts of the masks themselves.
    pub parameters: Vec<(String, Units)>,
}

/// Makes the method for one turn.
type Make<A> = Box<dyn Fn(Due<'_>) -> Result<Box<dyn PruningMethod<A>>, PruneError> + Send + Sync>;

/// Prunes the parameters of a model by a [`Schedule`], as the steps of its training go by.
///
/// Call [`step`](Self::step) once after every step of the optimizer. A session holds a counter, and no model: the masks are in the
/// parameters, which keep them at every other step.
///
/// - **Counts are cumulative.** After a due step, `round_half_even(level * units)` units of the *whole* parameter are pruned, however
///   they came to be pruned: rounding does not add up over the steps. A level that is reached already prunes nothing, and nothing is
///   ever revived.
/// - **A step is atomic.** All parameters of a due step are pruned, or none if one of them cannot be: everything is decided before
///   the first mask changes. The counter stays where it is then.
/// - **Runs can be resumed.** `prune::safetensors::save_session` stores the model, its masks and the counter in one file. A resumed run
///   has bitwise the same masks at every later step, if the optimizer is resumed as well.
///
/// ```
/// use prune::training::{Allocation, Schedule, Session};
/// use prune::{L1Unstructured, ParameterStore};
/// # use ndarray::Array2;
///
/// # let random = |n, m| prune::torch::Generator::manual_seed(1).linear::<f32>(n, m).0;
/// let mut net = ParameterStore::from_iter([("fc1.weight", random(100, 50)), ("fc2.weight", random(50, 10))]);
/// let schedule = Schedule::cubic(0.0, 0.9)?.between(2, 12)?.every(5)?;
/// let mut session = Session::new(&["fc1.weight", "fc2.weight"], schedule, |due| L1Unstructured::new(due.amount))
///     .allocation(Allocation::Erk);
/// while session.next_step() < 20 {
///     // ... a step of the optimizer
///     session.step(&mut net)?;
/// }
/// let pruned = net["fc1.weight"].pruned() + net["fc2.weight"].pruned();
/// assert_eq!(pruned, 4950); // 90 % of 5500, more of them in the larger layer
/// # Ok::<(), prune::PruneError>(())
/// ```
pub struct Session<A: Element> {
    names: Vec<String>,
    schedule: Schedule,
    make: Make<A>,
    allocation: Allocation,
    bounds: Bounds,
    next: u64,
    /// `true` once the names have been found in a module.
    is_checked: bool,
}

impl<A: Element> Session<A> {
    /// Returns a session at step 0 for the parameters of these names. `method` makes the method for each parameter and step.
    ///
    /// The method says what a unit is: an entry, a channel, a block, a group. `method` may be called with an amount of 0, to ask its
    /// result for the number of units.
    pub fn new<P: PruningMethod<A> + 'static>(
        names: &[impl AsRef<str>],
        schedule: Schedule,
        method: impl Fn(Due<'_>) -> Result<P, PruneError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            names: names.iter().map(|name| name.as_ref().to_owned()).collect(),
            schedule,
            make: Box::new(move |due| Ok(Box::new(method(due)?))),
            allocation: Allocation::Uniform,
            bounds: Bounds::default(),
            next: 0,
            is_checked: false,
        }
    }

    /// Sets which parameter gets how much of a level; [`Allocation::Uniform`] unless it is called.
    ///
    /// [`Allocation::Global`] and [`Allocation::Lamp`] rank the values, or scores, of all parameters together, so they need a method
    /// that selects single entries. The others give each parameter a sparsity, which is rounded to the units of its method. The
    /// sparsity of all parameters together is exact, except that [`Allocation::Uniform`] rounds each parameter by itself.
    pub fn allocation(self, allocation: Allocation) -> Self {
        Self { allocation, ..self }
    }

    /// Sets the lowest and the highest sparsity that a parameter can have at a due step. What a bound refuses goes to the other
    /// parameters, so that their sum is what the schedule says.
    pub fn bounds(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// Prunes if the next step is due, and counts it. Returns `None` if it is not due.
    ///
    /// Entries are ranked by [`value`](Parameter::value).
    ///
    /// # Errors
    ///
    /// - Those of [`parameters_mut`], at the first call too, if a name is wrong.
    /// - [`PruneError::Infeasible`] if the bounds leave no way to reach the level.
    /// - [`PruneError::NotUnstructured`] if the allocation ranks all parameters together, and the method does not select single
    ///   entries.
    /// - Any error of the method.
    ///
    /// On an error, no parameter has changed, and the step has not been counted.
    pub fn step<M: Module<Elem = A> + ?Sized>(&mut self, module: &mut M) -> Result<Option<Pruned>, PruneError> {
        self.advance(module, &mut |_, _| Ok(None))
    }

    /// Like [`step`](Self::step), but ranks by importance scores. `scores` is called at due steps only, once for each parameter,
    /// and returns an array of its shape.
    ///
    /// # Errors
    ///
    /// Those of [`step`](Self::step), any error of `scores`, and [`PruneError::ShapeMismatch`] if an array has another shape
    /// than its parameter.
    pub fn step_with_scores<M: Module<Elem = A> + ?Sized>(
        &mut self,
        module: &mut M,
        mut scores: impl FnMut(&str, &Parameter<A>) -> Result<ArrayD<A>, PruneError>,
    ) -> Result<Option<Pruned>, PruneError> {
        self.advance(module, &mut |name, parameter| {
            let scores = scores(name, parameter)?;
            PruneError::check_shape(&format!("scores of `{name}`"), parameter.value().shape(), scores.shape())?;
            Ok(Some(standard(scores).into()))
        })
    }

    fn advance<M: Module<Elem = A> + ?Sized>(
        &mut self,
        module: &mut M,
        scores: &mut ScoresOf<'_, A>,
    ) -> Result<Option<Pruned>, PruneError> {
        let (step, level) = (self.next, self.schedule.at(self.next));
        let mut pruned = None;
        if self.schedule.is_due(step) {
            let parameters = parameters_mut(module, &self.names)?;
            let mut targets: Vec<Target<'_, A>> = Vec::with_capacity(self.names.len());
            for (name, parameter) in self.names.iter().zip(parameters) {
                let scores = scores(name, parameter)?;
                targets.push((parameter, scores));
            }
            let units = DueStep { session: self, step, level }.prune(targets)?;
            pruned = Some(Pruned { step, level, parameters: self.names.iter().cloned().zip(units).collect() });
        } else if !self.is_checked {
            // A wrong name is an error now, not after the steps to the first due one.
            parameters_mut(module, &self.names)?;
        }
        self.is_checked = true;
        self.next += 1;
        Ok(pruned)
    }

    /// Returns the number of the step that the next call of [`step`](Self::step) counts: 0 for a new session.
    pub fn next_step(&self) -> u64 {
        self.next
    }

    /// Returns the schedule.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Returns the state, to be saved with the parameters and their masks.
    pub fn state(&self) -> SessionState {
        SessionState {
            next: self.next,
            schedule: self.schedule.clone(),
            names: self.names.clone(),
            allocation: self.allocation,
            bounds: self.bounds,
        }
    }

    /// Goes on where the state was saved. The masks have to be restored too, as `prune::safetensors::load_session` does.
    ///
    /// ```
    /// # use prune::training::{Schedule, Session};
    /// # let new = |to| Ok::<_, prune::PruneError>(Session::<f32>::new(&["weight"], Schedule::once(3, to)?, |due| prune::L1Unstructured::new(due.amount)));
    /// let saved = new(0.5)?.state();
    /// assert!(new(0.5)?.restore(saved.clone()).is_ok());
    /// let error = new(0.9)?.restore(saved).unwrap_err();
    /// assert_eq!(error.to_string(), "schedule of the session is `once 0.9 @ 3`, but that of the state is `once 0.5 @ 3`");
    /// # Ok::<(), prune::PruneError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PruneError::OtherSession`] if the state is of a session with another schedule, other names, or another allocation or
    /// bounds. Nothing changes then.
    pub fn restore(&mut self, state: SessionState) -> Result<(), PruneError> {
        self.check_state(&state)?;
        self.next = state.next;
        Ok(())
    }

    /// Rejects the state of another session.
    pub(crate) fn check_state(&self, state: &SessionState) -> Result<(), PruneError> {
        self.state().check_same(state)
    }

    /// The method for one turn.
    pub(super) fn method(&self, name: &str, step: u64, count: usize) -> Result<Box<dyn PruningMethod<A>>, PruneError> {
        (self.make)(Due { name, step, amount: Amount::Count(count) })
    }

    /// The names of the parameters.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The allocation and the bounds.
    pub(super) fn division(&self) -> (Allocation, Bounds) {
        (self.allocation, self.bounds)
    }
}

/// The scores of a parameter, or `None` to rank by value.
type ScoresOf<'f, A> = dyn FnMut(&str, &Parameter<A>) -> Result<Option<ImportanceScores<'static, A>>, PruneError> + 'f;

/// The state; the method is a function.
impl<A: Element> fmt::Debug for Session<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.state()).finish()
    }
}
