//! One loaded component.
//!
//! Loading does all that can be done once: reading, compiling, connecting imports, checking the types of the exports. A merge
//! then makes an instance, calls it and throws it away, so nothing is left for the next merge to see.

use std::fmt;

use bytes::Bytes;
use kinfold_protocol::merge::{MergeFailure, MergeRequest, MergeResult, ValidateRequest, Validity};
use wasmtime::Store;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower,
};

use crate::bays::Stay;
use crate::contract::{
    Answer, Arguments, Context, EQUIVALENT, LAWS, LogLine, MERGE, RESOLVER, SAMPLE, Sibling,
    VALIDATE, VALIDATOR, ValidateAnswer, ValidateArguments,
};
use crate::engine::Engine;
use crate::limits::{Budget, Limits};
use crate::load::{LoadError, inspect};
use crate::manifest::Manifest;
use crate::meter::Meter;
use crate::outcome::{MergeOutcome, cut, of_answer, of_error};

/// A component that is ready to merge.
pub struct Plugin {
    engine: Engine,
    manifest: Manifest,
    hash: blake3::Hash,
    /// In the first bay, and in those after it that it is in; at least one.
    bays: Box<[Linked]>,
}

/// A component in one bay, with its imports connected and its exports found.
struct Linked {
    instance: InstancePre<Meter>,
    merge: ComponentExportIndex,
    laws: Option<Laws>,
    validate: Option<ComponentExportIndex>,
}

/// What a plugin exports for the checker of the laws.
struct Laws {
    sample: ComponentExportIndex,
    equivalent: ComponentExportIndex,
}

impl Plugin {
    /// Loads a component. This takes as long as compiling does, from milliseconds to seconds, unless the engine
    /// has kept the compiled form: not for a thread that others
    /// wait for.
    ///
    /// # Errors
    /// See [`LoadError`]: whatever the bytes are, they are refused with a reason and no harm is done.
    pub fn load(engine: &Engine, bytes: &[u8]) -> Result<Self, LoadError> {
        let manifest = inspect(bytes, engine.limits().component)?;
        let hash = blake3::hash(bytes);
        let components = engine.compile(hash, bytes).map_err(LoadError::Malformed)?;
        let bays = components.iter().enumerate();
        let bays = bays.map(|(bay, component)| Linked::new(engine, bay, component));
        let bays = bays.collect::<Result<_, _>>()?;
        let plugin = Self { engine: engine.clone(), manifest, hash, bays };
        plugin.enter().0.try_instance(engine.limits())?;
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
        self.merge_within(request, |budget| budget)
    }

    /// The same, if that is a matter of a millisecond or two; `None` if it takes more, and then nothing has come of it.
    /// A plugin can't tell which of the two runs it: what it gets here and what it gets there differ only in where it is stopped.
    pub(crate) fn merge_quickly(&self, request: &MergeRequest) -> Option<MergeOutcome> {
        let outcome = self.merge_within(request, Budget::quick);
        match outcome.result {
            Err(MergeFailure::OutOfFuel | MergeFailure::OutOfMemory | MergeFailure::Overloaded) => {
                None
            }
            Ok(_) | Err(_) => Some(outcome),
        }
    }

    fn merge_within(
        &self,
        request: &MergeRequest,
        bounds: impl FnOnce(Budget) -> Budget,
    ) -> MergeOutcome {
        let unmerged =
            |result: MergeResult| MergeOutcome { result, fuel: 0, memory: 0, log: Vec::new() };
        match &request.inputs[..] {
            [] => return unmerged(Ok(None)),
            [only] => return unmerged(Ok(only.value.clone())),
            [_, _, ..] => {}
        }
        let limits = self.engine.limits();
        let budget = match limits.admit(request) {
            Ok(budget) => bounds(budget),
            Err(failure) => return unmerged(Err(failure)),
        };
        let context =
            Context { bucket: &request.bucket, key: &request.key, config: &request.config };
        let siblings: Vec<_> = request
            .inputs
            .iter()
            .map(|input| Sibling { value: input.value.as_deref(), time: input.time.0 })
            .collect();
        let arguments: Arguments<'_> = (context, &siblings);
        let (linked, _stay) = self.enter();
        let ran = linked.call::<_, Answer>(&linked.merge, arguments, budget, limits);
        MergeOutcome {
            result: ran.result.and_then(|(answer,)| of_answer(answer, limits)),
            fuel: ran.fuel,
            memory: ran.meter.memory_used(),
            log: ran.meter.into_lines(),
        }
    }

    /// Does it look at values before they are written?
    #[must_use]
    pub fn validates(&self) -> bool {
        self.bays.iter().any(|linked| linked.validate.is_some())
    }

    /// Has the plugin look at a value, in a fresh instance and within the bounds of a merge of the same size, on this thread; and
    /// what it wrote to its log meanwhile.
    #[must_use]
    pub fn validate(&self, request: &ValidateRequest) -> (Validity, Vec<LogLine>) {
        let (linked, _stay) = self.enter();
        let Some(validate) = &linked.validate else {
            return (Validity::Valid, Vec::new());
        };
        let limits = self.engine.limits();
        let bytes = [&request.key, &request.config, &request.value].map(|bytes| bytes.len());
        let budget = match limits.admit_bytes(bytes.into_iter().fold(0, usize::saturating_add)) {
            Ok(budget) => budget,
            Err(failure) => return (Validity::Unknown(failure), Vec::new()),
        };
        let context =
            Context { bucket: &request.bucket, key: &request.key, config: &request.config };
        let arguments: ValidateArguments<'_> = (context, &request.value);
        let ran = linked.call::<_, ValidateAnswer>(validate, arguments, budget, limits);
        let validity = match ran.result {
            Ok((Ok(()),)) => Validity::Valid,
            Ok((Err(reason),)) => Validity::Invalid(cut(reason)),
            Err(failure) => Validity::Unknown(failure),
        };
        (validity, ran.meter.into_lines())
    }

    /// A value that the plugin merges, of its own making and very roughly of `size` bytes; `None` if it makes none.
    #[must_use]
    pub fn sample(&self, seed: u64, size: u32) -> Option<Result<Bytes, MergeFailure>> {
        let (linked, _stay) = self.enter();
        let function = &linked.laws.as_ref()?.sample;
        let ran = linked.call::<_, (Vec<u8>,)>(function, (seed, size), self.most(), self.limits());
        Some(ran.result.map(|(value,)| value.into()))
    }

    /// Whether the plugin says that two values mean the same; `None` if it says nothing.
    pub(crate) fn equivalent(&self, a: &[u8], b: &[u8]) -> Option<Result<bool, MergeFailure>> {
        let (linked, _stay) = self.enter();
        let function = &linked.laws.as_ref()?.equivalent;
        let ran = linked.call::<_, (bool,)>(function, (a, b), self.most(), self.limits());
        Some(ran.result.map(|(same,)| same))
    }

    /// The bounds of its merges.
    pub(crate) fn limits(&self) -> &Limits {
        self.engine.limits()
    }

    /// What a call for the checker gets: as much fuel as any merge can have.
    fn most(&self) -> Budget {
        self.limits().most()
    }

    /// Enters a bay: the component there, for as long as the stay lasts.
    fn enter(&self) -> (&Linked, Stay<'_>) {
        let stay = self.engine.enter(self.bays.len());
        (&self.bays[stay.bay()], stay)
    }
}

/// What a call came to.
struct Ran<R> {
    result: Result<R, MergeFailure>,
    /// The fuel used.
    fuel: u64,
    meter: Meter,
}

impl Linked {
    fn new(engine: &Engine, bay: usize, component: &Component) -> Result<Self, LoadError> {
        let exports = Exports { component };
        exports.refuse_other_versions()?;
        let merge = exports
            .function::<Arguments<'_>, Answer>(RESOLVER, MERGE)?
            .ok_or_else(|| LoadError::WrongWorld(format!("it does not export {RESOLVER}")))?;
        let sample = exports.function::<(u64, u32), (Vec<u8>,)>(LAWS, SAMPLE)?;
        let equivalent = exports.function::<(&[u8], &[u8]), (bool,)>(LAWS, EQUIVALENT)?;
        let laws = sample.zip(equivalent).map(|(sample, equivalent)| Laws { sample, equivalent });
        let validate =
            exports.function::<ValidateArguments<'_>, ValidateAnswer>(VALIDATOR, VALIDATE)?;
        let instance = engine
            .link(bay, component)
            .map_err(|error| LoadError::WrongWorld(format!("{error:#}")))?;
        Ok(Self { instance, merge, laws, validate })
    }

    /// Calls a function of the component's in a fresh instance.
    fn call<P, R>(
        &self,
        function: &ComponentExportIndex,
        arguments: P,
        budget: Budget,
        limits: &Limits,
    ) -> Ran<R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        self.run(budget, limits, |store| {
            let instance = self.instance.instantiate(&mut *store)?;
            instance.get_typed_func::<P, R>(&mut *store, function)?.call(store, arguments)
        })
    }

    /// Finds out now, not at the first merge, if the component can't start within the limits.
    fn try_instance(&self, limits: &Limits) -> Result<(), LoadError> {
        let budget = Budget { fuel: limits.fuel_base, memory: limits.memory };
        let started = self.run(budget, limits, |store| self.instance.instantiate(store));
        started.result.map(drop).map_err(|failure| LoadError::Instance(failure.to_string()))
    }

    /// Runs something in a fresh store, and throws the store away.
    fn run<R>(
        &self,
        budget: Budget,
        limits: &Limits,
        run: impl FnOnce(&mut Store<Meter>) -> wasmtime::Result<R>,
    ) -> Ran<R> {
        let mut store = Store::new(self.instance.engine(), Meter::new(budget.memory));
        store.limiter(|meter| meter);
        store.set_hostcall_fuel(limits.hostcall());
        store.set_fuel(budget.fuel).expect("the engine counts fuel");
        let result = run(&mut store).map_err(|error| of_error(&error, store.data()));
        let fuel = budget.fuel.saturating_sub(store.get_fuel().unwrap_or(0));
        Ran { result, fuel, meter: store.into_data() }
    }
}

/// What a component exports.
struct Exports<'a> {
    component: &'a Component,
}

impl Exports<'_> {
    /// Refuses an interface of the contract in a version that is not compatible: left alone, it would never be called.
    fn refuse_other_versions(&self) -> Result<(), LoadError> {
        let unversioned = |name: &str| name.split('@').next().map(str::to_owned);
        let component_type = self.component.component_type();
        for known in [RESOLVER, LAWS, VALIDATOR] {
            if self.component.get_export_index(None, known).is_some() {
                continue;
            }
            let mut names = component_type.exports(self.component.engine()).map(|(name, _)| name);
            let found = names.find(|name| unversioned(name) == unversioned(known));
            if let Some(found) = found {
                return Err(LoadError::OtherVersion { found: found.to_owned(), known });
            }
        }
        Ok(())
    }

    /// The function of this name and type in an interface, which may be exported in any version that is compatible; `None`
    /// if the interface is not exported.
    fn function<P, R>(
        &self,
        interface: &str,
        name: &str,
    ) -> Result<Option<ComponentExportIndex>, LoadError>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        let Some(instance) = self.component.get_export_index(None, interface) else {
            return Ok(None);
        };
        let wrong = |reason: String| LoadError::WrongWorld(reason);
        let (item, function) = self
            .component
            .get_export(Some(&instance), name)
            .ok_or_else(|| wrong(format!("its {interface} has no function `{name}`")))?;
        let ComponentItem::ComponentFunc(of_type) = item else {
            return Err(wrong(format!("its `{name}` is not a function")));
        };
        of_type
            .typecheck::<P, R>(&self.component.component_type().instance_type())
            .map_err(|error| wrong(format!("its `{name}` is not the contract's: {error:#}")))?;
        Ok(Some(function))
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
