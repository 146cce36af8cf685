//! The checker of linearizability, judged by the one of `todc-utils` (Wing and Gong 1993, with the memory of Lowe 2017).

use sim::history::History;
use sim::register::{
    Asked, State, Told, Turn, beginning, is_in_order, key, moments, random, turns,
};
use sim::rng::Rng;
use sim::run::run;
use sim::storm;
use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::Action::{Call, Response};
use todc_utils::specifications::Specification;

/// A register whose clients may not know what came of what they asked.
struct Register;

impl Specification for Register {
    type State = State;
    type Operation = (Asked, Option<Told>);

    fn init() -> State {
        State::New
    }

    fn apply((asked, told): &Self::Operation, state: &State) -> (bool, State) {
        match told {
            Some(Told::Made) | None => {
                (told.is_none_or(|told| state.may_tell(*asked, told)), state.take(*asked).0)
            }
            Some(told) => (state.may_tell(*asked, *told), *state),
        }
    }
}

/// What the other checker says. What nobody knows the fate of ends after everything else, where it may as well not have happened.
fn judged(turns: &[Turn]) -> bool {
    let moments = moments(turns);
    let unknown = (0..turns.len()).filter(|at| turns[*at].told.is_none()).map(|at| (at, true));
    let actions: Vec<_> = moments
        .into_iter()
        .chain(unknown)
        .map(|(number, answers)| {
            let operation = (turns[number].asked, turns[number].told);
            (number, if answers { Response(operation) } else { Call(operation) })
        })
        .collect();
    actions.is_empty()
        || WGLChecker::<Register>::is_linearizable(todc_utils::History::from_actions(actions))
}

/// Our verdict, if it is theirs.
fn agreed(history: &History, key: &kinfold_protocol::id::Key, what: &str) -> bool {
    let turns = turns(history, key);
    let ours = is_in_order(history, key);
    assert_eq!(ours, judged(&turns), "{what}: {turns:#?}");
    ours
}

#[test]
fn todc_agrees_about_random_histories() {
    let mut rng = Rng::new(1);
    let in_order =
        (0..20_000).filter(|n| agreed(&random(&mut rng), &key(), &n.to_string())).count();
    assert!((5_000..15_000).contains(&in_order), "{in_order} of 20000 are in order");
}

/// So many turns of unknown fate the other checker is given: it tries each of them at every place, or after all the others.
const MOST_UNKNOWN: usize = 10;

/// As much of a history as the other checker can judge, and whether that is all of it.
fn judgeable(history: &History, key: &kinfold_protocol::id::Key) -> (History, bool) {
    let unknown = |history: &History| {
        turns(history, key).iter().filter(|turn| turn.told.is_none()).count() <= MOST_UNKNOWN
    };
    if unknown(history) {
        return (history.clone(), true);
    }
    let shorter = [80, 60, 40, 30, 20, 10].map(|most| beginning(history, key, most));
    let found = shorter.into_iter().find(unknown);
    (found.unwrap_or_else(|| beginning(history, key, MOST_UNKNOWN)), false)
}

#[test]
fn todc_agrees_about_what_the_simulator_recorded() {
    let (mut keys, mut whole) = (0, 0);
    for seed in 0..60 {
        let history = run(seed, None, false).history;
        let registers: std::collections::BTreeSet<_> = history
            .ops()
            .iter()
            .map(|op| &op.key)
            .filter(|key| key.bucket.as_str() == "registers")
            .collect();
        for key in registers {
            keys += 1;
            let (judged, all) = judgeable(&history, key);
            whole += usize::from(all);
            agreed(&judged, key, &format!("seed {seed}"));
        }
    }
    assert!(keys >= 30 && whole >= 20, "{whole} of {keys} registers whole");
    for seed in 0..60 {
        let history = storm::run_with_history(seed, None).1;
        agreed(&judgeable(&history, &key()).0, &key(), &format!("storm {seed}"));
        agreed(&beginning(&history, &key(), 12), &key(), &format!("beginning of storm {seed}"));
    }
}

/// Storms whose order a planted bug spoils.
#[cfg(feature = "planted")]
#[test]
fn todc_agrees_about_what_planted_bugs_spoil() {
    use kinfold_protocol::planted::Bug;
    let mut wrong = 0;
    for seed in 0..60 {
        for bug in [Bug::LostProposal, Bug::RefusalAsAccept] {
            let history = storm::run_with_history(seed, Some(bug)).1;
            let (judged, _) = judgeable(&history, &key());
            wrong += u32::from(!agreed(&judged, &key(), &format!("storm {seed} {bug:?}")));
        }
    }
    assert!(wrong >= 10, "{wrong} storms were out of order");
}
