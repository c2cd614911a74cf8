//! The results as text.

use crate::{
    experiment::Outcome,
    network::Network,
    pruning::{Method, count_weights, remove_all},
};
use prune::{Module, Parameter, PruneError};

/// One line a method, one column an amount: accuracy straight after pruning, then after fine-tuning.
pub fn table(outcomes: &[Outcome], amounts: &[f64]) -> String {
    let column = |text: String| format!("{text:>17}");
    let line = |label: &str, cells: Vec<String>| format!("{label:<14}{}\n", cells.concat());
    let of = |method, cell: &dyn Fn(&Outcome) -> String| -> Vec<String> {
        outcomes.iter().filter(|outcome| outcome.method == method).map(|outcome| column(cell(outcome))).collect()
    };
    let left = |outcome: &Outcome| count_weights(&outcome.network).1.to_string();

    let mut table = line("amount", amounts.iter().map(|amount| column(format!("{:.0} %", 100.0 * amount))).collect());
    let rule = "-".repeat(table.trim_end().chars().count()) + "\n";
    table += &rule;
    for method in Method::ALL {
        table += &line(method.label(), of(method, &|outcome| change(outcome.pruned_accuracy, outcome.tuned_accuracy)));
    }
    table += &rule;
    table += &line("weights left", of(Method::L1Global, &left));
    table += &line(" (L2 neurons)", of(Method::L2Neurons, &left));
    table + "L2 neurons: the amount is of the neurons of each hidden layer; the output layer stays dense.\n"
}

/// One line a round of the iterative run.
pub fn rounds(outcomes: &[Outcome]) -> String {
    let mut text = String::from("round   methods().len()   sparsity         accuracy\n");
    for (round, outcome) in outcomes.iter().enumerate() {
        // Every weight has the same history: one method a round.
        let methods = outcome.network.output.weight.methods().len();
        let sparsity = format!("{:.2} %", 100.0 * outcome.sparsity);
        let accuracy = change(outcome.pruned_accuracy, outcome.tuned_accuracy);
        text += &format!("{:>5}{methods:>18}{sparsity:>11}{accuracy:>17}\n", round + 1);
    }
    text
}

/// `42.0 -> 97.8`, in %.
fn change(before: f64, after: f64) -> String {
    format!("{:.1} -> {:>5.1}", 100.0 * before, 100.0 * after)
}

/// What `dense` and a pruned copy of it take in memory. Zeros are no smaller than other numbers.
pub fn memory(dense: &Network, pruned: &Network) -> Result<String, PruneError> {
    let mut removed = pruned.clone();
    remove_all(&mut removed)?;
    let mut text = String::from("network                     weights not zero     bytes\n");
    let networks = [("dense", dense), ("pruned, with its masks", pruned), ("pruned, masks removed", &removed)];
    for (name, network) in networks {
        text += &format!("{name:<24}{:>20}{:>10}\n", count_weights(network).1, bytes(network));
    }
    Ok(text + "Zeros do not shrink a dense array, nor make it faster: that takes sparse storage or smaller layers.\n")
}

/// The bytes of all tensors: the values, and for a pruned parameter its original and its mask too.
fn bytes(network: &Network) -> usize {
    let of_parameter = |parameter: &Parameter<f32>| {
        let tensor = parameter.value().len() * size_of::<f32>();
        tensor + parameter.mask().map_or(0, |mask| tensor + mask.len())
    };
    network.named_parameters().into_iter().map(|(_, parameter)| of_parameter(parameter)).sum()
}
