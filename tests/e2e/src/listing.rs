//! Listings, exports and imports through the program, against real nodes.

use std::collections::BTreeSet;
use std::fs;

use kinfold_client::{Client, Code, Error};
use serde_json::{Value, json};

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

#[test]
fn chosen_keys_are_read_in_one_go() {
    let site = Site::new(3, "");
    let _nodes = site.start_all();
    site.boss(["bucket", "create", "carts"]).ends(0);
    let lines = b"{\"key\":\"alice\",\"value\":\"milk\"}\n{\"key\":\"bob\",\"values\":[\"tea\",\"soap\"]}\n";
    site.run("app", ["import", "carts", "-"], lines).says(0, "3 values are imported");
    let chosen = site.run("app", ["export", "carts", "--keys", "-"], b"bob\nalice\n").ends(0);
    let told: Vec<Value> =
        chosen.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (told.len(), &told[0]["key"], &told[1]["values"]),
        (2, &json!("bob"), &json!(["milk"]))
    );
    assert_eq!(told[0]["values"].as_array().unwrap().len(), 2, "siblings stay siblings");
    let some = site.run("app", ["export", "carts", "--keys", "-"], b"alice\nnobody\n");
    assert!(some.says(3, "1 keys have no value").text().contains("milk"));
}

/// A batch of the client: each item has a result of its own, in the order of the items, and none holds up another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_item_of_a_batch_has_a_result_of_its_own() {
    let site = Site::new(3, "limits = { value_bytes = 1000 }");
    let mut nodes = site.start_all();
    site.boss(["bucket", "create", "carts"]).ends(0);
    let client = Client::connect(site.options()).await.unwrap();
    let carts = client.bucket("carts").unwrap();
    let missing = client.bucket("missing").unwrap();
    let put = |n: usize| match n {
        7 => carts.put("large", vec![0; 2_000]),
        8 => missing.put("k", "v"),
        9 => carts.put("key 1", "again").only_if_absent(),
        n => carts.put(format!("key {n}"), format!("value {n}")),
    };
    carts.put("key 1", "first").w(3).await.unwrap();
    // One owner is away: two of three are enough for each item.
    nodes.remove(2).crash();
    let written = carts.put_many((7..200).map(put)).await;
    assert_eq!(written.len(), 193);
    let code = |at: usize| match &written[at] {
        Err(Error::Refused { code, .. }) => Some(*code),
        Ok(_) | Err(_) => None,
    };
    assert_eq!((code(0), code(1)), (Some(Code::TooLarge), Some(Code::UnknownBucket)));
    assert!(matches!(written[2], Err(Error::Conflict { .. })), "{:?}", written[2]);
    assert!(
        written[3..].iter().all(Result::is_ok),
        "{:?}",
        written[3..].iter().find(|w| w.is_err())
    );
    let found = carts.get_many((8..200).map(|n| format!("key {n}"))).await;
    let values: Vec<_> = found.into_iter().map(|found| found.unwrap().values).collect();
    assert_eq!(values[..2], [vec![], Vec::<bytes::Bytes>::new()], "keys 8 and 9 were not written");
    assert!((10..200).zip(&values[2..]).all(|(n, values)| *values == [format!("value {n}")]));
    client.close().await;
}
