//! Every method once more, written from the documentation to be obviously right, however slow.

use std::cmp::Ordering;

use ndarray::{ArrayD, Axis, IxDyn};
use num_traits::{Float, One, Zero};
use prune::torch::Generator;
use prune::{Amount, Norm, PruningType};

use super::dtype::Dtype;
use super::group_oracle::{blocks, n_m};
use super::random_oracle::pruned_at_random;
use super::spec::Spec;

/// A tensor as a method is given it: row-major, with `remaining` if it is already pruned.
#[derive(Clone, Copy)]
pub struct Tensor<'a, A> {
    pub shape: &'a [usize],
    pub scores: &'a [A],
    pub remaining: Option<&'a [bool]>,
}

/// The mask after a method, or `None` where it must be an error.
pub fn mask<A: Dtype>(spec: &Spec, tensor: Tensor<'_, A>) -> Option<Vec<bool>> {
    let mut mask = tensor.remaining.map_or_else(|| vec![true; tensor.scores.len()], <[bool]>::to_vec);
    for index in pruned(spec, tensor)? {
        mask[index] = false;
    }
    Some(mask)
}

/// The indices of the entries that are pruned.
fn pruned<A: Dtype>(spec: &Spec, tensor: Tensor<'_, A>) -> Option<Vec<usize>> {
    let remaining: Vec<usize> =
        (0..tensor.scores.len()).filter(|&i| tensor.remaining.is_none_or(|remaining| remaining[i])).collect();
    Some(match spec {
        Spec::Identity => Vec::new(),
        &Spec::L1 { amount } => {
            let keys = magnitudes(remaining.iter().map(|&i| &tensor.scores[i]));
            chosen(&remaining, &lowest(&keys, f64::total_cmp, units(amount, remaining.len())?))
        }
        &Spec::Fpgm { amount, dim } => {
            let channels = remaining_channels(tensor, dim)?;
            let value = |&i: &usize| tensor.scores[i].to_f64().expect("it has a value");
            let distance = |a: &Vec<usize>, b: &Vec<usize>| {
                a.iter().zip(b).map(|(a, b)| (value(a) - value(b)) * (value(a) - value(b))).sum::<f64>().sqrt()
            };
            let sum = |a: &Vec<usize>| channels.iter().map(|b| distance(a, b)).sum::<f64>();
            let sums: Vec<f64> =
                channels.iter().map(sum).map(|sum| if sum.is_nan() { f64::NAN } else { sum }).collect();
            chosen(&channels, &lowest(&sums, f64::total_cmp, units(amount, channels.len())?)).concat()
        }
        &Spec::Lowest { amount } => {
            let keys: Vec<f64> = remaining.iter().map(|&i| signed(tensor.scores[i])).collect();
            chosen(&remaining, &lowest(&keys, f64::total_cmp, units(amount, remaining.len())?))
        }
        &Spec::Nm { pattern, amount } => n_m(pattern, amount, tensor)?,
        Spec::Block { amount, block, norm } => blocks(block, *norm, *amount, tensor)?,
        &Spec::Random { amount, seed } => {
            chosen(&remaining, &pruned_at_random(seed, remaining.len(), units(amount, remaining.len())?))
        }
        &Spec::Torch { amount, seed } => {
            let draws = magnitudes(&Generator::manual_seed(seed).rand::<A>(remaining.len()));
            let largest_first = |a: &f64, b: &f64| b.total_cmp(a);
            chosen(&remaining, &lowest(&draws, largest_first, units(amount, remaining.len())?))
        }
        &Spec::RandomChannels { amount, dim, seed } => {
            let channels = remaining_channels(tensor, dim)?;
            chosen(&channels, &pruned_at_random(seed, channels.len(), units(amount, channels.len())?)).concat()
        }
        &Spec::TorchChannels { amount, dim, seed } => {
            let channels = remaining_channels(tensor, dim)?;
            let count = units(amount, channels.len())?;
            let draws = Generator::manual_seed(seed).rand::<f32>(channels.len()).into_iter().collect::<Vec<f32>>();
            let mut sorted = draws.clone();
            sorted.sort_by(f32::total_cmp);
            let below = |i: &usize| count > 0 && draws[*i] <= sorted[count - 1];
            chosen(&channels, &(0..channels.len()).filter(below).collect::<Vec<_>>()).concat()
        }
        &Spec::Ln { amount, norm, dim } => {
            let norms = norms(tensor, norm, dim)?;
            let channels = remaining_channels(tensor, dim)?;
            chosen(&channels, &lowest(&magnitudes(&norms), f64::total_cmp, units(amount, channels.len())?)).concat()
        }
        Spec::Custom { misshapen: true, .. } => return None,
        Spec::Custom { keep, .. } => {
            let keep = keep.array(tensor.shape);
            keep.iter().enumerate().filter(|(_, kept)| !**kept).map(|(i, _)| i).collect()
        }
        &Spec::Every { step, kind } => {
            let all = || (0..tensor.scores.len()).collect();
            let handed = match kind {
                PruningType::Structured { dim } => sub_tensor(tensor, dim)?,
                PruningType::Unstructured if tensor.remaining.is_some() => remaining,
                PruningType::Unstructured | PruningType::Groups | PruningType::Global => all(),
                other => panic!("the oracle does not know {other:?}"),
            };
            handed.into_iter().enumerate().filter(|(position, _)| position % step != 0).map(|(_, i)| i).collect()
        }
    })
}

/// An amount in units, if there are as many: fractions by rounding half to even.
pub fn units(amount: Amount, available: usize) -> Option<usize> {
    let count = match amount {
        Amount::Count(count) => count,
        Amount::Fraction(fraction) if (0.0..=1.0).contains(&fraction) => {
            let product = fraction * available as f64;
            let (below, rest) = (product.floor() as usize, product.fract());
            below + usize::from(rest > 0.5 || rest == 0.5 && below % 2 == 1)
        }
        Amount::Fraction(_) => return None,
        other => panic!("the oracle does not know {other:?}"),
    };
    (count <= available).then_some(count)
}

/// Absolute values as they rank: NaN above everything, and all NaNs alike. Every dtype is exact in `f64`.
pub fn magnitudes<'a, A: Dtype>(xs: impl IntoIterator<Item = &'a A>) -> Vec<f64> {
    let magnitude = |x: &A| if x.is_nan() { f64::NAN } else { x.to_f64().expect("it has a value").abs() };
    xs.into_iter().map(magnitude).collect()
}

/// A score as it ranks with its sign: NaN above everything, and zeros alike.
fn signed<A: Dtype>(x: A) -> f64 {
    // The sum of -0.0 and 0.0 is 0.0.
    if x.is_nan() { f64::NAN } else { x.to_f64().expect("it has a value") + 0.0 }
}

/// The places of the first `count` keys in sorted order, equal ones by their place: the sort is stable.
pub fn lowest<K>(keys: &[K], order: impl Fn(&K, &K) -> Ordering, count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..keys.len()).collect();
    places.sort_by(|&a, &b| order(&keys[a], &keys[b]));
    places.truncate(count);
    places
}

fn chosen<T: Clone>(all: &[T], places: &[usize]) -> Vec<T> {
    places.iter().map(|&place| all[place].clone()).collect()
}

/// The number of the axis, if there is one to speak of.
fn axis(shape: &[usize], dim: isize) -> Option<usize> {
    let ndim = shape.len() as i128;
    let axis = i128::from(dim as i64) + if dim < 0 { ndim } else { 0 };
    (ndim >= 2 && (0..ndim).contains(&axis)).then_some(axis as usize)
}

/// The flat index of every entry, in the shape of the tensor.
fn indices(shape: &[usize]) -> ArrayD<usize> {
    let mut next = 0..;
    ArrayD::from_shape_simple_fn(IxDyn(shape), || next.next().unwrap_or_default())
}

/// The channels along an axis with a remaining entry. For a first call these are all channels, even those without entries.
fn remaining_along<A>(tensor: Tensor<'_, A>, axis: usize) -> Vec<usize> {
    let indices = indices(tensor.shape);
    let remains = |channel: &usize| {
        let mut entries = indices.index_axis(Axis(axis), *channel).into_iter();
        tensor.remaining.is_none_or(|remaining| entries.any(|&i| remaining[i]))
    };
    (0..tensor.shape[axis]).filter(remains).collect()
}

/// The flat indices of the entries of each remaining channel.
fn remaining_channels<A>(tensor: Tensor<'_, A>, dim: isize) -> Option<Vec<Vec<usize>>> {
    let axis = axis(tensor.shape, dim)?;
    let indices = indices(tensor.shape);
    let entries = |channel| indices.index_axis(Axis(axis), channel).iter().copied().collect();
    Some(remaining_along(tensor, axis).into_iter().map(entries).collect())
}

/// The flat indices of all entries of remaining channels, in the order of the tensor.
fn sub_tensor<A: Copy>(tensor: Tensor<'_, A>, dim: isize) -> Option<Vec<usize>> {
    let axis = axis(tensor.shape, dim)?;
    Some(indices(tensor.shape).select(Axis(axis), &remaining_along(tensor, axis)).iter().copied().collect())
}

/// The norm of each remaining channel, or `None` if it is undefined.
pub fn norms<A: Dtype>(tensor: Tensor<'_, A>, norm: Norm, dim: isize) -> Option<Vec<A>> {
    let n = match norm {
        Norm::L(n) if !n.is_nan() => n,
        Norm::Frobenius => 2.0,
        _ => return None,
    };
    let axis = axis(tensor.shape, dim)?;
    let entries: usize =
        tensor.shape.iter().enumerate().filter(|(i, _)| *i != axis).map(|(_, length)| length).product();
    if entries == 0 && (n < 0.0 || n.is_infinite()) {
        return None;
    }
    let channels = remaining_channels(tensor, dim)?;
    let contiguous = channels.len() == 1 || tensor.shape[..axis].iter().all(|&length| length == 1);
    let of = |channel: Vec<usize>| {
        let magnitudes: Vec<A::Wide> = channel.iter().map(|&i| tensor.scores[i].wide().abs()).collect();
        A::rounded(vector_norm::<A>(&magnitudes, n, contiguous))
    };
    Some(channels.into_iter().map(of).collect())
}

/// The `n`-norm of magnitudes, in PyTorch's order of operations.
fn vector_norm<A: Dtype>(xs: &[A::Wide], n: f64, contiguous: bool) -> A::Wide {
    let zero = A::Wide::zero();
    let total = |terms: &mut dyn Iterator<Item = A::Wide>| terms.fold(zero, |sum, x| sum + x);
    if n == 0.0 {
        return total(&mut xs.iter().filter(|&&x| x != zero).map(|_| A::Wide::one()));
    }
    if xs.len() == 1 {
        return xs[0];
    }
    if n.is_infinite() && xs.iter().any(|x| x.is_nan()) {
        return A::Wide::nan();
    }
    let mut each = xs.iter().copied();
    match n {
        f64::INFINITY => each.fold(zero, A::Wide::max),
        f64::NEG_INFINITY => each.fold(A::Wide::infinity(), A::Wide::min),
        1.0 => total(&mut each),
        2.0 => match A::BLOCK.filter(|_| contiguous) {
            Some(block) => vectorised_squares::<A>(xs, block).sqrt(),
            None => total(&mut each.map(|x| x * x)).sqrt(),
        },
        _ => {
            let n: A::Wide = num_traits::cast(n).expect("floats have a nearest float");
            total(&mut each.map(|x| x.powf(n))).powf(n.recip())
        }
    }
}

/// Lanes over the full blocks, then a tail: `f32` in groups of four with separate rounding, what then remains fused.
fn vectorised_squares<A: Dtype>(xs: &[A::Wide], block: usize) -> A::Wide {
    let lane_count = block.min(8);
    let (full, tail) = xs.split_at(xs.len() - xs.len() % block);
    let mut sum = <A::Wide as Zero>::zero();
    for lane in 0..lane_count {
        let squares = full.iter().skip(lane).step_by(lane_count).map(|&x| x * x);
        sum = sum + squares.fold(A::Wide::zero(), |sum, square| sum + square);
    }
    let separate = if size_of::<A::Wide>() == 4 { tail.len() - tail.len() % 4 } else { 0 };
    for (i, &x) in tail.iter().enumerate() {
        sum = if i < separate { sum + x * x } else { x.mul_add(x, sum) };
    }
    sum
}
