//! Files by PyTorch are loaded, pruned further and saved. The bits equal PyTorch's at every step.

use half::bf16;
use prune::safetensors::{SkipReason, from_bytes, load_into, to_bytes};
use prune::{Element, L1Unstructured, LnStructured, ParameterStore, PruneError, TieBreak};

use super::{history, tensors};

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/state_dict/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()
}

/// `prune_further` of make.py.
fn prune_further<A: Element>(net: &mut ParameterStore<A>) -> Result<(), PruneError> {
    let l1 = |amount: prune::Amount| Ok(L1Unstructured::new(amount)?.tie_break(TieBreak::PyTorch));
    prune::apply(net, "conv.weight", LnStructured::new(1, 1, 0)?.tie_break(TieBreak::PyTorch))?;
    prune::apply(net, "linear.weight", l1(0.5.into())?)?;
    prune::apply(net, "head.weight", l1(4.into())?)?;
    let lstm = prune::parameters_mut(net, &["lstm.weight_ih_l0", "lstm.weight_hh_l0"])?;
    prune::global_unstructured(lstm, l1(0.3.into())?)
}

const PRUNED: [&str; 6] =
    ["conv.weight", "conv.bias", "lstm.weight_ih_l0", "lstm.weight_hh_l0", "linear.weight", "linear.bias"];

fn round_trip<A: Element>(dtype: &str) {
    let file = fixture(&format!("pruned_{dtype}"));
    let (mut net, report) = from_bytes::<A>(&file).unwrap();
    assert!(report.is_complete(), "{report}");
    assert_eq!(report.applied.len(), tensors(&file).len());
    assert_eq!(net.len(), 10);
    for name in PRUNED {
        assert_eq!(history(&net[name]), ["CustomFromMask"], "{name}");
    }
    assert!(!net["head.weight"].is_pruned() && !net["lstm.bias_ih_l0"].is_pruned());

    // PyTorch made an int64 mask from int64 scores, and this crate saves every mask in the dtype of the weight.
    let mut saved = tensors(&to_bytes(&net).unwrap());
    let mut expected = tensors(&file);
    let (theirs, ours) = (expected.remove("linear.weight_mask").unwrap(), saved.remove("linear.weight_mask").unwrap());
    assert_eq!((&*theirs.0, &ours.0), ("I64", &expected["linear.weight_orig"].0));
    let kept = |bytes: &[u8], size| bytes.chunks(size).map(|x| x.iter().any(|&b| b != 0)).collect::<Vec<_>>();
    assert_eq!(kept(&theirs.2, 8), kept(&ours.2, size_of::<A>()));
    assert_eq!(saved, expected);

    prune_further(&mut net).unwrap();
    assert_eq!(tensors(&to_bytes(&net).unwrap()), tensors(&fixture(&format!("further_{dtype}"))));
    assert_eq!(history(&net["linear.weight"]), ["CustomFromMask", "L1Unstructured"]);
    assert_eq!(history(&net["lstm.weight_hh_l0"]), ["CustomFromMask", "CustomFromMask"]);

    for name in PRUNED.into_iter().chain(["head.weight"]) {
        prune::remove(&mut net, name).unwrap();
    }
    assert_eq!(tensors(&to_bytes(&net).unwrap()), tensors(&fixture(&format!("removed_{dtype}"))));
}

#[test]
fn a_pruned_model_goes_on_where_it_stood_and_back_in_f32() {
    round_trip::<f32>("f32");
}

#[test]
fn a_pruned_model_goes_on_where_it_stood_and_back_in_bf16() {
    round_trip::<bf16>("bf16");
}

#[test]
fn a_pruned_state_prunes_the_model_that_it_is_loaded_into() {
    let (mut net, _) = from_bytes::<f32>(&fixture("removed_f32")).unwrap();
    for state in ["pruned_f32", "further_f32"] {
        let report = load_into(&mut net, &fixture(state)).unwrap();
        assert!(report.is_complete(), "{report}");
        assert_eq!(tensors(&to_bytes(&net).unwrap()), {
            let (loaded, _) = from_bytes::<f32>(&fixture(state)).unwrap();
            tensors(&to_bytes(&loaded).unwrap())
        });
    }

    // An unpruned state does not change pruned parameters.
    let report = load_into(&mut net, &fixture("removed_f32")).unwrap();
    assert_eq!(report.applied, ["head.bias", "lstm.bias_hh_l0", "lstm.bias_ih_l0"]);
    assert_eq!((report.unexpected.len(), report.missing.len()), (7, 14));
    assert_eq!(tensors(&to_bytes(&net).unwrap()), tensors(&fixture("further_f32")));
}

#[test]
fn integer_buffers_are_skipped_and_reported() {
    let file = fixture("batch_norm");
    let (mut net, report) = from_bytes::<f32>(&file).unwrap();
    let [skipped] = &report.skipped[..] else { panic!("{report}") };
    assert_eq!(skipped.tensor, "1.num_batches_tracked");
    assert_eq!(skipped.reason, SkipReason::Dtype { expected: "F32".to_owned(), found: "I64".to_owned() });
    assert_eq!(report.applied.len(), 7);
    assert_eq!(net.len(), 6);
    assert!(!report.is_complete());

    let again = load_into(&mut net, &file).unwrap();
    assert_eq!(again.skipped, report.skipped);
    assert!(again.missing.is_empty() && again.unexpected.is_empty());
}

#[test]
fn odd_shapes_and_names_come_back_as_the_same_bytes() {
    let file = fixture("odd");
    let (store, report) = from_bytes::<f32>(&file).unwrap();
    assert!(report.is_complete());
    let names: Vec<&str> = store.iter().map(|(name, _)| name).collect();
    let expected = ["", "0-d", "empty", "lone_mask", "none", "other_orig", "size 1", "weights ம.\n\""];
    assert_eq!(names, expected);
    assert_eq!(store["0-d"].value().shape(), [0_usize; 0]);
    assert_eq!(store["empty"].value().shape(), [2, 0, 3]);
    assert_eq!(to_bytes(&store).unwrap(), file);
}
