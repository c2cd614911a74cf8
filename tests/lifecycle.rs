//! The life of a parameter from its first pruning to `remove`, and the modules that hold it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use half::{bf16, f16};
use ndarray::{Array1, Array2, ArrayD, Slice, arr1, arr2, array};
use prune::{
    CustomFromMask, Element, Identity, L1Unstructured, LnStructured, Mask, Module, NamedParameters, NamedParametersMut,
    Parameter, ParameterStore, PruneError, PruningType, RandomUnstructured, Target,
};

type Tested = Result<(), PruneError>;

/// Two of four entries pruned: -0.5 and 0.25.
fn half_pruned() -> Parameter<f32> {
    let mut weight = Parameter::new(arr2(&[[-0.5, 2.0], [-3.0, 0.25]]));
    weight.prune(L1Unstructured::new(0.5).unwrap()).unwrap();
    weight
}

fn names<A: Element>(parameter: &Parameter<A>) -> Vec<&str> {
    parameter.methods().iter().map(|method| method.name()).collect()
}

#[track_caller]
fn assert_product<A: Element>(parameter: &Parameter<A>) {
    let mask = parameter.mask().expect("it is pruned").to_array().mapv(|kept| if kept { A::one() } else { A::zero() });
    assert_eq!(parameter.value(), &(parameter.orig() * &mask));
}

mod training {
    use super::*;

    #[test]
    fn an_update_edits_orig_and_the_value_follows() {
        let mut weight = half_pruned();
        let sum = weight.update(|mut orig| {
            orig += 1.0;
            orig.sum()
        });
        assert_eq!(sum, 2.75);
        assert_eq!(weight.orig(), &arr2(&[[0.5, 3.0], [-2.0, 1.25]]).into_dyn());
        assert_eq!(weight.value(), &arr2(&[[0.0, 3.0], [-2.0, 0.0]]).into_dyn());
        assert_eq!(names(&weight), ["L1Unstructured"]);

        let mut dense = Parameter::new(arr1(&[1.0, 2.0]));
        dense.update(|mut orig| orig *= 2.0);
        assert_eq!((dense.value(), dense.is_pruned()), (&arr1(&[2.0, 4.0]).into_dyn(), false));
    }

    #[test]
    fn an_update_that_panics_leaves_no_stale_value() {
        let mut weight = half_pruned();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            weight.update(|mut orig| {
                orig[[0, 1]] = 7.0;
                panic!("in the middle of a step");
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(weight.value(), &arr2(&[[0.0, 7.0], [-3.0, 0.0]]).into_dyn());
        assert_product(&weight);
    }

    /// The second pruning ranks present values, not those at the first one: kept entries as they are now, pruned ones as zero.
    #[test]
    fn the_next_pruning_ranks_what_training_has_made() -> Tested {
        let mut weight = half_pruned();
        weight.update(|mut orig| orig.assign(&array![[100.0, 5.0], [0.1, 100.0]]));
        weight.prune(L1Unstructured::new(1)?)?;
        assert_eq!(weight.value(), &arr2(&[[0.0, 5.0], [0.0, 0.0]]).into_dyn());
        Ok(())
    }

    #[test]
    fn signed_zeros_and_nan_come_from_multiplication() -> Tested {
        let mut weight = Parameter::new(arr1(&[-2.0, 2.0, f32::NEG_INFINITY, f32::NAN, -0.0]));
        weight.prune(CustomFromMask::new(Mask::from_elem(weight.value().raw_dim(), false)))?;
        weight.remove()?;
        let value = weight.value();
        assert_eq!([value[0].to_bits(), value[1].to_bits(), value[4].to_bits()], [1 << 31, 0, 1 << 31]);
        assert!(value[2].is_nan() && value[3].is_nan());
        Ok(())
    }

    #[test]
    fn gradients_are_masked_in_any_layout_and_type() -> Tested {
        fn check<A: Element>() -> Tested {
            let number = |x: i32| A::from(x).expect("small numbers are exact");
            let mut weight = Parameter::new(arr2(&[[1, 5, 2], [6, 3, 4]]).mapv(number));
            let plain = arr2(&[[-1, 2, -3], [4, 5, 6]]).mapv(number);
            let (mut unpruned, dense) = (plain.clone(), weight.clone());
            dense.mask_gradient(unpruned.view_mut())?;
            assert_eq!(unpruned, plain);

            weight.prune(L1Unstructured::new(0.5)?)?;
            let expected = arr2(&[[0, 2, 0], [4, 0, 6]]).mapv(number);
            let (mut c, mut f) = (plain.clone(), plain.t().as_standard_layout().into_owned().reversed_axes());
            let mut base = Array2::from_elem((4, 9), A::one());
            let (rows, columns) = (Slice::new(1, None, 2), Slice::new(0, None, -3));
            let mut strided = base.slice_axis_mut(ndarray::Axis(0), rows);
            strided.slice_axis_inplace(ndarray::Axis(1), columns);
            strided.assign(&plain);
            for gradient in [c.view_mut(), f.view_mut(), strided.view_mut()] {
                weight.mask_gradient(gradient)?;
            }
            assert!(c == expected && f == expected && strided == expected);
            assert!(c[[0, 0]].is_sign_negative(), "-1 * 0 is -0");
            assert_eq!(base.iter().filter(|x| **x == A::one()).count(), 36 - 6, "nothing else is touched");
            Ok(())
        }
        check::<f32>()?;
        check::<f64>()?;
        check::<f16>()?;
        check::<bf16>()
    }

    #[test]
    fn a_masked_gradient_that_is_not_finite_is_nan() -> Tested {
        let mut gradient = arr2(&[[f32::INFINITY, f32::INFINITY], [1.0, f32::NAN]]);
        half_pruned().mask_gradient(gradient.view_mut())?;
        assert!(gradient[[0, 0]].is_nan() && gradient[[1, 1]].is_nan());
        assert_eq!((gradient[[0, 1]], gradient[[1, 0]]), (f32::INFINITY, 1.0));
        Ok(())
    }

    /// Momentum from before the pruning and weight decay move `orig` under the mask; `value` must not follow.
    #[test]
    fn momentum_and_weight_decay_bring_nothing_back() -> Tested {
        fn check<A: Element>() -> Tested {
            let number = |x: f64| A::from(x).expect("ordinary numbers");
            let weights = Array1::from_iter((0..60).map(|i| number((f64::from(i) * 0.9).sin() + 0.1)));
            let target = Array1::from_iter((0..60).map(|i| number((f64::from(i) * 0.7).cos())));
            let mut weight = Parameter::new(weights.clone());
            let mut velocity = ArrayD::<A>::zeros(weight.value().raw_dim());
            let mut pruned = ArrayD::from_elem(weight.value().raw_dim(), false);
            for step in 0..60 {
                if [10, 30].contains(&step) {
                    weight.prune(L1Unstructured::new(0.4)?)?;
                    pruned = weight.mask().expect("it is pruned").to_array().mapv(|kept| !kept);
                }
                let mut gradient = weight.value() - &target;
                // Every other run is of a trainer who forgets to mask.
                if step % 2 == 0 {
                    weight.mask_gradient(gradient.view_mut())?;
                }
                gradient = gradient + weight.orig().mapv(|x| x * number(0.01));
                velocity = velocity.mapv(|v| v * number(0.9)) + gradient;
                weight.update(|mut orig| orig.zip_mut_with(&velocity, |x, &v| *x = *x - v * number(0.05)));
                assert!(weight.value().iter().zip(&pruned).all(|(x, pruned)| !pruned || x.is_zero()), "step {step}");
                if weight.is_pruned() {
                    assert_product(&weight);
                }
            }
            assert_eq!(pruned.iter().filter(|pruned| **pruned).count(), 24 + 14);
            let drifted =
                weight.orig().iter().zip(&weights).zip(&pruned).filter(|((x, was), pruned)| **pruned && x != was);
            assert!(drifted.count() > 30, "the trap is set: orig did move under the mask");
            Ok(())
        }
        check::<f32>()?;
        check::<bf16>()
    }
}

mod history {
    use super::*;

    #[test]
    fn every_method_is_kept_oldest_first() -> Tested {
        let mut weight = Parameter::new(Array2::<f64>::ones((4, 4)));
        assert!(weight.methods().is_empty() && weight.methods().get(0).is_none());
        weight.prune(Identity)?;
        weight.prune(LnStructured::new(1, 2, -1)?)?;
        prune::global_unstructured([&mut weight], L1Unstructured::new(1)?)?;
        weight.prune(RandomUnstructured::new(1, 42)?)?;

        let methods = weight.methods();
        assert_eq!(names(&weight), ["Identity", "LnStructured", "CustomFromMask", "RandomUnstructured"]);
        assert_eq!(methods.len(), methods.iter().len());
        assert!(!methods.is_empty());
        assert_eq!(methods[1].pruning_type(), PruningType::Structured { dim: -1 });
        assert_eq!(methods[2].pruning_type(), PruningType::Global);
        let shown = [0, 1, 2].map(|i| methods[i].pruning_type().to_string());
        assert_eq!(shown, ["unstructured", "structured along axis -1", "global"]);
        assert_eq!(methods.get(3).map(|method| method.name()), Some("RandomUnstructured"));
        assert_eq!(methods.iter().next_back().map(|method| method.name()), Some("RandomUnstructured"));
        assert!(methods.get(4).is_none());
        assert!(catch_unwind(AssertUnwindSafe(|| methods[4].name().len())).is_err());
        Ok(())
    }

    /// A global pruning leaves an entry without a method in the history.
    #[test]
    fn a_global_pruning_cannot_be_run_again_by_itself() -> Tested {
        let mut weight = Parameter::new(Array2::<f64>::ones((2, 2)));
        prune::global_unstructured([&mut weight], L1Unstructured::new(1)?)?;
        let mask = weight.mask().expect("it is pruned").to_array();
        assert!(weight.methods()[0].method().is_none());
        let error = weight.methods().compute_mask(weight.value().view(), mask.view()).unwrap_err();
        assert_eq!(error, PruneError::NotAMethod);
        let message = "the last entry of the history is a mask that came from elsewhere, not a method";
        assert_eq!(error.to_string(), message);
        Ok(())
    }

    #[test]
    fn a_method_that_prunes_nothing_is_kept_too() -> Tested {
        let mut weights = [Parameter::new(arr1(&[1.0_f32])), Parameter::new(arr1(&[2.0]))];
        prune::global_unstructured(&mut weights, L1Unstructured::new(0)?)?;
        prune::global_unstructured(&mut weights, Identity)?;
        assert!(weights.iter().all(|weight| names(weight) == ["CustomFromMask", "CustomFromMask"]));
        assert!(weights.iter().all(|weight| weight.mask().is_some_and(|mask| mask[0])));
        Ok(())
    }

    #[test]
    fn an_error_is_not_kept() {
        let mut weight = half_pruned();
        weight.prune(L1Unstructured::new(3).unwrap()).unwrap_err();
        assert_eq!(names(&weight), ["L1Unstructured"]);
    }

    #[test]
    fn remove_ends_it_and_the_next_one_starts_anew() -> Tested {
        let mut weight = half_pruned();
        let copy = weight.clone();
        weight.remove()?;
        assert!(weight.mask().is_none() && weight.methods().is_empty() && !weight.is_pruned());
        assert!(std::ptr::eq(weight.orig(), weight.value()));
        weight.update(|mut orig| orig[[0, 0]] = 9.0);
        assert_eq!(weight.value()[[0, 0]], 9.0, "nothing masks it any more");
        // The zeros count again.
        weight.prune(L1Unstructured::new(4)?)?;
        assert_eq!(weight.mask().map(|mask| mask.iter().any(|kept| kept)), Some(false));
        assert!(weight.remove().is_ok() && weight.remove().is_err());

        assert_eq!(names(&copy), ["L1Unstructured"]);
        assert_eq!(copy.value(), half_pruned().value());
        Ok(())
    }
}

mod modules {
    use super::*;

    struct Linear<A: Element> {
        weight: Parameter<A>,
        bias: Option<Parameter<A>>,
    }

    impl<A: Element> Module for Linear<A> {
        type Elem = A;
        prune::named_parameters!(weight, bias);
    }

    struct Scale(Parameter<f32>);

    impl Module for Scale {
        type Elem = f32;
        prune::named_parameters!(0 as "weight");
    }

    struct Relu;

    impl Module for Relu {
        type Elem = f32;
        prune::named_parameters!();
    }

    struct Net {
        layers: Vec<Linear<f32>>,
        pair: [Scale; 2],
        head: Box<dyn Module<Elem = f32>>,
        relu: Relu,
        table: ParameterStore<f32>,
    }

    impl Module for Net {
        type Elem = f32;
        prune::named_parameters!(layers as "blocks", pair, head, relu, table,);
    }

    const NAMES: [&str; 7] = [
        "blocks.0.weight",
        "blocks.0.bias",
        "blocks.1.weight",
        "pair.0.weight",
        "pair.1.weight",
        "head.weight",
        "table.embed.tokens",
    ];

    fn net() -> Net {
        let linear = |bias| Linear { weight: Array2::ones((2, 3)).into(), bias };
        let scale = || Scale(Array1::ones(4).into());
        Net {
            layers: vec![linear(Some(Array1::ones(2).into())), linear(None)],
            pair: [scale(), scale()],
            head: Box::new(linear(None)),
            relu: Relu,
            table: ParameterStore::from_iter([("embed.tokens", Array1::ones(5))]),
        }
    }

    #[test]
    fn paths_are_dotted_and_in_order() {
        fn listed(all: NamedParameters<'_, f32>) -> Vec<String> {
            all.into_iter().map(|(name, _)| name).collect()
        }
        fn listed_mut(all: NamedParametersMut<'_, f32>) -> Vec<String> {
            all.into_iter().map(|(name, _)| name).collect()
        }
        let mut net = net();
        assert_eq!(listed(net.named_parameters()), NAMES);
        assert_eq!(listed_mut(net.named_parameters_mut()), NAMES);
        for name in NAMES {
            let lengths =
                (net.parameter(name).map(|p| p.value().len()), net.parameter_mut(name).map(|p| p.value().len()));
            assert!(lengths.0.is_some() && lengths.0 == lengths.1, "{name}");
        }
        for unknown in ["", "blocks", "blocks.0", "blocks.1.bias", "blocks.2.weight", "weight", "head.weight."] {
            assert!(net.parameter(unknown).is_none() && net.parameter_mut(unknown).is_none(), "{unknown}");
        }
        // Parts are modules as well, and so are references to them.
        assert_eq!(listed(net.layers.named_parameters()), ["0.weight", "0.bias", "1.weight"]);
        assert_eq!(listed(net.layers[..1].named_parameters()), ["0.weight", "0.bias"]);
        let borrowed = &mut net;
        assert_eq!(listed(Module::named_parameters(&borrowed)), NAMES);
        assert_eq!(listed(net.layers[0].weight.named_parameters()), [""]);
    }

    #[test]
    fn a_module_is_pruned_if_any_part_is() -> Tested {
        for name in NAMES {
            let mut net = net();
            assert!(!prune::is_pruned(&net));
            prune::identity(&mut net, name)?;
            assert!(prune::is_pruned(&net));
            let others = NAMES.iter().filter(|other| net.parameter(other).is_some_and(Parameter::is_pruned));
            assert_eq!(others.count(), 1);
            prune::remove(&mut net, name)?;
            assert!(!prune::is_pruned(&net));
        }
        assert!(!prune::is_pruned(&Relu));
        Ok(())
    }

    #[test]
    fn parameters_come_in_the_order_of_the_names() -> Tested {
        let mut net = net();
        let wanted = ["table.embed.tokens", "blocks.0.bias", "pair.1.weight"];
        let lengths: Vec<usize> = prune::parameters_mut(&mut net, &wanted)?.iter().map(|p| p.value().len()).collect();
        assert_eq!(lengths, [5, 2, 4]);
        let none: [&str; 0] = [];
        assert!(prune::parameters_mut(&mut net, &none)?.is_empty());
        // The order decides among equal scores.
        prune::global_unstructured(prune::parameters_mut(&mut net, &wanted)?, L1Unstructured::new(6)?)?;
        let kept = |name| net.parameter(name).and_then(Parameter::mask).map(|mask: &Mask| mask.kept());
        assert_eq!(wanted.map(kept), [Some(0), Some(1), Some(4)]);
        Ok(())
    }

    #[test]
    fn targets_with_and_without_scores_mix() -> Tested {
        let mut net = net();
        let scores = arr2(&[[9.0, 0.5, 9.0], [0.0, 9.0, 9.0]]);
        let Net { layers, pair: [first, last], .. } = &mut net;
        let targets =
            [(&mut first.0).into(), Target::from((&mut layers[0].weight, scores.view())), (&mut last.0).into()];
        prune::global_unstructured(targets, L1Unstructured::new(3)?)?;
        let expected = arr2(&[[true, false, true], [false, true, true]]);
        assert_eq!(net.layers[0].weight.mask().expect("it is pruned"), &expected);
        assert_eq!(net.pair[0].0.value(), &arr1(&[0.0, 1.0, 1.0, 1.0]).into_dyn());
        assert_eq!(net.pair[1].0.value(), &arr1(&[1.0; 4]).into_dyn());
        Ok(())
    }

    #[test]
    fn a_store_is_an_ordered_map() {
        let mut store = ParameterStore::<f32>::default();
        assert!(store.is_empty());
        assert!(store.insert("b", arr1(&[1.0])).is_none());
        assert!(store.insert("a", Parameter::new(arr1(&[2.0]))).is_none());
        store.extend([("c", arr1(&[3.0])), ("d", arr1(&[4.0]))]);
        let order = |store: &ParameterStore<f32>| {
            store.iter().map(|(name, p)| (name.to_owned(), p.value()[0])).collect::<Vec<_>>()
        };
        let expected = |all: &[(&str, f32)]| all.iter().map(|(name, x)| (name.to_string(), *x)).collect::<Vec<_>>();

        // Replaced where it stands.
        let old = store.insert("a", arr1(&[5.0])).expect("there was one");
        assert_eq!(old.value()[0], 2.0);
        assert_eq!(order(&store), expected(&[("b", 1.0), ("a", 5.0), ("c", 3.0), ("d", 4.0)]));
        // Taken out, and the others keep their order.
        assert_eq!(store.take("b").map(|taken| taken.value()[0]), Some(1.0));
        assert!(store.take("b").is_none() && !store.contains("b") && store.contains("a"));
        assert_eq!(order(&store), expected(&[("a", 5.0), ("c", 3.0), ("d", 4.0)]));

        assert_eq!(store.len(), 3);
        store["c"].update(|mut orig| orig += 1.0);
        store.iter_mut().for_each(|(_, parameter)| parameter.update(|mut orig| orig *= 2.0));
        assert_eq!((store["c"].value()[0], store.get("d").map(|d| d.value()[0])), (8.0, Some(8.0)));
        assert!(store.get("z").is_none() && store.get_mut("z").is_none());
        assert!(catch_unwind(AssertUnwindSafe(|| store["z"].is_pruned())).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| store["z"].remove())).is_err());

        let clone = store.clone();
        store["a"].prune(Identity).unwrap();
        assert!(prune::is_pruned(&store) && !prune::is_pruned(&clone));
        assert_eq!(order(&store.into_iter().collect()), order(&clone));
    }
}
