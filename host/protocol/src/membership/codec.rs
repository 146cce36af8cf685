//! The bytes of a datagram: fixed fields, big-endian, so that as much news as possible fits in a packet.
//!
//! ```text
//! presence   node u64, since u64
//! header     presence of the sender, its incarnation u16, presence of the receiver, kind u8, then by kind:
//!              0 ping, 1 ack                        probe u8
//!              2 ping-req, 3 indirect ping,
//!              4 indirect ack, 5 forwarded ack      presence, probe u8
//!              6 announce, 7 feed, 8 gossip, 9 broadcast, 10 you are down    nothing
//! news       count u16, then for each: presence, incarnation u16, state u8 (0 alive, 1 suspect, 2 down)
//! ```

use bytes::{Buf, BufMut};
use foca::{Header, Member, Message, State};

use crate::id::NodeId;
use crate::membership::presence::Presence;
use crate::time::Timestamp;

/// Bytes of a presence.
const PRESENCE: usize = 16;

/// Bytes of an item of news.
const NEWS: usize = PRESENCE + 3;

/// The bytes are no datagram of a member, or do not fit into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("the datagram ends too early")]
    Truncated,
    #[error("the datagram has no room left")]
    Full,
    #[error("a kind or a state is unknown")]
    Unknown,
}

/// Reads and writes what members say to each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Codec;

fn put(presence: &Presence, to: &mut impl BufMut) {
    to.put_u64(presence.node.0);
    to.put_u64(presence.since.0);
}

fn need(from: &impl Buf, bytes: usize) -> Result<(), CodecError> {
    if from.remaining() < bytes { Err(CodecError::Truncated) } else { Ok(()) }
}

fn take(from: &mut impl Buf) -> Result<Presence, CodecError> {
    need(from, PRESENCE)?;
    let (node, since) = (NodeId(from.get_u64()), Timestamp(from.get_u64()));
    // It grows by one with each refutation: far from the end of the numbers.
    if since > Timestamp::MAX { Err(CodecError::Unknown) } else { Ok(Presence { node, since }) }
}

fn take_byte(from: &mut impl Buf) -> Result<u8, CodecError> {
    need(from, 1)?;
    Ok(from.get_u8())
}

impl foca::Codec<Presence> for Codec {
    type Error = CodecError;

    fn encode_header(
        &mut self,
        header: &Header<Presence>,
        mut to: impl BufMut,
    ) -> Result<(), CodecError> {
        if to.remaining_mut() < 3 * PRESENCE + 4 {
            return Err(CodecError::Full);
        }
        put(&header.src, &mut to);
        to.put_u16(header.src_incarnation);
        put(&header.dst, &mut to);
        let mut probe = |kind: u8, other: Option<&Presence>, number: u8| {
            to.put_u8(kind);
            if let Some(other) = other {
                put(other, &mut to);
            }
            to.put_u8(number);
        };
        match &header.message {
            Message::Ping(number) => probe(0, None, *number),
            Message::Ack(number) => probe(1, None, *number),
            Message::PingReq { target, probe_number } => probe(2, Some(target), *probe_number),
            Message::IndirectPing { origin, probe_number } => {
                probe(3, Some(origin), *probe_number);
            }
            Message::IndirectAck { target, probe_number } => probe(4, Some(target), *probe_number),
            Message::ForwardedAck { origin, probe_number } => {
                probe(5, Some(origin), *probe_number);
            }
            Message::Announce => to.put_u8(6),
            Message::Feed => to.put_u8(7),
            Message::Gossip => to.put_u8(8),
            Message::Broadcast => to.put_u8(9),
            Message::TurnUndead => to.put_u8(10),
        }
        Ok(())
    }

    fn decode_header(&mut self, mut from: impl Buf) -> Result<Header<Presence>, CodecError> {
        let src = take(&mut from)?;
        need(&from, 2)?;
        let src_incarnation = from.get_u16();
        let dst = take(&mut from)?;
        let kind = take_byte(&mut from)?;
        let message = match kind {
            0 => Message::Ping(take_byte(&mut from)?),
            1 => Message::Ack(take_byte(&mut from)?),
            2..=5 => {
                let other = take(&mut from)?;
                let probe_number = take_byte(&mut from)?;
                match kind {
                    2 => Message::PingReq { target: other, probe_number },
                    3 => Message::IndirectPing { origin: other, probe_number },
                    4 => Message::IndirectAck { target: other, probe_number },
                    _ => Message::ForwardedAck { origin: other, probe_number },
                }
            }
            6 => Message::Announce,
            7 => Message::Feed,
            8 => Message::Gossip,
            9 => Message::Broadcast,
            10 => Message::TurnUndead,
            _ => return Err(CodecError::Unknown),
        };
        Ok(Header { src, src_incarnation, dst, message })
    }

    fn encode_member(
        &mut self,
        member: &Member<Presence>,
        mut to: impl BufMut,
    ) -> Result<(), CodecError> {
        if to.remaining_mut() < NEWS {
            return Err(CodecError::Full);
        }
        put(member.id(), &mut to);
        to.put_u16(member.incarnation());
        to.put_u8(match member.state() {
            State::Alive => 0,
            State::Suspect => 1,
            State::Down => 2,
        });
        Ok(())
    }

    fn decode_member(&mut self, mut from: impl Buf) -> Result<Member<Presence>, CodecError> {
        need(&from, NEWS)?;
        let id = take(&mut from)?;
        let incarnation = from.get_u16();
        let state = match from.get_u8() {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Down,
            _ => return Err(CodecError::Unknown),
        };
        Ok(Member::new(id, incarnation, state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use foca::Codec as _;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    fn presence(n: u64) -> Presence {
        Presence { node: NodeId(n), since: Timestamp(n + 7) }
    }

    fn messages() -> Vec<Message<Presence>> {
        let (other, probe_number) = (presence(3), 9);
        alloc::vec![
            Message::Ping(1),
            Message::Ack(2),
            Message::PingReq { target: other, probe_number },
            Message::IndirectPing { origin: other, probe_number },
            Message::IndirectAck { target: other, probe_number },
            Message::ForwardedAck { origin: other, probe_number },
            Message::Announce,
            Message::Feed,
            Message::Gossip,
            Message::Broadcast,
            Message::TurnUndead,
        ]
    }

    #[test]
    fn what_is_written_can_be_read_and_nothing_shorter() {
        for message in messages() {
            let (src, dst) = (presence(1), presence(2));
            let header = Header { src, src_incarnation: 5, dst, message };
            let mut bytes = Vec::new();
            Codec.encode_header(&header, &mut bytes).unwrap();
            assert_eq!(Codec.decode_header(&bytes[..]).as_ref(), Ok(&header));
            for end in 0..bytes.len() {
                assert_eq!(Codec.decode_header(&bytes[..end]), Err(CodecError::Truncated));
            }
        }
        for state in [State::Alive, State::Suspect, State::Down] {
            let member = Member::new(presence(4), 6, state);
            let mut bytes = Vec::new();
            Codec.encode_member(&member, &mut bytes).unwrap();
            assert_eq!(Codec.decode_member(&bytes[..]), Ok(member));
            assert_eq!(bytes.len(), NEWS);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            if let Ok(header) = Codec.decode_header(&bytes[..]) {
                let mut again = Vec::new();
                Codec.encode_header(&header, &mut again).unwrap();
                prop_assert_eq!(&bytes[..again.len()], &again[..]);
            }
            let _ = Codec.decode_member(&bytes[..]);
        }
    }
}
