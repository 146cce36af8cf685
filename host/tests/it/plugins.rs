//! Buckets whose siblings a plugin merges.

use kinfold_protocol::config::{BucketConfig, Mode};
use kinfold_protocol::message::client::{BucketChange, Code, Request, Response};

use crate::site::{Site, write};

fn bucket(plugin: &str) -> Request {
    let mode = Mode::Resolver { plugin: plugin.to_owned() };
    let config = BucketConfig { mode, n: 1, r: 1, w: 1, ..BucketConfig::default() };
    Request::BucketCreate(BucketChange { bucket: write("k").bucket, config, force: false })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn siblings_are_merged_by_the_plugin_that_the_bucket_names() {
    let site = Site::new(&["n1"]);
    let node = site.start("n1").await;
    let client = site.admin("n1").await;
    let (response, _) = client.ask(bucket("nobodys-plugin"), b"").await;
    let Response::Failed(failure) = response else { panic!("{response:?}") };
    assert_eq!(failure.code, Code::BadRequest);
    assert!(failure.message.contains("no plugin `nobodys-plugin`"), "{}", failure.message);

    let (response, _) = client.ask(bucket("last-write-wins"), b"").await;
    assert!(matches!(response, Response::BucketSaved { .. }), "{response:?}");
    for value in [b"first", b"later"] {
        assert!(matches!(client.put("k", value).await, Response::Written(_)));
    }
    let (response, body) = client.get("k").await;
    let Response::Found(found) = response else { panic!("{response:?}") };
    assert!(found.merged, "{found:?}");
    assert_eq!(body, "later");
    assert_eq!(node.counters()["merges_started"], 1);
    node.stop().await.unwrap();
}
