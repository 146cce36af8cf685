//! The engine's lists of its tables, checked before the engine goes by them.
//!
//! Each keyspace has a file `current`: the number of its manifest, little-endian in eight bytes, the manifest's XXH3 in sixteen, and a
//! zero for that kind of checksum. The engine writes the checksum and never looks at it: with another bit in either file it would open
//! other tables than it had, or say that a file is missing.

use std::fs;
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use crate::OpenError;

const CURRENT: &str = "current";

/// Checks the manifests of the store in this directory. There may be no store yet.
///
/// # Errors
/// [`OpenError::Damaged`], with the name of the file.
pub(crate) fn check(path: &Path) -> Result<(), OpenError> {
    let keyspaces = match fs::read_dir(path.join("keyspaces")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for keyspace in keyspaces {
        let keyspace = keyspace?.path();
        let said = match fs::read(keyspace.join(CURRENT)) {
            // One whose making a crash cut short.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        let damaged = |name: &str, what: &str| {
            OpenError::Damaged(format!("{}: {what}", keyspace.join(name).display()))
        };
        let Some((number, checksum)) = parse(&said) else {
            return Err(damaged(CURRENT, "its bytes are not those that were written"));
        };
        let name = format!("v{number}");
        match fs::read(keyspace.join(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(CURRENT, &format!("it names {name}, which is not there")));
            }
            Ok(manifest) if xxh3_128(&manifest) != checksum => {
                return Err(damaged(&name, "its bytes are not those that were written"));
            }
            other => other.map(drop)?,
        }
    }
    Ok(())
}

fn parse(said: &[u8]) -> Option<(u64, u128)> {
    let (number, rest) = said.split_first_chunk()?;
    let (checksum, kind) = rest.split_first_chunk()?;
    (kind == [0]).then(|| (u64::from_le_bytes(*number), u128::from_le_bytes(*checksum)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Disk, Options};

    #[test]
    fn no_other_bit_in_a_manifest_or_its_pointer_is_gone_by() {
        let folder = tempfile::tempdir().unwrap();
        drop(Disk::open(folder.path(), &Options::default()).unwrap());
        let keyspaces = folder.path().join("keyspaces");
        for keyspace in fs::read_dir(keyspaces).unwrap().take(2) {
            let keyspace = keyspace.unwrap().path();
            let (number, _) = parse(&fs::read(keyspace.join(CURRENT)).unwrap()).unwrap();
            for path in [keyspace.join(CURRENT), keyspace.join(format!("v{number}"))] {
                let sound = fs::read(&path).unwrap();
                let cut = sound[..sound.len() - 1].to_vec();
                let flipped = (0..sound.len()).map(|at| {
                    let mut other = sound.clone();
                    other[at] ^= 1 << (at % 8);
                    other
                });
                for harmed in flipped.chain([cut, Vec::new()]) {
                    fs::write(&path, harmed).unwrap();
                    let error = check(folder.path()).unwrap_err();
                    assert!(matches!(error, OpenError::Damaged(_)), "{error}");
                }
                fs::write(&path, sound).unwrap();
                check(folder.path()).unwrap();
            }
        }
        drop(Disk::open(folder.path(), &Options::default()).unwrap());
    }
}
