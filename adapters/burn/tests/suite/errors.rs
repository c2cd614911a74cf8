//! Wrong arguments: the exact messages, and nothing has changed.

use burn::nn::LinearConfig;
use burn::prelude::*;
use prune::{L1Unstructured, LnStructured};
use prune_burn::{Error, Paths, Scores};

use crate::{Net, all_bits, messages, net};

const KNOWN: &str = "`conv.weight`, `conv.bias`, `hidden.0.weight`, `hidden.0.bias`, `hidden.1.weight`, `hidden.1.bias`, \
    `output.weight`, `output.bias`";

fn message(result: Result<Net, Error>) -> String {
    messages(result.unwrap_err())
}

#[test]
fn paths() {
    let wrong = |paths: Paths| message(prune_burn::l1_unstructured(net(), paths, 0.5));
    assert_eq!(wrong("hidden.weight".into()), format!("`hidden.weight` matches no parameter; the module has {KNOWN}"));
    assert_eq!(wrong(["*.weight", "x*"].into()), format!("`x*` matches no parameter; the module has {KNOWN}"));
    assert_eq!(
        wrong(Paths::from("output.*").exclude("*")),
        format!("no parameter is selected; the module has {KNOWN}")
    );
    assert_eq!(wrong(Vec::<String>::new().into()), format!("no parameter is selected; the module has {KNOWN}"));
    let invalid = wrong("hidden.[0".into());
    assert!(invalid.starts_with("`hidden.[0` is not a valid glob pattern: "), "{invalid}");
    let nothing = prune_burn::identity(Vec::<burn::nn::Linear>::new(), "weight").unwrap_err();
    assert_eq!(messages(nothing), "`weight` matches no parameter; the module has none");
    assert_eq!(message(prune_burn::remove(net(), "x")), format!("`x` matches no parameter; the module has {KNOWN}"));
}

#[test]
fn selection_by_patterns() {
    let some = Paths::from(vec!["hidden.*".to_owned(), "output.weight".to_owned()]).exclude("*.bias").exclude("x");
    let net = prune_burn::identity(net(), some).unwrap();
    let paths: Vec<_> = prune_burn::masks(&net).unwrap().into_keys().collect();
    assert_eq!(paths, ["hidden.0.weight", "hidden.1.weight", "output.weight"]);
}

#[test]
fn amounts_and_axes() {
    let amount = |amount: f64| message(prune_burn::l1_unstructured(net(), "*", amount));
    assert_eq!(amount(f64::NAN), "amount NaN is not a fraction from 0.0 to 1.0");
    assert_eq!(
        message(prune_burn::random_unstructured(net(), "*", 1.5, 0)),
        "amount 1.5 is not a fraction from 0.0 to 1.0"
    );
    let count = message(prune_burn::l1_unstructured(net(), "*.weight", 50));
    assert_eq!(count, "cannot prune `conv.weight`: amount 50 exceeds the number of remaining entries (36)");
    let axis = message(prune_burn::ln_structured(net(), "*.weight", 1, 2, 2));
    assert_eq!(axis, "cannot prune `hidden.0.weight`: axis 2 is out of range for 2 dimensions (-2 to 1)");
    let vector = message(prune_burn::random_structured(net(), "output.bias", 1, 0, 0));
    assert_eq!(vector, "cannot prune `output.bias`: channels and rows need at least 2 dimensions, not shape [4]");
    let global = message(prune_burn::global_unstructured(net(), "*.weight", LnStructured::new(1, 2, 0).unwrap()));
    assert_eq!(global, "global pruning needs an unstructured method, but LnStructured is structured along axis 0");
}

#[test]
fn masks_and_scores() {
    let mask = Tensor::<2, Bool>::from_data([[true, false]], &Device::default());
    let shape = message(prune_burn::custom_from_mask(net(), "output.weight", mask));
    assert_eq!(shape, "cannot prune `output.weight`: mask has shape [1, 2], but should have shape [12, 4]");
    let scored = |path: &str, scores: TensorData| {
        let scores = Scores::from([(path.to_owned(), scores)]);
        let method = || L1Unstructured::new(1).unwrap();
        let global = prune_burn::global_unstructured_with_scores(net(), "output.*", method(), &scores);
        let one = message(prune_burn::apply_with_scores(net(), "output.*", method(), &scores));
        assert_eq!(message(global), one);
        one
    };
    let floats = |shape: [usize; 2]| TensorData::new(vec![1.0_f32; shape[0] * shape[1]], shape);
    let unused = scored("hidden.0.weight", floats([16, 12]));
    assert_eq!(unused, "there are scores for `hidden.0.weight`, which is not selected");
    let shape = scored("output.weight", floats([4, 12]));
    let expected = "importance_scores has shape [4, 12], but should have shape [12, 4]";
    assert_eq!(shape, format!("cannot prune `output.weight`: {expected}"));
    let integers = scored("output.weight", TensorData::new(vec![1_i32; 48], [12, 4]));
    assert_eq!(integers, "scores of `output.weight` have the type I32, not f32, f64, f16 or bf16");
}

#[test]
fn remove_of_what_is_not_pruned() {
    let error = message(prune_burn::remove(net(), "*"));
    assert_eq!(error, "`*` matches no pruned parameter");
    let net = prune_burn::l1_unstructured(net(), "output.weight", 0.5).unwrap();
    let error = message(prune_burn::remove(net.clone(), ["output.*", "hidden.*"]));
    assert_eq!(error, "`hidden.*` matches no pruned parameter");
    let error = message(prune_burn::remove(net.clone(), Paths::from("*").exclude("output.*")));
    assert_eq!(error, "`*` matches no pruned parameter");
    assert!(!prune_burn::is_pruned(&prune_burn::remove(net, "output.*").unwrap()));
}

/// The last of several parameters is refused, and the first one has no mask and no further zeros.
#[test]
fn nothing_changes_on_an_error() {
    let net = prune_burn::l1_unstructured(net(), "hidden.0.weight", 0.5).unwrap();
    let before = (all_bits(&net), prune_burn::masks(&net).unwrap());
    assert!(prune_burn::l1_unstructured(net.clone(), ["hidden.0.weight", "output.weight"], 49).is_err());
    let each = prune_burn::apply_each(net.clone(), "*.weight", |path| {
        L1Unstructured::new(if path == "output.weight" { 2.0 } else { 0.5 })
    });
    assert_eq!(messages(each.unwrap_err()), "amount 2.0 is not a fraction from 0.0 to 1.0");
    assert_eq!((all_bits(&net), prune_burn::masks(&net).unwrap()), before);
}

/// A custom method is refused for what it does, at the parameter where it does it.
#[test]
fn custom_methods() {
    use ndarray::{ArrayD, ArrayViewD};
    use prune::{Describe, Element, PruneError, PruningMethod, PruningType};

    #[derive(Debug, Clone)]
    struct Reviving;
    impl Describe for Reviving {
        fn name(&self) -> &str {
            "Reviving"
        }
        fn pruning_type(&self) -> PruningType {
            PruningType::Global
        }
    }
    impl<A: Element> PruningMethod<A> for Reviving {
        fn compute_mask(
            &self,
            scores: ArrayViewD<'_, A>,
            _mask: ArrayViewD<'_, bool>,
        ) -> Result<ArrayD<bool>, PruneError> {
            Ok(scores.map(|_| true))
        }
    }
    let layer = LinearConfig::new(2, 2).init(&Device::default());
    let layer = prune_burn::apply(layer, "weight", Reviving).unwrap();
    assert_eq!(prune_burn::masks(&layer).unwrap()["weight"].pruned(), 0);
    let layer = prune_burn::l1_unstructured(layer, "weight", 4).unwrap();
    let error = messages(prune_burn::apply(layer, "weight", Reviving).unwrap_err());
    assert_eq!(error, "cannot prune `weight`: Reviving revived the pruned entry at [0, 0]");
}
