//! `nn-prune diff`.

use std::process::ExitCode;
use std::slice::from_ref;

use prune::checkpoint::{self, Containment, Difference, Dtype, EntryDifference, TensorDifference};
use serde::Serialize;

use crate::args::DiffArgs;
use crate::failure::Failure;
use crate::progress::Watch;
use crate::{exit, input, show};

pub fn run(args: &DiffArgs) -> Result<ExitCode, Failure> {
    let (a, b) = (input::open(from_ref(&args.a))?, input::open(from_ref(&args.b))?);
    let watch = Watch::new("comparing", args.report.quiet);
    let difference = checkpoint::diff(&a, &b, &watch)?;
    drop(watch);

    if args.report.json {
        show::print_json(&Json::of(&difference))?;
    } else if !args.report.quiet {
        show::print(text(&difference))?;
    }
    Ok(if difference.is_equal() { ExitCode::SUCCESS } else { ExitCode::from(exit::DIFFERENT) })
}

fn text(difference: &Difference) -> String {
    let mut text = String::new();
    let differing: Vec<_> = difference.common.iter().filter(|tensor| !tensor.is_equal()).collect();
    if !differing.is_empty() {
        let columns = [
            ("tensor", '<'),
            ("A", '<'),
            ("B", '<'),
            ("differing", '>'),
            ("became zero", '>'),
            ("became nonzero", '>'),
            ("zeros", '<'),
        ];
        text += &show::table(columns, differing.iter().map(|tensor| row(tensor))).trim_fmt();
        text += "\n\n";
    }
    for (names, place) in [(&difference.only_a, "A"), (&difference.only_b, "B")] {
        for name in names {
            text += &format!("only in {place}: {}\n", show::plain(name));
        }
    }
    let same = difference.common.len() - differing.len();
    text += &format!(
        "{} the same, {} different, {} only in A, {} only in B\n",
        show::counted(same, "tensor"),
        show::count(differing.len()),
        show::count(difference.only_a.len()),
        show::count(difference.only_b.len()),
    );
    let all = sum(difference);
    if all.became_zero + all.became_nonzero + all.zero_in_both > 0 {
        text += &format!("all zeros together: {}\n", zeros(all.containment()));
    }
    text
}

fn row(tensor: &TensorDifference) -> [String; 7] {
    let kind = |(dtype, shape): &(Dtype, Vec<usize>)| format!("{dtype} {}", show::shape(shape));
    let entries = tensor.entries.map_or([(); 4].map(|()| "?".into()), |entries| {
        [
            show::count(entries.differing),
            show::count(entries.became_zero),
            show::count(entries.became_nonzero),
            zeros(entries.containment()).into(),
        ]
    });
    let [differing, became_zero, became_nonzero, containment] = entries;
    let name = show::plain(&tensor.name).into_owned();
    [name, kind(&tensor.a), kind(&tensor.b), differing, became_zero, became_nonzero, containment]
}

fn zeros(containment: Containment) -> &'static str {
    match containment {
        Containment::Equal => "the same",
        Containment::AInB => "B has all of A's and more",
        Containment::BInA => "A has all of B's and more",
        Containment::Neither => "each has some of its own",
    }
}

/// The zeros of all tensors that could be compared.
fn sum(difference: &Difference) -> EntryDifference {
    let mut sum = EntryDifference::default();
    for entries in difference.common.iter().filter_map(|tensor| tensor.entries) {
        sum.became_zero += entries.became_zero;
        sum.became_nonzero += entries.became_nonzero;
        sum.zero_in_both += entries.zero_in_both;
    }
    sum
}

/// What `--json` prints.
#[derive(Serialize)]
struct Json<'a> {
    equal: bool,
    /// How all zeros together relate.
    zeros: &'static str,
    only_a: &'a [String],
    only_b: &'a [String],
    common: Vec<JsonTensor<'a>>,
}

#[derive(Serialize)]
struct JsonTensor<'a> {
    name: &'a str,
    equal: bool,
    a: JsonKind<'a>,
    b: JsonKind<'a>,
    /// `null` where they cannot be compared.
    entries: Option<JsonEntries>,
}

#[derive(Serialize)]
struct JsonKind<'a> {
    dtype: String,
    shape: &'a [usize],
}

#[derive(Serialize)]
struct JsonEntries {
    entries: usize,
    differing: usize,
    became_zero: usize,
    became_nonzero: usize,
    zero_in_both: usize,
    zeros: &'static str,
}

impl<'a> Json<'a> {
    fn of(difference: &'a Difference) -> Self {
        let kind = |(dtype, shape): &'a (Dtype, Vec<usize>)| JsonKind { dtype: dtype.to_string(), shape };
        let tensor = |tensor: &'a TensorDifference| JsonTensor {
            name: &tensor.name,
            equal: tensor.is_equal(),
            a: kind(&tensor.a),
            b: kind(&tensor.b),
            entries: tensor.entries.map(|entries| JsonEntries {
                entries: entries.entries,
                differing: entries.differing,
                became_zero: entries.became_zero,
                became_nonzero: entries.became_nonzero,
                zero_in_both: entries.zero_in_both,
                zeros: word(entries.containment()),
            }),
        };
        Self {
            equal: difference.is_equal(),
            zeros: word(sum(difference).containment()),
            only_a: &difference.only_a,
            only_b: &difference.only_b,
            common: difference.common.iter().map(tensor).collect(),
        }
    }
}

fn word(containment: Containment) -> &'static str {
    match containment {
        Containment::Equal => "equal",
        Containment::AInB => "a_in_b",
        Containment::BInA => "b_in_a",
        Containment::Neither => "neither",
    }
}
