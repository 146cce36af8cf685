//! What plugins are made for, as far as that is known: so that a bucket takes what goes without saying.

use std::collections::BTreeMap;

use kinfold_client::{Client, Contract, Tombstones};

use crate::exit::Failure;
use crate::manifest;

/// What a plugin is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MadeFor {
    pub(crate) contract: Contract,
    pub(crate) tombstones: Tombstones,
}

/// What plugins are made for, by the name that buckets call them by.
#[derive(Debug, Default)]
pub(crate) struct KnownPlugins {
    told: BTreeMap<String, MadeFor>,
}

impl KnownPlugins {
    /// What the cluster knows of a plugin, if one is named that does not come with the program.
    pub(crate) async fn of(client: &Client, plugin: Option<&str>) -> Result<Self, Failure> {
        let Some(plugin) = plugin else { return Ok(Self::default()) };
        if manifest::built_in(plugin).is_some() {
            return Ok(Self::default());
        }
        let listed = client.plugins().await?;
        let installed = listed.installed.into_iter().map(|(release, component)| {
            (
                release.to_string(),
                MadeFor { contract: component.contract, tombstones: component.tombstones },
            )
        });
        let local = listed.local.into_iter().map(|(name, plugin)| {
            (name, MadeFor { contract: plugin.contract, tombstones: plugin.tombstones })
        });
        Ok(Self { told: installed.chain(local).collect() })
    }

    /// Installed versions of a plugin, for whoever left the version out or named one that is not there.
    pub(crate) fn versions(&self, plugin: &str) -> String {
        let name = plugin.split('@').next().unwrap_or_default();
        let versions = self
            .told
            .keys()
            .filter(|known| known.split_once('@').is_some_and(|(known, _version)| known == name));
        let versions: Vec<&str> = versions.map(String::as_str).collect();
        if versions.is_empty() {
            String::new()
        } else {
            format!(" (there is {})", versions.join(", "))
        }
    }

    /// What a plugin is made for.
    pub(crate) fn find(&self, plugin: &str) -> Option<MadeFor> {
        if let Some(told) = self.told.get(plugin) {
            return Some(*told);
        }
        let manifest = manifest::built_in(plugin)?;
        Some(MadeFor {
            contract: match manifest.contract {
                kinfold_sandbox::Contract::Resolver => Contract::Resolver,
                kinfold_sandbox::Contract::Lattice => Contract::Lattice,
            },
            tombstones: match manifest.tombstones {
                kinfold_sandbox::Tombstones::Pass => Tombstones::Pass,
                kinfold_sandbox::Tombstones::Reset => Tombstones::Reset,
            },
        })
    }
}
