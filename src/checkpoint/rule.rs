//! From the options to a rule for each parameter. Whatever can be refused is refused here, before anything is written.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::meter::Meter;
use super::packed::PackedMasks;
use super::parameter::Parameter;
use super::scores::{Scores, widen_key};
use super::standing::{Standing, living_channels};
use super::stream::{Generic, Pool, dispatch};
use super::{Checkpoint, CheckpointError, Dtype, Method, Observer, Phase, Prune, Scope};
use crate::channels::Channels;
use crate::draw::Draw;
use crate::select::{Cut, lowest_of};
use crate::{Amount, Element, Norm, PruneError};

/// What decides which entries of a parameter go.
#[derive(Debug)]
pub(super) enum Rule {
    /// No more than are pruned already.
    Keep,
    /// So many of the lowest magnitude.
    L1 { count: usize },
    /// Up to a magnitude, as the key of an `f64`; the parameter is this segment of the cut.
    Cut { cut: Arc<Cut<u64>>, segment: usize },
    /// So many at random.
    Random { seed: u64, count: usize, standing: Standing },
    /// By a draw for all parameters together, of whose chunks this one's begin at `first`.
    Draw { draw: Arc<Draw>, first: usize },
    /// The channels of lowest norm, so many of the living.
    Ln { norm: Norm, channels: Channels, living: Vec<usize>, count: usize },
    /// Some channels: true = pruned.
    Channels { channels: Channels, pruned: Vec<bool> },
    /// What the mask file does not keep.
    Packed(Arc<PackedMasks>),
    /// What is zero.
    Zeros,
}

/// A selected parameter and its rule.
#[derive(Debug)]
pub(super) struct Task {
    pub rule: Rule,
    /// How many units are to go, where that is the parameter's own number.
    pub asked: Option<usize>,
    /// How many entries its mask prunes so far.
    pub before: usize,
    /// How many it will prune, where that is known without looking.
    pub after: Option<usize>,
}

/// The rules for all selected parameters, in their order.
pub(super) struct Rules {
    pub tasks: Vec<Task>,
    pub asked: Option<usize>,
    pub threshold: Option<f64>,
}

/// The seed that a tensor has of its own in a random pruning with [`Scope::Tensor`](super::Scope::Tensor).
///
/// With it, [`RandomUnstructured`](crate::RandomUnstructured) and [`RandomStructured`](crate::RandomStructured) give the
/// tensor the same mask in memory. See [`Method::Random`](super::Method::Random) for how it is made.
pub fn tensor_seed(seed: u64, tensor: &str) -> u64 {
    let hash = tensor.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3) // FNV-1a
    });
    let mut stream = ChaCha8Rng::seed_from_u64(seed);
    stream.set_stream(hash);
    stream.next_u64()
}

/// What is needed to read parameters.
pub(super) struct Reading<'c, 'o> {
    pub checkpoint: &'c Checkpoint,
    pub pool: &'c Pool,
    pub observer: &'o dyn Observer,
}

impl<'c> Reading<'c, '_> {
    /// The rules for a pruning of these parameters.
    pub fn rules(
        &self,
        prune: &Prune,
        parameters: &[&'c Parameter],
        masks: Option<&Arc<PackedMasks>>,
    ) -> Result<Rules, CheckpointError> {
        let meter = self.counting(&prune.method, parameters);
        let standing = |parameter: &&Parameter| Standing::of(self.checkpoint, parameter, self.pool, &meter);
        let standings = parameters.iter().map(standing).collect::<Result<Vec<_>, _>>()?;
        let before = |standing: &Standing, parameter: &Parameter| parameter.entries - standing.living;
        let amount = match (&prune.method, prune.scope) {
            (Method::Masks { .. }, _) => {
                meter.finish()?;
                let masks =
                    masks.into_iter().flat_map(|masks| std::iter::repeat(masks).zip(parameters)).zip(&standings);
                let tasks = masks.map(|((masks, parameter), standing)| Task {
                    rule: Rule::Packed(Arc::clone(masks)),
                    asked: None,
                    before: before(standing, parameter),
                    after: None,
                });
                return Ok(Rules { tasks: tasks.collect(), asked: None, threshold: None });
            }
            (Method::Ln { .. }, Scope::Global) => return Err(CheckpointError::NotUnstructured { method: "Ln" }),
            (Method::RandomStructured { .. }, Scope::Global) => {
                return Err(CheckpointError::NotUnstructured { method: "RandomStructured" });
            }
            (Method::L1 { amount } | Method::Random { amount, .. }, Scope::Global) => {
                meter.finish()?;
                return self.global(prune, *amount, parameters, &standings);
            }
            (
                Method::L1 { amount }
                | Method::Random { amount, .. }
                | Method::Ln { amount, .. }
                | Method::RandomStructured { amount, .. },
                Scope::Tensor,
            ) => *amount,
        };
        let tasks = parameters.iter().zip(standings).map(|(parameter, standing)| {
            let before = before(&standing, parameter);
            self.task(&prune.method, amount, parameter, standing, before, &meter)
        });
        let tasks = tasks.collect::<Result<Vec<_>, _>>()?;
        meter.finish()?;
        let asked = tasks.iter().map(|task| task.asked).sum();
        Ok(Rules { tasks, asked, threshold: None })
    }

    /// For the masks that are read to count what is left: entries, and then channels if those are pruned.
    fn counting(&self, method: &Method, parameters: &[&Parameter]) -> Meter<'_> {
        let masks = parameters.iter().filter_map(|parameter| parameter.mask);
        let bytes: u64 = masks.map(|mask| self.checkpoint.tensors[mask].bytes).sum();
        let looks = if matches!(method, Method::Ln { .. } | Method::RandomStructured { .. }) { 2 } else { 1 };
        Meter::new(self.observer, Phase::Counting, looks * bytes)
    }

    /// The rule for a parameter by itself.
    fn task(
        &self,
        method: &Method,
        amount: Amount,
        parameter: &Parameter,
        standing: Standing,
        before: usize,
        meter: &Meter<'_>,
    ) -> Result<Task, CheckpointError> {
        let refused = |source| CheckpointError::Tensor { tensor: parameter.name.clone(), source };
        let (rule, count) = match *method {
            Method::L1 { .. } => {
                let count = amount.count(standing.living).map_err(refused)?;
                (Rule::L1 { count }, count)
            }
            Method::Random { seed, .. } => {
                let count = amount.count(standing.living).map_err(refused)?;
                (Rule::Random { seed: tensor_seed(seed, &parameter.name), count, standing }, count)
            }
            Method::Ln { norm, dim, .. } => {
                let (channels, living) = self.channels(parameter, dim, meter)?;
                let count = amount.count_of(living.len(), "channels").map_err(refused)?;
                // A norm that is not defined here is an error for every amount.
                dispatch(parameter.dtype, CheckNorm { norm, parameter, channels: &channels }).map_err(refused)?;
                (Rule::Ln { norm, channels, living, count }, count)
            }
            Method::RandomStructured { dim, seed, .. } => {
                let (channels, living) = self.channels(parameter, dim, meter)?;
                let count = amount.count_of(living.len(), "channels").map_err(refused)?;
                let mut pruned = vec![false; channels.len];
                let lowest = Draw::among(tensor_seed(seed, &parameter.name), living.len(), count);
                living.iter().zip(lowest).for_each(|(&channel, lowest)| pruned[channel] = lowest);
                (Rule::Channels { channels, pruned }, count)
            }
            // Has no amount, and does not come here.
            Method::Masks { .. } => (Rule::Keep, 0),
        };
        let after = match &rule {
            Rule::Ln { channels, .. } | Rule::Channels { channels, .. } => {
                parameter.mask.is_none().then(|| count * channels.size())
            }
            _ => Some(before + count),
        };
        // Nothing has to be looked for.
        let rule = if count == 0 { Rule::Keep } else { rule };
        Ok(Task { rule, asked: Some(count), before, after })
    }

    fn channels(
        &self,
        parameter: &Parameter,
        dim: isize,
        meter: &Meter<'_>,
    ) -> Result<(Channels, Vec<usize>), CheckpointError> {
        let sizes = parameter.shape.iter().filter(|&&size| size > 0);
        if sizes.copied().try_fold(1, usize::checked_mul).is_none() {
            let found = parameter.shape.clone();
            return Err(CheckpointError::ImpossibleShape { tensor: parameter.name.clone(), found });
        }
        let refused = |source| CheckpointError::Tensor { tensor: parameter.name.clone(), source };
        let channels = Channels::of(&parameter.shape, dim).map_err(refused)?;
        let living = living_channels(self.checkpoint, parameter, &channels, self.pool, meter)?;
        Ok((channels, living))
    }

    /// One ranking, or one draw, for all parameters.
    fn global(
        &self,
        prune: &Prune,
        amount: Amount,
        parameters: &[&'c Parameter],
        standings: &[Standing],
    ) -> Result<Rules, CheckpointError> {
        let living = standings.iter().map(|standing| standing.living).sum();
        let count = amount.count(living).map_err(|source| CheckpointError::Method { source })?;
        let mut threshold = None;
        let rules: Vec<Rule> = if count == 0 {
            parameters.iter().map(|_| Rule::Keep).collect()
        } else if let Method::Random { seed, .. } = prune.method {
            let chunks: Vec<Vec<usize>> =
                parameters.iter().zip(standings).map(|(parameter, standing)| standing.chunks(parameter)).collect();
            let entries = parameters.iter().map(|parameter| parameter.entries).sum();
            let draw = Arc::new(Draw::of(seed, &chunks.concat(), entries, count));
            let firsts = chunks.iter().scan(0, |first, chunks| Some(std::mem::replace(first, *first + chunks.len())));
            firsts.map(|first| Rule::Draw { draw: Arc::clone(&draw), first }).collect()
        } else {
            let cut = Arc::new(self.global_cut(parameters, count)?);
            threshold = Some(f64::from_bits(cut.key));
            let segments = 0..parameters.len();
            segments.map(|segment| Rule::Cut { cut: Arc::clone(&cut), segment }).collect()
        };
        let tasks = rules.into_iter().zip(standings).zip(parameters).map(|((rule, standing), parameter)| {
            let before = parameter.entries - standing.living;
            Task { rule, asked: None, before, after: (count == 0).then_some(before) }
        });
        Ok(Rules { tasks: tasks.collect(), asked: Some(count), threshold })
    }

    fn global_cut(&self, parameters: &[&'c Parameter], count: usize) -> Result<Cut<u64>, CheckpointError> {
        let bytes = |parameter: &&Parameter| self.checkpoint.tensors[parameter.weights].bytes;
        let meter = Meter::new(self.observer, Phase::Ranking, parameters.iter().map(bytes).sum());
        let search = Search { reading: self, parameters, count, meter: &meter };
        let cut = dispatch(common_dtype(parameters), search)?;
        meter.finish()?;
        Ok(cut)
    }
}

/// The dtype in which the values of all parameters are exact: their own if it is the same for all.
fn common_dtype(parameters: &[&Parameter]) -> Dtype {
    use ::safetensors::Dtype::{F32, F64};
    let mut dtypes = parameters.iter().map(|parameter| parameter.dtype);
    match dtypes.next() {
        Some(first) if dtypes.all(|dtype| dtype == first) => first,
        _ if parameters.iter().any(|parameter| parameter.dtype.0 == F64) => Dtype(F64),
        _ => Dtype(F32),
    }
}

/// A cut through all parameters, ranked in one type.
struct Search<'s, 'c, 'o> {
    reading: &'s Reading<'c, 'o>,
    parameters: &'s [&'c Parameter],
    count: usize,
    meter: &'s Meter<'o>,
}

impl Generic for Search<'_, '_, '_> {
    type Output = Result<Cut<u64>, CheckpointError>;

    fn run<W: Element>(self) -> Self::Output {
        let Self { reading: Reading { checkpoint, pool, .. }, parameters, count, meter } = self;
        let scores = Scores::<W>::new(checkpoint, parameters, pool, meter);
        let Cut { key, end, tie } = lowest_of(&scores, count)?;
        Ok(Cut { key: widen_key::<W>(key), end, tie })
    }
}

struct CheckNorm<'c> {
    norm: Norm,
    parameter: &'c Parameter,
    channels: &'c Channels,
}

impl Generic for CheckNorm<'_> {
    type Output = Result<(), PruneError>;

    fn run<A: Element>(self) -> Self::Output {
        self.norm.check::<A>(&self.parameter.shape, self.channels)
    }
}

#[cfg(test)]
mod tests {
    use ::safetensors::Dtype::{self as D, BF16, F16, F32, F64};

    use super::*;

    /// What is exact, and no wider than that: keys of 64 bits take longer, and twice the memory.
    #[test]
    fn tensors_are_ranked_in_the_narrowest_type_for_all() {
        let ranked_in = |dtypes: &[D]| {
            let parameter = |&dtype: &D| Parameter {
                name: String::new(),
                dtype: Dtype(dtype),
                shape: vec![1],
                entries: 1,
                weights: 0,
                mask: None,
            };
            let parameters: Vec<_> = dtypes.iter().map(parameter).collect();
            common_dtype(&parameters.iter().collect::<Vec<_>>()).0
        };
        for dtype in [F16, BF16, F32, F64] {
            assert_eq!(ranked_in(&[dtype]), dtype);
            assert_eq!(ranked_in(&[dtype; 3]), dtype);
        }
        for mixed in [&[F16, BF16][..], &[F16, F16, F32], &[F32, BF16], &[BF16, F16, F16]] {
            assert_eq!(ranked_in(mixed), F32, "{mixed:?}");
        }
        for mixed in [&[F64, F16][..], &[BF16, F64], &[F32, F32, F64], &[F16, BF16, F64, F32]] {
            assert_eq!(ranked_in(mixed), F64, "{mixed:?}");
        }
    }
}
