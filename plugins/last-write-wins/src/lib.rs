//! Keeps the newest sibling.
//!
//! The winner is the sibling with the greatest time; of those with equal times, the one with the greatest bytes, where a
//! delete is smaller than any value. That is a total order, and a merged value carries both the time and the bytes of
//! its winner, so the greatest of all is found whatever the order and the brackets. Where a delete wins, the siblings
//! merge to a delete.
//!
//! The clocks decide: a node whose clock is ahead wins more often than it should. Kinfold's clocks are hybrid logical
//! ones, so at least a write always beats what its writer had seen.

use kinfold_plugin_sdk::{Context, MergeError, Resolver, Sibling, export};

/// The plugin.
pub struct LastWriteWins;

impl Resolver for LastWriteWins {
    fn merge(_: Context, siblings: Vec<Sibling>) -> Result<Option<Vec<u8>>, MergeError> {
        siblings
            .into_iter()
            .max_by(|a, b| a.time.cmp(&b.time).then_with(|| a.value.cmp(&b.value)))
            .map(|winner| winner.value)
            .ok_or_else(|| MergeError::Internal("called without siblings".into()))
    }
}

export!(LastWriteWins);

#[cfg(test)]
mod tests {
    use kinfold_plugin_sdk::laws;
    use proptest::prelude::{Strategy, any, prop, proptest};

    use super::*;

    fn sibling(value: Option<&str>, time: u64) -> Sibling {
        Sibling { value: value.map(Into::into), time }
    }

    fn winner(siblings: &[Sibling]) -> Option<Vec<u8>> {
        laws::merge::<LastWriteWins>(&Context::default(), siblings).unwrap().value
    }

    #[test]
    fn the_greatest_time_wins() {
        let siblings = [sibling(Some("z"), 1), sibling(Some("a"), 2), sibling(None, 1)];
        assert_eq!(winner(&siblings), Some(b"a".to_vec()));
    }

    #[test]
    fn tied_times_go_by_bytes() {
        let siblings = [sibling(Some("a"), 5), sibling(Some("ab"), 5), sibling(Some(""), 5)];
        assert_eq!(winner(&siblings), Some(b"ab".to_vec()));
    }

    #[test]
    fn a_later_delete_wins_and_a_tied_one_loses() {
        assert_eq!(winner(&[sibling(Some("a"), 1), sibling(None, 2)]), None);
        assert_eq!(winner(&[sibling(Some(""), 2), sibling(None, 2)]), Some(Vec::new()));
    }

    fn siblings() -> impl Strategy<Value = Vec<Sibling>> {
        // Few times and short values, so that ties and equal values are common.
        let value = prop::option::of(prop::collection::vec(0..3u8, 0..3));
        let sibling = (value, 0..3u64).prop_map(|(value, time)| Sibling { value, time });
        prop::collection::vec(sibling, 2..6)
    }

    proptest! {
        #[test]
        fn the_laws_hold(siblings in siblings()) {
            laws::check::<LastWriteWins>(&Context::default(), &siblings)?;
        }

        #[test]
        fn the_winner_is_one_of_the_siblings(
            values in prop::collection::vec(any::<Vec<u8>>(), 1..6),
        ) {
            let siblings: Vec<_> =
                values.iter().map(|value| Sibling { value: Some(value.clone()), time: 1 }).collect();
            assert_eq!(winner(&siblings).as_ref(), values.iter().max());
        }
    }
}
