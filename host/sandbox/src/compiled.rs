//! What the compiler made of components, kept in files, so that a node that starts again need not compile them again.
//!
//! A file is named by the component's hash and by the engine's: everything that compiled code depends on, wasmtime's release and
//! the processor's features among it. It holds a checksum and the code. Nothing here is worth more than time: a file that
//! is damaged, foreign or not to be trusted is ignored, and the component compiled anew.
//!
//! Compiled code is run as it lies there, outside of the sandbox. So whoever can write these files can do what the
//! node can; the folder has to be the node's own and closed to others, as its data directory is, and is not used otherwise.
#![allow(
    unsafe_code,
    reason = "wasmtime can't check compiled code; the one place where it is taken in says why it may be"
)]

use std::fs::{self, DirBuilder, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use wasmtime::Engine;
use wasmtime::component::Component;

/// The end of the name of a file of compiled code, and of one that is being written.
const CODE: &str = "code";
const DRAFT: &str = "draft";
/// A checksum's bytes, before the code.
const CHECKSUM: usize = blake3::OUT_LEN;

/// The compiled form of a component, which engines of the same settings can run.
pub(crate) struct Code {
    bytes: Vec<u8>,
    /// What lies before it is not code.
    start: usize,
}

impl Code {
    /// The compiled form of a component.
    ///
    /// # Errors
    /// As wasmtime has it.
    pub(crate) fn of(component: &Component) -> wasmtime::Result<Self> {
        Ok(Self { bytes: component.serialize()?, start: 0 })
    }

    /// The component again, for this engine.
    ///
    /// # Errors
    /// It was compiled for another release of wasmtime, other settings or another processor; or there is no memory left for it.
    pub(crate) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: wasmtime asks that these bytes were made by `Component::serialize` and not changed since. `of` has them from
        // there. `find` has them from a file, and only `keep` writes such files. The folder and the file are this process's
        // user's, and nobody else may write to them (`trusted`), so that no one made one who could not run code as this user
        // anyway. The checksum covers the component, the engine and all of the code: what a disk or a crash did to the
        // file, or a file under another's name, does not pass. It is taken over the very bytes that are handed on, which lie in
        // this process's memory, not over a file that could change after. And wasmtime refuses code of other releases,
        // settings or processors by itself.
        unsafe { Component::deserialize(engine, self.bytes()) }
    }

    /// Its size in bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes().len()
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// Files of compiled code. What can't be read or written costs time and nothing else, so none of it is an error.
#[derive(Debug)]
pub(crate) struct CompiledCode {
    folder: PathBuf,
    /// What all the files may have together, in bytes.
    room: u64,
    /// Of the engine that this code runs in.
    engine: blake3::Hash,
}

impl CompiledCode {
    /// Opens the folder, or makes it. Code of other engines goes, and so do drafts that a crash left behind.
    ///
    /// # Errors
    /// The folder can't be made or read, or others may write to it.
    pub(crate) fn open(folder: &Path, room: u64, engine: &Engine) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        trusted(&fs::symlink_metadata(folder)?)?;
        let code = Self { folder: folder.to_owned(), room, engine: identity(engine) };
        let ours = format!(".{}.{CODE}", code.engine.to_hex());
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if !path.to_str().is_some_and(|path| path.ends_with(&ours)) {
                fs::remove_file(path)?;
            }
        }
        Ok(code)
    }

    /// The compiled form of the component with this hash, if it is here and whole.
    pub(crate) fn find(&self, component: blake3::Hash) -> Option<Code> {
        let path = self.path(component);
        let found = File::open(&path).and_then(|mut file| {
            trusted(&file.metadata()?)?;
            // Its time says when it was wanted last.
            file.set_modified(SystemTime::now())?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map(|_| bytes)
        });
        let bytes = match found {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled code can't be used");
                return None;
            }
        };
        let whole = bytes
            .split_first_chunk::<CHECKSUM>()
            .is_some_and(|(checksum, code)| self.checksum(component, code) == *checksum);
        if whole {
            return Some(Code { bytes, start: CHECKSUM });
        }
        tracing::warn!(path = %path.display(), "compiled code is damaged: the component is compiled again");
        let _ = fs::remove_file(path);
        None
    }

    /// Keeps the compiled form of a component, and lets go of what was not wanted for longest, if there is no room for all.
    pub(crate) fn keep(&self, component: blake3::Hash, code: &Code) {
        if let Err(error) = self.try_keep(component, code.bytes()) {
            tracing::warn!(folder = %self.folder.display(), %error, "compiled code can't be kept: the next start compiles again");
        }
    }

    fn try_keep(&self, component: blake3::Hash, code: &[u8]) -> io::Result<()> {
        let size = (CHECKSUM + code.len()) as u64;
        if size > self.room {
            return Ok(());
        }
        self.make_room(size)?;
        let path = self.path(component);
        let draft = path.with_extension(DRAFT);
        let mut file = File::create(&draft)?;
        file.set_permissions(PermissionsExt::from_mode(0o600))?;
        file.write_all(&self.checksum(component, code))?;
        file.write_all(code)?;
        // Not synced: what a crash leaves of it has another checksum.
        fs::rename(draft, path)
    }

    fn make_room(&self, wanted: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let about = entry.metadata()?;
            files.push((about.modified()?, about.len(), entry.path()));
        }
        files.sort();
        let mut used: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in files {
            if used.saturating_add(wanted) <= self.room {
                break;
            }
            fs::remove_file(path)?;
            used -= size;
        }
        Ok(())
    }

    fn path(&self, component: blake3::Hash) -> PathBuf {
        self.folder.join(format!("{}.{}.{CODE}", component.to_hex(), self.engine.to_hex()))
    }

    fn checksum(&self, component: blake3::Hash, code: &[u8]) -> [u8; CHECKSUM] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(component.as_bytes()).update(self.engine.as_bytes()).update(code);
        *hasher.finalize().as_bytes()
    }
}

/// Refuses what others than this process's user could have written.
fn trusted(about: &fs::Metadata) -> io::Result<()> {
    let owner = rustix::process::geteuid().as_raw();
    if about.uid() == owner && about.mode() & 0o022 == 0 && !about.is_symlink() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        "it is not this user's alone to write; code from there is not run",
    ))
}

/// What the compiled code of an engine depends on: wasmtime's release, its settings, and the processor's features.
fn identity(engine: &Engine) -> blake3::Hash {
    struct All(blake3::Hasher);
    impl Hasher for All {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            unreachable!("only the whole hash is asked for")
        }
    }
    let mut all = All(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut all);
    all.0.finalize()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn open(folder: &Path, room: u64, engine: &Engine) -> CompiledCode {
        CompiledCode::open(folder, room, engine).unwrap()
    }

    fn compiled(engine: &Engine) -> Code {
        Code::of(&Component::from_binary(engine, EMPTY).unwrap()).unwrap()
    }

    fn only_file(folder: &Path) -> PathBuf {
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }

    #[test]
    fn code_is_found_again_until_anything_about_it_is_not_as_it_was() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("compiled");
        let engine = Engine::default();
        let code = open(&folder, 1 << 20, &engine);
        let (hash, other) = (blake3::hash(EMPTY), blake3::hash(b"other"));
        let compiled = compiled(&engine);
        assert!(code.find(hash).is_none());
        code.keep(hash, &compiled);
        code.find(hash).unwrap().load(&engine).unwrap();
        assert!(open(&folder, 1 << 20, &engine).find(hash).is_some());

        // Under the name of another component.
        fs::copy(code.path(hash), code.path(other)).unwrap();
        assert!(code.find(other).is_none());
        // Any byte of it changed, or the end missing.
        let whole = fs::read(only_file(&folder)).unwrap();
        for at in [0, CHECKSUM - 1, CHECKSUM, whole.len() / 2, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(code.path(hash), damaged).unwrap();
            assert!(code.find(hash).is_none(), "byte {at}");
            assert!(!code.path(hash).exists());
        }
        for length in [0, CHECKSUM - 1, CHECKSUM, whole.len() - 1] {
            fs::write(code.path(hash), &whole[..length]).unwrap();
            assert!(code.find(hash).is_none(), "{length} bytes");
        }
        // Writable by others.
        code.keep(hash, &compiled);
        fs::set_permissions(code.path(hash), PermissionsExt::from_mode(0o666)).unwrap();
        assert!(code.find(hash).is_none());
    }

    #[test]
    fn another_engine_has_code_of_its_own() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("compiled");
        let engine = Engine::default();
        let hash = blake3::hash(EMPTY);
        let compiled = compiled(&engine);
        open(&folder, 1 << 20, &engine).keep(hash, &compiled);
        fs::write(folder.join("x.draft"), "half").unwrap();
        let other = Engine::new(wasmtime::Config::new().consume_fuel(true)).unwrap();
        let code = open(&folder, 1 << 20, &other);
        assert!(code.find(hash).is_none());
        assert!(compiled.load(&other).is_err());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_not_used() {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let refused = CompiledCode::open(place.path(), 1 << 20, &Engine::default()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn what_was_not_wanted_for_longest_goes_first() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("compiled");
        let engine = Engine::default();
        let compiled = compiled(&engine);
        let size = (CHECKSUM + compiled.len()) as u64;
        let code = open(&folder, 2 * size, &engine);
        let [a, b, c] = ["a", "b", "c"].map(|name| blake3::hash(name.as_bytes()));
        for (hash, age) in [(a, 20), (b, 10)] {
            code.keep(hash, &compiled);
            let then = SystemTime::now() - Duration::from_secs(age);
            File::open(code.path(hash)).unwrap().set_modified(then).unwrap();
        }
        assert!(code.find(a).is_some());
        code.keep(c, &compiled);
        assert!(code.find(a).is_some());
        assert!(code.find(b).is_none());
        assert!(code.find(c).is_some());
        let none = open(&folder, size - 1, &engine);
        none.keep(b, &compiled);
        assert!(none.find(b).is_none());
    }
}
