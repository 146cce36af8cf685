//! What one instance has used up and said: the state of its store.

use wasmtime::component::WasmStr;
use wasmtime::{ResourceLimiter, StoreContextMut};

use crate::contract::{Level, LogLine};

/// A message is cut here, in bytes.
const MESSAGE: usize = 1024;
/// So many messages of a merge are kept.
const MESSAGES: usize = 16;
/// So many bytes of messages are looked at, whatever is kept of them; after that messages are dropped unread.
const LOOKED_AT: usize = 64 * 1024;
/// What a message costs, in fuel: the host's work for it, so that it can't be had for nothing.
const LOG_FUEL: u64 = 1_000;
/// The most elements of a table, in all tables together: room for the largest runtimes.
pub(crate) const TABLE_ELEMENTS: usize = 100_000;

/// The instance asked for more memory than it may have.
#[derive(Debug, thiserror::Error)]
#[error("the memory limit of {limit} bytes is reached")]
pub(crate) struct MemoryLimit {
    limit: usize,
}

/// Bounds an instance's memory and keeps its messages.
#[derive(Debug)]
pub(crate) struct Meter {
    memory: usize,
    memory_used: usize,
    elements_used: usize,
    looked_at: usize,
    lines: Vec<LogLine>,
    last_error: Option<String>,
}

impl Meter {
    /// For an instance that may have `memory` bytes.
    pub(crate) fn new(memory: usize) -> Self {
        Self {
            memory,
            memory_used: 0,
            elements_used: 0,
            looked_at: 0,
            lines: Vec::new(),
            last_error: None,
        }
    }

    /// The memory that the instance came to have, in bytes.
    pub(crate) fn memory_used(&self) -> usize {
        self.memory_used
    }

    /// The last message of level `error`: what a plugin that then trapped wanted to say.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// All the messages that were kept.
    pub(crate) fn into_lines(self) -> Vec<LogLine> {
        self.lines
    }

    /// The contract's `log.write`.
    pub(crate) fn write(
        mut store: StoreContextMut<'_, Self>,
        (level, message): (Level, WasmStr),
    ) -> wasmtime::Result<()> {
        let fuel = store.get_fuel()?;
        store.set_fuel(fuel.saturating_sub(LOG_FUEL))?;
        if store.data().looked_at >= LOOKED_AT {
            return Ok(());
        }
        let message = message.to_str(&store).map(|message| {
            let kept = message.floor_char_boundary(MESSAGE);
            (message.len(), message[..kept].to_owned())
        });
        let meter = store.data_mut();
        // A message that can't be decoded may be as long as the memory: no second one is looked at.
        let (size, message) = message.unwrap_or_else(|_| (LOOKED_AT, "(not text)".to_owned()));
        meter.looked_at = meter.looked_at.saturating_add(size);
        if level == Level::Error {
            meter.last_error = Some(message.clone());
        }
        if meter.lines.len() < MESSAGES {
            meter.lines.push(LogLine { level, message });
        }
        Ok(())
    }

    fn refuse(&self) -> wasmtime::Error {
        wasmtime::Error::new(MemoryLimit { limit: self.memory })
    }
}

/// Refuses growth by an error, which traps: a component that is told "no" may answer differently for it, and how much it
/// may have is the operator's business, not part of what is merged.
impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.memory_used.saturating_add(desired.saturating_sub(current));
        if used > self.memory {
            return Err(self.refuse());
        }
        self.memory_used = used;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        Err(self.refuse())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // The pool's bound of a single table comes as its maximum.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Err(self.refuse());
        }
        let used = self.elements_used.saturating_add(desired.saturating_sub(current));
        if used > TABLE_ELEMENTS {
            return Err(self.refuse());
        }
        self.elements_used = used;
        Ok(true)
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        Err(self.refuse())
    }
}
