//! Schedules: the sparsity at each step of a training.

use crate::amount::Amount;
use crate::error::PruneError;

/// The sparsity that a training has reached at each of its steps: a pure function, without a state.
///
/// A step is *due* if something is pruned at it. [`at`](Self::at) is the sparsity of the last due step so far, and 0 before the
/// first one.
///
/// | made by | sparsity at a due step | due |
/// |---|---|---|
/// | [`once`](Self::once), [`list`](Self::list) | as listed | as listed |
/// | [`rounds`](Self::rounds) | the same share of what is left, each time | `every`, `2 * every`, ... |
/// | [`linear`](Self::linear), [`cubic`](Self::cubic), [`polynomial`](Self::polynomial) | `to + (from - to) * x^power` | `begin`, `begin + every`, ..., and `end` |
/// | [`exponential`](Self::exponential) | `1 - (1 - from)^x * (1 - to)^(1 - x)` | the same |
///
/// There `x = 1 - (step - begin) / (end - begin)` falls from 1 to 0. The end is always due, even if `every` does not divide the
/// steps before it, and the sparsity there is exactly `to`. Everything is computed in `f64`, in this order, and with the same
/// result on every platform.
///
/// ```
/// use prune::training::Schedule;
///
/// let schedule = Schedule::cubic(0.0, 0.9)?.between(500, 5050)?.every(100)?;
/// assert_eq!((schedule.at(499), schedule.at(5050)), (0.0, 0.9));
/// assert!(schedule.is_due(600) && !schedule.is_due(650) && schedule.is_due(5050));
/// assert_eq!(schedule.to_string(), "cubic 0..0.9 @ 500..5050 / 100");
/// assert_eq!(schedule.to_string().parse(), Ok(schedule));
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # References
///
/// Cubic: *To prune, or not to prune: exploring the efficacy of pruning for model compression* (2017), `PolynomialDecay` of
/// TensorFlow's toolkit, `CubicSL` of `torch.ao.pruning`.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    pub(super) shape: Shape,
}

/// The kinds of schedules. Their numbers are checked.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// Steps and sparsities, both rising; at least one.
    List(Vec<(u64, f64)>),
    /// The same share of the remaining units, `rounds` times.
    Rounds { share: f64, rounds: u64, every: u64 },
    /// A curve from one sparsity to another.
    Curve { curve: Curve, from: f64, to: f64, begin: u64, end: u64, every: u64 },
}

/// The form of a curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Curve {
    /// Falls towards its end as the distance from it to this power.
    Power(u32),
    /// The same share of what is left in equal times.
    Exponential,
}

impl Schedule {
    /// Returns the schedule that prunes once, at `step`, to `sparsity`.
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidFraction`] if the sparsity is NaN or outside `0.0..=1.0`.
    pub fn once(step: u64, sparsity: f64) -> Result<Self, PruneError> {
        Self::list(&[(step, sparsity)])
    }

    /// Returns the schedule of these steps and sparsities.
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidFraction`] if a sparsity is NaN or outside `0.0..=1.0`; [`PruneError::InvalidSchedule`] if there is
    /// no step, if the steps do not rise, or if a sparsity falls.
    pub fn list(steps: &[(u64, f64)]) -> Result<Self, PruneError> {
        if steps.is_empty() {
            return Err(invalid("has no steps"));
        }
        steps.iter().try_for_each(|&(_, sparsity)| checked(sparsity).map(drop))?;
        for pair in steps.windows(2) {
            let ((before, low), (after, high)) = (pair[0], pair[1]);
            if after <= before {
                return Err(invalid(format!("lists step {after} after step {before}")));
            }
            check_rise(low, high)?;
        }
        Ok(Self { shape: Shape::List(steps.to_vec()) })
    }

    /// Returns the schedule that prunes `share` of what is left, `rounds` times: at the steps 1, 2, ... unless
    /// [`every`](Self::every) spaces them. Step 0 is dense.
    ///
    /// ```
    /// let schedule = prune::training::Schedule::rounds(0.2, 3)?;
    /// assert_eq!((schedule.at(0), schedule.at(1)), (0.0, 1.0 - 0.8));
    /// assert_eq!(schedule.at(3), 1.0 - 0.8 * 0.8 * 0.8);
    /// # Ok::<(), prune::PruneError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidFraction`] if the share is NaN or outside `0.0..=1.0`; [`PruneError::InvalidSchedule`] if there are
    /// no rounds.
    pub fn rounds(share: f64, rounds: u64) -> Result<Self, PruneError> {
        if rounds == 0 {
            return Err(invalid("has no rounds"));
        }
        Ok(Self { shape: Shape::Rounds { share: checked(share)?, rounds, every: 1 } })
    }

    /// Returns the schedule that rises evenly. It prunes at step 0 only until [`between`](Self::between) stretches it.
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidFraction`] if a sparsity is NaN or outside `0.0..=1.0`; [`PruneError::InvalidSchedule`] if `to` is
    /// less than `from`.
    pub fn linear(from: f64, to: f64) -> Result<Self, PruneError> {
        Self::curve(Curve::Power(1), from, to)
    }

    /// Returns the schedule that rises fast first, while there is much to prune, and slowly towards the end.
    ///
    /// # Errors
    ///
    /// Those of [`linear`](Self::linear).
    pub fn cubic(from: f64, to: f64) -> Result<Self, PruneError> {
        Self::curve(Curve::Power(3), from, to)
    }

    /// Returns the schedule of any power: 1 is [`linear`](Self::linear), 3 is [`cubic`](Self::cubic).
    ///
    /// # Errors
    ///
    /// Those of [`linear`](Self::linear); [`PruneError::InvalidSchedule`] if the power is 0.
    pub fn polynomial(from: f64, to: f64, power: u32) -> Result<Self, PruneError> {
        if power == 0 {
            return Err(invalid("has power 0; at least 1"));
        }
        Self::curve(Curve::Power(power), from, to)
    }

    /// Returns the schedule that prunes the same share of what is left in equal times. If `to` is 1, that is everything, at the
    /// first due step after the beginning.
    ///
    /// # Errors
    ///
    /// Those of [`linear`](Self::linear).
    pub fn exponential(from: f64, to: f64) -> Result<Self, PruneError> {
        Self::curve(Curve::Exponential, from, to)
    }

    fn curve(curve: Curve, from: f64, to: f64) -> Result<Self, PruneError> {
        check_rise(checked(from)?, checked(to)?)?;
        Ok(Self { shape: Shape::Curve { curve, from, to, begin: 0, end: 0, every: 1 } })
    }

    /// Sets the first and the last step. If they are the same, the only due step has the final sparsity.
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidSchedule`] if it ends before it begins, or if the schedule has steps of its own: `once`, `list` and
    /// `rounds`.
    pub fn between(mut self, first: u64, last: u64) -> Result<Self, PruneError> {
        let Shape::Curve { begin, end, .. } = &mut self.shape else {
            return Err(invalid(format!("`{self}` has steps of its own, not a beginning and an end")));
        };
        if last < first {
            return Err(invalid(format!("begins at step {first}, but ends at step {last}")));
        }
        (*begin, *end) = (first, last);
        Ok(self)
    }

    /// Sets the number of steps from one due step to the next; 1 unless it is called.
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidSchedule`] if it is 0, or so large that the steps of `rounds` exceed a `u64`, or if the schedule has
    /// steps of its own: `once` and `list`.
    pub fn every(mut self, steps: u64) -> Result<Self, PruneError> {
        if steps == 0 {
            return Err(invalid("is due every 0 steps; at least 1"));
        }
        match &mut self.shape {
            Shape::List(_) => return Err(invalid(format!("`{self}` has steps of its own"))),
            Shape::Rounds { rounds, every, .. } => {
                if rounds.checked_mul(steps).is_none() {
                    return Err(invalid(format!("ends after {rounds} times {steps} steps, beyond the largest u64")));
                }
                *every = steps;
            }
            Shape::Curve { every, .. } => *every = steps,
        }
        Ok(self)
    }

    /// Returns `true` if something is pruned at this step.
    pub fn is_due(&self, step: u64) -> bool {
        match &self.shape {
            Shape::List(steps) => steps.binary_search_by_key(&step, |&(step, _)| step).is_ok(),
            &Shape::Rounds { rounds, every, .. } => step > 0 && step.is_multiple_of(every) && step / every <= rounds,
            &Shape::Curve { begin, end, every, .. } => {
                (begin..=end).contains(&step) && ((step - begin).is_multiple_of(every) || step == end)
            }
        }
    }

    /// Returns the sparsity after this step: that of the last due step so far, or 0 if there is none.
    pub fn at(&self, step: u64) -> f64 {
        match &self.shape {
            Shape::List(steps) => {
                let so_far = steps.partition_point(|&(listed, _)| listed <= step);
                so_far.checked_sub(1).map_or(0.0, |last| steps[last].1)
            }
            &Shape::Rounds { share, rounds, every } => {
                let done = (step / every).min(rounds);
                // One multiplication a round is what the definition says; after some thousand rounds nothing changes.
                let mut kept = 1.0;
                for _ in 0..done {
                    let next = kept * (1.0 - share);
                    if next == kept {
                        break;
                    }
                    kept = next;
                }
                1.0 - kept
            }
            &Shape::Curve { curve, from, to, begin, end, every } => {
                if step < begin {
                    return 0.0;
                }
                if step >= end {
                    return to;
                }
                let due = step - (step - begin) % every;
                curve.at(from, to, 1.0 - (due - begin) as f64 / (end - begin) as f64)
            }
        }
    }

    /// Returns the last due step; the sparsity is final from there on.
    pub fn end(&self) -> u64 {
        match &self.shape {
            Shape::List(steps) => steps.last().map_or(0, |&(step, _)| step),
            &Shape::Rounds { rounds, every, .. } => rounds * every,
            &Shape::Curve { end, .. } => end,
        }
    }
}

impl Curve {
    /// The sparsity where `left` of the way is left, from 1.0 to above 0.
    fn at(self, from: f64, to: f64, left: f64) -> f64 {
        match self {
            Self::Power(power) => to + (from - to) * power_of(left, power),
            // libm gives the same bits on every platform.
            Self::Exponential => 1.0 - libm::pow(1.0 - from, left) * libm::pow(1.0 - to, 1.0 - left),
        }
    }
}

/// Multiplies `power` factors, from left to right. After some thousand factors below 1 nothing changes.
fn power_of(x: f64, power: u32) -> f64 {
    let mut product = x;
    for _ in 1..power {
        let next = product * x;
        if next == product {
            break;
        }
        product = next;
    }
    product
}

fn checked(sparsity: f64) -> Result<f64, PruneError> {
    Amount::Sparsity(sparsity).validated().map(|_| sparsity)
}

fn check_rise(from: f64, to: f64) -> Result<(), PruneError> {
    if to < from {
        return Err(invalid(format!("falls from {from} to {to}, but pruned entries stay pruned")));
    }
    Ok(())
}

pub(super) fn invalid(reason: impl Into<String>) -> PruneError {
    PruneError::InvalidSchedule { reason: reason.into() }
}
