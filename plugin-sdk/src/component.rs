//! Between the contract's generated types and this crate's: the only module that knows the WIT. Public only for
//! the macro's sake.

use std::panic;

use crate::{Level, Resolver};

pub use bindings::export_plugin;
pub use bindings::exports::kinfold::merge::resolver::{Context, Guest, MergeError, Sibling};

#[allow(missing_docs, unreachable_pub, unsafe_code, reason = "generated from the contract")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "plugin",
        pub_export_macro: true,
        export_macro_name: "export_plugin",
        default_bindings_module: "kinfold_plugin_sdk::component::bindings",
        runtime_path: "::wit_bindgen::rt",
    });
}

/// Runs one merge of `R`.
///
/// # Errors
/// What `R` answers.
pub fn merge<R: Resolver>(
    ctx: Context,
    siblings: Vec<Sibling>,
) -> Result<Option<Vec<u8>>, MergeError> {
    // This target can't unwind: the hook is the last code that runs. What it logs becomes the reason of the failure.
    panic::set_hook(Box::new(|info| write(Level::Error, &info.to_string())));
    let ctx = crate::Context { bucket: ctx.bucket, key: ctx.key, config: ctx.config };
    let siblings = siblings
        .into_iter()
        .map(|sibling| crate::Sibling { value: sibling.value, time: sibling.time })
        .collect();
    R::merge(ctx, siblings).map_err(|error| match error {
        crate::MergeError::InvalidSibling { index, reason } => {
            MergeError::InvalidSibling((index, reason))
        }
        crate::MergeError::KeepSiblings(reason) => MergeError::KeepSiblings(reason),
        crate::MergeError::Internal(reason) => MergeError::Internal(reason),
    })
}

/// Writes to the host's log.
pub fn write(level: Level, message: &str) {
    use bindings::kinfold::merge::log;
    let level = match level {
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
    };
    log::write(level, message);
}
