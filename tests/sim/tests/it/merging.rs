//! Merges that meet merges: what several nodes fold at once must not set them off against each other.

use std::collections::BTreeSet;

use kinfold_protocol::config::{BucketConfig, Consistency, Mode, Tombstones};
use sim::plugins::UNION;
use sim::stage::Stage;

fn writes(stage: &Stage) -> u64 {
    stage.world.machines.iter().map(|machine| machine.disk.key_writes()).sum()
}

/// Three owners, each alone with a write of its own, meet again and are all read at once, again and again: all of them fold,
/// and send each other what they made of it. Where a fold is a write of its own (a new dot at each coordinator), every fold
/// calls for the next one and the writes never stop.
fn meet(mode: Mode) -> Stage {
    let config = BucketConfig { mode, ..BucketConfig::default() };
    let mut stage = Stage::new(3, config, None);
    let owners = stage.owners.clone();
    for owner in &owners {
        stage.cut_off(&[*owner]);
    }
    for owner in &owners {
        let line = format!("line-{owner}\n");
        stage.put(*owner, &line, None, Some(1)).expect("one owner is asked for");
    }
    let before = writes(&stage);
    stage.world.net.mend();
    for _ in 0..10 {
        stage.get_everywhere_at_once();
        stage.world.run(stage.world.now + 700);
    }
    stage.pass(20);
    assert!(writes(&stage) > before, "they met");
    stage
}

fn rest(mut stage: Stage) {
    let settled = writes(&stage);
    for _ in 0..10 {
        stage.get_everywhere_at_once();
        stage.pass(1);
    }
    stage.pass(400);
    assert_eq!(writes(&stage), settled, "reads and exchanges go on writing");
    let all: BTreeSet<String> = ["line-0\nline-1\nline-2\n".to_owned()].into();
    for owner in stage.owners.clone() {
        let (values, found) = stage.get(owner, Consistency::Strict).expect("all is well");
        assert_eq!((values, found.merge_failure), (all.clone(), None));
    }
}

#[test]
fn three_owners_that_fold_the_same_siblings_at_once_come_to_rest() {
    let plugin = UNION.into();
    rest(meet(Mode::Lattice { plugin, tombstones: Tombstones::Reset }));
}

#[test]
fn three_owners_that_view_the_same_siblings_at_once_write_nothing_of_it() {
    rest(meet(Mode::Resolver { plugin: UNION.into() }));
}
