//! The numbers of the example `article`: what PyTorch prints after `torch.manual_seed(888)`.

use prune::{Module, ParameterStore, PruneError, torch::Generator};

#[path = "../examples/article.rs"]
#[allow(dead_code, reason = "its main is for cargo run")]
mod example;

const FRESH: &str = "-0.3017 0.1290 -0.2468 / 0.2107 0.1799 0.1923 / 0.1887 -0.0527 0.1403";
const RANDOM: &str = "-0.0000 0.0000 -0.0000 / 0.2107 0.1799 0.1923 / 0.1887 -0.0527 0.0000";
const L1: &str = "-0.3017 0.0000 -0.2468 / 0.2107 0.0000 0.1923 / 0.1887 -0.0000 0.0000";

fn fresh() -> (ParameterStore<f32>, Generator) {
    let generator = Generator::manual_seed(888);
    let (weight, bias) = generator.conv(1, 1, &[3, 3]);
    (ParameterStore::from_iter([("weight", weight), ("bias", bias.into_dyn())]), generator)
}

/// The nine weights as in the constants above.
fn weight(conv: &impl Module<Elem = f32>) -> String {
    let weight = conv.parameter("weight").expect("a convolution has a weight").value();
    assert_eq!(weight.shape(), [1, 1, 3, 3]);
    let numbers: Vec<String> = weight.iter().map(|x| format!("{x:.4}")).collect();
    numbers.chunks(3).map(|row| row.join(" ")).collect::<Vec<_>>().join(" / ")
}

#[test]
fn the_api_computes_the_numbers_of_the_article() -> Result<(), PruneError> {
    let (mut conv, _) = fresh();
    assert_eq!(weight(&conv), FRESH);
    prune::identity(&mut conv, "weight")?;
    assert_eq!(weight(&conv), FRESH);
    assert!(conv["weight"].is_pruned() && !conv["bias"].is_pruned());

    let (mut conv, generator) = fresh();
    prune::random_unstructured(&mut conv, "weight", 0.5, &generator)?;
    assert_eq!(weight(&conv), RANDOM);

    let (mut conv, _) = fresh();
    prune::l1_unstructured(&mut conv, "weight", 0.5)?;
    assert_eq!(weight(&conv), L1);
    prune::remove(&mut conv, "weight")?;
    assert_eq!(weight(&conv), L1);
    assert!(!prune::is_pruned(&conv));
    Ok(())
}

#[test]
fn the_example_prints_them_in_the_layout_of_pytorch() -> Result<(), Box<dyn std::error::Error>> {
    let mut printed = Vec::new();
    example::article(&mut printed)?;
    let expected = "\
identity
tensor([[[[-0.3017,  0.1290, -0.2468],
          [ 0.2107,  0.1799,  0.1923],
          [ 0.1887, -0.0527,  0.1403]]]])

random_unstructured, amount 0.5
tensor([[[[-0.0000,  0.0000, -0.0000],
          [ 0.2107,  0.1799,  0.1923],
          [ 0.1887, -0.0527,  0.0000]]]])

l1_unstructured, amount 0.5
tensor([[[[-0.3017,  0.0000, -0.2468],
          [ 0.2107,  0.0000,  0.1923],
          [ 0.1887, -0.0000,  0.0000]]]])

its original
tensor([[[[-0.3017,  0.1290, -0.2468],
          [ 0.2107,  0.1799,  0.1923],
          [ 0.1887, -0.0527,  0.1403]]]])

removed: is_pruned = false
tensor([[[[-0.3017,  0.0000, -0.2468],
          [ 0.2107,  0.0000,  0.1923],
          [ 0.1887, -0.0000,  0.0000]]]])
";
    assert_eq!(String::from_utf8(printed)?, expected);
    Ok(())
}
