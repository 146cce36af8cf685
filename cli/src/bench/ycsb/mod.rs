//! YCSB's core workloads a, b, c, d and f, with its own distributions, in a closed loop.
//!
//! `generator` draws records as YCSB does, `mix` says what is asked of them, `run` asks, `report` and `plot` say what came of it.
//! Workload e scans ranges of keys, which Kinfold does not have.
//!
//! YCSB updates a record without reading it. Such writes know nothing of each other and would pile up as siblings, so the bucket folds
//! them with a lattice plugin, `last-write-wins` unless another one is named. A record is one value: an update writes all of it, where
//! YCSB writes one field of ten.

mod generator;
pub(crate) mod mix;
mod plot;
mod report;
pub(crate) mod run;
