//! Laws of every coupling and every plan.

use ndarray::{Array2, ArrayD, Axis, Ix1, Ix2};
use proptest::prelude::*;
use proptest::sample::subsequence;
use prune::compact::{Coupling, Dimension, Role, Use};
use prune::torch::Generator;
use prune::{Parameter, ParameterStore};

use crate::laws::runner::check_law;

/// A model of two dimensions. Each parameter has an axis for one of them, or one for each.
#[derive(Debug, Clone)]
pub struct Model {
    pub sizes: [usize; 2],
    kept: [Vec<usize>; 2],
    /// For each parameter and axis: the dimension, repetition, block, and positions before and after it.
    pub parameters: Vec<Vec<Option<Place>>>,
}

#[derive(Debug, Clone)]
pub struct Place {
    pub dimension: usize,
    role: Role,
    repeat: usize,
    block: usize,
    before: usize,
    after: usize,
}

pub fn models() -> impl Strategy<Value = Model> {
    let place = |dimension: usize| {
        let role = proptest::sample::select(vec![Role::Out, Role::Follow, Role::In, Role::Buffer]);
        let place = (role, 1_usize..3, 1_usize..3, 0_usize..3, 0_usize..3);
        place.prop_map(move |(role, repeat, block, before, after)| Place {
            dimension,
            role,
            repeat,
            block,
            before,
            after,
        })
    };
    let parameter = (proptest::option::of(place(0)), proptest::option::of(place(1)), any::<bool>());
    let parameter = parameter.prop_map(|(a, b, swapped)| if swapped { vec![b, a] } else { vec![a, b] });
    let kept = (1_usize..5).prop_flat_map(|size| (Just(size), subsequence((0..size).collect::<Vec<_>>(), 1..=size)));
    (kept.clone(), kept, proptest::collection::vec(parameter, 1..5)).prop_map(|(a, b, parameters)| Model {
        sizes: [a.0, b.0],
        kept: [a.1, b.1],
        parameters,
    })
}

impl Place {
    /// The oracle: the old position at each new one, if the units have this order.
    pub fn reordered(&self, order: &[usize]) -> Vec<usize> {
        let (size, span) = (order.len(), self.repeat * order.len() * self.block);
        let moved = |inside: usize| {
            let (repetition, unit, within) =
                (inside / self.block / size, inside / self.block % size, inside % self.block);
            (repetition * size + order[unit]) * self.block + within
        };
        let inside = (0..span).map(|inside| self.before + moved(inside));
        (0..self.before).chain(inside).chain(self.before + span..self.before + span + self.after).collect()
    }
}

impl Model {
    pub fn coupling(&self) -> Coupling {
        let dimension = |d: usize| {
            let mut uses = Vec::new();
            for (number, axes) in self.parameters.iter().enumerate() {
                for (axis, place) in axes.iter().enumerate() {
                    let Some(place) = place.as_ref().filter(|place| place.dimension == d) else { continue };
                    let use_ = Use::new(place.role, number.to_string(), axis);
                    uses.push(use_.offset(place.before).repeat(place.repeat).block(place.block));
                }
            }
            Dimension::new(["a", "b"][d], uses).size(self.sizes[d]).open()
        };
        let coupling = Coupling::new().with(dimension(0)).with(dimension(1));
        let unused = self.parameters.iter().enumerate().filter(|(_, axes)| axes.iter().all(Option::is_none));
        unused.fold(coupling, |coupling, (number, _)| coupling.fixed(number.to_string()))
    }

    pub fn store(&self) -> ParameterStore<f32> {
        let len = |place: &Option<Place>| {
            place.as_ref().map_or(2, |p| p.before + p.after + p.repeat * p.block * self.sizes[p.dimension])
        };
        let tensor = |(number, axes): (usize, &Vec<Option<Place>>)| {
            let shape: Vec<usize> = axes.iter().map(len).collect();
            let mut next = -3.0;
            (
                number.to_string(),
                ArrayD::from_shape_simple_fn(shape, || {
                    next += 1.0_f32;
                    next
                }),
            )
        };
        self.parameters.iter().enumerate().map(tensor).collect()
    }

    fn kept(&self) -> [(&'static str, Vec<usize>); 2] {
        [("a", self.kept[0].clone()), ("b", self.kept[1].clone())]
    }

    /// The oracle: the positions of an axis that stay, by the formula of a use.
    fn positions(&self, place: &Place) -> Vec<usize> {
        let size = self.sizes[place.dimension];
        let unit_of = |position: usize| (position / place.block) % size;
        let span = place.repeat * size * place.block;
        (0..place.before + span + place.after)
            .filter(|&p| {
                let Some(inside) = p.checked_sub(place.before).filter(|&inside| inside < span) else { return true };
                self.kept[place.dimension].contains(&unit_of(inside))
            })
            .collect()
    }
}

#[track_caller]
pub fn assert_same(a: &Parameter<f32>, b: &Parameter<f32>) {
    let bits = |array: &ArrayD<f32>| array.mapv(f32::to_bits);
    assert_eq!(bits(a.value()), bits(b.value()));
    assert_eq!(bits(a.orig()), bits(b.orig()));
    assert_eq!(a.mask(), b.mask());
}

#[test]
fn compaction_selects_positions() {
    check_law(models(), |model| {
        let mut store = model.store();
        let plan = model.coupling().keep(&store, model.kept()).unwrap();
        let before = store.clone();
        plan.compact(&mut store).unwrap();
        for (number, axes) in model.parameters.iter().enumerate() {
            let name = number.to_string();
            let mut expected = before[&*name].value().clone();
            for (axis, place) in axes.iter().enumerate() {
                if let Some(place) = place {
                    expected = expected.select(Axis(axis), &model.positions(place));
                }
            }
            assert_eq!(store[&*name].value(), &expected);
            assert_eq!(plan.slice(&name, before[&*name].value()).unwrap(), expected);
        }
    });
}

/// The coupled mask clears exactly the entries that compaction removes.
#[test]
fn the_coupled_mask_keeps_what_is_kept() {
    check_law(models(), |model| {
        let mut masked = model.store();
        let plan = model.coupling().keep(&masked, model.kept()).unwrap();
        let mut compacted = masked.clone();
        plan.mask(&mut masked).unwrap();
        plan.compact(&mut compacted).unwrap();
        for (name, parameter) in masked.iter() {
            let Some(mask) = parameter.mask() else { continue };
            let kept = plan.slice(name, &mask.to_array()).unwrap();
            assert!(kept.iter().all(|&kept| kept), "{name}");
            let value = plan.slice(name, parameter.value()).unwrap();
            assert_eq!(&value, compacted[name].value());
        }
    });
}

/// Masks that were there before: cutting and masking commute.
#[test]
fn masks_before_and_after_compaction_are_the_same() {
    check_law((models(), any::<u64>(), 0.0..1.0), |(model, seed, amount)| {
        let mut before = model.store();
        let plan = model.coupling().keep(&before, model.kept()).unwrap();
        let names: Vec<String> = before.iter().map(|(name, _)| name.to_owned()).collect();
        let mut after = before.clone();
        for (name, seed) in names.iter().zip(seed..) {
            prune::random_unstructured(&mut before, name, amount, seed).unwrap();
        }
        let masks = before.clone();
        plan.compact(&mut before).unwrap();
        plan.compact(&mut after).unwrap();
        for name in &names {
            let mask = plan.slice(name, &masks[name].mask().unwrap().to_array()).unwrap();
            prune::custom_from_mask(&mut after, name, mask).unwrap();
            assert_same(&before[name], &after[name]);
        }
    });
}

/// A network of three layers, and the coupling of its hidden units.
pub fn three_layers(generator: &Generator, sizes: [usize; 4]) -> (ParameterStore<f64>, Coupling) {
    let mut net = ParameterStore::new();
    for (name, sizes) in ["1", "2", "3"].into_iter().zip(sizes.windows(2)) {
        let (weight, bias) = generator.linear::<f64>(sizes[0], sizes[1]);
        net.insert(format!("{name}.weight"), weight);
        net.insert(format!("{name}.bias"), bias);
    }
    let hidden = |a: &str, b: &str| {
        [Use::out(format!("{a}.weight"), 0), Use::follow(format!("{a}.bias"), 0), Use::input(format!("{b}.weight"), 1)]
    };
    let coupling = Coupling::new().dimension("wide", hidden("1", "2")).dimension("narrow", hidden("2", "3"));
    (net, coupling.fixed("3.bias"))
}

/// The outputs of these layers, with a tanh and a ReLU between them.
pub fn forward(net: &ParameterStore<f64>, input: &Array2<f64>) -> Array2<f64> {
    let layer = |x: Array2<f64>, name: &str| {
        x.dot(&net[&*format!("{name}.weight")].view::<Ix2>().t()) + net[&*format!("{name}.bias")].view::<Ix1>()
    };
    layer(layer(layer(input.clone(), "1").mapv(f64::tanh), "2").mapv(|x| x.max(0.0)), "3")
}

/// A random network, random units, random inputs: the masked and the compacted network agree.
#[test]
fn masked_and_compacted_networks_agree() {
    let inputs = (1_usize..6, 1_usize..8, 1_usize..8, 1_usize..4, any::<u64>(), 0.0..1.0, 0.0..1.0);
    check_law(inputs, |(inputs, wide, narrow, outputs, seed, a, b)| {
        let generator = Generator::manual_seed(seed);
        let (net, coupling) = three_layers(&generator, [inputs, wide, narrow, outputs]);
        let choice = |amount: f64| prune::compact::Choice::new(amount);
        let wide = coupling.only(["wide"]).unwrap().choose(&net, &choice(a)).unwrap();
        let plan = wide.and(&coupling.only(["narrow"]).unwrap().choose(&net, &choice(b)).unwrap()).unwrap();
        let input = generator.uniform::<f64>((3, inputs), -2.0, 2.0).into_dimensionality().unwrap();
        let difference = plan.verify(&net, |net, _| forward(net, &input));
        assert!(difference.unwrap() < 1e-13);
    });
}
