//! Tensors of several chunks, of which no axis divides the length of a chunk, and large enough for several threads.

use ndarray::{ArrayD, IxDyn};
use prune::{Amount, Mask, Norm, Parameter, PruningMethod, PruningType};

use super::dtype::{Dtype, assert_same, for_each_dtype};
use super::inputs::Fill;
use super::layout::Layout;
use super::model::Model;
use super::spec::Spec;

for_each_dtype!(calls_in_a_row_agree_with_the_model);

const SHAPE: [usize; 3] = [5, 137, 211];

fn specs() -> Vec<Spec> {
    let amount = Amount::Fraction(0.4);
    let keep = Fill::of(vec![true, true, false, true, true, true, false]);
    let mut specs = vec![
        Spec::Identity,
        Spec::L1 { amount },
        Spec::Lowest { amount },
        Spec::Random { amount, seed: 1 },
        Spec::Torch { amount, seed: 2 },
        Spec::Custom { keep, layout: Layout::F, misshapen: false },
        Spec::Every { step: 3, kind: PruningType::Unstructured },
        Spec::Every { step: 2, kind: PruningType::Global },
    ];
    for dim in 0..3 {
        let norm = Norm::L([2.0, 1.0, f64::INFINITY][dim as usize]);
        specs.extend([
            Spec::Ln { amount, norm, dim },
            Spec::Ln { amount, norm: Norm::L(3.0), dim },
            Spec::RandomChannels { amount, dim: dim - 3, seed: 3 },
            Spec::TorchChannels { amount, dim, seed: 4 },
            Spec::Every { step: 3, kind: PruningType::Structured { dim } },
            Spec::Nm { pattern: (2, 4, dim), amount: None },
            Spec::Nm { pattern: (1, 3, dim), amount: Some(amount) },
            Spec::Block { amount, block: [vec![2, 16], vec![1, 1, 7], vec![3]][dim as usize].clone(), norm },
        ]);
    }
    specs
}

fn calls_in_a_row_agree_with_the_model<A: Dtype>() {
    let wave = |period: f64| {
        let mut next = 0..;
        let mut element = || A::of((f64::from(next.next().unwrap_or(0)) * period).sin() * 4.0);
        ArrayD::from_shape_simple_fn(IxDyn(&SHAPE), &mut element)
    };
    let (tensor, other) = (wave(0.37), wave(0.73));
    for (spec, layout) in specs().into_iter().zip(Layout::ALL.into_iter().cycle()) {
        let mut parameter = Parameter::new(layout.of(&tensor));
        let mut model = Model::new(&SHAPE, &tensor);
        let method = || spec.method::<A>(&SHAPE).expect("it is valid");
        let ones = ArrayD::from_elem(tensor.raw_dim(), true);
        let alone = method().compute_mask(layout.of(&tensor).view(), layout.of(&ones).view());
        parameter.prune(method()).expect("enough entries remain");
        assert_eq!(alone.map(Mask::from).as_ref().ok(), parameter.mask(), "called directly");
        assert!(model.prune(&spec, None));
        model.assert_is(&parameter);

        for spec in [&Spec::L1 { amount: Amount::Fraction(0.3) }, &spec] {
            parameter.prune(spec.method::<A>(&SHAPE).expect("it is valid")).expect("enough entries remain");
            assert!(model.prune(spec, None));
            model.assert_is(&parameter);
        }

        parameter.update(|mut orig| orig.assign(&other));
        model.orig = other.iter().copied().collect();
        model.assert_is(&parameter);
        let mut gradient = layout.of(&tensor);
        parameter.mask_gradient(gradient.view_mut()).expect("it has the shape");
        assert_same(&gradient, &model.masked(tensor.as_slice().expect("standard layout")), "gradient");
    }
}
