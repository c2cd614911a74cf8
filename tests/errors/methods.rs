//! Methods that do not fit, and third parties' methods that do not behave.

use ndarray::{Array2, ArrayD, ArrayViewD, IxDyn, arr0, arr1};
use prune::{
    CustomFromMask, Describe, Element, LnStructured, PruneError, PruningContainer, PruningMethod, PruningType,
    RandomStructured, parameters_mut,
};

use super::{Store, assert_says, fails, store};

#[test]
fn a_global_call_with_a_method_that_chooses_no_entries() {
    #[track_caller]
    fn refused(method: impl PruningMethod<f32>, name: &str, found: PruningType, shown: &str) {
        let expected = PruneError::NotUnstructured { method: name.into(), found };
        let message = format!("global pruning needs an unstructured method, but {name} is {shown}");
        fails(|m| prune::global_unstructured(parameters_mut(m, &["weight", "bias"])?, method), expected, &message);
    }
    let structured = |dim| PruningType::Structured { dim };
    refused(LnStructured::new(1, 2, -1).unwrap(), "LnStructured", structured(-1), "structured along axis -1");
    refused(RandomStructured::new(1, 0, 1).unwrap(), "RandomStructured", structured(0), "structured along axis 0");
    refused(CustomFromMask::new(ArrayD::from_elem(IxDyn(&[3]), true)), "CustomFromMask", PruningType::Global, "global");
}

#[test]
fn an_empty_container() {
    let (scores, ones) = (arr1(&[1.0_f32]).into_dyn(), ArrayD::from_elem(IxDyn(&[1]), true));
    let error = PruningContainer::new().compute_mask(scores.view(), ones.view()).unwrap_err();
    assert_says(error, PruneError::EmptyContainer, "pruning container has no methods");
}

/// A third party's method that returns what it likes.
#[derive(Debug, Clone)]
pub struct Fixed {
    pub kind: PruningType,
    pub mask: ArrayD<bool>,
}

impl Describe for Fixed {
    fn name(&self) -> &str {
        "Fixed"
    }
    fn pruning_type(&self) -> PruningType {
        self.kind
    }
}

impl<A: Element> PruningMethod<A> for Fixed {
    fn compute_mask(&self, _: ArrayViewD<'_, A>, _: ArrayViewD<'_, bool>) -> Result<ArrayD<bool>, PruneError> {
        if self.mask.ndim() == 0 {
            return Err(PruneError::method("Fixed", "has nothing to return"));
        }
        Ok(self.mask.clone())
    }
}

#[test]
fn a_method_that_returns_another_shape() {
    let fixed = |kind| Fixed { kind, mask: ArrayD::from_elem(IxDyn(&[1, 1]), true) };
    // Each type is given: the remaining entries, the channels with a remaining entry, the whole tensor.
    let kinds = [
        (PruningType::Unstructured, vec![4]),
        (PruningType::Structured { dim: 0 }, vec![2, 3]),
        (PruningType::Global, vec![2, 3]),
    ];
    for (kind, expected) in kinds {
        let message = format!("Fixed returned a mask of shape [1, 1] for scores of shape {expected:?}");
        let error = PruneError::MethodShape { method: "Fixed".into(), expected, found: vec![1, 1] };
        fails(|m| prune::apply(m, "weight", fixed(kind)), error, &message);
    }
    let of_first = PruneError::MethodShape { method: "Fixed".into(), expected: vec![3], found: vec![1, 1] };
    let message = "Fixed returned a mask of shape [1, 1] for scores of shape [3]";
    fails(|m| prune::apply(m, "bias", fixed(PruningType::Unstructured)), of_first, message);
    let of_all = PruneError::MethodShape { method: "Fixed".into(), expected: vec![7], found: vec![1, 1] };
    let message = "Fixed returned a mask of shape [1, 1] for scores of shape [7]";
    let both = |m: &mut Store| {
        prune::global_unstructured(parameters_mut(m, &["weight", "bias"])?, fixed(PruningType::Unstructured))
    };
    fails(both, of_all, message);
}

#[test]
fn a_method_that_revives_an_entry() {
    // Of `weight`, [0, 1] and [1, 1] are pruned.
    let all = ArrayD::from_elem(IxDyn(&[2, 3]), true);
    let expected = PruneError::MethodRevived { method: "Fixed".into(), index: vec![0, 1] };
    let message = "Fixed revived the pruned entry at [0, 1]";
    for kind in [PruningType::Structured { dim: 0 }, PruningType::Global] {
        fails(|m| prune::apply(m, "weight", Fixed { kind, mask: all.clone() }), expected.clone(), message);
    }
    let fixed = Fixed { kind: PruningType::Global, mask: all.clone() };
    let default_mask = store()["weight"].mask().unwrap().to_array();
    let tensor = Array2::<f32>::ones((2, 3)).into_dyn();
    let error = fixed.prune(tensor.view(), Some(default_mask.view()), None).unwrap_err();
    assert_says(error, expected, message);
}

#[test]
fn a_method_with_a_reason_of_its_own() {
    let expected = PruneError::Method { method: "Fixed".into(), reason: "has nothing to return".into() };
    let refusing = |kind| Fixed { kind, mask: arr0(true).into_dyn() };
    for kind in [PruningType::Unstructured, PruningType::Structured { dim: 0 }, PruningType::Global] {
        fails(|m| prune::apply(m, "weight", refusing(kind)), expected.clone(), "Fixed: has nothing to return");
    }
    let both = |m: &mut Store| {
        prune::global_unstructured(parameters_mut(m, &["weight", "bias"])?, refusing(PruningType::Unstructured))
    };
    fails(both, expected, "Fixed: has nothing to return");
}
