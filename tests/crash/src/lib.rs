//! The real store on a real disk that fails.
//!
//! [`load`] says what is written and in which order; [`writer`] is the process that writes it and tells of what is durable;
//! [`judge`] says what must hold afterwards. Around them, one failure a file:
//!
//! - [`chain`]: kills and power cuts, again and again in one directory;
//! - [`faults`]: calls of the operating system that fail.

pub mod chain;
pub mod chance;
pub mod child;
pub mod faults;
pub mod image;
pub mod judge;
pub mod load;
pub mod report;
pub mod writer;
