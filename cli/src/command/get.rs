//! `kinfold get`: reads a key.
//!
//! What must hold: a single value reaches standard output byte for byte, so that it can be piped.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use clap::Args;
use kinfold_client::{Consistency, Found};
use serde::Serialize;

use crate::bytes_text::{self, JsonBytes};
use crate::cluster_args::ClusterArgs;
use crate::exit::{End, Failure};
use crate::moment;
use crate::output;

/// Read a key
///
/// One value goes to standard output as it is. Several values (siblings, which nothing has merged) are printed one after
/// the other, each under a heading; for programs, use --json.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold get carts alice
  kinfold get --strict carts alice
  kinfold get photos 2026/09/beach > beach.jpg
  kinfold get --json carts alice

The context, for the next write of the key, goes to standard error, or with --json to standard output.
Exit code 3: there is no value. Exit code 5: there are several, and all of them were printed.")]
pub(crate) struct Get {
    /// The bucket
    bucket: String,
    /// The key
    key: OsString,
    /// Owners to wait for. Default: the bucket's r
    #[arg(long, value_name = "N")]
    r: Option<u8>,
    /// Let only owners answer, and never go back behind what a strict read has seen
    #[arg(long)]
    strict: bool,
    /// Print no context
    #[arg(long, short)]
    quiet: bool,
    /// Print JSON: values in base64, and as text where they are UTF-8
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Serialize)]
struct Json<'f> {
    values: Vec<JsonBytes>,
    context: String,
    deleted: bool,
    merged: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expires: Vec<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merge_failure: Option<&'f str>,
    owners: u8,
    fallbacks: u8,
}

impl Get {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let key = bytes_text::argument(self.key);
        self.cluster.with_client(async |client| {
            let mut get = client.bucket(self.bucket)?.get(&key);
            if let Some(r) = self.r {
                get = get.r(r);
            }
            if self.strict {
                get = get.consistency(Consistency::Strict);
            }
            let found = get.await?;
            show(&found, self.quiet, self.json)?;
            Ok(match found.values.len() {
                0 => End::NotFound,
                1 => End::Done,
                _ => End::Siblings,
            })
        })
    }
}

/// Prints what a get found.
pub(crate) fn show(found: &Found, quiet: bool, json: bool) -> Result<(), Failure> {
    if json {
        return output::print_json(&self::json(found));
    }
    if !quiet {
        notes(found).iter().for_each(|line| output::note(line));
    }
    let to_person = io::stdout().is_terminal();
    output::print(|out| write_values(out, found, to_person))
}

/// What is said beside the values.
fn notes(found: &Found) -> Vec<String> {
    let mut notes = Vec::new();
    match found.values.len() {
        0 if found.deleted => notes.push("no value: the key is deleted".to_owned()),
        0 => notes.push("no value".to_owned()),
        1 => {}
        count => notes.push(format!(
            "{count} siblings: write the value that should replace them with --context, or put --replace"
        )),
    }
    for (number, at) in (1..).zip(&found.expires).filter_map(|(n, at)| Some((n, (*at)?))) {
        notes.push(match found.values.len() {
            1 => format!("expires {}", moment::of(at)),
            _ => format!("sibling {number} expires {}", moment::of(at)),
        });
    }
    if let Some(why) = &found.merge_failure {
        notes.push(format!("the plugin did not merge: {why}"));
    }
    if found.fallbacks > 0 {
        notes.push(format!(
            "{} owners answered, and {} stand-ins, which may lack what owners hold",
            found.owners, found.fallbacks
        ));
    }
    notes.push(format!("context: {}", found.context));
    notes
}

fn write_values(out: &mut dyn Write, found: &Found, to_person: bool) -> io::Result<()> {
    if let [value] = found.values.as_slice() {
        out.write_all(value)?;
        // The prompt would stand right behind the value.
        if to_person && !value.ends_with(b"\n") {
            writeln!(out)?;
        }
        return Ok(());
    }
    for (number, value) in (1..).zip(&found.values) {
        writeln!(out, "--- sibling {number} of {}, {} bytes", found.values.len(), value.len())?;
        out.write_all(value)?;
        if !value.ends_with(b"\n") {
            writeln!(out)?;
        }
    }
    Ok(())
}

fn json(found: &Found) -> Json<'_> {
    Json {
        values: found.values.iter().map(|value| JsonBytes::new(value)).collect(),
        context: found.context.to_string(),
        deleted: found.deleted,
        merged: found.merged,
        expires: match found.expires.iter().any(Option::is_some) {
            true => found.expires.iter().map(|at| at.map(moment::of)).collect(),
            false => Vec::new(),
        },
        merge_failure: found.merge_failure.as_deref(),
        owners: found.owners,
        fallbacks: found.fallbacks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use kinfold_client::CausalContext;

    fn found(values: &[&'static [u8]]) -> Found {
        Found {
            values: values.iter().map(|value| Bytes::from_static(value)).collect(),
            expires: vec![None; values.len()],
            context: CausalContext::from_bytes(&b"\x80"[..]),
            deleted: false,
            merged: false,
            merge_failure: None,
            owners: 2,
            fallbacks: 0,
        }
    }

    fn printed(values: &[&'static [u8]], to_person: bool) -> Vec<u8> {
        let mut out = Vec::new();
        write_values(&mut out, &found(values), to_person).unwrap();
        out
    }

    #[test]
    fn one_value_is_printed_as_it_is() {
        assert_eq!(printed(&[b"\x00\xff"], false), b"\x00\xff");
        assert_eq!(printed(&[b"milk"], true), b"milk\n");
        assert_eq!(printed(&[], true), b"");
    }

    #[test]
    fn siblings_have_headings() {
        assert_eq!(
            printed(&[b"milk", b"bread\n"], false).escape_ascii().to_string(),
            "--- sibling 1 of 2, 4 bytes\\nmilk\\n--- sibling 2 of 2, 6 bytes\\nbread\\n"
        );
    }

    #[test]
    fn notes_say_what_is_not_in_the_values() {
        let mut none = found(&[]);
        none.deleted = true;
        assert_eq!(notes(&none), ["no value: the key is deleted", "context: gA"]);
        let mut two = found(&[b"a", b"b"]);
        two.merge_failure = Some("out of fuel".to_owned());
        let notes = notes(&two);
        assert!(notes[0].starts_with("2 siblings") && notes[1].ends_with("out of fuel"));
    }

    #[test]
    fn json_has_everything() {
        let json = serde_json::to_string(&json(&found(&[b"a"]))).unwrap();
        assert_eq!(
            json,
            r#"{"values":[{"bytes":1,"base64":"YQ==","utf8":"a"}],"context":"gA","deleted":false,"merged":false,"owners":2,"fallbacks":0}"#
        );
    }
}
