//! Laws of one parameter and one or two calls.

use ndarray::{Array1, ArrayD, Axis, arr2};
use proptest::prelude::*;
use prune::{
    CustomFromMask, Fpgm, L1Unstructured, Mask, Parameter, PruneError, PruningContainer, PruningMethod, PruningType,
    TieBreak,
};

use super::dtype::{Dtype, assert_same, for_each_dtype};
use super::inputs::{amount, flags, layout, shape, spec, values};
use super::model::{Model, Snapshot};
use super::runner::check_law;
use super::spec::Spec;

for_each_dtype!(
    a_call_is_what_the_oracle_says,
    layout_does_not_matter,
    all_doors_lead_to_one_mask,
    pruning_twice_is_pruning_the_rest,
    called_directly_a_method_counts_pruned_entries_too,
    a_clone_is_independent,
    remove_leaves_the_value,
);

/// A parameter that is pruned already or not, and the model of it.
fn parameter<A: Dtype>() -> BoxedStrategy<(Parameter<A>, Model<A>)> {
    (shape(), values::<A>(), layout(), prop::option::of(flags()))
        .prop_map(|(shape, values, layout, keep)| {
            let tensor = values.array(&shape);
            let (mut parameter, mut model) = (Parameter::new(layout.of(&tensor)), Model::new(&shape, &tensor));
            if let Some(keep) = keep {
                let keep = keep.array(&shape);
                model.mask = Some(keep.iter().copied().collect());
                model.history.push("CustomFromMask");
                parameter.prune(CustomFromMask::new(keep)).expect("the mask has the shape of the tensor");
            }
            (parameter, model)
        })
        .boxed()
}

/// So the count is exact, no pruned entry comes back, and `value == orig * mask`; and an error changes nothing.
fn a_call_is_what_the_oracle_says<A: Dtype>() {
    check_law(
        (parameter::<A>(), spec(), prop::option::of(values::<A>())),
        |((mut parameter, mut model), spec, scores)| {
            let before = Snapshot::of(&parameter);
            let scores = scores.map(|scores| scores.array(&model.shape));
            let flat: Option<Vec<A>> = scores.as_ref().map(|scores| scores.iter().copied().collect());
            let pruned = spec.method::<A>(&model.shape).and_then(|method| match &scores {
                Some(scores) => parameter.prune_with_scores(method, scores.view()),
                None => parameter.prune(method),
            });
            assert_eq!(pruned.is_ok(), model.prune(&spec, flat.as_deref()), "{pruned:?}");
            model.assert_is(&parameter);
            if pruned.is_err() {
                assert_eq!(Snapshot::of(&parameter), before);
            }
        },
    );
}

fn layout_does_not_matter<A: Dtype>() {
    let inputs = (shape(), values::<A>(), values::<A>(), flags(), spec(), layout());
    check_law(inputs, |(shape, tensor, scores, keep, spec, layout)| {
        let (tensor, scores, keep) = (tensor.array(&shape), scores.array(&shape), keep.array(&shape));
        let prune = |tensor: ArrayD<A>, scores: ArrayD<A>, keep: ArrayD<bool>| {
            let mut parameter = Parameter::new(tensor);
            let results = [
                parameter.prune_with_scores(spec.method::<A>(&shape)?, scores.view()),
                parameter.prune(CustomFromMask::new(keep)),
                parameter.prune(spec.method::<A>(&shape)?),
            ];
            let mut gradient = scores; // laid out as they are
            parameter.mask_gradient(gradient.view_mut())?;
            Ok::<_, prune::PruneError>((results, Snapshot::of(&parameter), gradient.mapv(A::bits)))
        };
        let laid_out = prune(layout.of(&tensor), layout.of(&scores), layout.of(&keep));
        assert_eq!(laid_out.map_err(drop), prune(tensor, scores, keep).map_err(drop));
    });
}

/// A parameter, a container and a method on its own agree.
fn all_doors_lead_to_one_mask<A: Dtype>() {
    check_law((shape(), values::<A>(), spec(), layout()), |(shape, tensor, spec, layout)| {
        let tensor = tensor.array(&shape);
        if spec.method::<A>(&shape).is_err() {
            return;
        }
        // A fresh one each time, because a generator in it moves on.
        let method = || spec.method::<A>(&shape).expect("it was valid before");
        let ones = layout.of(&ArrayD::from_elem(tensor.raw_dim(), true));
        let laid_out = layout.of(&tensor);

        let alone = method().compute_mask(laid_out.view(), ones.view());
        let mut parameter = Parameter::new(tensor.clone());
        if parameter.prune(method()).is_err() {
            // The axis of a third party's method is checked by its caller, so the method alone may succeed.
            assert!(alone.is_err() || matches!(spec, Spec::Every { .. }));
            return;
        }
        assert_eq!(alone.clone().map(Mask::from).as_ref().ok(), parameter.mask());

        let product = method().prune(laid_out.view(), None, None).expect("compute_mask was Ok");
        assert_same(&product, parameter.value().as_slice().expect("standard layout"), "prune()");

        // A container hands over the channels that have an entry, of which an empty tensor has none.
        if !tensor.is_empty() {
            let mut container = PruningContainer::new();
            container.push(method());
            assert_eq!(container.compute_mask(laid_out.view(), ones.view()), alone.map(Mask::from));
        }
    });
}

/// A second call prunes the remaining entries like a first call on a tensor of just those entries.
fn pruning_twice_is_pruning_the_rest<A: Dtype>() {
    check_law((shape(), values::<A>(), flags(), spec()), |(shape, tensor, keep, spec)| {
        let keep = keep.array(&shape);
        let mut parameter = Parameter::new(tensor.array(&shape));
        parameter.prune(CustomFromMask::new(keep.clone())).expect("the mask has the shape of the tensor");
        let (Some(remaining), Ok(method), Ok(again)) =
            (remaining(&keep, spec.kind()), spec.method::<A>(&shape), spec.method(&shape))
        else {
            return;
        };
        let (value, before): (Vec<A>, Vec<bool>) = parameter.value().iter().copied().zip(keep).unzip();
        let mut rest = Parameter::new(remaining.mapv(|i| value[i]));
        if remaining.iter().any(|&i| !before[i]) {
            rest.prune(CustomFromMask::new(remaining.mapv(|i| before[i]))).expect("the mask has the shape of the rest");
        }

        assert_eq!(parameter.prune(method).is_ok(), rest.prune(again).is_ok());
        let mut expected = before;
        for (&i, kept) in remaining.iter().zip(rest.mask().into_iter().flat_map(Mask::iter)) {
            expected[i] = kept;
        }
        assert!(parameter.mask().into_iter().flat_map(Mask::iter).eq(expected));
    });
}

/// The flat indices of the part of a pruned tensor that a method of this type is given, in the shape of that part.
fn remaining(keep: &ArrayD<bool>, kind: PruningType) -> Option<ArrayD<usize>> {
    let mut next = 0..;
    let indices = ArrayD::from_shape_simple_fn(keep.raw_dim(), || next.next().unwrap_or_default());
    match kind {
        PruningType::Groups | PruningType::Global => None,
        PruningType::Unstructured => {
            let kept = indices.iter().zip(keep).filter(|(_, kept)| **kept);
            Some(kept.map(|(&i, _)| i).collect::<Array1<_>>().into_dyn())
        }
        PruningType::Structured { dim } => {
            let ndim = keep.ndim() as isize;
            let axis = if dim < 0 { dim.wrapping_add(ndim) } else { dim };
            let axis = (ndim >= 2 && (0..ndim).contains(&axis)).then_some(Axis(axis as usize))?;
            let channels = keep.axis_iter(axis).enumerate();
            let remaining = channels.filter(|(_, channel)| channel.iter().any(|kept| *kept));
            Some(indices.select(axis, &remaining.map(|(i, _)| i).collect::<Vec<_>>()))
        }
        other => panic!("the law does not know {other:?}"),
    }
}

/// Only a container leaves pruned entries out, as in PyTorch.
fn called_directly_a_method_counts_pruned_entries_too<A: Dtype>() {
    type Chosen<A> = Result<Box<dyn PruningMethod<A>>, PruneError>;

    check_law(
        (shape(), values::<A>(), flags(), spec(), amount(), layout()),
        |(shape, scores, keep, spec, amount, layout)| {
            let (scores, keep) = (scores.array(&shape), keep.array(&shape));
            let ones = ArrayD::from_elem(scores.raw_dim(), true);
            let in_pytorchs_order =
                || -> Chosen<A> { Ok(Box::new(L1Unstructured::new(amount)?.tie_break(TieBreak::PyTorch))) };
            let methods: [&dyn Fn() -> Chosen<A>; 2] = [&|| spec.method(&shape), &in_pytorchs_order];
            for method in methods {
                // A fresh one each time, because a generator in it moves on.
                let mask =
                    |before: &ArrayD<bool>| method()?.compute_mask(layout.of(&scores).view(), layout.of(before).view());
                assert_eq!(mask(&keep).ok(), mask(&ones).ok().map(|mask| mask & &keep));
            }
        },
    );
}

fn a_clone_is_independent<A: Dtype>() {
    check_law((parameter::<A>(), spec(), values::<A>()), |((mut parameter, model), spec, values)| {
        let change = |parameter: &mut Parameter<A>| {
            parameter.update(|mut orig| orig.assign(&values.array(&model.shape)));
            // It may fail, which does not matter here.
            let _ = spec.method::<A>(&model.shape).and_then(|method| parameter.prune(method));
            let _ = parameter.remove();
        };
        let before = Snapshot::of(&parameter);
        let mut clone = parameter.clone();
        assert_eq!(Snapshot::of(&clone), before);
        change(&mut parameter);
        assert_eq!(Snapshot::of(&clone), before);
        let changed = Snapshot::of(&parameter);
        change(&mut clone);
        assert_eq!(Snapshot::of(&parameter), changed);
    });
}

fn remove_leaves_the_value<A: Dtype>() {
    check_law((parameter::<A>(), spec()), |((mut parameter, model), spec)| {
        let _ = spec.method::<A>(&model.shape).and_then(|method| parameter.prune(method));
        let value = parameter.value().mapv(A::bits);
        assert_eq!(parameter.is_pruned(), parameter.remove().is_ok());
        assert_eq!(parameter.value().mapv(A::bits), value);
        assert_eq!(parameter.orig().mapv(A::bits), value);
        assert!(parameter.mask().is_none() && parameter.methods().is_empty());
    });
}

/// Distances are those of the remaining channels to each other: a pruned one is none of them, although it is a row of zeros.
#[test]
fn fpgm_measures_remaining_channels() {
    let mut weight = Parameter::new(arr2(&[[-5.0], [0.0], [1.0], [10.0]]));
    weight.prune(CustomFromMask::new(arr2(&[[false], [true], [true], [true]]).into_dyn())).expect("it fits");
    weight.prune(Fpgm::new(1, 0).expect("it is a count")).expect("three remain");
    assert_eq!(weight.mask(), Some(&Mask::from(arr2(&[[false], [true], [false], [true]]))));
}
