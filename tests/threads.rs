//! Threads, and what a panic may leave behind.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::thread;

use half::{bf16, f16};
use ndarray::{Array1, Array2};
use prune::torch::Generator;
use prune::{
    Amount, CustomFromMask, Element, Identity, L1Unstructured, LnStructured, Norm, Parameter, ParameterStore,
    PruneError, PruningContainer, PruningMethod, PruningType, RandomSource, RandomStructured, RandomUnstructured,
    Target, TieBreak, global_unstructured,
};

fn send_and_sync<T: Send + Sync>() {}

#[test]
fn every_public_type_is_send_and_sync() {
    fn of_elements<A: Element>() {
        send_and_sync::<Parameter<A>>();
        send_and_sync::<ParameterStore<A>>();
        send_and_sync::<PruningContainer<A>>();
        send_and_sync::<Target<'_, A>>();
        send_and_sync::<Box<dyn PruningMethod<A>>>();
        send_and_sync::<(prune::sparse::Packed<A>, prune::sparse::Prepared<A>)>();
        send_and_sync::<(prune::sparse::PackedLinear<A>, prune::sparse::PackedConv2d<A>)>();
    }
    of_elements::<f32>();
    of_elements::<f64>();
    of_elements::<f16>();
    of_elements::<bf16>();
    send_and_sync::<(Amount, Norm, RandomSource, PruningType, PruneError, TieBreak, Generator)>();
    send_and_sync::<(Identity, RandomUnstructured, L1Unstructured, RandomStructured, LnStructured, CustomFromMask)>();
}

/// Its `SAFE` is `true` if a type is safe to see after a panic: the inherent constant then hides the one of the trait.
struct AfterPanic<T>(PhantomData<T>);

impl<T: UnwindSafe + RefUnwindSafe> AfterPanic<T> {
    const SAFE: bool = true;
}

#[allow(dead_code, reason = "used where a type is not unwind safe, so that it does not have the constant above")]
trait Otherwise {
    const SAFE: bool = false;
}

impl<T> Otherwise for AfterPanic<T> {}

/// All but [`Target`], which borrows mutably, as `&mut T` itself is not.
#[test]
fn every_public_type_is_unwind_safe() {
    macro_rules! unsafe_ones {
        ($($type:ty),* $(,)?) => {
            [$((stringify!($type), AfterPanic::<$type>::SAFE)),*].into_iter().filter(|(_, safe)| !safe).map(|(name, _)| name)
        };
    }
    let of_elements = unsafe_ones!(Parameter<f32>, Parameter<f16>, ParameterStore<f64>, PruningContainer<bf16>);
    assert_eq!(of_elements.collect::<Vec<_>>(), [""; 0]);
    let plain = unsafe_ones!(Amount, Norm, RandomSource, PruningType, PruneError, TieBreak, Generator);
    assert_eq!(plain.collect::<Vec<_>>(), [""; 0]);
    let methods =
        unsafe_ones!(Identity, RandomUnstructured, L1Unstructured, RandomStructured, LnStructured, CustomFromMask);
    assert_eq!(methods.collect::<Vec<_>>(), [""; 0]);
}

/// A method that panics in the middle of a call leaves its parameter as it was.
#[test]
fn a_panic_in_a_method_changes_nothing() {
    #[derive(Debug, Clone)]
    struct Panics;
    impl prune::Describe for Panics {
        fn name(&self) -> &str {
            "Panics"
        }
        fn pruning_type(&self) -> PruningType {
            PruningType::Unstructured
        }
    }
    impl<A: Element> PruningMethod<A> for Panics {
        fn compute_mask(
            &self,
            _: ndarray::ArrayViewD<'_, A>,
            _: ndarray::ArrayViewD<'_, bool>,
        ) -> Result<ndarray::ArrayD<bool>, PruneError> {
            panic!("a method went wrong");
        }
    }

    let mut parameters = [Parameter::new(Array1::from(vec![1.0_f32, -2.0, 3.0])), Parameter::new(Array1::ones(2))];
    parameters[0].prune(L1Unstructured::new(1).unwrap()).unwrap();
    let before = format!("{parameters:?}");
    for at in [0, 1] {
        assert!(catch_unwind(AssertUnwindSafe(|| parameters[at].prune(Panics))).is_err());
    }
    assert!(catch_unwind(AssertUnwindSafe(|| global_unstructured(&mut parameters, Panics))).is_err());
    assert_eq!(format!("{parameters:?}"), before);
}

/// Each call takes a stretch of the stream for itself, in any order: together they are the calls of one thread.
#[test]
fn threads_share_one_generator() {
    const CALLS: usize = 40;
    let tensor = || Parameter::new(Array2::<f32>::ones((7, 9)));
    let one_by_one = Generator::manual_seed(888);
    let expected: Vec<_> = (0..2 * CALLS)
        .map(|_| {
            let mut parameter = tensor();
            parameter.prune(RandomUnstructured::new(0.5, &one_by_one).unwrap()).unwrap();
            parameter.mask().cloned()
        })
        .collect();

    let shared = Generator::manual_seed(888);
    let prune_all = || {
        let mut module = ParameterStore::from_iter((0..CALLS).map(|i| (i.to_string(), tensor())));
        for i in 0..CALLS {
            prune::random_unstructured(&mut module, &i.to_string(), 0.5, &shared).unwrap();
        }
        module.into_iter().map(|(_, parameter)| parameter.mask().cloned()).collect::<Vec<_>>()
    };
    let (a, b) = thread::scope(|scope| {
        let threads = [scope.spawn(prune_all), scope.spawn(prune_all)];
        threads.map(|thread| thread.join().expect("no panic")).into()
    });
    let in_order = |masks: &[_]| {
        let mut rest = expected.iter();
        masks.iter().all(|mask| rest.any(|expected| expected == mask))
    };
    assert!(in_order(&a) && in_order(&b));
    let mut all: Vec<_> = a.into_iter().chain(b).map(|mask| format!("{mask:?}")).collect();
    let mut expected: Vec<_> = expected.iter().map(|mask| format!("{mask:?}")).collect();
    all.sort_unstable();
    expected.sort_unstable();
    assert_eq!(all, expected);
    assert_eq!(shared.rand::<f32>(3), one_by_one.rand::<f32>(3));
}

#[test]
fn parameters_move_and_are_seen_across_threads() {
    let mut parameter = Parameter::new(Array1::<f64>::ones(1000));
    let parameter = thread::spawn(move || {
        parameter.prune(RandomUnstructured::new(0.5, 42).unwrap()).unwrap();
        parameter
    });
    let parameter = parameter.join().expect("no panic");
    let sums = thread::scope(|scope| {
        let sum = || parameter.value().sum();
        [scope.spawn(sum), scope.spawn(sum)].map(|thread| thread.join().expect("no panic"))
    });
    assert_eq!(sums, [500.0; 2]);
}

/// Large enough that the work is shared out, if it ever is.
#[cfg(feature = "rayon")]
mod pools {
    use super::*;

    const LENGTH: usize = 300_000;

    fn scores() -> Array1<f32> {
        (0..LENGTH).map(|i| (i as f32 * 0.7).sin()).map(|x| (x * 1000.0).round()).collect()
    }

    /// All methods that rank many numbers, one after the other.
    fn masks() -> Vec<Option<prune::Mask>> {
        let matrix = || scores().into_shape_with_order((LENGTH / 3, 3)).expect("it divides");
        let (mut vector, mut rows, mut others) =
            (Parameter::new(scores()), Parameter::new(matrix()), Parameter::new(scores()));
        vector.prune(L1Unstructured::new(0.3).unwrap()).unwrap();
        vector.prune(RandomUnstructured::new(0.3, 42).unwrap()).unwrap();
        vector.prune(RandomUnstructured::new(0.3, Generator::manual_seed(42)).unwrap()).unwrap();
        rows.prune(LnStructured::new(0.3, 2, 0).unwrap()).unwrap();
        rows.prune(RandomStructured::new(0.3, 0, 42).unwrap()).unwrap();
        global_unstructured([&mut vector, &mut rows, &mut others], L1Unstructured::new(0.3).unwrap()).unwrap();
        [vector, rows, others].map(|parameter| parameter.mask().cloned()).into()
    }

    #[test]
    fn of_any_size_give_the_same_masks() {
        let expected = masks();
        for threads in [1, 2, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            assert!(pool.install(masks) == expected, "{threads} threads");
        }
    }

    /// On a pool of one thread, whoever waits for another job waits for ever.
    #[test]
    fn a_call_from_inside_a_job_ends() {
        use rayon::iter::{IntoParallelIterator, ParallelIterator};

        let expected = masks();
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let all: Vec<_> = pool.install(|| (0..4).into_par_iter().map(|_| masks()).collect());
            assert!(all.iter().all(|masks| *masks == expected));
        }
    }

    /// One generator, many jobs: a job that holds its lock must not pick up another one that waits for it.
    #[test]
    fn jobs_that_share_a_generator_end() {
        use rayon::iter::{IntoParallelRefMutIterator, ParallelIterator};

        let generator = Generator::manual_seed(888);
        let mut parameters: Vec<Parameter<f32>> = (0..6).map(|_| Parameter::new(scores())).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("a pool");
        pool.install(|| {
            parameters.par_iter_mut().for_each(|p| {
                p.prune(RandomUnstructured::new(0.5, &generator).unwrap())
                    .expect("half of the remaining entries can always be pruned")
            });
        });
        let kept = |p: &Parameter<f32>| p.mask().map(prune::Mask::kept);
        assert!(parameters.iter().all(|p| kept(p) == Some(LENGTH / 2)));
    }
}
