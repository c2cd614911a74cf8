//! Any calls in any order, followed by a naive model.

use proptest::prelude::*;
use prune::{Module, ParameterStore, PruneError, Target};

use super::dtype::{Dtype, assert_same, for_each_dtype};
#[cfg(feature = "safetensors")]
use super::files;
use super::inputs::{Fill, layout, shape, spec, unstructured, values};
use super::layout::Layout;
use super::model::{Model, Snapshot};
use super::runner::check_law;
use super::spec::Spec;

for_each_dtype!(every_sequence_of_calls_agrees_with_the_model);

pub const NAMES: [&str; 3] = ["conv.weight", "conv.bias", "fc.weight"];

/// Parameters, and what is done to them.
pub type Sequence<A> = ([(Vec<usize>, Fill<A>); NAMES.len()], Vec<Step<A>>);

#[derive(Debug, Clone)]
pub enum Step<A> {
    Prune {
        at: usize,
        spec: Spec,
    },
    PruneByScores {
        at: usize,
        spec: Spec,
        scores: Fill<A>,
        layout: Layout,
        misshapen: bool,
    },
    /// The second target, if there is one, has scores of its own.
    Global {
        names: Vec<&'static str>,
        spec: Spec,
        scores: Fill<A>,
        misshapen: bool,
    },
    /// From some entry on, counted modulo their number.
    Update {
        at: usize,
        orig: Fill<A>,
        from: usize,
    },
    MaskGradient {
        at: usize,
        gradient: Fill<A>,
        layout: Layout,
        misshapen: bool,
    },
    /// Continues with a clone; the original must not change.
    Clone,
    Remove {
        at: usize,
    },
    #[cfg(feature = "safetensors")]
    File(files::Step),
}

fn step<A: Dtype>() -> BoxedStrategy<Step<A>> {
    let at = || 0..NAMES.len();
    let global = prop_oneof![9 => unstructured().boxed(), 1 => spec().boxed()];
    // Scores or gradients of another shape, now and then.
    let slip = || prop::bool::weighted(0.1);
    let calls = prop_oneof![
        4 => (at(), spec()).prop_map(|(at, spec)| Step::Prune { at, spec }),
        2 => (at(), spec(), values(), layout(), slip())
            .prop_map(|(at, spec, scores, layout, misshapen)| Step::PruneByScores { at, spec, scores, layout, misshapen }),
        3 => (prop::sample::subsequence(&NAMES, 0..=3).prop_shuffle(), global, values(), slip())
            .prop_map(|(names, spec, scores, misshapen)| Step::Global { names, spec, scores, misshapen }),
        2 => (at(), values(), any::<usize>()).prop_map(|(at, orig, from)| Step::Update { at, orig, from }),
        1 => (at(), values(), layout(), slip())
            .prop_map(|(at, gradient, layout, misshapen)| Step::MaskGradient { at, gradient, layout, misshapen }),
        1 => Just(Step::Clone),
        1 => at().prop_map(|at| Step::Remove { at }),
    ];
    #[cfg(feature = "safetensors")]
    let calls = prop_oneof![5 => calls, 1 => files::step().prop_map(Step::File)];
    calls.boxed()
}

pub fn sequence<A: Dtype>() -> BoxedStrategy<Sequence<A>> {
    let tensors = [(); NAMES.len()].map(|()| (shape(), values::<A>()));
    (tensors, prop::collection::vec(step::<A>(), 1..16)).boxed()
}

fn every_sequence_of_calls_agrees_with_the_model<A: Dtype>() {
    check_law(sequence::<A>(), agrees_with_the_model);
}

/// Panics at the first step after which anything is not as the model says.
pub fn agrees_with_the_model<A: Dtype>((tensors, steps): Sequence<A>) {
    let arrays = tensors.map(|(shape, values)| values.array(&shape));
    let mut models = arrays.each_ref().map(|array| Model::new(array.shape(), array));
    let mut store = ParameterStore::from_iter(NAMES.into_iter().zip(arrays));
    let mut originals = Vec::new();
    #[cfg(feature = "safetensors")]
    let mut saved = None;
    for step in &steps {
        let before = snapshots(&store);
        match step {
            Step::Clone => {
                let clone = store.clone();
                originals.push((std::mem::replace(&mut store, clone), before));
            }
            #[cfg(feature = "safetensors")]
            Step::File(step) => files::follow(*step, &mut store, &mut models, &mut saved),
            step => {
                let valid = in_model(step, &mut models);
                let result = in_crate(step, &mut store, &models);
                assert_eq!(result.is_ok(), valid, "{step:?}: {result:?}");
                if result.is_err() {
                    assert_eq!(snapshots(&store), before);
                }
            }
        }
        for (model, name) in models.iter().zip(NAMES) {
            model.assert_is(&store[name]);
        }
        assert_eq!(prune::is_pruned(&store), models.iter().any(|model| model.mask.is_some()));
    }
    for (original, picture) in originals {
        assert_eq!(snapshots(&original), picture);
    }
}

fn snapshots<A: Dtype>(store: &ParameterStore<A>) -> Vec<Snapshot> {
    store.iter().map(|(_, parameter)| Snapshot::of(parameter)).collect()
}

/// A shape that is not this one.
fn misshape(shape: &[usize], misshapen: bool) -> Vec<usize> {
    shape.iter().copied().chain(misshapen.then_some(1)).collect()
}

fn in_model<A: Dtype>(step: &Step<A>, models: &mut [Model<A>; NAMES.len()]) -> bool {
    match step {
        Step::Prune { at, spec } => models[*at].prune(spec, None),
        Step::PruneByScores { misshapen: true, .. } => false,
        Step::PruneByScores { at, spec, scores, .. } => {
            let model = &mut models[*at];
            model.prune(spec, scores.array(&model.shape).as_slice())
        }
        Step::Global { names, misshapen: true, .. } if names.len() > 1 => false,
        Step::Global { names, spec, scores, .. } => {
            let mut left: Vec<_> = NAMES.iter().zip(models).collect();
            let mut take =
                |name| left.swap_remove(left.iter().position(|(other, _)| **other == name).expect("a name")).1;
            let mut targets: Vec<_> = names.iter().map(|name| take(*name)).collect();
            let scores: Vec<Option<Vec<A>>> = (targets.iter().enumerate())
                .map(|(i, model)| (i == 1).then(|| scores.array(&model.shape).into_iter().collect()))
                .collect();
            Model::prune_globally(&mut targets, &scores, spec)
        }
        Step::Update { at, orig, from } => {
            let model = &mut models[*at];
            let changed = orig.array(&model.shape);
            let from = from % model.orig.len().max(1);
            model.orig.iter_mut().zip(&changed).skip(from).for_each(|(x, changed)| *x = *changed);
            true
        }
        Step::MaskGradient { misshapen, .. } => !misshapen,
        Step::Remove { at } => models[*at].mask.is_some() && models[*at].remove(),
        Step::Clone => true,
        #[cfg(feature = "safetensors")]
        Step::File(_) => true,
    }
}

fn in_crate<A: Dtype>(
    step: &Step<A>,
    store: &mut ParameterStore<A>,
    models: &[Model<A>; NAMES.len()],
) -> Result<(), PruneError> {
    match step {
        Step::Prune { at, spec } => prune::apply(store, NAMES[*at], spec.method(&models[*at].shape)?),
        Step::PruneByScores { at, spec, scores, layout, misshapen } => {
            let scores = layout.of(&scores.array(&misshape(&models[*at].shape, *misshapen)));
            prune::apply_with_scores(store, NAMES[*at], spec.method(&models[*at].shape)?, scores.view())
        }
        Step::Global { names, spec, scores, misshapen } => {
            let second =
                names.get(1).and_then(|name| store.parameter(name)).map(|second| second.value().shape().to_vec());
            let scores = scores.array(&misshape(&second.unwrap_or_default(), *misshapen));
            let targets = prune::parameters_mut(store, names)?.into_iter().enumerate();
            let targets = targets.map(|(i, parameter)| match i {
                1 => Target::from((parameter, scores.view())),
                _ => Target::from(parameter),
            });
            prune::global_unstructured(targets, spec.method::<A>(&[])?)
        }
        Step::Update { at, orig, from } => {
            let changed = orig.array(&models[*at].shape);
            store[NAMES[*at]].update(|mut orig| {
                let from = from % orig.len().max(1);
                orig.iter_mut().zip(&changed).skip(from).for_each(|(x, changed)| *x = *changed);
            });
            Ok(())
        }
        Step::MaskGradient { at, gradient, layout, misshapen } => {
            let plain = gradient.array(&misshape(&models[*at].shape, *misshapen));
            let mut masked = layout.of(&plain);
            let result = store[NAMES[*at]].mask_gradient(masked.view_mut());
            let plain: Vec<A> = plain.into_iter().collect();
            let expected = if result.is_ok() { models[*at].masked(&plain) } else { plain };
            assert_same(&masked, &expected, "gradient");
            result
        }
        Step::Remove { at } => prune::remove(store, NAMES[*at]),
        Step::Clone => Ok(()),
        #[cfg(feature = "safetensors")]
        Step::File(_) => Ok(()),
    }
}
