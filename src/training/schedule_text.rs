//! Schedules as text, such as `cubic 0..0.9 @ 500..5000 / 100`.

use std::fmt;
use std::str::FromStr;

use crate::error::PruneError;
use crate::training::schedule::{Curve, Schedule, Shape, invalid};

/// A text from which the same schedule is parsed:
///
/// ```text
/// once 0.9 @ 500
/// list 0.5 @ 100, 0.8 @ 200
/// rounds 0.2 x 10 / 1000
/// linear 0..0.9 @ 500..5000 / 100
/// cubic 0..0.9 @ 500..5000
/// polynomial 0..0.9 ^ 5 @ 500..5000
/// exponential 0..0.9 @ 500..5000
/// ```
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let every = match &self.shape {
            Shape::List(steps) => {
                f.write_str(if steps.len() == 1 { "once" } else { "list" })?;
                for (i, (step, sparsity)) in steps.iter().enumerate() {
                    write!(f, "{} {sparsity} @ {step}", if i == 0 { "" } else { "," })?;
                }
                return Ok(());
            }
            Shape::Rounds { share, rounds, every } => {
                write!(f, "rounds {share} x {rounds}")?;
                *every
            }
            Shape::Curve { curve, from, to, begin, end, every } => {
                match curve {
                    Curve::Power(1) => write!(f, "linear {from}..{to}")?,
                    Curve::Power(3) => write!(f, "cubic {from}..{to}")?,
                    Curve::Power(power) => write!(f, "polynomial {from}..{to} ^ {power}")?,
                    Curve::Exponential => write!(f, "exponential {from}..{to}")?,
                }
                write!(f, " @ {begin}..{end}")?;
                *every
            }
        };
        if every == 1 { Ok(()) } else { write!(f, " / {every}") }
    }
}

/// Parses what [`Display`](fmt::Display) writes.
impl FromStr for Schedule {
    type Err = PruneError;

    fn from_str(text: &str) -> Result<Self, PruneError> {
        parse(text).unwrap_or_else(|| {
            Err(invalid(format!("`{}` is not of a form such as `cubic 0..0.9 @ 500..5000 / 100`", text.escape_debug())))
        })
    }
}

/// The schedule, or the reason why its numbers are invalid; `None` if the text has another form.
fn parse(text: &str) -> Option<Result<Schedule, PruneError>> {
    let (kind, rest) = text.trim().split_once(' ')?;
    if let "once" | "list" = kind {
        let step = |entry: &str| {
            let (sparsity, step) = entry.split_once('@')?;
            Some((number(step)?, number(sparsity)?))
        };
        let steps = rest.split(',').map(step).collect::<Option<Vec<_>>>()?;
        return (kind == "list" || steps.len() == 1).then(|| Schedule::list(&steps));
    }
    let (rest, every) = match rest.split_once('/') {
        Some((rest, every)) => (rest, number(every)?),
        None => (rest, 1),
    };
    if kind == "rounds" {
        let (share, rounds) = rest.split_once('x')?;
        let (share, rounds) = (number(share)?, number(rounds)?);
        return Some(Schedule::rounds(share, rounds).and_then(|schedule| schedule.every(every)));
    }
    let (curve, steps) = rest.split_once('@')?;
    let (begin, end) = range(steps)?;
    let (levels, power) = match curve.split_once('^') {
        Some((levels, power)) => (levels, Some(number(power)?)),
        None => (curve, None),
    };
    let (from, to) = range(levels)?;
    let schedule = match (kind, power) {
        ("linear", None) => Schedule::linear(from, to),
        ("cubic", None) => Schedule::cubic(from, to),
        ("polynomial", Some(power)) => Schedule::polynomial(from, to, power),
        ("exponential", None) => Schedule::exponential(from, to),
        _ => return None,
    };
    Some(schedule.and_then(|schedule| schedule.between(begin, end)?.every(every)))
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.trim().parse().ok()
}

fn range<T: FromStr>(text: &str) -> Option<(T, T)> {
    let (first, last) = text.split_once("..")?;
    Some((number(first)?, number(last)?))
}
