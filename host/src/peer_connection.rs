//! What one peer sends: `kinfold-peer/1`, frames one after the other on unidirectional streams, gossip in datagrams, and questions
//! for components on bidirectional streams.
//!
//! A frame that can't be understood costs itself where its length is known, and its stream where not. A message for which
//! there is no room is passed over: messages may be lost by contract, and the sender counts this node as silent.

use std::sync::Arc;

use kinfold_protocol::message::frame::PREFIX;
use kinfold_protocol::message::peer::{Envelope, Message};
use quinn::{Connection, RecvStream};
use tracing::{Instrument, debug, warn};

use crate::close_code::CloseCode;
use crate::components;
use crate::frame_reader::{FrameReadError, FrameReader};
use crate::inbox::Arrival;
use crate::peers::Peer;
use crate::rim::Rim;

/// Reads messages until the connection ends.
pub(crate) async fn serve(connection: &Connection, rim: &Arc<Rim>, peer: &Peer) {
    tokio::join!(
        read_streams(connection, rim, peer),
        read_datagrams(connection, rim, peer),
        components::serve(connection, &rim.components),
    );
}

async fn read_datagrams(connection: &Connection, rim: &Rim, peer: &Peer) {
    while let Ok(bytes) = connection.read_datagram().await {
        let Some(permit) = rim.peer_messages.enter(bytes.len()) else {
            rim.counters.peer_datagrams_shed.one();
            continue;
        };
        rim.counters.peer_datagrams.one();
        if rim.inbox.send(Arrival::Datagram { from: peer.id, bytes, permit }).is_err() {
            return;
        }
    }
}

async fn read_streams(connection: &Connection, rim: &Arc<Rim>, peer: &Peer) {
    while let Ok(receive) = connection.accept_uni().await {
        rim.counters.peer_streams.one();
        let (rim, peer, connection) = (Arc::clone(rim), peer.clone(), connection.clone());
        tokio::spawn(
            async move {
                match read_all(&connection, &rim, receive, &peer).await {
                    Ok(()) => {}
                    Err(FrameReadError::Gone(error)) => debug!(%error, "a stream of a peer ended"),
                    Err(error) => {
                        rim.counters.peer_messages_malformed.one();
                        warn!(peer = %peer.id, %error, "a peer's stream is malformed");
                    }
                }
            }
            .in_current_span(),
        );
    }
}

async fn read_all(
    connection: &Connection,
    rim: &Rim,
    receive: RecvStream,
    peer: &Peer,
) -> Result<(), FrameReadError> {
    let mut reader = FrameReader::new(receive);
    while let Some(prefix) = reader.prefix().await? {
        let (header, body) = (prefix.header as usize, prefix.body as usize);
        let whole = header + body;
        let Some(permit) = rim.peer_messages.enter(whole) else {
            rim.counters.peer_messages_shed.one();
            reader.skip("its header and body", header + body).await?;
            continue;
        };
        let header = reader.take("its header", header).await?;
        let body = reader.take("its body", body).await?;
        match Envelope::decode(&header, body) {
            Ok(envelope) => {
                rim.counters.peer_messages.one();
                rim.counters.meters.received(envelope.message.kind(), PREFIX + whole);
                if greets_as_refused(&envelope.message, peer) {
                    CloseCode::Twin
                        .close(connection, "another process is this node, and runs for longer");
                    return Ok(());
                }
                let arrival = Arrival::Peer { from: peer.id, envelope, permit };
                if rim.inbox.send(arrival).is_err() {
                    return Ok(());
                }
            }
            // A newer peer may say what this node does not know yet.
            Err(error) => {
                rim.counters.peer_messages_malformed.one();
                warn!(peer = %peer.id, %error, "a message was not understood");
            }
        }
    }
    Ok(())
}

/// Does a process greet that was found to be the later one of two with one identity?
fn greets_as_refused(message: &Message, peer: &Peer) -> bool {
    let Message::Hello { greeting: Some(greeting), .. } = message else { return false };
    peer.link.is_refused(greeting.actor)
}
