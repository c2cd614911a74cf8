//! Gradients and optimizers respect masks.

use burn::nn::loss::{MseLoss, Reduction};
use burn::optim::{AdamConfig, GradientsParams, SgdConfig, decay::WeightDecayConfig, momentum::MomentumConfig};
use burn::prelude::*;
use prune::Amount;
use prune::training::Schedule;

use crate::Net;

fn loss(net: &Net, device: &Device) -> Tensor<1> {
    let images = TensorData::new((0_u16..8 * 16).map(|i| f32::from(i * 31 % 17) / 8.0 - 1.0).collect(), [8, 1, 4, 4]);
    let images = Tensor::<4>::from_data(images, device);
    let targets = images.clone().narrow(2, 0, 1).reshape([8, 4]);
    MseLoss::new().forward(net.forward(images), targets, Reduction::Mean)
}

#[test]
fn gradients_of_pruned_entries_are_zero() {
    let device = Device::default().autodiff();
    let net = prune_burn::l1_unstructured(Net::new(&device), "*.weight", 0.5).unwrap();
    let gradients = loss(&net, &device).backward();
    let gradient = net.hidden[0].weight.base().grad(&gradients).expect("the base is trained");
    let mask = &prune_burn::masks(&net).unwrap()["hidden.0.weight"];
    let gradient: Vec<f32> = gradient.into_data().try_into_vec().unwrap();
    assert!(gradient.iter().zip(mask.iter()).all(|(gradient, kept)| kept || *gradient == 0.0));
    assert!(gradient.iter().any(|gradient| *gradient != 0.0));
}

/// Momentum and weight decay change tensors under the mask, and no value.
#[test]
fn values_of_pruned_entries_remain_zero() {
    let device = Device::default().autodiff();
    let mut adam = AdamConfig::new().with_weight_decay(Some(WeightDecayConfig::new(0.01))).init();
    let mut sgd = SgdConfig::new().with_momentum(Some(MomentumConfig::new())).init();
    let mut net = Net::new(&device);
    let parameters = net.num_params();
    let first = loss(&net, &device).into_scalar::<f32>();
    let schedule = Schedule::cubic(0.0, 0.9).unwrap().between(5, 35).unwrap().every(10).unwrap();
    for step in 0..60 {
        if schedule.is_due(step) {
            net = prune_burn::l1_unstructured(net, "*.weight", Amount::sparsity(schedule.at(step))).unwrap();
        }
        let gradients = GradientsParams::from_grads(loss(&net, &device).backward(), &net);
        net = if step % 2 == 0 { adam.step(0.01, net, gradients) } else { sgd.step(0.01, net, gradients) };
        for (path, mask) in prune_burn::masks(&net).unwrap() {
            if path == "hidden.1.weight" {
                let value: Vec<f32> = net.hidden[1].weight.val().into_data().try_into_vec().unwrap();
                assert!(value.iter().zip(mask.iter()).all(|(value, kept)| kept || *value == 0.0));
            }
        }
    }
    let masks = prune_burn::masks(&net).unwrap();
    assert_eq!((masks["hidden.0.weight"].pruned(), masks["hidden.1.weight"].pruned()), (173, 130));
    assert_eq!(net.num_params(), parameters);
    let last = loss(&net, &device).into_scalar::<f32>();
    assert!(last < first, "{last} after {first}");
}

/// A frozen parameter is pruned and remains frozen; a trained one remains trained.
#[test]
fn what_is_trained_remains_so() {
    let device = Device::default().autodiff();
    let mut net = Net::new(&device);
    net.output = net.output.no_grad();
    let net = prune_burn::l1_unstructured(net, "*.weight", 0.5).unwrap();
    let net = prune_burn::l1_unstructured(net, "*.weight", 0.5).unwrap();
    assert!(net.hidden[0].weight.base().is_require_grad() && !net.output.weight.base().is_require_grad());
    let net = prune_burn::remove(net, ["conv.weight", "hidden.0.weight", "output.weight"]).unwrap();
    assert!(net.hidden[0].weight.base().is_require_grad() && !net.output.weight.base().is_require_grad());
    assert!(net.hidden[1].weight.base().is_require_grad());
}
