//! Any bytes as a mask file.

use ndarray::ArrayD;
use prune::ParameterStore;
use prune::safetensors::{StateDictError, apply_masks, masks_from_bytes, masks_to_bytes};

use crate::file;

/// A file is refused, or its masks prune parameters of their shapes, from which the same masks are saved.
pub fn check(bytes: &[u8]) {
    let masks = match masks_from_bytes(&file::of(bytes)) {
        Ok(masks) => masks,
        Err(error) => return assert!(!error.to_string().contains(char::is_control), "{error}"),
    };
    let parameters = masks.iter().map(|(name, mask)| (name.clone(), ArrayD::<f32>::zeros(mask.shape())));
    let mut store = ParameterStore::from_iter(parameters);
    assert_eq!(store.len(), masks.len());
    match apply_masks(&mut store, masks.iter().cloned()) {
        Ok(report) => assert!(report.is_complete()),
        Err(StateDictError::NameClash { .. }) => return assert!(!prune::is_pruned(&store)),
        Err(error) => panic!("{error}"),
    }
    for (name, mask) in &masks {
        assert_eq!(store[name.as_str()].mask(), Some(mask));
    }

    let saved = masks_to_bytes(&store).expect("names are unique");
    assert_eq!(masks_from_bytes(&saved).expect("it was just saved"), masks);
    assert!(masks.is_empty() || apply_masks(&mut store, masks).expect("of the same shapes").is_complete());
    assert_eq!(masks_to_bytes(&store).expect("once more"), saved);
}
