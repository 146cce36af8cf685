//! Plugins that are installed and changed while the cluster is in use.

use std::collections::BTreeSet;

use kinfold_protocol::config::{BucketConfig, Consistency, Mode, Tombstones};
use sim::checker::equal::unequal;
use sim::fault::Fault;
use sim::keyspace::{Semantics, Spot};
use sim::machine::held;
use sim::plugins::{Health, REVERSED, UNION};
use sim::run::run_changing;
use sim::stage::Stage;

fn hold(seeds: std::ops::Range<u64>) -> u64 {
    let mut epochs = 0;
    for seed in seeds {
        let report = run_changing(seed, false);
        assert!(report.violations.is_empty(), "with changes of plugins: {report}");
        epochs += report.counters.get("epochs_learned").copied().unwrap_or(0);
    }
    epochs
}

/// Under crashes, cuts, loss and late messages, with nodes that learn of a change at different times or lack the plugin.
#[test]
fn seeds_hold_while_the_plugins_of_buckets_change() {
    assert!(hold(0..100) > 100);
}

#[test]
fn more_seeds_hold_while_the_plugins_of_buckets_change() {
    assert!(hold(200..300) > 100);
}

fn config(plugin: &str) -> BucketConfig {
    let mode = Mode::Lattice { plugin: plugin.into(), tombstones: Tombstones::Reset };
    BucketConfig { mode, w: 1, r: 1, ..BucketConfig::default() }
}

/// Five nodes; one owner lacks the new plugin. The bucket changes to it while all owners take writes, and that owner still
/// serves what it has.
#[test]
fn a_bucket_changes_its_plugin_under_load_though_an_owner_lacks_it() {
    let mut stage = Stage::new(5, config(UNION), None);
    let without = stage.owners[2];
    stage.world.machines[without].plugins = Health::Missing;
    Fault::Install { node: stage.others[0], plugin: REVERSED }.strike(&mut stage.world);
    stage.pass(20);

    let mut written = BTreeSet::new();
    for round in 0..40 {
        if round == 10 {
            let (node, bucket) = (stage.others[1], stage.key().bucket.clone());
            Fault::Switch { node, bucket, config: config(REVERSED) }.strike(&mut stage.world);
        }
        let node = stage.owners[round % 3];
        let line = format!("line-{round:02}");
        stage.put(node, &format!("{line}\n"), None, Some(1)).expect("it is acknowledged");
        written.insert(line);
        let (values, _) = stage.get(without, Consistency::Sloppy).expect("it is served");
        assert!(!values.is_empty());
    }
    stage.world.machines[without].plugins = Health::Working;
    stage.pass(600);

    let reversed: String = written.iter().rev().map(|line| format!("{line}\n")).collect();
    assert_eq!(stage.agreed(), BTreeSet::from([reversed]));
    let spot = Spot {
        key: stage.key().clone(),
        config: config(REVERSED),
        semantics: Semantics::Union,
        owners: stage.owners.clone(),
        expires: false,
        least_w: 1,
        exposed: false,
    };
    assert_eq!(unequal(&spot, &held(&stage.world.machines, &spot.key)), None);
    assert_eq!(stage.world.breaches, [""; 0]);
}

/// What a rollback brings back is the plugin from before, also for what the other one folded meanwhile.
#[test]
fn a_rollback_brings_the_plugin_from_before_back() {
    let mut stage = Stage::new(3, config(UNION), None);
    let (node, bucket) = (0, stage.key().bucket.clone());
    Fault::Install { node, plugin: REVERSED }.strike(&mut stage.world);
    stage.pass(5);
    stage.put(0, "b\n", None, Some(1)).unwrap();
    Fault::Switch { node, bucket: bucket.clone(), config: config(REVERSED) }
        .strike(&mut stage.world);
    stage.pass(5);
    stage.put(0, "a\n", None, Some(1)).unwrap();
    let one = |value: &str| BTreeSet::from([value.to_owned()]);
    assert_eq!(stage.agreed(), one("b\na\n"));
    Fault::RollBack { node, bucket }.strike(&mut stage.world);
    stage.pass(5);
    stage.put(0, "c\n", None, Some(1)).unwrap();
    assert_eq!(stage.agreed(), one("a\nb\nc\n"));
}
