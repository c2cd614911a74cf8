//! Odd tensors: layouts, shapes, NaN, dtypes.

use candle_core::{DType, Device, Tensor, WithDType};
use candle_nn::VarMap;
use ndarray::{Axis, arr1, arr2};
use prune::{L1Unstructured, LnStructured, Mask, Parameter};
use prune_candle::{Error, PrunedVars, mask_from_tensor};

use crate::{Float, array, assert_same_bits, bits, for_each_float, insert, values, vars_of, vector};

/// Scores that lie in memory in another order than they are ranked in, and have another dtype than the weights.
#[test]
fn scores_of_any_layout_and_dtype_rank_the_entries() {
    for_each_float!(check_scores);
}

fn check_scores<A: Float>() {
    let (weights, scores) = (array::<A>(1, &[4, 6]), array::<f32>(2, &[4, 6]));
    let methods = [
        prune::AnyMethod::new(L1Unstructured::new(0.4).unwrap()),
        prune::AnyMethod::new(LnStructured::new(1, 2, 1).unwrap()),
        prune::AnyMethod::new(L1Unstructured::new(3).unwrap()),
    ];
    let flat = |array: ndarray::ArrayViewD<'_, f32>| Tensor::from_iter(array.iter().copied(), &Device::Cpu).unwrap();
    // Transposed; a part of a larger tensor, with an offset; every second column; as it is.
    let transposed = flat(scores.t()).reshape((6, 4)).unwrap().t().unwrap();
    let wide = Tensor::cat(&[&Tensor::zeros((4, 3), DType::F32, &Device::Cpu).unwrap(), &transposed], 1).unwrap();
    let narrow = wide.narrow(1, 3, 6).unwrap();
    let below = Tensor::cat(&[&Tensor::zeros((2, 6), DType::F32, &Device::Cpu).unwrap(), &transposed], 0).unwrap();
    let below = below.narrow(0, 2, 4).unwrap();
    assert!(!transposed.is_contiguous() && !narrow.is_contiguous() && below.is_contiguous());
    for tensor in [&transposed, &narrow, &below, &transposed.contiguous().unwrap()] {
        for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
            let map = vars_of(&[("w", &weights)]);
            let pruned = PrunedVars::new(&map);
            let mut parameter = Parameter::new(weights.clone());
            for method in &methods {
                pruned.prune_with_scores("w", method.clone(), &tensor.to_dtype(dtype).unwrap()).unwrap();
                parameter
                    .prune_with_scores(method.clone(), scores.mapv(|x| <A as WithDType>::from_f64(x.into())).view())
                    .unwrap();
                assert_eq!(pruned.mask("w").as_ref(), parameter.mask(), "{method:?} {dtype:?}");
            }
            assert_same_bits(&map, "w", parameter.value());
        }
    }
}

#[test]
fn scores_of_pruned_entries_count_in_channels_that_remain() {
    let map = vars_of(&[("w", &array::<f32>(1, &[2, 2]))]);
    let pruned = PrunedVars::new(&map);
    pruned.custom_from_mask("w", arr2(&[[0, 1], [1, 1]])).unwrap();
    let scores = Tensor::new(&[[10f32, 1.0], [2.0, 3.0]], &Device::Cpu).unwrap();
    pruned.prune_with_scores("w", LnStructured::new(1, 1, 0).unwrap(), &scores).unwrap();
    assert_eq!(pruned.mask("w").unwrap(), arr2(&[[false, true], [false, false]]));
}

#[test]
fn scores_rank_variables_together() {
    let (a, b) = (array::<f32>(1, &[5]), array::<f32>(2, &[2, 3]));
    let map = vars_of(&[("a", &a), ("b", &b)]);
    let pruned = PrunedVars::new(&map);
    let (for_a, for_b) = (array::<f32>(3, &[5]), array::<f32>(4, &[2, 3]));
    let tensors = vars_of(&[("a", &for_a), ("b", &for_b)]);
    let (tensor_a, tensor_b) = (crate::var(&tensors, "a"), crate::var(&tensors, "b").to_dtype(DType::F64).unwrap());
    let scores = [("b", &tensor_b), ("a", tensor_a.as_tensor())];
    pruned.global_unstructured_with_scores(&scores, L1Unstructured::new(6).unwrap()).unwrap();

    let (mut a, mut b) = (Parameter::new(a), Parameter::new(b));
    let targets = [(&mut b, for_b.view()), (&mut a, for_a.view())];
    prune::global_unstructured(targets, L1Unstructured::new(6).unwrap()).unwrap();
    assert_eq!((pruned.mask("a").as_ref(), pruned.mask("b").as_ref()), (a.mask(), b.mask()));
}

#[test]
fn a_variable_made_of_a_view_is_pruned_by_index() {
    let weights = array::<f32>(1, &[4, 6]);
    let stored = weights.t();
    let tensor = Tensor::from_iter(stored.iter().copied(), &Device::Cpu).unwrap().reshape(stored.shape()).unwrap();
    let map = VarMap::new();
    insert(&map, "w", tensor.t().unwrap());
    let pruned = PrunedVars::new(&map);
    let mut parameter = Parameter::new(weights);
    for _ in 0..2 {
        pruned.ln_structured("w", 1, 1, 0).unwrap();
        parameter.prune(LnStructured::new(1, 1, 0).unwrap()).unwrap();
        assert_same_bits(&map, "w", parameter.value());
    }
}

#[test]
fn nan_ranks_above_infinity_and_is_not_healed() {
    let map = vector(&[f32::NAN, 1.0, f32::INFINITY, -2.0]);
    let pruned = PrunedVars::new(&map);
    pruned.l1_unstructured("w", 2).unwrap();
    assert_eq!(pruned.mask("w").unwrap(), arr1(&[true, false, true, false]));
    assert_eq!(bits(&map, "w")[3], (-0.0_f32).to_bits());
    pruned.l1_unstructured("w", 1).unwrap();
    assert_eq!(pruned.mask("w").unwrap(), arr1(&[true, false, false, false]));
    pruned.l1_unstructured("w", 1).unwrap();
    let values = values(&map, "w");
    assert!(values[0].is_nan() && values[2].is_nan(), "{values:?}");
}

#[test]
fn a_tensor_without_entries_is_pruned() {
    for_each_float!(check_empty);
}

fn check_empty<A: Float>() {
    for shape in [&[0][..], &[0, 4], &[3, 0, 2]] {
        let map = vars_of(&[("w", &array::<A>(0, shape))]);
        for pruned in [PrunedVars::new(&map), PrunedVars::with_originals(&map)] {
            pruned.l1_unstructured("w", 0.5).unwrap();
            pruned.global_unstructured(&["w"], L1Unstructured::new(0).unwrap()).unwrap();
            pruned.reapply().unwrap();
            assert_eq!(pruned.mask("w").unwrap(), Mask::from_elem(shape, true));
            assert_eq!(pruned.sparsity(), 0.0);
        }
    }
}

#[test]
fn a_scalar_is_pruned() {
    for_each_float!(check_scalar);
}

fn check_scalar<A: Float>() {
    let map = vars_of(&[("w", &array::<A>(1, &[]))]);
    for pruned in [PrunedVars::new(&map), PrunedVars::with_originals(&map)] {
        pruned.l1_unstructured("w", 0).unwrap();
        assert_eq!(pruned.sparsity(), 0.0);
        pruned.l1_unstructured("w", 1).unwrap();
        assert_eq!((crate::zeros(&map, "w"), pruned.sparsity()), (1, 1.0));
        assert!(matches!(pruned.ln_structured("w", 1, 2, 0), Err(Error::Prune { .. })));
    }
}

#[test]
fn integers_are_refused() {
    let map = VarMap::new();
    insert(&map, "a", Tensor::ones(3, DType::F32, &Device::Cpu).unwrap());
    for dtype in [DType::U8, DType::U32, DType::I64] {
        let tensor = Tensor::ones(3, dtype, &Device::Cpu).unwrap();
        map.data().lock().unwrap().insert("ids".to_owned(), candle_core::Var::from_tensor(&tensor).unwrap());
        let pruned = PrunedVars::new(&map);
        let error = pruned.l1_unstructured("*", 1).unwrap_err();
        let expected = format!("`ids` has dtype {}; only f32, f64, f16 and bf16 can be pruned", dtype.as_str());
        assert_eq!(error.to_string(), expected);
        assert!(pruned.global_unstructured(&["*"], L1Unstructured::new(1).unwrap()).is_err());
        assert!(!pruned.is_pruned() && values(&map, "a") == [1.0; 3]);
        assert_eq!(pruned.sparsity(), 0.0);

        let error = pruned.prune_with_scores("a", L1Unstructured::new(1).unwrap(), &tensor).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("scores of `a` have dtype {}, not f32, f64, f16 or bf16", dtype.as_str())
        );
    }
}

#[test]
fn a_mask_is_made_of_a_tensor_of_any_dtype_and_layout() {
    let expected = arr2(&[[true, false, true], [false, false, true]]);
    let tensor = Tensor::new(&[[1u8, 0], [0, 0], [1, 1]], &Device::Cpu).unwrap().t().unwrap();
    for dtype in [DType::U8, DType::U32, DType::I64, DType::F16, DType::BF16, DType::F32, DType::F64] {
        assert_eq!(mask_from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap(), expected);
    }
    let error = mask_from_tensor(&Tensor::new(&[1.0f32, 0.5], &Device::Cpu).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "the tensor is not a mask");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "mask holds 0.5 at [1]; only 0 and 1 are allowed");
}

#[test]
fn a_mask_tensor_has_the_dtype_and_the_shape_of_the_variable() {
    for_each_float!(check_mask_tensor);
}

fn check_mask_tensor<A: Float>() {
    let map = vars_of(&[("w", &array::<A>(1, &[3, 4]))]);
    let pruned = PrunedVars::new(&map);
    assert!(pruned.mask_tensor("w").is_none());
    pruned.l1_unstructured("w", 5).unwrap();
    let tensor = pruned.mask_tensor("w").unwrap();
    assert_eq!((tensor.dtype(), tensor.dims()), (<A as WithDType>::DTYPE, &[3, 4][..]));
    assert_eq!(mask_from_tensor(&tensor).ok(), pruned.mask("w"));
    assert_eq!(pruned.mask("w").unwrap().to_array().lanes(Axis(1)).into_iter().count(), 3);
}
