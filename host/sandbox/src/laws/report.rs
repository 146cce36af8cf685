//! What a check found.

use std::fmt;
use std::time::Duration;

use kinfold_protocol::merge::MergeInput;

use crate::laws::breach::{Tried, letter};
use crate::laws::cases::Case;
use crate::laws::law::Law;
use crate::laws::subject::{Folded, Subject};
use crate::manifest::Manifest;
use crate::outcome::MergeOutcome;

/// A value is far larger than another if it has so many times its bytes.
const FAR: usize = 4;
/// Below this size, in bytes, no merge counts as a collapse.
const SMALL: usize = 64;
/// So many merges have to have siblings of far different sizes before they say something.
const ENOUGH: u32 = 8;

/// What a check found: the evidence for a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the plugin says of itself.
    pub manifest: Manifest,
    /// The component's identity.
    pub hash: blake3::Hash,
    /// Repeats the check.
    pub seed: u64,
    /// Each law, in the order of [`Law::ALL`].
    pub findings: Vec<Finding>,
    /// Siblings that show a plugin whose results are nearly always far smaller than what they were made of. It may be
    /// meant so: a warning.
    pub collapse: Option<Counterexample>,
    /// Where the values came from.
    pub origins: Origins,
    /// Did the time for it end before all cases were tried?
    pub cut_short: bool,
    /// How many cases there were of each situation.
    pub situations: Vec<(Situation, usize)>,
    /// Merges that were run.
    pub merges: u64,
    /// Those that gave a value or a delete.
    pub merged: u64,
    /// The most that a merge took.
    pub used: Used,
}

impl Report {
    /// Whether the plugin must not be used: it broke a law that its contract binds it to, or merged nothing that a law
    /// could be tried on.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.findings.iter().any(|finding| match finding.verdict {
            Verdict::Broken(_) => true,
            Verdict::Untried => finding.law.binds(self.manifest.contract),
            Verdict::Held | Verdict::Warned(_) => false,
        })
    }

    /// Whether the author should look at something, though the plugin may be used.
    #[must_use]
    pub fn warned(&self) -> bool {
        let warned = |finding: &Finding| matches!(finding.verdict, Verdict::Warned(_));
        self.collapse.is_some() || self.findings.iter().any(warned)
    }
}

/// What was found of one law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The law.
    pub law: Law,
    /// On how many cases it was tried.
    pub tried: u64,
    /// What that showed.
    pub verdict: Verdict,
}

/// What trying a law showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There was nothing to try it on: the plugin merged none of the siblings.
    Untried,
    /// It held each time.
    Held,
    /// It does not hold, but the plugin's contract doesn't bind it to this law.
    Warned(Box<Counterexample>),
    /// It does not hold.
    Broken(Box<Counterexample>),
}

/// The smallest siblings that were found to break a law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// The siblings, which are called `a`, `b` and so on.
    pub siblings: Vec<MergeInput>,
    /// What should have come out, where it is one thing.
    pub expected: Option<Side>,
    /// What did.
    pub actual: Side,
    /// Whether the plugin says that both mean the same, if it says anything: then only its encoding is at fault.
    pub equivalent: Option<bool>,
}

/// One way of merging the siblings and where it led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// The way, such as `merge(merge(a, b), c)`.
    pub how: String,
    /// The merged value with its time, or why there is none.
    pub result: Folded,
}

/// What is special about some siblings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Situation {
    /// Nothing.
    Ordinary,
    /// All have the same time.
    EqualTimes,
    /// One of them is the empty value.
    Empty,
    /// One of them is a delete.
    Delete,
    /// As many as a node merges at once.
    Many,
    /// One of them has 1 MiB.
    Large,
}

impl Situation {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Ordinary, Self::EqualTimes, Self::Empty, Self::Delete, Self::Many, Self::Large];

    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::EqualTimes => "equal times",
            Self::Empty => "an empty value",
            Self::Delete => "a delete",
            Self::Many => "64 siblings",
            Self::Large => "1 MiB",
        }
    }
}

/// How many values there were to make siblings of, by where they came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origins {
    /// The plugin made them.
    pub sampled: usize,
    /// The author gave them.
    pub corpus: usize,
    /// Either of these, changed a little.
    pub mutated: usize,
    /// Bytes that mean nothing.
    pub generic: usize,
}

/// The most that any one merge took, and what it was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// The fuel of the merge that came closest to what it was allowed, and that.
    pub fuel: (u64, u64),
    /// The most memory of any, and what all were allowed. In bytes.
    pub memory: (usize, usize),
    /// The longest. Fuel bounds it, not a clock.
    pub time: Duration,
}

impl Used {
    pub(super) fn none(memory: usize) -> Self {
        Self { fuel: (0, 1), memory: (0, memory), time: Duration::ZERO }
    }

    pub(super) fn note(&mut self, outcome: &MergeOutcome, allowed: u64, time: Duration) {
        let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
        if product(outcome.fuel, self.fuel.1) > product(self.fuel.0, allowed) {
            self.fuel = (outcome.fuel, allowed);
        }
        self.memory.0 = self.memory.0.max(outcome.memory);
        self.time = self.time.max(time);
    }
}

impl Finding {
    pub(super) fn untried(law: Law) -> Self {
        Self { law, tried: 0, verdict: Verdict::Untried }
    }

    /// Whether it makes sense to go on trying.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.verdict, Verdict::Untried | Verdict::Held)
    }

    /// Takes up what one case showed.
    pub(super) fn note(&mut self, siblings: &[MergeInput], tried: Tried) {
        match tried {
            Tried::Silent => return,
            Tried::Held => self.verdict = Verdict::Held,
            Tried::Broken(expected, actual) => {
                let siblings = siblings.to_vec();
                let found = Counterexample { siblings, expected, actual, equivalent: None };
                self.verdict = Verdict::Broken(Box::new(found));
            }
        }
        self.tried += 1;
    }
}

impl Counterexample {
    pub(super) fn same_meaning(&self, subject: &Subject<'_>) -> Option<bool> {
        let value = |side: &Side| side.result.as_ref().ok()?.value.clone();
        subject.equivalent(&value(self.expected.as_ref()?)?, &value(&self.actual)?)
    }
}

/// Siblings that are written out; of more of them, the number.
const SIBLINGS_SHOWN: usize = 26;
/// A value is cut here, in bytes, where people read it.
const BYTES_SHOWN: usize = 160;

/// The siblings, a line each, and what they should have merged to and did.
impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, sibling) in self.siblings.iter().enumerate().take(SIBLINGS_SHOWN) {
            let value = shown(sibling.value.as_deref());
            writeln!(f, "    {} = {value} at time {}", letter(n), sibling.time.0)?;
        }
        if let Some(more) = self.siblings.len().checked_sub(SIBLINGS_SHOWN).filter(|more| *more > 0)
        {
            writeln!(f, "    and {more} more")?;
        }
        for side in self.expected.iter().chain([&self.actual]) {
            let result = match &side.result {
                Ok(merged) => shown(merged.value.as_deref()),
                Err(failure) => failure.to_string(),
            };
            writeln!(f, "  {} = {result}", side.how)?;
        }
        if self.equivalent == Some(true) {
            writeln!(f, "  The plugin says that both mean the same: only the encoding differs.")?;
        }
        Ok(())
    }
}

fn shown(value: Option<&[u8]>) -> String {
    let Some(value) = value else {
        return "a delete".into();
    };
    let cut = &value[..value.len().min(BYTES_SHOWN)];
    let more = value.len() - cut.len();
    let more = if more > 0 { format!(" and {more} bytes") } else { String::new() };
    format!("\"{}\"{more}", cut.escape_ascii())
}

/// Watches for results that are far smaller than the largest sibling, whichever sibling is the newest.
///
/// A function that picks a winner by time does that now and then; one that nearly always does is throwing something away.
#[derive(Default)]
pub(super) struct Collapse {
    uneven: u32,
    collapsed: u32,
    smallest: Option<Counterexample>,
}

impl Collapse {
    pub(super) fn note(&mut self, subject: &mut Subject<'_>, case: &Case) {
        let sizes = case.siblings.iter().flat_map(|sibling| &sibling.value).map(bytes::Bytes::len);
        let (least, greatest) = sizes
            .fold((usize::MAX, 0), |(least, greatest), size| (least.min(size), greatest.max(size)));
        if !case.fine || greatest < SMALL || greatest / FAR < least {
            return;
        }
        let result = subject.fold(&case.siblings);
        let Ok(MergeInput { value, .. }) = &result else {
            return;
        };
        self.uneven += 1;
        if value.as_ref().map_or(0, bytes::Bytes::len) * FAR > greatest {
            return;
        }
        self.collapsed += 1;
        let size = |siblings: &[MergeInput]| {
            siblings.iter().flat_map(|sibling| &sibling.value).map(bytes::Bytes::len).sum::<usize>()
        };
        if self.smallest.as_ref().is_none_or(|other| size(&case.siblings) < size(&other.siblings)) {
            self.smallest = Some(Counterexample {
                siblings: case.siblings.clone(),
                expected: None,
                actual: Side { how: "merge(all)".into(), result },
                equivalent: None,
            });
        }
    }

    /// The smallest example, if nearly all merges that could collapse did: nine in ten.
    pub(super) fn warning(self) -> Option<Counterexample> {
        let nearly_all = u64::from(self.collapsed) * 10 >= u64::from(self.uneven) * 9;
        self.smallest.filter(|_| self.uneven >= ENOUGH && nearly_all)
    }
}
