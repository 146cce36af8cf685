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

use crate::lines::{cut, fault, lines, number, push_number, united};
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

/// An addition that is in the set: its writer, its number, the item.
type Present<'a> = (&'a [u8], u64, &'a [u8]);
/// Additions that were seen: their writer, the first number and the last.
type Run<'a> = (&'a [u8], u64, u64);

/// What a value says, in bytes of someone else's: both in order, each addition once, runs that neither touch nor overlap.
struct Said<'a> {
    present: Vec<Present<'a>>,
    seen: Vec<Run<'a>>,
}

impl<'a> Said<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (mut present, mut seen) = (Vec::new(), Vec::new());
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
                    present.push((writer, left, right));
                    seen.push((writer, left, left));
                }
                b'=' => {
                    let last = number(right).filter(|&last| left <= last);
                    let last =
                        last.ok_or_else(|| fault(n, "the numbers are not first and last"))?;
                    seen.push((writer, left, last));
                }
                _ => return Err(fault(n, "the line begins with neither + nor =")),
            }
        }
        present.sort_unstable();
        present.dedup();
        Ok(Self { present, seen: united_runs(seen) })
    }

    fn has_seen(&self, writer: &[u8], number: u64) -> bool {
        let after = self.seen.partition_point(|run| (run.0, run.1) <= (writer, number));
        let run = after.checked_sub(1).map(|at| self.seen[at]);
        run.is_some_and(|(of, _, last)| of == writer && last >= number)
    }
}

/// Runs in order, one of those that touch or overlap.
fn united_runs(mut runs: Vec<Run<'_>>) -> Vec<Run<'_>> {
    runs.sort_unstable();
    runs.dedup_by(|run, before| {
        let same = before.0 == run.0 && run.1 <= before.2.saturating_add(1);
        if same {
            before.2 = before.2.max(run.2);
        }
        same
    });
    runs
}

fn write<'a>(
    present: impl IntoIterator<Item = Present<'a>>,
    seen: impl IntoIterator<Item = Run<'a>>,
) -> Vec<u8> {
    let mut text = Vec::new();
    let start = |kind, writer: &[u8], number, text: &mut Vec<u8>| {
        text.push(kind);
        text.extend_from_slice(writer);
        text.push(b'\t');
        push_number(text, number);
        text.push(b'\t');
    };
    for (writer, number, item) in present {
        start(b'+', writer, number, &mut text);
        text.extend_from_slice(item);
        text.push(b'\n');
    }
    for (writer, first, last) in seen {
        start(b'=', writer, first, &mut text);
        push_number(&mut text, last);
        text.push(b'\n');
    }
    text
}

impl Value for OrSet {
    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let Said { present, seen } = Said::read(bytes)?;
        let owned = |(writer, number, item): Present<'_>| Addition {
            writer: writer.to_vec(),
            number,
            item: item.to_vec(),
        };
        let mut set =
            Self { present: present.into_iter().map(owned).collect(), seen: BTreeMap::new() };
        for (writer, first, last) in seen {
            set.see(writer, first, last);
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
        let present = self.present.iter().map(|added| (&*added.writer, added.number, &*added.item));
        let seen = self.seen.iter().flat_map(|(writer, runs)| {
            runs.iter().map(|(&first, &last)| (writer.as_slice(), first, last))
        });
        write(present, seen)
    }

    fn join_bytes<'a>(
        values: impl IntoIterator<Item = Option<&'a [u8]>>,
    ) -> Result<Vec<u8>, (u32, Malformed)> {
        let read = |(position, value): (u32, Option<&'a [u8]>)| {
            Said::read(value.unwrap_or_default()).map_err(|malformed| (position, malformed))
        };
        let values = (0..).zip(values).map(read).collect::<Result<Vec<_>, _>>()?;
        // Each with the number of values that have it.
        let had = |said: &Said<'a>| said.present.iter().map(|&added| (added, 1)).collect();
        let mut all = united(values.iter().map(had).collect(), |before, (added, count)| {
            let same = before.0 == added;
            if same {
                before.1 += count;
            }
            same
        });
        // A value that has seen an addition and doesn't have it took it out.
        all.retain(|&((writer, number, _), having)| {
            values.iter().filter(|said| said.has_seen(writer, number)).count() == having
        });
        let seen = united_runs(values.iter().flat_map(|said| said.seen.iter().copied()).collect());
        Ok(write(all.into_iter().map(|(added, _)| added), seen))
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
