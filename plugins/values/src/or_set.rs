//! `or-set`: a set whose items can be taken out again, and in which an addition that a removal had not seen survives it.
//!
//! The optimised observed-remove set (Bieniusa et al. 2012). Each addition has a tag, its writer's name and number. A value says
//! which tags it has seen, and which of these are in the set; one that is seen and not in the set was taken out. So nothing is
//! kept of a removal but numbers, which come in runs.
//!
//! ```text
//! +WRITER<TAB>NUMBER<TAB>ITEM     this item is in the set, by this addition
//! =WRITER<TAB>FROM<TAB>TO         these additions of the writer were seen
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::lines::{cut, fault, lines, number, push};
use crate::{Malformed, Value};

/// A set of items; an item is any bytes but a newline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrSet {
    /// The additions that are in the set.
    present: BTreeSet<Addition>,
    /// By writer: runs of numbers, first to last, that neither touch nor overlap.
    seen: BTreeMap<Vec<u8>, BTreeMap<u64, u64>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Addition {
    writer: Vec<u8>,
    number: u64,
    item: Vec<u8>,
}

impl OrSet {
    /// The items, in the order of their bytes, each once.
    #[must_use]
    pub fn items(&self) -> BTreeSet<&[u8]> {
        self.present.iter().map(|addition| addition.item.as_slice()).collect()
    }

    /// Whether the item is in the set.
    #[must_use]
    pub fn contains(&self, item: impl AsRef<[u8]>) -> bool {
        self.present.iter().any(|addition| addition.item == item.as_ref())
    }

    /// The greatest number that a writer has used, as far as this value knows; 0 if none.
    #[must_use]
    pub fn last(&self, writer: impl AsRef<[u8]>) -> u64 {
        let runs = self.seen.get(writer.as_ref());
        runs.and_then(|runs| runs.last_key_value()).map_or(0, |(_, last)| *last)
    }

    /// Adds an item and returns what is to be written: this addition alone. The writer's name has no tab and no newline, and it
    /// uses each `number` once, ever. A newline in an item becomes a blank.
    pub fn add(&mut self, writer: impl AsRef<[u8]>, number: u64, item: impl AsRef<[u8]>) -> Self {
        let plain = |byte: &u8| if *byte == b'\n' { b' ' } else { *byte };
        let item: Vec<u8> = item.as_ref().iter().map(plain).collect();
        // The addition stands for those of the same item that its writer knew of.
        let mut delta = self.without(&item);
        delta.see(writer.as_ref(), number, number);
        delta.present.insert(Addition { writer: writer.as_ref().to_vec(), number, item });
        self.join(delta.clone());
        delta
    }

    /// Takes an item out and returns what is to be written: that the additions of it which this value knows were seen.
    pub fn remove(&mut self, item: impl AsRef<[u8]>) -> Self {
        let delta = self.without(item.as_ref());
        self.join(delta.clone());
        delta
    }

    /// What takes out every addition of `item` that is known here.
    fn without(&self, item: &[u8]) -> Self {
        let mut delta = Self::default();
        for addition in self.present.iter().filter(|addition| addition.item == item) {
            delta.see(&addition.writer, addition.number, addition.number);
        }
        delta
    }

    fn has_seen(&self, addition: &Addition) -> bool {
        let runs = self.seen.get(&addition.writer);
        let run = runs.and_then(|runs| runs.range(..=addition.number).next_back());
        run.is_some_and(|(_, last)| *last >= addition.number)
    }

    /// Counts a run of numbers as seen, and makes one run of those that touch or overlap.
    fn see(&mut self, writer: &[u8], mut first: u64, mut last: u64) {
        let runs = self.seen.entry(writer.to_vec()).or_default();
        while let Some((&start, &end)) = runs.range(..=last.saturating_add(1)).next_back()
            && end >= first.saturating_sub(1)
        {
            runs.remove(&start);
            (first, last) = (first.min(start), last.max(end));
        }
        runs.insert(first, last);
    }
}

impl Value for OrSet {
    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut set = Self::default();
        for (n, line) in lines(bytes) {
            let (kind, columns) =
                line.split_first().ok_or_else(|| fault(n, "the line is empty"))?;
            let columns = cut(columns).and_then(|(writer, rest)| Some((writer, cut(rest)?)));
            let (writer, (left, right)) =
                columns.ok_or_else(|| fault(n, "there are no three columns between tabs"))?;
            let left = number(left)
                .ok_or_else(|| fault(n, "the second column is not a number below 2^64"))?;
            match kind {
                b'+' => {
                    set.see(writer, left, left);
                    let (writer, item) = (writer.to_vec(), right.to_vec());
                    set.present.insert(Addition { writer, number: left, item });
                }
                b'=' => {
                    let last = number(right).filter(|&last| left <= last);
                    let last =
                        last.ok_or_else(|| fault(n, "the numbers are not first and last"))?;
                    set.see(writer, left, last);
                }
                _ => return Err(fault(n, "the line begins with neither + nor =")),
            }
        }
        Ok(set)
    }

    fn join(&mut self, mut other: Self) {
        self.present.retain(|here| other.present.contains(here) || !other.has_seen(here));
        other.present.retain(|there| self.present.contains(there) || !self.has_seen(there));
        self.present.append(&mut other.present);
        for (writer, runs) in other.seen {
            for (first, last) in runs {
                self.see(&writer, first, last);
            }
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for Addition { writer, number, item } in &self.present {
            push(&mut text, &[&[b"+", &writer[..]].concat(), number.to_string().as_bytes(), item]);
        }
        for (writer, runs) in &self.seen {
            for (first, last) in runs {
                let (first, last) = (first.to_string(), last.to_string());
                push(
                    &mut text,
                    &[&[b"=", &writer[..]].concat(), first.as_bytes(), last.as_bytes()],
                );
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop, proptest};

    use super::*;
    use crate::laws;

    #[test]
    fn what_is_taken_out_stays_out() {
        let mut here = OrSet::default();
        here.add("ada", 1, "milk");
        let mut there = here.clone();
        there.add("bea", 1, "bread");
        here.remove("milk");
        here.join(there);
        assert_eq!(here.items(), BTreeSet::from([&b"bread"[..]]));
        assert_eq!(here.to_bytes(), b"+bea\t1\tbread\n=ada\t1\t1\n=bea\t1\t1\n");
    }

    #[test]
    fn an_addition_survives_a_removal_that_had_not_seen_it() {
        let mut here = OrSet::default();
        here.add("ada", 1, "milk");
        let mut there = here.clone();
        there.add("bea", 1, "milk");
        here.remove("milk");
        here.join(there);
        assert!(here.contains("milk"));
    }

    #[test]
    fn deltas_alone_make_the_set_in_any_order() {
        let mut set = OrSet::default();
        let deltas = [
            set.add("ada", 1, "a"),
            set.add("ada", 2, "b"),
            set.remove("a"),
            set.add("ada", 3, "b"),
        ];
        let mut joined = OrSet::default();
        for delta in deltas.iter().rev().chain(&deltas) {
            joined.join(delta.clone());
        }
        assert_eq!(joined, set);
        assert_eq!(joined.to_bytes(), b"+ada\t3\tb\n=ada\t1\t3\n");
        assert_eq!((joined.last("ada"), joined.last("bea")), (3, 0));
    }

    #[test]
    fn runs_are_kept_apart_only_by_gaps() {
        let mut set = OrSet::default();
        for (first, last) in [(5, 6), (1, 2), (9, u64::MAX), (8, 8), (3, 4), (0, 0)] {
            set.see(b"w", first, last);
        }
        assert_eq!(set.seen[&b"w"[..]], BTreeMap::from([(0, 6), (8, u64::MAX)]));
    }

    #[test]
    fn malformed_lines_are_named() {
        for bad in ["x", "+a\t1", "+a\tb\tc", "=a\t2\t1", "=a\t1", "?a\t1\t2", "\n\n"] {
            assert!(OrSet::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    fn text() -> impl Strategy<Value = String> {
        // Tags that several items share, and items that no line has seen.
        let line = ("[+=]", "[ab]", 0..5u64, 0..5u64).prop_map(|(kind, writer, first, more)| {
            let right = if kind == "+" { more } else { first + more };
            format!("{kind}{writer}\t{first}\t{right}\n")
        });
        prop::collection::vec(line, 0..6).prop_map(|lines| lines.concat())
    }

    proptest! {
        #[test]
        fn the_laws_hold(a in text(), b in text(), c in text()) {
            laws::hold::<OrSet>([a.as_bytes(), b.as_bytes(), c.as_bytes()]);
        }
    }
}
