//! The compiler and the rules that hold for every component.
//!
//! Everything that could let two nodes differ is switched off or pinned: NaNs are canonical, relaxed SIMD and threads are
//! off, and work is bounded by fuel, which counts instructions, never by time. Multi-memory, extended constants and tail
//! calls stay on because what some languages' tool chains make doesn't compile without them.
//!
//! Instances come from pools whose memory stays resident: a fresh instance costs microseconds, which is what makes one
//! instance a merge affordable. Each bay (`bays.rs`) has its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, iter, thread};

use rustix::io::Errno;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::bays::{Bays, Stay};
use crate::compiled::{Code, CompiledCode};
use crate::contract::{LOG, WRITE};
use crate::limits::Limits;
use crate::load::LoadError;
use crate::meter::{Meter, TABLE_ELEMENTS};

/// Core instances, memories and tables that one component may have. Rust's have three core instances; those of
/// languages with a runtime have more.
const CORE_INSTANCES: u32 = 64;
pub(crate) const MEMORIES: u32 = 4;
const TABLES: u32 = 8;
/// The compiled form of one instance's globals, tables and such, in bytes.
const INSTANCE_SIZE: usize = 1024 * 1024;
/// So much of an instance's memory stays resident between merges, in bytes. More than a merge of 10 KB values writes to: pages that
/// go back to the system cost a fault each when they are needed again. And no more: pages that one merge wrote to are cleared
/// after each later one that gets the same memory, so that after one large merge small ones would pay for it.
const RESIDENT: usize = 256 * 1024;
/// The most bays: as many as threads that merge by default, so that each finds an empty one.
const BAYS: usize = 8;
/// Compiled code of more bytes is in one bay only: a copy for each would cost too much memory. Threads that merge with such a
/// component wait for one another (docs/TESTING.md, "Measured").
const LARGE: usize = 8 * 1024 * 1024;
/// Compiled code that is kept in files may have so many bytes: all that a node of a few languages uses, Python's 60 MB too.
const COMPILED: u64 = 512 * 1024 * 1024;

/// Why merging can't start on this machine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine could not be made: too little address space, or a processor that is not supported.
    #[error("the WebAssembly engine can't start: {0}")]
    Engine(String),
    /// A built-in plugin could not be loaded.
    #[error("the built-in plugin `{name}` can't be loaded: {error}")]
    BuiltIn {
        /// Its name.
        name: &'static str,
        /// Why.
        error: LoadError,
    },
    /// A merge thread could not be started.
    #[error("a merge thread can't start: {0}")]
    Thread(#[from] io::Error),
}

/// Compiles components and makes their instances. Clones are one engine.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    limits: Limits,
    /// A wasmtime engine for each bay, and what components can import there.
    linkers: Box<[Linker<Meter>]>,
    bays: Bays,
    compiled: Option<CompiledCode>,
    /// Compiling takes the processor and a lot of memory: one at a time.
    compiling: Mutex<()>,
}

impl Engine {
    /// An engine that holds every merge to `limits`, and has room for at least `instances` of them at a time; a merge for which there
    /// is none fails as overloaded. Threads that merge at one time do so in bays, with nothing in common: there is one for each
    /// processor of this machine, up to 8 and to the number of instances. So if that is 1, there is room for just one merge.
    ///
    /// An instance sets aside 16 GiB of address space, not of memory; in all bays together there are some twice `instances`.
    ///
    /// # Errors
    /// [`EngineError::Engine`].
    pub fn new(limits: Limits, instances: u32) -> Result<Self, EngineError> {
        Self::start(limits, instances, None)
    }

    /// The same, and what is compiled is kept in `folder`, so that a later engine need not compile it again. The folder is made
    /// if it is not there, but not those above it. It and what lies above it have to be closed to others: what is in it is
    /// run. If it can't be used, the engine is there without it.
    ///
    /// # Errors
    /// [`EngineError::Engine`].
    pub fn with_compiled_code(
        limits: Limits,
        instances: u32,
        folder: &Path,
    ) -> Result<Self, EngineError> {
        Self::start(limits, instances, Some(folder))
    }

    fn start(limits: Limits, instances: u32, folder: Option<&Path>) -> Result<Self, EngineError> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let bays = processors.min(BAYS).min(usize::try_from(instances).unwrap_or(BAYS));
        Self::with_bays(bays.max(1), limits, instances, folder)
    }

    fn with_bays(
        bays: usize,
        limits: Limits,
        instances: u32,
        folder: Option<&Path>,
    ) -> Result<Self, EngineError> {
        let share = u32::try_from(bays).map_or(instances, |bays| instances.div_ceil(bays));
        let room = iter::once(instances).chain(iter::repeat_n(share, bays - 1));
        let linkers = room.clone().map(|instances| linker(&limits, instances));
        let linkers: Box<[_]> =
            linkers.collect::<wasmtime::Result<_>>().map_err(|error| refused(&error))?;
        let compiled = folder.and_then(|folder| {
            CompiledCode::open(folder, COMPILED, linkers[0].engine())
                .inspect_err(|error| {
                    tracing::warn!(folder = %folder.display(), %error, "compiled code can't be kept: each start compiles again");
                })
                .ok()
        });
        let bays = Bays::new(room.map(|room| usize::try_from(room).unwrap_or(usize::MAX)));
        let compiling = Mutex::new(());
        Ok(Self { shared: Arc::new(Shared { limits, linkers, bays, compiled, compiling }) })
    }

    /// The bounds of every merge.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// The wasmtime engine of the first bay, which every component is in.
    pub(crate) fn first(&self) -> &wasmtime::Engine {
        self.shared.linkers[0].engine()
    }

    /// Enters one of the first `of` bays, at least 1: one that no other thread is in, if there is one.
    pub(crate) fn enter(&self, of: usize) -> Stay<'_> {
        self.shared.bays.enter(of)
    }

    /// Compiles a component with this hash, unless its compiled form is kept; or says why it can't be compiled. It comes back once for
    /// each bay that it is for, the first one always among them. The compiler is large and its input is anyone's: a panic of it is a
    /// refusal like any other.
    pub(crate) fn compile(
        &self,
        hash: blake3::Hash,
        bytes: &[u8],
    ) -> Result<Vec<Component>, String> {
        let kept = self.shared.compiled.as_ref();
        if let Some(code) = kept.and_then(|kept| kept.find(hash))
            && let Ok(first) = code.load(self.first())
        {
            return Ok(self.in_all_bays(first, &code));
        }
        let alone = self.shared.compiling.lock();
        let _alone = alone.unwrap_or_else(PoisonError::into_inner);
        let compile = AssertUnwindSafe(|| Component::from_binary(self.first(), bytes));
        let compiled = match catch_unwind(compile) {
            Ok(compiled) => compiled.map_err(|error| format!("{error:#}"))?,
            Err(_) => return Err("the compiler panicked; this component can't be used".into()),
        };
        if kept.is_none() && self.shared.linkers.len() == 1 {
            return Ok(vec![compiled]);
        }
        let code = Code::of(&compiled).map_err(|error| format!("{error:#}"))?;
        if let Some(kept) = kept {
            kept.keep(hash, &code);
        }
        Ok(self.in_all_bays(compiled, &code))
    }

    /// A component and copies of it for the other bays, as far as it is to be in them.
    fn in_all_bays(&self, first: Component, code: &Code) -> Vec<Component> {
        let bays = if code.len() > LARGE { 1 } else { self.shared.linkers.len() };
        let others = self.shared.linkers[1..bays].iter().map_while(|linker| {
            let other = code.load(linker.engine());
            let refused = |error: &wasmtime::Error| {
                tracing::warn!(%error, "a component is in fewer bays than it could be: threads that merge with it wait for one another");
            };
            other.inspect_err(refused).ok()
        });
        iter::once(first).chain(others).collect()
    }

    /// Connects the imports of a component of this bay, so that instances are made without looking up anything.
    pub(crate) fn link(
        &self,
        bay: usize,
        component: &Component,
    ) -> wasmtime::Result<InstancePre<Meter>> {
        self.shared.linkers[bay].instantiate_pre(component)
    }
}

/// Why there is no engine, and what to do about it where that is known.
fn refused(error: &wasmtime::Error) -> EngineError {
    let no_space = error.chain().any(|cause| cause.downcast_ref() == Some(&Errno::NOMEM));
    let remedy = if no_space {
        ". It sets aside address space, hundreds of GiB of it, and next to no memory: allow that (`ulimit -v unlimited`)"
    } else {
        ""
    };
    EngineError::Engine(format!("{error:#}{remedy}"))
}

/// A wasmtime engine, and what components can import.
fn linker(limits: &Limits, instances: u32) -> wasmtime::Result<Linker<Meter>> {
    let engine = wasmtime::Engine::new(&config(limits, instances))?;
    let mut linker = Linker::new(&engine);
    linker.instance(LOG)?.func_wrap(WRITE, Meter::write)?;
    Ok(linker)
}

fn config(limits: &Limits, instances: u32) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .consume_fuel(true)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .shared_memory(false)
        .wasm_memory64(false)
        .wasm_multi_memory(true)
        .wasm_extended_const(true)
        .wasm_tail_call(true)
        .max_wasm_stack(limits.stack)
        .wasm_backtrace_max_frames(None)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits, instances)));
    config
}

fn pool(limits: &Limits, instances: u32) -> PoolingAllocationConfig {
    // Without the system call that tells which pages were written to, resident memory is cleared byte by byte.
    let resident =
        if PoolingAllocationConfig::is_pagemap_scan_available() { RESIDENT } else { RESIDENT / 4 };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
        .total_memories(instances.saturating_mul(MEMORIES))
        .total_tables(instances.saturating_mul(TABLES))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_module(TABLES)
        .max_component_instance_size(INSTANCE_SIZE)
        .max_core_instance_size(INSTANCE_SIZE)
        .max_memory_size(limits.memory)
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(resident)
        .table_keep_resident(64 * 1024)
        .pagemap_scan(Enabled::Auto);
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn a_component_is_in_every_bay_also_if_its_compiled_form_was_kept() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("compiled");
        for folder in [None, Some(&*folder), Some(&folder)] {
            let engine = Engine::with_bays(3, Limits::default(), 1, folder).unwrap();
            let components = engine.compile(blake3::hash(EMPTY), EMPTY).unwrap();
            assert_eq!(components.len(), 3);
            for (bay, component) in components.iter().enumerate() {
                let of_bay = engine.shared.linkers[bay].engine();
                assert!(wasmtime::Engine::same(component.engine(), of_bay), "{bay}");
                assert!(engine.link(bay, component).is_ok());
            }
        }
    }

    #[test]
    fn each_bay_has_as_many_instances_as_it_has_room_for_threads() {
        let engine = Engine::with_bays(3, Limits::default(), 4, None).unwrap();
        let components = engine.compile(blake3::hash(EMPTY), EMPTY).unwrap();
        let linked: Vec<_> =
            components.iter().enumerate().map(|(bay, of)| engine.link(bay, of).unwrap()).collect();
        let merge = |bays: usize| {
            let stay = engine.enter(bays);
            let linked = &linked[stay.bay()];
            let mut store = wasmtime::Store::new(linked.engine(), Meter::new(0));
            linked.instantiate(&mut store).map(|_| (store, stay))
        };
        let most: Vec<_> = (0..4 + 2 + 2).map(|_| merge(3).unwrap()).collect();
        assert!(merge(3).is_err());
        drop(most);
        let in_first: Vec<_> = (0..4).map(|_| merge(1).unwrap()).collect();
        assert!(merge(1).is_err());
        drop(in_first);
        assert!(merge(3).is_ok());
    }
}
