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

/// What tools leave behind.
const IGNORED: &str = "/target\n/*.wasm\n/node_modules\n/.venv\n__pycache__\n";

const PLUGIN_TOML: &str = include_str!("../../templates/plugin.toml");

/// The files of a new plugin: paths in its folder, and texts.
pub(crate) fn files(language: Language, name: &str) -> Vec<(String, String)> {
    let own: &[(&str, &str)] = match language {
        Language::Rust => {
            templates!("rust": "Cargo.toml" = "manifest.toml", "src/lib.rs" = "lib.rs",
            "sdk/Cargo.toml" = "sdk.toml")
        }
        Language::C => templates!("c": "plugin.c" = "plugin.c", "kinfold.h" = "kinfold.h"),
        Language::Zig => {
            templates!("zig": "plugin.zig" = "plugin.zig", "kinfold.zig" = "kinfold.zig")
        }
        Language::Go => {
            templates!("go": "plugin.go" = "plugin.go", "kinfold.go" = "kinfold.go",
            "kinfold_wasm.go" = "kinfold_wasm.go", "kinfold_native.go" = "kinfold_native.go",
            "go.mod" = "module.txt")
        }
        Language::Wat => templates!("wat": "plugin.wat" = "plugin.wat"),
        Language::AssemblyScript => {
            templates!("assemblyscript": "plugin.ts" = "plugin.ts", "kinfold.ts" = "kinfold.ts")
        }
        Language::JavaScript => {
            templates!("javascript": "plugin.js" = "plugin.js", "kinfold.js" = "kinfold.js")
        }
        Language::TypeScript => {
            templates!("typescript": "plugin.ts" = "plugin.ts", "kinfold.ts" = "kinfold.ts")
        }
        Language::Python => {
            templates!("python": "plugin.py" = "plugin.py", "kinfold.py" = "kinfold.py",
            "kinfold_component.py" = "kinfold_component.py")
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
        Language::JavaScript | Language::TypeScript | Language::Python => files.extend(
            CONTRACT.iter().map(|(file, text)| (format!("wit/{file}"), (*text).to_owned())),
        ),
        Language::C | Language::Zig | Language::Go | Language::Wat | Language::AssemblyScript => {}
    }
    files.push((".gitignore".into(), IGNORED.into()));
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

    const DOCS: &str = include_str!("../../../docs/PLUGINS.md");

    /// A walk-through shows the code that `new` writes, and names the language as `new` does.
    #[test]
    fn the_walk_throughs_show_the_templates() {
        for &language in Language::value_variants() {
            let named = format!("--lang {}\n", language.name());
            let mut sections = DOCS.split("\n### ");
            let section = sections.find(|section| section.contains(&named));
            let section = section.unwrap_or_else(|| panic!("no walk-through has `{named}`"));
            let mut fences = section.split("\n```");
            let code =
                fences.find_map(|fence| fence.strip_prefix(char::is_alphabetic).map(|_| fence));
            let (_, code) = code.unwrap().split_once('\n').unwrap();
            let files = files(language, "longest");
            let source = &files.iter().find(|(path, _)| path == language.source()).unwrap().1;
            assert!(source.contains(code), "{}: not in the template:\n{code}", language.name());
        }
    }

    /// The versions are pinned in `plugins/tools`; what the messages and the manual say follows.
    #[test]
    fn tools_are_named_in_the_pinned_versions() {
        let pins = concat!(
            include_str!("../../../plugins/tools/pip.txt"),
            include_str!("../../../plugins/tools/npm.txt")
        );
        let sources = concat!(
            include_str!("build.rs"),
            include_str!("go.rs"),
            include_str!("python.rs"),
            include_str!("zig.rs")
        );
        assert_eq!(pins.lines().count(), 6);
        for pin in pins.lines() {
            assert!(sources.contains(&format!(" {pin}\"")), "{pin} is not what `build` names");
            assert!(DOCS.contains(pin), "{pin} is not what docs/PLUGINS.md names");
        }
    }
}
