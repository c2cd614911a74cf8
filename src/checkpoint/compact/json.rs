//! Couplings and plans as JSON.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::checkpoint::compact::config::read_json;
use crate::checkpoint::error::CheckpointError;
use crate::compact::{Coupling, Dimension, Plan, Role, Use};

/// The kept units of dimensions, by name.
pub(crate) type Kept = BTreeMap<String, Vec<usize>>;

/// Reads the key `dimensions` of a coupling file. Without a key `fixed`, all `names` that no dimension uses are fixed.
pub(crate) fn read_coupling<'n>(
    path: &Path,
    names: impl Iterator<Item = &'n str>,
) -> Result<Coupling, CheckpointError> {
    let json = read_json(path)?;
    let invalid = |reason: &str| CheckpointError::Config { path: path.to_owned(), reason: reason.to_owned() };
    let dimensions =
        json.get("dimensions").and_then(Value::as_array).ok_or_else(|| invalid("has no list `dimensions`"))?;
    let mut coupling = Coupling::new();
    for stored in dimensions {
        coupling = coupling.with(dimension(stored).map_err(|reason| invalid(&reason))?);
    }
    match json.get("fixed") {
        None => {
            let used: std::collections::HashSet<&str> = coupling
                .dimensions
                .iter()
                .flat_map(|dimension| &dimension.uses)
                .map(|use_| use_.parameter.as_str())
                .collect();
            let rest: Vec<&str> = names.filter(|name| !used.contains(name)).collect();
            Ok(rest.into_iter().fold(coupling.clone(), Coupling::fixed))
        }
        Some(fixed) => {
            let patterns =
                fixed.as_array().and_then(|fixed| fixed.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
            let patterns = patterns.ok_or_else(|| invalid("has a key `fixed` that is not a list of patterns"))?;
            Ok(patterns.into_iter().fold(coupling, Coupling::fixed))
        }
    }
}

fn dimension(json: &Value) -> Result<Dimension, String> {
    let name = json.get("name").and_then(Value::as_str).ok_or("has a dimension without a `name`")?;
    let uses = json.get("uses").and_then(Value::as_array).ok_or("has a dimension without a list `uses`")?;
    let uses = uses.iter().map(use_of).collect::<Result<Vec<_>, _>>()?;
    let mut dimension = Dimension::new(name, uses);
    if let Some(size) = number(json, "size")? {
        dimension = dimension.size(size);
    }
    if flag(json, "open")? {
        dimension = dimension.open();
    }
    Ok(if flag(json, "zero_at_zero")? { dimension.zero_at_zero() } else { dimension })
}

fn use_of(json: &Value) -> Result<Use, String> {
    let tensor = json.get("tensor").and_then(Value::as_str).ok_or("has a use without a `tensor`")?;
    let role = match json.get("role").and_then(Value::as_str) {
        Some("out") => Role::Out,
        Some("follow") => Role::Follow,
        Some("in") => Role::In,
        Some("buffer") => Role::Buffer,
        Some(_) | None => return Err("has a use whose `role` is not out, follow, in or buffer".into()),
    };
    let axis = number(json, "axis")?.ok_or("has a use without an `axis`")?;
    let use_ = Use::new(role, tensor, axis).offset(number(json, "offset")?.unwrap_or(0));
    Ok(use_.repeat(number(json, "repeat")?.unwrap_or(1)).block(number(json, "block")?.unwrap_or(1)))
}

fn number(json: &Value, key: &str) -> Result<Option<usize>, String> {
    match json.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
            number.map(Some).ok_or_else(|| format!("has a `{key}` that is not a number of positions"))
        }
    }
}

fn flag(json: &Value, key: &str) -> Result<bool, String> {
    json.get(key).map_or(Some(false), Value::as_bool).ok_or_else(|| format!("has a `{key}` that is not true or false"))
}

/// Reads the key `keep` of a plan. Other keys are ignored.
pub(crate) fn read_kept(path: &Path) -> Result<Kept, CheckpointError> {
    let json = read_json(path)?;
    let kept = json.get("keep").and_then(Value::as_object).and_then(|kept| {
        let units = |units: &Value| -> Option<Vec<usize>> {
            units.as_array()?.iter().map(|unit| usize::try_from(unit.as_u64()?).ok()).collect()
        };
        kept.iter().map(|(name, list)| Some((name.clone(), units(list)?))).collect()
    });
    let reason = "has no object `keep` with a list of units for each dimension";
    kept.ok_or_else(|| CheckpointError::Config { path: path.to_owned(), reason: reason.to_owned() })
}

/// Encodes a plan with the dimensions that it is about, as files of couplings and plans have them.
pub(crate) fn encode(plan: &Plan) -> Vec<u8> {
    let role = |role: Role| match role {
        Role::Out => "out",
        Role::Follow => "follow",
        Role::In => "in",
        Role::Buffer => "buffer",
    };
    let use_of = |use_: &Use| {
        json!({ "tensor": use_.parameter, "axis": use_.axis, "role": role(use_.role), "offset": use_.offset,
            "repeat": use_.repeat, "block": use_.block })
    };
    let dimensions = plan.layout.dimensions.iter().zip(&plan.layout.units).map(|(dimension, units)| {
        let uses: Vec<Value> = dimension.uses.iter().map(use_of).collect();
        json!({ "name": dimension.name, "size": units, "open": dimension.open, "zero_at_zero": dimension.zero_at_zero,
            "uses": uses })
    });
    let keep: BTreeMap<&str, &[usize]> = plan.iter().collect();
    let mut text = json!({ "keep": keep, "dimensions": dimensions.collect::<Vec<_>>() }).to_string();
    text.push('\n');
    text.into_bytes()
}
