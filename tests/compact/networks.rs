//! Whole networks of torchvision: the shapes at 50 % are those of Torch-Pruning 1.6.1.

use std::collections::BTreeMap;

use ndarray::ArrayD;
use prune::compact::Dimension;
use prune::{Module, NamedParameters, NamedParametersMut, Parameter};
use serde::Deserialize;

use super::case::{StoredDimension, coupling, json};

#[derive(Deserialize)]
struct Network {
    dimensions: Vec<StoredDimension>,
    shapes: BTreeMap<String, Vec<usize>>,
    compact: BTreeMap<String, Vec<usize>>,
    parameters: BTreeMap<String, usize>,
}

/// Parameters in half precision: the largest network has 138 million weights.
struct Shapes(Vec<(String, Parameter<half::f16>)>);

impl Module for Shapes {
    type Elem = half::f16;

    fn named_parameters(&self) -> NamedParameters<'_, half::f16> {
        self.0.iter().map(|(name, parameter)| (name.clone(), parameter)).collect()
    }
    fn named_parameters_mut(&mut self) -> NamedParametersMut<'_, half::f16> {
        self.0.iter_mut().map(|(name, parameter)| (name.clone(), parameter)).collect()
    }
}

fn check(name: &str, dense: usize, compact: usize) {
    let network: Network = json(&format!("shapes-{name}"));
    let zeros = |shape: &Vec<usize>| Parameter::new(ArrayD::zeros(shape.clone()));
    // The running means are buffers, and so is `num_batches_tracked`, a number.
    let is_buffer = |name: &str| name.contains("running_") || name.ends_with("num_batches_tracked");
    let model = Shapes(network.shapes.iter().map(|(name, shape)| (name.clone(), zeros(shape))).collect());
    let declared = network.dimensions.iter().map(StoredDimension::get);
    let coupling = coupling(declared, &network.dimensions, network.shapes.keys().map(String::as_str));
    let half = |dimension: &StoredDimension| {
        let size = dimension.size.unwrap();
        (dimension.name.clone(), (size / 2..size).collect())
    };
    let plan = coupling.keep(&model, network.dimensions.iter().map(half)).unwrap();
    let mut entries = 0;
    for (parameter, expected) in &network.compact {
        let shape = plan.shape(parameter).unwrap();
        assert_eq!(&shape, expected, "{name}: {parameter}");
        if !is_buffer(parameter) {
            entries += shape.iter().product::<usize>();
        }
    }
    let recorded = ["dense", "compact", "torch-pruning"].map(|key| network.parameters[key]);
    assert_eq!(([dense, compact, compact], entries), (recorded, compact));
}

#[test]
fn resnet18() {
    check("resnet18", 11_689_512, 3_055_880);
}

#[test]
fn mobilenet_v2() {
    check("mobilenet_v2", 3_504_872, 1_221_768);
}

#[test]
fn vgg16_bn() {
    check("vgg16_bn", 138_365_992, 35_621_896);
}

#[test]
fn densenet121() {
    check("densenet121", 7_978_856, 2_274_728);
}

/// With sizes that are found in the shapes instead of given, where every use has an axis for itself.
#[test]
fn sizes_are_found_in_the_shapes() {
    let network: Network = json("shapes-resnet18");
    let zeros = |shape: &Vec<usize>| Parameter::new(ArrayD::zeros(shape.clone()));
    let model = Shapes(network.shapes.iter().map(|(name, shape)| (name.clone(), zeros(shape))).collect());
    let declared = network
        .dimensions
        .iter()
        .map(|stored| Dimension::new(&stored.name, stored.uses.iter().map(super::case::StoredUse::get)));
    let coupling = coupling(declared, &network.dimensions, network.shapes.keys().map(String::as_str));
    let sizes = coupling.check(&model).unwrap();
    for dimension in &network.dimensions {
        assert_eq!(Some(sizes.of(&dimension.name)), dimension.size);
    }
}
