//! What the built-in plugins say of themselves.

use kinfold_sandbox::{BUILT_IN, MANIFEST_SECTION, Manifest};
use wasmparser::{Parser, Payload};

/// The manifest of the built-in plugin of that name. Nothing of the plugin is run or compiled.
pub(crate) fn built_in(name: &str) -> Option<Manifest> {
    let (_, component) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name)?;
    let mut depth = 0u32;
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.ok()?;
        // Sections of what is nested in the component are not the component's own.
        if matches!(payload, Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) {
            depth += 1;
        } else if matches!(payload, Payload::End(_)) {
            depth = depth.saturating_sub(1);
        } else if let Payload::CustomSection(section) = payload
            && depth == 0
            && section.name() == MANIFEST_SECTION
        {
            return Manifest::parse(section.data()).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinfold_sandbox::{Contract, Tombstones};

    #[test]
    fn every_built_in_plugin_has_a_manifest() {
        for (name, _) in BUILT_IN {
            assert_eq!(built_in(name).unwrap().name, name);
        }
        let set_union = built_in("set-union").unwrap();
        assert_eq!(set_union.contract, Contract::Lattice);
        assert_eq!(set_union.tombstones, Tombstones::Reset);
        assert_eq!(built_in("no-such-plugin"), None);
    }
}
