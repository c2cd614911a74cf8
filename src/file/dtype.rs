//! The dtypes of the file format, and which of them this crate can read, prune and use as masks.

use std::fmt;

use ::safetensors::Dtype as Stored;

/// The type of the elements of a tensor in a file. It displays as in the file format: `F32`, `BF16`, `I64`, ...
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dtype(pub(crate) Stored);

/// The elements of a dtype that this crate can read.
#[derive(Debug, Clone, Copy)]
enum Elements {
    /// Numbers that can be pruned, and can be the zeros and ones of a mask.
    Float(Float),
    /// Numbers that can be the zeros and ones of a mask.
    Integer(Integer),
    /// Bits of this size; only zeros are recognised, as elements whose bits are all 0 but for those of `signs`.
    Bits { word: Word, signs: u64 },
}

/// The dtypes that can be pruned: those of [`Element`](crate::element::Element).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Float {
    F16,
    Bf16,
    F32,
    F64,
}

/// The dtypes that only a mask can have; booleans are read as `U8`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Integer {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
}

/// An unsigned integer with the bits of an element.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Word {
    U8,
    U16,
    U32,
    U64,
}

/// The bits that distinguish zeros: an element with none of them is a zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ZeroBits {
    pub(crate) word: Word,
    pub(crate) nonzero: u64,
}

impl Dtype {
    /// Returns `true` if tensors of this dtype can be pruned: F32, F64, F16 and BF16.
    pub fn can_be_pruned(self) -> bool {
        self.float().is_some()
    }

    /// Returns the number of bits of one element.
    pub fn bits(self) -> usize {
        self.0.bitsize()
    }

    /// Returns `true` if a mask can have this dtype: one with a 0 and a 1 that this crate can read.
    pub(crate) fn can_be_mask(self) -> bool {
        match self.elements() {
            Some(Elements::Float(_) | Elements::Integer(_)) => true,
            Some(Elements::Bits { .. }) | None => false,
        }
    }

    /// The dtype as one that can be pruned. [`with_dtype!`](crate::file::dtype::with_dtype) is the way to use it.
    pub(crate) fn float(self) -> Option<Float> {
        match self.elements() {
            Some(Elements::Float(float)) => Some(float),
            Some(Elements::Integer(_) | Elements::Bits { .. }) | None => None,
        }
    }

    /// For the `else` of [`with_dtype!`](crate::file::dtype::with_dtype) where only dtypes that can be pruned are possible.
    pub(crate) fn cannot_be_pruned(self) -> ! {
        // A selection holds only tensors for which `can_be_pruned` is true.
        unreachable!("dtype {self} cannot be pruned")
    }

    /// The dtype as one that a mask may have and that cannot be pruned.
    pub(crate) fn integer(self) -> Option<Integer> {
        match self.elements() {
            Some(Elements::Integer(integer)) => Some(integer),
            Some(Elements::Float(_) | Elements::Bits { .. }) | None => None,
        }
    }

    /// The bits that tell zeros from other elements, or `None` if this crate cannot read the dtype.
    pub(crate) fn zero_bits(self) -> Option<ZeroBits> {
        let (word, signs) = match self.elements()? {
            Elements::Float(Float::F16 | Float::Bf16) => (Word::U16, 1 << 15),
            Elements::Float(Float::F32) => (Word::U32, 1 << 31),
            Elements::Float(Float::F64) => (Word::U64, 1 << 63),
            Elements::Integer(Integer::U8 | Integer::I8) => (Word::U8, 0),
            Elements::Integer(Integer::U16 | Integer::I16) => (Word::U16, 0),
            Elements::Integer(Integer::U32 | Integer::I32) => (Word::U32, 0),
            Elements::Integer(Integer::U64 | Integer::I64) => (Word::U64, 0),
            Elements::Bits { word, signs } => (word, signs),
        };
        Some(ZeroBits { word, nonzero: word.all_bits() & !signs })
    }

    /// The table. A dtype that is not in it is copied, but never read.
    fn elements(self) -> Option<Elements> {
        Some(match self.0 {
            Stored::F16 => Elements::Float(Float::F16),
            Stored::BF16 => Elements::Float(Float::Bf16),
            Stored::F32 => Elements::Float(Float::F32),
            Stored::F64 => Elements::Float(Float::F64),
            Stored::BOOL | Stored::U8 => Elements::Integer(Integer::U8),
            Stored::I8 => Elements::Integer(Integer::I8),
            Stored::U16 => Elements::Integer(Integer::U16),
            Stored::I16 => Elements::Integer(Integer::I16),
            Stored::U32 => Elements::Integer(Integer::U32),
            Stored::I32 => Elements::Integer(Integer::I32),
            Stored::U64 => Elements::Integer(Integer::U64),
            Stored::I64 => Elements::Integer(Integer::I64),
            Stored::F8_E5M2 | Stored::F8_E4M3 => Elements::Bits { word: Word::U8, signs: 1 << 7 },
            // These have no -0: its bits are NaN.
            Stored::F8_E5M2FNUZ | Stored::F8_E4M3FNUZ => Elements::Bits { word: Word::U8, signs: 0 },
            // Two 32-bit floats, each with a sign.
            Stored::C64 => Elements::Bits { word: Word::U64, signs: 1 << 63 | 1 << 31 },
            // F4 and F6, whose elements are no whole bytes, and F8_E8M0, which has no zero.
            Stored::F4 | Stored::F6_E2M3 | Stored::F6_E3M2 | Stored::F8_E8M0 => return None,
            // The enum of the `safetensors` crate may grow.
            _ => return None,
        })
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Word {
    /// The size of an element in bytes.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::U32 => 4,
            Self::U64 => 8,
        }
    }

    fn all_bits(self) -> u64 {
        u64::MAX >> (u64::BITS as usize - 8 * self.bytes())
    }
}

/// Evaluates an expression for the element type of a [`Dtype`], which it can use under the name before the colon.
///
/// - `with_dtype!(dtype, A: Element => f::<A>(), else => g())` is for dtypes that can be pruned.
/// - `with_dtype!(dtype, T: Number => f::<T>(), else => g())` is for those that a mask may have: integers, too.
///
/// The expression after `else` is for all other dtypes.
macro_rules! with_dtype {
    ($dtype:expr, $A:ident: Element => $body:expr, else => $otherwise:expr $(,)?) => {{
        use $crate::file::dtype::Float;
        match $dtype.float() {
            Some(Float::F16) => $crate::file::dtype::with_type!($A = ::half::f16 => $body),
            Some(Float::Bf16) => $crate::file::dtype::with_type!($A = ::half::bf16 => $body),
            Some(Float::F32) => $crate::file::dtype::with_type!($A = f32 => $body),
            Some(Float::F64) => $crate::file::dtype::with_type!($A = f64 => $body),
            None => $otherwise,
        }
    }};
    ($dtype:expr, $T:ident: Number => $body:expr, else => $otherwise:expr $(,)?) => {{
        use $crate::file::dtype::Integer;
        let dtype: $crate::file::dtype::Dtype = $dtype;
        match dtype.integer() {
            Some(Integer::U8) => $crate::file::dtype::with_type!($T = u8 => $body),
            Some(Integer::I8) => $crate::file::dtype::with_type!($T = i8 => $body),
            Some(Integer::U16) => $crate::file::dtype::with_type!($T = u16 => $body),
            Some(Integer::I16) => $crate::file::dtype::with_type!($T = i16 => $body),
            Some(Integer::U32) => $crate::file::dtype::with_type!($T = u32 => $body),
            Some(Integer::I32) => $crate::file::dtype::with_type!($T = i32 => $body),
            Some(Integer::U64) => $crate::file::dtype::with_type!($T = u64 => $body),
            Some(Integer::I64) => $crate::file::dtype::with_type!($T = i64 => $body),
            None => $crate::file::dtype::with_dtype!(dtype, $T: Element => $body, else => $otherwise),
        }
    }};
}

/// Evaluates an expression for the unsigned integer type of a [`Word`].
macro_rules! with_word {
    ($word:expr, $W:ident => $body:expr) => {{
        use $crate::file::dtype::Word;
        match $word {
            Word::U8 => $crate::file::dtype::with_type!($W = u8 => $body),
            Word::U16 => $crate::file::dtype::with_type!($W = u16 => $body),
            Word::U32 => $crate::file::dtype::with_type!($W = u32 => $body),
            Word::U64 => $crate::file::dtype::with_type!($W = u64 => $body),
        }
    }};
}

/// Evaluates an expression that uses a type by another name.
macro_rules! with_type {
    ($A:ident = $type:ty => $body:expr) => {{
        type $A = $type;
        $body
    }};
}

pub(crate) use {with_dtype, with_type, with_word};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::ElementInternals;

    const ALL: [Stored; 22] = [
        Stored::BOOL,
        Stored::F4,
        Stored::F6_E2M3,
        Stored::F6_E3M2,
        Stored::U8,
        Stored::I8,
        Stored::F8_E5M2,
        Stored::F8_E4M3,
        Stored::F8_E8M0,
        Stored::F8_E4M3FNUZ,
        Stored::F8_E5M2FNUZ,
        Stored::I16,
        Stored::U16,
        Stored::F16,
        Stored::BF16,
        Stored::I32,
        Stored::U32,
        Stored::F32,
        Stored::C64,
        Stored::F64,
        Stored::I64,
        Stored::U64,
    ];

    #[test]
    fn element_types_have_the_size_of_their_dtype() {
        for dtype in ALL.map(Dtype) {
            let number = with_dtype!(dtype, T: Number => Some(size_of::<T>()), else => None);
            let float = with_dtype!(dtype, A: Element => Some((size_of::<A>(), A::STORED)), else => None);
            let word = dtype.zero_bits().map(|zero| with_word!(zero.word, W => size_of::<W>()));
            assert_eq!(number.is_some(), dtype.can_be_mask(), "{dtype}");
            assert_eq!(float.is_some(), dtype.can_be_pruned(), "{dtype}");
            for size in number.into_iter().chain(float.map(|(size, _)| size)).chain(word) {
                assert_eq!(8 * size, dtype.bits(), "{dtype}");
            }
            assert!(float.is_none_or(|(_, stored)| stored == dtype.0), "{dtype}");
        }
    }

    #[test]
    fn zeros_have_no_bits_but_signs() {
        let nonzero = |dtype| Dtype(dtype).zero_bits().map(|zero| zero.nonzero);
        assert_eq!(nonzero(Stored::BOOL), Some(0xff));
        assert_eq!(nonzero(Stored::I64), Some(u64::MAX));
        assert_eq!(nonzero(Stored::F8_E4M3), Some(0x7f));
        assert_eq!(nonzero(Stored::F8_E5M2FNUZ), Some(0xff));
        assert_eq!(nonzero(Stored::BF16), Some(0x7fff));
        assert_eq!(nonzero(Stored::F32), Some(0x7fff_ffff));
        assert_eq!(nonzero(Stored::F64), Some(u64::MAX >> 1));
        assert_eq!(nonzero(Stored::C64), Some(0x7fff_ffff_7fff_ffff));
        assert_eq!(nonzero(Stored::F4), None);
        assert_eq!(nonzero(Stored::F8_E8M0), None);
    }
}
