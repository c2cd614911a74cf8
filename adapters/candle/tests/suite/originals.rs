//! Originals under the masks.

use candle_core::{Device, Tensor};
use candle_nn::{Optimizer, SGD};
use ndarray::arr1;
use prune_candle::PrunedVars;

use crate::{bits, values, var, vector};

fn orig(pruned: &PrunedVars) -> Vec<f32> {
    pruned.orig("w").unwrap().unwrap().to_vec1().unwrap()
}

/// One step of an optimizer that knows no masks: subtracts 1.
fn step(map: &candle_nn::VarMap) {
    let weight = var(map, "w");
    let loss = weight.sum_all().unwrap();
    SGD::new(map.all_vars(), 1.0).unwrap().backward_step(&loss).unwrap();
}

#[test]
fn the_original_is_kept_where_the_mask_prunes_and_trained_where_it_keeps() {
    let map = vector(&[4.0, -1.0, 3.0, -2.0]);
    let pruned = PrunedVars::with_originals(&map);
    pruned.l1_unstructured("w", 2).unwrap();
    assert_eq!((values(&map, "w"), orig(&pruned)), (vec![4.0, 0.0, 3.0, 0.0], vec![4.0, -1.0, 3.0, -2.0]));

    step(&map);
    assert_eq!(values(&map, "w"), [3.0, -1.0, 2.0, -1.0]);
    assert_eq!(orig(&pruned), [3.0, -1.0, 2.0, -2.0]); // before the masks are applied again, too
    pruned.reapply().unwrap();
    assert_eq!((values(&map, "w"), orig(&pruned)), (vec![3.0, 0.0, 2.0, 0.0], vec![3.0, -1.0, 2.0, -2.0]));

    // A step without `reapply`, and then another pruning: ranked are the remaining entries.
    step(&map);
    pruned.l1_unstructured("w", 1).unwrap();
    assert_eq!(pruned.mask("w").unwrap(), arr1(&[true, false, false, false]));
    assert_eq!((values(&map, "w"), orig(&pruned)), (vec![2.0, 0.0, 0.0, 0.0], vec![2.0, -1.0, 1.0, -2.0]));
}

#[test]
fn the_value_is_the_original_times_the_mask() {
    for with_originals in [false, true] {
        let map = vector(&[-1.0, f32::NEG_INFINITY, 5.0, 6.0]);
        let pruned = if with_originals { PrunedVars::with_originals(&map) } else { PrunedVars::new(&map) };
        pruned.custom_from_mask("w", arr1(&[false, false, true, true])).unwrap();
        let value = values(&map, "w");
        assert_eq!((value[0].to_bits(), value[1].is_nan(), &value[2..]), ((-0.0_f32).to_bits(), true, &[5.0, 6.0][..]));
        // Something changes the sign of what is pruned.
        var(&map, "w").set(&Tensor::new(&[1.0f32, 1.0, 5.0, 6.0], &Device::Cpu).unwrap()).unwrap();
        pruned.reapply().unwrap();
        let value = values(&map, "w");
        // It is that of the original, or that of the variable itself.
        let (sign, is_nan) = if with_originals { (-0.0_f32, true) } else { (0.0, false) };
        assert_eq!((value[0].to_bits(), value[1].is_nan()), (sign.to_bits(), is_nan));
    }
}

#[test]
fn remove_keeps_the_value_and_drops_the_rest() {
    for with_originals in [false, true] {
        let map = vector(&[4.0, -1.0, 3.0]);
        let pruned = if with_originals { PrunedVars::with_originals(&map) } else { PrunedVars::new(&map) };
        pruned.l1_unstructured("w", 1).unwrap();
        assert!(pruned.is_pruned());
        let before = bits(&map, "w");
        // Zeros are permanent even if a step has been taken since.
        step(&map);
        pruned.remove("*").unwrap();
        assert_eq!(values(&map, "w"), [3.0, 0.0, 2.0]);
        assert_eq!(before[1], (-0.0_f32).to_bits());
        assert!(!pruned.is_pruned() && pruned.mask("w").is_none() && pruned.orig("w").unwrap().is_none());
        assert_eq!((pruned.masks().len(), pruned.sparsity()), (0, 0.0));

        let error = pruned.remove("w").unwrap_err();
        assert_eq!(error.to_string(), "`w` is not pruned");
        // A new mask knows nothing of the old one.
        pruned.l1_unstructured("w", 1).unwrap();
        assert_eq!(pruned.mask("w").unwrap(), arr1(&[true, false, true]));
    }
}

#[test]
fn without_originals_there_are_none() {
    let pruned = PrunedVars::new(&vector(&[1.0, 2.0]));
    assert!(pruned.orig("w").unwrap().is_none());
    pruned.l1_unstructured("w", 1).unwrap();
    assert!(pruned.orig("w").unwrap().is_none());
}
