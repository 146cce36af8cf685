//! What can't be done: each a clear error, and nothing is lost or changed by it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::program::{Run, kinfold, program, run};
use crate::site::Site;

/// What has to be there, whatever was refused.
fn unharmed(site: &Site) {
    assert_eq!(site.app(["get", "--quiet", "--strict", "things", "a"]).ends(0).out, b"one");
    let buckets = site.app(["bucket", "list", "--json"]).ends(0).json();
    assert_eq!(buckets.as_object().unwrap().len(), 1, "{buckets}");
}

#[test]
fn requests_that_can_not_be_done() {
    let site = Site::new(3, "limits = { value_bytes = 65536 }");
    let _nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    site.app(["put", "things", "a", "one"]).ends(0);

    let long = "k".repeat(4097);
    site.app(["put", "things", &long, "v"]).says(1, "at most 4096");
    site.app(["get", "things", &long]).says(1, "at most 4096");
    site.app(["put", "things", "", "v"]).says(1, "empty key");
    let large = vec![0; 65_537];
    site.run("app", ["put", "things", "a", "-"], &large).says(1, "at most 65536");
    site.run("app", ["put", "things", "large", "-"], &large[1..]).ends(0);

    site.app(["put", "nothing", "a", "v"]).says(1, "no bucket `nothing`");
    site.app(["get", "nothing", "a"]).says(1, "no bucket `nothing`");
    site.app(["delete", "nothing", "a"]).says(1, "no bucket `nothing`");
    site.boss(["bucket", "create", "no/name"]).says(2, "no bucket name");
    site.boss(["bucket", "set", "nothing", "--r", "1"]).says(1, "nothing");

    site.boss(["bucket", "create", "b", "--n", "4"]).says(1, "n = 4");
    site.boss(["bucket", "create", "b", "--n", "0"]).says(1, "n = 0");
    site.boss(["bucket", "create", "b", "--w", "4"]).says(1, "w = 4");
    site.boss(["bucket", "create", "b", "--r", "0"]).says(1, "r = 0");
    site.boss(["bucket", "create", "things", "--w", "3"]).says(1, "already");
    site.app(["put", "--w", "4", "things", "a", "v"]).says(1, "w = 4");
    site.app(["get", "--r", "9", "things", "a"]).says(1, "r = 9");

    site.app(["put", "--context", "AAAA", "things", "a", "v"]).says(1, "context does not parse");
    site.app(["delete", "--context", "_____w", "things", "a"]).says(1, "context does not parse");
    site.app(["put", "--context", "not one", "things", "a", "v"]).says(2, "no context");

    site.app(["bucket", "create", "b"]).says(1, "admin");
    site.app(["bucket", "set", "things", "--r", "1"]).says(1, "admin");
    unharmed(&site);
}

#[test]
fn certificates_of_others() {
    let (site, other) = (Site::new(1, ""), Site::new(1, ""));
    let _nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    site.app(["put", "things", "a", "one"]).ends(0);

    let run = |ca: &Site, leaf: &Site, name: &str, arguments: &[&str]| -> Run {
        let seed = site.nodes[0].1;
        let file = |site: &Site, name: &str| site.path(name).display().to_string();
        let profile = site.path("mixed.toml");
        let text = format!(
            "cluster = 'e2e'\nseeds = ['{seed}']\nca = '{}'\ncert = '{}'\nkey = '{}'\ndeadline_ms = 3000\n",
            file(ca, "ca.pem"),
            file(leaf, &format!("{name}.pem")),
            file(leaf, &format!("{name}.key")),
        );
        fs::write(&profile, text).unwrap();
        kinfold([arguments, &["--profile", profile.to_str().unwrap()]].concat(), b"")
    };
    let get = ["get", "--quiet", "things", "a"];
    assert_eq!(run(&site, &site, "app", &get).ends(0).out, b"one");
    // Another authority of the same name: first we don't trust the node, then it doesn't trust us.
    run(&other, &other, "app", &get).says(1, "ertificate");
    run(&site, &other, "app", &get).says(1, "ertificate");
    // Key and certificate of two people; no certificate at all.
    fs::copy(site.path("boss.key"), site.path("odd.key")).unwrap();
    fs::copy(site.path("app.pem"), site.path("odd.pem")).unwrap();
    run(&site, &site, "odd", &get).says(2, "key");
    fs::write(site.path("odd.pem"), "nothing").unwrap();
    run(&site, &site, "odd", &get).says(2, "certificate");
    // A node may ask as a client does, and is no operator.
    assert_eq!(run(&site, &site, "n1", &get).ends(0).out, b"one");
    run(&site, &site, "n1", &["bucket", "create", "b"]).says(1, "admin");
    unharmed(&site);
}

/// Runs the program with these arguments and this file, under a limit as a shell sets it.
fn limited(limit: &str, arguments: &str, file: &Path) -> Run {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit {limit}; exec \"$0\" {arguments} \"$1\"")]);
    shell.arg(program()).arg(file);
    run(shell, b"")
}

/// Runs a node that has to refuse to start.
fn serve(site: &Site, arguments: &[&str]) -> Run {
    let config = site.config("n1").display().to_string();
    kinfold([&["serve", "--config", &config], arguments].concat(), b"")
}

#[test]
fn nodes_that_must_not_start() {
    let (site, other) = (Site::new(1, ""), Site::of("other", 1, ""));
    let nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    site.app(["put", "things", "a", "one"]).ends(0);

    // Beside the node that runs: its address, then its data.
    serve(&site, &[]).says(1, "in use");
    let elsewhere = ["--listen", "127.0.0.1:0", "--advertise", "127.0.0.1:9"];
    serve(&site, &elsewhere).says(1, "is in use by another process");
    unharmed(&site);
    for node in nodes {
        assert!(node.terminate().success());
    }

    let data = site.path("n1").display().to_string();
    let config = other.config("n1").display().to_string();
    kinfold(["serve", "--config", &config, "--data-dir", &data], b"")
        .says(1, "belongs to node `n1` of cluster `e2e`");
    let file = site.path("ca.pem").display().to_string();
    serve(&site, &["--data-dir", &file]).says(1, "not a directory");

    let pem = |site: &Site, name: &str| site.path(name).display().to_string();
    let leaf = |site: &Site, name: &str| {
        [pem(site, &format!("{name}.pem")), pem(site, &format!("{name}.key"))]
    };
    let [cert, key] = leaf(&site, "app");
    serve(&site, &["--cert", &cert, "--key", &key]).says(1, "node");
    let [cert, key] = leaf(&other, "n1");
    serve(&site, &["--cert", &cert, "--key", &key]).says(1, "another authority issued it");
    let [_, key] = leaf(&site, "boss");
    serve(&site, &["--key", &key]).says(1, "key");
    serve(&site, &["--partitions", "64"]).says(1, "partitions");
    serve(&site, &["--partitions", "63"]).says(2, "power of two");
    serve(&site, &["--node", "n9"]).says(2, "n9");

    // As a shell limits what it starts: with what a store would lack, and with what a runtime lacks.
    for few in ["64", "12", "8", "6"] {
        limited(&format!("-n {few}"), "serve --config", &site.config("n1"))
            .says(1, &format!("may have {few} files and sockets open"));
    }
    let profile = site.path("app.toml");
    limited("-n 8", "get things a --profile", &profile).says(1, "can't open a dozen more files");
    // Less address space than the pools of instances set aside.
    limited("-v 60000000", "serve --config", &site.config("n1"))
        .says(1, "allow that (`ulimit -v unlimited`)");
    // What may be raised is: this one is refused for something else.
    limited("-S -n 8", "serve --listen 192.0.2.1:1 --config", &site.config("n1"))
        .says(1, "can't listen on");

    let _nodes = site.start_all();
    unharmed(&site);
}
