//! Running a loop with the vector instructions of the processor.

/// A loop that is compiled several times. It must be a struct: a closure would not be inlined, and its code would have none of
/// the instructions.
pub(super) trait Loop {
    /// Runs the loop. It must be `#[inline(always)]`, and all that it calls.
    fn run<const FUSED: bool>(self);
}

/// Runs a loop with the instructions that the processor has. `FUSED` is true if it can multiply and add at once.
#[cfg(feature = "simd")]
#[inline]
pub(super) fn run(job: impl Loop) {
    struct Compiled<L>(L);

    impl<L: Loop> pulp::WithSimd for Compiled<L> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _: S) {
            // Without vectors there may be no fused instruction, and WebAssembly has none.
            if S::F32_LANES > 1 && cfg!(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")) {
                self.0.run::<true>();
            } else {
                self.0.run::<false>();
            }
        }
    }

    pulp::Arch::new().dispatch(Compiled(job));
}

/// Runs a loop with the instructions that the crate was compiled for.
#[cfg(not(feature = "simd"))]
#[inline]
pub(super) fn run(job: impl Loop) {
    job.run::<false>();
}
