//! What the clients ask: mix, keys, values.
//!
//! Blind puts of one key would pile up siblings in a bucket of siblings, and a bench that measures that measures nothing
//! that anybody does. So a put writes a key that nobody wrote before, or one that its client alone writes and whose context it
//! carries on, or, where a plugin folds siblings, any key.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::chance::{Chance, scramble};
use super::distribution::{Distribution, Draw};
use super::values::Values;

/// Which keys puts write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Writes {
    /// A new key each.
    Fresh,
    /// Each client its share of the keys, with the context of its last write.
    Own,
    /// Any key, without a context.
    Blind,
}

/// What the clients of a bench ask.
#[derive(Debug)]
pub(crate) struct Workload {
    /// Puts and gets, in proportion.
    pub(crate) puts: u64,
    /// See `puts`.
    pub(crate) gets: u64,
    /// Keys that are written before anything is measured, and then read.
    pub(crate) keys: u64,
    /// How many clients there are, at least one.
    pub(crate) clients: u64,
    /// How requests are spread over the keys.
    pub(crate) distribution: Distribution,
    /// Which keys puts write.
    pub(crate) writes: Writes,
    /// Keys and values.
    pub(crate) values: Values,
    /// Keys that were written, those of [`Workload::keys`] first.
    pub(crate) fresh: AtomicU64,
    /// Where chance comes from.
    pub(crate) seed: u64,
}

/// A request.
#[derive(Debug)]
pub(crate) enum Request {
    /// Writes a value to a key.
    Put {
        /// The number of the key, if its context is to be carried on.
        number: Option<u64>,
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
    },
    /// Reads a key.
    Get {
        /// The key.
        key: Bytes,
        /// What must be found; `None` if that is not known.
        expected: Option<Bytes>,
    },
}

/// One client's part of a workload. `S` is what a write's answer gives to the next write of the key.
#[derive(Debug)]
pub(crate) struct Client<S> {
    number: u64,
    chance: Chance,
    draw: Draw,
    turn: u64,
    /// What the client knows of its own keys.
    pub(crate) seen: BTreeMap<u64, S>,
}

impl Workload {
    /// A client at its start.
    pub(crate) fn client<S>(&self, number: u64) -> Client<S> {
        Client {
            number,
            chance: Chance::new(scramble(self.seed.wrapping_add(number))),
            draw: Draw::new(self.distribution, self.keys, number, self.clients),
            turn: 0,
            seen: BTreeMap::new(),
        }
    }

    /// The puts by which a client fills its share of the keys.
    pub(crate) fn filling(&self, client: u64) -> impl Iterator<Item = Request> {
        let share = (client..self.keys).step_by(usize::try_from(self.clients).unwrap_or(1));
        share.map(move |number| Request::Put {
            number: (self.writes == Writes::Own).then_some(number),
            key: self.values.key(number),
            value: self.values.value(number, 0),
        })
    }

    /// A client's next request.
    pub(crate) fn next<S>(&self, client: &mut Client<S>) -> Request {
        if client.chance.below(self.puts + self.gets) >= self.puts {
            let number = client.draw.next(&mut client.chance);
            let unchanged = self.writes == Writes::Fresh;
            let expected = unchanged.then(|| self.values.value(number, 0));
            return Request::Get { key: self.values.key(number), expected };
        }
        client.turn += 1;
        let number = match self.writes {
            Writes::Fresh => self.fresh.fetch_add(1, Ordering::Relaxed),
            Writes::Blind => client.draw.next(&mut client.chance),
            Writes::Own => {
                let drawn = client.draw.next(&mut client.chance);
                let own = drawn - drawn % self.clients + client.number;
                if own < self.keys { own } else { client.number }
            }
        };
        // Nobody else makes the same of this turn and this client.
        let turn = client.turn * self.clients + client.number;
        Request::Put {
            number: (self.writes == Writes::Own).then_some(number),
            key: self.values.key(number),
            value: self.values.value(number, turn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn workload(puts: u64, gets: u64, writes: Writes) -> Workload {
        Workload {
            puts,
            gets,
            keys: 100,
            clients: 8,
            distribution: Distribution::Uniform,
            writes,
            values: Values::new(1, 32, 100),
            fresh: AtomicU64::new(100),
            seed: 1,
        }
    }

    #[test]
    fn the_mix_is_kept() {
        let workload = workload(1, 3, Writes::Fresh);
        let mut client = workload.client::<()>(0);
        let requests = (0..4_000).map(|_| workload.next(&mut client));
        let puts = requests.filter(|r| matches!(r, Request::Put { .. })).count();
        assert!((900..1_100).contains(&puts), "{puts}");
    }

    #[test]
    fn fresh_keys_are_never_written_twice() {
        let workload = workload(1, 0, Writes::Fresh);
        let mut keys: BTreeSet<_> = (0..100).map(|number| workload.values.key(number)).collect();
        for number in 0..8 {
            let mut client = workload.client::<()>(number);
            for _ in 0..100 {
                let Request::Put { number: None, key, .. } = workload.next(&mut client) else {
                    panic!("only puts");
                };
                assert!(keys.insert(key));
            }
        }
    }

    #[test]
    fn own_keys_are_filled_and_written_by_one_client_only() {
        let workload = workload(1, 0, Writes::Own);
        let mut filled = 0;
        for client in 0..8 {
            let own: BTreeSet<_> = workload.filling(client).filter_map(number).collect();
            filled += own.len();
            let mut caller = workload.client::<()>(client);
            assert!(
                (0..500)
                    .filter_map(|_| number(workload.next(&mut caller)))
                    .all(|n| own.contains(&n))
            );
        }
        assert_eq!(filled, 100);
    }

    fn number(request: Request) -> Option<u64> {
        match request {
            Request::Put { number, .. } => number,
            Request::Get { .. } => None,
        }
    }

    #[test]
    fn gets_expect_what_filling_wrote() {
        let workload = workload(0, 1, Writes::Fresh);
        let filled: BTreeMap<_, _> = (0..8)
            .flat_map(|client| workload.filling(client))
            .map(|request| match request {
                Request::Put { key, value, .. } => (key, value),
                Request::Get { .. } => panic!("filling only writes"),
            })
            .collect();
        let mut client = workload.client::<()>(0);
        for _ in 0..200 {
            let Request::Get { key, expected } = workload.next(&mut client) else {
                panic!("only gets");
            };
            assert_eq!(filled.get(&key), expected.as_ref());
        }
    }
}
