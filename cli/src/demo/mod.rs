//! The demo: three nodes, real QUIC, a real cut, and a check of what became of every acknowledged write.
//!
//! `story` is the whole of it in order. It plays the scenes of `script` and loads the `records` that are computed from
//! an `atlas`; `cluster` and `wire` are what it plays on; `check` decides, and has tests that show what it catches; `stage`,
//! `tableau` and `boxes` show it.

mod atlas;
mod boxes;
mod check;
mod cluster;
mod records;
mod script;
mod spread;
mod stage;
mod story;
mod tableau;
mod wire;

pub(crate) use stage::Stage;
pub(crate) use story::play;
