//! Running a loop with the vector instructions of the processor.

/// A loop that is compiled several times. It must be a struct: a closure would not be inlined, and its code would have none of
/// the instructions.
pub(crate) trait Loop {
    /// The result of the loop.
    type Output;

    /// Runs the loop. It must be `#[inline(always)]`, and all that it calls.
    fn run<const FUSED: bool>(self) -> Self::Output;
}

/// Runs a loop with the instructions that the processor has. `FUSED` is true if it can multiply and add at once.
#[cfg(feature = "simd")]
#[inline]
pub(crate) fn run<L: Loop>(job: L) -> L::Output {
    struct Compiled<L>(L);

    impl<L: Loop> pulp::WithSimd for Compiled<L> {
        type Output = L::Output;

        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _: S) -> L::Output {
            // Without vectors there may be no fused instruction, and WebAssembly has none.
            if S::F32_LANES > 1 && cfg!(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")) {
                self.0.run::<true>()
            } else {
                self.0.run::<false>()
            }
        }
    }

    pulp::Arch::new().dispatch(Compiled(job))
}

/// Runs a loop with the instructions that the crate was compiled for.
#[cfg(not(feature = "simd"))]
#[inline]
pub(crate) fn run<L: Loop>(job: L) -> L::Output {
    job.run::<false>()
}

/// Defines functions that [`run`] runs: each is written as a function, and becomes a struct of its arguments. Its body may
/// use `FUSED`.
macro_rules! vectorized {
    ($(
        $(#[$attribute:meta])*
        $visible:vis fn $name:ident<$life:lifetime $(, $type:ident: $bound:path)?>(
            $($argument:ident: $of:ty),* $(,)?
        ) $(-> $out:ty)? $body:block
    )*) => {$(
        $(#[$attribute])*
        $visible fn $name<$life $(, $type: $bound)?>($($argument: $of),*) $(-> $out)? {
            struct Arguments<$life $(, $type: $bound)?> {
                $($argument: $of),*
            }
            impl<$life $(, $type: $bound)?> $crate::tensor::simd::Loop for Arguments<$life $(, $type)?> {
                // The empty tuple, without a type.
                #[allow(unused_parens)]
                type Output = ($($out)?);

                #[inline(always)]
                fn run<const FUSED: bool>(self) -> Self::Output {
                    let Self { $($argument),* } = self;
                    $body
                }
            }
            $crate::tensor::simd::run(Arguments { $($argument),* })
        }
    )*};
}
pub(crate) use vectorized;
