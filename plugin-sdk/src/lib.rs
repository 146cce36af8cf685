//! Write a Kinfold plugin in Rust: implement [`Resolver`], name it in [`export!`], and build for
//! `wasm32-unknown-unknown` with crate type `cdylib`.
//!
//! ```
//! use kinfold_plugin_sdk::{Context, MergeError, Resolver, Sibling, export};
//!
//! /// Keeps the longest value; of equally long ones the greatest.
//! struct Longest;
//!
//! impl Resolver for Longest {
//!     fn merge(_: Context, siblings: Vec<Sibling>) -> Result<Option<Vec<u8>>, MergeError> {
//!         Ok(siblings
//!             .into_iter()
//!             .filter_map(|sibling| sibling.value)
//!             .max_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b))))
//!     }
//! }
//!
//! export!(Longest);
//! # fn main() {}
//! ```
//!
//! With crate type `["cdylib", "rlib"]` the same crate is an ordinary library for every other target, so `cargo test`
//! runs natively; [`laws`] has the checks that such tests want.
//!
//! Three things differ from an ordinary program, and all three are this crate's business:
//!
//! - A fresh instance runs every merge, so memory need never be given back: the allocator only counts upwards.
//! - The compiler can't unwind on this target, so a panic can't be caught. Its message is written to the host's log
//!   just before the instance traps, and the host reports the merge as failed with
//!   [`MergeError::Internal`] and that message.
//! - [`log()`] is all there is of an outside world. `println!` goes nowhere; time and threads panic.

#[cfg(all(target_arch = "wasm32", feature = "allocator"))]
mod allocator;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod component;
mod export;
pub mod laws;
mod log;
mod resolver;
mod samples;

pub use log::{Level, log};
pub use resolver::{Context, MergeError, Resolver, Sibling, Validator};
pub use samples::{Chance, Samples};
