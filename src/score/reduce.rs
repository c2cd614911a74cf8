//! Reductions of all channels of a tensor in one walk, in PyTorch's order of operations.
//!
//! PyTorch takes the entries of a channel one after the other, as they lie in memory. Each operation waits for the one before
//! it, so several channels are walked side by side for speed. Only the squares of a contiguous channel are summed in lanes, for
//! most types ([`ElementInternals::SQUARES`](crate::element::ElementInternals::SQUARES)).

use num_traits::{Float, Zero};

use crate::element::{Element, SquareSum};
use crate::tensor::channels::Channels;
use crate::tensor::parallel;

/// The number of neighbouring channels that are walked side by side.
const ABREAST: usize = 8;
/// The largest number of columns that are walked together. Their accumulators fit in the first-level cache. With more columns,
/// the walk changes less often between the pages of a wide matrix.
const COLUMNS: usize = 2048;
/// The smallest number of entries for a job. Smaller jobs would not repay their hand-over.
const MIN_JOB: usize = 1 << 16;

/// The channels of a tensor, to be reduced to one number each.
pub(crate) struct ChannelReduction<'a, A> {
    /// The entries in row-major order.
    pub tensor: &'a [A],
    pub channels: &'a Channels,
}

impl<A: Element> ChannelReduction<'_, A> {
    /// Folds the magnitudes of each channel into an accumulator, one after the other.
    pub fn fold(
        &self,
        start: A::Accumulator,
        step: impl Fn(A::Accumulator, A::Accumulator) -> A::Accumulator + Send + Sync,
    ) -> Vec<A::Accumulator> {
        let &Self { tensor, channels: &Channels { len, inner, .. } } = self;
        if tensor.is_empty() {
            return vec![start; len];
        }
        // A job consists of neighbouring channels: a number of columns, or as many other channels as make enough work.
        let group = if inner == 1 {
            (len / 8).clamp(64, COLUMNS)
        } else {
            (MIN_JOB * len / tensor.len()).max(1).next_multiple_of(ABREAST)
        };
        let groups: Vec<_> = (0..len).step_by(group).map(|first| first..(first + group).min(len)).collect();
        let sums = parallel::map(&groups, tensor.len(), |group| {
            let mut sums = vec![start; group.len()];
            for slab in tensor.chunks_exact(len * inner) {
                let part = &slab[group.start * inner..group.end * inner];
                if inner == 1 {
                    sums.iter_mut().zip(part).for_each(|(sum, x)| *sum = step(*sum, x.widen_abs()));
                } else {
                    for (sums, runs) in sums.chunks_mut(ABREAST).zip(part.chunks(ABREAST * inner)) {
                        abreast(sums, runs, inner, &step);
                    }
                }
            }
            sums
        });
        sums.concat()
    }

    /// Returns the sums of squares of [contiguous](Channels::are_contiguous) channels.
    pub fn square_sums(&self, blocks: SquareSum) -> Vec<A::Accumulator> {
        let &Self { tensor, channels } = self;
        if tensor.is_empty() {
            return vec![A::Accumulator::zero(); channels.len];
        }
        let size = channels.size();
        let groups: Vec<_> = tensor.chunks(size * (MIN_JOB / size).max(1)).collect();
        let sums = |group: &&[A]| group.chunks(size).map(|channel| square_sum(channel, blocks)).collect::<Vec<_>>();
        parallel::map(&groups, tensor.len(), sums).concat()
    }
}

/// Folds runs of `inner` entries into one accumulator per run, in step.
fn abreast<A: Element>(
    sums: &mut [A::Accumulator],
    runs: &[A],
    inner: usize,
    step: &impl Fn(A::Accumulator, A::Accumulator) -> A::Accumulator,
) {
    let Ok(full) = <&mut [A::Accumulator; ABREAST]>::try_from(&mut *sums) else {
        for (sum, run) in sums.iter_mut().zip(runs.chunks(inner)) {
            *sum = run.iter().fold(*sum, |sum, x| step(sum, x.widen_abs()));
        }
        return;
    };
    let runs: [&[A]; ABREAST] = std::array::from_fn(|i| &runs[i * inner..][..inner]);
    for i in 0..inner {
        for (sum, run) in full.iter_mut().zip(runs) {
            *sum = step(*sum, run[i].widen_abs());
        }
    }
}

/// Returns the sum of squares of a contiguous channel.
fn square_sum<A: Element>(run: &[A], blocks: SquareSum) -> A::Accumulator {
    match blocks.lanes {
        4 => in_lanes::<A, 4>(run, blocks.block),
        _ => in_lanes::<A, 8>(run, blocks.block),
    }
}

/// Sums squares in lanes: lane j takes entries j, j + lanes, ... of the full blocks, and the lanes are added from the left.
///
/// The rest follows in order: groups of four with two roundings per entry, then the last entries with a fused multiplication
/// and addition.
fn in_lanes<A: Element, const LANES: usize>(run: &[A], block: usize) -> A::Accumulator {
    let (head, tail) = run.split_at(run.len() - run.len() % block);
    let mut lanes = [A::Accumulator::zero(); LANES];
    for entries in head.as_chunks::<LANES>().0 {
        for (lane, x) in lanes.iter_mut().zip(entries) {
            let x = x.widen_abs();
            *lane = *lane + x * x;
        }
    }
    let sum = lanes.into_iter().fold(A::Accumulator::zero(), |sum, lane| sum + lane);
    let (separate, fused) = tail.split_at(tail.len() - tail.len() % 4);
    let sum = separate.iter().map(|x| x.widen_abs()).fold(sum, |sum, x| sum + x * x);
    fused.iter().map(|x| x.widen_abs()).fold(sum, |sum, x| x.mul_add(x, sum))
}
