//! Any bytes as a state dict.

use std::collections::BTreeSet;

use ::safetensors::SafeTensors;
use half::{bf16, f16};
use prune::safetensors::{StateDictError, from_bytes, load_into, to_bytes};
use prune::{Element, ParameterStore};

use crate::file;

/// A file is refused, or read as the reference implementation of the format reads it. Saved and loaded again, it is the same.
pub fn check(bytes: &[u8]) {
    let file = file::of(bytes);
    check_as::<f32>(&file);
    check_as::<f64>(&file);
    check_as::<f16>(&file);
    check_as::<bf16>(&file);
}

fn check_as<A: Element>(file: &[u8]) {
    let reference = SafeTensors::deserialize(file);
    let (store, report) = match from_bytes::<A>(file) {
        Ok(read) => read,
        Err(error) => {
            assert!(!error.to_string().contains(char::is_control), "{error}");
            // Other errors concern the contents of a valid file, or repeated names.
            use StateDictError as E;
            let is_no_file = matches!(
                error,
                E::OtherFormat { .. }
                    | E::Truncated { .. }
                    | E::TrailingBytes { .. }
                    | E::HeaderTooLarge { .. }
                    | E::InvalidHeader { .. }
                    | E::InvalidLayout { .. }
            );
            assert!(!is_no_file || reference.is_err(), "the reference reads it: {error}");
            return;
        }
    };
    let reference = reference.expect("the reference refuses it");
    assert!(report.missing.is_empty() && report.unexpected.is_empty());
    let accounted = report.applied.iter().chain(report.skipped.iter().map(|skipped| &skipped.tensor));
    let accounted: Vec<&str> = accounted.map(String::as_str).collect();
    assert_eq!(accounted.len(), reference.len());
    assert_eq!(BTreeSet::from_iter(accounted), BTreeSet::from_iter(reference.names()));

    check_values(&store);
    let saved = to_bytes(&store).expect("a loaded module can be saved");
    let written = SafeTensors::deserialize(&saved).expect("the reference reads it");
    assert_eq!(written.len(), report.applied.len());
    for (name, tensor) in written.iter() {
        let read = reference.tensor(name).expect("it was read");
        assert_eq!(tensor.shape(), read.shape());
        // Masks are saved in the dtype of the parameter.
        assert!(tensor.dtype() != read.dtype() || tensor.data() == read.data() || name.ends_with("_mask"), "{name}");
    }

    let (again, report) = from_bytes::<A>(&saved).expect("a saved module can be loaded");
    assert!(report.is_complete());
    assert_eq!(to_bytes(&again).expect("once more"), saved);

    let mut plain = store;
    for (_, parameter) in plain.iter_mut().filter(|(_, parameter)| parameter.is_pruned()) {
        parameter.remove().expect("it is pruned");
    }
    assert!(load_into(&mut plain, &saved).expect("of the same shapes").is_complete());
    check_values(&plain);
    assert_eq!(to_bytes(&plain).expect("once more"), saved);
}

fn check_values<A: Element>(store: &ParameterStore<A>) {
    for (name, parameter) in store.iter() {
        let Some(mask) = parameter.mask() else { continue };
        assert_eq!(mask.shape(), parameter.orig().shape());
        for ((&value, &orig), kept) in parameter.value().iter().zip(parameter.orig()).zip(mask.iter()) {
            let expected = orig * if kept { A::one() } else { A::zero() };
            assert!(value == expected || value.is_nan() && expected.is_nan(), "{name}");
        }
    }
}
