//! Every way to be wrong: the exact error, its exact message, and that nothing has changed.

mod arguments;
mod arrays_and_names;
mod methods;

use std::error::Error;

use ndarray::{ArrayD, arr1, arr2};
use prune::{ParameterStore, PruneError};

type Store = ParameterStore<f32>;
type Outcome = Result<(), PruneError>;

/// `weight` (2 x 3) has two entries pruned, `bias` (3) none; both hold bits that arithmetic would not leave alone.
fn store() -> Store {
    let payload = f32::from_bits(0xffa0_1234);
    let mut store = Store::new();
    store.insert("weight", arr2(&[[payload, -0.1, f32::INFINITY], [-2.0, -0.0, 3.0]]));
    store.insert("bias", arr1(&[-0.0, payload, 1e-40]));
    prune::l1_unstructured(&mut store, "weight", 2).unwrap();
    store
}

/// Everything that can be seen of a store, to the last bit.
fn picture(store: &Store) -> String {
    let bits = |array: &ArrayD<f32>| array.mapv(f32::to_bits);
    let each = store
        .iter()
        .map(|(name, p)| format!("{name} {:?} {:?} {:?} {:?}", bits(p.value()), bits(p.orig()), p.mask(), p.methods()));
    each.collect()
}

/// The call must fail with this error and message, and change nothing.
#[track_caller]
fn fails(call: impl FnOnce(&mut Store) -> Outcome, expected: PruneError, message: &str) {
    let mut store = store();
    let before = picture(&store);
    assert_says(call(&mut store).unwrap_err(), expected, message);
    assert_eq!(picture(&store), before);
}

#[track_caller]
fn assert_says(error: PruneError, expected: PruneError, message: &str) {
    assert_eq!(error, expected);
    assert_eq!(error.to_string(), message);
}

#[test]
fn an_error_is_a_standard_error() {
    fn check<E: Error + Clone + PartialEq + Send + Sync + 'static>(_: &E) {}
    let error = PruneError::NoTargets;
    check(&error);
    assert!(error.source().is_none());
    let boxed: Box<dyn Error + Send + Sync> = error.clone().into();
    assert_eq!(boxed.downcast_ref(), Some(&error));
}
