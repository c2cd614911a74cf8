//! State dicts and mask files in the middle of everything else.

use proptest::prelude::*;
use proptest::sample::select;
use prune::ParameterStore;
use prune::safetensors::{apply_masks, from_bytes, load_into, masks_from_bytes, masks_to_bytes, to_bytes};

use super::dtype::Dtype;
use super::model::Model;

#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// Keeps what files of this moment hold.
    Save,
    /// Loads what was saved last into what there is now.
    Load,
    /// Applies the masks of what was saved last to what there is now.
    ApplyMasks,
    /// Writes the parameters and continues with the ones read back.
    Reload,
}

impl Step {
    pub const ALL: [Self; 4] = [Self::Save, Self::Load, Self::ApplyMasks, Self::Reload];
}

pub fn step() -> BoxedStrategy<Step> {
    select(&Step::ALL[..]).boxed()
}

/// Files, and the models of the parameters that they were made of.
#[derive(Debug)]
pub struct Saved<A> {
    state: Vec<u8>,
    masks: Vec<u8>,
    models: Vec<Model<A>>,
}

impl<A: Dtype> Saved<A> {
    pub fn of(store: &ParameterStore<A>, models: &[Model<A>]) -> Self {
        let state = to_bytes(store).expect("no name of these clashes");
        let masks = masks_to_bytes(store).expect("no name of these clashes");
        Self { state, masks, models: models.to_vec() }
    }
}

/// Does the step to the store and to the models of its parameters, which are in the same order.
pub fn follow<A: Dtype>(
    step: Step,
    store: &mut ParameterStore<A>,
    models: &mut [Model<A>],
    saved: &mut Option<Saved<A>>,
) {
    let names: Vec<String> = store.iter().map(|(name, _)| name.to_owned()).collect();
    match (step, saved) {
        (Step::Save, saved) => *saved = Some(Saved::of(store, models)),
        (Step::Reload, _) => {
            let written = Saved::of(store, models);
            let (read, report) = from_bytes::<A>(&written.state).expect("it was just written");
            assert!(report.is_complete(), "{report}");
            *store = read;
            models.iter_mut().for_each(forget_history);
            let again = Saved::of(store, models);
            assert!(
                again.state == written.state && again.masks == written.masks,
                "written anew, a file is another one"
            );
        }
        (Step::Load, Some(saved)) => {
            let report = load_into(store, &saved.state).expect("shapes never change");
            let mut kept = Vec::new();
            for ((model, saved), name) in models.iter_mut().zip(&saved.models).zip(names) {
                if saved.mask.is_some() || model.mask.is_none() {
                    *model = saved.clone();
                    forget_history(model);
                } else {
                    kept.push(name);
                }
            }
            assert_eq!(report.unexpected, kept);
            let halves = kept.iter().flat_map(|name| [format!("{name}_orig"), format!("{name}_mask")]);
            assert_eq!(report.missing, halves.collect::<Vec<_>>());
        }
        (Step::ApplyMasks, Some(saved)) => {
            let masks = masks_from_bytes(&saved.masks).expect("it was written by this crate");
            let report = apply_masks(store, masks).expect("shapes never change");
            assert!(report.is_complete(), "{report}");
            for (model, saved) in models.iter_mut().zip(&saved.models) {
                let Some(mask) = &saved.mask else { continue };
                model.mask = Some(model.remaining().iter().zip(mask).map(|(a, b)| a & b).collect());
                model.history.push("CustomFromMask");
            }
        }
        (Step::Load | Step::ApplyMasks, None) => {}
    }
}

/// A file says what is pruned, but not how that came about.
fn forget_history<A>(model: &mut Model<A>) {
    model.history = model.mask.iter().map(|_| "CustomFromMask").collect();
}
