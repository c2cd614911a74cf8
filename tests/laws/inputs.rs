//! The inputs on which the laws are tried.

use ndarray::{ArrayD, IxDyn};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use prune::{Amount, Norm, PruningType};

use super::dtype::Dtype;
use super::layout::Layout;
use super::spec::Spec;

/// A few elements, repeated to fill a tensor of any shape: few enough for ties, and easy to shrink.
#[derive(Debug, Clone)]
pub struct Fill<T>(Vec<T>);

impl<T: Copy> Fill<T> {
    /// Of one element at least.
    pub fn of(elements: Vec<T>) -> Self {
        Self(elements)
    }

    pub fn array(&self, shape: &[usize]) -> ArrayD<T> {
        let mut elements = self.0.iter().cycle();
        ArrayD::from_shape_simple_fn(IxDyn(shape), || *elements.next().expect("a fill is not empty"))
    }
}

/// Any bits, small numbers that tie, ordinary numbers, and the odd ones out.
pub fn values<A: Dtype>() -> BoxedStrategy<Fill<A>> {
    let bits = any::<u64>().prop_map(A::of_bits);
    let small = (-3_i8..=3).prop_map(|x| A::of(x.into()));
    let ordinary = (-4.0..4.0).prop_map(A::of);
    let odd = select(vec![0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e-40, 6e-8, 60_000.0, 1e30]);
    let odd = odd.prop_map(A::of);
    let mixed = prop_oneof![3 => bits, 4 => small.clone(), 2 => ordinary.clone(), 2 => odd];
    prop_oneof![
        3 => prop::collection::vec(mixed, 1..48),
        2 => prop::collection::vec(small, 1..48),
        2 => prop::collection::vec(ordinary, 1..200),
    ]
    .prop_map(Fill)
    .boxed()
}

pub fn flags() -> BoxedStrategy<Fill<bool>> {
    prop::collection::vec(any::<bool>(), 1..24).prop_map(Fill).boxed()
}

/// Ranks 0 to 6, also with axes of length 0 and 1, of at most a few hundred entries.
pub fn shape() -> BoxedStrategy<Vec<usize>> {
    let axis = prop_oneof![2 => Just(1_usize), 3 => Just(2), 3 => Just(3), 2 => 4_usize..8];
    let some = prop::collection::vec(axis, 0..=6).prop_map(|mut shape| {
        while shape.iter().product::<usize>() > 400 {
            shape.pop();
        }
        shape
    });
    let none = (prop::collection::vec(0_usize..4, 1..=6), any::<Index>()).prop_map(|(mut shape, at)| {
        *at.get_mut(&mut shape) = 0;
        shape
    });
    let vector = (0_usize..80).prop_map(|length| vec![length]);
    prop_oneof![10 => some, 1 => none, 2 => vector].boxed()
}

pub fn layout() -> BoxedStrategy<Layout> {
    select(Layout::ALL.to_vec()).boxed()
}

pub fn amount() -> BoxedStrategy<Amount> {
    let fraction = prop_oneof![
        6 => 0.0..=1.0,
        4 => select(vec![0.0, -0.0, 0.25, 0.5, 1.0]),
        1 => select(vec![f64::NAN, -0.1, 1.0 + f64::EPSILON, f64::INFINITY, -5e-324]),
    ];
    let count = prop_oneof![10 => 0_usize..6, 3 => 0_usize..200, 1 => Just(usize::MAX)];
    prop_oneof![fraction.prop_map(Amount::Fraction), count.prop_map(Amount::Count)].boxed()
}

pub fn dim() -> BoxedStrategy<isize> {
    prop_oneof![6 => -2_isize..2, 3 => -7_isize..7, 1 => select(vec![isize::MIN, isize::MAX])].boxed()
}

pub fn norm() -> BoxedStrategy<Norm> {
    let orders = vec![0.0, -0.0, 1.0, 2.0, 3.0, 0.5, -1.0, -2.5, 1e-3, 1e300, f64::INFINITY, f64::NEG_INFINITY];
    prop_oneof![8 => select(orders).prop_map(Norm::L), 2 => Just(Norm::L(2.0)), 1 => Just(Norm::Frobenius)].boxed()
}

/// Any method, also with arguments that it must reject.
pub fn spec() -> BoxedStrategy<Spec> {
    let norm = prop_oneof![20 => norm(), 1 => Just(Norm::L(f64::NAN))];
    let third_party = (dim(), 1_usize..4, 0_usize..3).prop_map(|(dim, step, kind)| {
        let kinds = [PruningType::Unstructured, PruningType::Structured { dim }, PruningType::Global];
        Spec::Every { step, kind: kinds[kind] }
    });
    prop_oneof![
        1 => Just(Spec::Identity),
        2 => unstructured(),
        2 => (amount(), dim(), any::<u64>()).prop_map(|(amount, dim, seed)| Spec::RandomChannels { amount, dim, seed }),
        1 => (amount(), dim(), any::<u64>()).prop_map(|(amount, dim, seed)| Spec::TorchChannels { amount, dim, seed }),
        3 => (amount(), norm, dim()).prop_map(|(amount, norm, dim)| Spec::Ln { amount, norm, dim }),
        3 => groups(),
        1 => (amount(), dim()).prop_map(|(amount, dim)| Spec::Fpgm { amount, dim }),
        2 => (flags(), layout(), prop::bool::weighted(0.1))
            .prop_map(|(keep, layout, misshapen)| Spec::Custom { keep, layout, misshapen }),
        2 => third_party,
    ]
    .boxed()
}

/// Methods that prune in groups or whole groups.
pub fn groups() -> BoxedStrategy<Spec> {
    let pattern = prop_oneof![
        20 => (1_usize..7, 0_usize..7, dim()).prop_map(|(m, n, dim)| (n.min(m), m, dim)),
        1 => dim().prop_map(|dim| (3, 2, dim)),
    ];
    let nm = (pattern, prop::option::of(amount())).prop_map(|(pattern, amount)| Spec::Nm { pattern, amount });
    let size = prop_oneof![30 => 1_usize..6, 1 => Just(0), 1 => Just(usize::MAX)];
    let norm = select(vec![Norm::L(1.0), Norm::L(2.0), Norm::Frobenius, Norm::L(f64::INFINITY)]);
    let block = (amount(), prop::collection::vec(size, 0..4), norm);
    let block = block.prop_map(|(amount, block, norm)| Spec::Block { amount, block, norm });
    prop_oneof![nm, block].boxed()
}

/// Any method that global pruning takes.
pub fn unstructured() -> BoxedStrategy<Spec> {
    prop_oneof![
        3 => amount().prop_map(|amount| Spec::L1 { amount }),
        1 => amount().prop_map(|amount| Spec::Lowest { amount }),
        2 => (amount(), any::<u64>()).prop_map(|(amount, seed)| Spec::Random { amount, seed }),
        1 => (amount(), any::<u64>()).prop_map(|(amount, seed)| Spec::Torch { amount, seed }),
        1 => (1_usize..4).prop_map(|step| Spec::Every { step, kind: PruningType::Unstructured }),
    ]
    .boxed()
}
