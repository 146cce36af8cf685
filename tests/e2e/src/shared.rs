//! Values of the shipped plugins through the client's handles: changes that did not know of each other all count.

use kinfold_client::values::{Cart, Counter, Document, Json, Max, OrSet, Set};
use kinfold_client::{Bucket, Client, Error, Shared};

use crate::site::Site;

const PLUGINS: [&str; 6] = ["set-union", "or-set", "counter", "max", "json", "cart"];

/// Two handles on one key, as two applications have them.
fn two<V: kinfold_client::values::Value + Clone>(bucket: &Bucket) -> [Shared<V>; 2] {
    [(); 2].map(|()| Shared::new(bucket, "key").unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_on_both_sides_all_count() {
    let site = Site::new(1, "");
    let _nodes = site.start_all();
    for plugin in PLUGINS {
        site.boss(["bucket", "create", plugin, "--merge", plugin]).ends(0);
    }
    let client = Client::connect(site.options()).await.unwrap();
    let bucket = |plugin: &str| client.bucket(plugin).unwrap();

    let [mut one, mut other] = two::<Set>(&bucket("set-union"));
    one.add("milk").await.unwrap();
    other.add("bread").await.unwrap();
    assert!(one.read().await.unwrap().items().eq(["bread", "milk"].map(str::as_bytes)));

    let [mut one, mut other] = two::<OrSet>(&bucket("or-set"));
    one.add("milk").await.unwrap();
    other.read().await.unwrap();
    // One takes it out, and the other adds it again meanwhile, beside something else.
    one.remove("milk").await.unwrap();
    other.add("bread").await.unwrap();
    assert!(!one.read().await.unwrap().contains("milk"));
    other.add("milk").await.unwrap();
    let both = one.read().await.unwrap();
    assert!(both.contains("milk") && both.contains("bread"));

    let [mut one, mut other] = two::<Counter>(&bucket("counter"));
    for number in [5, -2, 1] {
        one.add(number).await.unwrap();
        other.add(number).await.unwrap();
    }
    assert_eq!(one.read().await.unwrap().number(), 8);

    let [mut one, mut other] = two::<Max>(&bucket("max"));
    one.raise(12).await.unwrap();
    other.raise(9).await.unwrap();
    assert_eq!(other.read().await.unwrap().number(), Some(12));

    let [mut one, mut other] = two::<Document>(&bucket("json"));
    one.set(&["name"], "Ada").await.unwrap();
    other.set(&["address", "city"], "Rome").await.unwrap();
    other.set(&["visits"], 3).await.unwrap();
    one.read().await.unwrap();
    one.remove(&["visits"]).await.unwrap();
    let document = other.read().await.unwrap();
    let expected: Json = r#"{"address":{"city":"Rome"},"name":"Ada"}"#.parse().unwrap();
    assert_eq!(document.get(&[]), Some(expected));

    let [mut one, mut other] = two::<Cart>(&bucket("cart"));
    one.add("milk", 2).await.unwrap();
    other.add("milk", 1).await.unwrap();
    other.add("bread", 1).await.unwrap();
    let cart = one.read().await.unwrap();
    assert_eq!((cart.quantity("milk"), cart.quantity("bread")), (2, 1));
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_another_kind_of_value_is_told() {
    let site = Site::new(1, "");
    let _nodes = site.start_all();
    site.boss(["bucket", "create", "plain"]).ends(0);
    site.app(["put", "plain", "key", "three"]).ends(0);
    let client = Client::connect(site.options()).await.unwrap();
    let mut number = Shared::<Max>::new(&client.bucket("plain").unwrap(), "key").unwrap();
    let error = number.read().await.unwrap_err();
    assert!(matches!(&error, Error::Malformed(why) if why.contains("whole number")), "{error}");
    client.close().await;
}
