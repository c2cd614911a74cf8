//! One walk over all channels of a tensor, in PyTorch's order of operations.
//!
//! That order is one operation after the other over a channel's entries, as they lie in memory. Each waits for the one
//! before it, so the speed comes from elsewhere: several channels are walked side by side. Only the squares of a contiguous
//! channel are summed in lanes, for most types ([`ElementInternals::SQUARES`](crate::element::ElementInternals::SQUARES)).

use num_traits::{Float, Zero};

use crate::element::{Element, SquareSum};
use crate::tensor::channels::Channels;
use crate::tensor::parallel;

/// Channels that lie next to each other in memory, walked side by side.
const ABREAST: usize = 8;
/// At most so many columns are walked together. Their accumulators fit in the first-level cache; the more columns there are,
/// the less often the pages that the rows of a wide matrix lie in change.
const COLUMNS: usize = 2048;
/// Entries below which it does not pay to split the work further.
const JOB: usize = 1 << 16;

pub(crate) struct ChannelReduction<'a, A> {
    /// In row-major order.
    pub tensor: &'a [A],
    pub channels: &'a Channels,
}

impl<A: Element> ChannelReduction<'_, A> {
    /// Folds the magnitudes of each channel, one after the other, into an accumulator.
    pub fn fold(
        &self,
        start: A::Accumulator,
        step: impl Fn(A::Accumulator, A::Accumulator) -> A::Accumulator + Send + Sync,
    ) -> Vec<A::Accumulator> {
        let &Self { tensor, channels: &Channels { len, inner, .. } } = self;
        if tensor.is_empty() {
            return vec![start; len];
        }
        // A job is some neighbouring channels: whole columns, if channels are columns, else as many as make enough work.
        let group = if inner == 1 {
            (len / 8).clamp(64, COLUMNS)
        } else {
            (JOB * len / tensor.len()).max(1).next_multiple_of(ABREAST)
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

    /// The sums of squares of [contiguous](Channels::are_contiguous) channels.
    pub fn square_sums(&self, blocks: SquareSum) -> Vec<A::Accumulator> {
        let &Self { tensor, channels } = self;
        if tensor.is_empty() {
            return vec![A::Accumulator::zero(); channels.len];
        }
        let size = channels.size();
        let groups: Vec<_> = tensor.chunks(size * (JOB / size).max(1)).collect();
        let sums = |group: &&[A]| group.chunks(size).map(|channel| square_sum(channel, blocks)).collect::<Vec<_>>();
        parallel::map(&groups, tensor.len(), sums).concat()
    }
}

/// Folds runs of `inner` entries each into as many accumulators, in step.
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

fn square_sum<A: Element>(run: &[A], blocks: SquareSum) -> A::Accumulator {
    match blocks.lanes {
        4 => in_lanes::<A, 4>(run, blocks.block),
        _ => in_lanes::<A, 8>(run, blocks.block),
    }
}

/// Lane j takes entries j, j + lanes, ... of the full blocks, and the lanes are added from the left. Of the rest, groups of
/// four are added with two roundings each, and the last ones with a fused multiplication and addition.
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
