#![forbid(unsafe_code)]
//! The simulator: the core of a whole cluster on one heap of events, with simulated clocks, network and disks.
//!
//! A run is a function of its seed. It begins quietly, then everything goes wrong that can (see [`fault`]), then nothing
//! does any more; in the end the checkers judge all that happened. Read in this order:
//!
//! - [`scenario`]: what a seed means; `schedule`: what goes wrong, and when;
//! - [`run`]: the phases of a run; [`world`]: the order of what happens; `shell`: around each node;
//! - [`machine`], [`disk`], [`clock`], [`net`], [`plugins`], [`client`], [`session`]: what the core and its clients live on;
//! - [`history`], [`past`], [`ending`] and [`checker`]: what is judged, and how; a cluster of processes is judged by the same;
//! - [`bank`]: which lane catches which planted bug (`kinfold_protocol::planted`);
//! - [`stage`]: a small cluster set up by hand, for named scenarios;
//! - [`storm`]: conditional puts on one key, and owners that lose power;
//! - [`register`]: histories of one register, for outside judges of the checker;
//! - [`gossip`]: failure detection, measured;
//! - [`balance`]: how evenly layouts spread load, and how little they move;
//! - [`measure`]: what an exchange costs in a large keyspace;
//! - [`staleness`]: how soon a write is read, under the latencies of production systems in [`latency`];
//! - [`causality`]: traces of the reference implementation of dotted version vector sets, replayed.

pub mod agenda;
pub mod balance;
pub mod bank;
pub mod bits;
pub mod causality;
pub mod checker;
pub mod client;
pub mod clock;
pub mod disk;
pub mod ending;
pub mod event;
pub mod fault;
pub mod gossip;
pub mod history;
mod imprint;
pub mod keyspace;
pub mod latency;
pub mod machine;
pub mod measure;
pub mod net;
pub mod past;
mod pledge;
pub mod plugins;
pub mod register;
pub mod rng;
pub mod run;
pub mod scenario;
mod schedule;
pub mod session;
mod shell;
pub mod stage;
pub mod staleness;
pub mod storm;
pub mod trace;
pub mod world;
