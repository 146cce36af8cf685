#![forbid(unsafe_code)]
//! Kinfold's client: reads and writes keys of a cluster over QUIC.
//!
//! It learns from a few seeds who the nodes are and what they own, goes straight to an owner of the key, and to another one
//! when that does not answer, until a deadline. Each write keeps its request id over all attempts, so it is never
//! written twice.
//!
//! ```no_run
//! use kinfold_client::{Client, Options};
//!
//! # async fn run() -> Result<(), kinfold_client::Error> {
//! let client = Client::connect(Options::from_file("client.toml")?).await?;
//! let carts = client.bucket("carts")?;
//!
//! carts.put("alice", "milk\n").await?;
//!
//! let found = carts.get("alice").await?;
//! for value in &found.values {
//!     println!("{}", value.escape_ascii());
//! }
//! // The context says what this write is based on: it replaces what the read has seen, and nothing else.
//! carts.put("alice", "milk\nbread\n").context(found.context).await?;
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Siblings
//!
//! Writers that do not know of each other leave *siblings*: a get finds several values. A bucket with a plugin merges them;
//! in one without, the reader does, and writes the result with the read's context. [`Bucket::update`] does both
//! steps; [`Found::one`] is for callers who expect a single value.
//!
//! # Values of the shipped plugins
//!
//! [`Shared`] is a handle on a counter, a set, a cart or a document that many change at once: it writes what changed, without
//! reading first, and the bucket's plugin joins it with the rest.
//!
//! # When something goes wrong
//!
//! [`Error`] is sorted by what a caller can do. Only [`Error::Unknown`] leaves open whether a write happened: read to
//! see, or repeat the write with the request id that the error carries.
//!
//! ```no_run
//! use kinfold_client::{Bucket, Error};
//!
//! # async fn run(carts: Bucket) -> Result<(), Error> {
//! match carts.put("alice", "milk\n").await {
//!     Err(Error::Unknown { request: Some(request), .. }) => {
//!         carts.put("alice", "milk\n").request(request).await?;
//!     }
//!     done => {
//!         done?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod admin;
mod answer;
mod batch;
mod bucket;
mod client;
mod context;
mod course;
mod error;
mod exchange;
mod found;
mod get;
mod hedge;
mod list;
mod nodes;
mod options;
mod plugins;
pub mod quic;
mod request_id;
mod ring;
mod route;
mod shared;
mod tls;
mod write;
mod written;

pub use admin::NodeStatus;
pub use bucket::Bucket;
pub use client::Client;
pub use context::CausalContext;
pub use error::Error;
pub use found::Found;
pub use get::Get;
pub use list::{KeyPage, List};
pub use options::{DEFAULT_DEADLINE, Options, Profile};
pub use plugins::FailedInput;
pub use request_id::RequestId;
pub use ring::Planned;
pub use shared::Shared;
pub use write::{Delete, Put};
pub use written::Written;

/// The values of the shipped plugins.
pub use kinfold_values as values;

/// What going from one layout to another comes to.
pub use kinfold_protocol::layout::moves;

/// The ring's record, as nodes decide it by votes.
pub use kinfold_protocol::record;

/// What is told of a key that is explained.
pub use kinfold_protocol::message::explain;

pub use kinfold_protocol::catalogue::{
    BucketEntry, Component, Contract, Evidence, LawEvidence, LawVerdict, MemberChange,
    MergeFunction, Release,
};
pub use kinfold_protocol::causality::{Content, Context, Digest, Dot};
pub use kinfold_protocol::config::{BucketConfig, Consistency, MAX_COPIES, Mode, Tombstones};
pub use kinfold_protocol::id::{Actor, BucketName, Key, NodeId};
pub use kinfold_protocol::layout::{Layout, Member};
pub use kinfold_protocol::ledger::{Discarded, Reason};
pub use kinfold_protocol::message::client::{
    BucketChange, Code, DeleteStatus, HeldBack, PeerStatus, Reach, ScrubPass, ScrubStatus, Status,
};
pub use kinfold_protocol::message::cluster::ClusterStatus;
pub use kinfold_protocol::message::plugin::{
    ComponentState, Histogram, Install, Installed, Listed, LocalPlugin, LogLine, Logs, MergeCounts,
    NodePlugins, ShadowCounts,
};
pub use kinfold_protocol::message::vote::Progress;
pub use kinfold_protocol::plan::{COPIES, Plan};
pub use kinfold_protocol::ring::{Partition, Ring};
pub use kinfold_protocol::time::{Expiry, Timestamp};
pub use kinfold_protocol::trace::TraceContext;
