//! Amounts, as the command line and recipes write them.

use std::fmt;
use std::str::FromStr;

use prune::Amount;
use serde::{Deserialize, Serialize};

/// The amount for the tensors that match a pattern, or for all others: `0.5`, `50%`, `100`, `*.q_proj.*=0.7`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(into = "String")]
pub struct LayerAmount {
    pub pattern: Option<String>,
    pub amount: Amount,
    /// The amount as it was written.
    text: String,
}

impl LayerAmount {
    /// Parses the sparsity to reach, which is a fraction even if it is written as an integer.
    pub fn sparsity(text: &str) -> Result<Self, String> {
        let (pattern, text) = split(text);
        let sparsity = match fraction(text)? {
            Some(fraction) => fraction,
            None => text.parse().map_err(|_| INVALID)?,
        };
        Self::new(pattern, Amount::sparsity(sparsity), text)
    }

    fn new(pattern: Option<&str>, amount: Amount, text: &str) -> Result<Self, String> {
        if pattern == Some("") {
            return Err("the pattern before `=` is empty".into());
        }
        if !matches!(amount, Amount::Count(_)) {
            // Any valid fraction of 0 units is 0. An error means that the fraction is out of range.
            amount.count(0).map_err(|error| error.to_string())?;
        }
        Ok(Self { pattern: pattern.map(str::to_owned), amount, text: text.to_owned() })
    }
}

const INVALID: &str = "must be a fraction such as 0.5 or 50%, or a count such as 100";

/// The pattern and the amount of `PATTERN=AMOUNT`. A pattern may contain `=`.
fn split(text: &str) -> (Option<&str>, &str) {
    text.rsplit_once('=').map_or((None, text), |(pattern, amount)| (Some(pattern), amount))
}

/// Parses a fraction: a percentage, or a number with a decimal point or an exponent. Returns `None` for anything else.
fn fraction(text: &str) -> Result<Option<f64>, String> {
    if let Some((whole, part)) = text.split_once(',') {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        return Err(if digits(whole) && digits(part.trim_end_matches('%')) {
            format!("write `{whole}.{part}`, with a decimal point")
        } else {
            INVALID.into()
        });
    }
    if text.contains(['%', '.', 'e', 'E']) { share(text).map(Some).ok_or_else(|| INVALID.into()) } else { Ok(None) }
}

/// Parses a number or a percentage.
pub fn share(text: &str) -> Option<f64> {
    match text.strip_suffix('%') {
        Some(percent) => Some(percent.trim_end().parse::<f64>().ok()? / 100.0),
        None => text.parse().ok(),
    }
}

/// Parses an amount as PyTorch does: an integer is a count, any other number a fraction.
impl FromStr for LayerAmount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (pattern, text) = split(text);
        let amount = match fraction(text)? {
            Some(fraction) => Amount::Fraction(fraction),
            None => Amount::Count(text.parse().map_err(|_| INVALID)?),
        };
        Self::new(pattern, amount, text)
    }
}

impl fmt::Display for LayerAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pattern {
            Some(pattern) => write!(f, "{pattern}={}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl From<LayerAmount> for String {
    fn from(amount: LayerAmount) -> Self {
        amount.to_string()
    }
}

/// An amount in a recipe: text, or a number of the file format.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Written {
    Text(String),
    Count(u64),
    Fraction(f64),
}

/// The amount as the command line would have it.
impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Count(count) => write!(f, "{count}"),
            // With a decimal point, so that 1.0 is no count.
            Self::Fraction(fraction) => write!(f, "{fraction:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_counts_and_other_numbers_fractions() {
        for (text, expected) in [
            ("1", Some(Amount::Count(1))),
            ("1.0", Some(Amount::Fraction(1.0))),
            ("0.5", Some(Amount::Fraction(0.5))),
            (".5", Some(Amount::Fraction(0.5))),
            ("5e-1", Some(Amount::Fraction(0.5))),
            ("50%", Some(Amount::Fraction(0.5))),
            ("12.5 %", Some(Amount::Fraction(0.125))),
            ("100%", Some(Amount::Fraction(1.0))),
            ("0", Some(Amount::Count(0))),
            ("1.5", None),
            ("150%", None),
            ("-0.5", None),
            ("-1", None),
            ("nan", None),
            ("inf", None),
            ("%", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok().map(|amount: LayerAmount| amount.amount), expected, "{text:?}");
        }
    }

    #[test]
    fn a_decimal_comma_is_answered_with_a_point() {
        let error = |text: &str| text.parse::<LayerAmount>().unwrap_err();
        assert_eq!(error("0,5"), "write `0.5`, with a decimal point");
        assert_eq!(error("*.q=12,5%"), "write `12.5%`, with a decimal point");
        assert_eq!(error("a,b"), INVALID);
    }

    #[test]
    fn patterns_come_before_the_last_equals_sign() {
        let amount: LayerAmount = "a=b.*=0.7".parse().unwrap();
        assert_eq!((amount.pattern.as_deref(), amount.amount), (Some("a=b.*"), Amount::Fraction(0.7)));
        assert_eq!(amount.to_string(), "a=b.*=0.7");
        assert!("=0.7".parse::<LayerAmount>().is_err());
    }

    #[test]
    fn a_sparsity_is_a_fraction() {
        for (text, expected) in [("0.5", Some(0.5)), ("50%", Some(0.5)), ("1", Some(1.0)), ("2", None), ("x", None)] {
            let found = LayerAmount::sparsity(text).ok().map(|amount| amount.amount);
            assert_eq!(found, expected.map(Amount::Sparsity), "{text}");
        }
    }
}
