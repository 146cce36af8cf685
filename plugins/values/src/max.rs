//! `max`: the greatest of whole numbers, of any length, in decimal digits with or without a minus.

use std::cmp::Ordering;

use crate::lines::fault;
use crate::{Malformed, Value};

/// A whole number, or none yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Max {
    number: Option<Whole>,
}

/// Digits without leading zeros; none are 0, which is never negative.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Whole {
    negative: bool,
    digits: Vec<u8>,
}

impl Max {
    /// The number, if it is there and fits.
    #[must_use]
    pub fn number(&self) -> Option<i128> {
        str::from_utf8(&self.to_bytes()).ok()?.parse().ok()
    }
}

impl From<i128> for Max {
    fn from(number: i128) -> Self {
        let digits = number.unsigned_abs().to_string().trim_start_matches('0').into();
        Self { number: Some(Whole { negative: number < 0, digits }) }
    }
}

impl Ord for Whole {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = |a: &Self, b: &Self| {
            a.digits.len().cmp(&b.digits.len()).then_with(|| a.digits.cmp(&b.digits))
        };
        match (self.negative, other.negative) {
            (false, false) => size(self, other),
            (true, true) => size(other, self),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        }
    }
}

impl PartialOrd for Whole {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Value for Max {
    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let text = bytes.trim_ascii();
        if text.is_empty() {
            return Ok(Self::default());
        }
        let (minus, digits) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(fault(1, "this is not a whole number in decimal digits"));
        }
        let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
        let digits = digits[zeros..].to_vec();
        Ok(Self { number: Some(Whole { negative: minus && !digits.is_empty(), digits }) })
    }

    fn join(&mut self, other: Self) {
        self.number = self.number.take().max(other.number);
    }

    fn to_bytes(&self) -> Vec<u8> {
        let Some(Whole { negative, digits }) = &self.number else {
            return Vec::new();
        };
        let sign: &[u8] = if *negative { b"-" } else { b"" };
        let digits: &[u8] = if digits.is_empty() { b"0" } else { digits };
        [sign, digits].concat()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;
    use crate::{join_all, laws};

    fn max(values: &[&str]) -> String {
        let joined = join_all::<Max>(values.iter().map(|value| Some(value.as_bytes())));
        String::from_utf8(joined.unwrap()).unwrap()
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        assert_eq!(max(&["9", "10\n", "-11"]), "10");
        assert_eq!(max(&["-9", "-10"]), "-9");
        assert_eq!(max(&["-0", "-1", ""]), "0");
        assert_eq!(max(&["007", "7"]), "7");
        assert_eq!(max(&["", ""]), "");
        assert_eq!(max(&["99999999999999999999999999999999999999999", "1"]).len(), 41);
        for bad in ["a", "1.5", "--1", "-", "1 2", "+1"] {
            assert!(Max::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_greater_number_is_kept(a in any::<i128>(), b in any::<i128>()) {
            let mut joined = Max::from(a);
            joined.join(Max::from(b));
            assert_eq!(joined.number(), Some(a.max(b)));
        }

        #[test]
        fn the_laws_hold(a in "-?[01]{0,3}", b in "-?[01]{0,3}", c in "-?[01]{0,3}") {
            laws::hold::<Max>([a.as_bytes(), b.as_bytes(), c.as_bytes()]);
        }
    }
}
