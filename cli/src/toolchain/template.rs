//! What a new plugin's folder holds.

use kinfold_componentize::CONTRACT;

use crate::toolchain::Language;

/// A template: where it goes, and its text.
macro_rules! templates {
    ($language:literal: $($path:literal = $file:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../templates/", $language, "/", $file)))),+]
    };
}

/// Files of the SDK.
macro_rules! sdk {
    ($($file:literal),+ $(,)?) => {
        [$((concat!("sdk/src/", $file), include_str!(concat!("../../../plugin-sdk/src/", $file)))),+]
    };
}

/// The SDK, without its manifest: that one names the workspace it is developed in.
const SDK: [(&str, &str); 13] = sdk![
    "lib.rs",
    "allocator.rs",
    "component.rs",
    "export.rs",
    "laws/mod.rs",
    "laws/breach.rs",
    "laws/shrink.rs",
    "laws/steps.rs",
    "laws/trial.rs",
    "laws/values.rs",
    "log.rs",
    "resolver.rs",
    "samples.rs",
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
        let mut wanted = vec!["sdk/src/lib.rs".to_owned(), "sdk/src/laws/mod.rs".to_owned()];
        for folder in ["sdk/src/", "sdk/src/laws/"] {
            let root = if folder.ends_with("laws/") { "mod.rs" } else { "lib.rs" };
            let (_, text) =
                SDK.iter().find(|(path, _)| *path == format!("{folder}{root}")).unwrap();
            let modules = text
                .lines()
                .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "));
            let files = modules.filter_map(|name| name.strip_suffix(';'));
            wanted.extend(files.map(|name| format!("{folder}{name}.rs")));
        }
        wanted.retain(|path| path != "sdk/src/laws.rs");
        wanted.sort();
        let mut there: Vec<_> = SDK.iter().map(|(path, _)| (*path).to_owned()).collect();
        there.sort();
        assert_eq!(there, wanted);
    }
}
