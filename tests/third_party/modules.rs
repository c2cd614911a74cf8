//! Networks of layers of layers.

use super::{KeepEvery, history};
use half::f16;
use ndarray::{Array1, Array2, arr2};
use prune::{Element, Module, NamedParameters, NamedParametersMut, Parameter, ParameterStore, PruneError, prefixed};
use std::collections::BTreeMap;

/// Generic over the element type, with an optional part.
struct Linear<A: Element> {
    weight: Parameter<A>,
    bias: Option<Parameter<A>>,
}

impl<A: Element> Module for Linear<A> {
    type Elem = A;
    prune::named_parameters!(weight, bias);
}

impl<A: Element> Linear<A> {
    fn new() -> Self {
        Self { weight: Array2::ones((2, 2)).into(), bias: Some(Array1::ones(2).into()) }
    }
}

/// A tuple struct: its field is called 0, or whatever the macro is told.
struct Scale(Parameter<f32>);

impl Module for Scale {
    type Elem = f32;
    prune::named_parameters!(0 as "weight");
}

/// Layers of layers, in every kind of collection.
struct Block {
    pair: [Linear<f32>; 2],
    scale: Box<Scale>,
}

impl Module for Block {
    type Elem = f32;
    prune::named_parameters!(pair, scale as "norm");
}

/// By hand: names that are data.
struct Heads(BTreeMap<&'static str, Linear<f32>>);

impl Module for Heads {
    type Elem = f32;

    fn named_parameters(&self) -> NamedParameters<'_, f32> {
        self.0.iter().flat_map(|(name, head)| prefixed(name, head.named_parameters())).collect()
    }
    fn named_parameters_mut(&mut self) -> NamedParametersMut<'_, f32> {
        self.0.iter_mut().flat_map(|(name, head)| prefixed(name, head.named_parameters_mut())).collect()
    }
}

struct Network {
    blocks: Vec<Block>,
    heads: Heads,
    extra: Box<dyn Module<Elem = f32>>,
}

impl Module for Network {
    type Elem = f32;
    prune::named_parameters!(blocks, heads, extra);
}

impl Network {
    fn new() -> Self {
        let block = || Block {
            pair: [Linear { bias: None, ..Linear::new() }, Linear::new()],
            scale: Box::new(Scale(Array1::ones(2).into())),
        };
        Self {
            blocks: vec![block(), block()],
            heads: Heads([("b", Linear::new()), ("a", Linear { bias: None, ..Linear::new() })].into()),
            extra: Box::new(ParameterStore::from_iter([("inner.weight", Array2::ones((2, 2)))])),
        }
    }
}

const NAMES: [&str; 12] = [
    "blocks.0.pair.0.weight",
    "blocks.0.pair.1.weight",
    "blocks.0.pair.1.bias",
    "blocks.0.norm.weight",
    "blocks.1.pair.0.weight",
    "blocks.1.pair.1.weight",
    "blocks.1.pair.1.bias",
    "blocks.1.norm.weight",
    "heads.a.weight",
    "heads.b.weight",
    "heads.b.bias",
    "extra.inner.weight",
];

#[test]
fn a_nested_network_has_dotted_names_in_order() -> Result<(), PruneError> {
    let mut network = Network::new();
    let names: Vec<String> = network.named_parameters().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, NAMES);
    let names: Vec<String> = network.named_parameters_mut().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, NAMES);
    for name in NAMES {
        prune::apply(&mut network, name, KeepEvery(2))?;
        assert_eq!(network.parameter(name).map(history), Some(vec!["KeepEvery"]), "{name}");
    }
    for name in NAMES {
        assert!(prune::is_pruned(&network));
        prune::remove(&mut network, name)?;
    }
    assert!(!prune::is_pruned(&network));
    Ok(())
}

#[test]
fn parts_and_trait_objects_are_modules() -> Result<(), PruneError> {
    let mut network = Network::new();
    prune::l1_unstructured(&mut network.blocks[1], "pair.0.weight", 1)?;
    prune::l1_unstructured(&mut network.blocks, "1.norm.weight", 1)?;
    prune::l1_unstructured(&mut network.heads, "b.bias", 1)?;
    let any: &mut dyn Module<Elem = f32> = &mut network;
    prune::l1_unstructured(any, "extra.inner.weight", 1)?;
    let pruned = network.named_parameters().into_iter().filter(|(_, parameter)| parameter.is_pruned());
    let names: Vec<String> = pruned.map(|(name, _)| name).collect();
    assert_eq!(names, ["blocks.1.pair.0.weight", "blocks.1.norm.weight", "heads.b.bias", "extra.inner.weight"]);

    let mut half = Linear::<f16>::new();
    prune::l1_unstructured(&mut half, "weight", 0.5)?;
    assert_eq!(half.weight.mask().unwrap(), &arr2(&[[false, false], [true, true]]));
    Ok(())
}

#[test]
fn a_whole_network_is_pruned_at_once() -> Result<(), PruneError> {
    let mut network = Network::new();
    let matrices: Vec<&str> =
        NAMES.into_iter().filter(|name| name.ends_with("pair.1.weight") || name.contains("heads")).collect();
    prune::global_unstructured(prune::parameters_mut(&mut network, &matrices)?, KeepEvery(3))?;
    let kept: f32 = network.named_parameters().into_iter().map(|(_, parameter)| parameter.value().sum()).sum();
    // 18 of the 38 entries take part, and every third of these is kept.
    assert_eq!(kept, 6.0 + 20.0);

    let error = prune::parameters_mut(&mut network.heads, &["b.bias", "c.bias"]).expect_err("there is no c");
    assert_eq!(error.to_string(), "no parameter named `c.bias`; the module has `a.weight`, `b.weight`, `b.bias`");
    Ok(())
}
