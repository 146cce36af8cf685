//! What goes wrong in a run, and when.

use crate::disk::Loss;
use crate::fault::Fault;
use crate::net::Weather;
use crate::plugins::Health;
use crate::rng::Rng;
use kinfold_protocol::catalogue::MemberChange;
use kinfold_protocol::id::NodeId;
use kinfold_protocol::layout::Member;

/// Faults of a run of `chaos` microseconds, at their times.
pub(crate) fn faults(
    rng: &mut Rng,
    nodes: usize,
    chaos: u64,
    weather: Weather,
) -> Vec<(u64, Fault)> {
    // Some kinds of fault are frequent in one run and absent from another, so that each also meets a world without the
    // others.
    let kinds: Vec<u64> = (0..KINDS).filter(|_| rng.chance(600)).collect();
    let mut faults = Vec::new();
    if kinds.is_empty() {
        return faults;
    }
    let count = chaos / rng.within(150_000..=1_500_000);
    for _ in 0..count {
        let at = rng.below(chaos);
        let lasts = rng.spread(400_000);
        let node = rng.index(nodes);
        match rng.pick(&kinds) {
            0 => faults.push((at, Fault::Crash { node, loss: Loss::Some, down: lasts })),
            1 => faults.push((at, Fault::Crash { node, loss: Loss::Nothing, down: lasts })),
            2 => faults.push((at, Fault::Stop { node, down: lasts })),
            3 => {
                faults.push((at, Fault::Cut(cut(rng, nodes))));
                faults.push((at + lasts, Fault::Mend));
            }
            4 => faults.push((at, Fault::Freeze { node, lasts })),
            5 => faults.push((at, Fault::StepClock { node, by: clock_step(rng) })),
            6 => {
                let delay = rng.within(20_000..=300_000);
                faults.push((at, Fault::DiskDelay { node, delay }));
                faults.push((at + lasts, Fault::DiskDelay { node, delay: rng.within(50..=3_000) }));
            }
            7 => {
                faults.push((at, Fault::DiskFull { node, full: true }));
                faults.push((at + lasts, Fault::DiskFull { node, full: false }));
            }
            8 => faults.push((at, Fault::DiskFails { node, down: lasts })),
            9 => {
                let health = *rng.pick(&[Health::Missing, Health::Failing(500)]);
                faults.push((at, Fault::Plugins { node, health }));
                faults.push((at + 2 * lasts, Fault::Plugins { node, health: Health::Working }));
            }
            10 => {
                // Everybody loses power at one time.
                for node in 0..nodes {
                    let down = lasts + rng.below(200_000);
                    faults.push((at, Fault::Crash { node, loss: Loss::Some, down }));
                }
            }
            11 | 12 => {
                // Back soon, so that it coordinates the same keys again before others have told it what it lost.
                let down = rng.within(1_000..=50_000);
                faults.push((at, Fault::Ambush { node, down }));
            }
            _ => {
                let worse = Weather { loss: 300, straggling: 200, ..weather };
                faults.push((at, Fault::Weather(worse)));
                faults.push((at + lasts, Fault::Weather(weather)));
            }
        }
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

/// One disk that is lost, and perhaps an old copy of it that comes back.
pub(crate) fn lost_disk(rng: &mut Rng, nodes: usize, chaos: u64) -> Vec<(u64, Fault)> {
    let node = rng.index(nodes);
    let copied = rng.below(chaos / 2);
    let lost = rng.within(copied..=chaos);
    let (restored, down) = (rng.chance(700), rng.spread(200_000));
    vec![(copied, Fault::BackUp { node }), (lost, Fault::LoseDisk { node, restored, down })]
}

/// A disk whose records become unreadable, one after the other, and a shell that notices.
pub(crate) fn damaged_disk(rng: &mut Rng, nodes: usize, chaos: u64) -> Vec<(u64, Fault)> {
    let node = rng.index(nodes);
    let times = rng.within(1..=6);
    let damage = (0..times).flat_map(|_| {
        let at = rng.below(chaos);
        let noticed = at + rng.spread(300_000);
        [(at, Fault::Damage { node }), (noticed, Fault::Heal { node })]
    });
    damage.collect()
}

/// Kinds of faults above.
const KINDS: u64 = 14;

/// Cuts some nodes off from the others: both ways, one way, or single connections.
fn cut(rng: &mut Rng, nodes: usize) -> Vec<(usize, usize)> {
    let side: Vec<bool> = (0..nodes).map(|_| rng.chance(400)).collect();
    let pairs = (0..nodes).flat_map(|from| (0..nodes).map(move |to| (from, to)));
    let kind = rng.below(3);
    pairs
        .filter(|(from, to)| {
            from != to
                && match kind {
                    0 => side[*from] != side[*to],
                    1 => side[*from] && !side[*to],
                    _ => rng.chance(200),
                }
        })
        .collect()
}

/// A step of a clock, in microseconds: seconds or minutes, rarely more than others believe.
fn clock_step(rng: &mut Rng) -> i64 {
    let most = *rng.pick(&[2_000_000, 20_000_000, 200_000_000, 400_000_000]);
    rng.below(2 * most) as i64 - most as i64
}

/// What operators do to the ring meanwhile: they stage, commit, at two nodes at once now and then, and take back.
pub(crate) fn reshaping(
    rng: &mut Rng,
    nodes: &[NodeId],
    spares: &[Member],
    chaos: u64,
) -> Vec<(u64, Fault)> {
    let mut faults = Vec::new();
    for round in 0..rng.within(1..=4) {
        let begin = chaos / 5 * round + rng.below(chaos / 5);
        for _ in 0..rng.within(1..=2) {
            let spare = rng.pick(spares).clone();
            let id = *rng.pick(nodes);
            let (id, what) = match rng.below(6) {
                0..3 => (spare.id, MemberChange::Join(spare)),
                3 => (id, MemberChange::Leave { lost: false }),
                4 => (id, MemberChange::Replace { by: spare, lost: false }),
                _ => (id, MemberChange::SetCapacity(rng.within(50..=200) as u32)),
            };
            faults.push((begin, Fault::Stage { node: rng.index(nodes.len()), id, what }));
        }
        for again in 1..=rng.within(2..=5) {
            let at = begin + again * rng.within(100_000..=400_000);
            faults.push((at, Fault::Commit { node: rng.index(nodes.len()) }));
            if rng.chance(300) {
                faults.push((at, Fault::Commit { node: rng.index(nodes.len()) }));
            }
        }
        if rng.chance(300) {
            let at = begin + rng.within(200_000..=2_000_000);
            faults.push((at, Fault::Abort { node: rng.index(nodes.len()) }));
        }
    }
    faults
}
