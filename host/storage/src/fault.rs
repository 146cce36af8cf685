//! Failures of the engine, in the words of the port.

use std::io;

use fjall::LsmError;
use kinfold_protocol::store::StoreError;

/// Why a data directory could not be opened. Nothing in it was changed, except that an unfinished write at the end of the
/// journal may have been cut off.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the store is in use by another process: stop that one first")]
    Locked,
    /// The files are damaged, or made by another version.
    #[error(
        "the store can't be read: {0}; move its directory away and start again, and the other replicas will fill it"
    )]
    Damaged(String),
    /// The operating system refused.
    #[error("the store could not be opened: {0}")]
    Io(#[from] io::Error),
}

impl From<fjall::Error> for OpenError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the engine's errors may grow, and damage is the safe reading of a new one"
    )]
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Locked => Self::Locked,
            // A file that should be there, an end before the beginning: what another file says, or its length, is not right.
            fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error))
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::UnexpectedEof
                        | io::ErrorKind::InvalidData
                        | io::ErrorKind::InvalidInput
                ) =>
            {
                Self::Damaged(error.to_string())
            }
            fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error)) => Self::Io(error),
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// What a failed read means. All that is not the operating system's refusal is bytes that make no sense.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the engine's errors may grow, and damage is the safe reading of a new one"
)]
pub(crate) fn read_failed(error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error)) => io_failed(&error),
        fjall::Error::Poisoned => StoreError::Poisoned("the engine stopped".into()),
        other => StoreError::Corrupt(other.to_string()),
    }
}

/// Bytes that are there and can't be right.
pub(crate) fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(what.into())
}

/// A file that ends before the bytes that an index names, or whose bytes make no sense, is damaged; all else may be passing.
fn io_failed(error: &io::Error) -> StoreError {
    if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) {
        StoreError::Corrupt(error.to_string())
    } else {
        StoreError::Io(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_refers_to_what_is_not_there_is_damaged_and_a_refusal_is_not() {
        let open = |kind| OpenError::from(fjall::Error::Io(io::Error::from(kind)));
        assert!(matches!(open(io::ErrorKind::NotFound), OpenError::Damaged(_)));
        assert!(matches!(open(io::ErrorKind::InvalidInput), OpenError::Damaged(_)));
        assert!(matches!(open(io::ErrorKind::PermissionDenied), OpenError::Io(_)));
        assert!(matches!(open(io::ErrorKind::StorageFull), OpenError::Io(_)));
    }

    #[test]
    fn what_can_not_be_understood_is_damage_and_never_absence() {
        let eof = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert!(matches!(read_failed(fjall::Error::Io(eof)), StoreError::Corrupt(_)));
        let trailer = fjall::Error::Storage(LsmError::InvalidTrailer);
        assert!(matches!(read_failed(trailer), StoreError::Corrupt(_)));
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(matches!(read_failed(fjall::Error::Io(denied)), StoreError::Io(_)));
    }
}
