//! The writing process, seen from the one that kills it.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::load::Counts;
use crate::report::Report;

/// A writing process. It is killed when dropped.
pub struct Writing {
    child: Child,
    reports: Receiver<Report>,
    errors: Option<JoinHandle<String>>,
    /// What it has said so far.
    pub said: Said,
}

/// What a writing process has said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// How many operations of each lane are durable, those of former processes included.
    pub durable: Counts,
    /// How many of them it told of itself.
    pub acknowledged: u64,
    /// It has opened the store.
    pub opened: bool,
    /// It has closed the store in good order.
    pub closed: bool,
    /// What failed.
    pub failed: Vec<String>,
}

impl Said {
    fn add(&mut self, report: Report) {
        match report {
            Report::Opened => self.opened = true,
            Report::Closed => self.closed = true,
            Report::Refused(why) => self.failed.push(format!("not opened: {why}")),
            Report::Failed(why) => self.failed.push(why),
            Report::Durable { lane, number } => {
                self.acknowledged += 1;
                self.durable[lane] = self.durable[lane].max(number + 1);
            }
        }
    }
}

impl Writing {
    /// Starts it. `durable` operations of each lane are so already.
    ///
    /// # Errors
    /// If the process can't be started.
    pub fn start(mut command: Command, durable: Counts) -> io::Result<Self> {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (sender, reports) = channel();
        let out = BufReader::new(child.stdout.take().expect("it is a pipe"));
        thread::spawn(move || {
            let reports = out.lines().map_while(Result::ok).filter_map(|line| line.parse().ok());
            for report in reports {
                if sender.send(report).is_err() {
                    return;
                }
            }
        });
        let mut err = child.stderr.take().expect("it is a pipe");
        let errors = thread::spawn(move || {
            let mut text = Vec::new();
            // What was read before a failure is what there is.
            let _ = err.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let said = Said { durable, ..Said::default() };
        Ok(Self { child, reports, errors: Some(errors), said })
    }

    /// Listens until it has acknowledged so many operations. False: it ended before.
    #[must_use]
    pub fn acknowledged(&mut self, count: u64) -> bool {
        while self.said.acknowledged < count {
            match self.reports.recv() {
                Ok(report) => self.said.add(report),
                Err(_) => return false,
            }
        }
        true
    }

    /// Takes in what it has said until now.
    pub fn so_far(&mut self) -> &Said {
        while let Ok(report) = self.reports.try_recv() {
            self.said.add(report);
        }
        &self.said
    }

    /// SIGKILL. What it said before still counts.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
    }

    /// Listens until it has said nothing more for so long, and kills it then. False: it has ended by itself.
    #[must_use]
    pub fn hangs(&mut self, patience: Duration) -> bool {
        loop {
            match self.reports.recv_timeout(patience) {
                Ok(report) => self.said.add(report),
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => {
                    self.kill();
                    return true;
                }
            }
        }
    }

    /// Listens until it ends. Gives how it ended, what it said, and its standard error.
    ///
    /// # Errors
    /// If the system does not say how it ended.
    pub fn end(mut self) -> io::Result<(ExitStatus, Said, String)> {
        while let Ok(report) = self.reports.recv() {
            self.said.add(report);
        }
        let status = self.child.wait()?;
        let errors = self.errors.take().map(JoinHandle::join);
        let errors = errors.and_then(Result::ok).unwrap_or_default();
        Ok((status, std::mem::take(&mut self.said), errors))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.kill();
        // Nothing is left to do about it.
        let _ = self.child.wait();
    }
}
