//! The sandbox with real components: those that the SDK makes, and hostile ones written by hand.
#![expect(clippy::unwrap_used, reason = "what fails in a test's helper fails the test")]

mod catalogue;
mod hostile;
mod laws;
mod life;
mod load;
mod merger;
mod plugins;
mod support;
