//! A cluster of Kinfold nodes, asked through the client that everybody uses.

use std::sync::Arc;

use bytes::Bytes;
use kinfold_client::{Bucket, BucketConfig, CausalContext, Client, Error, Options};

use super::plan::Plan;
use super::run::{Failed, Loop, Target};

/// Asks a bucket.
#[derive(Clone)]
pub(crate) struct Product {
    clients: Arc<Vec<Client>>,
    buckets: Arc<Vec<Bucket>>,
    r: u8,
    w: u8,
}

impl Product {
    /// Connects so many times, and makes the bucket if there is none.
    ///
    /// # Errors
    /// The cluster can't be reached or has such a bucket with other properties.
    pub(crate) async fn connect(
        options: &Options,
        connections: u64,
        bucket: &str,
        config: BucketConfig,
    ) -> Result<Self, Error> {
        let (r, w) = (config.r, config.w);
        let mut clients = Vec::new();
        for _ in 0..connections.max(1) {
            clients.push(Client::connect(options.clone()).await?);
        }
        if let [first, ..] = clients.as_slice() {
            first.bucket_create(bucket, config).await?;
        }
        let buckets =
            clients.iter().map(|client| client.bucket(bucket)).collect::<Result<_, _>>()?;
        Ok(Self { clients: Arc::new(clients), buckets: Arc::new(buckets), r, w })
    }

    /// Connects as the plan says, to a bucket of this name, and gives the clients that ask what it says.
    ///
    /// # Errors
    /// Those of [`Product::connect`].
    pub(crate) async fn begin(
        options: &Options,
        plan: &Plan,
        bucket: &str,
    ) -> Result<(Self, Loop<Self>), Error> {
        let product = Self::connect(options, plan.connections, bucket, plan.bucket()).await?;
        Ok((product.clone(), Loop::new(product, plan.workload())))
    }

    /// Takes leave of the nodes.
    pub(crate) async fn close(&self) {
        for client in self.clients.iter() {
            client.close().await;
        }
    }

    fn bucket(&self, client: u64) -> &Bucket {
        &self.buckets[usize::try_from(client).unwrap_or(0) % self.buckets.len()]
    }
}

impl Target for Product {
    type Seen = CausalContext;

    async fn put(
        &self,
        client: u64,
        key: Bytes,
        value: Bytes,
        seen: Option<CausalContext>,
    ) -> Result<CausalContext, Failed> {
        let mut put = self.bucket(client).put(key, value).w(self.w);
        if let Some(seen) = seen {
            put = put.context(seen);
        }
        match put.await {
            Ok(written) => Ok(written.context),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn get(&self, client: u64, key: Bytes) -> Result<Bytes, Failed> {
        let found = self.bucket(client).get(key).r(self.r).await.map_err(|error| failed(&error))?;
        match found.values.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(Failed("missing".to_owned())),
            _ => Err(Failed("siblings".to_owned())),
        }
    }
}

/// The word that an error is counted by.
pub(super) fn failed(error: &Error) -> Failed {
    let word = match error {
        Error::Refused { code, .. } => match serde_json::to_value(code) {
            Ok(serde_json::Value::String(name)) => name,
            Ok(_) | Err(_) => "refused".to_owned(),
        },
        Error::Unknown { .. } => "unknown".to_owned(),
        Error::Unreachable { .. } => "unreachable".to_owned(),
        Error::Config(_) => "config".to_owned(),
        Error::Protocol { .. } => "protocol".to_owned(),
        Error::Siblings { .. } => "siblings".to_owned(),
        Error::Malformed(_) => "malformed".to_owned(),
        Error::Conflict { .. } => "conflict".to_owned(),
        _ => "other".to_owned(),
    };
    Failed(word)
}
