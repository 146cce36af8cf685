//! `kinfold export` and `kinfold import`: a bucket as lines of JSON, and back.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use kinfold_client::{Bucket, Client, Error, Found};
use serde::{Deserialize, Serialize};

use crate::cluster_args::ClusterArgs;
use crate::exit::{End, Failure};
use crate::output;

/// Keys that are read, or lines that are written, in one go.
const CHUNK: usize = 256;

/// Failures that are told one by one.
const MOST_TOLD: u64 = 10;

/// Write a bucket as lines of JSON
///
/// One line a key: {"key": ..., "values": [...]}, where text stands as it is and other bytes as {"base64": ...}. Siblings are
/// several values; with "expires" where they do. A key that is written meanwhile may be there as it was or as it is.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold export carts > carts.jsonl
  kinfold export carts --prefix 2026/ --out carts.jsonl
  printf 'alice\nbob\n' | kinfold export carts --keys -")]
pub(crate) struct Export {
    /// The bucket
    bucket: String,
    /// Only keys that begin so
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Only the keys that this file names, one a line, some dozens read at one time; `-` reads standard input. Those without a value are
    /// told at the end
    #[arg(long, value_name = "FILE", conflicts_with = "prefix")]
    keys: Option<PathBuf>,
    /// The file to write. Default: standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Put keys from lines of JSON
///
/// As export writes them, or {"key": ..., "value": ...}. Each value is put without a context, some dozens at one time: it stands beside
/// what is there, or is folded with it, and expires when it would have. Lines that can't be put are told with their number, and the others are put all the same.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold import carts carts.jsonl
  printf '{\"key\":\"alice\",\"value\":\"milk\"}\\n' | kinfold import carts -

Exit code 4: some puts may or may not have happened. Exit code 1: some were refused.")]
pub(crate) struct Import {
    /// The bucket
    bucket: String,
    /// The file to read; `-` reads standard input
    file: PathBuf,
    /// Owners whose durable acknowledgement to wait for. Default: the bucket's w
    #[arg(long, value_name = "N")]
    w: Option<u8>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Text as it is, other bytes in base64.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Text {
    Utf8(String),
    Base64 { base64: String },
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Text>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<Text>,
    /// When each of the values expires, milliseconds since 1970, zero for never.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    expires: Vec<u64>,
}

impl Text {
    fn of(bytes: &[u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Self::Utf8(text.to_owned()),
            Err(_) => Self::Base64 { base64: STANDARD.encode(bytes) },
        }
    }

    fn bytes(self) -> Result<Bytes, String> {
        match self {
            Self::Utf8(text) => Ok(text.into()),
            Self::Base64 { base64 } => {
                STANDARD.decode(base64).map(Bytes::from).map_err(|e| format!("the base64: {e}"))
            }
        }
    }
}

/// A value, and when it expires, in milliseconds since 1970.
type Value = (Bytes, Option<u64>);

/// The key and the values of a line.
fn parse(line: &str) -> Result<(Bytes, Vec<Value>), String> {
    let Line { key, value, values, expires } =
        serde_json::from_str(line).map_err(|e| e.to_string())?;
    let values: Vec<Bytes> =
        value.into_iter().chain(values).map(Text::bytes).collect::<Result<_, _>>()?;
    if values.is_empty() {
        return Err("there is no value".to_owned());
    }
    if !expires.is_empty() && expires.len() != values.len() {
        return Err(format!("there are {} values and {} expiries", values.len(), expires.len()));
    }
    let expires = expires.into_iter().map(|ms| Some(ms).filter(|ms| *ms > 0));
    let expires = expires.chain(std::iter::repeat(None));
    Ok((key.bytes()?, values.into_iter().zip(expires).collect()))
}

/// What a line says of when its values expire: nothing if none does.
fn expiries(found: &Found) -> Vec<u64> {
    if found.expires.iter().all(Option::is_none) {
        return Vec::new();
    }
    found.expires.iter().map(|at| at.map_or(0, millis)).collect()
}

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn bar(length: Option<u64>, what: &str) -> ProgressBar {
    let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
    let style = ProgressStyle::with_template("{msg}: {human_pos}, {per_sec}, {elapsed}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.with_message(what.to_owned())
}

impl Export {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let out: Box<dyn Write> = match &self.out {
            Some(path) => Box::new(File::create(path).map_err(Failure::file(path))?),
            None => Box::new(io::stdout().lock()),
        };
        let mut out = BufWriter::new(out);
        let prefix = self.prefix.unwrap_or_default();
        let chosen = self.keys.as_ref().map(read_from).transpose()?;
        self.cluster.with_client(async |client| {
            let bucket = client.bucket(self.bucket)?;
            let bar = bar(None, "keys exported");
            let mut without = 0;
            if let Some(chosen) = chosen {
                let mut lines = chosen.split(b'\n');
                loop {
                    let keys = lines.by_ref().take(CHUNK).collect::<Result<Vec<_>, _>>()?;
                    if keys.is_empty() {
                        break;
                    }
                    without += export(&bucket, &keys, &mut out, &bar).await?;
                }
            } else {
                let mut list = bucket.list().prefix(&prefix);
                while let Some(page) = list.next_page().await? {
                    // A key without a value was deleted after it was listed.
                    export(&bucket, &page.keys, &mut out, &bar).await?;
                }
            }
            out.flush()?;
            bar.finish_and_clear();
            output::note(&format!("{} keys are exported", bar.position()));
            if without > 0 {
                output::note(&format!("{without} keys have no value, and are left out"));
                return Ok(End::NotFound);
            }
            Ok(End::Done)
        })
    }
}

/// Reads these keys and writes a line for each that has a value; how many have none.
async fn export(
    bucket: &Bucket,
    keys: &[impl AsRef<[u8]>],
    out: &mut dyn Write,
    bar: &ProgressBar,
) -> Result<u64, Failure> {
    let mut without = 0;
    for (key, found) in keys.iter().zip(bucket.get_many(keys).await) {
        let found = found?;
        if found.values.is_empty() {
            without += 1;
            continue;
        }
        let values = found.values.iter().map(|value| Text::of(value)).collect();
        let expires = expiries(&found);
        let line = Line { key: Text::of(key.as_ref()), value: None, values, expires };
        serde_json::to_writer(&mut *out, &line).map_err(io::Error::from)?;
        writeln!(out)?;
        bar.inc(1);
    }
    Ok(without)
}

/// A file to read, or standard input.
fn read_from(file: &PathBuf) -> Result<Box<dyn BufRead>, Failure> {
    if file.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    Ok(Box::new(BufReader::new(File::open(file).map_err(Failure::file(file))?)))
}

/// What became of the lines.
#[derive(Default)]
struct Tally {
    put: u64,
    expired: u64,
    failed: u64,
    unknown: bool,
}

impl Tally {
    fn fail(&mut self, line: u64, why: &str, unknown: bool) {
        self.failed += 1;
        self.unknown |= unknown;
        if self.failed <= MOST_TOLD {
            output::note(&format!("line {line}: {why}"));
        }
    }
}

impl Import {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let input = read_from(&self.file)?;
        self.cluster.with_client(async |client| put_all(&client, &self.bucket, self.w, input).await)
    }
}

async fn put_all(
    client: &Client,
    bucket: &str,
    w: Option<u8>,
    input: Box<dyn BufRead>,
) -> Result<End, Failure> {
    let bucket = client.bucket(bucket)?;
    let bar = bar(None, "values imported");
    let mut tally = Tally::default();
    let mut lines = (1..).zip(input.lines());
    loop {
        let mut puts = Vec::new();
        let mut numbers = Vec::new();
        let mut ended = true;
        for (number, line) in lines.by_ref() {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            match parse(&line) {
                Ok((key, values)) => {
                    for (value, expires) in values {
                        let left = expires.map(|at| at.saturating_sub(millis(SystemTime::now())));
                        let put = bucket.put(&key, value);
                        let put = match left {
                            None => put,
                            Some(0) => {
                                tally.expired += 1;
                                continue;
                            }
                            Some(left) => put.ttl(Duration::from_millis(left)),
                        };
                        puts.push(match w {
                            Some(w) => put.w(w),
                            None => put,
                        });
                        numbers.push(number);
                    }
                }
                Err(why) => tally.fail(number, &why, false),
            }
            if puts.len() >= CHUNK {
                ended = false;
                break;
            }
        }
        for (number, written) in numbers.into_iter().zip(bucket.put_many(puts).await) {
            match written {
                Ok(_) => tally.put += 1,
                Err(error) => {
                    let unknown = matches!(error, Error::Unknown { .. });
                    tally.fail(number, &error.to_string(), unknown);
                }
            }
        }
        bar.set_position(tally.put);
        if ended {
            break;
        }
    }
    bar.finish_and_clear();
    output::note(&format!("{} values are imported, {} failed", tally.put, tally.failed));
    if tally.expired > 0 {
        output::note(&format!("{} values had expired, and are left out", tally.expired));
    }
    Ok(match (tally.failed, tally.unknown) {
        (0, _) => End::Done,
        (_, true) => End::PartlyUnknown,
        (_, false) => End::NotWell,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back_as_it_was() {
        let line = Line {
            key: Text::of(b"a\xff"),
            value: None,
            values: vec![Text::of(b"milk"), Text::of(b"\x00\xfe")],
            expires: vec![],
        };
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(text, r#"{"key":{"base64":"Yf8="},"values":["milk",{"base64":"AP4="}]}"#);
        let (key, values) = parse(&text).unwrap();
        assert_eq!(key, &b"a\xff"[..]);
        assert_eq!(
            values,
            [(Bytes::from_static(b"milk"), None), (Bytes::from_static(b"\x00\xfe"), None)]
        );
        let one = parse(r#"{"key":"k","value":"v","expires":[5]}"#).unwrap().1;
        assert_eq!(one, [(Bytes::from_static(b"v"), Some(5))]);
    }

    #[test]
    fn what_is_no_line_is_told() {
        for bad in [
            "",
            "{}",
            r#"{"key":"k"}"#,
            r#"{"key":{"base64":"?"},"value":"v"}"#,
            r#"{"key":"k","valeu":"v"}"#,
            r#"{"key":"k","value":"v","expires":[1,2]}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
