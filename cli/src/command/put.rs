//! `kinfold put`: writes a key.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use kinfold_client::CausalContext;

use crate::bytes_text;
use crate::cluster_args::ClusterArgs;
use crate::command::written::{self, WriteArgs};
use crate::duration::{self, Ttl};
use crate::exit::{End, Failure};

/// Write a key
///
/// Without a context the value stands beside what is there, and the bucket's plugin merges them, if it has one. With
/// --replace, or with the --context of an earlier read, it replaces what that read saw.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold put carts alice 'milk'
  echo milk | kinfold put carts alice -
  kinfold put --file photo.jpg photos 2026/09/beach
  kinfold put --replace carts alice 'milk and bread'
  kinfold put --context CONTEXT carts alice 'bread'
  kinfold put --only-if CONTEXT tickets left 99
  kinfold put --only-if-absent --ttl 30s locks printer 'alice'

The context of the write goes to standard error, or with --json to standard output.
Exit code 6: the condition did not hold, and nothing was written; the object that is there was printed as by get.
Exit code 4: the write may or may not have happened; the message has the id to repeat it with --request.")]
pub(crate) struct Put {
    /// The bucket
    bucket: String,
    /// The key
    key: OsString,
    /// The value; `-` reads standard input
    #[arg(required_unless_present = "file")]
    value: Option<OsString>,
    /// Take the value from a file
    #[arg(long, value_name = "FILE", conflicts_with = "value")]
    file: Option<PathBuf>,
    /// Read the key first, and replace what is there
    #[arg(long, conflicts_with = "context")]
    replace: bool,
    /// Write only if nobody has written since the read or write that printed this context. Of several at once, one succeeds
    #[arg(long, value_name = "CONTEXT", conflicts_with_all = ["context", "replace"])]
    only_if: Option<CausalContext>,
    /// Write only if the key has no value
    #[arg(long, conflicts_with_all = ["context", "replace", "only_if"])]
    only_if_absent: bool,
    /// How long the value is to be there, such as 10m, or `none` for ever. Default: the bucket's
    #[arg(long, value_name = "TIME", value_parser = duration::ttl)]
    ttl: Option<Ttl>,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Put {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let value = value(self.value, self.file)?;
        let key = bytes_text::argument(self.key);
        self.cluster.with_client(async |client| {
            let bucket = client.bucket(self.bucket)?;
            let mut put = bucket.put(&key, value);
            if self.replace {
                put = put.context(bucket.get(&key).await?.context);
            }
            if let Some(context) = self.write.context {
                put = put.context(context);
            }
            if let Some(context) = self.only_if {
                put = put.only_if(context);
            }
            if self.only_if_absent {
                put = put.only_if_absent();
            }
            put = match self.ttl {
                None => put,
                Some(Ttl::None) => put.without_ttl(),
                Some(Ttl::For(ttl)) => put.ttl(ttl),
            };
            if let Some(w) = self.write.w {
                put = put.w(w);
            }
            if let Some(request) = self.write.request {
                put = put.request(request);
            }
            written::tell_either("written", put.await, self.write.json)
        })
    }
}

fn value(argument: Option<OsString>, file: Option<PathBuf>) -> Result<Bytes, Failure> {
    if let Some(file) = file {
        return fs::read(&file).map(Bytes::from).map_err(Failure::file(file));
    }
    match argument {
        Some(argument) if argument != "-" => Ok(bytes_text::argument(argument)),
        Some(_) | None => {
            let mut bytes = Vec::new();
            let read = io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(Failure::file("standard input"))?;
            Ok(bytes.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Cli;
    use clap::Parser;

    fn parses(arguments: &[&str]) -> bool {
        let all = ["kinfold", "put"].iter().chain(arguments);
        Cli::try_parse_from(all).is_ok()
    }

    #[test]
    fn there_is_one_value_and_one_basis() {
        assert!(parses(&["b", "k", "v"]));
        assert!(parses(&["b", "k", "-"]));
        assert!(parses(&["b", "k", "--file", "f"]));
        assert!(parses(&["b", "k", "v", "--context", "gA", "--w", "3"]));
        assert!(parses(&["b", "k", "v", "--only-if", "gA"]));
        assert!(
            parses(&["b", "k", "v", "--ttl", "10m"]) && parses(&["b", "k", "v", "--ttl", "none"])
        );
        assert!(!parses(&["b", "k", "v", "--ttl", "10"]));
        assert!(!parses(&["b", "k", "v", "--only-if", "gA", "--only-if-absent"]));
        assert!(!parses(&["b", "k", "v", "--only-if", "gA", "--context", "gA"]));
        assert!(!parses(&["b", "k"]));
        assert!(!parses(&["b", "k", "v", "--file", "f"]));
        assert!(!parses(&["b", "k", "v", "--context", "gA", "--replace"]));
        assert!(!parses(&["b", "k", "v", "--context", "not a context"]));
        assert!(!parses(&["b", "k", "v", "--request", "12"]));
    }

    #[test]
    fn values_come_from_arguments_and_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"\x00\xff").unwrap();
        assert_eq!(value(Some("v".into()), None).unwrap(), "v");
        assert_eq!(value(None, Some(file.path().into())).unwrap(), &b"\x00\xff"[..]);
        let said = value(None, Some("/no/such".into())).unwrap_err().to_string();
        assert!(said.starts_with("/no/such: "), "{said}");
    }
}
