//! Laws of one ranking across many parameters.

use ndarray::{Array1, ArrayD};
use proptest::prelude::*;
use prune::{CustomFromMask, Parameter, Target, global_unstructured};

use super::dtype::{Dtype, for_each_dtype};
use super::inputs::{Fill, flags, layout, shape, spec, unstructured, values};
use super::layout::Layout;
use super::model::{Model, Snapshot};
use super::runner::check_law;
use super::spec::Spec;

for_each_dtype!(a_global_call_is_what_the_oracle_says, parts_are_pruned_like_their_concatenation);

/// One of the targets: a tensor, what is pruned of it already, and scores of its own.
#[derive(Debug, Clone)]
struct Part<A> {
    tensor: ArrayD<A>,
    keep: Option<ArrayD<bool>>,
    scores: Option<ArrayD<A>>,
}

impl<A: Dtype> Part<A> {
    fn parameter(&self) -> Parameter<A> {
        let mut parameter = Parameter::new(self.tensor.clone());
        if let Some(keep) = &self.keep {
            parameter.prune(CustomFromMask::new(keep.clone())).expect("the mask has the shape of the tensor");
        }
        parameter
    }
}

fn part<A: Dtype>() -> BoxedStrategy<Part<A>> {
    let some = |layout: Layout, shape: Vec<usize>| move |fill: Fill<A>| layout.of(&fill.array(&shape));
    let fills = (values::<A>(), prop::option::of(flags()), prop::option::of(values::<A>()));
    (shape(), layout(), fills)
        .prop_map(move |(shape, layout, (tensor, keep, scores))| Part {
            tensor: some(layout, shape.clone())(tensor),
            keep: keep.map(|keep| keep.array(&shape)),
            scores: scores.map(some(layout, shape)),
        })
        .boxed()
}

fn prune<A: Dtype>(parameters: &mut [Parameter<A>], parts: &[Part<A>], spec: &Spec) -> Result<(), prune::PruneError> {
    let targets = parameters.iter_mut().zip(parts).map(|(parameter, part)| match &part.scores {
        Some(scores) => Target::from((parameter, scores.view())),
        None => Target::from(parameter),
    });
    global_unstructured(targets, spec.method::<A>(&[])?)
}

fn a_global_call_is_what_the_oracle_says<A: Dtype>() {
    check_law((prop::collection::vec(part::<A>(), 0..5), spec()), |(parts, spec)| {
        let mut parameters: Vec<_> = parts.iter().map(Part::parameter).collect();
        let mut models: Vec<_> = parts
            .iter()
            .map(|part| {
                let mut model = Model::new(part.tensor.shape(), &part.tensor);
                model.mask = part.keep.as_ref().map(|keep| keep.iter().copied().collect());
                model.history.extend(part.keep.as_ref().map(|_| "CustomFromMask"));
                model
            })
            .collect();
        let before: Vec<_> = parameters.iter().map(Snapshot::of).collect();

        let scores: Vec<_> =
            parts.iter().map(|part| part.scores.as_ref().map(|s| s.iter().copied().collect())).collect();
        let valid = Model::prune_globally(&mut models.iter_mut().collect::<Vec<_>>(), &scores, &spec);
        let pruned = prune(&mut parameters, &parts, &spec);
        assert_eq!(pruned.is_ok(), valid, "{pruned:?}");
        models.iter().zip(&parameters).for_each(|(model, parameter)| model.assert_is(parameter));
        if pruned.is_err() {
            assert_eq!(parameters.iter().map(Snapshot::of).collect::<Vec<_>>(), before);
        }
    });
}

fn parts_are_pruned_like_their_concatenation<A: Dtype>() {
    fn concatenation<T: Clone>(arrays: impl Iterator<Item = ArrayD<T>>) -> ArrayD<T> {
        Array1::from_iter(arrays.flatten()).into_dyn()
    }

    check_law((prop::collection::vec(part::<A>(), 1..5), unstructured()), |(parts, spec)| {
        let mut parameters: Vec<_> = parts.iter().map(Part::parameter).collect();
        let scores = parts.iter().zip(&parameters);
        let scores = scores.map(|(part, parameter)| part.scores.clone().unwrap_or_else(|| parameter.value().clone()));
        let remaining =
            |part: &Part<A>| part.keep.clone().unwrap_or_else(|| ArrayD::from_elem(part.tensor.raw_dim(), true));
        let whole = Part {
            tensor: concatenation(parts.iter().map(|part| part.tensor.clone())),
            keep: Some(concatenation(parts.iter().map(remaining))),
            scores: Some(concatenation(scores)),
        };

        let mut one = whole.parameter();
        let valid = spec.method::<A>(&[]).and_then(|method| {
            one.prune_with_scores(method, whole.scores.as_ref().expect("it was given scores").view())
        });
        let pruned = prune(&mut parameters, &parts, &spec);
        assert_eq!(pruned.is_ok(), valid.is_ok());
        if pruned.is_ok() {
            let masks = parameters.iter().map(|parameter| parameter.mask().expect("it is pruned").to_array());
            assert_eq!(&concatenation(masks), one.mask().expect("it is pruned"));
        }
    });
}
