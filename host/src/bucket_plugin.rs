//! Does a bucket go with its plugin? Asked where a bucket is made or changed, since only the shell knows the plugins.
//!
//! A lattice bucket stores what its plugin makes, for good: with a plugin that does not promise the laws of a lattice, or treats
//! deletes in another way than the bucket, replicas would never agree. Other nodes may still lack the plugin: then their
//! merges fail, and the siblings stay.

use kinfold_protocol::catalogue::Release;
use kinfold_protocol::config::{Mode, Tombstones};
use kinfold_protocol::message::client::Request;
use kinfold_protocol::message::plugin::PluginRequest;
use kinfold_sandbox::{Contract, Manifest};

/// Why a bucket does not go with its plugin. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BucketPluginError {
    #[error(
        "this node has no plugin `{0}`: install it with `kinfold plugin install` and name it with its version, as NAME@VERSION, or choose another"
    )]
    None(String),
    #[error(
        "plugin `{0}` promises the laws of a resolver, not of a lattice: make a resolver bucket, or choose another plugin"
    )]
    NotALattice(String),
    #[error("plugin `{plugin}` is made for tombstones `{manifest}`, and the bucket says otherwise")]
    Tombstones { plugin: String, manifest: &'static str },
}

/// Checks a request that makes or changes a bucket; others pass.
pub(crate) fn check(
    request: &Request,
    manifest: impl Fn(&str) -> Option<Manifest>,
) -> Result<(), BucketPluginError> {
    let mode = match request {
        Request::BucketCreate(change) | Request::BucketSet(change) => &change.config.mode,
        Request::Plugin(PluginRequest::Shadow { plugin: Some(plugin), .. }) => {
            // As a resolver: nothing that it makes is stored.
            &Mode::Resolver { plugin: plugin.clone() }
        }
        Request::Get(_)
        | Request::Put(_)
        | Request::List(_)
        | Request::Delete(_)
        | Request::BucketList
        | Request::Layout
        | Request::Plugin(_)
        | Request::Cluster(_)
        | Request::Explain(_)
        | Request::Scrub
        | Request::Status => return Ok(()),
    };
    let Some(plugin) = mode.plugin() else { return Ok(()) };
    if Release::is_meant_by(plugin) {
        // The core knows what is installed.
        return Ok(());
    }
    let found = manifest(plugin).ok_or_else(|| BucketPluginError::None(plugin.to_owned()))?;
    match (mode, found.contract) {
        (Mode::Siblings | Mode::Resolver { .. }, _) => Ok(()),
        (Mode::Lattice { .. }, Contract::Resolver) => {
            Err(BucketPluginError::NotALattice(plugin.to_owned()))
        }
        (Mode::Lattice { tombstones, .. }, Contract::Lattice) => {
            let (made_for, manifest) = match found.tombstones {
                kinfold_sandbox::Tombstones::Pass => (Tombstones::Pass, "pass"),
                kinfold_sandbox::Tombstones::Reset => (Tombstones::Reset, "reset"),
            };
            if *tombstones == made_for {
                return Ok(());
            }
            Err(BucketPluginError::Tombstones { plugin: plugin.to_owned(), manifest })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinfold_protocol::config::BucketConfig;
    use kinfold_protocol::id::BucketName;
    use kinfold_protocol::message::client::BucketChange;

    fn checked(mode: Mode) -> Result<(), BucketPluginError> {
        let config = BucketConfig { mode, ..BucketConfig::default() };
        let change = BucketChange { bucket: BucketName::new("b").unwrap(), config, force: false };
        check(&Request::BucketCreate(change), |name| {
            let contract = match name {
                "union" => "lattice",
                "latest" => "resolver",
                _ => return None,
            };
            let text = format!(
                "name = '{name}'\nversion = '1'\ncontract = '{contract}'\ntombstones = 'pass'"
            );
            Some(Manifest::parse(text.as_bytes()).unwrap())
        })
    }

    #[test]
    fn a_bucket_asks_no_more_of_its_plugin_than_it_promises() {
        let plugin = |name: &str| name.to_owned();
        let lattice = |name, tombstones| Mode::Lattice { plugin: plugin(name), tombstones };
        assert_eq!(checked(Mode::Siblings), Ok(()));
        assert_eq!(checked(Mode::Resolver { plugin: plugin("latest") }), Ok(()));
        assert_eq!(checked(Mode::Resolver { plugin: plugin("union") }), Ok(()));
        assert_eq!(checked(lattice("union", Tombstones::Pass)), Ok(()));
        assert_eq!(
            checked(lattice("union", Tombstones::Reset)),
            Err(BucketPluginError::Tombstones { plugin: plugin("union"), manifest: "pass" })
        );
        assert_eq!(
            checked(lattice("latest", Tombstones::Pass)),
            Err(BucketPluginError::NotALattice(plugin("latest")))
        );
        assert_eq!(
            checked(Mode::Resolver { plugin: plugin("none") }),
            Err(BucketPluginError::None(plugin("none")))
        );
    }
}
