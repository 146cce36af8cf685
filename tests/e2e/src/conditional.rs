//! Conditional puts and deletes through the program and the client, against real nodes.

use kinfold_client::{Client, Error};

use crate::site::Site;

#[test]
fn the_commands_write_on_a_condition_or_show_what_is_there() {
    let site = Site::new(3, "");
    let nodes = site.start_all();
    site.boss(["bucket", "create", "locks"]).ends(0);
    let put = ["put", "locks", "printer", "alice", "--only-if-absent", "--json"];
    let held = site.app(put).ends(0).json();
    assert!(held["owners"].as_u64().unwrap() >= 2, "{held}");
    let other = site.app(["put", "locks", "printer", "bob", "--only-if-absent"]).says(6, "another");
    assert_eq!(other.text(), "alice");

    let context = held["context"].as_str().unwrap();
    let change = ["put", "locks", "printer", "carol", "--json", "--only-if", context];
    let changed = site.app(change).ends(0).json();
    let late = site.app(change).ends(6).json();
    assert_eq!(late["values"][0]["utf8"], "carol");
    assert_eq!(late["context"], changed["context"]);

    site.app(["delete", "locks", "printer", "--only-if", context]).ends(6);
    let context = late["context"].as_str().unwrap();
    site.app(["delete", "locks", "printer", "--only-if", context]).ends(0);
    site.app(["get", "locks", "printer"]).ends(3);
    site.app(["put", "locks", "printer", "dave", "--only-if-absent"]).ends(0);

    // Without a majority there is a clear refusal.
    let mut nodes = nodes.into_iter();
    nodes.next().unwrap().crash();
    nodes.next().unwrap().crash();
    let alone = ["put", "locks", "scanner", "erin", "--only-if-absent", "--deadline", "2s"];
    site.app(alone).says(1, "majority");
}

/// Clients that all count on one key, each on the condition of what it read: none of their additions is lost.
#[tokio::test(flavor = "multi_thread")]
async fn no_change_is_lost_of_many_that_change_one_key() {
    let site = Site::new(3, "");
    let _nodes = site.start_all();
    site.boss(["bucket", "create", "counts"]).ends(0);
    let mut options = site.options();
    options.deadline = crate::site::PATIENCE;
    let client = Client::connect(options).await.unwrap();
    let number = |values: &[bytes::Bytes]| -> u64 {
        values.first().map_or(0, |v| std::str::from_utf8(v).unwrap().parse().unwrap())
    };
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let bucket = client.bucket("counts").unwrap();
            tokio::spawn(async move {
                for _ in 0..5 {
                    bucket.modify("key", |values| (number(values) + 1).to_string()).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let bucket = client.bucket("counts").unwrap();
    let found = bucket.get("key").await.unwrap();
    assert_eq!(number(&found.values), 20);
    let stale = bucket.put("key", "0").only_if_absent().await.unwrap_err();
    assert!(matches!(&stale, Error::Conflict { found: now } if now.values == found.values));
    client.close().await;
}
