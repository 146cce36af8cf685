//! Values that expire, through the program, against real nodes: a put's own time, the bucket's, and none.

use std::fs;

use crate::site::{Site, eventually};

/// Long enough that a busy machine reads a value while it is there.
const TTL: &str = "8s";

#[test]
fn a_value_expires_by_its_puts_time_or_else_by_its_buckets() {
    let site = Site::new(3, "limits = { clocks_apart_s = 1 }");
    let _nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    site.boss(["bucket", "create", "sessions", "--ttl", TTL]).ends(0);
    site.boss(["bucket", "create", "sets", "--merge", "set-union", "--ttl", TTL]).says(1, "ttl");
    let shown = site.app(["bucket", "show", "sessions"]).ends(0).text();
    assert!(shown.contains("ttl          8s"), "{shown}");

    site.app(["put", "things", "short", "a", "--ttl", TTL]).ends(0);
    site.app(["put", "things", "long", "b"]).ends(0);
    site.app(["put", "sessions", "short", "c"]).ends(0);
    site.app(["put", "sessions", "long", "d", "--ttl", "none"]).ends(0);
    let found = site.app(["get", "sessions", "short", "--json"]).ends(0).json();
    let at = found["expires"][0].as_str().unwrap();
    assert_eq!(found["values"][0]["utf8"], "c", "{found}");
    assert!(site.app(["get", "sessions", "short"]).ends(0).err.contains(&format!("expires {at}")));
    let told = site.app(["explain", "things", "short"]).ends(0).text();
    assert!(told.contains("stands, expires"), "{told}");

    // What is exported expires when it would have, and not later.
    let lines = site.app(["export", "sessions"]).ends(0).text();
    assert_eq!(lines.matches("expires").count(), 1, "{lines}");
    let file = site.path("sessions.jsonl");
    fs::write(&file, &lines).unwrap();
    let file = file.display().to_string();
    site.boss(["bucket", "create", "copies"]).ends(0);
    site.app(["import", "copies", &file]).says(0, "2 values are imported");

    for (bucket, key) in [("things", "short"), ("sessions", "short"), ("copies", "short")] {
        eventually("the value expires", || site.app(["get", bucket, key]).code == Some(3));
    }
    for (bucket, key) in [("things", "long"), ("sessions", "long"), ("copies", "long")] {
        site.app(["get", bucket, key]).ends(0);
    }
    site.app(["import", "copies", &file]).says(0, "1 values had expired, and are left out");
    assert_eq!(site.app(["list", "sessions"]).ends(0).text(), "long\n");
    site.app(["put", "sessions", "short", "e", "--only-if-absent"]).ends(0);

    // A second after its end, each replica lets it go.
    eventually("nothing of the value is left but a tombstone", || {
        let told = site.app(["explain", "things", "short"]).ends(0).text();
        told.contains("expired") || told.contains("no replica holds anything")
    });

    // The bucket's time counts for what is put from then on.
    site.boss(["bucket", "set", "sessions", "--ttl", "none"]).ends(0);
    site.app(["put", "sessions", "later", "f"]).ends(0);
    let later = site.app(["get", "sessions", "later", "--json"]).ends(0).json();
    assert!(later.get("expires").is_none(), "{later}");
}
