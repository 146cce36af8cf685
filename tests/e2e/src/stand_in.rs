//! An owner that is away: others stand in for it, and it gets what it missed when it is back.

use kinfold_client::{Client, Consistency};
use serde_json::Value;

use crate::site::{Site, eventually};

/// The sum of a counter over all nodes that answer.
fn sum(site: &Site, counter: &str) -> u64 {
    let Value::Array(nodes) = site.boss(["status", "--json"]).json() else {
        panic!("a list of nodes")
    };
    nodes.iter().filter_map(|node| node["counters"][counter].as_u64()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_owner_is_stood_in_for_and_gets_what_it_missed() {
    let site = Site::new(4, "");
    let mut nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    let client = Client::connect(site.options()).await.unwrap();
    let things = client.bucket("things").unwrap();

    nodes.remove(1).crash();
    let mut stood_in = 0;
    for n in 0..100 {
        // All three copies, of which one owner can't keep his.
        let written = things.put(format!("key {n}"), format!("value {n}")).w(3).await.unwrap();
        assert_eq!(written.owners + written.fallbacks, 3);
        stood_in += u64::from(written.fallbacks);
    }
    assert!(stood_in > 0, "the node owns three quarters of the keys");
    eventually("the others know", || site.boss(["status"]).text().contains("n2 is down"));
    assert!(sum(&site, "hints") >= stood_in);

    let _second = site.start("n2");
    site.meet();
    eventually("nothing is owed any more", || sum(&site, "hints") == 0);
    assert!(sum(&site, "hints_handed_over") >= stood_in);
    for n in 0..100 {
        let key = format!("key {n}");
        let found = things.get(key).consistency(Consistency::Strict).r(3).await.unwrap();
        assert_eq!(found.values, [format!("value {n}")]);
    }
}
