//! One loaded component.
//!
//! Loading does all that can be done once: reading, compiling, connecting imports, checking the types of the exports. A merge
//! then makes an instance, calls it and throws it away, so nothing is left for the next merge to see.

use std::fmt;

use kinfold_protocol::merge::{MergeRequest, MergeResult};
use wasmtime::Store;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{ComponentExportIndex, InstancePre};

use crate::contract::{Answer, Arguments, Context, MERGE, RESOLVER, Sibling};
use crate::engine::Engine;
use crate::load::{LoadError, inspect};
use crate::manifest::Manifest;
use crate::meter::Meter;
use crate::outcome::{MergeOutcome, of_answer, of_error};

/// A component that is ready to merge.
pub struct Plugin {
    engine: Engine,
    manifest: Manifest,
    hash: blake3::Hash,
    instance: InstancePre<Meter>,
    merge: ComponentExportIndex,
}

impl Plugin {
    /// Loads a component. This takes as long as compiling does, from milliseconds to seconds: not for a thread that others
    /// wait for.
    ///
    /// # Errors
    /// See [`LoadError`]: whatever the bytes are, they are refused with a reason and no harm is done.
    pub fn load(engine: &Engine, bytes: &[u8]) -> Result<Self, LoadError> {
        let manifest = inspect(bytes, engine.limits().component)?;
        let component = engine.compile(bytes).map_err(LoadError::Malformed)?;
        let resolver = component
            .get_export_index(None, RESOLVER)
            .ok_or_else(|| LoadError::WrongWorld(format!("it does not export {RESOLVER}")))?;
        let (item, merge) = component.get_export(Some(&resolver), MERGE).ok_or_else(|| {
            LoadError::WrongWorld(format!("its {RESOLVER} has no function `{MERGE}`"))
        })?;
        let ComponentItem::ComponentFunc(function) = item else {
            return Err(LoadError::WrongWorld(format!("its `{MERGE}` is not a function")));
        };
        function
            .typecheck::<Arguments<'_>, Answer>(&component.component_type().instance_type())
            .map_err(|error| {
                LoadError::WrongWorld(format!("its `{MERGE}` is not the contract's: {error:#}"))
            })?;
        let instance =
            engine.link(&component).map_err(|error| LoadError::WrongWorld(format!("{error:#}")))?;
        let plugin =
            Self { engine: engine.clone(), manifest, hash: blake3::hash(bytes), instance, merge };
        plugin.try_instance()?;
        Ok(plugin)
    }

    /// What the plugin says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The hash of the component's bytes, which is its identity.
    #[must_use]
    pub fn hash(&self) -> blake3::Hash {
        self.hash
    }

    /// Runs one merge in a fresh instance, on this thread. Fewer than two inputs need no plugin and use no fuel.
    #[must_use]
    pub fn merge(&self, request: &MergeRequest) -> MergeOutcome {
        let unmerged = |result: MergeResult| MergeOutcome { result, fuel: 0, log: Vec::new() };
        match &request.inputs[..] {
            [] => return unmerged(Ok(None)),
            [only] => return unmerged(Ok(only.value.clone())),
            [_, _, ..] => {}
        }
        let limits = self.engine.limits();
        let fuel = match limits.admit(request) {
            Ok(fuel) => fuel,
            Err(failure) => return unmerged(Err(failure)),
        };
        let mut store = self.store(fuel);
        let result = match self.call(&mut store, request) {
            Ok((answer,)) => of_answer(answer, limits),
            Err(error) => Err(of_error(&error, store.data())),
        };
        let left = store.get_fuel().unwrap_or(0);
        MergeOutcome {
            result,
            fuel: fuel.saturating_sub(left),
            log: store.into_data().into_lines(),
        }
    }

    fn call(&self, store: &mut Store<Meter>, request: &MergeRequest) -> wasmtime::Result<Answer> {
        let instance = self.instance.instantiate(&mut *store)?;
        let merge = instance.get_typed_func::<Arguments<'_>, Answer>(&mut *store, &self.merge)?;
        let context =
            Context { bucket: &request.bucket, key: &request.key, config: &request.config };
        let siblings: Vec<_> = request
            .inputs
            .iter()
            .map(|input| Sibling { value: input.value.as_deref(), time: input.time.0 })
            .collect();
        merge.call(store, (context, &siblings))
    }

    /// Finds out now, not at the first merge, if the component can't start within the limits.
    fn try_instance(&self) -> Result<(), LoadError> {
        let mut store = self.store(self.engine.limits().fuel_base);
        match self.instance.instantiate(&mut store) {
            Ok(_) => Ok(()),
            Err(error) => Err(LoadError::Instance(of_error(&error, store.data()).to_string())),
        }
    }

    fn store(&self, fuel: u64) -> Store<Meter> {
        let limits = self.engine.limits();
        let mut store = Store::new(self.engine.raw(), Meter::new(limits.memory));
        store.limiter(|meter| meter);
        store.set_hostcall_fuel(limits.hostcall());
        store.set_fuel(fuel).expect("the engine counts fuel");
        store
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("manifest", &self.manifest)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}
