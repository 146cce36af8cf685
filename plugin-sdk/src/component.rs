//! The contract's functions as a core module exports them: the canonical ABI of the component model, by hand. Public only
//! for the macro's sake.
//!
//! By hand, because it is small and it leaves the crate without dependencies: `kinfold plugin new` writes the whole crate
//! into an author's folder, who then needs no registry. `kinfold plugin build` adds the types of the contract.
//!
//! The host has [`cabi_realloc`] allocate every argument, so an argument is an owned block. What is returned is leaked: the
//! instance is thrown away after the call.
#![allow(
    unsafe_code,
    reason = "the ABI hands over raw memory; `wit/` and the host's lowering say what is in it"
)]

use std::alloc::{self, Layout};
use std::panic;
use std::ptr;

use crate::{Context, Level, MergeError, Resolver, Samples, Sibling, Validator};

/// `list<u8>` or `string` as an argument: a block of `len` bytes that the receiver owns.
#[repr(C)]
pub struct Block {
    bytes: *mut u8,
    len: usize,
}

impl Block {
    /// # Safety
    /// `bytes` was allocated by [`cabi_realloc`] with `len` bytes and alignment 1, and nobody else has it.
    unsafe fn into_vec(self) -> Vec<u8> {
        if self.len == 0 {
            return Vec::new();
        }
        // SAFETY: the caller's promise.
        unsafe { Vec::from_raw_parts(self.bytes, self.len, self.len) }
    }
}

/// `sibling` as an argument.
#[repr(C)]
struct LoweredSibling {
    has_value: u8,
    value: Block,
    time: u64,
}

/// `result<option<list<u8>>, merge-error>` as a result: what each word says depends on those before it.
#[repr(C)]
pub struct Answer {
    is_error: u32,
    /// `ok`: whether there is a value; `err`: which case.
    case: u32,
    words: [usize; 3],
}

/// `result<_, string>` as a result.
#[repr(C)]
pub struct Validity {
    is_error: u32,
    reason: *const u8,
    len: usize,
}

/// `list<u8>` as a result.
#[repr(C)]
pub struct Bytes {
    bytes: *const u8,
    len: usize,
}

impl Bytes {
    fn leak(bytes: Vec<u8>) -> &'static Self {
        let bytes = bytes.leak();
        Box::leak(Box::new(Self { bytes: bytes.as_ptr(), len: bytes.len() }))
    }
}

/// The allocation function that the host calls.
///
/// # Safety
/// As the canonical ABI has it: `old` is a block of this function's of `old_size` bytes with the same alignment, or
/// `old_size` is 0.
#[unsafe(export_name = "cabi_realloc")]
pub unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_size: usize,
    align: usize,
    new_size: usize,
) -> *mut u8 {
    if new_size == 0 {
        return ptr::without_provenance_mut(align);
    }
    let Ok(layout) = Layout::from_size_align(new_size, align) else {
        alloc::handle_alloc_error(Layout::new::<u8>());
    };
    let block = if old_size == 0 {
        // SAFETY: the size is not 0.
        unsafe { alloc::alloc(layout) }
    } else {
        // SAFETY: the caller's promise; the sizes are not 0, and `new_size` fits a layout of this alignment.
        unsafe { alloc::realloc(old, Layout::from_size_align_unchecked(old_size, align), new_size) }
    };
    if block.is_null() {
        alloc::handle_alloc_error(layout);
    }
    block
}

/// `resolver.merge`.
///
/// # Safety
/// All the arguments are blocks as [`Block::into_vec`] wants them; `siblings` is a block of `LoweredSibling`s.
pub unsafe fn merge<R: Resolver>(
    blocks: [Block; 3],
    siblings: (*const u8, usize),
) -> *const Answer {
    report_panics();
    // SAFETY: the caller's promise.
    let ctx = unsafe { context(blocks) };
    let (first, count) = siblings;
    let first = first.cast::<LoweredSibling>();
    let siblings = (0..count).map(|index| {
        // SAFETY: the caller's promise: there are `count` of them.
        let LoweredSibling { has_value, value, time } = unsafe { first.add(index).read() };
        // SAFETY: a value that is there is a block; one that is not, is not looked at.
        let value = (has_value != 0).then(|| unsafe { value.into_vec() });
        Sibling { value, time }
    });
    let merged = R::merge(ctx, siblings.collect());
    Box::leak(Box::new(Answer::of(merged)))
}

impl Answer {
    fn of(merged: Result<Option<Vec<u8>>, MergeError>) -> Self {
        let text = |case: u32, text: String| {
            let text = text.leak();
            Self { is_error: 1, case, words: [text.as_ptr().expose_provenance(), text.len(), 0] }
        };
        match merged {
            Ok(None) => Self { is_error: 0, case: 0, words: [0; 3] },
            Ok(Some(value)) => {
                let value = value.leak();
                let words = [value.as_ptr().expose_provenance(), value.len(), 0];
                Self { is_error: 0, case: 1, words }
            }
            Err(MergeError::InvalidSibling { index, reason }) => {
                let mut answer = text(0, reason);
                let [at, len, _] = answer.words;
                answer.words = [index as usize, at, len];
                answer
            }
            Err(MergeError::KeepSiblings(reason)) => text(1, reason),
            Err(MergeError::Internal(reason)) => text(2, reason),
        }
    }
}

/// `context` as an argument: bucket, key and config.
///
/// # Safety
/// The blocks are as [`Block::into_vec`] wants them.
unsafe fn context(blocks: [Block; 3]) -> Context {
    // SAFETY: the caller's promise.
    let [bucket, key, config] = blocks.map(|block| unsafe { block.into_vec() });
    // SAFETY: the host checks that a string is UTF-8 before it lowers it.
    let bucket = unsafe { String::from_utf8_unchecked(bucket) };
    Context { bucket, key, config }
}

/// `validator.validate`.
///
/// # Safety
/// All the arguments are blocks as [`Block::into_vec`] wants them.
pub unsafe fn validate<V: Validator>(blocks: [Block; 3], value: Block) -> *const Validity {
    report_panics();
    // SAFETY: the caller's promise.
    let (ctx, value) = unsafe { (context(blocks), value.into_vec()) };
    let validity = match V::validate(ctx, &value) {
        Ok(()) => Validity { is_error: 0, reason: ptr::null(), len: 0 },
        Err(reason) => {
            let reason = reason.leak();
            Validity { is_error: 1, reason: reason.as_ptr(), len: reason.len() }
        }
    };
    Box::leak(Box::new(validity))
}

/// `laws.sample`.
#[must_use]
pub fn sample<S: Samples>(seed: u64, size: u32) -> *const Bytes {
    report_panics();
    Bytes::leak(S::sample(seed, size))
}

/// `laws.equivalent`.
///
/// # Safety
/// Both arguments are blocks as [`Block::into_vec`] wants them.
pub unsafe fn equivalent<S: Samples>([a, b]: [Block; 2]) -> u32 {
    report_panics();
    // SAFETY: the caller's promise.
    let [a, b] = [a, b].map(|block| unsafe { block.into_vec() });
    S::equivalent(&a, &b).into()
}

/// This target can't unwind: the hook is the last code that runs. What it logs becomes the reason of the failure.
fn report_panics() {
    panic::set_hook(Box::new(|info| write(Level::Error, &info.to_string())));
}

/// Writes to the host's log.
pub fn write(level: Level, message: &str) {
    #[link(wasm_import_module = "kinfold:merge/log@0.1.0")]
    unsafe extern "C" {
        #[link_name = "write"]
        fn log_write(level: u32, message: *const u8, len: usize);
    }
    let level = match level {
        Level::Debug => 0,
        Level::Info => 1,
        Level::Warn => 2,
        Level::Error => 3,
    };
    // SAFETY: the host reads `message` before it returns, and nothing else.
    unsafe { log_write(level, message.as_ptr(), message.len()) }
}

/// A block from the two words that an argument of bytes is.
#[must_use]
pub const fn block(bytes: *mut u8, len: usize) -> Block {
    Block { bytes, len }
}
