//! From what a language's compiler makes to what Kinfold loads: wraps a core module into a component of the plugin's
//! world, and attaches its manifest.
//!
//! Same bytes in, same bytes out: the components that are committed can be compared with rebuilt ones.

mod component;
mod manifest;

pub use component::{CONTRACT, ComponentizeError, componentize, componentize_on_stubs};
pub use manifest::{MANIFEST_SECTION, attach_manifest};
