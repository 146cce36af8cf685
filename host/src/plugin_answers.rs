//! What the core can't know of plugins, put into its answers: how those of this machine are doing, and what they said.

use kinfold_protocol::message::client::{Request, Response};
use kinfold_protocol::message::plugin::{MAX_LOG_LINES, PluginRequest, PluginResponse};

use crate::components;
use crate::rim::Rim;

/// The number after which the lines of a log are wanted, if a request wants some.
pub(crate) fn wanted_after(request: &Request) -> u64 {
    if let Request::Plugin(PluginRequest::Logs { after }) = request { *after } else { 0 }
}

/// Completes an answer of the core.
pub(crate) fn complete(rim: &Rim, after: u64, response: &mut Response) {
    let Response::Plugin(response) = response else { return };
    match response {
        PluginResponse::Listed(listed) => listed.local = components::local(&rim.merger),
        PluginResponse::Logs(logs) => *logs = rim.merger.logs(after, MAX_LOG_LINES),
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
