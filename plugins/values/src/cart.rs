//! `cart`: the shopping cart of the Dynamo paper (DeCandia et al. 2007). `ITEM<TAB>QUANTITY` a line.
//!
//! An item that was added is never lost: of two quantities the greater one is kept. The price is the paper's own: an item
//! that one side took out while another still has it comes back. `or-set` does not have that fault.

use std::collections::BTreeMap;

use crate::lines::{Name, cut, fault, lines, number, push_number, runs, united};
use crate::{Malformed, Value};

/// The greatest quantity of an item: every language has numbers up to it.
pub const MAX_QUANTITY: u64 = 999_999_999;

/// Items and how many of each; an item is any bytes but tab and newline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cart {
    items: BTreeMap<Vec<u8>, u64>,
}

impl Cart {
    /// Puts so many of an item into the cart, whatever was there; at most [`MAX_QUANTITY`]. Tabs and newlines can't be part
    /// of an item and become blanks.
    pub fn set(&mut self, item: impl AsRef<[u8]>, quantity: u64) {
        let plain = |byte: &u8| if matches!(byte, b'\t' | b'\n') { b' ' } else { *byte };
        let item = item.as_ref().iter().map(plain).collect();
        self.items.insert(item, quantity.min(MAX_QUANTITY));
    }

    /// Takes an item out. Where another side has it still, it comes back.
    pub fn remove(&mut self, item: impl AsRef<[u8]>) {
        self.items.remove(item.as_ref());
    }

    /// How many of an item there are.
    #[must_use]
    pub fn quantity(&self, item: impl AsRef<[u8]>) -> u64 {
        self.items.get(item.as_ref()).copied().unwrap_or(0)
    }

    /// All items with their quantities, in the order of their bytes.
    pub fn items(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.items.iter().map(|(item, quantity)| (item.as_slice(), *quantity))
    }
}

/// An item and its quantity, in bytes of someone else's.
type Line<'a> = (Name<'a>, u64);

/// The lines of a value.
fn read(bytes: &[u8]) -> Result<Vec<Line<'_>>, Malformed> {
    let line = |(n, line)| {
        let (item, quantity) =
            cut(line).ok_or_else(|| fault(n, "there is no tab between item and quantity"))?;
        let quantity = number(quantity).filter(|&quantity| quantity <= MAX_QUANTITY);
        let quantity =
            quantity.ok_or_else(|| fault(n, "the quantity is not a number below 1000000000"))?;
        Ok((item.into(), quantity))
    };
    lines(bytes).map(line).collect()
}

fn write<'a>(lines: impl IntoIterator<Item = Line<'a>>, text: &mut Vec<u8>) {
    for (item, quantity) in lines {
        text.extend_from_slice(&item);
        text.push(b'\t');
        push_number(text, quantity);
        text.push(b'\n');
    }
}

impl Value for Cart {
    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        // Sorted, an item's greatest quantity comes last, which is the one that a map keeps.
        let mut lines = read(bytes)?;
        lines.sort_unstable();
        let owned = |(item, quantity): Line<'_>| (item.to_vec(), quantity);
        Ok(Self { items: lines.into_iter().map(owned).collect() })
    }

    fn join(&mut self, other: Self) {
        for (item, quantity) in other.items {
            let kept = self.items.entry(item).or_default();
            *kept = quantity.max(*kept);
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut text = Vec::new();
        write(self.items().map(|(item, quantity)| (item.into(), quantity)), &mut text);
        text
    }

    fn join_bytes<'a>(
        values: impl IntoIterator<Item = Option<&'a [u8]>>,
    ) -> Result<Vec<u8>, (u32, Malformed)> {
        let all = united(runs(values, read)?, |before, (item, quantity)| {
            let same = before.0 == item;
            if same {
                before.1 = quantity.max(before.1);
            }
            same
        });
        let mut text = Vec::with_capacity(all.iter().map(|(item, _)| item.len() + 11).sum());
        write(all, &mut text);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop, proptest};

    use super::*;
    use crate::{join_all, laws};

    #[test]
    fn nothing_that_was_added_is_lost() {
        let joined =
            join_all::<Cart>([Some(&b"milk\t1\nbread\t2\n"[..]), Some(b"milk\t3\neggs\t12")]);
        assert_eq!(joined.unwrap(), b"bread\t2\neggs\t12\nmilk\t3\n");
    }

    #[test]
    fn what_was_taken_out_on_one_side_comes_back_from_the_other() {
        let mut cart = Cart::parse(b"milk\t1\n").unwrap();
        let other = cart.clone();
        cart.remove("milk");
        cart.set("bread", 1);
        cart.join(other);
        assert_eq!(cart.quantity("milk"), 1);
    }

    #[test]
    fn malformed_lines_are_named() {
        for (text, said) in [
            ("milk", "line 1: there is no tab between item and quantity"),
            ("milk\t1\n\n", "line 2: there is no tab between item and quantity"),
            ("milk\t-1", "line 1: the quantity is not a number below 1000000000"),
            ("milk\t1000000000", "line 1: the quantity is not a number below 1000000000"),
        ] {
            assert_eq!(Cart::parse(text.as_bytes()).unwrap_err().to_string(), said);
        }
    }

    fn text() -> impl Strategy<Value = String> {
        let line =
            ("[ab]?", "[0-3]{0,2}").prop_map(|(item, quantity)| format!("{item}\t{quantity}\n"));
        prop::collection::vec(line, 0..5).prop_map(|lines| lines.concat())
    }

    proptest! {
        #[test]
        fn the_laws_hold(a in text(), b in text(), c in text()) {
            laws::hold::<Cart>([a.as_bytes(), b.as_bytes(), c.as_bytes()]);
        }
    }
}
