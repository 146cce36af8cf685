//! Changes of the ring, by hand: who may decide one, and that two operators can't both.

use kinfold_protocol::catalogue::MemberChange;
use kinfold_protocol::config::{BucketConfig, GossipLimits, Limits};
use kinfold_protocol::message::client::{Code, Response};
use kinfold_protocol::message::cluster::{ClusterRequest, ClusterResponse};
use kinfold_protocol::planted::Bug;
use kinfold_protocol::time::Duration;
use sim::stage::{PERIOD, Stage, member};

fn limits() -> Limits {
    Limits {
        gossip: GossipLimits { period: Duration(PERIOD), round_trip: Duration(PERIOD / 4) },
        exchange: Duration(2 * PERIOD),
        hello: Duration(2 * PERIOD),
        ..Limits::default()
    }
}

fn stage(nodes: usize, spares: usize, bug: Option<Bug>, seed: u64) -> Stage {
    Stage::with_spares(nodes, spares, BucketConfig::default(), &limits(), bug, seed)
}

/// Stages that this spare node joins.
fn stage_join(stage: &mut Stage, at: usize, spare: usize) {
    let joins = member(spare);
    stage.stage(at, vec![(joins.id, Some(MemberChange::Join(joins)))]);
}

fn code(answer: Option<Response>) -> Option<Code> {
    match answer {
        Some(Response::Failed(failure)) => Some(failure.code),
        _ => None,
    }
}

fn version(answer: Option<Response>) -> Option<u64> {
    match answer {
        Some(Response::Cluster(ClusterResponse::Decided { version })) => Some(version),
        _ => None,
    }
}

#[test]
fn a_plan_is_made_as_it_was_shown_or_not_at_all_and_can_be_taken_back() {
    let mut stage = stage(3, 2, None, 1);
    stage_join(&mut stage, 0, 3);
    let shown = stage.plan(1);
    stage_join(&mut stage, 2, 4);
    stage.pass(5);
    let commit = ClusterRequest::Commit { plan: shown };
    assert_eq!(code(stage.cluster(0, commit)), Some(Code::Outdated));
    let plan = stage.plan(0);
    let before = stage.record(0).version;
    let decided = version(stage.cluster(1, ClusterRequest::Commit { plan }));
    assert_eq!(decided, Some(before + 1));
    stage.pass(2);
    for node in 0..5 {
        assert!(stage.record(node).version > before, "node {node} knows, a new one too");
    }
}

#[test]
fn of_two_who_commit_at_once_one_wins_and_all_agree() {
    for seed in 0..50 {
        let mut stage = stage(3, 2, None, seed);
        stage_join(&mut stage, 0, 3);
        let one = stage.plan(0);
        stage.cut_off(&[2]);
        stage_join(&mut stage, 0, 4);
        let other = stage.plan(0);
        assert_ne!(one, other);
        // The one that was cut off still knows the first plan only, and both are asked at once.
        stage.world.net.mend();
        stage.cluster_meanwhile(2, ClusterRequest::Commit { plan: one });
        stage.cluster_meanwhile(0, ClusterRequest::Commit { plan: other });
        stage.pass(1);
        let records: Vec<_> = (0..3).map(|node| stage.record(node).clone()).collect();
        stage.pass(1);
        let change = stage.record(0).change;
        assert_eq!(change, 1, "seed {seed}: one was decided");
        for node in 0..3 {
            let same = records
                .iter()
                .all(|r| r.version != stage.record(node).version || r == stage.record(node));
            assert!(same, "seed {seed}: one record a version");
        }
    }
}

#[test]
fn a_minority_can_t_change_the_ring_and_goes_on_serving() {
    let mut stage = stage(3, 1, None, 1);
    stage_join(&mut stage, 0, 3);
    let plan = stage.plan(0);
    stage.cut_off(&[0]);
    stage.pass(20);
    let answer = code(stage.cluster(0, ClusterRequest::Commit { plan }));
    assert!(matches!(answer, Some(Code::Unavailable | Code::Unknown)), "{answer:?}");
    assert_eq!(stage.record(0).change, 0);
    assert!(stage.put(0, "value", None, Some(1)).is_some(), "it serves");
    let decided = version(stage.cluster(1, ClusterRequest::Commit { plan }));
    assert!(decided.is_some(), "the majority can");
    stage.mend();
    assert_eq!(stage.record(0).change, 1, "it learns of it");
}

/// A node that missed a change of the ring coordinates a write, before it has heard of the change. Do others take the write?
fn write_by_an_old_layout(bug: Option<Bug>) -> bool {
    let mut stage = stage(3, 1, bug, 1);
    stage_join(&mut stage, 0, 3);
    stage.pass(5);
    let plan = stage.plan(0);
    stage.cut_off(&[2]);
    let decided = version(stage.cluster(0, ClusterRequest::Commit { plan }));
    assert!(decided.is_some(), "a majority is enough");
    stage.pass(2);
    assert!(stage.record(0).version > stage.record(2).version);
    stage.world.net.mend();
    stage.put(2, "value", None, Some(2)).is_some()
}

#[test]
fn nobody_takes_a_write_by_an_older_layout() {
    assert!(!write_by_an_old_layout(None));
    if cfg!(feature = "planted") {
        assert!(write_by_an_old_layout(Some(Bug::StaleLayout)), "the bug is seen");
    }
}
