//! One node: its process, and what is at fault with what it runs on.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::disk::SmallDisk;
use crate::error::Error;
use crate::shim::Shim;

/// A node. Its process is killed when it is dropped.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// The folder that holds its data directory; a small disk of its own, where it has one.
    pub folder: PathBuf,
    /// Its small disk.
    pub disk: Option<SmallDisk>,
    /// Its clock and its syncs.
    pub shim: Shim,
    program: PathBuf,
    library: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
    /// Something was done to it after which it may end by itself.
    excused: bool,
    /// How much of its log was looked at.
    looked: u64,
    /// Its store has stopped in this life.
    stopped: bool,
    /// How often it was started again since its store had stopped.
    pub revived: u32,
}

/// What a node logs once its store takes nothing more.
const STOPPED: &str = "the store stopped";

impl Node {
    /// A node that does not run yet. `config` and `log` are its files.
    #[must_use]
    pub fn new(name: String, folder: PathBuf, shim: Shim, program: &Path, library: &Path) -> Self {
        let file = |kind: &str| folder.with_file_name(format!("{name}.{kind}"));
        let (config, log) = (file("toml").display().to_string(), file("log"));
        let arguments = vec!["--config".to_owned(), config];
        let (program, library) = (program.to_owned(), library.to_owned());
        Self {
            name,
            folder,
            disk: None,
            shim,
            program,
            library,
            arguments,
            log,
            child: None,
            excused: false,
            looked: 0,
            stopped: false,
            revived: 0,
        }
    }

    /// It is started with these arguments of `serve`, in the place of its configuration.
    pub fn start_with(&mut self, arguments: Vec<String>) {
        self.arguments = arguments;
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Its log, of all its lives.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Starts it, if it does not run, and does not wait for it.
    ///
    /// # Errors
    /// There is no such program, or its log can't be opened.
    pub fn start(&mut self) -> Result<(), Error> {
        if self.child.is_some() {
            return Ok(());
        }
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.map_err(Error::at("opening", &self.log))?;
        self.looked = log.metadata().map_err(Error::at("looking at", &self.log))?.len();
        self.stopped = false;
        let mut serve = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("KINFOLD_") {
                serve.env_remove(name);
            }
        }
        serve.arg("serve").args(&self.arguments);
        serve.env("LD_PRELOAD", &self.library).env("KINFOLD_CHAOS_SHIM", self.shim.path());
        serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = serve.spawn().map_err(Error::at("starting", &self.program))?;
        self.child = Some(child);
        Ok(())
    }

    /// How it has ended by itself, if it has; and was that to be expected?
    pub fn ended(&mut self) -> Option<(ExitStatus, bool)> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        self.child = None;
        Some((status, std::mem::take(&mut self.excused)))
    }

    /// After this it may end by itself.
    pub fn excuse(&mut self) {
        self.excused = true;
    }

    /// Kills it as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        self.excused = false;
    }

    /// Does what its log asks for where its store has stopped, as it does at the first write that fails: "restart the node once the disk
    /// is sound".
    ///
    /// # Errors
    /// Its log can't be read, or it can't be started.
    pub fn revive(&mut self) -> Result<(), Error> {
        if self.child.is_some() && self.has_stopped()? {
            self.kill();
            self.revived += 1;
            self.start()?;
        }
        Ok(())
    }

    /// Has its store stopped in this life?
    fn has_stopped(&mut self) -> Result<bool, Error> {
        let read = || {
            let mut log = File::open(&self.log)?;
            log.seek(SeekFrom::Start(self.looked))?;
            let mut new = Vec::new();
            log.read_to_end(&mut new).map(|_| new)
        };
        let new = read().map_err(Error::at("reading", &self.log))?;
        let lines = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        self.looked += lines as u64;
        self.stopped |= String::from_utf8_lossy(&new[..lines]).contains(STOPPED);
        Ok(self.stopped)
    }

    /// Sends it a signal, if it runs.
    pub fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }

    /// Tells it to stop, as a supervisor does, and waits until it has; kills it if that takes too long.
    pub async fn terminate(&mut self) {
        self.signal(Signal::CONT);
        self.signal(Signal::TERM);
        for _ in 0..300 {
            let ended = self.child.as_mut().is_none_or(|c| !matches!(c.try_wait(), Ok(None)));
            if ended {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        self.kill();
    }

    /// It may open no more files than it has; or as many as before.
    pub fn limit_files(&self, exhausted: bool) {
        let Some(child) = &self.child else { return };
        let pid = Pid::from_child(child);
        let open = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()));
        let open = open.map_or(64, |entries| entries.count() as u64);
        let rustix::process::Rlimit { maximum, .. } = rustix::process::getrlimit(Resource::Nofile);
        let current = if exhausted { Some(open) } else { maximum };
        // The process may just have ended.
        let _ = prlimit(Some(pid), Resource::Nofile, Rlimit { current, maximum });
    }

    /// Nothing is at fault with what it runs on any more.
    ///
    /// # Errors
    /// Its disk can't be mended.
    pub fn mend(&mut self) -> Result<(), Error> {
        self.shim.step_clock(0)?;
        self.shim.slow_syncs(0)?;
        self.shim.fail_syncs(0)?;
        if let Some(disk) = &self.disk {
            disk.make_room()?;
        }
        self.limit_files(false);
        self.signal(Signal::CONT);
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn a_node_whose_store_has_stopped_is_started_again_and_another_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let start = |name: &str, logs: &str| {
            let program = folder.path().join(format!("{name}.sh"));
            fs::write(&program, format!("#!/bin/sh\n{logs} >&2\nexec sleep 60\n")).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
            let shim = Shim::new(folder.path().join(format!("{name}.told"))).unwrap();
            let folder = folder.path().join(name);
            let mut node = Node::new(name.into(), folder, shim, &program, Path::new(""));
            node.start().unwrap();
            node
        };
        let mut stopped = start("n1", "echo '\"the store stopped: a write failed\"'");
        let mut sound = start("n2", "echo '\"the disk is nearly full\"'");
        while stopped.revived == 0 {
            stopped.revive().unwrap();
            tokio::task::yield_now().await;
        }
        while fs::read_to_string(sound.log()).unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        sound.revive().unwrap();
        assert_eq!(sound.revived, 0);
        assert!(stopped.child.is_some() && sound.child.is_some());
    }
}
