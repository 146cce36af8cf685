//! `kinfold bucket`: makes, lists, shows and changes buckets.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::{Args, Subcommand};
use kinfold_client::{BucketConfig, Client, Code, Consistency, Error, Mode, Tombstones};
use serde::Serialize;

use crate::bytes_text::JsonBytes;
use crate::cluster_args::ClusterArgs;
use crate::command::bucket_options::BucketOptions;
use crate::command::known_plugins::KnownPlugins;
use crate::command::plugin::Rollback;
use crate::duration;
use crate::exit::{End, Failure};
use crate::output;
use crate::table::Table;

/// Make, list, show and change buckets
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold bucket create carts --merge set-union
  kinfold bucket list
  kinfold bucket show carts
  kinfold bucket set carts --w 3 --consistency strict")]
pub(crate) struct Bucket {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a bucket; needs an admin's certificate
    ///
    /// Making one that is there already, with the same properties, changes nothing and succeeds.
    #[command(after_help = "\
Examples:
  kinfold bucket create sessions
  kinfold bucket create carts --merge set-union
  kinfold bucket create profiles --merge last-write-wins --n 3 --w 3
  kinfold bucket create scores --merge leaderboard --mode resolver --plugin-config 10")]
    Create {
        /// Its name: letters, digits, `-`, `_` and `.`, at most 64
        name: String,
        #[command(flatten)]
        options: BucketOptions,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
    /// List all buckets
    #[command(after_help = "Example:\n  kinfold bucket list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
    /// Show a bucket's properties
    #[command(after_help = "Example:\n  kinfold bucket show carts")]
    Show {
        /// The bucket
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
    /// Change some of a bucket's properties; needs an admin's certificate
    ///
    /// What is not named stays. Whether a bucket is a lattice can't change once it holds keys. An installed plugin, NAME@VERSION, is
    /// used once all nodes are ready for it; those that are not in time are named, and nothing is changed.
    #[command(after_help = "\
Examples:
  kinfold bucket set carts --r 1
  kinfold bucket set carts --merge cart@0.2.0
  kinfold bucket set scores --plugin-config 20")]
    Set {
        /// The bucket
        name: String,
        #[command(flatten)]
        options: BucketOptions,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
    Rollback(Rollback),
}

#[derive(Serialize)]
struct Json<'c> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tombstones: Option<&'static str>,
    n: u8,
    r: u8,
    w: u8,
    consistency: &'static str,
    plugin_config: JsonBytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
}

impl Bucket {
    pub(crate) fn run(self) -> Result<End, Failure> {
        match self.action {
            Action::Create { name, options, cluster } => cluster.with_client(async |client| {
                let known = KnownPlugins::of(&client, options.plugin()).await?;
                let ready = options.ready();
                let config = options.create(client.layout().copies(), &known)?;
                let warning = warning(&config);
                let missing = ready.change(&client, true, &name, config).await?;
                warning.iter().for_each(|warning| output::note(warning));
                output::tell_change(&format!("bucket {name} is made"), &missing)
            }),
            Action::Set { name, options, cluster } => cluster.with_client(async |client| {
                let known = KnownPlugins::of(&client, options.plugin()).await?;
                let ready = options.ready();
                let config = options.change(find(&client, &name).await?, &known)?;
                let warning = warning(&config);
                let missing = ready.change(&client, false, &name, config).await?;
                warning.iter().for_each(|warning| output::note(warning));
                output::tell_change(&format!("bucket {name} is changed"), &missing)
            }),
            Action::Rollback(command) => command.run(),
            Action::List { json, cluster } => cluster.with_client(async |client| {
                let buckets = client.buckets().await?;
                let buckets: BTreeMap<_, _> =
                    buckets.iter().map(|(name, entry)| (name.as_str(), &entry.config)).collect();
                if json {
                    let all: BTreeMap<_, _> = buckets
                        .into_iter()
                        .map(|(name, config)| (name, Json::new(config)))
                        .collect();
                    output::print_json(&all)?;
                } else {
                    output::print(|out| table(&buckets).write(out))?;
                }
                Ok(End::Done)
            }),
            Action::Show { name, json, cluster } => cluster.with_client(async |client| {
                let config = find(&client, &name).await?;
                if json {
                    output::print_json(&Json::new(&config))?;
                } else {
                    output::print(|out| show(out, &name, &config))?;
                }
                Ok(End::Done)
            }),
        }
    }
}

async fn find(client: &Client, name: &str) -> Result<BucketConfig, Failure> {
    let buckets = client.buckets().await?;
    let found = buckets.into_iter().find(|(bucket, _)| bucket.as_str() == name);
    found.map(|(_, entry)| entry.config).ok_or_else(|| {
        Failure::Client(Error::Refused {
            code: Code::UnknownBucket,
            message: format!("there is no bucket `{name}`: see `kinfold bucket list`"),
            retry_after: None,
        })
    })
}

/// What an operator should know of a bucket that says that it is strict and can't be.
fn warning(config: &BucketConfig) -> Option<String> {
    let BucketConfig { n, r, w, consistency, .. } = config;
    (*consistency == Consistency::Strict && r + w <= *n).then(|| {
        format!(
            "warning: with n = {n}, r = {r} and w = {w} a strict read may miss an acknowledged write: r + w has to be above n"
        )
    })
}

fn table(buckets: &BTreeMap<&str, &BucketConfig>) -> Table {
    let mut table = Table::new(["BUCKET", "MODE", "PLUGIN", "N", "R", "W", "CONSISTENCY"]);
    for (name, config) in buckets {
        table.row([
            (*name).to_owned(),
            mode(config).to_owned(),
            config.mode.plugin().unwrap_or("-").to_owned(),
            config.n.to_string(),
            config.r.to_string(),
            config.w.to_string(),
            consistency(config).to_owned(),
        ]);
    }
    table
}

fn show(out: &mut dyn Write, name: &str, config: &BucketConfig) -> io::Result<()> {
    writeln!(out, "bucket       {name}")?;
    writeln!(out, "mode         {}", mode(config))?;
    if let Some(plugin) = config.mode.plugin() {
        writeln!(out, "plugin       {plugin}")?;
        writeln!(out, "config       `{}`", config.plugin_config.escape_ascii())?;
    }
    if let Some(tombstones) = tombstones(config) {
        writeln!(out, "tombstones   {tombstones}")?;
    }
    writeln!(out, "copies       n = {}, r = {}, w = {}", config.n, config.r, config.w)?;
    writeln!(out, "consistency  {}", consistency(config))?;
    if let Some(ttl_ms) = config.ttl_ms {
        writeln!(out, "ttl          {}", duration::text(ttl_ms))?;
    }
    Ok(())
}

impl<'c> Json<'c> {
    fn new(config: &'c BucketConfig) -> Self {
        Self {
            mode: mode(config),
            plugin: config.mode.plugin(),
            tombstones: tombstones(config),
            n: config.n,
            r: config.r,
            w: config.w,
            consistency: consistency(config),
            plugin_config: JsonBytes::new(&config.plugin_config),
            ttl_ms: config.ttl_ms,
        }
    }
}

fn mode(config: &BucketConfig) -> &'static str {
    match config.mode {
        Mode::Siblings => "siblings",
        Mode::Resolver { .. } => "resolver",
        Mode::Lattice { .. } => "lattice",
    }
}

fn tombstones(config: &BucketConfig) -> Option<&'static str> {
    match config.mode {
        Mode::Siblings | Mode::Resolver { .. } => None,
        Mode::Lattice { tombstones: Tombstones::Pass, .. } => Some("pass"),
        Mode::Lattice { tombstones: Tombstones::Reset, .. } => Some("reset"),
    }
}

fn consistency(config: &BucketConfig) -> &'static str {
    match config.consistency {
        Consistency::Sloppy => "sloppy",
        Consistency::Strict => "strict",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strict_bucket_whose_quorums_need_not_meet_is_warned_of() {
        let config =
            |consistency, r, w| BucketConfig { consistency, r, w, ..BucketConfig::default() };
        assert!(warning(&config(Consistency::Strict, 1, 2)).is_some_and(|w| w.contains("r = 1")));
        assert_eq!(warning(&config(Consistency::Strict, 2, 2)), None);
        assert_eq!(warning(&config(Consistency::Sloppy, 1, 1)), None);
    }

    #[test]
    fn a_bucket_is_shown_in_three_ways() {
        let config = BucketConfig {
            mode: Mode::Lattice { plugin: "cart".to_owned(), tombstones: Tombstones::Reset },
            ..BucketConfig::default()
        };
        let mut out = Vec::new();
        let expiring = BucketConfig { ttl_ms: Some(600_000), ..BucketConfig::default() };
        show(&mut out, "b", &expiring).unwrap();
        assert!(String::from_utf8(out).unwrap().ends_with("\nttl          10m\n"));
        let mut out = Vec::new();
        show(&mut out, "b", &config).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("plugin       cart\n") && text.contains("tombstones   reset\n"));

        let mut out = Vec::new();
        table(&BTreeMap::from([("b", &config)])).write(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "BUCKET  MODE     PLUGIN  N  R  W  CONSISTENCY\n\
             b       lattice  cart    3  2  2  sloppy\n"
        );
        assert_eq!(
            serde_json::to_string(&Json::new(&config)).unwrap(),
            r#"{"mode":"lattice","plugin":"cart","tombstones":"reset","n":3,"r":2,"w":2,"consistency":"sloppy","plugin_config":{"bytes":0,"base64":"","utf8":""}}"#
        );
    }
}
