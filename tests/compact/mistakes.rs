//! Every recorded mistake has its error, and every error its message.

use std::collections::BTreeMap;

use ndarray::{ArrayD, arr1, arr2};
use prune::compact::{Choice, CompactError, Coupling, Dimension, Fold, Scores, Use};
use prune::{Amount, Norm, ParameterStore};
use serde::Deserialize;

use super::case::{StoredDimension, coupling, json};

#[derive(Deserialize)]
struct Mistake {
    what: String,
    tensors: BTreeMap<String, Vec<usize>>,
    dimensions: Vec<StoredDimension>,
    keep: BTreeMap<String, Vec<usize>>,
    error: String,
}

fn kind(error: &CompactError) -> &'static str {
    match error {
        CompactError::SizesDisagree { .. } | CompactError::Indivisible { .. } => "size",
        CompactError::AxisOutOfRange { .. } => "axis",
        CompactError::UnknownParameter { .. } | CompactError::UnknownDimension { .. } => "unknown",
        CompactError::SpanTooLong { .. } => "span",
        CompactError::Overlap { .. } => "overlap",
        CompactError::NothingKept { .. } => "empty",
        CompactError::UnitOutOfRange { .. } | CompactError::RepeatedUnit { .. } => "index",
        CompactError::RepeatedDimension { .. } => "name",
        CompactError::NoConsumer { .. } => "no consumer",
        CompactError::NoProducer { .. } => "no producer",
        other => panic!("{other}"),
    }
}

#[test]
fn every_recorded_mistake_is_refused() {
    let mistakes: Vec<Mistake> = json("mistakes");
    assert_eq!(mistakes.len(), 14);
    for Mistake { what, tensors, dimensions, keep, error } in mistakes {
        let tensors = tensors.iter().map(|(name, shape)| (name.as_str(), ArrayD::ones(shape.clone())));
        let model: ParameterStore<f32> = tensors.collect();
        // The other mistakes have no consumers, which is not their point.
        let is_closed = error.starts_with("no ");
        let declared = dimensions.iter().map(|stored| if is_closed { stored.get() } else { stored.get().open() });
        let coupling = coupling(declared, &dimensions, model.iter().map(|(name, _)| name));
        let found = coupling.keep(&model, keep).unwrap_err();
        assert_eq!(kind(&found), error, "{what}: {found}");
    }
}

fn model() -> ParameterStore<f32> {
    let mut model = ParameterStore::new();
    model.insert("w1", arr2(&[[1.0], [2.0], [3.0], [4.0]]));
    model.insert("b1", arr1(&[0.0, 0.0, 0.0, 0.0]));
    model.insert("w2", arr2(&[[1.0, 1.0, 1.0, 1.0]]));
    model.insert("b2", arr1(&[0.0]));
    model
}

fn hidden() -> [Use; 3] {
    [Use::out("w1", 0), Use::follow("b1", 0), Use::input("w2", 1)]
}

fn good() -> Coupling {
    Coupling::new().dimension("h", hidden()).fixed("b2")
}

/// The messages of errors about a coupling.
#[test]
fn messages_about_couplings() {
    let one = |uses: &[Use]| Coupling::new().dimension("h", uses.to_vec()).fixed("b2");
    let sized = |size, uses: &[Use]| Coupling::new().with(Dimension::new("h", uses.to_vec()).size(size)).fixed("b2");
    let [out, follow, input] = hidden();
    for (coupling, message) in [
        (good().dimension("h", hidden()), "two dimensions are named `h`"),
        (Coupling::new(), "parameter `w1` is neither in a dimension nor fixed"),
        (good().fixed("w2"), "parameter `w2` is in dimension `h`, but fixed by `w2`"),
        (good().fixed("w3*"), "pattern `w3*` of fixed parameters matches none"),
        (one(&[out.clone().block(0)]), "dimension `h`: the use of `w1` has block 0"),
        (one(&[out.clone().repeat(0)]), "dimension `h`: the use of `w1` has repeat 0"),
        (one(&[Use::out("v", 0)]), "dimension `h`: no parameter named `v`"),
        (one(&[Use::out("w1", 2)]), "dimension `h`: axis 2 of `w1` is out of range for 2 dimensions"),
        (one(&[out.clone().block(3)]), "dimension `h`: axis 0 of `w1` has 4 positions, which is not a multiple of 3"),
        (one(&[out.clone(), Use::input("w2", 0)]), "dimension `h` has 4 units, but axis 0 of `w2` has room for 1"),
        (sized(3, &[out.clone().offset(2)]), "dimension `h`: the use of axis 0 of `w1` ends at 5, but the axis at 4"),
        (
            sized(2, &[out.clone(), input.clone()]).dimension("g", [Use::input("w2", 1), follow.clone()]),
            "position 0 of axis 1 of `w2` belongs to `h` and to `g`",
        ),
        (
            one(&[out.clone().offset(1), follow.clone().offset(1), input.clone().offset(1)]),
            "position 0 of axis 0 of `w1` belongs to no unit, and its dimension has no set size",
        ),
        (
            one(&[follow.clone(), input.clone()]).fixed("w1"),
            "dimension `h` has no producer: no use is `out`, and it is not open",
        ),
        (one(&[]), "dimension `h` has no units"),
        (sized(0, &hidden()), "dimension `h` has no units"),
    ] {
        assert_eq!(coupling.check(&model()).unwrap_err().to_string(), message);
    }
    let dead_end = Coupling::new().dimension("h", [out, follow]).fixed("*2");
    assert_eq!(
        dead_end.check(&model()).unwrap_err().to_string(),
        "dimension `h` has no consumer: no use is `in`, and it is not open"
    );
    let mut empty = model();
    empty.insert("w1", ArrayD::zeros(vec![4, 0]));
    assert_eq!(good().check(&empty).unwrap_err().to_string(), "dimension `h`: parameter `w1` has no entries");
}

/// The messages of errors about choices and plans.
#[test]
fn messages_about_plans() {
    let model = model();
    let keep = |name: &str, units: &[usize]| good().keep(&model, [(name, units.to_vec())]).unwrap_err().to_string();
    assert_eq!(keep("g", &[0]), "no dimension named `g`; the dimensions are `h`");
    assert_eq!(keep("h", &[]), "no unit of dimension `h` is kept");
    assert_eq!(keep("h", &[4]), "unit 4 of dimension `h` is out of range: it has 4 units");
    assert_eq!(keep("h", &[2, 1, 2]), "unit 2 of dimension `h` is listed twice");

    let choose = |scores: &Scores, choice: Choice| good().choose_by(&model, scores, &choice).unwrap_err().to_string();
    let scores = Scores::from_iter([("h", vec![1.0; 4])]);
    assert_eq!(choose(&Scores::new(), Choice::new(1)), "no scores for dimension `h`");
    let short = Scores::from_iter([("h", vec![1.0; 3])]);
    assert_eq!(choose(&short, Choice::new(1)), "dimension `h` has 4 units, but 3 scores");
    let other = Scores::from_iter([("g", vec![1.0; 4])]);
    assert_eq!(choose(&other, Choice::new(1)), "no dimension named `g`; the dimensions are `h`");
    assert_eq!(choose(&scores, Choice { multiple: 0, ..Choice::new(1) }), "multiple must be at least 1");
    assert_eq!(choose(&scores, Choice { minimum: 0, ..Choice::new(1) }), "minimum must be at least 1");
    assert_eq!(choose(&scores, Choice::new(5)), "amount 5 exceeds the number of remaining units (4)");
    assert_eq!(choose(&scores, Choice::new(1.5)), "amount 1.5 is not a fraction from 0.0 to 1.0");
    let mut nuclear = Choice::new(1);
    nuclear.rank.norm = Norm::Nuclear;
    assert_eq!(
        good().choose(&model, &nuclear).unwrap_err().to_string(),
        "importance: the nuclear norm cannot rank units"
    );
    assert_eq!(good().only(["g"]).unwrap_err().to_string(), "no dimension named `g`; the dimensions are `h`");

    let plan = good().keep(&model, [("h", vec![0, 1])]).unwrap();
    let rest = good().keep(&model, [("h", vec![2, 3])]).unwrap();
    assert_eq!(plan.and(&rest), Err(CompactError::NothingKept { dimension: "h".into() }));
    let other = Coupling::new().dimension("h", hidden().into_iter().rev()).fixed("b2");
    let other = other.keep(&model, [("h", vec![0])]).unwrap();
    assert_eq!(plan.and(&other).unwrap_err().to_string(), "the two plans are for different couplings or sizes");
}

/// The messages of errors about the module of a plan.
#[test]
fn messages_about_modules() {
    let plan = good().keep(&model(), [("h", vec![0, 1])]).unwrap();
    let mut lacking = model();
    lacking.take("b2");
    let error = plan.compact(&mut lacking).unwrap_err();
    assert_eq!(error.to_string(), "the plan is for a parameter `b2`, which the module lacks");
    let mut more = model();
    more.insert("b3", arr1(&[0.0]));
    let error = plan.compact(&mut more).unwrap_err();
    assert_eq!(error.to_string(), "parameter `b3` is neither in a dimension nor fixed");
    let error = plan.slice("b1", &arr1(&[1, 2])).unwrap_err();
    assert_eq!(error.to_string(), "parameter `b1` has shape [2], but the plan is for shape [4]");

    let mut clash = model();
    clash.insert("w1_mask", arr1(&[0.0]));
    let plan = good().fixed("w1_mask").keep(&clash, [("h", vec![0, 1])]).unwrap();
    let error = plan.mask(&mut clash).unwrap_err();
    assert_eq!(error.to_string(), "cannot prune `w1`: the module has another parameter named `w1_mask`");
    assert!(!prune::is_pruned(&clash));

    let plan = good().keep(&model(), [("h", vec![0, 1])]).unwrap();
    let error = plan.verify(&model(), |model, _| model["w1"].value().clone()).unwrap_err();
    assert_eq!(error.to_string(), "the masked model returned shape [4, 1], the compacted model shape [2, 1]");
}

/// The messages of errors about folding.
#[test]
fn messages_about_folds() {
    let plan = good().keep(&model(), [("h", vec![0, 1])]).unwrap();
    let new = || Fold::new("h", "w2", "b2");
    for (fold, message) in [
        (Fold::new("g", "w2", "b2"), "no dimension named `g`; the dimensions are `h`"),
        (Fold::new("h", "w1", "b2"), "cannot fold dimension `h` into `b2`: `w1` does not read it"),
        (
            Fold::new("h", "w2", "b1"),
            "cannot fold dimension `h` into `b1`: it is not a vector with a number for each output of `w2`",
        ),
        (new().bias("b2"), "cannot fold dimension `h` into `b2`: `b2` is not a vector of the dimension"),
        (
            new().bias_part("b1", 1),
            "cannot fold dimension `h` into `b2`: the units of `b1` have other parts than those of `w2`",
        ),
    ] {
        let mut folded = model();
        assert_eq!(plan.fold(&mut folded, &[new().bias("b1"), fold]).unwrap_err().to_string(), message);
        assert_eq!(folded["b2"].value(), model()["b2"].value());
    }
}

#[test]
fn an_amount_of_everything_keeps_the_minimum() {
    let choice = Choice { minimum: 2, ..Choice::new(Amount::Count(4)) };
    assert_eq!(good().choose(&model(), &choice).unwrap().kept("h"), [2, 3]);
}
