//! The HTTP port for scrapers: `GET /metrics`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::prometheus_text;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::Sources;

/// Scrapers at one time; the next one waits to be accepted.
const SCRAPERS: usize = 8;

/// A scraper that takes longer over its request is cut off.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection is closed after so long: its place is for others, and a scraper comes again.
const LIFETIME: Duration = Duration::from_secs(60);

/// Answers scrapers until it is aborted.
pub(crate) async fn serve(listener: TcpListener, sources: Arc<Sources>) {
    let places = Arc::new(Semaphore::new(SCRAPERS));
    // Those that are being answered end with this task.
    let mut scrapers = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        while scrapers.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Too many open files, most likely: not in a tight loop.
                warn!(%error, "a scraper was not accepted");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let sources = Arc::clone(&sources);
        scrapers.spawn(async move {
            let _place = place;
            let answer = service_fn(move |request| answer(request, Arc::clone(&sources)));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), answer);
            if let Ok(Err(error)) = tokio::time::timeout(LIFETIME, connection).await {
                debug!(%error, "a scraper's connection failed");
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    sources: Arc<Sources>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => match sources.scrape().await {
            Ok(text) => said(StatusCode::OK, prometheus_text::CONTENT_TYPE, text),
            Err(error) => {
                warn!(%error, "a scraper got no figures");
                said(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{error}\n"))
            }
        },
        (&Method::GET, _) => {
            said(StatusCode::NOT_FOUND, PLAIN, "the figures are at /metrics\n".to_owned())
        }
        (_, _) => {
            let mut refused =
                said(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET is answered\n".to_owned());
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            refused
        }
    })
}

const PLAIN: &str = "text/plain; charset=utf-8";

fn said(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
