//! Masks in what burn does with a module: copies, devices, validation, other reparameterizations, quantization, lazy parameters.

use burn::module::{Lora, Module, ModuleVisitor, Param, ParamGroup, Quantizer};
use burn::nn::LinearConfig;
use burn::prelude::*;
use burn::tensor::quantization::{Calibration, QuantScheme, QuantValue};
use prune::L1Unstructured;

use crate::{Net, all_bits, bits, messages, net};

#[test]
fn clones_are_independent() {
    let net = prune_burn::l1_unstructured(net(), "*.weight", 0.5).unwrap();
    let before = (all_bits(&net), prune_burn::masks(&net).unwrap());
    let further = prune_burn::l1_unstructured(net.clone(), "*.weight", 0.5).unwrap();
    assert_ne!(prune_burn::masks(&further).unwrap(), before.1);
    assert_eq!((all_bits(&net), prune_burn::masks(&net).unwrap()), before);
}

#[test]
fn validation_training_and_devices() {
    let device = Device::default().autodiff();
    let net = prune_burn::l1_unstructured(Net::new(&device), "*.weight", 0.5).unwrap();
    let masks = prune_burn::masks(&net).unwrap();
    let moved = net.clone().valid().to_device(&Device::default()).train().fork(&device);
    assert_eq!(prune_burn::masks(&moved).unwrap(), masks);
    assert_eq!(all_bits(&moved), all_bits(&net));
    // Pruned without autodiff, then trained.
    let pruned = prune_burn::l1_unstructured(net.valid(), "*.weight", 0.5).unwrap().train();
    let sum = pruned.output.weight.val().sum();
    let gradient = pruned.output.weight.base().grad(&sum.backward()).expect("it is trained").into_data();
    let kept = prune_burn::masks(&pruned).unwrap()["output.weight"].iter().map(f32::from).collect::<Vec<_>>();
    assert_eq!(gradient.try_into_vec::<f32>().unwrap(), kept);
}

fn q8() -> Quantizer {
    Quantizer::new(Calibration::MinMax, QuantScheme::default().with_value(QuantValue::Q8S))
}

/// A base may be quantized under its mask; it cannot be ranked any more.
#[test]
fn quantization_after_pruning() {
    let net = prune_burn::l1_unstructured(net(), "output.weight", 0.5).unwrap();
    let before = (prune_burn::masks(&net).unwrap(), net.output.weight.val());
    let group = ParamGroup::from_path("output.weight");
    let net = net.quantize_weights_group(&mut q8(), group);
    assert_eq!(prune_burn::masks(&net).unwrap(), before.0);
    let difference = (net.output.weight.val() - before.1).abs().max().into_scalar::<f32>();
    assert!(difference < 0.01, "{difference}");
    let error = messages(prune_burn::l1_unstructured(net.clone(), "output.weight", 0.5).unwrap_err());
    assert!(error.starts_with("cannot prune `output.weight`: its type is QFloat"), "{error}");
    let error = messages(prune_burn::identity(net, "output.weight").unwrap_err());
    assert!(error.starts_with("cannot prune `output.weight`: its type is QFloat"), "{error}");
}

#[test]
fn lora_takes_the_place_of_a_mask() {
    let net = net().apply_lora(Lora::new(2, 1.0).set_param_group(ParamGroup::from_path("output.weight")));
    let error = messages(prune_burn::l1_unstructured(net.clone(), "output.weight", 0.5).unwrap_err());
    let reason = "it has the reparameterization `lora`, and a parameter has one at most";
    assert_eq!(error, format!("cannot prune `output.weight`: {reason}"));
    assert!(prune_burn::identity(net.clone(), "output.weight").is_err());
    assert!(prune_burn::global_unstructured(net.clone(), "*.weight", L1Unstructured::new(1).unwrap()).is_err());
    // Other parameters, those of the adapter too, can be pruned. Their masks are merged with it or not at all.
    let pruned = prune_burn::l1_unstructured(net, ["hidden.0.weight", "output.weight.lora.a"], 0.5).unwrap();
    let paths: Vec<_> = prune_burn::masks(&pruned).unwrap().into_keys().collect();
    assert_eq!(paths, ["hidden.0.weight", "output.weight.lora.a"]);
    let adapter = pruned.output.weight.adapter().unwrap();
    assert_eq!(adapter.a.val().equal_elem(0.0).int().sum().into_scalar::<i64>(), 12);
    let error = messages(prune_burn::remove(pruned.clone(), "hidden.0.weight").unwrap_err());
    let expected = "cannot remove masks without merging the reparameterization `lora` of `output.weight`; `materialize` merges all of them";
    assert_eq!(error, expected);
    assert!(!prune_burn::is_pruned(&pruned.materialize()));
}

/// burn's own limit, of which the documentation warns.
#[test]
fn lora_on_a_pruned_parameter_is_ignored() {
    let pruned = prune_burn::l1_unstructured(net(), "output.weight", 0.5).unwrap();
    let masks = prune_burn::masks(&pruned).unwrap();
    let net = pruned.apply_lora(Lora::new(2, 1.0));
    assert!(net.output.weight.adapter().is_none() && net.hidden[0].weight.adapter().is_some());
    assert_eq!(prune_burn::masks(&net).unwrap(), masks);
}

/// Only what is pruned is initialized, and once for all clones.
#[test]
fn lazy_parameters() {
    struct Lazy(Vec<bool>);
    impl ModuleVisitor for Lazy {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(!param.is_initialized());
        }
    }
    let layers = [LinearConfig::new(4, 3).init(&Device::default()), LinearConfig::new(3, 2).init(&Device::default())];
    let _ =
        (prune_burn::is_pruned(&layers), prune_burn::masks(&layers).unwrap(), prune_burn::sparsity(&layers).unwrap());
    let clone = layers.clone();
    let layers = prune_burn::l1_unstructured(layers, "1.weight", 0.5).unwrap();
    let mut lazy = Lazy(Vec::new());
    layers.visit(&mut lazy);
    assert_eq!(lazy.0, [true, true, false, true]);
    assert_eq!(bits(layers[1].weight.base()), bits(clone[1].weight.val()));
}
