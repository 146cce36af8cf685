//! PEM files: a key that others could read is refused, and nothing is ever overwritten.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// No PEM file of ours comes near this size; a larger one is not read.
const MAX_PEM_BYTES: u64 = 256 * 1024;

/// Why a PEM file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum PemFileError {
    /// The file could not be read.
    #[error("{path} can't be read: {source}", path = .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file could not be written; what exists is left as it is.
    #[error("{path} can't be written: {source}", path = .path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is a file already; it is never overwritten.
    #[error("{path} exists and is not overwritten: move it away, or choose another folder", path = .0.display())]
    Exists(PathBuf),
    /// A private key that others may read, or that somebody may execute.
    #[error("{path} is a private key with mode {mode:04o}, which is wider than 0600: run `chmod 600 {path}`", path = .path.display())]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file too large to be a certificate or a key.
    #[error("{path} is larger than 256 KiB and was not read: it is not a certificate or a key", path = .0.display())]
    TooLarge(PathBuf),
}

/// Reads a certificate file.
///
/// # Errors
/// It can't be read, or is larger than 256 KiB.
pub(crate) fn read_certificate_file(path: &Path) -> Result<Vec<u8>, PemFileError> {
    read_pem(path, |_| Ok(()))
}

/// Reads a private key, of which nobody but the owner may have a part.
///
/// # Errors
/// Its mode is wider than 0600; it can't be read, or is larger than 256 KiB.
pub(crate) fn read_key_file(path: &Path) -> Result<Vec<u8>, PemFileError> {
    read_pem(path, |mode| {
        if mode & !0o600 == 0 {
            return Ok(());
        }
        Err(PemFileError::Mode { path: path.to_owned(), mode })
    })
}

fn read_pem(
    path: &Path,
    check_mode: impl FnOnce(u32) -> Result<(), PemFileError>,
) -> Result<Vec<u8>, PemFileError> {
    let failed = |source| PemFileError::Read { path: path.to_owned(), source };
    // The open file is asked for its mode, not the path: the path could name another file a moment later.
    let file = File::open(path).map_err(failed)?;
    check_mode(file.metadata().map_err(failed)?.permissions().mode() & 0o777)?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_PEM_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if read as u64 > MAX_PEM_BYTES {
        return Err(PemFileError::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}

pub(super) fn write_pair(
    folder: &Path,
    stem: &str,
    cert: &str,
    key: &str,
) -> Result<(), PemFileError> {
    let key_path = folder.join(format!("{stem}.key"));
    let cert_path = folder.join(format!("{stem}.pem"));
    if cert_path.exists() {
        return Err(PemFileError::Exists(cert_path));
    }
    write_new(&key_path, 0o600, key)?;
    write_new(&cert_path, 0o644, cert)
}

fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), PemFileError> {
    let failed = |source: io::Error| {
        if source.kind() == io::ErrorKind::AlreadyExists {
            return PemFileError::Exists(path.to_owned());
        }
        PemFileError::Write { path: path.to_owned(), source }
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)
}
