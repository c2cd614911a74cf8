//! Laws that hold for any module and for any file.

use std::collections::BTreeSet;

use half::{bf16, f16};
use ndarray::{ArrayD, IxDyn};
use proptest::prelude::*;
use prune::safetensors::{apply_masks, from_bytes, load_into, masks_from_bytes, masks_to_bytes, to_bytes};
use prune::{CustomFromMask, Element, Parameter, ParameterStore};

use super::{layer, snapshot, tensors};

/// The parts of a parameter: its shape, its bits, and the pattern of its mask if it is pruned.
type Recipe = (Vec<usize>, Vec<u64>, Option<u64>);

fn recipes() -> impl Strategy<Value = Vec<(String, Recipe)>> {
    let shape = prop::collection::vec(0_usize..4, 0..4);
    let recipe = shape.prop_flat_map(|shape| {
        let size: usize = shape.iter().product();
        (Just(shape), prop::collection::vec(any::<u64>(), size), any::<Option<u64>>())
    });
    let name = prop_oneof!["[a-c](\\.[a-c])?(_orig|_mask)?", any::<String>()];
    prop::collection::btree_map(name, recipe, 0..6).prop_map(|recipes| recipes.into_iter().collect())
}

fn module<A: Element>(recipes: &[(String, Recipe)], from_bits: fn(u64) -> A) -> ParameterStore<A> {
    let parameter = |(name, (shape, bits, pruned)): &(String, Recipe)| {
        let array = ArrayD::from_shape_vec(shape.clone(), bits.iter().map(|&bits| from_bits(bits)).collect()).unwrap();
        let mut parameter = Parameter::new(array);
        if let Some(pattern) = pruned {
            let mask = bits.iter().map(|bits| (bits ^ pattern).count_ones() % 2 == 0).collect();
            parameter.prune(CustomFromMask::new(ArrayD::from_shape_vec(IxDyn(shape), mask).unwrap())).unwrap();
        }
        (name.clone(), parameter)
    };
    recipes.iter().map(parameter).collect()
}

fn round_trip<A: Element>(recipes: &[(String, Recipe)], from_bits: fn(u64) -> A) -> Result<(), TestCaseError> {
    let module = module(recipes, from_bits);
    let Ok(file) = to_bytes(&module) else {
        return Ok(()); // names clash; other tests cover that
    };
    let (loaded, report) = from_bytes::<A>(&file).unwrap();
    prop_assert!(report.is_complete());
    prop_assert!(loaded.iter().map(|(name, _)| name).eq(module.iter().map(|(name, _)| name)));
    for ((_, found), (_, expected)) in loaded.iter().zip(module.iter()) {
        prop_assert_eq!(found.mask(), expected.mask());
        prop_assert_eq!(found.orig().shape(), expected.orig().shape());
    }
    prop_assert_eq!(to_bytes(&loaded).unwrap(), file.clone());

    // Into a module of the same names and shapes, and of other values.
    let mut other = self::module(recipes, |_| A::one());
    for (_, parameter) in other.iter_mut() {
        if parameter.is_pruned() {
            parameter.remove().unwrap();
        }
    }
    if to_bytes(&other).is_ok() {
        prop_assert!(load_into(&mut other, &file).unwrap().is_complete());
        prop_assert_eq!(to_bytes(&other).unwrap(), file);
    }

    let masks = masks_to_bytes(&module).unwrap();
    let expected = module.iter().filter_map(|(name, parameter)| Some((name.to_owned(), parameter.mask()?.clone())));
    prop_assert_eq!(masks_from_bytes(&masks).unwrap(), expected.collect::<Vec<_>>());
    Ok(())
}

/// Loads a file in all ways: none may panic, and reports and errors obey their laws.
fn load(file: &[u8]) -> Result<(), TestCaseError> {
    let mut module = layer();
    let before = snapshot(&module);
    let names_before: BTreeSet<String> = tensors(&before.0).into_keys().collect();
    match load_into(&mut module, file) {
        Err(_) => prop_assert_eq!(snapshot(&module), before),
        Ok(report) => {
            let accounted = report.applied.iter().chain(&report.unexpected);
            let mut accounted: Vec<&String> = accounted.chain(report.skipped.iter().map(|s| &s.tensor)).collect();
            accounted.sort();
            let in_file = tensors(file);
            prop_assert!(accounted.into_iter().eq(in_file.keys()), "each tensor once");

            let applied: BTreeSet<String> = report.applied.iter().cloned().collect();
            let missing: BTreeSet<String> = report.missing.iter().cloned().collect();
            prop_assert!(applied.is_disjoint(&missing));
            prop_assert!(applied.is_superset(&names_before.difference(&missing).cloned().collect()));
        }
    }
    if let Ok((store, _)) = from_bytes::<f32>(file) {
        let saved = to_bytes(&store).unwrap();
        prop_assert_eq!(to_bytes(&from_bytes::<f32>(&saved).unwrap().0).unwrap(), saved);
    }
    if let Ok(masks) = masks_from_bytes(file) {
        let before = snapshot(&module);
        if apply_masks(&mut module, masks).is_err() {
            prop_assert_eq!(snapshot(&module), before);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_is_saved_is_loaded_bit_by_bit(recipes in recipes()) {
        round_trip(&recipes, |bits| f32::from_bits(bits as u32))?;
        round_trip(&recipes, f64::from_bits)?;
        round_trip(&recipes, |bits| f16::from_bits(bits as u16))?;
        round_trip(&recipes, |bits| bf16::from_bits(bits as u16))?;
    }

    #[test]
    fn any_bytes_are_loaded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        load(&bytes)?;
        load(&[&(bytes.len() as u64).to_le_bytes()[..], &bytes].concat())?;
    }

    #[test]
    fn a_damaged_file_is_loaded_or_refused(
        masks in any::<bool>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_usize..3), 1..4),
    ) {
        let mut file = if masks { masks_to_bytes(&layer()).unwrap() } else { to_bytes(&layer()).unwrap() };
        for (place, byte, what) in damage {
            let place = place.index(file.len());
            match what {
                0 => file[place] = byte,
                1 => file.insert(place, byte),
                _ => drop(file.remove(place)),
            }
        }
        load(&file)?;
    }

    #[test]
    fn a_header_of_plausible_parts_is_loaded_or_refused(
        tensors in prop::collection::vec(
            (
                prop::sample::select(vec!["weight", "weight_orig", "weight_mask", "bias", "a_mask_bits", "a_mask_shape"]),
                prop::sample::select(vec!["F32", "F16", "U8", "I64", "BOOL", "F4", "F8_E4M3"]),
                prop::sample::select(vec!["[]", "[2]", "[2,2]", "[0]", "[0,9223372036854775808]", "[1,2,2]"]),
                0_usize..33,
            ),
            0..6,
        ),
        byte in 0_u8..3,
    ) {
        let data = [byte; 33];
        let tensors: Vec<_> =
            tensors.iter().map(|(name, dtype, shape, len)| (*name, *dtype, *shape, &data[..*len])).collect();
        load(&super::file_of(&tensors))?;
    }
}
