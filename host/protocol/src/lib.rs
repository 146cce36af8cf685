#![no_std]
#![forbid(unsafe_code)]
#![allow(
    clippy::large_enum_variant,
    reason = "facts and intentions are moved once a hop; a box for each would cost an allocation a message"
)]
//! Kinfold's core: what a node of a Dynamo-style store decides, and nothing that it does.
//!
//! The crate has no standard library, so the compiler refuses a clock, a socket, a thread, a file or a random source in it.
//! [`node::Node`] takes facts and gives intentions ([`io`]); a shell carries them out: the `kinfold-host` crate with tokio and
//! quinn, the simulator with an event heap.
//!
//! Lower levels never name higher ones:
//!
//! | level | modules | what they are |
//! | --- | --- | --- |
//! | 4 | [`io`], [`node`] | the contract with the shell; routes facts to machines |
//! | 3 | `coordinator`, `handoff`, `anti_entropy`, `membership`, `rounds`, `collector`, `leaving`, `expiry` | the machines: one a request, one for hints, one for exchanges, one for gossip, two for deletes, one for what is not owned any more, one for what expires; they do not know each other |
//! | 2 | [`replica`], [`ballot`], [`survey`], `keys`, `dots`, [`store`], [`merge`], `admission` | steps on one key, pages of many |
//! | 1 | [`quorum`], [`cursor`], [`ledger`], [`stand_in`], [`ring`], [`layout`], [`record`], [`plan`], [`catalogue`], [`message`], [`encoding`], [`tree`], `healing`, `twins` | values with rules |
//! | 0 | [`causality`], [`time`], [`latency`], [`pacer`], [`trace`], [`spread`], [`id`], [`config`], [`life`], [`cbor`], [`planted`] | values |

extern crate alloc;
#[cfg(feature = "planted")]
extern crate std;

mod admission;
mod anti_entropy;
pub mod ballot;
pub mod catalogue;
pub mod causality;
pub mod cbor;
mod collector;
pub mod config;
mod coordinator;
pub mod cursor;
mod dots;
pub mod encoding;
mod expiry;
mod handoff;
mod healing;
pub mod id;
pub mod io;
mod keys;
pub mod latency;
pub mod layout;
mod leaving;
pub mod ledger;
pub mod life;
mod membership;
pub mod merge;
pub mod message;
pub mod node;
pub mod pacer;
pub mod plan;
pub mod planted;
pub mod quorum;
pub mod record;
pub mod replica;
pub mod ring;
mod rounds;
pub mod spread;
pub mod stand_in;
pub mod store;
pub mod survey;
pub mod time;
pub mod trace;
pub mod tree;
mod twins;
