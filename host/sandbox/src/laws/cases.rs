//! Siblings to try the laws on: at random, and in the situations in which merge functions are known to break.

use bytes::Bytes;
use kinfold_protocol::merge::MergeInput;
use kinfold_protocol::time::Timestamp;

use crate::laws::chance::Chance;
use crate::laws::report::Situation;
use crate::laws::values::Values;
use crate::manifest::Tombstones;

/// As many siblings as a node merges at once.
const MANY: usize = 64;
/// Cases of each situation that a random case does not meet often enough. Of large and of many siblings, which take long,
/// there is one.
const EACH: usize = 4;

/// Cases of siblings of far different sizes, which show whether results collapse.
const UNEVEN: usize = 16;
/// Values of any length, in percent of all.
const ALL: u32 = 100;

/// Some siblings, and what is special about them.
pub(super) struct Case {
    pub(super) siblings: Vec<MergeInput>,
    situation: Situation,
    /// Whether all its values are ones that the plugin should merge.
    pub(super) fine: bool,
}

impl Case {
    /// Whether merging it takes long.
    pub(super) fn is_costly(&self) -> bool {
        matches!(self.situation, Situation::Many | Situation::Large)
    }
}

/// All the cases of one check, small siblings first: what breaks on them needs less shrinking.
pub(super) fn all(
    values: &Values,
    tombstones: Tombstones,
    random: u32,
    chance: &mut Chance,
) -> Vec<Case> {
    let mut cases = Vec::new();
    for number in 0..random {
        // Mostly three: the fewest on which steps differ.
        let count = *chance.pick(&[2, 3, 3, 3, 4, 5]);
        let fine = number % 4 != 0;
        let tied = number % 3 == 0;
        let reach = 100 * (number + 1) / random;
        let siblings = (0..count).map(|_| {
            let value = if fine { values.fine(reach, chance) } else { values.any(reach, chance) };
            let time = if tied { Timestamp(1) } else { time(chance) };
            MergeInput { value: Some(value), time }
        });
        let situation = if tied { Situation::EqualTimes } else { Situation::Ordinary };
        cases.push(Case { siblings: siblings.collect(), situation, fine });
    }
    for _ in 0..EACH {
        for position in 0..3 {
            let mut siblings = three(values, chance);
            siblings[position].value = Some(Bytes::new());
            cases.push(Case { siblings, situation: Situation::Empty, fine: false });
            // A bucket with `reset` settles deletes before the plugin is asked.
            if tombstones == Tombstones::Pass {
                let mut siblings = three(values, chance);
                siblings[position].value = None;
                cases.push(Case { siblings, situation: Situation::Delete, fine: false });
            }
        }
    }
    for _ in 0..UNEVEN {
        let siblings = [values.fine(25, chance), values.long(chance), values.fine(50, chance)];
        let siblings = siblings.map(|value| sibling(value, chance)).into();
        cases.push(Case { siblings, situation: Situation::Ordinary, fine: true });
    }
    let siblings = (0..MANY).map(|_| sibling(values.fine(ALL, chance), chance)).collect();
    cases.push(Case { siblings, situation: Situation::Many, fine: false });
    let mut siblings = three(values, chance);
    siblings[0].value = Some(values.large.clone());
    cases.push(Case { siblings, situation: Situation::Large, fine: false });
    cases
}

/// How many cases there are of each situation.
pub(super) fn count(cases: &[Case]) -> Vec<(Situation, usize)> {
    let of = |situation| cases.iter().filter(|case| case.situation == situation).count();
    Situation::ALL.into_iter().map(|situation| (situation, of(situation))).collect()
}

fn three(values: &Values, chance: &mut Chance) -> Vec<MergeInput> {
    (0..3).map(|_| sibling(values.fine(ALL, chance), chance)).collect()
}

fn sibling(value: Bytes, chance: &mut Chance) -> MergeInput {
    MergeInput { value: Some(value), time: time(chance) }
}

/// Few times, so that they tie, and the greatest one.
fn time(chance: &mut Chance) -> Timestamp {
    if chance.one_in(50) { Timestamp::MAX } else { Timestamp(1 + chance.number() % 4) }
}
