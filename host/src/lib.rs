#![forbid(unsafe_code)]
//! Kinfold's storage node: the shell around the pure core.
//!
//! The core decides; this crate carries out. Everything that has a clock, a socket, a file or a thread is here, and
//! bytes from outside are parsed here once, within limits, before the core sees them.

//!
//! In reading order: [`start()`] brings a node up and gives a [`Running`]. `server` takes in connections, and
//! `client_connection` and `peer_connection` what comes over them; all of it lines up in `inbox` for `node_loop`, the one
//! owner of the core, which carries out what the core intends through `hands` (the store, the plugins) and `link` (one
//! for each peer).

mod bucket_plugin;
pub mod certificate;
mod client_connection;
mod clock;
mod close_code;
mod components;
pub mod config;
mod counters;
pub mod data_dir;
mod descriptors;
pub mod endpoint;
mod frame_reader;
mod gauge;
mod hands;
mod inbox;
pub mod joined;
mod kept_layout;
mod link;
mod link_queue;
mod meters;
mod metrics;
mod node_loop;
mod peer_connection;
mod peers;
mod plugin_answers;
mod rim;
mod running;
mod scrub;
mod seldom;
mod server;
mod shares;
mod start;
mod start_error;
pub mod tls;
pub mod token;
mod traces;
mod twin;

pub use close_code::CloseCode;
pub use descriptors::take_all as take_descriptors;
pub use kept_layout::LayoutChange;
/// Can bugs be planted in this build, to test the tests? The program does not compile if they can.
pub use kinfold_protocol::planted::CAN_BE_PLANTED;
pub use running::Running;
pub use start::{start, start_again};
pub use start_error::{StartError, StopError};
