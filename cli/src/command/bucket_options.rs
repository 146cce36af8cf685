//! A bucket's properties, from what the user says and what goes without saying.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use std::time::Duration;

use kinfold_client::{
    BucketChange, BucketConfig, BucketName, Client, Consistency, Contract, Mode, Tombstones,
};

use crate::command::known_plugins::{KnownPlugins, MadeFor};
use crate::duration::{self, Ttl};
use crate::exit::Failure;

/// How siblings are dealt with, as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeWord {
    /// All are stored and answered; readers resolve them
    Siblings,
    /// All are stored; a read answers what the plugin makes of them
    Resolver,
    /// One folded value is stored; the plugin must keep the laws
    Lattice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TombstonesWord {
    /// Deletes go into the merge
    Pass,
    /// A delete wins over all writes that had not seen it
    Reset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ConsistencyWord {
    /// Always writable: others may stand in for owners
    Sloppy,
    /// Only owners count
    Strict,
}

/// Properties that can be set.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct BucketOptions {
    /// The plugin that merges siblings: NAME@VERSION of an installed one, or the name of one that every node has
    #[arg(long, value_name = "PLUGIN")]
    merge: Option<String>,
    /// How siblings are dealt with. Default: what the plugin is made for; without a plugin, siblings
    #[arg(long, value_enum)]
    mode: Option<ModeWord>,
    /// How deletes join in a lattice bucket. Default: what the plugin is made for
    #[arg(long, value_enum, hide_possible_values = false)]
    tombstones: Option<TombstonesWord>,
    /// Copies of each key. Default: 3, or as many as there are nodes
    #[arg(long, value_name = "N")]
    n: Option<u8>,
    /// Owners that a get waits for. Default: a majority of the copies
    #[arg(long, value_name = "N")]
    r: Option<u8>,
    /// Owners whose durable acknowledgement a put waits for. Default: a majority of the copies
    #[arg(long, value_name = "N")]
    w: Option<u8>,
    /// Which acknowledgements count. Default: sloppy
    #[arg(long, value_enum)]
    consistency: Option<ConsistencyWord>,
    /// Bytes handed to the plugin at every merge, as text
    #[arg(long, value_name = "TEXT")]
    plugin_config: Option<String>,
    /// Bytes handed to the plugin at every merge, from a file
    #[arg(long, value_name = "FILE", conflicts_with = "plugin_config")]
    plugin_config_file: Option<PathBuf>,
    /// How long values are there whose put says nothing of it, such as 30d, or `none`. Default: none, for ever
    #[arg(long, value_name = "TIME", value_parser = duration::ttl)]
    ttl: Option<Ttl>,
    /// How long to wait until all nodes are ready for an installed plugin. Default: 30s; a minute at most
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    wait: Option<Duration>,
    /// Don't wait: nodes that lack the plugin keep siblings until they have it
    #[arg(long)]
    force: bool,
}

/// How a change waits for nodes to be ready for a bucket's plugin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    wait: Option<Duration>,
    force: bool,
}

impl Ready {
    /// Makes or changes a bucket. Gives the members that don't know of it yet.
    pub(crate) async fn change(
        self,
        client: &Client,
        create: bool,
        name: &str,
        config: BucketConfig,
    ) -> Result<Vec<String>, Failure> {
        let installed = config.mode.plugin().is_some_and(|plugin| plugin.contains('@'));
        if !installed {
            return Ok(match create {
                true => client.bucket_create(name, config).await?,
                false => client.bucket_set(name, config).await?,
            });
        }
        let bucket = BucketName::new(name).map_err(|error| Failure::Usage(error.to_string()))?;
        let change = BucketChange { bucket, config, force: self.force };
        let wait = self.wait.unwrap_or(Duration::from_secs(30));
        Ok(client.bucket_change(create, change, wait).await?)
    }
}

impl BucketOptions {
    /// The plugin that is named, if one is.
    pub(crate) fn plugin(&self) -> Option<&str> {
        self.merge.as_deref()
    }

    /// How to wait for its plugin.
    pub(crate) fn ready(&self) -> Ready {
        Ready { wait: self.wait, force: self.force }
    }

    /// The properties of a new bucket in a cluster that keeps so many copies.
    pub(crate) fn create(self, copies: u8, known: &KnownPlugins) -> Result<BucketConfig, Failure> {
        let n = BucketConfig::default().n.min(copies);
        let base = BucketConfig { n, r: majority(n), w: majority(n), ..BucketConfig::default() };
        self.apply(base, known, |made_for| match made_for.contract {
            Contract::Resolver => ModeWord::Resolver,
            Contract::Lattice => ModeWord::Lattice,
        })
    }

    /// The properties of a bucket that has those of `present`.
    pub(crate) fn change(
        self,
        present: BucketConfig,
        known: &KnownPlugins,
    ) -> Result<BucketConfig, Failure> {
        // How a bucket's objects join can't change, whatever else its new plugin could do.
        let mode = match present.mode {
            Mode::Siblings | Mode::Resolver { .. } => ModeWord::Resolver,
            Mode::Lattice { .. } => ModeWord::Lattice,
        };
        self.apply(present, known, |_| mode)
    }

    fn apply(
        self,
        base: BucketConfig,
        known: &KnownPlugins,
        mode_for: impl FnOnce(MadeFor) -> ModeWord,
    ) -> Result<BucketConfig, Failure> {
        let mode = self.mode(base.mode, known, mode_for)?;
        let n = self.n.unwrap_or(base.n);
        let quorum = |asked: Option<u8>, present: u8| {
            asked.unwrap_or(if self.n.is_some() { majority(n) } else { present })
        };
        Ok(BucketConfig {
            ttl_ms: match self.ttl {
                None => base.ttl_ms,
                Some(Ttl::None) => None,
                Some(Ttl::For(ttl)) => Some(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
            },
            mode,
            n,
            r: quorum(self.r, base.r),
            w: quorum(self.w, base.w),
            consistency: match self.consistency {
                None => base.consistency,
                Some(ConsistencyWord::Sloppy) => Consistency::Sloppy,
                Some(ConsistencyWord::Strict) => Consistency::Strict,
            },
            plugin_config: match (self.plugin_config, self.plugin_config_file) {
                (Some(text), _) => Bytes::from(text),
                (None, Some(file)) => {
                    fs::read(&file).map(Bytes::from).map_err(Failure::file(file))?
                }
                (None, None) => base.plugin_config,
            },
        })
    }

    fn mode(
        &self,
        base: Mode,
        known: &KnownPlugins,
        mode_for: impl FnOnce(MadeFor) -> ModeWord,
    ) -> Result<Mode, Failure> {
        let usage = |text: String| Err(Failure::Usage(text));
        if self.merge.is_none() && self.mode.is_none() && self.tombstones.is_none() {
            return Ok(base);
        }
        let plugin = self.merge.as_deref().or(base.plugin());
        if self.mode == Some(ModeWord::Siblings) {
            return match &self.merge {
                None => Ok(Mode::Siblings),
                Some(plugin) => usage(format!(
                    "a bucket of siblings has no plugin: drop `--merge {plugin}`, or choose resolver or lattice"
                )),
            };
        }
        let Some(plugin) = plugin else {
            return usage("which plugin is to merge? Name it with --merge".to_owned());
        };
        let made_for = known.find(plugin);
        let word = match (self.mode, made_for) {
            (Some(word), _) => word,
            (None, Some(made_for)) => mode_for(made_for),
            (None, None) => {
                return usage(format!(
                    "nothing is known of a plugin `{plugin}`{}: see `kinfold plugin list`, or say --mode resolver or --mode lattice",
                    known.versions(plugin)
                ));
            }
        };
        match word {
            ModeWord::Siblings | ModeWord::Resolver => {
                Ok(Mode::Resolver { plugin: plugin.to_owned() })
            }
            ModeWord::Lattice => self.lattice(plugin, made_for, &base),
        }
    }

    fn lattice(
        &self,
        plugin: &str,
        made_for: Option<MadeFor>,
        base: &Mode,
    ) -> Result<Mode, Failure> {
        if made_for.is_some_and(|made_for| made_for.contract == Contract::Resolver) {
            return Err(Failure::Usage(format!(
                "`{plugin}` does not keep the laws of a lattice: say --mode resolver"
            )));
        }
        let told = self.tombstones.map(|word| match word {
            TombstonesWord::Pass => Tombstones::Pass,
            TombstonesWord::Reset => Tombstones::Reset,
        });
        let made_for = made_for.map(|made_for| made_for.tombstones);
        let present = match base {
            Mode::Lattice { tombstones, .. } => Some(*tombstones),
            Mode::Siblings | Mode::Resolver { .. } => None,
        };
        match told.or(present).or(made_for) {
            Some(tombstones) => Ok(Mode::Lattice { plugin: plugin.to_owned(), tombstones }),
            None => Err(Failure::Usage(format!(
                "nothing is known of a plugin `{plugin}`: say --tombstones pass or --tombstones reset, as its plugin.toml does"
            ))),
        }
    }
}

fn majority(n: u8) -> u8 {
    n / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(plugin: &str) -> BucketOptions {
        BucketOptions { merge: Some(plugin.to_owned()), ..BucketOptions::default() }
    }

    fn lattice(plugin: &str, tombstones: Tombstones) -> Mode {
        Mode::Lattice { plugin: plugin.to_owned(), tombstones }
    }

    #[test]
    fn a_new_bucket_takes_what_goes_without_saying() {
        let plain = BucketOptions::default().create(3, &KnownPlugins::default()).unwrap();
        assert_eq!(plain, BucketConfig::default());
        let alone = BucketOptions::default().create(1, &KnownPlugins::default()).unwrap();
        assert_eq!((alone.n, alone.r, alone.w), (1, 1, 1));
        let five = BucketOptions { n: Some(5), w: Some(5), ..BucketOptions::default() };
        let five = five.create(5, &KnownPlugins::default()).unwrap();
        assert_eq!((five.n, five.r, five.w), (5, 3, 5));
    }

    #[test]
    fn a_built_in_plugin_says_what_it_is_made_for() {
        let mode =
            |options: BucketOptions| options.create(3, &KnownPlugins::default()).unwrap().mode;
        assert_eq!(mode(merge("set-union")), lattice("set-union", Tombstones::Reset));
        assert_eq!(mode(merge("last-write-wins")), lattice("last-write-wins", Tombstones::Pass));
        let resolver = BucketOptions { mode: Some(ModeWord::Resolver), ..merge("set-union") };
        assert_eq!(mode(resolver), Mode::Resolver { plugin: "set-union".to_owned() });
    }

    #[test]
    fn of_other_plugins_the_user_says_it() {
        let said = |options: BucketOptions| {
            options.create(3, &KnownPlugins::default()).unwrap_err().to_string()
        };
        assert!(said(merge("longest")).contains("--mode resolver"));
        let lattice_word = BucketOptions { mode: Some(ModeWord::Lattice), ..merge("longest") };
        assert!(said(lattice_word.clone()).contains("--tombstones"));
        let full = BucketOptions { tombstones: Some(TombstonesWord::Pass), ..lattice_word };
        assert_eq!(
            full.create(3, &KnownPlugins::default()).unwrap().mode,
            lattice("longest", Tombstones::Pass)
        );
        let alone = BucketOptions { mode: Some(ModeWord::Lattice), ..BucketOptions::default() };
        assert!(said(alone).contains("--merge"));
        let odd = BucketOptions { mode: Some(ModeWord::Siblings), ..merge("longest") };
        assert!(said(odd).contains("has no plugin"));
    }

    #[test]
    fn a_change_leaves_the_rest_as_it_is() {
        let present = BucketConfig {
            mode: lattice("cart", Tombstones::Pass),
            r: 1,
            plugin_config: Bytes::from_static(b"x"),
            ..BucketConfig::default()
        };
        let same =
            BucketOptions::default().change(present.clone(), &KnownPlugins::default()).unwrap();
        assert_eq!(same, present);
        let strict = BucketOptions {
            consistency: Some(ConsistencyWord::Strict),
            w: Some(3),
            ..BucketOptions::default()
        };
        let strict = strict.change(present.clone(), &KnownPlugins::default()).unwrap();
        assert_eq!((strict.consistency, strict.w, strict.r), (Consistency::Strict, 3, 1));
        let expiring = |ttl| BucketOptions { ttl: Some(ttl), ..BucketOptions::default() };
        let ttl = Ttl::For(Duration::from_secs(60));
        let known = KnownPlugins::default();
        let expiring_config = expiring(ttl).change(present.clone(), &known).unwrap();
        assert_eq!(expiring_config.ttl_ms, Some(60_000));
        assert_eq!(expiring(Ttl::None).change(expiring_config, &known).unwrap(), present);
        let other = merge("set-union").change(present, &KnownPlugins::default()).unwrap();
        assert_eq!(other.mode, lattice("set-union", Tombstones::Pass));
        let view =
            merge("set-union").change(BucketConfig::default(), &KnownPlugins::default()).unwrap();
        assert_eq!(view.mode, Mode::Resolver { plugin: "set-union".to_owned() });
    }
}
