//! The sandbox with real components: those that the SDK makes, and hostile ones written by hand.

mod hostile;
mod load;
mod merger;
mod plugins;
mod support;
