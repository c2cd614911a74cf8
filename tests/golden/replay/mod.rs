//! Replays recorded cases: every step is either identical to PyTorch, or a row of the table in README.md, or, in the
//! crate's own tie order, decided by a tie.

mod converted;
mod errors;
pub mod fixture;
pub mod large;
mod modules;
pub mod primitives;
mod tally;
pub mod tensor;

use std::collections::{BTreeMap, BTreeSet};

use fixture::{Mended, Recording, State, Step};
pub use modules::Mode;
use modules::{Modules, Outcome};
use ndarray::{ArrayD, Axis, Dimension};
use prune::{Mask, TieBreak};
pub use tally::Tally;
use tensor::{Tensor, Tensors};

/// Replays all cases of a recording. `more` holds what is promised where golden_s1 differs, and its tensors.
pub fn cases(recording: &Recording, more: &Recording, mode: Mode) -> Tally {
    let mut tally = Tally::default();
    for case in &recording.manifest.cases {
        if cfg!(not(feature = "nuclear")) && case.flags.iter().any(|flag| flag == "nuc") {
            tally.left_out += case.steps.len();
            continue;
        }
        let elsewhere = (recording.name == "golden_s1").then(|| more.manifest.mended_s1.get(&case.id)).flatten();
        let mut replay = Replay {
            modules: Modules::new(case, &recording.tensors, mode),
            torch: BTreeMap::new(),
            converted: BTreeSet::new(),
        };
        for (index, step) in case.steps.iter().enumerate() {
            let mended = match elsewhere.and_then(|steps| steps.get(&index)) {
                Some(mended) => Some((mended, &more.tensors)),
                None => step.mended.as_ref().map(|mended| (mended, &recording.tensors)),
            };
            match replay.step(step, mended) {
                Ok(Verdict::Identical) => tally.identical += 1,
                Ok(Verdict::Row(row)) => tally.row(row),
                Ok(Verdict::Tie) => {
                    tally.ties += 1;
                    tally.after_ties += case.steps.len() - index - 1;
                    break;
                }
                Err(what) => {
                    tally.fail(format!(
                        "{} case {} {} step {index} {} {:?} [{mode:?}]: {what}",
                        recording.name,
                        case.id,
                        case.family,
                        step.op,
                        step.names()
                    ));
                    break;
                }
            }
        }
    }
    tally
}

enum Verdict<'a> {
    /// Exactly what PyTorch did.
    Identical,
    /// Exactly what this row promises.
    Row(&'a str),
    /// Equal keys, of which the crate prunes others: that is its own choice, and from here on the case is another one.
    Tie,
}

/// The state of a parameter, and where its tensors are.
type Promise<'t> = (&'t State, &'t Tensors);

struct Replay<'t> {
    modules: Modules<'t>,
    /// The state in PyTorch after the last step that it could do.
    torch: BTreeMap<&'t str, Promise<'t>>,
    /// Methods, by parameter and position, that were applied as a mask since their scores were of another dtype.
    converted: BTreeSet<(&'t str, usize)>,
}

impl<'t> Replay<'t> {
    fn step(&mut self, step: &'t Step, mended: Option<(&'t Mended, &'t Tensors)>) -> Result<Verdict<'t>, String> {
        let expected = step.expect.as_ref();
        self.torch.extend(
            expected.iter().flat_map(|e| &e.params).map(|(name, s)| (name.as_str(), (s, self.modules.tensors))),
        );
        let promised = match mended.and_then(|(mended, tensors)| Some((mended.params.as_ref()?, tensors))) {
            Some((params, tensors)) => params.iter().map(|(name, state)| (name.as_str(), (state, tensors))).collect(),
            None => self.torch.clone(),
        };
        let (mended, tensors) = (mended.map(|(mended, _)| mended), mended.map_or(self.modules.tensors, |(_, t)| t));

        let mixed = self.modules.mixes_dtypes(step);
        let outcome = self.modules.operate(step);
        let failed = !matches!(outcome, Outcome::Done(_));
        let gradient = check_outcome(step, mended, outcome)?;
        let tie = !failed && (step.is_tie() || mended.is_some_and(|mended| mended.tie));
        if tie && self.modules.mode.tie_break == TieBreak::LowestIndex && !step.is_random() {
            return self.check_counts(step, &promised).map(|()| Verdict::Tie);
        }
        self.note_conversion(step, mixed && !failed, &promised);
        for (name, promise) in &promised {
            self.check_parameter(name, *promise).map_err(|what| format!("{name}: {what}"))?;
        }
        let recorded = match mended.and_then(|mended| mended.grad.as_ref()) {
            Some(name) => Some(&tensors[name]),
            None => expected.and_then(|expected| expected.grad.as_ref()).map(|name| &self.modules.tensors[name]),
        };
        check_gradient(recorded, gradient.as_ref())?;
        let word = mended.and_then(|mended| mended.next_word_u24).or_else(|| expected?.next_word_u24);
        if let Some(word) = word {
            let found = self.modules.next_word(step);
            if found != word {
                return Err(format!("position of the stream: expected next word {word}, found {found}"));
            }
        }
        Ok(mended.map_or(Verdict::Identical, |mended| Verdict::Row(&mended.row)))
    }

    fn check_parameter(&mut self, name: &'t str, (state, tensors): Promise<'t>) -> Result<(), String> {
        let found = self.modules.snapshot(name);
        let differ = |what: &str, tensor: &str, found| match tensors[tensor].difference(found) {
            Some(difference) => Err(format!("{what} {difference}")),
            None => Ok(()),
        };
        match (&state.mask, &found.mask) {
            (None, None) => {}
            (Some(mask), Some(found)) => check_mask(&kept(mask, tensors), found)?,
            (expected, found) => {
                return Err(format!("mask: expected {:?}, found {:?}", expected.is_some(), found.is_some()));
            }
        }
        differ("value", &state.attr, &found.value)?;
        differ("orig", state.orig.as_ref().unwrap_or(&state.attr), &found.orig)?;
        let methods = state.methods.clone().unwrap_or_default();
        let methods: Vec<String> = methods.into_iter().enumerate().map(|(i, m)| self.method_name(name, i, m)).collect();
        if methods != found.methods {
            return Err(format!("methods: expected {methods:?}, found {:?}", found.methods));
        }
        Ok(())
    }

    fn method_name(&self, name: &str, index: usize, recorded: String) -> String {
        if self.converted.contains(&(name, index)) { "CustomFromMask".to_owned() } else { recorded }
    }

    fn note_conversion(&mut self, step: &'t Step, mixed: bool, promised: &BTreeMap<&'t str, Promise<'t>>) {
        for (&name, (state, _)) in promised {
            let len = state.methods.as_ref().map_or(0, Vec::len);
            self.converted.retain(|&(converted, index)| converted != name || index < len);
            if mixed && step.names().iter().any(|target| target == name) {
                self.converted.insert((name, len - 1));
            }
        }
    }

    /// Checks that as much was pruned as in PyTorch, though not the same among equals.
    fn check_counts(&mut self, step: &Step, promised: &BTreeMap<&str, Promise<'t>>) -> Result<(), String> {
        let mut counts = [0, 0];
        for name in step.names() {
            let (state, tensors) = promised[name.as_str()];
            let expected = kept(state.mask.as_ref().unwrap(), tensors);
            let found = self.modules.snapshot(name).mask.ok_or("not pruned")?;
            counts[0] += units(&expected, step.dim);
            counts[1] += units(&found.to_array(), step.dim);
        }
        if counts[0] == counts[1] { Ok(()) } else { Err(format!("kept: expected {}, found {}", counts[0], counts[1])) }
    }
}

/// Checks whether the step failed as it should; its gradient if it is a backward.
fn check_outcome(step: &Step, mended: Option<&Mended>, outcome: Outcome) -> Result<Option<Tensor>, String> {
    let torch = step.expect.as_ref().and_then(|expect| expect.error.as_ref());
    let fails = mended.map_or(torch.is_some(), |mended| mended.fails);
    let refused = mended.and_then(|mended| mended.refused.as_deref());
    let message = mended.and_then(|mended| mended.error.as_ref()).or(torch).map_or("", |error| &error.message);
    match (outcome, refused) {
        (Outcome::Done(gradient), _) if !fails => Ok(gradient),
        (Outcome::Inexpressible, Some("f" | "v")) => Ok(None),
        (Outcome::Failed(error), Some(row)) if errors::matches_row(&error, row) => Ok(None),
        (Outcome::Failed(error), None) if fails && errors::matches_message(&error, message) => Ok(None),
        (outcome, _) => Err(format!(
            "expected {}, found {outcome:?}",
            match (fails, refused) {
                (false, _) => "success".to_owned(),
                (true, Some(row)) => format!("the error of row {row}"),
                (true, None) => format!("the error for `{message}`"),
            }
        )),
    }
}

fn check_gradient(expected: Option<&Tensor>, found: Option<&Tensor>) -> Result<(), String> {
    match (expected, found) {
        (Some(expected), Some(found)) => match expected.difference(found) {
            Some(difference) => Err(format!("gradient {difference}")),
            None => Ok(()),
        },
        (None, None) => Ok(()),
        _ => Err(format!("gradient: expected {expected:?}, found {found:?}")),
    }
}

fn check_mask(expected: &ArrayD<bool>, found: &Mask) -> Result<(), String> {
    if expected.shape() != found.shape() {
        return Err(format!("mask: expected shape {:?}, found {:?}", expected.shape(), found.shape()));
    }
    match expected.indexed_iter().zip(found.iter()).find(|((_, expected), found)| *expected != found) {
        Some(((index, expected), found)) => {
            Err(format!("mask at {:?}: expected {expected}, found {found}", index.slice()))
        }
        None => Ok(()),
    }
}

/// A recorded mask, of whatever dtype, as booleans (row l).
fn kept(mask: &str, tensors: &Tensors) -> ArrayD<bool> {
    tensors[mask].numbers().map(|&x| {
        assert!(x == 0.0 || x == 1.0, "promised masks are binary");
        x == 1.0
    })
}

/// The number of kept entries of a mask, or of channels along `dim` that have one.
fn units(mask: &ArrayD<bool>, dim: Option<isize>) -> usize {
    match dim {
        None => mask.iter().filter(|&&kept| kept).count(),
        Some(dim) => {
            let axis = Axis(dim.rem_euclid(mask.ndim() as isize) as usize);
            mask.axis_iter(axis).filter(|channel| channel.iter().any(|&kept| kept)).count()
        }
    }
}

impl Step {
    fn is_random(&self) -> bool {
        self.op.starts_with("random") || self.method.as_deref() == Some("RandomUnstructured")
    }
}
