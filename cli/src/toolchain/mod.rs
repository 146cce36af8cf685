//! The languages that plugins are written in: what a new plugin's folder holds, and which tools make a component of it.
//!
//! Everything that a language needs beside its tools is inside this program, so that a plugin is made and built without a
//! network once the tools are there.

mod build;
mod go;
mod python;
mod rust;
mod template;
mod tool;
mod zig;

use clap::ValueEnum;
use serde::Deserialize;

pub(crate) use build::{BuildError, build};
pub(crate) use template::files;

/// A language that a plugin can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub(crate) enum Language {
    Rust,
    C,
    Zig,
    Go,
    Wat,
    AssemblyScript,
    JavaScript,
    TypeScript,
    Python,
}

impl Language {
    /// As `--lang` and `plugin.toml` name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Zig => "zig",
            Self::Go => "go",
            Self::Wat => "wat",
            Self::AssemblyScript => "assemblyscript",
            Self::JavaScript => "javascript",
            Self::TypeScript => "typescript",
            Self::Python => "python",
        }
    }

    /// The file that an author edits.
    pub(crate) fn source(self) -> &'static str {
        match self {
            Self::Rust => "src/lib.rs",
            Self::C => "plugin.c",
            Self::Zig => "plugin.zig",
            Self::Go => "plugin.go",
            Self::Wat => "plugin.wat",
            Self::AssemblyScript | Self::TypeScript => "plugin.ts",
            Self::JavaScript => "plugin.js",
            Self::Python => "plugin.py",
        }
    }
}
