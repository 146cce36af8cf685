//! The answering side of an exchange: what has to be read for a question, and what is made of it. It keeps nothing between
//! two questions.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::id::{Actor, BucketName};
use crate::message::exchange::{Answer, Question};
use crate::ring::Ring;
use crate::survey::{Page, Survey, Surveyed};
use crate::tree;

/// What has to be read for a question; nothing for one that wants something written.
pub(crate) fn survey(
    question: &Question,
    buckets: &BTreeMap<u8, Vec<BucketName>>,
    ring: Ring,
) -> Option<Survey> {
    Some(match question {
        Question::Marks { .. } => return None,
        Question::Roots(roots) => Survey::Roots(roots.iter().map(|(tree, _)| *tree).collect()),
        Question::Branches(tree) | Question::Leaves(tree, _) => Survey::Sums(*tree),
        Question::Heads { span, .. } => {
            let buckets = buckets.get(&span.tree.copies).cloned().unwrap_or_default();
            Survey::Heads { span: span.clone(), buckets, ring }
        }
    })
}

/// The answer of `actor` to a question, from what was read for it; none if something else was read. `pace` is how fast its
/// clients let others take from it, in bytes a second.
pub(crate) fn answer(
    question: Question,
    surveyed: Surveyed,
    actor: Actor,
    pace: u64,
) -> Option<Answer> {
    match (question, surveyed) {
        (Question::Roots(theirs), Surveyed::Roots(mine)) => {
            let pairs = theirs.into_iter().zip(mine);
            let differing = pairs.filter(|((_, theirs), mine)| theirs != mine);
            Some(Answer::Roots(differing.map(|((tree, _), _)| tree).collect()))
        }
        (Question::Branches(_), Surveyed::Sums(sums, marks)) => {
            Some(Answer::Branches { digests: sums.branches(), actor, marks })
        }
        (Question::Leaves(_, branches), Surveyed::Sums(sums, _)) => {
            Some(Answer::Digests(sums.leaves(branches)))
        }
        (Question::Heads { prints, .. }, Surveyed::Heads(page)) => Some(heads(prints, page, pace)),
        (
            Question::Roots(_)
            | Question::Branches(_)
            | Question::Leaves(..)
            | Question::Heads { .. }
            | Question::Marks { .. },
            Surveyed::Roots(_)
            | Surveyed::Sums(..)
            | Surveyed::Heads(_)
            | Surveyed::Left(_)
            | Surveyed::Keys(_)
            | Surveyed::Due(_)
            | Surveyed::Leftover { .. },
        ) => None,
    }
}

fn heads(prints: Vec<u64>, page: Page, pace: u64) -> Answer {
    let mut missing: BTreeSet<u64> = prints.into_iter().collect();
    let mut heads = page.heads;
    heads.retain(|(key, object)| !missing.remove(&tree::print(key, object)));
    Answer::Heads { upto: page.upto, heads, missing: missing.into_iter().collect(), pace }
}
