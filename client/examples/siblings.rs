//! Two writers that do not know of each other leave siblings; an update folds them into one value.
//!
//! Start a cluster with `kinfold dev`, then:
//! `KINFOLD_PROFILE=FOLDER/client.toml cargo run -p kinfold-client --example siblings`

use std::collections::BTreeSet;
use std::error::Error;
use std::{env, process};

use kinfold_client::{BucketConfig, Client, Code, Options};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Some(profile) = env::var_os("KINFOLD_PROFILE") else {
        eprintln!("set KINFOLD_PROFILE to the client.toml that `kinfold dev` names");
        process::exit(2);
    };
    let client = Client::connect(Options::from_file(profile)?).await?;
    match client.bucket_create("carts-by-hand", BucketConfig::default()).await {
        Err(kinfold_client::Error::Refused { code: Code::BucketExists, .. }) => {}
        done => drop(done?),
    }

    let carts = client.bucket("carts-by-hand")?;
    carts.delete("alice").await?;
    // Both add to the empty cart, as two devices would that are out of each other's sight.
    let empty = carts.get("alice").await?.context;
    carts.put("alice", "milk\n").context(empty.clone()).await?;
    carts.put("alice", "bread\n").context(empty).await?;
    println!("{} siblings", carts.get("alice").await?.values.len());

    carts
        .update("alice", |siblings| {
            let items: BTreeSet<_> =
                siblings.iter().flat_map(|cart| cart.split_inclusive(|b| *b == b'\n')).collect();
            items.into_iter().collect::<Vec<_>>().concat()
        })
        .await?;
    let found = carts.get("alice").await?;
    println!("one cart: {:?}", found.one()?);
    client.close().await;
    Ok(())
}
