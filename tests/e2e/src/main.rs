#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test whose stage can't be set fails")]
//! Kinfold from outside: the program itself, as processes on this machine, with real QUIC, disks and plugins.
//!
//! `program`, `site` and `load` set the stage; every other file is one kind of thing that a user or a disk or a crash can do to it.
//! `house` is apart: it holds the directions of the dependencies.

mod cluster;
mod conditional;
mod crash;
mod damage;
mod deletes;
mod demo;
mod disk;
mod documents;
mod early;
mod expiry;
mod explain;
mod floods;
mod frames;
mod house;
mod languages;
mod listing;
mod load;
mod outside;
mod plugin_commands;
mod plugin_life;
mod plugins;
mod power;
mod program;
mod refusals;
mod reshaping;
mod roundtrip;
mod scrub;
mod shared;
mod site;
mod stand_in;
mod twins;
