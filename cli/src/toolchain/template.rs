//! What a new plugin's folder holds.

use kinfold_componentize::CONTRACT;

use crate::toolchain::Language;

/// A template: where it goes, and its text.
macro_rules! templates {
    ($language:literal: $($path:literal = $file:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../templates/", $language, "/", $file)))),+]
    };
}

/// The SDK, without its manifest: that one names the workspace it is developed in.
const SDK: [(&str, &str); 8] = [
    ("sdk/src/lib.rs", include_str!("../../../plugin-sdk/src/lib.rs")),
    ("sdk/src/allocator.rs", include_str!("../../../plugin-sdk/src/allocator.rs")),
    ("sdk/src/component.rs", include_str!("../../../plugin-sdk/src/component.rs")),
    ("sdk/src/export.rs", include_str!("../../../plugin-sdk/src/export.rs")),
    ("sdk/src/laws.rs", include_str!("../../../plugin-sdk/src/laws.rs")),
    ("sdk/src/log.rs", include_str!("../../../plugin-sdk/src/log.rs")),
    ("sdk/src/resolver.rs", include_str!("../../../plugin-sdk/src/resolver.rs")),
    ("sdk/src/samples.rs", include_str!("../../../plugin-sdk/src/samples.rs")),
];

const PLUGIN_TOML: &str = include_str!("../../templates/plugin.toml");

/// The files of a new plugin: paths in its folder, and texts.
pub(crate) fn files(language: Language, name: &str) -> Vec<(String, String)> {
    let own: &[(&str, &str)] = match language {
        Language::Rust => {
            templates!("rust": "Cargo.toml" = "manifest.toml", "src/lib.rs" = "lib.rs",
            "sdk/Cargo.toml" = "sdk.toml")
        }
        Language::C => templates!("c": "plugin.c" = "plugin.c", "kinfold.h" = "kinfold.h"),
        Language::Wat => templates!("wat": "plugin.wat" = "plugin.wat"),
        Language::AssemblyScript => {
            templates!("assemblyscript": "plugin.ts" = "plugin.ts", "kinfold.ts" = "kinfold.ts")
        }
        Language::JavaScript => templates!("javascript": "plugin.js" = "plugin.js"),
        Language::TypeScript => {
            templates!("typescript": "plugin.ts" = "plugin.ts", "kinfold.ts" = "kinfold.ts")
        }
    };
    let filled =
        |text: &str| text.replace("{{name}}", name).replace("{{language}}", language.name());
    let mut files = vec![("plugin.toml".to_owned(), filled(PLUGIN_TOML))];
    files.extend(own.iter().map(|(path, text)| ((*path).to_owned(), filled(text))));
    match language {
        Language::Rust => {
            files.extend(SDK.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
        }
        // Their tool reads the contract.
        Language::JavaScript | Language::TypeScript => files.extend(
            CONTRACT.iter().map(|(file, text)| (format!("wit/{file}"), (*text).to_owned())),
        ),
        Language::C | Language::Wat | Language::AssemblyScript => {}
    }
    files.push((".gitignore".into(), "/target\n/*.wasm\n".into()));
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;
    use kinfold_sandbox::Manifest;

    #[test]
    fn every_template_has_its_source_and_a_manifest_that_names_its_language() {
        for &language in Language::value_variants() {
            let files = files(language, "my-plugin");
            let text = |path: &str| &files.iter().find(|(file, _)| file == path).unwrap().1;
            assert!(!text(language.source()).is_empty());
            let manifest = text("plugin.toml");
            assert_eq!(Manifest::parse(manifest.as_bytes()).unwrap().name, "my-plugin");
            assert!(manifest.contains(&format!("language = \"{}\"", language.name())));
            for slot in ["{{name}}", "{{language}}"] {
                assert!(files.iter().all(|(_, text)| !text.contains(slot)), "{slot}");
            }
        }
    }

    #[test]
    fn the_sdk_is_complete() {
        let lib = SDK[0].1;
        let modules =
            lib.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "));
        let files: Vec<_> = modules.map(|name| name.replace(';', ".rs")).collect();
        assert_eq!(files.len() + 1, SDK.len());
        for file in files {
            assert!(SDK.iter().any(|(path, _)| *path == format!("sdk/src/{file}")), "{file}");
        }
    }
}
