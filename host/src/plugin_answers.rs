//! What the core can't know of plugins, put into its answers: how those of this machine are doing, what they
//! said, and what they failed on.

use kinfold_protocol::message::client::{Request, Response};
use kinfold_protocol::message::plugin::{MAX_LOG_LINES, PluginRequest, PluginResponse};

use crate::components;
use crate::inbox::Reply;
use crate::rim::Rim;

/// What of a request only this machine can answer.
pub(crate) enum Wanted {
    /// Nothing that needs to be known.
    Nothing,
    /// Lines of the log after this one.
    Logs(u64),
    /// The merges that this plugin failed on.
    Failures(String),
}

/// What of a request only this machine can answer.
pub(crate) fn wanted(request: &Request) -> Wanted {
    let Request::Plugin(request) = request else { return Wanted::Nothing };
    match request {
        PluginRequest::Logs { after } => Wanted::Logs(*after),
        PluginRequest::Failures { plugin } => Wanted::Failures(plugin.clone()),
        PluginRequest::Install(_)
        | PluginRequest::List
        | PluginRequest::Remove(_)
        | PluginRequest::Stats
        | PluginRequest::Shadow { .. }
        | PluginRequest::Rollback { .. } => Wanted::Nothing,
    }
}

/// Completes an answer of the core.
pub(crate) fn complete(rim: &Rim, wanted: &Wanted, reply: &mut Reply) {
    let Response::Plugin(response) = &mut reply.header.response else { return };
    match response {
        PluginResponse::Listed(listed) => listed.local = components::local(&rim.merger),
        PluginResponse::Logs(logs) => {
            if let Wanted::Logs(after) = wanted {
                *logs = rim.merger.logs(*after, MAX_LOG_LINES);
            }
        }
        PluginResponse::Failures(failures) => {
            if let Wanted::Failures(plugin) = wanted {
                (*failures, reply.body) = rim.merger.failures(plugin);
            }
        }
        PluginResponse::Stats(told) => {
            let stats = rim.merger.stats();
            told.merges = stats
                .buckets
                .iter()
                .map(|(plugin, buckets)| {
                    let counts = buckets.iter().map(|(b, stats)| (b.clone(), stats.into()));
                    (plugin.clone(), counts.collect())
                })
                .collect();
            told.shadows = stats.shadows;
            told.overloaded = stats.overloaded;
            told.no_plugin = stats.no_plugin;
            told.waiting = stats.waiting as u64;
        }
        PluginResponse::Installed(_) | PluginResponse::Changed { .. } => {}
    }
}
