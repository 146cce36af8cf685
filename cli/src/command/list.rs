//! `kinfold list`: lists the keys of a bucket.

use std::ffi::OsString;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use clap::Args;
use kinfold_client::{Bucket, Found};
use serde::Serialize;

use crate::bytes_text::{self, JsonBytes};
use crate::cluster_args::ClusterArgs;
use crate::exit::{End, Failure};
use crate::output;

/// List the keys of a bucket
///
/// One key a line. They come in the order of the partitions in which they lie, sorted within each. Deleted keys are not listed.
/// A key that was written before is listed; one that is written or deleted meanwhile may be or not.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold list carts
  kinfold list carts --prefix 2026/ --limit 100
  kinfold list carts --prefix 2026/ --limit 100 --cursor CURSOR
  kinfold list carts --values --json

With --limit, the cursor to go on with goes to standard error, or with --json to standard output; without one, all keys are listed.")]
pub(crate) struct List {
    /// The bucket
    bucket: String,
    /// Only keys that begin so
    #[arg(long, value_name = "TEXT")]
    prefix: Option<OsString>,
    /// Most keys. Default: all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Go on where an earlier listing of this bucket and prefix ended
    #[arg(long, value_name = "CURSOR", value_parser = parse_cursor)]
    cursor: Option<Bytes>,
    /// The values too, each behind its key and a tab, with bytes that can't be printed escaped
    #[arg(long)]
    values: bool,
    /// Owners of each partition to ask. Default: the bucket's r
    #[arg(long, value_name = "N")]
    r: Option<u8>,
    /// Print JSON: keys and values in base64, and as text where they are UTF-8
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Serialize)]
struct Json {
    keys: Vec<Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Serialize)]
struct Entry {
    key: JsonBytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<JsonBytes>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<String>,
}

fn parse_cursor(text: &str) -> Result<Bytes, String> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim());
    bytes.map(Bytes::from).map_err(|e| format!("{e}: pass the cursor just as a listing printed it"))
}

impl List {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let prefix = self.prefix.map(bytes_text::argument).unwrap_or_default();
        self.cluster.with_client(async |client| {
            let bucket = client.bucket(self.bucket)?;
            let mut list = bucket.list().prefix(&prefix);
            if let Some(cursor) = self.cursor {
                list = list.cursor(cursor);
            }
            if let Some(r) = self.r {
                list = list.r(r);
            }
            let mut left = self.limit;
            let mut entries = Vec::new();
            let mut cursor = None;
            while left != Some(0) {
                list = list.page_size(left.unwrap_or(0).min(10_000));
                let Some(page) = list.next_page().await? else {
                    break;
                };
                let count = u32::try_from(page.keys.len()).unwrap_or(u32::MAX);
                left = left.map(|left| left.saturating_sub(count));
                cursor = page.cursor;
                let found = entries_of(&bucket, page.keys, self.values).await?;
                if self.json {
                    entries
                        .extend(found.into_iter().map(|(key, found)| entry(&key, found.as_ref())));
                } else {
                    output::print(|out| {
                        found.iter().try_for_each(|(key, f)| line(out, key, f.as_ref()))
                    })?;
                }
            }
            let cursor = cursor.map(|cursor| URL_SAFE_NO_PAD.encode(&cursor));
            if self.json {
                output::print_json(&Json { keys: entries, cursor })?;
            } else if let Some(cursor) = cursor {
                output::note(&format!("cursor: {cursor}"));
            }
            Ok(End::Done)
        })
    }
}

/// The keys of a page, with what is there if that is wanted. What was deleted meanwhile is left out.
async fn entries_of(
    bucket: &Bucket,
    keys: Vec<Bytes>,
    values: bool,
) -> Result<Vec<(Bytes, Option<Found>)>, Failure> {
    if !values {
        return Ok(keys.into_iter().map(|key| (key, None)).collect());
    }
    let found = bucket.get_many(&keys).await;
    let mut entries = Vec::with_capacity(keys.len());
    for (key, found) in keys.into_iter().zip(found) {
        let found = found?;
        if !found.values.is_empty() {
            entries.push((key, Some(found)));
        }
    }
    Ok(entries)
}

fn entry(key: &[u8], found: Option<&Found>) -> Entry {
    Entry {
        key: JsonBytes::new(key),
        values: found.map(|found| found.values.iter().map(|v| JsonBytes::new(v)).collect()),
        context: found.map(|found| found.context.to_string()),
    }
}

fn line(out: &mut dyn Write, key: &[u8], found: Option<&Found>) -> std::io::Result<()> {
    match found {
        None => {
            out.write_all(key)?;
            writeln!(out)
        }
        Some(found) => found
            .values
            .iter()
            .try_for_each(|v| writeln!(out, "{}\t{}", key.escape_ascii(), v.escape_ascii())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Cli;
    use clap::Parser;

    #[test]
    fn a_cursor_is_checked_before_anything_is_sent() {
        let parses =
            |cursor| Cli::try_parse_from(["kinfold", "list", "b", "--cursor", cursor]).is_ok();
        assert!(parses("gAEC"));
        assert!(!parses("not a cursor"));
    }

    #[test]
    fn keys_are_printed_as_they_are() {
        let mut out = Vec::new();
        line(&mut out, b"a\xff", None).unwrap();
        assert_eq!(out, b"a\xff\n");
    }
}
