//! The same work for many things, a bounded number of them at one time.

use tokio::task::JoinSet;

use crate::exit::Failure;

/// Has `work` done for each of `things`, at most `width` at one time, and gives the results in no order. The first failure ends
/// it.
pub(crate) async fn spread<T, R, F>(
    things: impl IntoIterator<Item = T>,
    width: usize,
    mut work: impl FnMut(T) -> F,
) -> Result<Vec<R>, Failure>
where
    R: Send + 'static,
    F: Future<Output = Result<R, Failure>> + Send + 'static,
{
    let mut results = Vec::new();
    let mut at_work = JoinSet::new();
    for thing in things {
        if at_work.len() >= width {
            take(&mut at_work, &mut results).await?;
        }
        at_work.spawn(work(thing));
    }
    while !at_work.is_empty() {
        take(&mut at_work, &mut results).await?;
    }
    Ok(results)
}

async fn take<R: 'static>(
    at_work: &mut JoinSet<Result<R, Failure>>,
    results: &mut Vec<R>,
) -> Result<(), Failure> {
    if let Some(done) = at_work.join_next().await {
        // Nobody aborts these tasks, so a missing result is a panic: go on with it.
        results.push(done.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_is_done_and_the_first_failure_ends_it() {
        let mut doubled = spread(0..100, 7, |n| async move { Ok(2 * n) }).await.unwrap();
        doubled.sort_unstable();
        assert_eq!(doubled, (0..200).step_by(2).collect::<Vec<_>>());
        let failing = |n: u32| async move {
            if n == 5 { Err(Failure::Usage("five".to_owned())) } else { Ok(n) }
        };
        let said = spread(0..100, 7, failing).await.unwrap_err().to_string();
        assert_eq!(said, "five");
    }
}
