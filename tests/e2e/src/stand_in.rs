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

    // Perhaps before the others have ever seen it.
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

/// Of three owners one is there: the write stands at it, and nobody can say whether it lasts. Sent again under its id it is the
/// same write, not a second one.
#[test]
fn a_write_that_too_few_have_is_unknown_and_can_be_made_sure_of() {
    let site = Site::new(3, "");
    let mut nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    nodes.drain(1..).for_each(crate::site::Node::crash);
    let put = ["put", "things", "k", "value", "--deadline", "2s"];
    let unknown = site.app(put).says(4, "same request id");
    let mut words = unknown.err.split([' ', ',']);
    let id =
        words.find(|word| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let id = id.unwrap_or_else(|| panic!("no id: {unknown}")).to_owned();
    assert_eq!(site.app(["get", "things", "k", "--r", "1"]).ends(0).text(), "value");
    site.app(["get", "things", "k", "--strict", "--deadline", "2s"]).ends(1);

    let _others = ["n2", "n3"].map(|name| site.start(name));
    site.meet();
    site.app(["put", "things", "k", "value", "--w", "3", "--request", &id]).says(0, "3 owners");
    let found = site.app(["get", "things", "k", "--r", "3", "--json"]).ends(0).json();
    assert_eq!((found["owners"].as_u64(), found["values"].as_array().unwrap().len()), (Some(3), 1));
    let told = site.app(["explain", "things", "k", "--json"]).ends(0).json();
    assert_eq!(told["versions"].as_array().unwrap().len(), 1, "{told}");
}
