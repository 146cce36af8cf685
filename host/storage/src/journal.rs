//! The journal's files: to make them durable without holding up writers, and to see what a start made of them.
//!
//! The engine can sync its journal itself, but holds the lock that every commit needs for as long as the disk takes. So
//! the bytes are handed to the operating system through the engine, which is quick, and the fsync is done here, on a file
//! handle of our own: commits go on meanwhile, and form the next group.
//!
//! Why it is enough to sync the newest file: the engine syncs a journal before it starts the next, and the directory after.
//! A sync of its own that fails stops the engine, which is looked at after ours; and a handle that was open when a page
//! failed to reach the disk hears of it, whoever else has heard of it before.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The newest file of the journal in a directory.
pub(crate) struct Journal {
    directory: PathBuf,
    newest: Option<(u64, File)>,
}

impl Journal {
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_path_buf(), newest: None }
    }

    /// Makes durable whatever the operating system has of the journal.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        loop {
            let number = self.newest_number()?;
            if let Some((_, file)) = self.newest.as_ref().filter(|(open, _)| *open == number) {
                return file.sync_data();
            }
            match File::open(self.directory.join(format!("{number}.jnl"))) {
                Ok(file) => self.newest = Some((number, file)),
                // It was full, written out as tables and removed since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn newest_number(&self) -> io::Result<u64> {
        let newest = numbers(&self.directory)?.into_iter().max();
        newest.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the journal is gone"))
    }
}

/// Where the journal's files end, as the last life left them.
///
/// The engine cuts a file off at the first entry that makes no sense: rightly so where that is the last write, which nobody
/// was told of. But where it is damage, everything behind it goes too. What was cut can be counted, by asking before and
/// after.
pub(crate) struct Tails {
    files: Vec<(File, u64)>,
}

impl Tails {
    /// Looks at the journal in `directory`, before the engine does. There may be none yet.
    pub(crate) fn look(directory: &Path) -> io::Result<Self> {
        if !directory.exists() {
            return Ok(Self { files: Vec::new() });
        }
        let open = |number| {
            let file = File::open(directory.join(format!("{number}.jnl")))?;
            let end = end_of_data(&file)?;
            Ok((file, end))
        };
        let files = numbers(directory)?.into_iter().map(open).collect::<io::Result<_>>()?;
        Ok(Self { files })
    }

    /// How many bytes were cut off since.
    pub(crate) fn cut(self) -> io::Result<u64> {
        let cuts = self.files.into_iter().map(|(file, end)| {
            // The handle also knows of a file that was removed meanwhile.
            Ok(end.saturating_sub(file.metadata()?.len()))
        });
        cuts.sum()
    }
}

/// Bytes that are looked at in one go.
const PIECE: usize = 64 * 1024;

/// Where the zeros begin that the engine fills a new file with.
fn end_of_data(file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let (mut piece, zeros) = (vec![0; PIECE], vec![0; PIECE]);
    while end > 0 {
        let from = end.saturating_sub(PIECE as u64);
        let piece = &mut piece[..usize::try_from(end - from).expect("at most a piece")];
        file.read_exact_at(piece, from)?;
        // Whole pieces are compared first: nearly all of a fresh file's 64 MiB are zeros.
        if *piece != zeros[..piece.len()]
            && let Some(last) = piece.iter().rposition(|byte| *byte != 0)
        {
            return Ok(from + last as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}

/// The numbers of the journal's files.
fn numbers(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|n| n.strip_suffix(".jnl")?.parse::<u64>().ok()));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_file_is_found_by_number_and_followed_when_it_changes() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::new(directory.path());
        assert_eq!(journal.sync().unwrap_err().kind(), io::ErrorKind::NotFound);
        for number in ["9", "10", "2"] {
            fs::write(directory.path().join(format!("{number}.jnl")), b"x").unwrap();
        }
        fs::write(directory.path().join("lock"), b"").unwrap();
        journal.sync().unwrap();
        assert_eq!(journal.newest.as_ref().unwrap().0, 10);
        fs::write(directory.path().join("11.jnl"), b"x").unwrap();
        journal.sync().unwrap();
        assert_eq!(journal.newest.as_ref().unwrap().0, 11);
    }

    #[test]
    fn what_is_cut_off_is_counted_without_the_zeros_behind_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.jnl");
        let mut bytes = b"twenty bytes of data".to_vec();
        bytes.resize(3 << 20, 0);
        fs::write(&path, bytes).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        for (len, cut) in [(2 << 20, 0), (20, 0), (12, 8)] {
            let tails = Tails::look(directory.path()).unwrap();
            file.set_len(len).unwrap();
            assert_eq!(tails.cut().unwrap(), cut);
        }
        assert_eq!(Tails::look(&directory.path().join("none")).unwrap().cut().unwrap(), 0);
    }
}
