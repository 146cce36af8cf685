//! A bucket's properties, from what the user says and what goes without saying.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use kinfold_client::{BucketConfig, Consistency, Mode, Tombstones};
use kinfold_sandbox::{Contract, Manifest};

use crate::exit::Failure;
use crate::manifest;

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
    /// The plugin that merges siblings, by its name
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
}

impl BucketOptions {
    /// The properties of a new bucket in a cluster that keeps so many copies.
    pub(crate) fn create(self, copies: u8) -> Result<BucketConfig, Failure> {
        let n = BucketConfig::default().n.min(copies);
        let base = BucketConfig { n, r: majority(n), w: majority(n), ..BucketConfig::default() };
        self.apply(base, |manifest| match manifest.contract {
            Contract::Resolver => ModeWord::Resolver,
            Contract::Lattice => ModeWord::Lattice,
        })
    }

    /// The properties of a bucket that has those of `present`.
    pub(crate) fn change(self, present: BucketConfig) -> Result<BucketConfig, Failure> {
        // How a bucket's objects join can't change, whatever else its new plugin could do.
        let mode = match present.mode {
            Mode::Siblings | Mode::Resolver { .. } => ModeWord::Resolver,
            Mode::Lattice { .. } => ModeWord::Lattice,
        };
        self.apply(present, |_| mode)
    }

    fn apply(
        self,
        base: BucketConfig,
        mode_for: impl FnOnce(&Manifest) -> ModeWord,
    ) -> Result<BucketConfig, Failure> {
        let mode = self.mode(base.mode, mode_for)?;
        let n = self.n.unwrap_or(base.n);
        let quorum = |asked: Option<u8>, present: u8| {
            asked.unwrap_or(if self.n.is_some() { majority(n) } else { present })
        };
        Ok(BucketConfig {
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
        mode_for: impl FnOnce(&Manifest) -> ModeWord,
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
        let manifest = manifest::built_in(plugin);
        let word = match (self.mode, &manifest) {
            (Some(word), _) => word,
            (None, Some(manifest)) => mode_for(manifest),
            (None, None) => {
                return usage(format!(
                    "`{plugin}` is no built-in plugin: say --mode resolver or --mode lattice"
                ));
            }
        };
        match word {
            ModeWord::Siblings | ModeWord::Resolver => {
                Ok(Mode::Resolver { plugin: plugin.to_owned() })
            }
            ModeWord::Lattice => self.lattice(plugin, manifest, &base),
        }
    }

    fn lattice(
        &self,
        plugin: &str,
        manifest: Option<Manifest>,
        base: &Mode,
    ) -> Result<Mode, Failure> {
        if manifest.as_ref().is_some_and(|manifest| manifest.contract == Contract::Resolver) {
            return Err(Failure::Usage(format!(
                "`{plugin}` does not keep the laws of a lattice: say --mode resolver"
            )));
        }
        let told = self.tombstones.map(|word| match word {
            TombstonesWord::Pass => Tombstones::Pass,
            TombstonesWord::Reset => Tombstones::Reset,
        });
        let made_for = manifest.map(|manifest| match manifest.tombstones {
            kinfold_sandbox::Tombstones::Pass => Tombstones::Pass,
            kinfold_sandbox::Tombstones::Reset => Tombstones::Reset,
        });
        let present = match base {
            Mode::Lattice { tombstones, .. } => Some(*tombstones),
            Mode::Siblings | Mode::Resolver { .. } => None,
        };
        match told.or(present).or(made_for) {
            Some(tombstones) => Ok(Mode::Lattice { plugin: plugin.to_owned(), tombstones }),
            None => Err(Failure::Usage(format!(
                "`{plugin}` is no built-in plugin: say --tombstones pass or --tombstones reset, as its plugin.toml does"
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
        let plain = BucketOptions::default().create(3).unwrap();
        assert_eq!(plain, BucketConfig::default());
        let alone = BucketOptions::default().create(1).unwrap();
        assert_eq!((alone.n, alone.r, alone.w), (1, 1, 1));
        let five = BucketOptions { n: Some(5), w: Some(5), ..BucketOptions::default() };
        let five = five.create(5).unwrap();
        assert_eq!((five.n, five.r, five.w), (5, 3, 5));
    }

    #[test]
    fn a_built_in_plugin_says_what_it_is_made_for() {
        let mode = |options: BucketOptions| options.create(3).unwrap().mode;
        assert_eq!(mode(merge("set-union")), lattice("set-union", Tombstones::Reset));
        assert_eq!(mode(merge("last-write-wins")), lattice("last-write-wins", Tombstones::Pass));
        let resolver = BucketOptions { mode: Some(ModeWord::Resolver), ..merge("set-union") };
        assert_eq!(mode(resolver), Mode::Resolver { plugin: "set-union".to_owned() });
    }

    #[test]
    fn of_other_plugins_the_user_says_it() {
        let said = |options: BucketOptions| options.create(3).unwrap_err().to_string();
        assert!(said(merge("longest")).contains("--mode resolver"));
        let lattice_word = BucketOptions { mode: Some(ModeWord::Lattice), ..merge("longest") };
        assert!(said(lattice_word.clone()).contains("--tombstones"));
        let full = BucketOptions { tombstones: Some(TombstonesWord::Pass), ..lattice_word };
        assert_eq!(full.create(3).unwrap().mode, lattice("longest", Tombstones::Pass));
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
        let same = BucketOptions::default().change(present.clone()).unwrap();
        assert_eq!(same, present);
        let strict = BucketOptions {
            consistency: Some(ConsistencyWord::Strict),
            w: Some(3),
            ..BucketOptions::default()
        };
        let strict = strict.change(present.clone()).unwrap();
        assert_eq!((strict.consistency, strict.w, strict.r), (Consistency::Strict, 3, 1));
        let other = merge("set-union").change(present).unwrap();
        assert_eq!(other.mode, lattice("set-union", Tombstones::Pass));
        let view = merge("set-union").change(BucketConfig::default()).unwrap();
        assert_eq!(view.mode, Mode::Resolver { plugin: "set-union".to_owned() });
    }
}
