//! Masks through the steps of optimizers.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var, WithDType};
use candle_nn::{AdamW, Linear, Module, Optimizer, ParamsAdamW, SGD, VarBuilder, VarMap};
use ndarray::arr1;
use prune::{Amount, L1Unstructured, training::Schedule};
use prune_candle::{PrunedOptimizer, PrunedVars};

use crate::{for_each_float, insert, values, var, vector, zeros};

/// A regression on fixed numbers, with all of its variables of one dtype.
struct Task {
    layers: [Linear; 2],
    map: VarMap,
    input: Tensor,
    target: Tensor,
}

impl Task {
    fn new(dtype: DType) -> Result<Self> {
        let map = VarMap::new();
        let tensor = |seed: usize, shape: &[usize]| {
            let numbers = crate::numbers(seed, shape.iter().product());
            ((Tensor::from_vec(numbers, shape, &Device::Cpu)? / 4.0)? + 0.03)?.to_dtype(dtype)
        };
        for (i, (name, shape)) in
            [("fc1.weight", &[16, 8][..]), ("fc1.bias", &[16]), ("fc2.weight", &[2, 16]), ("fc2.bias", &[2])]
                .into_iter()
                .enumerate()
        {
            insert(&map, name, tensor(i, shape)?);
        }
        let builder = VarBuilder::from_varmap(&map, dtype, &Device::Cpu);
        let layers = [candle_nn::linear(8, 16, builder.pp("fc1"))?, candle_nn::linear(16, 2, builder.pp("fc2"))?];
        let input = tensor(7, &[32, 8])?;
        let target = input.narrow(1, 2, 2)?.contiguous()?;
        Ok(Self { layers, map, input, target })
    }

    fn loss(&self) -> Result<Tensor> {
        let hidden = self.layers[0].forward(&self.input)?.relu()?;
        (self.layers[1].forward(&hidden)? - &self.target)?.sqr()?.mean_all()
    }

    fn loss_number(&self) -> Result<f64> {
        self.loss()?.to_dtype(DType::F64)?.to_scalar()
    }
}

/// With an epsilon that is not zero in `f16`.
fn adamw(map: &VarMap) -> AdamW {
    let settings = ParamsAdamW { lr: 0.01, eps: 1e-4, ..ParamsAdamW::default() };
    AdamW::new(map.all_vars(), settings).unwrap()
}

/// AdamW has moments of all weights when some are pruned, and they go on.
#[test]
fn adamw_keeps_zeros_at_every_step() {
    for_each_float!(check_adamw);
}

fn check_adamw<A: crate::Float>() {
    for with_originals in [false, true] {
        let task = Task::new(<A as WithDType>::DTYPE).unwrap();
        let pruned = if with_originals { PrunedVars::with_originals(&task.map) } else { PrunedVars::new(&task.map) };
        let mut optimizer = pruned.optimizer(adamw(&task.map));
        for _ in 0..5 {
            optimizer.backward_step(&task.loss().unwrap()).unwrap();
        }
        pruned.l1_unstructured("fc1.weight", 0.5).unwrap();
        let after_pruning = task.loss_number().unwrap();
        for step in 0..40 {
            optimizer.backward_step(&task.loss().unwrap()).unwrap();
            if step == 10 {
                pruned.l1_unstructured("fc1.weight", 0.5).unwrap();
            }
            // The layer has no weight of its own: it sees the variable.
            assert_eq!(zeros(&task.map, "fc1.weight"), if step < 10 { 64 } else { 96 }, "step {step}");
        }
        assert!(task.loss_number().unwrap() < after_pruning);
        assert_eq!(zeros(&task.map, "fc2.weight"), 0);
        assert_eq!(pruned.sparsity(), 96.0 / 178.0);
    }
}

#[test]
fn what_is_kept_is_trained_as_without_the_wrapper() {
    let runs = [false, true].map(|is_wrapped| {
        let task = Task::new(DType::F32).unwrap();
        let pruned = PrunedVars::new(&task.map);
        pruned.global_unstructured(&["*.weight"], L1Unstructured::new(0.6).unwrap()).unwrap();
        let adamw = AdamW::new_lr(task.map.all_vars(), 0.01).unwrap();
        let names = ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"];
        if is_wrapped {
            let mut optimizer = pruned.optimizer(adamw);
            (0..10).for_each(|_| optimizer.backward_step(&task.loss().unwrap()).unwrap());
        } else {
            let mut optimizer = adamw;
            for _ in 0..10 {
                optimizer.backward_step(&task.loss().unwrap()).unwrap();
                for name in ["fc1.weight", "fc2.weight"] {
                    let masked = (var(&task.map, name).as_tensor() * pruned.mask_tensor(name).unwrap()).unwrap();
                    var(&task.map, name).set(&masked).unwrap();
                }
            }
        }
        names.map(|name| crate::bits(&task.map, name))
    });
    assert_eq!(runs[0], runs[1]);
}

#[test]
fn an_optimizer_that_is_not_wrapped_needs_reapply() {
    let task = Task::new(DType::F32).unwrap();
    let pruned = PrunedVars::new(&task.map);
    pruned.l1_unstructured("fc1.weight", 0.5).unwrap();
    let mut optimizer = AdamW::new_lr(task.map.all_vars(), 0.01).unwrap();
    optimizer.backward_step(&task.loss().unwrap()).unwrap();
    assert!(zeros(&task.map, "fc1.weight") < 64);
    pruned.reapply().unwrap();
    assert_eq!(zeros(&task.map, "fc1.weight"), 64);
}

#[test]
fn a_schedule_of_the_library_is_followed_exactly() {
    let task = Task::new(DType::F32).unwrap();
    let pruned = PrunedVars::new(&task.map);
    let mut optimizer = pruned.optimizer(AdamW::new_lr(task.map.all_vars(), 0.01).unwrap());
    let schedule = Schedule::cubic(0.0, 0.9).unwrap().between(5, 30).unwrap().every(4).unwrap();
    for step in 0..35 {
        optimizer.backward_step(&task.loss().unwrap()).unwrap();
        if schedule.is_due(step) {
            let method = L1Unstructured::new(Amount::sparsity(schedule.at(step))).unwrap();
            pruned.global_unstructured(&["*.weight"], method).unwrap();
        }
        let expected = (160.0 * schedule.at(step)).round_ties_even() as usize;
        assert_eq!(zeros(&task.map, "fc1.weight") + zeros(&task.map, "fc2.weight"), expected, "step {step}");
    }
}

#[test]
fn the_wrapper_is_an_optimizer_like_the_one_inside() {
    let map = vector(&[1.0, 2.0]);
    let pruned = PrunedVars::new(&map);
    let mut optimizer = PrunedOptimizer::<SGD>::new(map.all_vars(), (0.5, pruned.clone())).unwrap();
    pruned.l1_unstructured("w", 1).unwrap(); // a clone shares the masks
    assert_eq!(optimizer.learning_rate(), 0.5);
    optimizer.set_learning_rate(0.25);
    assert_eq!((optimizer.learning_rate(), optimizer.inner().learning_rate()), (0.25, 0.25));
    optimizer.inner_mut().set_learning_rate(1.0);
    optimizer.backward_step(&var(&map, "w").sum_all().unwrap()).unwrap();
    assert_eq!(values(&map, "w"), [0.0, 1.0]);
    assert_eq!(optimizer.pruned().masks(), pruned.masks());
    assert_eq!(optimizer.into_inner().into_inner().len(), 1);
}

/// An optimizer that changes a variable and fails then.
struct Failing(Var);

impl Optimizer for Failing {
    type Config = ();

    fn new(vars: Vec<Var>, (): ()) -> Result<Self> {
        Ok(Self(vars.into_iter().next().unwrap()))
    }
    fn step(&mut self, _: &GradStore) -> Result<()> {
        self.0.set(&Tensor::new(&[5f32, 6.0], &Device::Cpu)?)?;
        candle_core::bail!("out of ideas")
    }
    fn learning_rate(&self) -> f64 {
        0.0
    }
    fn set_learning_rate(&mut self, _: f64) {}
}

#[test]
fn a_step_that_fails_keeps_the_zeros() {
    let map = vector(&[1.0, 2.0]);
    let pruned = PrunedVars::new(&map);
    pruned.l1_unstructured("w", 1).unwrap();
    let mut optimizer = pruned.optimizer(Failing::new(map.all_vars(), ()).unwrap());
    let error = optimizer.backward_step(&var(&map, "w").sum_all().unwrap()).unwrap_err();
    assert!(error.to_string().starts_with("out of ideas"), "{error}");
    assert_eq!(values(&map, "w"), [0.0, 6.0]);
}

/// Threads prune and train at the same time: every call sees whole masks, and none waits for ever.
#[test]
fn threads_share_variables_and_masks() {
    let task = Task::new(DType::F32).unwrap();
    let pruned = PrunedVars::new(&task.map);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut optimizer = pruned.optimizer(SGD::new(task.map.all_vars(), 0.01).unwrap());
            (0..50).for_each(|_| optimizer.backward_step(&task.loss().unwrap()).unwrap());
        });
        for name in ["fc1.weight", "fc2.weight"] {
            let pruned = &pruned;
            scope.spawn(move || (0..20).for_each(|_| pruned.l1_unstructured(name, 1).unwrap()));
        }
    });
    pruned.reapply().unwrap();
    assert_eq!(zeros(&task.map, "fc1.weight") + zeros(&task.map, "fc2.weight"), 40);
    assert_eq!(pruned.mask("fc1.weight").unwrap().pruned(), 20);
}

#[test]
fn gradients_are_not_kept_alive() {
    let map = vector(&[1.0, 2.0, 3.0]);
    let pruned = PrunedVars::with_originals(&map);
    pruned.l1_unstructured("w", 1).unwrap();
    for tensor in [pruned.mask_tensor("w").unwrap(), pruned.orig("w").unwrap().unwrap()] {
        assert!(!tensor.track_op());
    }
    assert_eq!(pruned.mask("w").unwrap(), arr1(&[false, true, true]));
}
