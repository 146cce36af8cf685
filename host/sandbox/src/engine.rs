//! The compiler and the rules that hold for every component.
//!
//! Everything that could let two nodes differ is switched off or pinned: NaNs are canonical, relaxed SIMD and threads are
//! off, and work is bounded by fuel, which counts instructions, never by time. Multi-memory, extended constants and tail
//! calls stay on because what some languages' tool chains make doesn't compile without them.
//!
//! Instances come from a pool whose memory stays resident: a fresh instance costs microseconds, which is what makes one
//! instance a merge affordable.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::compiled::CompiledCode;
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
/// So much of an instance's memory stays resident between merges, in bytes.
const RESIDENT: usize = 2 * 1024 * 1024;
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

/// Compiles components and makes their instances. Clones share one engine.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    limits: Limits,
    linker: Linker<Meter>,
    compiled: Option<CompiledCode>,
    /// Compiling takes the processor and a lot of memory: one at a time.
    compiling: Mutex<()>,
}

impl Engine {
    /// An engine that holds every merge to `limits`, and runs at most `instances` of them at a time; a merge beyond that
    /// number fails as overloaded. Each instance sets aside 16 GiB of address space, not of memory.
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
        let failed = |error: wasmtime::Error| EngineError::Engine(format!("{error:#}"));
        let engine = wasmtime::Engine::new(&config(&limits, instances)).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        linker
            .instance(LOG)
            .and_then(|mut log| log.func_wrap(WRITE, Meter::write))
            .map_err(failed)?;
        let compiled = folder.and_then(|folder| {
            CompiledCode::open(folder, COMPILED, &engine)
                .inspect_err(|error| {
                    tracing::warn!(folder = %folder.display(), %error, "compiled code can't be kept: each start compiles again");
                })
                .ok()
        });
        let compiling = Mutex::new(());
        Ok(Self { shared: Arc::new(Shared { limits, linker, compiled, compiling }) })
    }

    /// The bounds of every merge.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    pub(crate) fn raw(&self) -> &wasmtime::Engine {
        self.shared.linker.engine()
    }

    /// Compiles a component with this hash, unless its compiled form is kept; or says why it can't be compiled. The compiler is large
    /// and its input is anyone's: a panic of it is a refusal like any other.
    pub(crate) fn compile(&self, hash: blake3::Hash, bytes: &[u8]) -> Result<Component, String> {
        let kept = self.shared.compiled.as_ref();
        if let Some(compiled) = kept.and_then(|kept| kept.find(self.raw(), hash)) {
            return Ok(compiled);
        }
        let alone = self.shared.compiling.lock();
        let _alone = alone.unwrap_or_else(PoisonError::into_inner);
        let compile = AssertUnwindSafe(|| Component::from_binary(self.raw(), bytes));
        let compiled = match catch_unwind(compile) {
            Ok(compiled) => compiled.map_err(|error| format!("{error:#}"))?,
            Err(_) => return Err("the compiler panicked; this component can't be used".into()),
        };
        if let Some(kept) = kept {
            kept.keep(hash, &compiled);
        }
        Ok(compiled)
    }

    /// Connects a component's imports, so that instances are made without looking up anything.
    pub(crate) fn link(&self, component: &Component) -> wasmtime::Result<InstancePre<Meter>> {
        self.shared.linker.instantiate_pre(component)
    }
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
        if PoolingAllocationConfig::is_pagemap_scan_available() { RESIDENT } else { RESIDENT / 32 };
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
