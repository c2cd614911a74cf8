//! Pruning again, and removing masks.

use burn::module::{Reparameterization, Reparameterizer};
use burn::nn::{LinearConfig, LinearLayout};
use burn::prelude::*;
use prune::{Amount, L1Unstructured};
use prune_burn::PruneMask;

use crate::{all_bits, bits, net};

fn pruned(net: &crate::Net, path: &str) -> usize {
    prune_burn::masks(net).unwrap()[path].pruned()
}

/// burn itself loses a second reparameterization of a parameter without an error.
#[test]
fn second_application_counts() {
    let mut net = net();
    for expected in [96, 144, 168] {
        net = prune_burn::l1_unstructured(net, "hidden.0.weight", 0.5).unwrap();
        assert_eq!(pruned(&net, "hidden.0.weight"), expected);
        let zeros = net.hidden[0].weight.val().equal_elem(0.0).int().sum().into_scalar::<i64>();
        assert_eq!(zeros, expected as i64);
    }
    assert_eq!(net.hidden[0].weight.base().equal_elem(0.0).int().sum().into_scalar::<i64>(), 0);
}

/// One call may give some parameters their first mask and others their next one.
#[test]
fn first_and_second_masks_in_one_call() {
    let net = prune_burn::l1_unstructured(net(), "output.weight", 0.5).unwrap();
    let net = prune_burn::l1_unstructured(net, ["*.weight"], 0.5).unwrap();
    assert_eq!((pruned(&net, "output.weight"), pruned(&net, "hidden.1.weight")), (36, 72));
    let net = prune_burn::l1_unstructured(net, "*.weight", Amount::sparsity(0.75)).unwrap();
    assert_eq!((pruned(&net, "output.weight"), pruned(&net, "hidden.1.weight")), (36, 108));
}

#[test]
fn identity_changes_no_mask() {
    let net = prune_burn::l1_unstructured(net(), "output.weight", 0.5).unwrap();
    let again = prune_burn::identity(net.clone(), "*.weight").unwrap();
    assert_eq!((pruned(&again, "output.weight"), pruned(&again, "conv.weight")), (24, 0));
    assert_eq!(all_bits(&again), all_bits(&net));
}

#[test]
fn masks_of_tensors_are_combined() {
    let net = prune_burn::l1_unstructured(net(), "output.weight", 0.5).unwrap();
    let positive = net.output.weight.base().greater_elem(0.0);
    let both = net.output.weight.val().greater_elem(0.0);
    let net = prune_burn::custom_from_mask(net, "output.weight", positive).unwrap();
    let kept = net.output.weight.reparameterization::<PruneMask>().unwrap().kept();
    assert_eq!(kept.into_data(), both.reshape([48]).into_data());
}

/// Parameters that keep their masks keep their tensors too: burn alone would merge all.
#[test]
fn remove_of_one_parameter() {
    let net = prune_burn::l1_unstructured(net(), "*.weight", 0.5).unwrap();
    let before = net.clone();
    let net = prune_burn::remove(net, "hidden.0.weight").unwrap();
    let paths: Vec<_> = prune_burn::masks(&net).unwrap().into_keys().collect();
    assert_eq!(paths, ["conv.weight", "hidden.1.weight", "output.weight"]);
    assert_eq!(bits(net.hidden[0].weight.base()), bits(before.hidden[0].weight.val()));
    assert_eq!(bits(net.hidden[1].weight.base()), bits(before.hidden[1].weight.base()));
    assert_eq!(bits(net.conv.weight.val()), bits(before.conv.weight.val()));
    let mask = |net: &crate::Net| net.conv.weight.reparameterization::<PruneMask>().unwrap().kept().into_data();
    assert_eq!(mask(&net), mask(&before));
    assert_eq!(net.conv.weight.id, before.conv.weight.id);
    let again = prune_burn::l1_unstructured(net, "*.weight", 0.5).unwrap();
    assert_eq!((pruned(&again, "hidden.0.weight"), pruned(&again, "conv.weight")), (96, 27));
}

#[test]
fn remove_of_all_is_materialize() {
    let net = prune_burn::l1_unstructured(net(), "*.weight", 0.5).unwrap();
    let (removed, merged) = (prune_burn::remove(net.clone(), "*").unwrap(), net.materialize());
    assert!(!prune_burn::is_pruned(&removed) && !prune_burn::is_pruned(&merged));
    assert_eq!(all_bits(&removed), all_bits(&merged));
    assert_eq!(prune_burn::sparsity(&removed).unwrap().pruned(), 0);
}

/// A weight that is stored as its transpose is ranked and masked in the order of its shape.
#[test]
fn column_layout() {
    let layer = LinearConfig::new(6, 3).with_layout(LinearLayout::Col).init(&Device::default());
    let layer = prune_burn::ln_structured(layer, "weight", 1, 2, 1).unwrap();
    let mask = &prune_burn::masks(&layer).unwrap()["weight"];
    assert_eq!((mask.shape(), mask.kept_channels(1).unwrap().len()), (&[6, 3][..], 2));
    let norms = layer.weight.base().powf_scalar(2.0).sum_dim(0).into_data();
    let lowest = norms.iter::<f32>().enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
    assert!(!mask.kept_channels(1).unwrap().contains(&lowest));
    let column = layer.weight.val().narrow(1, lowest, 1).abs().sum();
    assert_eq!(column.into_scalar::<f32>(), 0.0);
}

/// A submodule, a vector of modules and a single parameter are modules.
#[test]
fn parts_of_a_module() {
    let mut net = net();
    net.output = prune_burn::l1_unstructured(net.output, "weight", 0.5).unwrap();
    net.hidden = prune_burn::l1_unstructured(net.hidden, "1.weight", 0.5).unwrap();
    net.conv.weight = prune_burn::global_unstructured(net.conv.weight, "", L1Unstructured::new(9).unwrap()).unwrap();
    let paths: Vec<_> =
        prune_burn::masks(&net).unwrap().into_iter().map(|(path, mask)| (path, mask.pruned())).collect();
    let expected = [("conv.weight", 9), ("hidden.1.weight", 72), ("output.weight", 24)];
    assert_eq!(paths, expected.map(|(path, pruned)| (path.to_owned(), pruned)));
}

#[test]
fn empty_and_tiny_tensors() {
    let device = Device::default();
    let empty = burn::module::Param::from_tensor(Tensor::<2>::zeros([0, 3], &device));
    let empty = prune_burn::l1_unstructured(empty, "*", 0.5).unwrap();
    assert_eq!(prune_burn::masks(&empty).unwrap()[""].shape(), [0, 3]);
    let one = burn::module::Param::from_tensor(Tensor::<1>::ones([1], &device));
    let one = prune_burn::l1_unstructured(prune_burn::l1_unstructured(one, "*", 1).unwrap(), "*", 0).unwrap();
    assert_eq!(one.val().into_scalar::<f32>(), 0.0);
}

/// The name of the mask in paths is part of the format of records.
#[test]
fn name_of_the_mask() {
    struct Nothing;
    impl Reparameterizer for Nothing {
        type Reparam = PruneMask;
        fn reparameterize<const D: usize>(
            &mut self,
            _path: &str,
            param: burn::module::Param<Tensor<D>>,
        ) -> (burn::module::Param<Tensor<D>>, Option<PruneMask>) {
            (param, None)
        }
    }
    assert_eq!(PruneMask::NAME, "prune");
    let net = prune_burn::l1_unstructured(net(), "*.weight", 0.5).unwrap();
    let mapped = net.clone().apply_reparameterization(Nothing);
    assert_eq!(prune_burn::masks(&mapped).unwrap(), prune_burn::masks(&net).unwrap());
}
