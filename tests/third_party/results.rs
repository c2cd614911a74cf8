//! The fate of the masks that a method returns: they are applied or refused.

use super::{KeepEvery, counting, history};
use half::{bf16, f16};
use ndarray::{Array2, Axis, Slice, arr2};
use prune::{
    Element, L1Unstructured, LnStructured, Parameter, ParameterStore, PruneError, PruningMethod, RandomStructured,
};

#[test]
fn it_composes_with_built_in_methods_in_any_order() -> Result<(), PruneError> {
    // L1 leaves 4 to 8, KeepEvery the first, third and fifth of them.
    let mut weight = counting(&[2, 4]);
    weight.prune(L1Unstructured::new(3)?)?;
    weight.prune(KeepEvery(2))?;
    assert_eq!(weight.value(), &arr2(&[[0.0, 0.0, 0.0, 4.0], [0.0, 6.0, 0.0, 8.0]]).into_dyn());

    // KeepEvery leaves 1, 3, 5 and 7, L1 prunes half of these.
    let mut weight = counting(&[2, 4]);
    weight.prune(KeepEvery(2))?;
    weight.prune(L1Unstructured::new(0.5)?)?;
    assert_eq!(weight.value(), &arr2(&[[0.0, 0.0, 0.0, 0.0], [5.0, 0.0, 7.0, 0.0]]).into_dyn());
    assert_eq!(history(&weight), ["KeepEvery", "L1Unstructured"]);

    // Columns: KeepEvery empties the second and fourth, so one of two is half of the remaining ones.
    let mut weight = counting(&[2, 4]);
    weight.prune(KeepEvery(2))?;
    weight.prune(LnStructured::new(0.5, 1, 1)?)?;
    assert_eq!(weight.value(), &arr2(&[[0.0, 0.0, 3.0, 0.0], [0.0, 0.0, 7.0, 0.0]]).into_dyn());
    Ok(())
}

#[test]
fn it_works_for_every_element_type_and_layout() -> Result<(), PruneError> {
    fn check<A: Element>() -> Result<(), PruneError> {
        let number = |x: f64| A::from(x).expect("small whole numbers fit every type");
        let numbers = arr2(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).mapv(number);
        let column_major = numbers.t().as_standard_layout().into_owned().reversed_axes();
        let mut strided = Array2::from_shape_fn((2, 6), |(i, j)| numbers[[i, j / 2]]);
        strided.slice_axis_inplace(Axis(1), Slice::new(0, None, 2));
        for numbers in [numbers.clone(), column_major, strided] {
            let mut weight = Parameter::new(numbers);
            weight.prune(KeepEvery(2))?;
            weight.prune(KeepEvery(2))?;
            assert_eq!(weight.value(), &arr2(&[[1.0, 0.0, 0.0], [0.0, 5.0, 0.0]]).mapv(number).into_dyn());
        }
        Ok(())
    }
    check::<f32>()?;
    check::<f64>()?;
    check::<f16>()?;
    check::<bf16>()
}

#[test]
fn a_method_is_chosen_at_run_time() -> Result<(), PruneError> {
    type Boxed = Box<dyn PruningMethod<f32>>;
    let method = |name: &str| -> Result<Boxed, PruneError> {
        Ok(match name {
            "every second" => Box::new(KeepEvery(2)),
            "smallest" => Box::new(L1Unstructured::new(0.5)?),
            _ => Box::new(RandomStructured::new(1, 0, 888)?),
        })
    };
    let mut module = ParameterStore::from_iter([("weight", counting(&[4, 2]))]);
    for (name, remaining) in [("every second", 4), ("smallest", 2), ("a row", 1)] {
        prune::apply(&mut module, "weight", method(name)?)?;
        let kept = module["weight"].value().iter().filter(|&&x| x != 0.0).count();
        assert_eq!(kept, remaining, "{name}");
    }
    // Boxed or not, methods keep their names, also in a clone.
    assert_eq!(history(&module.clone()["weight"]), ["KeepEvery", "L1Unstructured", "RandomStructured"]);
    let mut weight = counting(&[4, 2]);
    prune::global_unstructured([&mut weight], method("smallest")?)?;
    assert_eq!(weight.value().sum(), 5.0 + 6.0 + 7.0 + 8.0);
    Ok(())
}
