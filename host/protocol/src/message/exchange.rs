//! The questions and answers of an exchange: what two owners of a partition say to each other to find out where their
//! copies differ. See `anti_entropy`.

use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::causality::{Marks, Object};
use crate::encoding::{DecodeError, ObjectRecord};
use crate::id::{Actor, BucketName, Key};
use crate::ring::Tree;
use crate::tree::{BranchSet, LeafSet};

/// A question about the answerer's copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Which of these trees have another root there?
    Roots(Vec<(Tree, u64)>),
    /// What are the digests of the tree's branches?
    Branches(Tree),
    /// What are the digests of the leaves of these branches?
    Leaves(Tree, BranchSet),
    /// Which heads are there that are not among those of these prints, and which of the prints is not there?
    Heads {
        /// Where to look, up to a key that the asker has looked up to.
        span: Span,
        /// The prints of the asker's own objects in the span.
        prints: Vec<u64>,
    },
    /// These trees are alike by now: everything that either side held when it told its marks is at both. Take these marks
    /// over, and answer once that is durable.
    Marks {
        /// The answerer's actor when it told its marks: another one may have lost something since.
        actor: Actor,
        /// Later marks than the answerer's.
        marks: Vec<(Tree, Marks)>,
    },
}

/// Part of a tree: some leaves' keys, after one key, up to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The tree.
    pub tree: Tree,
    /// The leaves.
    pub leaves: LeafSet,
    /// With the keys of which only a delete is left?
    pub whole: bool,
    /// The last key before the span; none if it starts at the beginning.
    pub after: Option<Key>,
    /// The last key of the span; none if it goes to the end.
    pub upto: Option<Key>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The trees with another root.
    Roots(Vec<Tree>),
    /// Digests of branches, in order.
    Branches {
        /// The digests.
        digests: Vec<u64>,
        /// Who answers.
        actor: Actor,
        /// The tree's marks at the answerer.
        marks: Marks,
    },
    /// Digests of leaves, in order.
    Digests(Vec<u64>),
    /// The marks are taken over, and everything before is durable.
    Marks,
    /// What differs in a span.
    Heads {
        /// The answerer looked up to this key; none if it did to the end of the span.
        upto: Option<Key>,
        /// What it holds and the asker does not, or not so; larger values as heads.
        heads: Vec<(Key, Object)>,
        /// Prints of the asker that the answerer did not meet.
        missing: Vec<u64>,
        /// Bytes a second that the answerer's clients leave to whoever takes what was named.
        pace: u64,
    },
}

impl Answer {
    /// The bytes of the values that it names.
    #[must_use]
    pub fn named_bytes(&self) -> u64 {
        match self {
            Self::Heads { heads, .. } => {
                let versions = heads.iter().flat_map(|(_, object)| &object.versions);
                versions.map(|version| u64::from(version.content.len())).sum()
            }
            Self::Roots(_) | Self::Branches { .. } | Self::Digests(_) | Self::Marks => 0,
        }
    }
}

type WireKey = (BucketName, Bytes);

fn wire(key: Option<Key>) -> Option<WireKey> {
    key.map(|Key { bucket, key }| (bucket, key))
}

fn unwire(key: Option<WireKey>) -> Option<Key> {
    key.map(|(bucket, key)| Key { bucket, key })
}

/// [`Question`] as it stands in a header.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireQuestion {
    Roots(Vec<(Tree, u64)>),
    Branches(Tree),
    Leaves(Tree, BranchSet),
    Heads {
        tree: Tree,
        leaves: LeafSet,
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        whole: bool,
        after: Option<WireKey>,
        upto: Option<WireKey>,
        prints: Vec<u64>,
    },
    Marks {
        actor: Actor,
        marks: Vec<(Tree, Marks)>,
    },
}

impl From<Question> for WireQuestion {
    fn from(question: Question) -> Self {
        match question {
            Question::Roots(roots) => Self::Roots(roots),
            Question::Branches(tree) => Self::Branches(tree),
            Question::Leaves(tree, branches) => Self::Leaves(tree, branches),
            Question::Heads { span: Span { tree, leaves, whole, after, upto }, prints } => {
                Self::Heads { tree, leaves, whole, after: wire(after), upto: wire(upto), prints }
            }
            Question::Marks { actor, marks } => Self::Marks { actor, marks },
        }
    }
}

impl From<WireQuestion> for Question {
    fn from(question: WireQuestion) -> Self {
        match question {
            WireQuestion::Roots(roots) => Self::Roots(roots),
            WireQuestion::Branches(tree) => Self::Branches(tree),
            WireQuestion::Leaves(tree, branches) => Self::Leaves(tree, branches),
            WireQuestion::Heads { tree, leaves, whole, after, upto, prints } => {
                let (after, upto) = (unwire(after), unwire(upto));
                let span = Span { tree, leaves, whole, after, upto };
                Self::Heads { span, prints }
            }
            WireQuestion::Marks { actor, marks } => Self::Marks { actor, marks },
        }
    }
}

/// [`Answer`] as it stands in a header; bytes of values stand in the body.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireAnswer {
    Roots(Vec<Tree>),
    Branches {
        digests: Vec<u64>,
        actor: Actor,
        marks: Marks,
    },
    Digests(Vec<u64>),
    Marks,
    Heads {
        upto: Option<WireKey>,
        heads: Vec<(BucketName, Bytes, ObjectRecord)>,
        missing: Vec<u64>,
        pace: u64,
    },
}

impl WireAnswer {
    /// The record of `answer`; `record` makes those of objects, and keeps their bytes.
    pub(super) fn new(answer: Answer, mut record: impl FnMut(&Object) -> ObjectRecord) -> Self {
        match answer {
            Answer::Roots(trees) => Self::Roots(trees),
            Answer::Branches { digests, actor, marks } => Self::Branches { digests, actor, marks },
            Answer::Digests(digests) => Self::Digests(digests),
            Answer::Marks => Self::Marks,
            Answer::Heads { upto, heads, missing, pace } => {
                let heads = heads.into_iter().map(|(Key { bucket, key }, object)| {
                    let object = record(&object);
                    (bucket, key, object)
                });
                Self::Heads { upto: wire(upto), heads: heads.collect(), missing, pace }
            }
        }
    }

    /// The answer, with the bytes of its values from `body`: all of it has to be used.
    pub(super) fn with_bodies(self, mut body: Bytes) -> Result<Answer, DecodeError> {
        let answer = match self {
            Self::Roots(trees) => Answer::Roots(trees),
            Self::Branches { digests, actor, marks } => Answer::Branches { digests, actor, marks },
            Self::Digests(digests) => Answer::Digests(digests),
            Self::Marks => Answer::Marks,
            Self::Heads { upto, heads, missing, pace } => {
                let mut objects = Vec::with_capacity(heads.len());
                for (bucket, key, record) in heads {
                    let (expected, found) = (record.beside_len(), body.len() as u64);
                    if expected > found {
                        return Err(DecodeError::Length { expected, found });
                    }
                    let beside = body.split_to(usize::try_from(expected).unwrap_or(usize::MAX));
                    objects.push((Key { bucket, key }, record.with_bodies(beside)?));
                }
                Answer::Heads { upto: unwire(upto), heads: objects, missing, pace }
            }
        };
        match body.len() as u64 {
            0 => Ok(answer),
            found => Err(DecodeError::Length { expected: 0, found }),
        }
    }
}
