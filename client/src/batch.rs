//! Many gets or puts in one call.
//!
//! Each item is a request of its own on a stream of its own, so many at one time. A stream costs a few dozen bytes on a connection
//! that is there anyway, items go straight to their owners, each has its own result, and the nodes gather the syncs of what comes
//! together as it is: a frame with several items would save little, and make the slowest item everybody's.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::error::Error;

/// Requests under way at one time.
const AT_ONCE: usize = 64;

/// Carries out all of `work`, some of it at one time. The results are in the order of the work.
pub(crate) async fn all<T: Send + 'static, F>(
    work: impl IntoIterator<Item = F>,
) -> Vec<Result<T, Error>>
where
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    let mut results = Vec::new();
    for (number, item) in work.into_iter().enumerate() {
        results.push(Err(Error::Config("the item was not carried out".to_owned())));
        // Never closed, so there is always a place sooner or later.
        let place = Arc::clone(&places).acquire_owned().await;
        tasks.spawn(async move {
            let _place = place;
            (number, item.await)
        });
        while let Some(done) = tasks.try_join_next() {
            keep(&mut results, done);
        }
    }
    while let Some(done) = tasks.join_next().await {
        keep(&mut results, done);
    }
    results
}

fn keep<T>(
    results: &mut [Result<T, Error>],
    done: Result<(usize, Result<T, Error>), tokio::task::JoinError>,
) {
    match done {
        Ok((number, result)) => results[number] = result,
        Err(error) => {
            if let Ok(panic) = error.try_into_panic() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn results_come_in_order_and_not_too_many_run_at_once() {
        let running = Arc::new(AtomicUsize::new(0));
        let work = (0..500).map(|number| {
            let running = Arc::clone(&running);
            async move {
                assert!(running.fetch_add(1, Ordering::SeqCst) < AT_ONCE);
                tokio::task::yield_now().await;
                running.fetch_sub(1, Ordering::SeqCst);
                if number % 2 == 0 { Ok(number) } else { Err(Error::Config(number.to_string())) }
            }
        });
        for (number, result) in all(work).await.into_iter().enumerate() {
            match result {
                Ok(even) => assert_eq!(even, number),
                Err(odd) => assert_eq!(odd.to_string(), number.to_string()),
            }
        }
    }
}
