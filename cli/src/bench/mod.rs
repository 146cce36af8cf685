//! What `kinfold bench` is made of.
//!
//! `workload` says what the clients ask, with keys and values from `values` and `distribution`; `run` is the loop that asks
//! a `Target` and counts into `measure`. There are two targets: `product`, a cluster of Kinfold nodes, and `floor`, which
//! moves the same bytes and does nothing with them. `cluster` starts the nodes, `duel` lets the two take turns, and
//! `report` says what came of it. There are other measurements: `conflict`, a get that has to merge, beside one that has not; `batch`, many
//! keys in one call beside one by one; `beside`, requests while nodes compare what they hold, beside the same requests in quiet;
//! `joining`, requests while a node joins; and `ycsb`, the workloads by which stores are compared.

pub(crate) mod batch;
pub(crate) mod beside;
mod chance;
pub(crate) mod cluster;
pub(crate) mod conflict;
pub(crate) mod distribution;
pub(crate) mod duel;
pub(crate) mod floor;
pub(crate) mod joining;
mod measure;
pub(crate) mod plan;
mod product;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod size;
mod values;
pub(crate) mod workload;
pub(crate) mod ycsb;
