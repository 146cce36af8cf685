//! Two applications change the same values at once, without reading first and without seeing a byte: the buckets' plugins join
//! what they did.
//!
//! Start a cluster with `kinfold dev`, then:
//! `KINFOLD_PROFILE=FOLDER/client.toml cargo run -p kinfold-client --example shared`

use std::error::Error;
use std::{env, process};

use kinfold_client::values::{Counter, Document, OrSet};
use kinfold_client::{Bucket, BucketConfig, Client, Code, Mode, Options, Shared, Tombstones};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Some(profile) = env::var_os("KINFOLD_PROFILE") else {
        eprintln!("set KINFOLD_PROFILE to the client.toml that `kinfold dev` names");
        process::exit(2);
    };
    let client = Client::connect(Options::from_file(profile)?).await?;

    let visits = bucket(&client, "visits", "counter").await?;
    let mut here = Shared::<Counter>::new(&visits, "front page")?;
    let mut there = Shared::<Counter>::new(&visits, "front page")?;
    here.add(2).await?;
    there.add(1).await?;
    println!("{} visits", here.read().await?.number());

    let lists = bucket(&client, "lists", "or-set").await?;
    let mut mine = Shared::<OrSet>::new(&lists, "shopping")?;
    let mut yours = Shared::<OrSet>::new(&lists, "shopping")?;
    mine.add("milk").await?;
    yours.add("bread").await?;
    mine.remove("milk").await?;
    let items = yours.read().await?.items().into_iter().map(String::from_utf8_lossy);
    println!("to buy: {:?}", items.collect::<Vec<_>>());

    let people = bucket(&client, "people", "json").await?;
    let mut alice = Shared::<Document>::new(&people, "alice")?;
    alice.set(&["name"], "Alice").await?;
    alice.set(&["address", "city"], "Lima").await?;
    println!("lives in {:?}", alice.read().await?.get(&["address", "city"]));
    client.close().await;
    Ok(())
}

/// A bucket whose plugin folds what meets in it, made if it is not there.
async fn bucket(client: &Client, name: &str, plugin: &str) -> Result<Bucket, Box<dyn Error>> {
    let mode = Mode::Lattice { plugin: plugin.to_owned(), tombstones: Tombstones::Reset };
    match client.bucket_create(name, BucketConfig { mode, ..BucketConfig::default() }).await {
        Err(kinfold_client::Error::Refused { code: Code::BucketExists, .. }) => {}
        done => drop(done?),
    }
    Ok(client.bucket(name)?)
}
