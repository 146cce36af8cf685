//! How much one merge may use.

use kinfold_protocol::merge::{MergeFailure, MergeRequest};

const MIB: usize = 1024 * 1024;

/// So much fuel a merge may take on a thread that others wait for: one or two milliseconds.
const QUICK_FUEL: u64 = 5_000_000;
/// And so much memory, in bytes: to touch it all for the first time takes about as long.
const QUICK_MEMORY: usize = 4 * MIB;

/// What one call of a component gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Units of fuel.
    pub(crate) fuel: u64,
    /// Bytes of linear memory.
    pub(crate) memory: usize,
}

impl Budget {
    /// No more of it than a thread can spare that others wait for.
    pub(crate) fn quick(self) -> Self {
        Self { fuel: self.fuel.min(QUICK_FUEL), memory: self.memory.min(QUICK_MEMORY) }
    }
}

/// The bounds of one merge and of one component. All sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fuel for a merge of no bytes. A unit is about one WebAssembly instruction: 10 million take a few milliseconds.
    pub fuel_base: u64,
    /// More fuel for every byte of input.
    pub fuel_per_byte: u64,
    /// The most fuel a merge gets, however large its input.
    pub fuel_max: u64,
    /// All linear memories of an instance together. An instance that wants more is stopped.
    pub memory: usize,
    /// The stack of the component's code. Threads that run merges need this and 256 KiB more.
    pub stack: usize,
    /// The most siblings in one merge.
    pub siblings: usize,
    /// The most bytes of values, key and config in one merge.
    pub input: usize,
    /// The largest value a merge may make.
    pub result: usize,
    /// The largest component.
    pub component: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel_base: 10_000_000,
            fuel_per_byte: 5_000,
            fuel_max: 1_000_000_000,
            memory: 32 * MIB,
            stack: MIB / 2,
            siblings: 64,
            input: 4 * MIB,
            result: 16 * MIB,
            component: 32 * MIB,
        }
    }
}

impl Limits {
    /// What `request` gets.
    ///
    /// # Errors
    /// [`MergeFailure::TooLarge`] where it has too many siblings or bytes.
    pub(crate) fn admit(&self, request: &MergeRequest) -> Result<Budget, MergeFailure> {
        let siblings = request.inputs.len();
        if siblings > self.siblings {
            return Err(MergeFailure::TooLarge(format!(
                "{siblings} siblings, where {} are allowed",
                self.siblings
            )));
        }
        let values = request.inputs.iter().filter_map(|input| input.value.as_ref());
        let bytes = values
            .map(|value| value.len())
            .fold(request.key.len() + request.config.len(), usize::saturating_add);
        self.admit_bytes(bytes)
    }

    /// What a call with so many bytes of input gets.
    ///
    /// # Errors
    /// [`MergeFailure::TooLarge`] where they are too many.
    pub(crate) fn admit_bytes(&self, bytes: usize) -> Result<Budget, MergeFailure> {
        if bytes > self.input {
            return Err(MergeFailure::TooLarge(format!(
                "{bytes} bytes of input, where {} are allowed",
                self.input
            )));
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let fuel = self.fuel_per_byte.saturating_mul(bytes).saturating_add(self.fuel_base);
        Ok(Budget { fuel: fuel.min(self.fuel_max), memory: self.memory })
    }

    /// The most that any call gets.
    pub(crate) fn most(&self) -> Budget {
        Budget { fuel: self.fuel_max, memory: self.memory }
    }

    /// How much a component may hand to the host in one call: the largest value, and room for what is around it.
    pub(crate) fn hostcall(&self) -> usize {
        self.result.saturating_add(64 * 1024)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kinfold_protocol::merge::MergeInput;
    use kinfold_protocol::time::Timestamp;

    use super::*;

    fn request(siblings: usize, size: usize) -> MergeRequest {
        let input = MergeInput { value: Some(Bytes::from(vec![0; size])), time: Timestamp(1) };
        MergeRequest {
            plugin: "p".into(),
            bucket: "b".into(),
            key: Bytes::from_static(b"key"),
            config: Bytes::new(),
            inputs: vec![input; siblings],
        }
    }

    #[test]
    fn fuel_grows_with_the_input_up_to_the_cap() {
        let limits = Limits::default();
        let fuel = |request| limits.admit(&request).unwrap().fuel;
        assert_eq!(fuel(request(3, 100)), 10_000_000 + 303 * 5_000);
        assert_eq!(fuel(request(4, 1_000_000)), 1_000_000_000);
    }

    #[test]
    fn too_many_and_too_large_are_refused() {
        let limits = Limits::default();
        assert!(limits.admit(&request(64, 1)).is_ok());
        for (siblings, size) in [(65, 1), (2, 2 * MIB)] {
            let refused = limits.admit(&request(siblings, size));
            assert!(matches!(refused, Err(MergeFailure::TooLarge(_))));
        }
    }
}
