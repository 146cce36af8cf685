//! Three nodes and the command line: what goes in comes out, byte for byte, and the exit code says what happened.

use std::fs;

use crate::program::kinfold;
use crate::site::Site;

#[test]
fn what_goes_in_through_the_command_line_comes_out() {
    let site = Site::new(3, "");
    let _nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    site.boss(["bucket", "create", "carts", "--merge", "set-union"]).ends(0);
    site.boss(["bucket", "create", "things"]).ends(0);

    // No value is a code of its own, and the context of nothing is a context.
    site.app(["get", "things", "a"]).says(3, "no value");

    let written = site.app(["put", "--json", "things", "a", "one"]).ends(0).json();
    assert!(written["owners"].as_u64().unwrap() >= 2, "{written}");
    let read = site.app(["get", "--strict", "things", "a"]).says(0, "context: ");
    assert_eq!(read.out, b"one");

    // Binary values, from standard input and from a file, larger than a packet and than a stream's window.
    let binary: Vec<u8> = (0..=255u8).cycle().take(5 * 1024 * 1024 + 3).collect();
    site.run("app", ["put", "things", "bin", "-"], &binary[..1000]).ends(0);
    assert_eq!(site.app(["get", "--quiet", "things", "bin"]).ends(0).out, &binary[..1000]);
    fs::write(site.path("value"), &binary).unwrap();
    let file = site.path("value").display().to_string();
    // A build without optimisation encrypts some MB a second, on a machine that does nothing else.
    let patient = ["--deadline", "60s", "things", "bin"];
    site.app(["put", "--replace", "--file", &file].into_iter().chain(patient)).ends(0);
    let read = site.app(["get", "--quiet", "--strict"].into_iter().chain(patient)).ends(0);
    assert!(read.out == binary && read.err.is_empty(), "{read}");
    site.run("app", ["put", "--replace", "things", "bin", "-"], b"").ends(0);
    assert_eq!(site.app(["get", "--quiet", "things", "bin"]).ends(0).out, b"");
}

#[test]
fn contexts_siblings_and_deletes() {
    let site = Site::new(3, "");
    let _nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    site.boss(["bucket", "create", "carts", "--merge", "set-union"]).ends(0);

    // Two writers that have seen nothing leave siblings; one that has seen both replaces both.
    site.app(["put", "things", "a", "one"]).ends(0);
    site.app(["put", "things", "a", "two"]).ends(0);
    let both = site.app(["get", "--json", "things", "a"]).ends(5).json();
    assert_eq!(both["values"][0]["utf8"], "one", "{both}");
    assert_eq!(both["values"][1]["utf8"], "two", "{both}");
    let context = both["context"].as_str().unwrap();
    let third = site.app(["put", "--json", "--context", context, "things", "a", "three"]).ends(0);
    assert_eq!(site.app(["get", "--quiet", "things", "a"]).ends(0).out, b"three");

    // A delete of what was seen leaves what was not.
    let third = third.json()["context"].as_str().unwrap().to_owned();
    site.app(["put", "things", "a", "four"]).ends(0);
    site.app(["delete", "--context", &third, "things", "a"]).ends(0);
    let left = site.app(["get", "--json", "things", "a"]).ends(0).json();
    assert_eq!((&left["values"][0]["utf8"], &left["deleted"]), (&"four".into(), &true.into()));
    site.app(["delete", "things", "a"]).ends(0);
    site.app(["get", "things", "a"]).says(3, "deleted");

    // A retry under the same request id is the same write.
    let id = "00112233445566778899aabbccddeeff";
    site.app(["put", "--request", id, "things", "b", "once"]).ends(0);
    site.app(["put", "--request", id, "things", "b", "once"]).ends(0);
    site.app(["put", "things", "b", "twice"]).ends(0);
    let b = site.app(["get", "--json", "things", "b"]).ends(5).json();
    assert_eq!(b["values"].as_array().unwrap().len(), 2, "{b}");

    // The plugin's bucket folds.
    site.run("app", ["put", "carts", "alice", "-"], b"milk\n").ends(0);
    site.run("app", ["put", "carts", "alice", "-"], b"bread\neggs\n").ends(0);
    let cart = site.app(["get", "--quiet", "--strict", "carts", "alice"]).ends(0);
    assert_eq!(cart.text(), "bread\neggs\nmilk\n");

    let buckets = site.app(["bucket", "list", "--json"]).ends(0).json();
    assert_eq!(buckets["carts"]["plugin"], "set-union", "{buckets}");
}

#[test]
fn wrong_usage_is_told_before_anything_is_sent() {
    kinfold(["get", "things", "a", "--profile", "/no/such.toml"], b"").says(2, "/no/such.toml");
    kinfold(["get", "things"], b"").says(2, "KEY");
    kinfold(["no-such-command"], b"").says(2, "unrecognized");
    kinfold(["serve", "--config", "/no/such.toml"], b"").says(2, "/no/such.toml");
}
