//! The checkers on histories that nobody saw from inside, as those of a cluster of processes: hand-made, and each wrong in one way.

use sim::history::{Kind, Outcome};
use sim::keyspace::Semantics;

use crate::case::Case;

const NONE: [&str; 0] = [];

#[test]
fn a_lost_write_is_found() {
    for semantics in [Semantics::Causal, Semantics::CausalSets, Semantics::Union] {
        let case = || {
            let mut case = Case::from_outside(semantics);
            case.put(0, &[]);
            case.put(20, &[]);
            case
        };
        assert_eq!(case().found(&[0, 1]), NONE);
        assert_eq!(case().found(&[1]), ["acknowledged"]);
    }
}

#[test]
fn a_set_that_was_emptied_excuses_what_is_missing() {
    let mut case = Case::from_outside(Semantics::Union);
    case.put(0, &[]);
    case.op(20, Kind::Delete, &[], Outcome::Unknown);
    assert_eq!(case.found(&[]), NONE);
}

#[test]
fn what_was_replaced_and_is_back_is_found_if_one_node_alone_made_it() {
    for (once, expected) in [(true, &["resurrected"][..]), (false, &[])] {
        let mut case = Case::from_outside(Semantics::Causal);
        case.put(0, &[]);
        if once {
            case.history.ask_once(sim::history::OpId(0));
        }
        case.put(20, &[0]);
        assert_eq!(case.found(&[0, 1]), expected);
    }
}

#[test]
fn a_value_that_nobody_wrote_is_found() {
    let mut case = Case::from_outside(Semantics::Causal);
    case.put(0, &[]);
    case.read(20, &[0, 7]);
    assert_eq!(case.found(&[0]), ["invented"]);
}

#[test]
fn a_strict_read_that_goes_back_is_found_unless_a_disk_was_lost() {
    for (exposed, expected) in [(false, &["monotonic"][..]), (true, &[])] {
        let mut case = Case::from_outside(Semantics::Causal);
        case.spot.exposed = exposed;
        case.put(0, &[]);
        case.put(20, &[0]);
        case.read(40, &[0]);
        assert_eq!(case.found(&[1]), expected);
    }
}

#[test]
fn a_register_out_of_order_is_found() {
    let mut case = Case::from_outside(Semantics::Register);
    case.put(0, &[]);
    case.put(20, &[0]);
    case.read(40, &[0]);
    assert_eq!(case.found(&[1]), ["linearizable"]);
}

#[test]
fn replicas_that_differ_and_copies_left_elsewhere_are_found() {
    let case =
        |held: &[(usize, &[u64])]| Case::from_outside(Semantics::Causal).holds(held).found(&[]);
    assert_eq!(case(&[(0, &[1]), (1, &[1]), (2, &[1])]), NONE);
    assert_eq!(case(&[(0, &[1]), (1, &[1, 2]), (2, &[1])]), ["equal"]);
    assert_eq!(case(&[(0, &[1]), (1, &[1])]), ["equal"]);
    assert_eq!(case(&[(0, &[1]), (1, &[1]), (2, &[1]), (3, &[1])]), ["settled"]);
}
