//! A client that shares nothing with the Rust one but docs/PROTOCOL.md: `tests/outside`, in Python, over another QUIC.

use std::path::Path;
use std::process::Command;

use crate::program::{ROOT, run, skip};
use crate::site::Site;

/// What `tests/outside/test_kinfold.py` has.
const TESTS: &str = "Ran 13 tests";

#[test]
fn a_client_written_from_the_document_alone() {
    let python = Path::new(ROOT).join("target/tools/outside/bin/python");
    if !python.exists() {
        return skip("the client in Python is missing what it stands on: tests/outside/tools.sh");
    }
    let site = Site::new(3, "");
    let _nodes = site.start_all();
    let nodes: Vec<_> = site.nodes.iter().map(|(_, address)| address.to_string()).collect();
    let mut command = Command::new(python);
    command
        .args(["-B", "-m", "unittest", "-v"])
        .current_dir(Path::new(ROOT).join("tests/outside"))
        .env("OUTSIDE_SITE", site.path(""))
        .env("OUTSIDE_NODES", nodes.join(","));
    run(command, b"").says(0, TESTS);

    // What that client wrote is there for this one.
    let found = site.app(["get", "--json", "siblings", "a"]).ends(0).json();
    assert_eq!(found["values"][0]["utf8"], "one", "{found}");
    let merged = site.app(["get", "--quiet", "carts", "alice"]).ends(0);
    assert_eq!(merged.text(), "bread\nmilk\n");
}
