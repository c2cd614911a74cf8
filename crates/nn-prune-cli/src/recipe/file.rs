//! Recipes in files: TOML or JSON.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::amount::{LayerAmount, Written};
use crate::error::CliError;
use crate::recipe::Recipe;

impl Recipe {
    /// Reads a recipe: JSON if the name of the file ends in `.json`, TOML otherwise.
    pub fn read(path: &Path) -> Result<Self, CliError> {
        let shown = path.display();
        let text = fs::read_to_string(path)
            .map_err(|error| CliError::caused_by(format!("cannot read recipe `{shown}`"), error))?;
        let invalid =
            |error: Box<dyn std::error::Error>| CliError::caused_by(format!("`{shown}` is not a valid recipe"), error);
        let recipe: Self = if is_json(path) {
            serde_json::from_str(&text).map_err(|error| invalid(error.into()))?
        } else {
            toml::from_str(&text).map_err(|error| invalid(error.message().to_owned().into()))?
        };
        if recipe.method.is_none() {
            return Err(invalid("it names no method".into()));
        }
        Ok(recipe)
    }

    /// The text of a recipe for a file of this name.
    pub fn to_text(&self, path: &Path) -> Result<String, CliError> {
        let failed = |error: Box<dyn std::error::Error>| CliError::caused_by("cannot write the recipe", error);
        if is_json(path) {
            serde_json::to_string_pretty(self).map(|text| text + "\n").map_err(|error| failed(error.into()))
        } else {
            toml::to_string(self).map_err(|error| failed(error.into()))
        }
    }
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

/// Reads a list of amounts, or one amount without brackets.
pub(super) fn amounts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LayerAmount>, D::Error> {
    one_or_many(deserializer, LayerAmount::from_str)
}

/// Reads a list of sparsities, or one sparsity without brackets.
pub(super) fn sparsities<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LayerAmount>, D::Error> {
    one_or_many(deserializer, LayerAmount::sparsity)
}

fn one_or_many<'de, D: Deserializer<'de>>(
    deserializer: D,
    parse: impl Fn(&str) -> Result<LayerAmount, String>,
) -> Result<Vec<LayerAmount>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Amounts {
        One(Written),
        Many(Vec<Written>),
    }
    let written = match Amounts::deserialize(deserializer)? {
        Amounts::One(amount) => vec![amount],
        Amounts::Many(amounts) => amounts,
    };
    written.iter().map(|written| parse(&written.to_string()).map_err(D::Error::custom)).collect()
}
