#![forbid(unsafe_code)]
//! The checker of linearizability, judged by `stateright`'s tester. It tries all orders without a memory, so histories have to be
//! small; `tests/sim/tests/it/judges.rs` has large ones judged by another.

#[cfg(test)]
mod tests {
    use kinfold_protocol::id::Key;
    use kinfold_protocol::message::client::Code;
    use sim::history::{Expected, History, Kind, Op, Outcome};
    use sim::register::{
        Asked, State, Told, Turn, beginning, is_in_order, key, moments, random, turns,
    };
    use sim::rng::Rng;
    use sim::storm;
    use stateright::semantics::write_once_register::{WORegister, WORegisterOp, WORegisterRet};
    use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

    #[derive(Clone, Debug)]
    struct Register(State);

    impl SequentialSpec for Register {
        type Op = Asked;
        type Ret = Told;

        fn invoke(&mut self, asked: &Asked) -> Told {
            let (next, told) = self.0.take(*asked);
            self.0 = next;
            told
        }

        fn is_valid_step(&mut self, asked: &Asked, told: &Told) -> bool {
            let may = self.0.may_tell(*asked, *told);
            if may && *told == Told::Made {
                self.0 = self.0.take(*asked).0;
            }
            may
        }
    }

    /// What stateright says of these: each turn is a thread of its own.
    fn judged<S>(
        start: S,
        turns: &[Turn],
        ask: impl Fn(&Turn) -> S::Op,
        tell: impl Fn(Told) -> S::Ret,
    ) -> bool
    where
        S: SequentialSpec + Clone,
        S::Op: Clone + std::fmt::Debug,
        S::Ret: Clone + std::fmt::Debug,
    {
        let mut tester = LinearizabilityTester::new(start);
        for (number, answers) in moments(turns) {
            let turn = &turns[number];
            match turn.told.filter(|_| answers) {
                Some(told) => tester.on_return(number, tell(told)).expect("it was asked"),
                None => tester.on_invoke(number, ask(turn)).expect("a thread is asked once"),
            };
        }
        tester.is_consistent()
    }

    fn agreed(history: &History, key: &Key, what: &str) -> bool {
        let turns = turns(history, key);
        let ours = is_in_order(history, key);
        let theirs = judged(Register(State::New), &turns, |turn| turn.asked, |told| told);
        assert_eq!(ours, theirs, "{what}: {turns:#?}");
        ours
    }

    #[test]
    fn stateright_agrees_about_random_histories() {
        let mut rng = Rng::new(2);
        let in_order =
            (0..20_000).filter(|n| agreed(&random(&mut rng), &key(), &n.to_string())).count();
        println!("{in_order} of 20000 are in order");
        assert!((5_000..15_000).contains(&in_order), "{in_order} of 20000 are in order");
    }

    #[test]
    fn stateright_agrees_about_the_beginnings_of_storms() {
        for seed in 0..300 {
            let history = storm::run_with_history(seed, None).1;
            for most in [6, 8, 10] {
                agreed(&beginning(&history, &key(), most), &key(), &format!("storm {seed}"));
            }
        }
    }

    /// What stateright itself has as a register that is written once: puts on the condition that nothing is there, and reads.
    fn write_once(history: &History) -> History {
        let mut once = History::default();
        for mut op in history.of(&key()).cloned().collect::<Vec<Op>>() {
            match (&op.kind, op.expected, &op.outcome) {
                (Kind::Get { .. }, _, _) => {}
                // A put that was not made is a read.
                (Kind::Put(_), Some(Expected::Nothing), Outcome::Conflict { values, .. }) => {
                    op.outcome = Outcome::Found { values: values.clone(), deleted: false };
                    (op.kind, op.expected) = (Kind::Get { r: 2, strict: true }, None);
                }
                (Kind::Put(_), Some(Expected::Nothing), _) => {}
                (_, _, _) => op.outcome = Outcome::Refused(Code::Unavailable),
            }
            once.invoke(op);
        }
        once
    }

    #[test]
    fn the_register_of_stateright_that_is_written_once_agrees() {
        let mut rng = Rng::new(3);
        let ask = |turn: &Turn| match turn.asked {
            Asked::Change { next: State::Value(id), .. } => WORegisterOp::Write(id),
            Asked::Change { .. } | Asked::Read => WORegisterOp::Read,
        };
        let tell = |told: Told| match told {
            Told::Made => WORegisterRet::WriteOk,
            Told::Holds(value) => WORegisterRet::ReadOk(value),
            Told::Nonsense => WORegisterRet::WriteFail,
        };
        let mut in_order = 0;
        for n in 0..20_000 {
            let history = write_once(&random(&mut rng));
            let turns = turns(&history, &key());
            let ours = is_in_order(&history, &key());
            let theirs = judged(WORegister::<u32>(None), &turns, ask, tell);
            assert_eq!(ours, theirs, "{n}: {turns:#?}");
            in_order += u32::from(ours);
        }
        println!("{in_order} of 20000 are in order");
        assert!((5_000..16_000).contains(&in_order), "{in_order} of 20000 are in order");
    }
}
