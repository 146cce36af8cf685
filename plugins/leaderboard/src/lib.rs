//! A high-score table: the best score of each player, and of those the best players.
//!
//! When a network cut splits a game's servers, both sides go on taking scores, and both tables are right. Afterwards this
//! plugin makes the one table that would have been there without the cut.
//!
//! A value is text, one `PLAYER<TAB>SCORE` a line: the player is any bytes but tab and newline, the score a decimal number
//! below 2^64. The newline of the last line may be missing; the empty value is the empty table. A merged table has each player
//! once, is sorted by score, the highest first, then by the player's bytes, and stops after K players. K is the bucket's
//! config, a decimal number; without one it is 100.
//!
//! Cutting the table off keeps the merge associative because the order is total, ties included: whoever was cut off had
//! K better players before them, whose scores can only rise when more tables are merged.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use kinfold_plugin_sdk::{Chance, Context, MergeError, Resolver, Samples, Sibling, export};

const DEFAULT_PLAYERS: usize = 100;

/// The plugin.
pub struct Leaderboard;

impl Resolver for Leaderboard {
    fn merge(ctx: Context, siblings: Vec<Sibling>) -> Result<Option<Vec<u8>>, MergeError> {
        let players = players(&ctx.config)?;
        let mut best: BTreeMap<&[u8], u64> = BTreeMap::new();
        for (index, sibling) in (0..).zip(&siblings) {
            // The store settles deletes by itself; if one comes nevertheless it adds no scores.
            let table = sibling.value.as_deref().unwrap_or_default();
            for (number, line) in (1..).zip(lines(table)) {
                let (player, score) = entry(line).map_err(|fault| MergeError::InvalidSibling {
                    index,
                    reason: format!("line {number}: {fault}"),
                })?;
                match best.entry(player) {
                    Entry::Vacant(entry) => {
                        entry.insert(score);
                    }
                    Entry::Occupied(mut entry) => {
                        entry.insert(score.max(*entry.get()));
                    }
                }
            }
        }
        let mut ranks: Vec<_> = best.into_iter().collect();
        ranks.sort_by(|(p, a), (q, b)| b.cmp(a).then_with(|| p.cmp(q)));
        ranks.truncate(players);
        let mut merged = Vec::new();
        for (player, score) in ranks {
            merged.extend_from_slice(player);
            merged.push(b'\t');
            merged.extend_from_slice(score.to_string().as_bytes());
            merged.push(b'\n');
        }
        Ok(Some(merged))
    }
}

impl Samples for Leaderboard {
    fn sample(seed: u64, size: u32) -> Vec<u8> {
        let mut chance = Chance::new(seed);
        let line = |_| format!("p{}\t{}\n", chance.below(3 + u64::from(size / 8)), chance.below(9));
        (0..=size / 5).map(line).collect::<String>().into_bytes()
    }
}

export!(Leaderboard, samples);

/// How many players a table keeps.
fn players(config: &[u8]) -> Result<usize, MergeError> {
    let config = config.trim_ascii();
    if config.is_empty() {
        return Ok(DEFAULT_PLAYERS);
    }
    // A number that is merely large means "all of them", on 32 bits as on 64.
    match number(config) {
        Some(players) if players > 0 => Ok(usize::try_from(players).unwrap_or(usize::MAX)),
        Some(_) | None => Err(MergeError::Internal(format!(
            "the bucket's config must be the number of players to keep, at least 1, not `{}`",
            config.escape_ascii()
        ))),
    }
}

/// The lines of a table, without their newlines.
fn lines(table: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = table.strip_suffix(b"\n").unwrap_or(table);
    let lines = (!table.is_empty()).then(|| text.split(|&byte| byte == b'\n'));
    lines.into_iter().flatten()
}

fn entry(line: &[u8]) -> Result<(&[u8], u64), &'static str> {
    let tab = line.iter().position(|&byte| byte == b'\t');
    let (player, score) = line.split_at(tab.ok_or("there is no tab between player and score")?);
    let score = number(&score[1..]).ok_or("the score is not a decimal number below 2^64")?;
    Ok((player, score))
}

/// Reads decimal digits and nothing else: no sign, no blank.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|&digit| digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

#[cfg(test)]
mod tests {
    use kinfold_plugin_sdk::laws;
    use proptest::prelude::{Strategy, any, prop, proptest};

    use super::*;

    fn config(config: &str) -> Context {
        Context { config: config.into(), ..Context::default() }
    }

    fn merge(ctx: Context, tables: &[&str]) -> Result<String, MergeError> {
        let sibling = |table: &&str| Sibling { value: Some((*table).into()), time: 7 };
        let merged = Leaderboard::merge(ctx, tables.iter().map(sibling).collect())?;
        Ok(String::from_utf8(merged.unwrap()).unwrap())
    }

    #[test]
    fn both_sides_of_a_cut_are_kept() {
        let tables = ["ada\t90\nbob\t70\n", "bob\t80\ncyd\t75"];
        let merged = merge(Context::default(), &tables).unwrap();
        assert_eq!(merged, "ada\t90\nbob\t80\ncyd\t75\n");
    }

    #[test]
    fn ties_go_by_the_name_also_at_the_cut() {
        let merged = merge(config("2"), &["b\t5\nc\t5\n", "a\t5\n"]).unwrap();
        assert_eq!(merged, "a\t5\nb\t5\n");
    }

    #[test]
    fn scores_are_compared_as_numbers_and_written_plainly() {
        let merged = merge(config(" 10\n"), &["a\t9\nb\t010\n", "c\t18446744073709551615"]);
        assert_eq!(merged.unwrap(), "c\t18446744073709551615\nb\t10\na\t9\n");
    }

    #[test]
    fn a_malformed_line_is_named() {
        for (table, fault) in [
            ("a\t1\nb 2\n", "line 2: there is no tab"),
            ("a\t1\n\nb\t2", "line 2: there is no tab"),
            ("a\t-1", "line 1: the score is not a decimal"),
            ("a\t", "line 1: the score is not a decimal"),
            ("a\t1\tb", "line 1: the score is not a decimal"),
            ("a\t18446744073709551616", "line 1: the score is not a decimal"),
        ] {
            let Err(MergeError::InvalidSibling { index, reason }) =
                merge(Context::default(), &["", table])
            else {
                panic!("{table:?} was accepted");
            };
            assert_eq!(index, 1);
            assert!(reason.starts_with(fault), "{table:?}: {reason}");
        }
    }

    #[test]
    fn a_config_that_is_not_a_number_is_refused() {
        for bad in ["0", "ten", "-1", "1 2"] {
            let refused = merge(config(bad), &["", "a\t1"]);
            assert!(matches!(refused, Err(MergeError::Internal(_))), "{bad}");
        }
        assert!(merge(config("99999999999999999999"), &["", "a\t1"]).is_err());
        assert!(merge(config("9999999999999999999"), &["", "a\t1"]).is_ok());
    }

    fn tables() -> impl Strategy<Value = Vec<Sibling>> {
        // Few players, few scores and unsorted, repeated lines: ties at the cut are common.
        let player = prop::sample::select(vec!["", "a", "b", "ab", "\r", "0"]);
        let line = (player, 0..4u64).prop_map(|(player, score)| format!("{player}\t{score}"));
        let table = prop::collection::vec(line, 0..6).prop_map(|lines| lines.join("\n"));
        let sibling = (prop::option::weighted(0.9, table), 0..3u64)
            .prop_map(|(table, time)| Sibling { value: table.map(Into::into), time });
        prop::collection::vec(sibling, 2..6)
    }

    proptest! {
        #[test]
        fn the_laws_hold(siblings in tables(), players in 1..5u8) {
            laws::check::<Leaderboard>(&config(&players.to_string()), &siblings)?;
        }

        #[test]
        fn any_bytes_get_an_answer(a in any::<Vec<u8>>(), b in any::<Vec<u8>>()) {
            let siblings = [a, b].map(|value| Sibling { value: Some(value), time: 1 });
            let _ = Leaderboard::merge(Context::default(), siblings.into());
        }
    }
}
