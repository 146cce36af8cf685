//! Who has seen what: dots, contexts, and objects whose siblings are joined without loss.
//!
//! The model is the dotted version vector set of Preguiça et al. (2012) and Almeida et al. (2014), with one change: a
//! context is a set of *intervals* of an actor's dots instead of "all dots up to here". A vector claims too much when the
//! actor has lost a dot it once made (a crash before its sync, a hint handed over, a key collected and created again), and a
//! claim on a dot that others still hold kills it there. An interval claims what its opener held, and nothing before.

mod acceptor;
mod content;
mod context;
mod dot;
mod epoch;
mod lattice;
mod marks;
mod object;
mod owed;
mod stored;
mod version;

pub use acceptor::{Acceptor, Ballot};
pub use content::{Content, Digest};
pub use context::{Context, ContextError, Interval};
pub use dot::Dot;
pub use epoch::{Epoch, MOST_BLENDS};
pub use marks::Marks;
pub use object::{MAX_REQUESTS, Object, Opened};
pub use owed::{Debt, DebtChange, Owed};
pub use stored::Stored;
pub use version::{Generation, Version};
