//! Attaching a manifest to a component.

use std::borrow::Cow;

use wasm_encoder::{ComponentSection, CustomSection};

/// The custom section that holds a plugin's manifest: the text of its `plugin.toml`.
pub const MANIFEST_SECTION: &str = "kinfold:plugin";

/// Appends the text of `plugin.toml` to a component, where it can be read without running anything.
pub fn attach_manifest(component: &mut Vec<u8>, manifest: &str) {
    let section =
        CustomSection { name: MANIFEST_SECTION.into(), data: Cow::Borrowed(manifest.as_bytes()) };
    section.append_to_component(component);
}
