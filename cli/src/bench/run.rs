//! The closed loop: each client sends its next request when the last one is answered.
//!
//! A closed loop asks no faster than it is answered, so its percentiles say how long requests take at this load, and not
//! what happens when more arrives than the cluster can take.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use indicatif::ProgressBar;
use tokio::task::JoinSet;

use super::measure::{Measured, cpu_time};
use super::workload::{Client, Request, Workload};

/// How often progress is shown.
const TICK: Duration = Duration::from_millis(100);

/// What a request ended with if not with what was asked for: a word to count it by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Failed(pub(crate) String);

/// Whoever the requests go to.
pub(crate) trait Target: Clone + Send + Sync + 'static {
    /// What the answer to a write gives to the next write of the key.
    type Seen: Clone + Send + 'static;

    /// Writes a value. `client` is the number of the client that asks.
    fn put(
        &self,
        client: u64,
        key: Bytes,
        value: Bytes,
        seen: Option<Self::Seen>,
    ) -> impl Future<Output = Result<Self::Seen, Failed>> + Send;

    /// Reads the value of a key.
    fn get(&self, client: u64, key: Bytes) -> impl Future<Output = Result<Bytes, Failed>> + Send;
}

/// When a run ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After this time.
    Time(Duration),
    /// After so many requests.
    Requests(u64),
}

/// A target with its clients, which live on from one run to the next.
pub(crate) struct Loop<T: Target> {
    target: T,
    workload: Arc<Workload>,
    clients: Vec<Client<T::Seen>>,
}

/// What the clients of one run share.
struct Run {
    workload: Arc<Workload>,
    window: Window,
    /// Requests that were answered.
    done: AtomicU64,
}

/// What a request was begun for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// To warm up, before counting began.
    WarmUp,
    /// It is one of those that were asked for.
    Asked,
}

/// Which requests of a run are made, and which of them are counted.
pub(super) struct Window {
    /// Requests that may still be begun.
    left: AtomicI64,
    /// When counting begins.
    pub(super) begin: Instant,
    /// When it ends, if that is a matter of time.
    pub(super) end: Option<Instant>,
}

impl<T: Target> Loop<T> {
    /// Clients that have not asked anything yet.
    pub(crate) fn new(target: T, workload: Arc<Workload>) -> Self {
        let clients = (0..workload.clients).map(|number| workload.client(number)).collect();
        Self { target, workload, clients }
    }

    /// Writes all keys once.
    pub(crate) async fn fill(&mut self, bar: &ProgressBar) -> Measured {
        let run = Arc::new(self.begin(Duration::ZERO, Until::Requests(self.workload.keys)));
        let mut tasks = JoinSet::new();
        for (number, mut client) in (0..).zip(self.clients.drain(..)) {
            let (run, target) = (Arc::clone(&run), self.target.clone());
            tasks.spawn(async move {
                let mut measured = Measured::default();
                for request in run.workload.filling(number) {
                    let turn = Turn::Asked;
                    ask(&target, &run, number, &mut client, turn, request, &mut measured).await;
                }
                (number, client, measured)
            });
        }
        self.gather(tasks, &run, bar).await
    }

    /// Runs `warm_up` without counting, and then counts.
    pub(crate) async fn run(
        &mut self,
        warm_up: Duration,
        until: Until,
        bar: &ProgressBar,
    ) -> Measured {
        let run = Arc::new(self.begin(warm_up, until));
        let mut tasks = JoinSet::new();
        for (number, mut client) in (0..).zip(self.clients.drain(..)) {
            let (run, target) = (Arc::clone(&run), self.target.clone());
            tasks.spawn(async move {
                let mut measured = Measured::default();
                while let Some(turn) = run.window.next() {
                    let request = run.workload.next(&mut client);
                    ask(&target, &run, number, &mut client, turn, request, &mut measured).await;
                }
                (number, client, measured)
            });
        }
        self.gather(tasks, &run, bar).await
    }

    fn begin(&self, warm_up: Duration, until: Until) -> Run {
        Run {
            workload: Arc::clone(&self.workload),
            window: Window::new(warm_up, until),
            done: AtomicU64::new(0),
        }
    }

    /// Waits for the clients, and takes the processor time of what is counted.
    async fn gather(
        &mut self,
        mut tasks: JoinSet<(u64, Client<T::Seen>, Measured)>,
        run: &Run,
        bar: &ProgressBar,
    ) -> Measured {
        tokio::time::sleep_until(run.window.begin.into()).await;
        let cpu = cpu_time();
        if let Some(end) = run.window.end {
            while Instant::now() < end {
                bar.set_position(run.done.load(Ordering::Relaxed));
                tokio::time::sleep(TICK.min(end.saturating_duration_since(Instant::now()))).await;
            }
        }
        let spent = cpu_time().saturating_sub(cpu);
        let mut measured = Measured { cpu: spent, ..Measured::default() };
        let mut clients = Vec::new();
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    Some(Ok((number, client, part))) => {
                        clients.push((number, client));
                        measured.add(&part);
                    }
                    Some(Err(broken)) => std::panic::resume_unwind(broken.into_panic()),
                    None => break,
                },
                _ = ticks.tick() => bar.set_position(run.done.load(Ordering::Relaxed)),
            }
        }
        match run.window.end {
            Some(end) => measured.time = end.duration_since(run.window.begin),
            None => {
                measured.time = run.window.begin.elapsed();
                measured.cpu = cpu_time().saturating_sub(cpu);
            }
        }
        bar.set_position(run.done.load(Ordering::Relaxed));
        clients.sort_by_key(|(number, _)| *number);
        self.clients = clients.into_iter().map(|(_, client)| client).collect();
        measured
    }
}

impl Window {
    /// Counts after `warm_up`.
    pub(super) fn new(warm_up: Duration, until: Until) -> Self {
        let begin = Instant::now() + warm_up;
        let (left, end) = match until {
            Until::Time(time) => (i64::MAX, Some(begin + time)),
            Until::Requests(n) => (i64::try_from(n).unwrap_or(i64::MAX), None),
        };
        Self { left: AtomicI64::new(left), begin, end }
    }

    /// As what one more request may begin, if it may.
    pub(super) fn next(&self) -> Option<Turn> {
        let now = Instant::now();
        let turn = if now < self.begin { Turn::WarmUp } else { Turn::Asked };
        let goes_on = match (self.end, turn) {
            (Some(end), _) => now < end,
            (None, Turn::WarmUp) => true,
            (None, Turn::Asked) => self.left.fetch_sub(1, Ordering::Relaxed) > 0,
        };
        goes_on.then_some(turn)
    }

    /// Is a request that ended at this moment counted? Of a time, what ends in it, since what began before its start makes up for
    /// what ends after its end; of a number, those that were asked for.
    pub(super) fn counts(&self, turn: Turn, ended: Instant) -> bool {
        match self.end {
            Some(end) => ended >= self.begin && ended < end,
            None => turn == Turn::Asked,
        }
    }
}

/// Asks once, and counts it where it counts.
async fn ask<T: Target>(
    target: &T,
    run: &Run,
    number: u64,
    client: &mut Client<T::Seen>,
    turn: Turn,
    request: Request,
    measured: &mut Measured,
) {
    let is_put = matches!(request, Request::Put { .. });
    let began = Instant::now();
    let (outcome, ended) = match request {
        Request::Put { number: kept, key, value } => {
            let seen = kept.and_then(|key| client.seen.get(&key).cloned());
            let outcome = target.put(number, key, value, seen).await;
            let ended = Instant::now();
            let outcome = outcome.map(|seen| {
                if let Some(key) = kept {
                    client.seen.insert(key, seen);
                }
            });
            (outcome, ended)
        }
        Request::Get { key, expected } => {
            let outcome = target.get(number, key).await;
            let ended = Instant::now();
            let outcome = outcome.and_then(|found| match expected {
                Some(expected) if expected != found => Err(Failed("wrong_bytes".to_owned())),
                Some(_) | None => Ok(()),
            });
            (outcome, ended)
        }
    };
    run.done.fetch_add(1, Ordering::Relaxed);
    if run.window.counts(turn, ended) {
        measured.count(is_put, ended - began, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_number_exactly_so_many_are_counted_whenever_the_others_end() {
        let window = Window::new(Duration::ZERO, Until::Requests(2));
        let turns: Vec<_> = std::iter::from_fn(|| window.next()).collect();
        assert_eq!(turns, [Turn::Asked, Turn::Asked]);
        assert!(turns.iter().all(|turn| window.counts(*turn, Instant::now())));

        let hour = Duration::from_secs(3_600);
        let window = Window::new(hour, Until::Requests(2));
        let turns: Vec<_> = std::iter::from_fn(|| window.next()).take(5).collect();
        assert_eq!(turns, [Turn::WarmUp; 5]);
        assert!(!turns.iter().any(|turn| window.counts(*turn, window.begin + hour)));
    }

    #[test]
    fn of_a_time_what_ends_in_it_is_counted_whenever_it_began() {
        let second = Duration::from_secs(1);
        let window = Window::new(second, Until::Time(second));
        let ends = [window.begin - second / 2, window.begin, window.begin + second];
        assert_eq!(ends.map(|end| window.counts(Turn::WarmUp, end)), [false, true, false]);
    }
}
