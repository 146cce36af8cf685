//! Components that mean harm, or that no compiler would make.

use kinfold_protocol::merge::{MergeFailure, MergeResult};
use kinfold_sandbox::{MergeOutcome, Plugin};

use crate::support::{ENGINE, any_request, component, module};

fn run(component: &[u8]) -> MergeOutcome {
    let plugin = Plugin::load(&ENGINE, component).unwrap();
    let outcome = plugin.merge(&any_request("hostile"));
    assert_eq!(plugin.merge(&any_request("hostile")), outcome, "a second run differs");
    outcome
}

fn merge(body: &str) -> MergeResult {
    run(&component(body)).result
}

fn bad_result(result: &MergeResult) -> bool {
    matches!(result, Err(MergeFailure::BadResult(_)))
}

#[test]
fn an_answer_of_zeros_is_a_delete() {
    assert_eq!(merge("i32.const 0"), Ok(None));
}

#[test]
fn traps_are_reported() {
    let Err(MergeFailure::Trap(reason)) = merge("unreachable") else {
        panic!("not a trap");
    };
    assert!(reason.contains("unreachable"), "{reason}");
    for body in ["(i32.div_u (i32.const 1) (i32.const 0))", "(i32.load (i32.const 65536))"] {
        assert!(matches!(merge(body), Err(MergeFailure::Trap(_))));
    }
}

#[test]
fn an_endless_loop_runs_out_of_fuel() {
    let outcome = run(&component("(loop $l (br $l)) i32.const 0"));
    assert_eq!(outcome.result, Err(MergeFailure::OutOfFuel));
    assert!(outcome.fuel >= 10_000_000);
}

#[test]
fn endless_recursion_overflows_the_stack() {
    let items = r#"(memory (export "memory") 1) (func $f (call $f))"#;
    let outcome = run(&module(items, "(call $f) i32.const 0"));
    assert!(matches!(outcome.result, Err(MergeFailure::Trap(_))));
}

#[test]
fn a_memory_bomb_is_stopped_at_the_limit() {
    for pages in [1, 1_000, 65_535] {
        let body =
            format!("(loop $l (drop (memory.grow (i32.const {pages}))) (br $l)) i32.const 0");
        assert_eq!(merge(&body), Err(MergeFailure::OutOfMemory));
    }
}

#[test]
fn several_memories_share_one_limit() {
    let items = r#"(memory (export "memory") 1) (memory $other 1)"#;
    let grow = "(drop (memory.grow (i32.const 300))) (drop (memory.grow $other (i32.const 300))) i32.const 0";
    assert_eq!(run(&module(items, grow)).result, Err(MergeFailure::OutOfMemory));
}

#[test]
fn a_table_bomb_is_stopped() {
    let items = r#"(memory (export "memory") 1) (table $t 1 funcref)"#;
    let body =
        "(loop $l (drop (table.grow $t (ref.null func) (i32.const 10000))) (br $l)) i32.const 0";
    assert_eq!(run(&module(items, body)).result, Err(MergeFailure::OutOfMemory));
}

#[test]
fn results_that_can_not_be_taken_are_refused() {
    // Out of the memory; not aligned; a case that doesn't exist; a list longer than the memory.
    for body in [
        "i32.const 65536",
        "i32.const 1",
        "(i32.store8 (i32.const 0) (i32.const 7)) i32.const 0",
        "(i32.store8 (i32.const 4) (i32.const 1)) (i32.store (i32.const 12) (i32.const 100000)) i32.const 0",
        "(i32.store8 (i32.const 4) (i32.const 1)) (i32.store (i32.const 12) (i32.const -1)) i32.const 0",
    ] {
        let result = merge(body);
        assert!(bad_result(&result), "{body}: {result:?}");
    }
}

#[test]
fn a_result_may_be_as_large_as_a_value_and_no_larger() {
    // ok(some(the first bytes of the memory))
    let answer = |size: u32| {
        merge(&format!(
            "(drop (memory.grow (i32.const 490))) (i32.store8 (i32.const 4) (i32.const 1))
             (i32.store (i32.const 12) (i32.const {size})) i32.const 0"
        ))
    };
    let largest = 16 * 1024 * 1024;
    let value = answer(largest).unwrap().unwrap();
    assert_eq!(value.len(), 16 * 1024 * 1024);
    // Just above it was copied before it was refused; far above it was not.
    for size in [largest + 1, 30 * 1024 * 1024] {
        let result = answer(size);
        assert!(bad_result(&result), "{result:?}");
    }
}

#[test]
fn the_last_error_before_a_trap_is_the_reason() {
    let items = r#"(memory (export "memory") 1) (data (i32.const 64) "first second")"#;
    let say = |level: u32, at: u32, size: u32| {
        format!("(call $log (i32.const {level}) (i32.const {at}) (i32.const {size}))")
    };
    let both = format!("{} {}", say(3, 64, 5), say(3, 70, 6));
    let outcome = run(&module(items, &format!("{both} unreachable")));
    assert_eq!(outcome.result, Err(MergeFailure::Internal("second".into())));
    assert_eq!(outcome.log.len(), 2);
    // Without a trap it is only a message, and a lesser level gives no reason.
    let outcome = run(&module(items, &format!("{both} i32.const 0")));
    assert_eq!(outcome.result, Ok(None));
    let outcome = run(&module(items, &format!("{} unreachable", say(1, 64, 5))));
    assert!(matches!(outcome.result, Err(MergeFailure::Trap(_))));
}

#[test]
fn a_flood_of_messages_costs_fuel_and_is_cut() {
    // 30 000 bytes at a time, which are zeros, for ever.
    let body = "(loop $l (call $log (i32.const 3) (i32.const 1024) (i32.const 30000)) (br $l)) i32.const 0";
    let outcome = run(&component(body));
    assert_eq!(outcome.result, Err(MergeFailure::OutOfFuel));
    assert!(outcome.log.len() <= 16);
    assert!(outcome.log.iter().all(|line| line.message.len() == 1024));
}

#[test]
fn messages_that_are_not_text_are_replaced() {
    let items = r#"(memory (export "memory") 1) (data (i32.const 64) "\ff\fe")"#;
    let body = "(call $log (i32.const 1) (i32.const 64) (i32.const 2)) i32.const 0";
    let outcome = run(&module(items, body));
    assert_eq!(outcome.result, Ok(None));
    assert_eq!(outcome.log[0].message, "(not text)");
}

#[test]
fn not_a_number_has_one_form() {
    // 0/0 with the sign of the dividend: which bits that gives depends on the processor, unless made canonical.
    let body = "(i32.store8 (i32.const 4) (i32.const 1)) (i32.store (i32.const 8) (i32.const 64))
        (i32.store (i32.const 12) (i32.const 4))
        (f32.store (i32.const 64) (f32.div (f32.const -0) (f32.const 0))) i32.const 0";
    let value = merge(body).unwrap().unwrap();
    assert_eq!(value[..], 0x7fc0_0000u32.to_le_bytes());
}
