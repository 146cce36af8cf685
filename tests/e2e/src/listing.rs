//! Listings, exports and imports through the program, against real nodes.

use std::collections::BTreeSet;
use std::fs;

use crate::site::Site;

#[test]
fn a_bucket_is_imported_listed_in_pages_and_exported() {
    let site = Site::new(3, "");
    let mut nodes = site.start_all();
    site.boss(["bucket", "create", "carts"]).ends(0);
    let lines: String = (0..300)
        .map(|n| format!("{{\"key\":\"{}/{n}\",\"value\":\"v{n}\"}}\n", ["a", "b"][n % 2]))
        .collect();
    let file = site.path("carts.jsonl").display().to_string();
    fs::write(&file, lines + "not a line\n").unwrap();
    site.app(["import", "carts", &file]).says(1, "line 301").says(1, "300 values are imported");
    site.app(["delete", "carts", "a/0"]).ends(0);

    let all = site.app(["list", "carts"]).ends(0).text();
    let keys: BTreeSet<&str> = all.lines().collect();
    assert_eq!((all.lines().count(), keys.len()), (299, 299));
    assert!(!keys.contains("a/0"));

    // Page by page, over the restart of a node.
    let mut paged = Vec::new();
    let mut cursor = None::<String>;
    loop {
        let mut arguments = vec!["list", "carts", "--prefix", "a/", "--limit", "40", "--json"];
        if let Some(cursor) = &cursor {
            arguments.extend(["--cursor", cursor]);
        }
        let page = site.app(arguments).ends(0).json();
        let keys = page["keys"].as_array().unwrap();
        assert!(keys.len() <= 40, "{page}");
        paged.extend(keys.iter().map(|e| e["key"]["utf8"].as_str().unwrap().to_owned()));
        if cursor.is_none() {
            nodes.remove(0).crash();
            nodes.push(site.start("n1"));
        }
        match page["cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    let expected: BTreeSet<String> = (2..300).step_by(2).map(|n| format!("a/{n}")).collect();
    assert_eq!((paged.len(), paged.into_iter().collect::<BTreeSet<_>>()), (149, expected));

    let cursor = cursor.unwrap();
    let other = ["list", "carts", "--prefix", "b/", "--cursor", &cursor];
    site.app(other).says(1, "another bucket or prefix");
    let cut = &cursor[..cursor.len() - 2];
    site.app(["list", "carts", "--prefix", "a/", "--cursor", cut]).ends(1);
    site.app(["list", "nothing"]).says(1, "no bucket");

    let valued = site.app(["list", "carts", "--prefix", "b/29", "--values"]).ends(0).text();
    let mut valued: Vec<&str> = valued.lines().collect();
    valued.sort_unstable();
    let expected =
        ["b/29\tv29", "b/291\tv291", "b/293\tv293", "b/295\tv295", "b/297\tv297", "b/299\tv299"];
    assert_eq!(valued, expected);

    // What was exported is a bucket again.
    let copy = site.path("copy.jsonl").display().to_string();
    site.app(["export", "carts", "--out", &copy]).says(0, "299 keys");
    site.boss(["bucket", "create", "copies"]).ends(0);
    site.app(["import", "copies", &copy]).says(0, "299 values are imported, 0 failed");
    assert_eq!(site.app(["get", "copies", "b/7"]).ends(0).text(), "v7");
}
