//! From the options to a rule for each parameter. Whatever can be refused is refused here, before anything is written.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::checkpoint::progress::ProgressCounter;
use crate::checkpoint::prune::candidates::{FileCandidates, FileScores, widened};
use crate::checkpoint::prune::pruner::By;
use crate::checkpoint::prune::remaining::{Standing, living_channels};
use crate::checkpoint::prune::{Prune, Scope};
use crate::checkpoint::read::blocks::{Generic, Pool, dispatch};
use crate::checkpoint::read::mask_file::MaskFile;
use crate::checkpoint::read::parameter::ParameterEntry as Parameter;
use crate::checkpoint::read::{Checkpoint, Dtype};
use crate::checkpoint::{CheckpointError, Observer, Phase};
use crate::element::Element;
use crate::error::PruneError;
use crate::method::BuiltIn;
use crate::method::candidates::Remaining;
use crate::method::decision::Decision;
use crate::method::request::{Reads, Request};
use crate::pruning_type::PruningType;
use crate::tensor::channels::Channels;
use crate::tensor::chunk::CHUNK;

/// What decides which entries of a parameter go.
#[derive(Debug)]
pub(crate) enum Rule {
    /// No more than are pruned already.
    Keep,
    /// What a method asks for of this parameter.
    Own { request: Request, standing: Standing },
    /// What was decided for all parameters together, ranked as `f64`: of which this one is a segment, whose chunks begin at `first`.
    All { decision: Arc<Decision<f64>>, segment: usize, first: usize },
    /// What the mask file does not keep.
    Packed(Arc<MaskFile>),
    /// What is zero.
    Zeros,
}

/// A selected parameter and its rule.
#[derive(Debug)]
pub(crate) struct Task {
    pub rule: Rule,
    /// How many units are to go, where that is the parameter's own number.
    pub asked: Option<usize>,
    /// How many entries its mask prunes so far.
    pub before: usize,
    /// How many it will prune, where that is known without looking.
    pub after: Option<usize>,
}

/// The rules for all selected parameters, in their order.
pub(crate) struct Rules {
    pub tasks: Vec<Task>,
    pub asked: Option<usize>,
    pub threshold: Option<f64>,
}

/// The seed that a tensor has of its own in a random pruning with [`Scope::Tensor`](crate::checkpoint::Scope::Tensor).
///
/// With it, [`RandomUnstructured`](crate::RandomUnstructured) and [`RandomStructured`](crate::RandomStructured) give the
/// tensor the same mask in memory. See [`Method::Random`](crate::checkpoint::Method::Random) for how it is made.
pub fn tensor_seed(seed: u64, tensor: &str) -> u64 {
    let hash = tensor.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3) // FNV-1a
    });
    let mut stream = ChaCha8Rng::seed_from_u64(seed);
    stream.set_stream(hash);
    stream.next_u64()
}

/// What is needed to read parameters.
pub(crate) struct Reading<'c, 'o> {
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
        masks: Option<&Arc<MaskFile>>,
    ) -> Result<Rules, CheckpointError> {
        let kind = prune.by.kind();
        let meter = self.counting(kind, parameters);
        let standing = |parameter: &&Parameter| Standing::of(self.checkpoint, parameter, self.pool, &meter);
        let standings = parameters.iter().map(standing).collect::<Result<Vec<_>, _>>()?;
        match &prune.by {
            By::Masks(_) => {
                meter.finish()?;
                let masks =
                    masks.into_iter().flat_map(|masks| std::iter::repeat(masks).zip(parameters)).zip(&standings);
                let tasks = masks.map(|((masks, parameter), standing)| Task {
                    rule: Rule::Packed(Arc::clone(masks)),
                    asked: None,
                    before: parameter.entries - standing.living,
                    after: None,
                });
                Ok(Rules { tasks: tasks.collect(), asked: None, threshold: None })
            }
            By::Method(method) if prune.scope == Scope::Global => {
                if kind != PruningType::Unstructured {
                    return Err(CheckpointError::NotUnstructured { method: method.name().to_owned() });
                }
                meter.finish()?;
                self.global(&**method, parameters, standings)
            }
            By::Method(method) => {
                let tasks = parameters.iter().zip(standings);
                let tasks = tasks.map(|(parameter, standing)| self.task(&**method, parameter, standing, &meter));
                let tasks = tasks.collect::<Result<Vec<_>, _>>()?;
                meter.finish()?;
                let asked = tasks.iter().map(|task| task.asked).sum();
                Ok(Rules { tasks, asked, threshold: None })
            }
        }
    }

    /// For the masks that are read to count what is left: entries, and then channels if those are pruned.
    fn counting(&self, kind: PruningType, parameters: &[&Parameter]) -> ProgressCounter<'_> {
        let masks = parameters.iter().filter_map(|parameter| parameter.mask);
        let bytes: u64 = masks.map(|mask| self.checkpoint.tensors[mask].bytes).sum();
        let looks = if kind.channels().is_some() { 2 } else { 1 };
        ProgressCounter::new(self.observer, Phase::Counting, looks * bytes)
    }

    /// The rule for a parameter by itself.
    fn task(
        &self,
        method: &dyn BuiltIn,
        parameter: &Parameter,
        standing: Standing,
        meter: &ProgressCounter<'_>,
    ) -> Result<Task, CheckpointError> {
        let refused = |source| CheckpointError::Tensor { tensor: parameter.name.clone(), source };
        let channels = method.pruning_type().channels();
        let channels = channels.map(|dim| self.channels(parameter, dim, meter)).transpose()?;
        let dtype = dispatch(parameter.dtype, NameAndSize);
        let left = Remaining {
            name: Some(&parameter.name),
            shape: &parameter.shape,
            dtype,
            entries: standing.living,
            channels,
        };
        let request = method.request(left).and_then(|request| on_files(method, request)).map_err(refused)?;
        let request = request.reseeded(|seed| tensor_seed(seed, &parameter.name));
        let before = parameter.entries - standing.living;
        let after = request.pruned(parameter.entries, before);
        Ok(Task { asked: request.count(), before, after, rule: Rule::Own { request, standing } })
    }

    fn channels(
        &self,
        parameter: &Parameter,
        dim: isize,
        meter: &ProgressCounter<'_>,
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
        method: &dyn BuiltIn,
        parameters: &[&'c Parameter],
        standings: Vec<Standing>,
    ) -> Result<Rules, CheckpointError> {
        let dtype = common_dtype(parameters);
        let entries = standings.iter().map(|standing| standing.living).sum();
        let left =
            Remaining { name: None, shape: &[entries], dtype: dispatch(dtype, NameAndSize), entries, channels: None };
        let request = method.request(left).and_then(|request| on_files(method, request));
        let request = request.map_err(|source| CheckpointError::Method { source })?;

        let bytes = |parameter: &&Parameter| self.checkpoint.tensors[parameter.weights].bytes;
        let total = if request.reads() == Reads::Pieces { parameters.iter().map(bytes).sum() } else { 0 };
        let meter = ProgressCounter::new(self.observer, Phase::Ranking, total);
        let search = Search { reading: self, parameters, standings: &standings, request: &request, meter: &meter };
        let decision = Arc::new(dispatch(dtype, search)?);
        meter.finish()?;

        let mut first = 0;
        let tasks = parameters.iter().zip(standings).enumerate().map(|(segment, (parameter, standing))| {
            let before = parameter.entries - standing.living;
            let rule = Rule::All { decision: Arc::clone(&decision), segment, first };
            first += parameter.entries.div_ceil(CHUNK);
            Task { rule, asked: None, before, after: (request.count() == Some(0)).then_some(before) }
        });
        let threshold = match &*decision {
            Decision::Lowest(cut) => Some(f64::from_bits(cut.key)),
            _ => None,
        };
        Ok(Rules { tasks: tasks.collect(), asked: request.count(), threshold })
    }
}

/// What is asked, if it can be done on files.
fn on_files(method: &dyn BuiltIn, request: Request) -> Result<Request, PruneError> {
    match request.only_in_memory() {
        None => Ok(request),
        Some(what) => Err(PruneError::method(method.name(), format!("{what} is not available for files"))),
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

/// A decision about all parameters, ranked in one type.
struct Search<'s, 'c, 'o> {
    reading: &'s Reading<'c, 'o>,
    parameters: &'s [&'c Parameter],
    standings: &'s [Standing],
    request: &'s Request,
    meter: &'s ProgressCounter<'o>,
}

impl Generic for Search<'_, '_, '_> {
    type Output = Result<Decision<f64>, CheckpointError>;

    fn run<W: Element>(self) -> Self::Output {
        let Self { reading: Reading { checkpoint, pool, .. }, parameters, standings, request, meter } = self;
        let scores = FileScores::<W>::new(checkpoint, parameters, pool, meter);
        Ok(widened(request.decide(&FileCandidates { scores, parameters, standings })?))
    }
}

struct NameAndSize;

impl Generic for NameAndSize {
    type Output = (&'static str, usize);

    fn run<A: Element>(self) -> Self::Output {
        (A::DTYPE, size_of::<A>())
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
