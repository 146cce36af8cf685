//! What merging means for those who edit: with Automerge's own code on both sides.

use automerge::{ActorId, AutoCommit, ObjType, ROOT, ReadDoc, transaction::Transactable};
use kinfold_plugin_sdk::{Context, MergeError, Samples as _, Sibling, laws};

use super::Plugin;

fn merge(values: &[&[u8]]) -> Result<Vec<u8>, MergeError> {
    let siblings: Vec<_> =
        values.iter().map(|value| Sibling { value: Some(value.to_vec()), time: 1 }).collect();
    laws::merge::<Plugin>(&Context::default(), &siblings).map(|merged| merged.value.unwrap())
}

/// A document with a text, and two copies of it on two machines.
fn apart(text: &str) -> (AutoCommit, AutoCommit) {
    let mut one = AutoCommit::new();
    let object = one.put_object(ROOT, "text", ObjType::Text).unwrap();
    one.splice_text(&object, 0, 0, text).unwrap();
    let other = one.fork();
    (one, other)
}

fn splice(document: &mut AutoCommit, at: usize, gone: isize, text: &str) {
    let (_, object) = document.get(ROOT, "text").unwrap().unwrap();
    document.splice_text(&object, at, gone, text).unwrap();
}

fn text(value: &[u8]) -> String {
    let document = AutoCommit::load(value).unwrap();
    let (_, object) = document.get(ROOT, "text").unwrap().unwrap();
    document.text(&object).unwrap()
}

#[test]
fn two_edits_of_one_text_made_apart_are_both_kept() {
    let (mut one, mut other) = apart("milk and bread");
    splice(&mut one, 0, 4, "tea");
    splice(&mut other, 14, 0, ", please");
    let merged = merge(&[&one.save(), &other.save()]).unwrap();
    assert_eq!(text(&merged), "tea and bread, please");
    // What was merged is a document like any other: edited on, it merges again.
    let mut later = AutoCommit::load(&merged).unwrap();
    splice(&mut later, 3, 0, ", cake");
    let merged = merge(&[&merged, &later.save(), &other.save()]).unwrap();
    assert_eq!(text(&merged), "tea, cake and bread, please");
}

#[test]
fn one_set_of_changes_has_one_form_whoever_merged_it() {
    let (mut one, mut other) = apart("abc");
    splice(&mut one, 1, 0, "1");
    splice(&mut other, 2, 1, "2");
    let (one_saved, other_saved) = (one.save(), other.save());
    let merged = merge(&[&one_saved, &other_saved]).unwrap();
    // Automerge's own merge of the two has the same changes, in whatever order.
    one.merge(&mut other).unwrap();
    let (theirs, compressed) = (one.save_nocompress(), one.save());
    for value in [&theirs, &compressed, &other_saved] {
        assert_eq!(merge(&[&merged, value]).unwrap(), merged);
    }
    assert_eq!(merge(&[&theirs, &other_saved]).unwrap(), merged);
    assert_eq!(text(&merged), text(&theirs));
}

#[test]
fn changes_alone_are_kept_until_what_they_build_on_comes() {
    let (mut one, mut other) = apart("abc");
    let heads = one.get_heads();
    splice(&mut one, 0, 0, "x");
    let first = one.save_after(&heads);
    let heads = one.get_heads();
    splice(&mut one, 0, 0, "y");
    let second = one.save_after(&heads);
    splice(&mut other, 3, 0, "z");
    let early = merge(&[&second, &first]).unwrap();
    assert_eq!(merge(&[&early, &second]).unwrap(), early);
    let merged = merge(&[&early, &other.save()]).unwrap();
    assert_eq!(text(&merged), "yxabcz");
    assert_eq!(merge(&[&first, &other.save(), &second]).unwrap(), merged);
}

#[test]
fn what_is_no_document_is_refused() {
    let (mut one, mut other) = apart("abc");
    let (whole, change) = (one.save(), one.save_after(&[]));
    let mut odd =
        vec![b"milk".to_vec(), whole[..whole.len() - 1].to_vec(), [&whole[..], b"x"].concat()];
    for value in [&whole, &change] {
        for at in 0..value.len() {
            let mut value = value.clone();
            value[at] ^= 4;
            odd.push(value);
        }
    }
    splice(&mut other, 0, 0, "x");
    for odd in odd {
        let refused = merge(&[&other.save(), &odd]);
        assert!(
            matches!(&refused, Err(MergeError::InvalidSibling { reason, .. }) if reason.contains("not a document")),
            "{refused:?}"
        );
    }
}

#[test]
fn two_who_write_under_one_name_are_told() {
    let (mut one, mut other) = apart("abc");
    for (document, letter) in [(&mut one, "x"), (&mut other, "y")] {
        document.set_actor(ActorId::from(&b"the same"[..]));
        splice(document, 0, 0, letter);
    }
    let refused = merge(&[&one.save(), &other.save()]);
    assert!(
        matches!(&refused, Err(MergeError::KeepSiblings(why)) if why.contains("under one name")),
        "{refused:?}"
    );
}

#[test]
fn nothing_is_the_empty_document() {
    let (mut one, _) = apart("abc");
    assert_eq!(text(&merge(&[b"", &one.save()]).unwrap()), "abc");
}

#[test]
fn samples_are_documents() {
    for (seed, size) in (0..20).zip([0, 32, 128, 1024].into_iter().cycle()) {
        text(&Plugin::sample(seed, size));
    }
}

#[test]
fn the_laws_hold() {
    laws::Trial::<Plugin>::new().cases(64).assert();
}
