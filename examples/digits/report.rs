//! The results as text.

use crate::{
    experiment::Outcome,
    network::Network,
    pruning::{Method, count_weights},
};
use prune::{Summary, remove_all};

/// Returns a table with one line per method and one column per amount: accuracy after pruning, then after fine-tuning.
pub fn table(outcomes: &[Outcome], amounts: &[f64]) -> String {
    let column = |text: String| format!("{text:>17}");
    let line = |label: &str, cells: Vec<String>| format!("{label:<14}{}\n", cells.concat());
    let of = |method, cell: &dyn Fn(&Outcome) -> String| -> Vec<String> {
        outcomes.iter().filter(|outcome| outcome.method == method).map(|outcome| column(cell(outcome))).collect()
    };
    let remaining = |outcome: &Outcome| count_weights(&outcome.network).1.to_string();

    let mut table = line("amount", amounts.iter().map(|amount| column(format!("{:.0} %", 100.0 * amount))).collect());
    let rule = "-".repeat(table.trim_end().chars().count()) + "\n";
    table += &rule;
    for method in Method::ALL {
        table += &line(method.label(), of(method, &|outcome| change(outcome.pruned_accuracy, outcome.tuned_accuracy)));
    }
    table += &rule;
    table += &line("remaining", of(Method::L1Global, &remaining));
    table += &line(" (L2 neurons)", of(Method::L2Neurons, &remaining));
    table + "L2 neurons: the amount is of the neurons of each hidden layer; the output layer is not pruned.\n"
}

/// Returns a table with one line per round.
pub fn rounds(outcomes: &[Outcome]) -> String {
    let mut text = String::from("round   methods().len()   sparsity         accuracy\n");
    for (round, outcome) in outcomes.iter().enumerate() {
        // All weights have the same history: one method per round.
        let methods = outcome.network.output.weight.methods().len();
        let sparsity = format!("{:.2} %", 100.0 * outcome.sparsity);
        let accuracy = change(outcome.pruned_accuracy, outcome.tuned_accuracy);
        text += &format!("{:>5}{methods:>18}{sparsity:>11}{accuracy:>17}\n", round + 1);
    }
    text
}

/// Formats two fractions as percentages: `42.0 -> 97.8`.
fn change(before: f64, after: f64) -> String {
    format!("{:.1} -> {:>5.1}", 100.0 * before, 100.0 * after)
}

/// Returns a table of the memory that `dense` and a pruned copy of it take.
pub fn memory(dense: &Network, pruned: &Network) -> String {
    let mut removed = pruned.clone();
    remove_all(&mut removed);
    let mut text = String::from("network                     weights not zero     bytes\n");
    let networks = [("dense", dense), ("pruned, with its masks", pruned), ("pruned, masks removed", &removed)];
    for (name, network) in networks {
        text += &format!("{name:<24}{:>20}{:>10}\n", count_weights(network).1, Summary::of(network).bytes());
    }
    text + "Zeros in a dense array save neither memory nor time: that needs sparse storage or smaller layers.\n"
}
