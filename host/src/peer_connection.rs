//! What one peer sends: `kinfold-peer/1`, frames one after the other on unidirectional streams, gossip in datagrams, and questions
//! for components on bidirectional streams.
//!
//! A frame that can't be understood costs itself where its length is known, and its stream where not. A message for which
//! there is no room is passed over: messages may be lost by contract, and the sender counts this node as silent.

use std::sync::Arc;

use kinfold_protocol::id::NodeId;
use kinfold_protocol::message::frame::PREFIX;
use kinfold_protocol::message::peer::Envelope;
use quinn::{Connection, RecvStream};
use tracing::{Instrument, debug, warn};

use crate::components;
use crate::frame_reader::{FrameReadError, FrameReader};
use crate::inbox::Arrival;
use crate::rim::Rim;

/// Reads messages until the connection ends.
pub(crate) async fn serve(connection: &Connection, rim: &Arc<Rim>, peer: NodeId) {
    tokio::join!(
        read_streams(connection, rim, peer),
        read_datagrams(connection, rim, peer),
        components::serve(connection, &rim.components),
    );
}

async fn read_datagrams(connection: &Connection, rim: &Rim, peer: NodeId) {
    while let Ok(bytes) = connection.read_datagram().await {
        let Some(permit) = rim.peer_messages.enter(bytes.len()) else {
            rim.counters.peer_datagrams_shed.one();
            continue;
        };
        rim.counters.peer_datagrams.one();
        if rim.inbox.send(Arrival::Datagram { from: peer, bytes, permit }).is_err() {
            return;
        }
    }
}

async fn read_streams(connection: &Connection, rim: &Arc<Rim>, peer: NodeId) {
    while let Ok(receive) = connection.accept_uni().await {
        rim.counters.peer_streams.one();
        let rim = Arc::clone(rim);
        tokio::spawn(
            async move {
                match read_all(&rim, receive, peer).await {
                    Ok(()) => {}
                    Err(FrameReadError::Gone(error)) => debug!(%error, "a stream of a peer ended"),
                    Err(error) => {
                        rim.counters.peer_messages_malformed.one();
                        warn!(%peer, %error, "a peer's stream is malformed");
                    }
                }
            }
            .in_current_span(),
        );
    }
}

async fn read_all(rim: &Rim, receive: RecvStream, peer: NodeId) -> Result<(), FrameReadError> {
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
                let arrival = Arrival::Peer { from: peer, envelope, permit };
                if rim.inbox.send(arrival).is_err() {
                    return Ok(());
                }
            }
            // A newer peer may say what this node does not know yet.
            Err(error) => {
                rim.counters.peer_messages_malformed.one();
                warn!(%peer, %error, "a message was not understood");
            }
        }
    }
    Ok(())
}
