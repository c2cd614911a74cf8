//! Ranks of scores with their signs.

use crate::element::Element;
use crate::key::Key;

/// The rank of a score with its sign: the lowest number first. 0.0 and -0.0 are equal, and NaN is the highest.
pub(crate) fn signed_key<A: Element>(score: A) -> A::Key {
    let magnitude = score.key();
    // Below the rank of zero, magnitudes count downwards.
    if score < A::zero() { magnitude.reversed() } else { magnitude + (A::Key::MAX >> 1) }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    fn check<A: Element>() {
        let number = |x: f64| A::from(x).unwrap();
        let (min, tiny) = (A::max_value().neg(), A::min_positive_value());
        let sorted = [
            A::neg_infinity(),
            min,
            number(-1.0),
            tiny.neg(),
            A::zero(),
            tiny,
            number(2.0),
            A::max_value(),
            A::infinity(),
            A::nan(),
        ];
        assert!(sorted.windows(2).all(|pair| signed_key(pair[0]) < signed_key(pair[1])));
        assert!(sorted.iter().all(|&score| signed_key(score) < A::Key::MAX));
        assert_eq!(signed_key(A::zero()), signed_key(A::neg_zero()));
        assert_eq!(signed_key(A::nan()), signed_key(A::nan().neg()));
    }

    #[test]
    fn signed_keys_order_like_numbers() {
        check::<f32>();
        check::<f64>();
        check::<f16>();
        check::<bf16>();
    }
}
