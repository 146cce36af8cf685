//! Requests of one client: `kinfold/1`, one bidirectional stream a request, one task a stream.
//!
//! What must hold: every request that came in whole has exactly one answer; one that did not, because it is malformed,
//! too long or too late, is told so on its stream, and the connection stays good for others.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinfold_protocol::catalogue::MemberChange;
use kinfold_protocol::cbor;
use kinfold_protocol::message::client::{Code, Request, RequestHeader, Response};
use kinfold_protocol::message::cluster::ClusterRequest;
use kinfold_protocol::message::frame::Frame;
use kinfold_protocol::message::plugin::{MAX_COMPONENT, PluginRequest};
use quinn::{Connection, RecvStream, SendStream, WriteError};
use tokio::sync::oneshot;
use tracing::{Instrument, debug, debug_span};

use crate::bucket_plugin;
use crate::certificate::Role;
use crate::components::trial;
use crate::frame_reader::{FrameReadError, FrameReader};
use crate::gauge::Permit;
use crate::inbox::{Arrival, Asked, Reply};
use crate::plugin_answers;
use crate::rim::Rim;
use crate::shares::Share;

/// A request that is not here whole after so long is given up: its place is for others. 16 MiB at 5 Mbit/s.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// An answer that is not taken after so long is given up, for the same reason.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    /// What it may act as.
    pub(crate) role: Role,
    /// The name in its certificate.
    pub(crate) name: Arc<str>,
    /// What that certificate may take.
    pub(crate) share: Arc<Share>,
}

impl Who {
    /// May it change what this request changes? Operators may; and a node, since the authority vouches for its name, may stage
    /// that it joins under this name, or takes another's place.
    fn may_change(&self, request: &Request) -> bool {
        match self.role {
            Role::Admin => true,
            Role::Client => false,
            Role::Node => {
                let Request::Cluster(ClusterRequest::Stage(changes)) = request else {
                    return false;
                };
                changes.iter().all(|(_, change)| match change {
                    Some(MemberChange::Join(member) | MemberChange::Replace { by: member, .. }) => {
                        *member.name == *self.name
                    }
                    Some(
                        MemberChange::Leave { .. }
                        | MemberChange::SetZone(_)
                        | MemberChange::SetCapacity(_),
                    )
                    | None => false,
                })
            }
        }
    }
}

/// Serves requests until the connection ends.
pub(crate) async fn serve(connection: &Connection, rim: &Arc<Rim>, who: Who) {
    while let Ok((send, receive)) = connection.accept_bi().await {
        rim.counters.client_streams.one();
        let span = debug_span!("request", stream = %send.id());
        tokio::spawn(request(Arc::clone(rim), send, receive, who.clone()).instrument(span));
    }
}

/// A request that was not put to the core.
enum Unasked {
    /// Answer this.
    Refused(Code, String),
    /// There is nobody to answer.
    Gone,
}

impl From<FrameReadError> for Unasked {
    fn from(error: FrameReadError) -> Self {
        match error {
            FrameReadError::Gone(_) => Self::Gone,
            FrameReadError::Bounds(_) | FrameReadError::Truncated { .. } => {
                Self::Refused(Code::Malformed, format!("the frame is malformed: {error}"))
            }
        }
    }
}

async fn request(rim: Arc<Rim>, mut send: SendStream, receive: RecvStream, who: Who) {
    let mut reader = FrameReader::new(receive);
    let read = tokio::time::timeout(READ_TIMEOUT, read(&rim, &who, &mut reader)).await;
    let asked = read.unwrap_or_else(|_elapsed| {
        let seconds = READ_TIMEOUT.as_secs();
        Err(Unasked::Refused(Code::Malformed, format!("the frame was not here within {seconds} s")))
    });
    // The permit is held until the answer is written.
    let (reply, _permit) = match asked {
        Ok((header, body, permit)) => {
            rim.counters.requests.one();
            let (kind, begun) = (header.request.kind(), Instant::now());
            let reply = carry_out(&rim, &who, header, body).await;
            rim.counters.meters.answered(kind, &reply.header.response, begun.elapsed());
            if is_foreground(kind) {
                rim.scrub.answered(begun.elapsed());
            }
            (reply, Some(permit))
        }
        Err(Unasked::Refused(code, message)) => {
            let refused = &rim.counters;
            if code == Code::Malformed {
                refused.requests_malformed.one();
            } else {
                refused.requests_turned_away.one();
            }
            debug!(?code, message, "refused");
            (rim.failed(code, message), None)
        }
        Err(Unasked::Gone) => return,
    };
    let written = tokio::time::timeout(WRITE_TIMEOUT, write(&rim, &mut send, reply)).await;
    if !matches!(written, Ok(Ok(()))) {
        debug!("the answer was not taken");
    }
}

/// Reads a request whole, within what there is room for.
async fn read(
    rim: &Rim,
    who: &Who,
    reader: &mut FrameReader,
) -> Result<(RequestHeader, Bytes, Permit), Unasked> {
    let refused = |code, message: String| Err(Unasked::Refused(code, message));
    let Some(prefix) = reader.prefix().await? else {
        return refused(Code::Malformed, "the stream ended before a frame".to_owned());
    };
    // Whether the body is a component shows in the header only.
    if prefix.body > rim.value_bytes.max(MAX_COMPONENT) {
        return refused(Code::TooLarge, too_large(prefix.body, rim.value_bytes));
    }
    if rim.is_stopping() {
        let message = "the node is stopping: ask another one".to_owned();
        return refused(Code::Unavailable, message);
    }
    let (header, body) = (prefix.header as usize, prefix.body as usize);
    let Some(_arriving) = who.share.arriving.enter(header + body) else {
        let message = "as many requests as one client may have are on their way here";
        return refused(Code::Overloaded, message.to_owned());
    };
    let Some(permit) = rim.requests.enter(header + body) else {
        let message = "the node has as many requests in progress as it may have".to_owned();
        return refused(Code::Overloaded, message);
    };
    let header = reader.take("its header", header).await?;
    let header: RequestHeader = cbor::decode(&header).map_err(|error| {
        Unasked::Refused(Code::Malformed, format!("the request's header is malformed: {error}"))
    })?;
    let most = if let Request::Plugin(PluginRequest::Install(_)) = &header.request {
        if who.role != Role::Admin {
            let message =
                "installing a plugin needs a certificate of the admin role; nothing was installed";
            return refused(Code::Forbidden, message.to_owned());
        }
        MAX_COMPONENT
    } else {
        rim.value_bytes
    };
    if prefix.body > most {
        return refused(Code::TooLarge, too_large(prefix.body, most));
    }
    if body > 0 && !header.request.has_body() {
        let message =
            format!("a {} has no body, and here is one of {body} bytes", header.request.kind());
        return refused(Code::Malformed, message);
    }
    bucket_plugin::check(&header.request, |name| rim.merger.manifest(name))
        .map_err(|error| Unasked::Refused(Code::BadRequest, error.to_string()))?;
    let body = reader.take("its body", body).await?;
    match reader.surplus() {
        0 => Ok((header, body, permit)),
        surplus => {
            let message = format!("{surplus} bytes follow the frame: one request a stream");
            refused(Code::Malformed, message)
        }
    }
}

fn too_large(bytes: u32, most: u32) -> String {
    format!("a value of {bytes} bytes: this node takes at most {most}")
}

/// Answers a request: by a trial of a component, or through the core.
async fn carry_out(rim: &Rim, who: &Who, header: RequestHeader, body: Bytes) -> Reply {
    if let Request::Plugin(PluginRequest::Install(install)) = header.request {
        return trial::install(rim, &who.name, install, body).await;
    }
    if header.request == Request::Scrub {
        if who.role != Role::Admin {
            let text =
                "having a disk read back needs a certificate of the admin role; nothing was begun";
            return rim.failed(Code::Forbidden, text);
        }
        rim.scrub.hurry();
    }
    let wanted = plugin_answers::wanted(&header.request);
    let admin = who.may_change(&header.request);
    let mut reply = ask(rim, admin, header, body).await;
    plugin_answers::complete(rim, &wanted, &mut reply);
    reply
}

async fn ask(rim: &Rim, admin: bool, header: RequestHeader, body: Bytes) -> Reply {
    let (answer, reply) = oneshot::channel();
    let asked = Arrival::Request(Asked { admin, header, body, answer });
    if rim.inbox.send(asked).is_err() {
        return rim.failed(Code::Unavailable, "the node has stopped: ask another one");
    }
    // The core answers everything, at its deadline at the latest: it can only be missing if the core is gone.
    let mut reply = reply.await.unwrap_or_else(|_gone| {
        rim.failed(
            Code::Unknown,
            "the node stopped while the request was in progress: a write may have happened or not",
        )
    });
    rim.layout.fetch_max(reply.header.layout, Ordering::Relaxed);
    if let Response::Status(status) = &mut reply.header.response {
        let ours = rim.counters.read().into_iter();
        status.counters.extend(ours.map(|(name, count)| (name.to_owned(), count)));
        status.scrub = Some(rim.scrub.status());
        let disk = rim.disk.clone();
        if let Ok(Ok(stats)) = tokio::task::spawn_blocking(move || disk.stats()).await {
            // What the journals hold stands in the tables, or is still to be written there.
            let tables = stats.disk_bytes.saturating_sub(stats.journal_bytes);
            let bytes = tables.saturating_add(stats.memtable_bytes);
            status.counters.insert("store_bytes".to_owned(), bytes);
        }
        let peers = rim.peers.all();
        for peer in &mut status.peers {
            let link = peers.values().find(|known| known.id == peer.node);
            let rtt = link.and_then(|known| known.link.stats()).map(|stats| stats.path.rtt);
            peer.rtt_us = rtt.and_then(|rtt| u64::try_from(rtt.as_micros()).ok());
        }
    }
    reply
}

/// Is it what the background yields to?
fn is_foreground(kind: &str) -> bool {
    matches!(kind, "get" | "put" | "delete")
}

async fn write(rim: &Rim, send: &mut SendStream, reply: Reply) -> Result<(), WriteError> {
    let frame = Frame::new(&reply.header, reply.body)
        .or_else(|error| {
            let message = format!("the answer is too large to be sent: {error}");
            let Reply { header, body } = rim.failed(Code::TooLarge, message);
            Frame::new(&header, body)
        })
        .map_err(|_too_large| WriteError::ClosedStream)?;
    let mut chunks = Vec::with_capacity(1 + frame.body.len());
    chunks.push(frame.head);
    chunks.extend(frame.body);
    send.write_all_chunks(&mut chunks).await?;
    // Fails only if it was finished before.
    let _ = send.finish();
    if rim.is_stopping() {
        // The connection is about to be closed, which would take with it what the client has not received.
        let _ = send.stopped().await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shares::Shares;
    use kinfold_protocol::id::NodeId;
    use kinfold_protocol::layout::Member;

    #[test]
    fn a_node_may_stage_itself_and_change_nothing_else() {
        let share = Shares::new(1, 1, 1).of("n4");
        let who = |role| Who { role, name: "n4".into(), share: Arc::clone(&share) };
        let member = |name: &str| Member {
            id: NodeId(4),
            name: name.to_owned(),
            address: "n4:7401".to_owned(),
            zone: "z".to_owned(),
            capacity: 1,
        };
        let stage = |change| Request::Cluster(ClusterRequest::Stage(vec![(NodeId(4), change)]));
        let join = |name| stage(Some(MemberChange::Join(member(name))));
        let replace = |name| stage(Some(MemberChange::Replace { by: member(name), lost: false }));
        assert!(who(Role::Node).may_change(&join("n4")));
        assert!(who(Role::Node).may_change(&replace("n4")));
        let others = [
            join("n5"),
            replace("n5"),
            stage(None),
            stage(Some(MemberChange::Leave { lost: true })),
            stage(Some(MemberChange::SetCapacity(9))),
            Request::Cluster(ClusterRequest::Abort),
        ];
        for request in others {
            assert!(!who(Role::Node).may_change(&request), "{request:?}");
            assert!(who(Role::Admin).may_change(&request));
        }
        assert!(!who(Role::Client).may_change(&join("n4")));
    }
}
