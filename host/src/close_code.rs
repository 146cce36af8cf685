//! Why a connection is closed: the codes that the other end sees, with a sentence beside each.

use quinn::{Connection, ConnectionError, Endpoint, VarInt};

/// The application error code of a closed connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCode {
    /// The node stops.
    Stopping = 1,
    /// The certificate names nobody who may speak this protocol in this cluster.
    Identity = 2,
    /// A node of this cluster that is no member of the layout, or this node itself.
    NotAMember = 3,
    /// As many clients are connected as may be.
    TooManyConnections = 4,
    /// Another process with this node's identity is in service.
    Twin = 5,
}

impl CloseCode {
    /// The code as QUIC carries it.
    #[must_use]
    pub const fn code(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }

    /// Closes all connections of an endpoint, and lets no more in.
    pub(crate) fn close_all(self, endpoint: &Endpoint) {
        endpoint.close(self.code(), b"the node stops");
    }

    /// Did the other end close a connection with this code?
    pub(crate) fn ended(self, error: &ConnectionError) -> bool {
        matches!(error, ConnectionError::ApplicationClosed(close) if close.error_code == self.code())
    }

    /// Closes a connection, and says why.
    pub(crate) fn close(self, connection: &Connection, why: &str) {
        connection.close(self.code(), why.as_bytes());
    }
}
