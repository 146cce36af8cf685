//! `counter`: a number that many writers add to and take from. `WRITER<TAB>ADDED<TAB>TAKEN` a line.
//!
//! The PN-counter (Shapiro et al. 2011): each writer keeps totals of its own, which only grow, so of two that are known of one
//! writer the greater is the later. A writer is one process at a time that knows its own totals: two that share a name lose
//! what one of them adds.

use std::collections::BTreeMap;

use crate::lines::{Name, cut, fault, lines, number, push_number, runs, united};
use crate::{Malformed, Value};

/// What each writer added and took, all in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    totals: BTreeMap<Vec<u8>, (u64, u64)>,
}

impl Counter {
    /// The number: all that was added without all that was taken.
    #[must_use]
    pub fn number(&self) -> i128 {
        let totals = self.totals.values();
        totals.map(|&(added, taken)| i128::from(added) - i128::from(taken)).sum()
    }

    /// What a writer added and took so far.
    #[must_use]
    pub fn totals(&self, writer: impl AsRef<[u8]>) -> (u64, u64) {
        self.totals.get(writer.as_ref()).copied().unwrap_or_default()
    }

    /// Counts `number` to the totals of `writer`, a name without tabs and newlines, and returns what is to be written: these
    /// totals alone.
    pub fn add(&mut self, writer: impl AsRef<[u8]>, number: i64) -> Self {
        let writer = writer.as_ref();
        let (added, taken) = self.totals.entry(writer.to_vec()).or_default();
        let total = if number < 0 { taken } else { added };
        *total = total.saturating_add(number.unsigned_abs());
        let delta = (writer.to_vec(), self.totals(writer));
        Self { totals: BTreeMap::from([delta]) }
    }

    fn keep(&mut self, writer: Vec<u8>, (added, taken): (u64, u64)) {
        let kept = self.totals.entry(writer).or_default();
        *kept = (added.max(kept.0), taken.max(kept.1));
    }
}

/// A writer, what it added and what it took, in bytes of someone else's.
type Line<'a> = (Name<'a>, (u64, u64));

/// The lines of a value.
fn read(bytes: &[u8]) -> Result<Vec<Line<'_>>, Malformed> {
    let line = |(n, line)| {
        let columns = cut(line).and_then(|(writer, totals)| Some((writer, cut(totals)?)));
        let (writer, (added, taken)) =
            columns.ok_or_else(|| fault(n, "there are no three columns between tabs"))?;
        let totals = number(added).zip(number(taken));
        let totals = totals.ok_or_else(|| fault(n, "a total is not a number below 2^64"))?;
        Ok((writer.into(), totals))
    };
    lines(bytes).map(line).collect()
}

fn write<'a>(lines: impl IntoIterator<Item = Line<'a>>, text: &mut Vec<u8>) {
    for (writer, (added, taken)) in lines {
        text.extend_from_slice(&writer);
        text.push(b'\t');
        push_number(text, added);
        text.push(b'\t');
        push_number(text, taken);
        text.push(b'\n');
    }
}

impl Value for Counter {
    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut counter = Self::default();
        for (writer, totals) in read(bytes)? {
            counter.keep(writer.to_vec(), totals);
        }
        Ok(counter)
    }

    fn join(&mut self, other: Self) {
        for (writer, totals) in other.totals {
            self.keep(writer, totals);
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut text = Vec::new();
        write(self.totals.iter().map(|(writer, totals)| (writer[..].into(), *totals)), &mut text);
        text
    }

    fn join_bytes<'a>(
        values: impl IntoIterator<Item = Option<&'a [u8]>>,
    ) -> Result<Vec<u8>, (u32, Malformed)> {
        let all = united(runs(values, read)?, |(writer, kept), (other, (added, taken))| {
            let same = *writer == other;
            if same {
                *kept = (added.max(kept.0), taken.max(kept.1));
            }
            same
        });
        let mut text = Vec::with_capacity(all.iter().map(|(writer, _)| writer.len() + 16).sum());
        write(all, &mut text);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop, proptest};

    use super::*;
    use crate::laws;

    #[test]
    fn additions_that_did_not_know_of_each_other_all_count() {
        let mut counter = Counter::default();
        let (mut ada, mut bea) = (Counter::default(), Counter::default());
        let deltas = [ada.add("ada", 5), bea.add("bea", 2), ada.add("ada", -1)];
        // In another order, and one of them twice.
        for delta in [&deltas[2], &deltas[0], &deltas[1], &deltas[0]] {
            counter.join(delta.clone());
        }
        assert_eq!(counter.number(), 6);
        assert_eq!(counter.to_bytes(), b"ada\t5\t1\nbea\t2\t0\n");
    }

    #[test]
    fn the_greatest_totals_count_without_overflow() {
        let text = format!("a\t{0}\t0\nb\t{0}\t0\nc\t0\t1", u64::MAX);
        assert_eq!(Counter::parse(text.as_bytes()).unwrap().number(), 2 * i128::from(u64::MAX) - 1);
        for bad in ["a", "a\t1", "a\t1\t", "a\t1\t2\t3", "a\t18446744073709551616\t0"] {
            assert!(Counter::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    fn text() -> impl Strategy<Value = String> {
        let line = ("[ab]?", 0..4u64, 0..4u64);
        let line = line.prop_map(|(writer, added, taken)| format!("{writer}\t{added}\t{taken}\n"));
        prop::collection::vec(line, 0..5).prop_map(|lines| lines.concat())
    }

    proptest! {
        #[test]
        fn the_laws_hold(a in text(), b in text(), c in text()) {
            laws::hold::<Counter>([a.as_bytes(), b.as_bytes(), c.as_bytes()]);
        }
    }
}
