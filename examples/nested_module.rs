//! A network of layers of layers: what its author writes, and what can be pruned by name then.
//!
//! ```text
//! cargo run --example nested_module
//! ```

use ndarray::Array1;
use prune::{L1Unstructured, Module, NamedParameters, NamedParametersMut, Parameter, prefixed, torch::Generator};
use std::{collections::BTreeMap, error::Error};

/// The innermost layer: two parameters, one of which may be missing.
struct Linear {
    weight: Parameter<f32>,
    bias: Option<Parameter<f32>>,
}

impl Module for Linear {
    type Elem = f32;
    prune::named_parameters!(weight, bias);
}

/// A layer of layers.
struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
}

impl Module for Attention {
    type Elem = f32;
    prune::named_parameters!(query, key, value);
}

/// A layer of layers of layers. The elements of an array or a vector are called 0, 1, ...
struct Block {
    attention: Attention,
    mlp: [Linear; 2],
    scale: Parameter<f32>,
}

impl Module for Block {
    type Elem = f32;
    prune::named_parameters!(attention, mlp, scale as "norm.weight");
}

/// Layers whose names are data. The macro lists fields, so this one is written by hand.
struct Heads {
    by_language: BTreeMap<String, Linear>,
}

impl Module for Heads {
    type Elem = f32;

    fn named_parameters(&self) -> NamedParameters<'_, f32> {
        self.by_language.iter().flat_map(|(name, head)| prefixed(name, head.named_parameters())).collect()
    }

    fn named_parameters_mut(&mut self) -> NamedParametersMut<'_, f32> {
        self.by_language.iter_mut().flat_map(|(name, head)| prefixed(name, head.named_parameters_mut())).collect()
    }
}

/// The network. Its stem may be any module of the same element type.
struct Network {
    stem: Box<dyn Module<Elem = f32>>,
    blocks: Vec<Block>,
    heads: Heads,
}

impl Module for Network {
    type Elem = f32;
    prune::named_parameters!(stem, blocks, heads);
}

impl Network {
    fn new(generator: &Generator) -> Self {
        let linear = |inputs, outputs| {
            let (weight, bias) = generator.linear::<f32>(inputs, outputs);
            Linear { weight: weight.into(), bias: Some(bias.into()) }
        };
        let without_bias = |inputs, outputs| Linear { bias: None, ..linear(inputs, outputs) };
        let block = || Block {
            attention: Attention { query: without_bias(8, 8), key: without_bias(8, 8), value: without_bias(8, 8) },
            mlp: [linear(8, 16), linear(16, 8)],
            scale: Array1::ones(8).into(),
        };
        let heads = ["english", "tamil"].map(|language| (language.to_owned(), linear(8, 4)));
        Self {
            stem: Box::new(without_bias(4, 8)),
            blocks: vec![block(), block()],
            heads: Heads { by_language: heads.into() },
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut network = Network::new(&Generator::manual_seed(888));

    // One parameter, wherever it is.
    prune::l1_unstructured(&mut network, "blocks.0.attention.query.weight", 0.5)?;
    prune::ln_structured(&mut network, "heads.tamil.weight", 1, 2, 0)?;

    // A part of the network is a module, too.
    prune::l1_unstructured(&mut network.blocks[1].mlp, "0.weight", 0.75)?;

    // One ranking decides for all matrices.
    let all = network.named_parameters().into_iter();
    let matrices: Vec<String> = all.filter(|(_, p)| p.value().ndim() == 2).map(|(name, _)| name).collect();
    prune::global_unstructured(prune::parameters_mut(&mut network, &matrices)?, L1Unstructured::new(0.2)?)?;

    println!("{:<34}{:>8}{:>10}  methods", "parameter", "shape", "zeros");
    for (name, parameter) in network.named_parameters() {
        let zeros = parameter.value().iter().filter(|&&x| x == 0.0).count();
        let methods: Vec<&str> = parameter.methods().iter().map(|method| method.name()).collect();
        let shape = format!("{:?}", parameter.value().shape());
        println!("{name:<34}{shape:>8}{zeros:>10}  {}", methods.join(", "));
    }

    // A typing error does not pass silently.
    if let Err(error) = prune::remove(&mut network.heads, "tamil.wieght") {
        println!("\n{error}");
    }
    Ok(())
}
