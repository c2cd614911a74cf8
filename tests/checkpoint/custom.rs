//! Custom methods on files: each tensor is pruned as it is in memory.

use half::{bf16, f16};
use ndarray::{ArrayD, ArrayViewD};
use prune::checkpoint::{Checkpoint, CheckpointError, Format, Output, Pruner, Scope, Selection};
use prune::{
    AnyMethod, Describe, Element, L1Unstructured, LnStructured, MethodOptions, Parameter, ParameterStore, PruneError,
    PruningMethod, PruningType, safetensors,
};

/// Prunes entries below a threshold, and every third one that it is given.
#[derive(Debug, Clone)]
struct Custom(PruningType, f64);

impl Describe for Custom {
    fn name(&self) -> &str {
        "Custom"
    }
    fn pruning_type(&self) -> PruningType {
        self.0
    }
}

impl<A: Element> PruningMethod<A> for Custom {
    fn compute_mask(&self, x: ArrayViewD<'_, A>, mask: ArrayViewD<'_, bool>) -> Result<ArrayD<bool>, PruneError> {
        let threshold = A::from(self.1).ok_or_else(|| PruneError::method("Custom", "no threshold"))?;
        if x.len() == 1 {
            return Err(PruneError::method("Custom", "too small"));
        }
        let mut new = ndarray::Zip::from(&x).and(&mask).map_collect(|x, &kept| kept && x.abs() >= threshold);
        new.iter_mut().step_by(3).for_each(|kept| *kept = false);
        Ok(new)
    }
}

fn check<A: super::support::Stored>(shape: &[usize]) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for (kind, first) in [PruningType::Unstructured, PruningType::Structured { dim: 1 }, PruningType::Global]
        .into_iter()
        .flat_map(|kind| [(kind, false), (kind, true)])
    {
        let mut model = ParameterStore::<A>::new();
        for name in ["a.weight", "b.weight"] {
            let mut weight = Parameter::new(super::support::weights::<A>(shape, name.len() as u64));
            if first {
                // Whole rows, so that a structured method sees zeros in the others.
                weight.prune(LnStructured::new(0.4, 2, 0).unwrap()).unwrap();
                weight.prune(L1Unstructured::new(0.2).unwrap()).unwrap();
            }
            model.insert(name, weight);
        }
        safetensors::save_file(&model, path("in")).unwrap();
        let checkpoint = Checkpoint::open([path("in")]).unwrap();
        let pruner = Pruner::new(Custom(kind, 0.02)).format(Format::PyTorch);
        let output = Output::new(path("out")).force(true);
        let report = pruner.run(&checkpoint, &output, &()).unwrap();
        assert_eq!(pruner.dry_run(&checkpoint, &()).unwrap().pruned_after(), report.pruned_after());
        let (written, _) = safetensors::load_file::<A>(path("out")).unwrap();
        for (name, weight) in model.iter_mut() {
            weight.prune(Custom(kind, 0.02)).unwrap();
            assert_eq!(written[name].mask(), weight.mask(), "{kind:?} {first} {name}");
            assert_eq!(written[name].value(), weight.value(), "{kind:?} {first} {name}");
        }
    }
}

#[test]
fn a_custom_method_prunes_files_as_it_prunes_memory() {
    check::<f32>(&[10, 7]);
    check::<f64>(&[3, 5, 4]);
    check::<f16>(&[10, 7]);
    check::<bf16>(&[700, 500]); // several blocks
}

#[test]
fn a_custom_method_that_refuses_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let (input, output) = (directory.path().join("in"), Output::new(directory.path().join("out")));
    let tensors = [("a", super::support::weights::<f32>(&[3, 3], 1)), ("b", super::support::weights(&[1, 1], 1))];
    safetensors::save_file(&ParameterStore::from_iter(tensors), &input).unwrap();
    let checkpoint = Checkpoint::open([&input]).unwrap();
    let pruner = Pruner::new(Custom(PruningType::Unstructured, 0.1)).selection(Selection::new().only("*"));
    let error = pruner.run(&checkpoint, &output, &()).unwrap_err();
    assert!(matches!(&error, CheckpointError::Tensor { tensor, .. } if tensor == "b"), "{error:?}");
    assert!(!output.path().exists());
    let error = pruner.clone().scope(Scope::Global).run(&checkpoint, &output, &()).unwrap_err();
    let expected = "method Custom cannot prune files: global scope of a custom method works in memory only";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn pruners_are_equal_if_they_prune_alike() {
    let l1 = |amount: f64| Pruner::new(L1Unstructured::new(amount).unwrap());
    assert_eq!(l1(0.5), l1(0.5));
    assert_eq!(l1(0.5), Pruner::new(AnyMethod::from_name("l1", &MethodOptions::new().amount(0.5)).unwrap()));
    assert_ne!(l1(0.5), l1(0.25));
    assert_ne!(l1(0.5), l1(0.5).scope(Scope::Global));
    assert_ne!(l1(0.5), l1(0.5).selection(Selection::new().exclude("a")));
    assert_ne!(Pruner::masks("a"), Pruner::masks("b"));
    let custom = |threshold| Pruner::new(Custom(PruningType::Global, threshold));
    assert!(custom(0.5) == custom(0.5) && custom(0.5) != custom(0.25));
}
