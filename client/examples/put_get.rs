//! Writes a key, reads it back, and replaces what it has read.
//!
//! Start a cluster with `kinfold dev`, then:
//! `KINFOLD_PROFILE=FOLDER/client.toml cargo run -p kinfold-client --example put_get`

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

    match client.bucket_create("greetings", BucketConfig::default()).await {
        Err(kinfold_client::Error::Refused { code: Code::BucketExists, .. }) => {}
        done => drop(done?),
    }

    let greetings = client.bucket("greetings")?;
    let first = greetings.put("en", "hello").await?;
    println!("hello: durable on {} owners", first.owners);

    let found = greetings.get("en").await?;
    for value in &found.values {
        println!("found: {}", value.escape_ascii());
    }

    greetings.put("en", "good morning").context(found.context).await?;
    let found = greetings.get("en").await?;
    println!("now: {:?}", found.one()?);

    greetings.delete("en").await?;
    println!("deleted: {}", greetings.get("en").await?.values.is_empty());
    client.close().await;
    Ok(())
}
