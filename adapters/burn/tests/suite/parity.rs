//! Masks and values are bit for bit those of `nn-prune` for the same arrays.

use burn::module::Param;
use burn::nn::LinearConfig;
use burn::prelude::*;
use burn::tensor::{DType, FloatDType};
use half::{bf16, f16};
use ndarray::{ArrayD, IxDyn};
use prune::{
    AnyMethod, Block, CustomFromMask, Element, Identity, L1Unstructured, LnStructured, Mask, NM, Parameter,
    RandomStructured, RandomUnstructured, torch::Generator,
};

use crate::{CastTo, TYPES, WEIGHTS, net};

/// A base with what is special: negative and zero entries, both zeros, ties, infinity and NaN.
fn special(device: &Device) -> Tensor<2> {
    let mut entries: Vec<f32> = (0_u16..48).map(|i| f32::from(i * 37 % 48) / 8.0 - 3.0).collect();
    (entries[3], entries[7], entries[11], entries[12]) = (-0.0, f32::NAN, f32::NEG_INFINITY, 0.0);
    (entries[20], entries[21]) = (0.125, -0.125);
    Tensor::from_data(TensorData::new(entries, [8, 6]), device)
}

/// The parameter of `nn-prune` with the entries of a tensor.
fn parameter<A: Element + burn::tensor::Element>(data: &TensorData) -> Parameter<A> {
    let entries = data.as_slice::<A>().unwrap().to_vec();
    Parameter::new(ArrayD::from_shape_vec(IxDyn(data.shape().as_slice()), entries).unwrap())
}

/// Prunes with one method after the other, in burn and in `nn-prune`, and compares mask and value after each.
fn compare<A: Element + burn::tensor::Element>(dtype: FloatDType, methods: &[AnyMethod]) {
    let tensor = special(&Device::default()).cast(dtype);
    let mut expected = parameter::<A>(&tensor.clone().into_data());
    let mut param = Param::from_tensor(tensor);
    for method in methods {
        expected.prune(method.clone()).unwrap();
        param = prune_burn::apply(param, "", method.clone()).unwrap();
        assert_eq!(Some(&prune_burn::masks(&param).unwrap()[""]), expected.mask(), "{dtype:?} {methods:?}");
        assert_eq!(exact(param.val().into_data()), exact(data(expected.value())), "{dtype:?} {methods:?}");
        assert_eq!(exact(param.base().into_data()), exact(data(expected.orig())));
    }
}

/// An array as data of burn.
fn data<A: Element + burn::tensor::Element>(array: &ArrayD<A>) -> TensorData {
    TensorData::new(array.iter().copied().collect::<Vec<A>>(), array.shape())
}

/// The type, and the entries as bits of `f64`, which tell 0.0 from -0.0. All NaNs are one value here: the product of one and a
/// mask may have another sign or payload.
fn exact(data: TensorData) -> (DType, Vec<Option<u64>>) {
    let entries = data.iter::<f64>().map(|entry| (!entry.is_nan()).then(|| entry.to_bits()));
    (data.dtype(), entries.collect())
}

fn compare_types(methods: &[AnyMethod]) {
    for dtype in TYPES {
        match dtype {
            FloatDType::F32 => compare::<f32>(dtype, methods),
            FloatDType::F64 => compare::<f64>(dtype, methods),
            FloatDType::F16 => compare::<f16>(dtype, methods),
            FloatDType::BF16 => compare::<bf16>(dtype, methods),
            FloatDType::Flex32 => unreachable!("not in the list"),
        }
    }
}

#[test]
fn every_method_and_type_first_and_again() {
    let mask = Mask::from(ArrayD::from_shape_fn(IxDyn(&[8, 6]), |index| (index[0] + index[1]) % 3 != 0));
    let methods = [
        AnyMethod::new(Identity),
        AnyMethod::new(L1Unstructured::new(0.3).unwrap()),
        AnyMethod::new(RandomUnstructured::new(5, 42).unwrap()),
        AnyMethod::new(LnStructured::new(1, 2, 1).unwrap()),
        AnyMethod::new(RandomStructured::new(1, 0, 7).unwrap()),
        AnyMethod::new(CustomFromMask::new(mask)),
        AnyMethod::new(NM::new(2, 4, 0).unwrap()),
        AnyMethod::new(Block::new(0.25, &[2, 2], 1).unwrap()),
    ];
    for first in &methods {
        for second in &methods {
            compare_types(&[first.clone(), second.clone()]);
        }
    }
}

#[test]
fn generators_of_pytorch_draw_in_the_order_of_the_module() {
    let net = net();
    let expected_of = Generator::manual_seed(888);
    let expected: Vec<_> = [net.hidden[0].weight.base(), net.hidden[1].weight.base()]
        .map(|base| {
            let mut weight = parameter::<f32>(&base.into_data());
            weight.prune(RandomUnstructured::new(0.5, &expected_of).unwrap()).unwrap();
            weight.mask().unwrap().clone()
        })
        .into();
    let generator = Generator::manual_seed(888);
    let net = prune_burn::random_unstructured(net, "hidden.*.weight", 0.5, &generator).unwrap();
    let masks = prune_burn::masks(&net).unwrap();
    assert_eq!([&masks["hidden.0.weight"], &masks["hidden.1.weight"]], [&expected[0], &expected[1]]);
}

/// A path is pruned with the seed itself, and the matches of a pattern with one of their own each, as files are.
#[test]
fn seeds_of_several_parameters() {
    let net = net();
    let seeded = |path: &str, base: Tensor<2>, seed| {
        let mut weight = parameter::<f32>(&base.into_data());
        weight.prune(RandomUnstructured::new(0.5, seed).unwrap()).unwrap();
        (path.to_owned(), weight.mask().unwrap().clone())
    };
    let (zero, one) = (net.hidden[0].weight.base(), net.hidden[1].weight.base());
    let named = prune_burn::random_unstructured(net.clone(), ["hidden.0.weight", "hidden.1.weight"], 0.5, 42).unwrap();
    let expected = [seeded("hidden.0.weight", zero.clone(), 42), seeded("hidden.1.weight", one.clone(), 42)].into();
    assert_eq!(prune_burn::masks(&named).unwrap(), expected);

    let matched = prune_burn::random_unstructured(net, "hidden.*.weight", 0.5, 42).unwrap();
    let own = |path, base| seeded(path, base, prune::tensor_seed(42, path));
    assert_eq!(
        prune_burn::masks(&matched).unwrap(),
        [own("hidden.0.weight", zero), own("hidden.1.weight", one)].into()
    );
}

#[test]
fn global_ranking_over_all_weights() {
    let net = net();
    let mut weights = vec![parameter::<f32>(&net.conv.weight.base().into_data())];
    let linear = net.hidden.iter().chain([&net.output]);
    weights.extend(linear.map(|layer| parameter::<f32>(&layer.weight.base().into_data())));
    let mut net = net;
    for amount in [0.5, 0.25] {
        prune::global_unstructured(weights.iter_mut(), L1Unstructured::new(amount).unwrap()).unwrap();
        net = prune_burn::global_unstructured(net, WEIGHTS, L1Unstructured::new(amount).unwrap()).unwrap();
        let masks = prune_burn::masks(&net).unwrap();
        for (path, weight) in WEIGHTS.iter().zip(&weights) {
            assert_eq!(Some(&masks[*path]), weight.mask());
        }
    }
}

/// Halves and singles are compared in a type that holds both.
#[test]
fn global_ranking_over_several_types() {
    let mut net = net();
    for layer in &mut net.hidden {
        // `f16` would round so small weights to a few values, and rank many of them alike.
        layer.weight = layer.weight.clone().map(|weight| weight * 1e-6);
        *layer = layer.clone().map(&mut CastTo(FloatDType::BF16));
    }
    net.output = net.output.map(&mut CastTo(FloatDType::F16));
    // Half of the weights of a hidden layer.
    let l1 = || L1Unstructured::new(16 * 12 / 2).unwrap();
    let pruned = prune_burn::global_unstructured(net.clone(), "*.weight", l1()).unwrap();
    let wide = prune_burn::global_unstructured(net.map(&mut CastTo(FloatDType::F64)), "*.weight", l1());
    assert_eq!(prune_burn::masks(&pruned).unwrap(), prune_burn::masks(&wide.unwrap()).unwrap());
    for (path, dtype) in [("hidden.1.weight", FloatDType::BF16), ("output.weight", FloatDType::F16)] {
        let value = if path.starts_with('h') { pruned.hidden[1].weight.val() } else { pruned.output.weight.val() };
        assert_eq!(value.dtype(), crate::dtype(dtype), "{path}");
    }
}

#[test]
fn scores_rank_instead_of_values() {
    let net = net();
    let scores: Vec<f64> = (0_u32..16 * 12).map(|i| f64::from(i * 77 % 192)).collect();
    let mut weight = parameter::<f32>(&net.hidden[0].weight.base().into_data());
    let wide = ArrayD::from_shape_vec(IxDyn(&[16, 12]), scores.clone()).unwrap();
    let data: prune_burn::Scores = [("hidden.0.weight".to_owned(), TensorData::new(scores, [16, 12]))].into();
    let mut net = net;
    for _ in 0..2 {
        let narrow = wide.mapv(|score| score as f32);
        weight.prune_with_scores(L1Unstructured::new(0.5).unwrap(), narrow.view()).unwrap();
        // Scores are f64 here and the weight is f32: both are exact.
        let method = L1Unstructured::new(0.5).unwrap();
        net = prune_burn::apply_with_scores(net, "hidden.0.weight", method, &data).unwrap();
        assert_eq!(Some(&prune_burn::masks(&net).unwrap()["hidden.0.weight"]), weight.mask());
    }
    // Values rank where there are none.
    let all = prune_burn::global_unstructured_with_scores(
        crate::net(),
        "hidden.*.weight",
        L1Unstructured::new(16 * 12).unwrap(),
        &[("hidden.1.weight".to_owned(), TensorData::new(vec![9.0_f32; 144], [12, 12]))].into(),
    );
    let masks = prune_burn::masks(&all.unwrap()).unwrap();
    assert_eq!((masks["hidden.0.weight"].kept(), masks["hidden.1.weight"].pruned()), (0, 0));
}

/// A structured method that prunes again ranks channels by all their scores, those of pruned entries too, as in PyTorch.
#[test]
fn scores_of_channels() {
    let layer = LinearConfig::new(8, 6).init(&Device::default());
    let mut weight = parameter::<f32>(&layer.weight.base().into_data());
    let scores = ArrayD::from_shape_fn(IxDyn(&[8, 6]), |index| (index[0] * 5 % 8) as f32 + index[1] as f32);
    let data: prune_burn::Scores = [("weight".to_owned(), data(&scores))].into();
    weight.prune(RandomUnstructured::new(20, 1).unwrap()).unwrap();
    let mut layer = prune_burn::random_unstructured(layer, "weight", 20, 1).unwrap();
    for dim in [0, 1, 0] {
        weight.prune_with_scores(LnStructured::new(1, 2, dim).unwrap(), scores.view()).unwrap();
        let method = LnStructured::new(1, 2, dim).unwrap();
        layer = prune_burn::apply_with_scores(layer, "weight", method, &data).unwrap();
        assert_eq!(Some(&prune_burn::masks(&layer).unwrap()["weight"]), weight.mask());
    }
}
