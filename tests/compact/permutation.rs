//! Laws of permutations, and of the search for one.

use ndarray::{Array2, ArrayD, Axis, array};
use proptest::prelude::*;
use prune::compact::{CompactError, Coupling, Dimension, KeptMagnitude, Permuted, Search, Use};
use prune::torch::Generator;
use prune::{Element, Module, NM, ParameterStore};

use super::laws::{assert_same, forward, models, three_layers};
use crate::laws::runner::check_law;

fn search(n: usize, m: usize) -> Search {
    Search { budget: 20, ..Search::new(NM::new(n, m, -1).unwrap()) }
}

fn orders(sizes: [usize; 2]) -> impl Strategy<Value = [Vec<usize>; 2]> {
    sizes.map(|size| Just((0..size).collect::<Vec<_>>()).prop_shuffle())
}

/// The oracle: `select`, with the position of each unit by the formula of a use. Masks, originals and arrays of an optimizer
/// are reordered alike, and the inverse puts all back.
#[test]
fn a_permutation_selects_positions() {
    let inputs = models().prop_flat_map(|model| (orders(model.sizes), Just(model), any::<u64>(), 0.0..1.0));
    check_law(inputs, |(orders, model, seed, amount)| {
        let mut store = model.store();
        let names: Vec<String> = store.iter().map(|(name, _)| name.to_owned()).collect();
        for (name, seed) in names.iter().step_by(2).zip(seed..) {
            prune::random_unstructured(&mut store, name, amount, seed).unwrap();
        }
        let listed = ["a", "b"].into_iter().zip(orders.clone());
        let permutation = model.coupling().reorder(&store, listed).unwrap();
        let before = store.clone();
        permutation.apply(&mut store).unwrap();
        for (name, axes) in names.iter().zip(&model.parameters) {
            let moved = |array: &ArrayD<f32>| {
                axes.iter().enumerate().fold(array.clone(), |array, (axis, place)| match place {
                    Some(place) => array.select(Axis(axis), &place.reordered(&orders[place.dimension])),
                    None => array,
                })
            };
            let (old, new) = (&before[&**name], &store[&**name]);
            assert_eq!((new.value(), new.orig()), (&moved(old.value()), &moved(old.orig())));
            assert_eq!(permutation.slice(name, old.value()).unwrap(), *new.value());
            let numbers = |mask: &prune::Mask| mask.to_array().mapv(|kept| f32::from(u8::from(kept)));
            assert_eq!(new.mask().map(numbers), old.mask().map(|mask| moved(&numbers(mask))));
            assert_eq!(new.methods().len(), old.methods().len());
        }
        let inverse = permutation.inverse();
        inverse.apply(&mut store).unwrap();
        names.iter().for_each(|name| assert_same(&before[&**name], &store[&**name]));
        assert_eq!(inverse.inverse(), permutation);
    });
}

/// The magnitude that the pattern keeps of a parameter: the sum over what is left when it is pruned.
fn pruned<A: Element>(store: &ParameterStore<A>, names: &[&str], pattern: NM) -> f64 {
    let mut store = store.clone();
    names.iter().for_each(|name| prune::apply(&mut store, name, pattern).unwrap());
    names.iter().map(|name| store[*name].value().iter().map(|x| x.to_f64().unwrap().abs()).sum::<f64>()).sum()
}

/// Asserts that the report has the magnitude that pruning keeps, before and after, and that it never falls.
#[track_caller]
fn assert_reported<A: Element>(store: &ParameterStore<A>, found: &Permuted, names: &[&str], pattern: NM) {
    let mut permuted = store.clone();
    found.permutation.apply(&mut permuted).unwrap();
    let KeptMagnitude { all, before, after } = found.total;
    let everything = pruned(store, names, NM::new(1, 1, -1).unwrap());
    for (reported, expected) in
        [(all, everything), (before, pruned(store, names, pattern)), (after, pruned(&permuted, names, pattern))]
    {
        assert!((reported - expected).abs() <= 1e-12 * expected, "{reported} for {expected}");
    }
    assert!(after >= before);
    for dimension in &found.dimensions {
        assert!(dimension.magnitude.after >= dimension.magnitude.before, "{}", dimension.name);
        assert!(dimension.taken <= dimension.tried);
        let order = found.permutation.order(&dimension.name);
        assert!(dimension.taken > 0 || order.iter().copied().eq(0..dimension.units), "{}", dimension.name);
    }
}

/// Random networks: outputs stay, to rounding.
#[test]
fn the_search_keeps_outputs_and_loses_no_magnitude() {
    let inputs = (1_usize..6, 1_usize..20, 1_usize..20, 1_usize..9, any::<u64>(), 0_usize..5, 1_usize..7);
    check_law(inputs, |(inputs, wide, narrow, outputs, seed, n, m)| {
        let generator = Generator::manual_seed(seed);
        let (mut net, coupling) = three_layers(&generator, [inputs, wide, narrow, outputs]);
        prune::l1_unstructured(&mut net, "2.weight", 0.25).unwrap();
        let search = Search { seed, ..search(n.min(m), m) };
        let found = coupling.permute(&net, &search).unwrap();
        assert_reported(&net, &found, &["2.weight", "3.weight"], search.pattern);
        let input = generator.uniform::<f64>((3, inputs), -2.0, 2.0).into_dimensionality().unwrap();
        let difference = found.permutation.verify(&net, |net| forward(net, &input));
        assert!(difference.unwrap() < 1e-13);
        // The search is of some dimensions only, if so declared.
        let only = coupling.only(["narrow"]).unwrap().permute(&net, &search).unwrap();
        assert!(only.permutation.order("wide").iter().copied().eq(0..wide));
        assert_eq!(only.permutation.order("narrow"), found.permutation.order("narrow"));
    });
}

/// Any couplings: blocks, repetitions, offsets, two dimensions along one axis, groups that straddle units.
#[test]
fn any_coupling_can_be_searched() {
    let place = (1_usize..6, 1_usize..3, 1_usize..4, 0_usize..3);
    let inputs = (place.clone(), place, 1_usize..5, any::<u64>(), 1_usize..4, 2_usize..6);
    check_law(inputs, |((a, a_repeat, a_block, gap), (b, b_repeat, b_block, after), lines, seed, n, m)| {
        let generator = Generator::manual_seed(seed);
        let offset = gap + a * a_repeat * a_block;
        let len = offset + b * b_repeat * b_block + after;
        let mut net = ParameterStore::new();
        net.insert("both", generator.uniform::<f32>((lines, len), -1.0, 1.0));
        net.insert("one", generator.uniform::<f32>((2, a, 3), -1.0, 1.0));
        net.insert("vector", generator.uniform::<f32>(b, -1.0, 1.0));
        let first = [Use::input("both", 1).offset(gap).repeat(a_repeat).block(a_block), Use::out("one", 1)];
        let second = [Use::input("both", 1).offset(offset).repeat(b_repeat).block(b_block), Use::out("vector", 0)];
        let coupling =
            Coupling::new().with(Dimension::new("a", first).size(a)).with(Dimension::new("b", second).size(b));
        for (dim, names) in [(-1, &["both"][..]), (1, &["both", "one"])] {
            let search = Search { pattern: NM::new(n.min(m), m, dim).unwrap(), ..search(1, 2) };
            let found = coupling.permute(&net, &search).unwrap();
            assert_reported(&net, &found, names, search.pattern);
        }
    });
}

fn network<A: Element>(units: usize, outputs: usize, seed: u64) -> (ParameterStore<A>, Coupling) {
    let generator = Generator::manual_seed(seed);
    let mut net = ParameterStore::new();
    net.insert("a", generator.uniform::<A>((units, 2), -1.0, 1.0));
    net.insert("b", generator.uniform::<A>((outputs, units), -1.0, 1.0));
    (net, Coupling::new().dimension("h", [Use::out("a", 0), Use::input("b", 1)]))
}

#[test]
fn every_element_type_is_searched() {
    fn check<A: Element>() {
        let (net, coupling) = network::<A>(64, 33, 7);
        let found = coupling.permute(&net, &search(2, 4)).unwrap();
        assert_reported(&net, &found, &["b"], NM::new(2, 4, -1).unwrap());
        assert!(found.total.after > 1.01 * found.total.before, "{found}");
    }
    check::<f32>();
    check::<f64>();
    check::<half::f16>();
    check::<half::bf16>();
}

/// Numbers beyond the range of `f32` are compared as they are.
#[test]
fn tiny_and_huge_numbers_are_compared() {
    for scale in [1e-300, 1e300] {
        let (mut net, coupling) = network::<f64>(16, 1, 1);
        net.named_parameters_mut().into_iter().for_each(|(_, parameter)| parameter.update(|mut b| b *= scale));
        let found = coupling.permute(&net, &search(2, 4)).unwrap();
        assert!(found.total.after > found.total.before);
    }
}

/// Columns of equal size in a group: 2:4 loses half of everything. Afterwards every group has two large ones, and zeros.
#[test]
fn the_best_order_is_found_where_it_is_known() {
    let column = |unit: usize| if unit % 8 < 4 { 1.0 + unit as f32 } else { 0.0 };
    let mut net = ParameterStore::from_iter([("a", Array2::<f32>::ones((32, 2)))]);
    net.insert("b", Array2::from_shape_fn((5, 32), |(_, unit)| column(unit)));
    let coupling = Coupling::new().dimension("h", [Use::out("a", 0), Use::input("b", 1)]);
    let found = coupling.permute(&net, &search(2, 4)).unwrap();
    assert_eq!(found.total.all, found.total.after);
    assert!(found.total.before < 0.6 * found.total.all);
    assert_reported(&net, &found, &["b"], search(2, 4).pattern);
}

#[test]
fn a_budget_of_nothing_changes_nothing() {
    let (net, coupling) = network::<f32>(16, 3, 1);
    let found = coupling.permute(&net, &Search { budget: 0, ..search(2, 4) }).unwrap();
    assert!(found.permutation.is_identity());
    assert_eq!(found.total.before, found.total.after);
    assert_eq!((found.dimensions[0].tried, found.dimensions[0].taken), (0, 0));
    // One round tries one swap of each unit.
    let found = coupling.permute(&net, &Search { budget: 1, ..search(2, 4) }).unwrap();
    assert_eq!(found.dimensions[0].tried, 8);
}

#[cfg(feature = "rayon")]
#[test]
fn any_number_of_threads_finds_one_order() {
    let (net, coupling) = network::<f32>(256, 1000, 3);
    let search = search(2, 4);
    let found = coupling.permute(&net, &search).unwrap();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| coupling.permute(&net, &search).unwrap()), found);
    }
}

/// The same order from the same seed, another one from another seed.
#[test]
fn a_seed_gives_one_order() {
    let (net, coupling) = network::<f32>(16, 20, 3);
    let search = search(2, 4);
    let found = coupling.permute(&net, &search).unwrap();
    let other = coupling.permute(&net, &Search { seed: 1, ..search }).unwrap();
    assert_ne!(other.permutation, found.permutation);
    // Two dimensions of one seed differ too.
    let mut two = net.clone();
    two.insert("c", net["a"].value().clone());
    two.insert("d", net["b"].value().clone());
    let both = coupling.dimension("i", [Use::out("c", 0), Use::input("d", 1)]).permute(&two, &search).unwrap();
    assert_eq!(both.permutation.order("h"), found.permutation.order("h"));
    assert_ne!(both.permutation.order("i"), found.permutation.order("h"));
}

/// A change of this order is a value-breaking change.
#[test]
fn the_order_of_a_seed_is_pinned() {
    let (net, coupling) = network::<f32>(12, 4, 0);
    let found = coupling.permute(&net, &search(2, 4)).unwrap();
    assert_eq!(found.permutation.order("h"), [5, 1, 2, 10, 4, 7, 3, 0, 8, 9, 6, 11]);
}

/// NaN and infinities are kept by every order, so a swap gains nothing in their groups.
#[test]
fn infinities_and_nan_do_not_mislead() {
    let (mut net, coupling) = network::<f32>(16, 3, 1);
    net.named_parameters_mut()[1].1.update(|mut b| {
        b[[0, 0]] = f32::NAN;
        b[[1, 5]] = f32::NEG_INFINITY;
    });
    let found = coupling.permute(&net, &search(2, 4)).unwrap();
    assert_eq!(found.total.after, f64::INFINITY);
    let order = found.permutation.order("h");
    assert_eq!(order[..8], (0..8).collect::<Vec<_>>());
}

/// Heads whose groups lie within them: an order changes nothing, so none is searched.
#[test]
fn blocks_of_whole_groups_are_not_searched() {
    let mut net = ParameterStore::from_iter([("v", Array2::<f32>::ones((16, 2)))]);
    net.insert("o", Generator::manual_seed(1).uniform::<f32>((2, 16), -1.0, 1.0));
    let uses = |block: usize| [Use::out("v", 0).block(block), Use::input("o", 1).block(block)];
    let found = |block| Coupling::new().dimension("heads", uses(block)).permute(&net, &search(2, 4)).unwrap();
    for block in [4, 8] {
        assert_eq!((found(block).dimensions[0].tried, found(block).permutation.is_identity()), (0, true));
    }
    assert!(found(2).dimensions[0].tried > 0);
    // From an offset on that is no multiple of a group, each group has a half of two heads.
    net.insert("o", Generator::manual_seed(1).uniform::<f32>((2, 18), -1.0, 1.0));
    let uses = [Use::out("v", 0).block(4), Use::input("o", 1).block(4).offset(2)];
    let coupling = Coupling::new().with(Dimension::new("heads", uses).size(4));
    assert!(coupling.permute(&net, &search(2, 4)).unwrap().dimensions[0].tried > 0);
}

#[test]
fn mistakes_are_reported_and_change_nothing() {
    let (mut net, coupling) = network::<f32>(3, 2, 1);
    let order = |order: &[usize]| coupling.reorder(&net, [("h", order.to_vec())]).unwrap_err().to_string();
    assert_eq!(order(&[0, 1]), "dimension `h` has 3 units, but the order lists 2");
    assert_eq!(order(&[0, 1, 1]), "unit 1 of dimension `h` is listed twice");
    assert_eq!(order(&[0, 1, 3]), "unit 3 of dimension `h` is out of range: it has 3 units");
    let reorder = |names: [&str; 2]| coupling.reorder(&net, names.map(|name| (name, vec![2, 1, 0]))).unwrap_err();
    assert_eq!(reorder(["h", "x"]).to_string(), "no dimension named `x`; the dimensions are `h`");
    assert_eq!(reorder(["h", "h"]).to_string(), "two dimensions are named `h`");
    let along = |dim| coupling.permute(&net, &Search::new(NM::new(2, 4, dim).unwrap())).unwrap_err();
    assert_eq!(along(2), CompactError::NoUnitsAlong { dim: 2 });
    assert_eq!(
        along(-3).to_string(),
        "no dimension has units along axis -3, which the groups of the pattern run along"
    );

    let permutation = coupling.reorder(&net, [("h", vec![2, 1, 0])]).unwrap();
    let calls = std::cell::Cell::new(0);
    let shape = permutation.verify(&net, |_| ndarray::Array1::zeros(calls.replace(calls.get() + 1)));
    assert!(matches!(shape, Err(CompactError::PermutedShape { .. })), "{shape:?}");
    let wide = ParameterStore::from_iter([("a", array![[1.0_f32], [2.0], [3.0]]), ("b", array![[1.0, 2.0, 3.0]])]);
    for mut other in [wide, ParameterStore::from_iter([("a", net["a"].value().clone())])] {
        let before = other.clone();
        let error = permutation.apply(&mut other).unwrap_err();
        assert!(matches!(error, CompactError::OtherShape { .. } | CompactError::MissingParameter { .. }), "{error}");
        before.iter().for_each(|(name, parameter)| assert_same(parameter, &other[name]));
    }
    assert!(permutation.slice("a", &array![1.0]).is_err() && permutation.slice("c", &array![1.0]).is_err());
    permutation.apply(&mut net).unwrap();
}

#[test]
fn the_report_is_a_table() {
    let mut net = ParameterStore::from_iter([("a", Array2::<f32>::ones((8, 2)))]);
    net.insert("b", array![[1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]]);
    let coupling = Coupling::new().dimension("hidden units", [Use::out("a", 0), Use::input("b", 1)]);
    let found = coupling.permute(&net, &search(2, 4)).unwrap();
    let table = "\
dimension      units  kept before  kept after   swaps
hidden units       8       50.00%     100.00%       2
total                      50.00%     100.00%
";
    assert_eq!(found.to_string(), table);
}
