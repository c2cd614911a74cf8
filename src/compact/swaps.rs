//! Greedy swaps: units change places if the groups of a pattern keep more afterwards.

use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::compact::coupling::Use;
use crate::element::accumulator::Accumulator;
use crate::hash::fnv1a;
use crate::tensor::channels::Channels;
use crate::tensor::parallel;

/// The number of lines whose entries are ranked side by side.
const LANES: usize = 16;
/// The least gain, relative to what was kept: less may be rounding.
const LEAST_GAIN: f64 = 1e-12;

/// The magnitudes of some lines of a tensor along an axis. Those of one position are neighbours, so that lines are ranked
/// side by side.
pub(crate) struct Columns<F> {
    channels: Channels,
    lines: Range<usize>,
    magnitudes: Vec<F>,
}

impl<F: Accumulator> Columns<F> {
    /// Returns zeros for some of the lines, which are numbered in the order of their first entries.
    pub fn new(channels: Channels, lines: Range<usize>) -> Self {
        let magnitudes = vec![F::zero(); channels.len * lines.len()];
        Self { channels, lines, magnitudes }
    }

    /// The neighbouring entries of the tensor that hold the lines.
    pub fn entries(&self) -> Range<usize> {
        let Channels { len, inner, .. } = self.channels;
        self.lines.start / inner * inner * len..self.lines.end.div_ceil(inner) * inner * len
    }

    /// Takes over the magnitudes of neighbouring entries of the tensor, from `offset` on. NaN counts as infinity, as it is
    /// pruned last.
    pub fn fill(&mut self, offset: usize, entries: impl IntoIterator<Item = F>) {
        let Channels { len, inner, .. } = self.channels;
        let (mut within, mut position, mut outer) = (offset % inner, offset / inner % len, offset / inner / len);
        for x in entries {
            let line = outer * inner + within;
            if self.lines.contains(&line) {
                let magnitude = if x.is_nan() { F::infinity() } else { x.abs() };
                self.magnitudes[position * self.lines.len() + line - self.lines.start] = magnitude;
            }
            within += 1;
            if within == inner {
                (within, position) = (0, position + 1);
            }
            if position == len {
                (position, outer) = (0, outer + 1);
            }
        }
    }

    /// The number of positions along the axis.
    pub fn len(&self) -> usize {
        self.channels.len
    }

    fn column(&self, position: usize) -> &[F] {
        &self.magnitudes[position * self.lines.len()..][..self.lines.len()]
    }

    /// The magnitude that groups of `m` positions keep, if `n` entries of each line are kept in them and position `p` has the
    /// entries of `sources[p]`.
    pub fn kept(&self, sources: &[usize], n: usize, m: usize) -> Vec<f64> {
        let groups: Vec<&[usize]> = sources.chunks(m).collect();
        parallel::map(&groups, self.magnitudes.len(), |group| {
            kept(&group.iter().map(|&source| self.column(source)).collect::<Vec<_>>(), n)
        })
    }
}

/// The sum of the `n` largest entries of each line across some columns.
fn kept<F: Accumulator>(columns: &[&[F]], n: usize) -> f64 {
    let kept = n.min(columns.len());
    let pruned = columns.len() - kept;
    let mut lines = vec![[F::zero(); LANES]; columns.len()];
    let mut sums = [0.0; LANES];
    let count = columns.first().map_or(0, |column| column.len());
    for start in (0..count).step_by(LANES) {
        let end = count.min(start + LANES);
        for (lanes, column) in lines.iter_mut().zip(columns) {
            let column = &column[start..end];
            // Lanes beyond the last line are zero.
            lanes[column.len()..].fill(F::zero());
            lanes[..column.len()].copy_from_slice(column);
        }
        // Whichever takes fewer steps: the largest entries come first, or the smallest.
        let chosen = if kept <= pruned {
            (0..kept).for_each(|place| settle::<F, true>(&mut lines[place..]));
            &lines[..kept]
        } else {
            (0..pruned).for_each(|place| settle::<F, false>(&mut lines[place..]));
            &lines[pruned..]
        };
        for lanes in chosen {
            sums.iter_mut().zip(lanes).for_each(|(sum, &x)| *sum += x.into());
        }
    }
    sums.iter().sum()
}

/// Moves the largest or the smallest entry of each lane to the first place.
#[inline(always)]
fn settle<F: Accumulator, const LARGEST: bool>(lines: &mut [[F; LANES]]) {
    let Some((first, rest)) = lines.split_first_mut() else { return };
    for other in rest {
        for (a, b) in first.iter_mut().zip(other) {
            let (low, high) = if *a < *b { (*a, *b) } else { (*b, *a) };
            (*a, *b) = if LARGEST { (high, low) } else { (low, high) };
        }
    }
}

/// A parameter whose groups units are in.
pub(crate) struct Site<F> {
    pub columns: Columns<F>,
    /// The position that each position has its entries from.
    pub sources: Vec<usize>,
    /// The magnitude that each group keeps.
    pub kept: Vec<f64>,
}

/// The units of a dimension in some sites.
pub(crate) struct Movable {
    pub units: usize,
    /// The places of the units: in a site, by number.
    pub uses: Vec<(usize, Use)>,
    /// The unit at each place.
    pub order: Vec<usize>,
    pub tried: usize,
    pub taken: usize,
    random: ChaCha8Rng,
}

impl Movable {
    /// The units in their own order. The name of the dimension makes its random numbers differ from those of others.
    pub fn new(name: &str, units: usize, uses: Vec<(usize, Use)>, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(fnv1a(name.bytes()));
        Self { units, uses, order: (0..units).collect(), tried: 0, taken: 0, random }
    }

    /// Returns `true` if the order has an effect on what groups of `m` positions keep.
    fn has_effect(&self, m: usize) -> bool {
        has_effect(self.units, self.uses.iter().map(|(_, use_)| use_), m)
    }

    /// The groups of `m` positions that have entries of the units: the site and the number, in ascending order.
    pub fn groups(&self, m: usize) -> Vec<(usize, usize)> {
        let groups = self.uses.iter().flat_map(|(site, use_)| {
            (0..self.units).flat_map(|unit| use_.positions(unit, self.units)).map(move |p| (*site, p / m))
        });
        let mut groups: Vec<(usize, usize)> = groups.collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// Puts all units back to their places.
    pub fn undo(&mut self) {
        self.order.sort_unstable();
        self.taken = 0;
    }

    /// Pairs the places at random, each with one other. With an odd number one is left.
    fn pairs(&mut self) -> Vec<[usize; 2]> {
        let mut places: Vec<usize> = (0..self.units).collect();
        for last in (1..places.len()).rev() {
            // The upper half of a product is below the second factor, and as good as uniform.
            let other = (u128::from(self.random.next_u64()) * (last as u128 + 1)) >> 64;
            places.swap(last, other as usize);
        }
        places.as_chunks::<2>().0.to_vec()
    }

    /// Exchanges the units at two places, also in the sources of the sites.
    pub fn swap<F>(&mut self, [a, b]: [usize; 2], sites: &mut [Site<F>]) {
        self.order.swap(a, b);
        for (site, use_) in &self.uses {
            for (p, q) in use_.positions(a, self.units).zip(use_.positions(b, self.units)) {
                sites[*site].sources.swap(p, q);
            }
        }
    }
}

/// Returns `true` if the order of units has an effect: if a group of `m` positions has several units or a part of one. Groups
/// within one unit move with it.
pub(crate) fn has_effect<'u>(units: usize, mut uses: impl Iterator<Item = &'u Use>, m: usize) -> bool {
    units > 1 && uses.any(|use_| !use_.block.is_multiple_of(m) || !use_.offset.is_multiple_of(m))
}

/// Two places of one of the movables.
#[derive(Clone, Copy)]
struct Swap {
    movable: usize,
    places: [usize; 2],
}

/// The effect of a swap: the magnitude that is kept then, for each group that changes, by site and group.
type Change = Vec<(usize, usize, f64)>;

/// Sites, the units that move in them, and the pattern.
pub(crate) struct Climb<F> {
    pub sites: Vec<Site<F>>,
    pub movables: Vec<Movable>,
    pub n: usize,
    pub m: usize,
}

impl<F: Accumulator> Climb<F> {
    /// Tries to swap each unit once, with a random other one. Swaps of one batch change no group in common, so each is
    /// judged by itself, on any thread, and the result is that of one after the other.
    pub fn round(&mut self) {
        let mut rest = Vec::new();
        for (movable, units) in self.movables.iter_mut().enumerate() {
            if units.has_effect(self.m) {
                let pairs = units.pairs();
                units.tried += pairs.len();
                rest.extend(pairs.into_iter().map(|places| Swap { movable, places }));
            }
        }
        let mut claimed: Vec<Vec<usize>> = self.sites.iter().map(|site| vec![0; site.kept.len()]).collect();
        let mut number = 0;
        while !rest.is_empty() {
            number += 1;
            let (batch, later): (Vec<Swap>, Vec<Swap>) = rest.into_iter().partition(|swap| {
                let groups = self.groups(&self.moves(swap));
                let is_free = groups.iter().all(|&(site, group)| claimed[site][group] != number);
                // Those that come later claim their groups too, so that the order of swaps in a group stays as drawn.
                groups.into_iter().for_each(|(site, group)| claimed[site][group] = number);
                is_free
            });
            let lines = self.sites.iter().map(|site| site.columns.lines.len()).max().unwrap_or(0);
            let changes = parallel::map(&batch, batch.len() * lines * self.m * 2, |swap| self.improvement(swap));
            for (swap, change) in batch.iter().zip(changes) {
                let Some(change) = change else { continue };
                self.movables[swap.movable].swap(swap.places, &mut self.sites);
                self.movables[swap.movable].taken += 1;
                change.into_iter().for_each(|(site, group, kept)| self.sites[site].kept[group] = kept);
            }
            rest = later;
        }
    }

    /// The positions that a swap gives other entries, in ascending order, and the positions that have those now.
    fn moves(&self, swap: &Swap) -> Vec<(usize, usize, usize)> {
        let Movable { units, uses, .. } = &self.movables[swap.movable];
        let [a, b] = swap.places;
        let pairs = uses.iter().flat_map(|(site, use_)| {
            let pairs = use_.positions(a, *units).zip(use_.positions(b, *units));
            pairs.flat_map(move |(p, q)| [(*site, p, q), (*site, q, p)])
        });
        let mut moves: Vec<(usize, usize, usize)> = pairs.collect();
        moves.sort_unstable();
        moves
    }

    /// The groups that the moves of a swap change: sites and numbers, in ascending order.
    fn groups(&self, moves: &[(usize, usize, usize)]) -> Vec<(usize, usize)> {
        let mut groups: Vec<_> = moves.iter().map(|&(site, p, _)| (site, p / self.m)).collect();
        groups.dedup();
        groups
    }

    /// Returns the effect of a swap, if more is kept then.
    fn improvement(&self, swap: &Swap) -> Option<Change> {
        let moves = self.moves(swap);
        let (mut before, mut after) = (0.0, 0.0);
        let mut change = Vec::new();
        for (number, group) in self.groups(&moves) {
            let site = &self.sites[number];
            let positions = group * self.m..((group + 1) * self.m).min(site.sources.len());
            let column = |p: usize| {
                let moved = moves.binary_search_by_key(&(number, p), |&(site, p, _)| (site, p));
                site.columns.column(site.sources[moved.map_or(p, |at| moves[at].2)])
            };
            let kept = kept(&positions.map(column).collect::<Vec<_>>(), self.n);
            (before, after) = (before + site.kept[group], after + kept);
            change.push((number, group, kept));
        }
        // False for infinities, whose difference is NaN.
        (after - before > before * LEAST_GAIN).then_some(change)
    }
}
