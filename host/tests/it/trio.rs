//! Three nodes.

use std::time::Duration;

use kinfold_host::certificate::Role;
use kinfold_protocol::message::client::Response;

use crate::site::{SOON, Site};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_on_one_node_is_read_on_another_also_while_the_third_is_away() {
    let site = Site::new(&["n1", "n2", "n3"]);
    let (n1, n2, n3) = (site.start("n1").await, site.start("n2").await, site.start("n3").await);
    let connected = async {
        for node in [&n1, &n2, &n3] {
            while node.counters()["peer_links"] < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    tokio::time::timeout(SOON, connected).await.unwrap();
    site.admin("n1").await.make_bucket("b", 3).await;

    let (one, two) = (site.client(Role::Client, "n1").await, site.client(Role::Client, "n2").await);
    // Both a small message and one that has a stream of its own.
    let values = [vec![b's'; 10], vec![b'l'; 500_000]];
    for (round, value) in values.iter().enumerate() {
        let written = one.put(&format!("k{round}"), value).await;
        assert!(matches!(written, Response::Written(_)), "{written:?}");
        let (found, body) = two.get(&format!("k{round}")).await;
        assert!(matches!(found, Response::Found(_)), "{found:?}");
        assert!(body == *value);
    }
    n3.stop().await.unwrap();
    for key in 0..20 {
        let written = one.put(&format!("away{key}"), b"value").await;
        assert!(matches!(written, Response::Written(_)), "{written:?}");
        assert_eq!(two.get(&format!("away{key}")).await.1, "value");
    }
    let n3 = site.start("n3").await;
    let three = site.client(Role::Client, "n3").await;
    let links = n1.counters()["peer_links"];
    assert!(links >= 2, "{links}");
    // The others dial it again, and it can answer through them.
    let (found, body) = three.get("away7").await;
    assert!(matches!(found, Response::Found(_)), "{found:?}");
    assert_eq!(body, "value");
    for node in [n1, n2, n3] {
        node.stop().await.unwrap();
    }
}
