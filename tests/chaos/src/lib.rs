#![forbid(unsafe_code)]
//! Chaos among real processes: five nodes on loopback, a network between them that a seed makes bad, and everything done to them that
//! can be done to a process and its disk. Clients write a history, and the simulator's checkers judge it.
//!
//! The plan of faults is a function of the seed; what comes of it is not, since processes run as they please. Read in this order:
//!
//! - [`plan`]: what goes wrong, and when;
//! - [`run`]: the phases of a run, and [`strike`]: how each fault is carried out;
//! - [`site`], [`process`], [`proxy`], [`shim`], [`disk`]: what nodes run on, and what makes it fail;
//! - [`guest`]: a node that joins and leaves; [`cuts`]: a run that does nothing but cut connections at each step of that;
//! - [`load`] and [`keys`]: what clients do;
//! - [`calm`]: what all replicas hold in the end; [`report`]: what came of it.

pub mod calm;
pub mod cuts;
pub mod disk;
pub mod error;
pub mod guest;
pub mod keys;
pub mod load;
pub mod plan;
pub mod process;
pub mod proxy;
pub mod report;
pub mod run;
pub mod shim;
pub mod site;
pub mod strike;
