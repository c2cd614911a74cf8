//! The kinds of pruning, and what each makes smaller or faster.
//!
//! A mask is a promise, not a saving: a weight of zero takes as much memory and as many multiplications as any other. What
//! becomes smaller or faster depends on what is done with the zeros afterwards.
//!
//! | what | in this crate | memory of the model | file | time of a forward pass | results |
//! |---|---|---|---|---|---|
//! | a mask on a [`Parameter`](crate::Parameter) | yes | larger: value, original and mask, 9 bytes per `f32` instead of 4 | unchanged | unchanged | those of the mask |
//! | a permanent mask: [`remove`](crate::remove), `nn-prune remove` | yes | unchanged | unchanged | unchanged | those of the mask |
//! | compaction: [`compact`](crate::compact), `nn-prune compact` | yes | smaller | smaller | shorter, with any library of matrix products | those of the coupled mask, up to rounding |
//! | packed weights: [`sparse`](crate::sparse) | yes | smaller: 53, 23, 13 % of dense `f32` at 50, 80, 90 % | | shorter from about half of the weights on, with the products of this crate | those of the mask, up to rounding |
//! | packed files: `nn-prune pack`, `prune::safetensors::save_packed` | yes | | smaller, by the same numbers | unchanged: they are unpacked, or loaded as packed weights | those of the mask |
//!
//! # Masks
//!
//! Masks are for training: they decide which weights count, and a training goes on with the others. PyTorch's
//! `torch.nn.utils.prune` has masks only, and so does most of this crate.
//!
//! # Compaction
//!
//! Compaction removes whole units: neurons, channels, attention heads, layers. The matrices that are left are smaller, but as
//! dense as before, so nothing needs to know that the model was pruned. Single weights cannot be removed this way: prune units
//! with [`Coupling::choose`](crate::compact::Coupling::choose), or channels with [`LnStructured`](crate::LnStructured), and let
//! [`Coupling::dead`](crate::compact::Coupling::dead) find what the masks have made useless.
//!
//! all-MiniLM-L6-v2 without half of its inner neurons (`nn-prune compact minilm/ -o smaller/ --ffn 0.5`), measured in PyTorch 2.15 on
//! one thread with 8 x 128 tokens, on a machine with two cores, fastest and median of 12 interleaved passes:
//!
//! | | weights | file | fastest pass | median |
//! |---|---|---|---|---|
//! | dense | 22,713,728 | 90,868,376 bytes | 381 ms | 413 ms |
//! | compacted | 19,170,176 | 76,694,144 bytes | 254 ms (0.67) | 271 ms (0.66) |
//!
//! `cargo run --example compact` trains two small classifiers of digits, masks half of their units, trains them further and compacts
//! them. Measured in one run on the same machine; masked and compacted outputs were equal:
//!
//! | | accuracy | parameters | multiply-adds per image | time for 449 images |
//! |---|---|---|---|---|
//! | perceptron, dense | 98.7 % | 17,226 | 17,024 | 1.28 ms |
//! | masked | 98.4 % | 17,226 | 17,024 | 1.63 ms |
//! | compacted | 98.4 % | 6,570 | 6,464 | 1.08 ms |
//! | convolutions, dense | 97.8 % | 5,146 | 159,232 | 119.80 ms |
//! | masked | 97.3 % | 5,146 | 159,232 | 119.65 ms |
//! | compacted | 97.3 % | 2,002 | 42,752 | 52.95 ms |
//!
//! Three things decide what a compaction is worth:
//!
//! - **Widths.** Matrix products are fast for multiples of 8, 16 or 64, and slower for odd widths. Set
//!   [`Choice::multiple`](crate::compact::Choice::multiple), or `--multiple`.
//! - **Quality.** Removing units loses what they contributed. Training further with the masks wins most of it back; without it,
//!   remove little. Norms of weights say little about that in trained transformers: scores from activations say more.
//! - **What stays.** Embeddings are not cut. A model that is mostly a vocabulary stays large.
//!
//! # Packed files and sparse products
//!
//! Both save something for unstructured zeros, wherever these are. A packed file has a price: other programs do not read it, so it is
//! unpacked before, with `nn-prune unpack`. A sparse product is faster only above some sparsity, which depends on the number of
//! inputs at once; [`Packed::prepare`](crate::sparse::Packed::prepare) takes the dense product below.
//!
//! Times of the fastest of ndarray, the `gemm` crate and faer, divided by the time of this crate; 4096 x 4096, `f32`, one thread of an
//! AMD EPYC (Zen 4; the libraries use its AVX-512), from one run of `benches/sparse`:
//!
//! | inputs at once | 50 % | 70 % | 80 % | 90 % | 95 % | breaks even |
//! |---|---|---|---|---|---|---|
//! | 1 | 1.4 | 2.2 | 3.2 | 5.8 | 9.8 | below 50 % |
//! | 8 | 2.3 | 3.3 | 4.3 | 6.3 | 12.0 | below 30 % |
//! | 32 | 1.6 | 2.4 | 3.3 | 5.4 | 9.7 | below 30 % |
//! | 128 | 1.3 | 2.0 | 2.9 | 5.0 | 8.7 | below 50 % |
//!
//! Weights that are pruned in blocks gain up to half as much again: [`Block`](crate::Block) of 4, 8 or 16 rows and any number of columns.
//! [`Packed::prepare`](crate::sparse::Packed::prepare) finds the blocks by itself. 16 x 1, on the same machine, another run:
//!
//! | inputs at once | 50 % | 70 % | 80 % | 90 % | 95 % | breaks even |
//! |---|---|---|---|---|---|---|
//! | 1 | 1.8 | 2.1 | 3.6 | 6.1 | 9.2 | below 30 % |
//! | 8 | 3.5 | 4.8 | 6.1 | 9.5 | 14.3 | below 30 % |
//! | 32 | 1.6 | 2.8 | 4.4 | 7.9 | 12.8 | below 30 % |
//! | 128 | 1.7 | 2.7 | 3.8 | 6.7 | 10.8 | below 30 % |
//!
//! The accuracy that blocks cost was not measured. 2:4 gains what any other 50 % gain: a CPU has no instructions for it.
//!
//! Files and memory, of the dense size: 53 % (`f32`) and 56 % (16 bits) at a sparsity of 50 %, 23 and 26 % at 80 %, 13 and 16 % at
//! 90 %. The forms that multiply fastest take 63, 25 and 13 % in panels of 128 or 256 columns, and 75, 30 and 15 % in panels of 1024, and blocks 53, 22 and 11 %.
//!
//! No gain: below 30 to 40 % sparsity, and for small weights that stay in a cache, with one input at a time, below 70 to 85 %.
//! A processor with units for `bf16` multiplies dense `bf16` weights faster, if the program uses them, as PyTorch does: below some 85 %
//! sparsity with one input, and below 55 to 70 % with more.
//! `cargo run --release --example sparse` shows the same for a classifier of digits: same answers, bytes, and time per image.
