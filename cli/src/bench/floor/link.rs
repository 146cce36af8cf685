//! The way from one node of the floor to another: one stream that lives as long as the connection, and what waits shares a
//! write, as in the product.

use quinn::Connection;
use tokio::sync::mpsc;

use super::wire::Frame;

/// Frames that one write takes.
const FRAMES: usize = 256;

/// The sending end. Its queue is bounded by the clients, each of which waits for its answer.
pub(super) type Link = mpsc::UnboundedSender<Frame>;

/// Begins to send what comes to the link over `connection`.
pub(super) async fn open(connection: Connection) -> Result<Link, quinn::ConnectionError> {
    let mut stream = connection.open_uni().await?;
    let (link, mut waiting) = mpsc::unbounded_channel::<Frame>();
    tokio::spawn(async move {
        let mut frames = Vec::with_capacity(FRAMES);
        let mut pieces = Vec::new();
        while waiting.recv_many(&mut frames, FRAMES).await > 0 {
            pieces.extend(frames.drain(..).flat_map(Frame::pieces));
            if stream.write_all_chunks(&mut pieces).await.is_err() {
                return;
            }
            pieces.clear();
        }
        drop(connection);
    });
    Ok(link)
}
