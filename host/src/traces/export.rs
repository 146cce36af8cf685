//! Spans on their way to a collector: OTLP over HTTP, in JSON (<https://opentelemetry.io/docs/specs/otlp/>).

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tracing::{debug, warn};

/// Spans that wait to be sent. More are dropped.
const WAITING: usize = 8_192;

/// Spans that go in one request.
const BATCH: usize = 512;

/// How long spans are gathered.
const GATHER: Duration = Duration::from_millis(500);

/// A collector that takes longer is away.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where spans go.
#[derive(Clone, Debug)]
pub(crate) struct Exporter(mpsc::Sender<Value>);

/// Why spans were not taken.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("it can't be reached: {0}")]
    Unreachable(#[from] io::Error),
    #[error("the request failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("the request can't be made: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("it answered {0}")]
    Refused(StatusCode),
    #[error("it did not answer within {} s", PATIENCE.as_secs())]
    Timeout,
}

impl Exporter {
    /// Sends what is given to it to `endpoint`, for the node of this name, until it and its clones are dropped.
    pub(crate) fn start(endpoint: Uri, node: String, version: &'static str) -> Self {
        let (send, receive) = mpsc::channel(WAITING);
        tokio::spawn(run(endpoint, node, version, receive));
        Self(send)
    }

    /// Gives it a span. Says whether there was room.
    pub(super) fn send(&self, span: Value) -> bool {
        self.0.try_send(span).is_ok()
    }
}

async fn run(endpoint: Uri, node: String, version: &str, mut waiting: mpsc::Receiver<Value>) {
    let mut said = false;
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, 1).await > 0 {
        tokio::time::sleep(GATHER).await;
        while batch.len() < BATCH
            && let Ok(span) = waiting.try_recv()
        {
            batch.push(span);
        }
        let spans = std::mem::take(&mut batch);
        let sent = post(&endpoint, body(&node, version, spans));
        let sent = tokio::time::timeout(PATIENCE, sent).await;
        match sent.unwrap_or(Err(ExportError::Timeout)) {
            Ok(()) => said = false,
            // Once, not for every batch.
            Err(error) if !said => {
                warn!(%endpoint, %error, "the collector of traces did not take spans, which are lost");
                said = true;
            }
            Err(error) => debug!(%endpoint, %error, "spans were lost"),
        }
    }
}

fn body(node: &str, version: &str, spans: Vec<Value>) -> Bytes {
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let resource = json!({ "attributes": [
        text("service.name", "kinfold"),
        text("service.instance.id", node),
        text("service.version", version),
    ]});
    let scope = json!({ "scope": { "name": "kinfold" }, "spans": spans });
    let all = json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [scope] }] });
    Bytes::from(all.to_string())
}

async fn post(endpoint: &Uri, body: Bytes) -> Result<(), ExportError> {
    let host = endpoint.host().unwrap_or_default();
    let port = endpoint.port_u16().unwrap_or(80);
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let path = endpoint.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::post(path)
        .header(HOST, format!("{host}:{port}"))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body))?;
    let status = sender.send_request(request).await?.status();
    connection.abort();
    if status.is_success() { Ok(()) } else { Err(ExportError::Refused(status)) }
}
