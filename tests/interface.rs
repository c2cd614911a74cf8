//! The interface beside PyTorch's: masks, parts of parameters, borrowed tensors, amounts as a sparsity, methods by name.

use ndarray::{Array2, ArrayD, ArrayView2, ArrayViewD, Axis, Ix2, IxDyn, Slice, arr1, arr2};
use prune::{
    Amount, AnyMethod, Block, BorrowedTensor, CustomFromMask, Describe, Element, Identity, L1Unstructured,
    LnStructured, Mask, MethodInfo, MethodOption, MethodOptions, Module, NM, Norm, Parameter, ParameterStore,
    PruneError, PruningMethod, PruningType, RandomStructured, RandomUnstructured, Record, Summary, TieBreak, torch,
};

fn weights(rows: usize, columns: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows, columns), |(i, j)| ((i * 31 + j * 17) % 23) as f32 - 11.5)
}

/// Keeps every entry but each second one that it is given.
#[derive(Debug, Clone)]
struct EverySecond(PruningType);

impl Describe for EverySecond {
    fn name(&self) -> &str {
        "EverySecond"
    }
    fn pruning_type(&self) -> PruningType {
        self.0
    }
}

impl<A: Element> PruningMethod<A> for EverySecond {
    fn compute_mask(&self, _: ArrayViewD<'_, A>, mask: ArrayViewD<'_, bool>) -> Result<ArrayD<bool>, PruneError> {
        let mut new = mask.to_owned();
        new.iter_mut().skip(1).step_by(2).for_each(|kept| *kept = false);
        Ok(new)
    }
}

fn methods() -> Vec<AnyMethod> {
    let half = Amount::Fraction(0.5);
    vec![
        AnyMethod::new(Identity),
        AnyMethod::new(L1Unstructured::new(half).unwrap()),
        AnyMethod::new(RandomUnstructured::new(half, 7).unwrap()),
        AnyMethod::new(LnStructured::new(half, 2, 0).unwrap()),
        AnyMethod::new(LnStructured::new(half, 1, -1).unwrap()),
        AnyMethod::new(RandomStructured::new(half, 1, 7).unwrap()),
        AnyMethod::new(CustomFromMask::new(weights(6, 8).mapv(|x| x > 0.0))),
        AnyMethod::new(EverySecond(PruningType::Unstructured)),
        AnyMethod::new(EverySecond(PruningType::Structured { dim: 1 })),
        AnyMethod::new(EverySecond(PruningType::Global)),
    ]
}

/// A borrowed tensor gets the mask and the values that a parameter gets, at the first pruning and at the second.
#[test]
fn borrowed_tensors_are_pruned_like_parameters() {
    let weights = weights(6, 8);
    for first in methods() {
        for second in methods() {
            let mut parameter = Parameter::new(weights.clone());
            let mut mask = ArrayD::from_elem(IxDyn(&[6, 8]), false);
            let mut value = ArrayD::from_elem(IxDyn(&[6, 8]), f32::NAN);
            parameter.prune(first.clone()).unwrap();
            BorrowedTensor::new(weights.view()).prune_into(&first, mask.view_mut(), value.view_mut()).unwrap();
            assert_eq!(parameter.mask().unwrap(), &mask, "{first:?}");
            assert_eq!(parameter.value(), &value, "{first:?}");

            let before = mask.clone();
            let tensor = BorrowedTensor::new(weights.view()).with_mask(before.view()).unwrap();
            parameter.prune(second.clone()).unwrap();
            assert_eq!(&tensor.prune(&second).unwrap(), parameter.mask().unwrap(), "{first:?}, {second:?}");
            tensor.prune_into(&second, mask.view_mut(), value.view_mut()).unwrap();
            assert_eq!(parameter.mask().unwrap(), &mask, "{first:?}, {second:?}");
            assert_eq!(parameter.value(), &value, "{first:?}, {second:?}");

            let mut numbers = ArrayD::from_elem(IxDyn(&[6, 8]), f32::NAN);
            tensor.prune_into(&second, numbers.view_mut(), value.view_mut()).unwrap();
            assert_eq!(numbers, mask.mapv(|kept| f32::from(u8::from(kept))), "{first:?}, {second:?}");
        }
    }
}

/// Many chunks, on all cores.
#[test]
fn masks_of_numbers_are_those_of_parameters() {
    let weights = weights(300, 500);
    let mut parameter = Parameter::new(weights.clone());
    let (mut mask, mut value) = (Array2::from_elem((300, 500), 7_u8), Array2::from_elem((300, 500), f32::NAN));
    for method in [
        AnyMethod::new(L1Unstructured::new(0.3).unwrap().tie_break(TieBreak::PyTorch)),
        AnyMethod::new(RandomUnstructured::new(0.5, 1).unwrap()),
        AnyMethod::new(NM::new(2, 7, 0).unwrap()),
    ] {
        let before = parameter.mask().map(Mask::to_array);
        let mut tensor = BorrowedTensor::new(weights.view());
        if let Some(before) = &before {
            tensor = tensor.with_mask(before.view()).unwrap();
        }
        parameter.prune(method.clone()).unwrap();
        tensor.prune_into(&method, mask.view_mut(), value.view_mut()).unwrap();
        assert_eq!(parameter.mask().unwrap(), &mask.mapv(|number| number == 1), "{method:?}");
        assert!(mask.iter().all(|&number| number <= 1));
        assert_eq!(parameter.view::<Ix2>(), value, "{method:?}");
    }
}

#[test]
fn borrowed_tensors_may_have_any_layout() {
    let weights = weights(8, 6);
    let mut expected = Parameter::new(weights.t().to_owned());
    expected.prune(L1Unstructured::new(0.25).unwrap()).unwrap();
    let (mut mask, mut value) = (Array2::from_elem((8, 12), true), Array2::from_elem((8, 6), f32::NAN));
    let tensor = BorrowedTensor::new(weights.t());
    // Every second column, transposed; and a transposed array.
    let even = Slice::new(0, None, 2);
    let gaps = mask.slice_axis_mut(Axis(1), even).reversed_axes();
    tensor.prune_into(&L1Unstructured::new(0.25).unwrap(), gaps, value.view_mut().reversed_axes()).unwrap();
    assert_eq!(expected.mask().unwrap(), &mask.slice_axis(Axis(1), even).t());
    assert_eq!(expected.view::<Ix2>(), value.t());
    assert!(mask.slice_axis(Axis(1), Slice::new(1, None, 2)).iter().all(|&kept| kept), "the gaps are not written");
}

#[test]
fn borrowed_tensors_refuse_other_shapes() {
    let weights = weights(6, 8);
    let tensor = BorrowedTensor::new(weights.view());
    let other = arr2(&[[true; 6]; 8]);
    let mismatch = |error: PruneError, name: &str| match error {
        PruneError::ShapeMismatch { argument, .. } => assert_eq!(argument, name),
        error => panic!("{error:?}"),
    };
    mismatch(tensor.clone().with_mask(other.view()).unwrap_err(), "mask");
    mismatch(tensor.clone().with_scores(weights.t()).unwrap_err(), "importance_scores");
    mismatch(BorrowedTensor::from_slice([2, 3], &[0.0_f32; 5]).unwrap_err(), "slice");
    let mut value = [1.0_f32; 48];
    let result = tensor.prune_into(&Identity, (&mut [true; 47]).into(), (&mut value).into());
    mismatch(result.unwrap_err(), "mask");
    assert_eq!(value, [1.0; 48], "nothing is written");
}

#[test]
fn one_ranking_over_borrowed_tensors_is_that_over_parameters() {
    let (a, b, mask) = (weights(6, 8), weights(5, 3), weights(5, 3).mapv(|x| x > -4.0));
    let scores = weights(6, 8).mapv(|x| 1.0 - x);
    for method in [
        AnyMethod::new(L1Unstructured::new(0.4).unwrap()),
        AnyMethod::new(RandomUnstructured::new(20, 3).unwrap()),
        AnyMethod::new(EverySecond(PruningType::Unstructured)),
    ] {
        let (mut first, mut second) = (Parameter::new(a.clone()), Parameter::new(b.clone()));
        second.prune(CustomFromMask::new(mask.clone())).unwrap();
        let targets = [prune::Target::from((&mut first, scores.view())), prune::Target::from(&mut second)];
        prune::global_unstructured(targets, method.clone()).unwrap();
        let tensors = [
            BorrowedTensor::new(a.view()).with_scores(scores.view()).unwrap(),
            BorrowedTensor::new(b.view()).with_mask(mask.view()).unwrap(),
        ];
        let masks = prune::global_masks(&tensors, &method).unwrap();
        assert_eq!((Some(&masks[0]), Some(&masks[1])), (first.mask(), second.mask()), "{method:?}");
    }
    assert_eq!(prune::global_masks::<f32>(&[], &Identity), Err(PruneError::NoTargets));
}

#[test]
fn a_sparsity_is_what_results() {
    let mut net = ParameterStore::from_iter([("a", weights(10, 10)), ("b", weights(10, 20))]);
    net["a"].prune(L1Unstructured::new(0.5).unwrap()).unwrap();
    for (sparsity, pruned) in [(0.3, 50), (0.55, 55), (0.9, 90), (0.9, 90)] {
        net["a"].prune(L1Unstructured::new(Amount::sparsity(sparsity)).unwrap()).unwrap();
        assert_eq!(net["a"].pruned(), pruned);
    }
    let targets = prune::parameters_mut(&mut net, &["a", "b"]).unwrap();
    prune::global_unstructured(targets, L1Unstructured::new(Amount::sparsity(0.7)).unwrap()).unwrap();
    assert_eq!(Summary::of(&net).pruned(), 210, "90 were pruned before");

    let mut rows = Parameter::new(weights(8, 3));
    rows.prune(LnStructured::new(3, 2, 0).unwrap()).unwrap();
    rows.prune(LnStructured::new(Amount::sparsity(0.75), 2, 0).unwrap()).unwrap();
    assert_eq!(rows.mask().unwrap().kept_channels(0).unwrap().len(), 2);
    assert_eq!(L1Unstructured::new(Amount::sparsity(-0.1)), Err(PruneError::InvalidFraction { found: -0.1 }));
}

#[test]
fn amounts_from_a_table_prune_all_parameters_or_none() {
    let mut net = ParameterStore::from_iter([("a", weights(4, 5)), ("b", weights(2, 5))]);
    let before = (net["a"].clone(), net["b"].clone());
    let generator = torch::Generator::manual_seed(1);
    let amounts = [("a", Amount::Count(3)), ("b", Amount::Count(11))];
    let error = prune::prune_each(&mut net, amounts, |amount| RandomUnstructured::new(amount, &generator)).unwrap_err();
    assert_eq!(error, PruneError::AmountTooLarge { count: 11, available: 10, unit: "entries" });
    assert!(!prune::is_pruned(&net));
    assert_eq!((net["a"].value(), net["b"].value()), (before.0.value(), before.1.value()));
    let unused = torch::Generator::manual_seed(1);
    assert_eq!(generator.rand::<f32>(3), unused.rand::<f32>(3), "an error draws nothing");

    let repeated = prune::prune_each(&mut net, [("a", 1), ("a", 2)], L1Unstructured::new);
    assert_eq!(repeated, Err(PruneError::RepeatedParameter { found: "a".into() }));
    prune::prune_each(&mut net, [("b", 0.3), ("a", 0.5)], L1Unstructured::new).unwrap();
    assert_eq!((net["a"].pruned(), net["b"].pruned()), (10, 3));
    assert_eq!(net["a"].methods()[0].name(), "L1Unstructured");
    assert_eq!(prune::remove_all(&mut net), 2);
    assert_eq!((prune::remove_all(&mut net), net["a"].sparsity()), (0, 0.5));
}

#[test]
fn parts_make_the_same_parameter() {
    let mut weight = Parameter::new(weights(6, 8));
    weight.prune(L1Unstructured::new(0.5).unwrap()).unwrap();
    let (value, pruned) = weight.clone().into_parts();
    let (orig, mask) = pruned.clone().unwrap();
    assert_eq!((&value, &orig, Some(&mask)), (weight.value(), weight.orig(), weight.mask()));

    // The value is recomputed, whatever it was; a transposed original is the same tensor.
    let stale = ArrayD::from_elem(value.raw_dim(), f32::NAN);
    let transposed = orig.t().as_standard_layout().into_owned().reversed_axes();
    assert!(!transposed.is_standard_layout());
    let again = Parameter::from_parts(stale, Some((transposed, mask.clone()))).unwrap();
    assert_eq!((again.value(), again.orig(), again.mask()), (weight.value(), weight.orig(), weight.mask()));
    assert!(matches!(again.methods()[0], Record::Mask));
    assert!(again.methods()[0].method().is_none());

    let (value, none) = Parameter::new(weights(2, 2)).into_parts();
    assert!(none.is_none());
    assert!(!Parameter::from_parts(value.clone(), None).unwrap().is_pruned());
    let error = Parameter::from_parts(value.clone(), Some((orig, mask.clone()))).unwrap_err();
    assert_eq!(error.to_string(), "orig has shape [6, 8], but should have shape [2, 2]");
    let error = Parameter::from_parts(value.clone(), Some((value, mask))).unwrap_err();
    assert_eq!(error.to_string(), "mask has shape [6, 8], but should have shape [2, 2]");
}

#[test]
fn masks_are_read_without_their_storage() {
    let array = arr2(&[[true, false, true], [false, false, false]]);
    let mask = Mask::from(array.clone());
    assert_eq!((mask.shape(), mask.ndim(), mask.len(), mask.is_empty()), (&[2, 3][..], 2, 6, false));
    assert_eq!((mask.kept(), mask.pruned(), mask.sparsity()), (2, 4, 4.0 / 6.0));
    assert_eq!((mask.get([0, 2]), mask.get([1, 0]), mask.get([2, 0])), (Some(true), Some(false), None));
    assert_eq!((mask[[0, 2]], mask[[1, 0]]), (true, false));
    assert_eq!(mask.iter().collect::<Vec<_>>(), array.iter().copied().collect::<Vec<_>>());
    assert_eq!((mask.kept_channels(0), mask.kept_channels(-1)), (Ok(vec![0]), Ok(vec![0, 2])));
    assert_eq!(mask.kept_channels(2), Err(PruneError::AxisOutOfRange { found: 2, ndim: 2 }));
    assert_eq!(mask, array);
    assert_eq!(array, mask);
    assert_eq!(mask, array.view());
    assert_ne!(mask, array.t());
    assert_eq!((mask.to_array(), ArrayD::from(mask.clone())), (array.clone().into_dyn(), array.clone().into_dyn()));
    // Any layout; entries are in row-major order.
    let transposed = Mask::from(array.t());
    assert_eq!(transposed.iter().collect::<Vec<_>>(), [true, false, false, false, true, false]);
    assert_eq!(Mask::from(array.clone().reversed_axes()), transposed);
    assert_eq!(Mask::from_elem([0, 3], true).sparsity(), 0.0);
    assert_eq!(format!("{mask:?}"), "Mask (2 of 6 kept, shape [2, 3])\n[[1, 0, 1],\n [0, 0, 0]]");
}

#[test]
fn methods_have_names_options_and_identities() {
    for method in MethodInfo::all() {
        assert!(!method.summary().is_empty());
        let given = |option: &MethodOption| method.options().contains(option);
        let mut options = MethodOptions::new();
        if given(&MethodOption::Pattern) {
            let missing = AnyMethod::from_name(method.name(), &options).unwrap_err();
            assert_eq!(missing.to_string(), "method nm needs the option `pattern`");
            options = options.pattern(2, 4);
        }
        if given(&MethodOption::Block) {
            let missing = AnyMethod::from_name(method.name(), &options).unwrap_err();
            assert_eq!(missing.to_string(), "method block needs the option `block`");
            options = options.block(&[4, 4]);
        }
        // All groups of a pattern are pruned by default.
        if given(&MethodOption::Amount) && !given(&MethodOption::Pattern) {
            let missing = AnyMethod::from_name(method.name(), &options).unwrap_err();
            assert_eq!(missing.to_string(), format!("method {} needs the option `amount`", method.name()));
            options = options.amount(0.5);
        }
        if given(&MethodOption::Mask) {
            assert!(AnyMethod::from_name(method.name(), &options).is_err());
            options = options.mask(arr1(&[true, false]));
        }
        for name in method.names() {
            let made = AnyMethod::from_name(name, &options).unwrap();
            assert_eq!(made, AnyMethod::from_name(method.name(), &options).unwrap());
            let unstructured = made.pruning_type() == PruningType::Unstructured;
            assert_eq!(method.ranks_globally(), unstructured, "{name}");
        }
    }
    let options = MethodOptions::new().amount(3).norm(Norm::Frobenius).dim(-1).tie_break(TieBreak::PyTorch);
    let ln = AnyMethod::from_name("ln", &options).unwrap();
    assert_eq!(ln.options(), "amount=3 norm=fro dim=-1 ties=torch");
    assert_eq!(ln, AnyMethod::new(LnStructured::new(3, Norm::Frobenius, -1).unwrap().tie_break(TieBreak::PyTorch)));
    assert_ne!(ln, AnyMethod::new(LnStructured::new(3, 2, -1).unwrap().tie_break(TieBreak::PyTorch)));
    let unused = AnyMethod::from_name("l1", &MethodOptions::new().amount(1).norm(2)).unwrap_err();
    assert_eq!(unused.to_string(), "method l1 has no option `norm`");
    let unknown = AnyMethod::from_name("l3", &MethodOptions::new()).unwrap_err().to_string();
    assert!(unknown.starts_with("no method named `l3`; the methods are `identity`, `l1`, "), "{unknown}");
    let options = MethodOptions::new().pattern(2, 4).amount(0.5).tie_break(TieBreak::PyTorch);
    let pattern = NM::new(2, 4, -1).unwrap().amount(0.5).unwrap().tie_break(TieBreak::PyTorch);
    assert_eq!(AnyMethod::from_name("nm", &options).unwrap(), AnyMethod::new(pattern));
    assert_eq!(pattern.options(), "pattern=2:4 dim=-1 amount=0.5 ties=torch");
    let block = Block::new(3, &[16, 1], f64::INFINITY).unwrap();
    assert_eq!(block.options(), "amount=3 block=[16, 1] norm=inf ties=lowest-index");
    // Blocks are ranked by the Euclidean norm if none is given.
    let options = MethodOptions::new().amount(3).block(&[16, 1]);
    let euclidean = Block::new(3, &[16, 1], 2).unwrap();
    assert_eq!(AnyMethod::from_name("block", &options).unwrap(), AnyMethod::new(euclidean));
    let options = MethodOptions::new().amount(3).block(&[16, 1]).norm(f64::INFINITY);
    assert_eq!(AnyMethod::from_name("block", &options).unwrap(), AnyMethod::new(block));
    // Fractions and counts differ, and so do generators.
    assert_ne!(L1Unstructured::new(1).unwrap().options(), L1Unstructured::new(1.0).unwrap().options());
    let random = |generator: &torch::Generator| AnyMethod::new(RandomUnstructured::new(1, generator).unwrap());
    let (a, b) = (torch::Generator::manual_seed(1), torch::Generator::manual_seed(1));
    assert!(random(&a) == random(&a.clone()) && random(&a) != random(&b));
}

#[test]
fn a_view_has_the_axes_that_are_asked_for() {
    let weight = Parameter::new(weights(2, 3));
    let view: ArrayView2<'_, f32> = weight.view();
    assert_eq!(view, weights(2, 3));
    let result = std::panic::catch_unwind(|| weight.view::<ndarray::Ix1>().len());
    let message = *result.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(message, "the tensor has shape [2, 3], not 1 axes");
}

#[test]
fn a_summary_counts_zeros_and_bytes() {
    struct Layer {
        weight: Parameter<f32>,
        bias: Option<Parameter<f32>>,
    }
    impl Module for Layer {
        type Elem = f32;
        prune::named_parameters!(weight, bias);
    }
    let bias = Parameter::new(arr1(&[0.0, -0.0, 1.0]));
    let mut layer = Layer { weight: Parameter::new(weights(3, 4)), bias: Some(bias) };
    for _ in 0..3 {
        prune::l1_unstructured(&mut layer, "weight", 2).unwrap();
    }
    prune::custom_from_mask(&mut layer, "weight", weights(3, 4).mapv(|_| true)).unwrap();
    let summary = Summary::of(&layer);
    let [weight, bias] = summary.parameters.as_slice() else { panic!("{summary}") };
    assert_eq!((weight.entries, weight.pruned, weight.zeros, weight.bytes), (12, 6, 6, 12 * 9));
    assert_eq!((bias.pruned, bias.zeros, bias.bytes, bias.sparsity()), (0, 2, 12, 2.0 / 3.0));
    assert_eq!((summary.zeros(), summary.sparsity()), (8, 8.0 / 15.0));
    let lines: Vec<String> = summary.to_string().lines().map(|line| line.trim_end().to_owned()).collect();
    assert!(lines[1].contains("L1Unstructured x3, CustomFromMask"), "{summary}");
    assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()), "{summary}");
}
