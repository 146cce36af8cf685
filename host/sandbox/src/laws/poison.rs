//! Garbage in the memory that the next instance gets.
//!
//! Instances come from a pool whose memory is used again. A plugin that reads memory before it writes it must find zeros
//! there, and not what the last merge left: the host's duty, but a plugin's answer would show it.

use wasmtime::{Instance, Module, Store};

use crate::engine::{Engine, MEMORIES};

/// A module of nothing but as many memories as an instance can have, exported as `a`, `b` and so on. By hand: nothing else
/// here writes WebAssembly.
const MODULE: &[u8] = b"\0asm\x01\0\0\0\
    \x05\x09\x04\0\x01\0\x01\0\x01\0\x01\
    \x07\x11\x04\x01a\x02\0\x01b\x02\x01\x01c\x02\x02\x01d\x02\x03";
const NAMES: [&str; MEMORIES as usize] = ["a", "b", "c", "d"];
/// Beyond the pages that stay resident, so that both ways of clearing are tried. In pages of 64 KiB.
const PAGES: u64 = 48;

/// Fills the memory of an engine of one bay with garbage.
pub(super) struct Poison {
    engine: Engine,
    module: Module,
}

impl Poison {
    pub(super) fn new(engine: &Engine) -> Self {
        let module = Module::from_binary(engine.first(), MODULE);
        Self { engine: engine.clone(), module: module.expect("the module is valid") }
    }

    /// Takes all the pool's memories, writes to each, and gives them back.
    pub(super) fn spread(&self) {
        let mut store = Store::new(self.engine.first(), ());
        let instance = Instance::new(&mut store, &self.module, &[])
            .expect("the checker's engine has no other instance now");
        for name in NAMES {
            let memory = instance.get_memory(&mut store, name).expect("the module exports it");
            // A limit below it leaves the page that there is.
            let _ = memory.grow(&mut store, PAGES - 1);
            memory.data_mut(&mut store).fill(0xa5);
        }
    }
}
