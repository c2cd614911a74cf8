//! Dynamic sparse training: entries are dropped and others grow, and the number of kept ones never changes.

use ndarray::ArrayViewD;

use crate::amount::Amount;
use crate::element::Element;
use crate::error::PruneError;
use crate::key::Key;
use crate::mask::Mask;
use crate::method::candidates::{MemoryCandidates, TensorCandidates};
use crate::method::decide::decide;
use crate::method::{L1Unstructured, RandomSource, RandomUnstructured};
use crate::parameter::Parameter;
use crate::select::lowest_keys;
use crate::tensor::flat;

/// The criterion for the entries that grow in an [`exchange`].
#[derive(Debug, Clone)]
pub enum Growth<'a, A> {
    /// Random entries: SET.
    Random(RandomSource),
    /// The entries with the highest magnitudes of these scores, which have the shape of the parameter: RigL, with the gradient of
    /// the value, *not* masked. NaN ranks above infinity; of equal scores, the lowest row-major index grows first.
    Scores(ArrayViewD<'a, A>),
}

/// The result of an [`exchange`], for the states of an optimizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// `true` for an entry that is kept now and was pruned before. Its value starts at 0, and so should its moments.
    pub grown: Mask,
    /// The number of such entries.
    pub count: usize,
}

/// Drops kept entries with the lowest magnitudes, and lets as many others grow. The number of kept entries never changes.
///
/// This is the only call that revives pruned entries: [`Parameter::prune`] never does. `drop` is an amount of the kept entries. What
/// grows is selected among all entries that are then not kept. Dropped ones are among them, and keep their value if they are
/// selected; any other entry that grows starts at 0, in [`orig`](Parameter::orig) too. The history gets a
/// [`Record::Mask`](crate::Record::Mask).
///
/// ```
/// use ndarray::arr1;
/// use prune::training::{Growth, exchange};
/// use prune::{L1Unstructured, Parameter};
///
/// let mut weight = Parameter::new(arr1(&[0.1_f32, 4.0, -0.5, 3.0, 0.2]));
/// weight.prune(L1Unstructured::new(2)?)?; // 4.0, -0.5 and 3.0 are kept
/// let gradient = arr1(&[0.0_f32, 1.0, 0.3, 1.0, -7.0]).into_dyn();
/// let exchanged = exchange(&mut weight, 1, Growth::Scores(gradient.view()))?;
/// assert_eq!(weight.mask().map(|mask| mask.to_array()), Some(arr1(&[false, true, false, true, true]).into_dyn()));
/// assert_eq!((exchanged.count, exchanged.grown[[4]]), (1, true));
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// A random sparse start is [`RandomUnstructured`] with the counts of
/// [`Allocation::Erk`](crate::training::Allocation::Erk); [`cosine`] is the share that RigL drops at each step.
///
/// # Errors
///
/// [`PruneError::NotPruned`] if there is no mask; [`PruneError::InvalidFraction`] and [`PruneError::AmountTooLarge`] for `drop`;
/// [`PruneError::ShapeMismatch`] if the scores have another shape than the parameter. Nothing changes then.
///
/// # References
///
/// SET: *Scalable training of artificial neural networks with adaptive sparse connectivity inspired by network science* (2018). RigL:
/// *Rigging the Lottery: Making All Tickets Winners* (2020).
pub fn exchange<A: Element>(
    parameter: &mut Parameter<A>,
    drop: impl Into<Amount>,
    growth: Growth<'_, A>,
) -> Result<Exchange, PruneError> {
    let before = parameter.mask().ok_or(PruneError::NotPruned { parameter: None })?;
    let method = L1Unstructured::new(drop)?;
    if let Growth::Scores(scores) = &growth {
        PruneError::check_shape("scores of growth", parameter.value().shape(), scores.shape())?;
    }
    let decision = parameter.decide(&method, None)?;
    let mut mask = Mask::from(decision.mask(before.view(), parameter.value().view()));
    let count = before.kept() - mask.kept();
    for place in grown_places(&mask, count, growth)? {
        mask.as_mut_slice()[place] = true;
    }
    let mut grown = mask.clone();
    grown.as_mut_slice().iter_mut().zip(before.iter()).for_each(|(grown, before)| *grown &= !before);
    let count = grown.kept();
    parameter.exchange(mask, &grown);
    Ok(Exchange { grown, count })
}

/// The places of `count` entries that the mask does not keep, in order.
fn grown_places<A: Element>(mask: &Mask, count: usize, growth: Growth<'_, A>) -> Result<Vec<usize>, PruneError> {
    let free: Vec<usize> = mask.iter().enumerate().filter_map(|(place, kept)| (!kept).then_some(place)).collect();
    let selected: Vec<bool> = match growth {
        Growth::Scores(scores) => {
            let scores = scores.as_standard_layout();
            let keys: Vec<A::Key> = free.iter().map(|&place| flat(&scores)[place].key().reversed()).collect();
            lowest_keys(&keys, count).0
        }
        Growth::Random(source) => {
            // Random pruning of the free entries says which of them grow.
            let scores = ndarray::ArrayD::<A>::zeros(ndarray::IxDyn(&[free.len()]));
            let method = RandomUnstructured::new(count, source)?;
            let candidates = TensorCandidates { scores: scores.view(), remaining: None };
            let decision = decide(&method, &MemoryCandidates::new(vec![candidates]))?;
            let all = Mask::from_elem(free.len(), true);
            decision.mask(all.view(), scores.view()).iter().map(|kept| !kept).collect()
        }
    };
    Ok(free.into_iter().zip(selected).filter_map(|(place, selected)| selected.then_some(place)).collect())
}

/// Returns the share of the kept entries that RigL drops at a step: `initial / 2 * (1 + cos(pi * step / end))`, and 0 from `end`
/// on.
///
/// ```
/// use prune::training::cosine;
///
/// assert_eq!((cosine(0.3, 0, 1000), cosine(0.3, 1000, 1000)), (0.3, 0.0));
/// assert!((cosine(0.3, 500, 1000) - 0.15).abs() < 1e-15);
/// ```
pub fn cosine(initial: f64, step: u64, end: u64) -> f64 {
    if step >= end {
        return 0.0;
    }
    // libm gives the same bits on every platform.
    initial / 2.0 * (1.0 + libm::cos(std::f64::consts::PI * step as f64 / end as f64))
}
