//! The gate: nothing old, torn, out of order, absurd or unwanted is ever followed, and each refusal is counted once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::needless_range_loop)]

mod common;

use common::{any_number, fixed_rng, joints, panda};
use decide::gate::{Gate, Moment};
use decide::model::J;
use decide::params::Command;
use layout::{MotionCommand, Reject, Source, sources};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

const MS: i64 = 1_000_000;
const NOW: i64 = 5_000 * MS;
const EPOCH: u64 = 3;
const BOTH: u8 = sources::POLICY | sources::FALLBACK;

fn rules() -> Command {
    panda().command
}

fn gate() -> Gate {
    Gate::new(&rules(), &panda().limits.joints)
}

fn good(seq: u64, created_ns: i64) -> MotionCommand {
    MotionCommand {
        seq,
        epoch: EPOCH,
        created_ns,
        source: Source::Policy.raw(),
        q: joints(&panda().home_rad),
        ..MotionCommand::default()
    }
}

fn offer(gate: &mut Gate, message: &MotionCommand, now_ns: i64, allowed_sources: u8, starting: bool) {
    let pose = joints(&panda().home_rad);
    gate.offer(Source::Policy, message, &Moment { now_ns, epoch: EPOCH, allowed_sources, pose: &pose, starting });
}

/// What a single message does: the reason it is refused for, if it is.
fn judge(message: &MotionCommand) -> Option<Reject> {
    let mut gate = gate();
    offer(&mut gate, message, NOW, BOTH, true);
    let refused = Reject::ALL.iter().find(|r| gate.rejected()[usize::from(r.raw())] > 0).copied();
    assert_eq!(refused.is_none(), gate.choose(NOW, BOTH).is_some());
    assert!(gate.rejected().iter().sum::<u64>() <= 1);
    refused
}

#[test]
fn each_fault_has_its_reason() {
    type Fault = fn(&mut MotionCommand);
    let cases: [(Option<Reject>, Fault); 16] = [
        (None, |_| {}),
        (Some(Reject::Expired), |m| m.created_ns = NOW - 21 * MS),
        (Some(Reject::Expired), |m| m.expires_ns = NOW - 1),
        (Some(Reject::Expired), |m| m.created_ns = -1),
        (Some(Reject::Expired), |m| m.created_ns = i64::MIN),
        (Some(Reject::Future), |m| m.created_ns = NOW + 3 * MS),
        (Some(Reject::Future), |m| m.created_ns = i64::MAX),
        (Some(Reject::OldEpoch), |m| m.epoch = EPOCH - 1),
        (Some(Reject::OldEpoch), |m| m.epoch = 0),
        (Some(Reject::OutOfOrder), |m| m.seq = 0),
        (Some(Reject::NotFinite), |m| m.q[3] = f64::NAN),
        (Some(Reject::NotFinite), |m| m.gripper = f64::INFINITY),
        (Some(Reject::Invalid), |m| m.q[3] = 3.0),
        (Some(Reject::Invalid), |m| m.qd[0] = 100.0),
        (Some(Reject::Invalid), |m| m.source = 200),
        (Some(Reject::StartPose), |m| m.q[0] += 0.3),
    ];
    for (i, (want, fault)) in cases.iter().enumerate() {
        let mut message = good(1, NOW - MS);
        fault(&mut message);
        if message.seq == 0 {
            message.expires_ns = 0; // a slot that nobody wrote is no message: make it one by its time
        }
        assert_eq!(judge(&message), *want, "case {i}");
    }
}

#[test]
fn longer_life_than_the_rule_is_not_granted() {
    let mut gate = gate();
    offer(&mut gate, &MotionCommand { expires_ns: NOW + 1_000 * MS, ..good(1, NOW) }, NOW, BOTH, true);
    assert!(gate.choose(NOW + 20 * MS, BOTH).is_some());
    assert!(gate.choose(NOW + 20 * MS + 1, BOTH).is_none());
}

#[test]
fn message_is_counted_once_however_often_it_is_read() {
    let mut gate = gate();
    let stale = good(1, NOW - 100 * MS);
    for cycle in 0..50 {
        offer(&mut gate, &stale, NOW + cycle * MS, BOTH, true);
    }
    assert_eq!(gate.rejected().iter().sum::<u64>(), 1);
}

#[test]
fn replayed_message_moves_nothing() {
    let mut gate = gate();
    let first = good(5, NOW);
    offer(&mut gate, &first, NOW, BOTH, true);
    offer(&mut gate, &good(6, NOW + MS), NOW + MS, BOTH, true);
    offer(&mut gate, &first, NOW + 2 * MS, BOTH, true);
    assert_eq!(gate.rejected()[usize::from(Reject::OutOfOrder.raw())], 1);
}

#[test]
fn order_goes_by_creation_where_the_number_says_otherwise() {
    let mut gate = gate();
    offer(&mut gate, &good(5, NOW), NOW, BOTH, true);
    offer(&mut gate, &good(6, NOW - 5 * MS), NOW + MS, BOTH, true);
    assert_eq!(gate.rejected()[usize::from(Reject::OutOfOrder.raw())], 1);
    assert_eq!(gate.choose(NOW + MS, BOTH).unwrap().valid_ns, NOW + 10 * MS);
}

#[test]
fn highest_number_locks_its_source_out_no_longer_than_a_command_lives() {
    let mut gate = gate();
    offer(&mut gate, &good(u64::MAX, NOW), NOW, BOTH, true);
    let last_ns = NOW + rules().expiry_ms as i64 * MS;
    offer(&mut gate, &good(7, last_ns), last_ns, BOTH, true);
    assert_eq!(gate.rejected()[usize::from(Reject::OutOfOrder.raw())], 1);
    offer(&mut gate, &good(8, last_ns + 1), last_ns + 1, BOTH, true);
    assert_eq!(gate.choose(last_ns + 1, BOTH).unwrap().valid_ns, last_ns + 1 + 10 * MS);
}

#[test]
fn source_that_lost_its_permission_is_not_chosen() {
    let mut gate = gate();
    offer(&mut gate, &good(1, NOW), NOW, BOTH, true);
    assert!(gate.choose(NOW, sources::FALLBACK).is_none());
    gate.forget();
    assert!(gate.choose(NOW, BOTH).is_none());
}

/// A message with anything in it, and how much later than its creation it is read.
fn any_message() -> impl Strategy<Value = (MotionCommand, i64)> {
    let time = prop_oneof![4 => -30 * MS..30 * MS, 1 => any::<i64>()];
    let values = prop::collection::vec(prop_oneof![3 => -0.3..0.3_f64, 1 => any_number()], 2 * J + 1);
    let small = |most: u64| prop_oneof![4 => 0..most, 1 => any::<u64>()];
    (small(6), small(5), time.clone(), time, 0..4_u8, values).prop_map(|(seq, epoch, created, expires, source, values)| {
        let home = joints(&panda().home_rad);
        let mut message = MotionCommand { seq, epoch, source, ..MotionCommand::default() };
        message.created_ns = NOW.saturating_add(created);
        message.expires_ns = if expires % 3 == 0 { 0 } else { message.created_ns.saturating_add(expires) };
        for i in 0..J {
            (message.q[i], message.qd[i]) = (home[i] + values[i], values[J + i]);
        }
        message.gripper = values[2 * J].abs();
        (message, created)
    })
}

/// Offers a sequence to a gate with `used` rules, and judges what it would follow by the true ones.
fn follows_nothing_bad(messages: &[(MotionCommand, i64)], used: &Command) -> Result<(), TestCaseError> {
    let truth = rules();
    let mut gate = Gate::new(used, &panda().limits.joints);
    let (mut last_seq, mut last_created_ns) = (0, i64::MIN);
    let mut now_ns = NOW;
    for (message, _) in messages {
        now_ns += MS;
        let before: u64 = gate.rejected().iter().sum();
        offer(&mut gate, message, now_ns, sources::POLICY, false);
        let refused = gate.rejected().iter().sum::<u64>() > before;
        let Some(chosen) = gate.choose(now_ns, sources::POLICY) else { continue };
        let finite = chosen.q.iter().chain(&chosen.qd).take(7).all(|x| x.is_finite()) && chosen.gripper.is_finite();
        let created_ns = chosen.valid_ns - 10 * MS;
        prop_assert!(finite, "followed what is no number");
        prop_assert!(now_ns - created_ns <= truth.expiry_ms as i64 * MS, "followed something old");
        prop_assert!(created_ns <= now_ns + truth.future_ms as i64 * MS, "followed something from the future");
        prop_assert!(created_ns >= last_created_ns, "followed something made earlier");
        if !refused && message.created_ns == created_ns && message.seq != last_seq {
            let counts = now_ns - last_created_ns.max(0) <= truth.expiry_ms as i64 * MS;
            prop_assert!(message.epoch == EPOCH && (message.seq > last_seq || !counts), "followed something out of order");
            last_seq = message.seq;
        }
        last_created_ns = created_ns;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn gate_never_follows_what_is_stale_torn_or_out_of_order(messages in prop::collection::vec(any_message(), 1..20)) {
        follows_nothing_bad(&messages, &rules())?;
    }

    #[test]
    fn nothing_in_a_slot_locks_its_source_out(messages in prop::collection::vec(any_message(), 1..20), seq in 1..=u64::MAX) {
        let mut gate = gate();
        let mut now_ns = NOW;
        for (message, _) in &messages {
            now_ns += MS;
            offer(&mut gate, message, now_ns, BOTH, false);
        }
        // As long as the longest command can live: one from the future.
        now_ns += (rules().expiry_ms + rules().future_ms) as i64 * MS + 1;
        let before: u64 = gate.rejected().iter().sum();
        offer(&mut gate, &good(seq, now_ns), now_ns, BOTH, false);
        prop_assert_eq!(gate.rejected().iter().sum::<u64>(), before);
        prop_assert_eq!(gate.choose(now_ns, BOTH).map(|c| c.valid_ns), Some(now_ns + 10 * MS));
    }
}

#[test]
fn planted_faults_are_caught() {
    let catches = |used: Command| {
        let config = ProptestConfig { cases: 5_000, failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() };
        let result = TestRunner::new_with_rng(config, fixed_rng())
            .run(&prop::collection::vec(any_message(), 1..20), |messages| follows_nothing_bad(&messages, &used));
        matches!(result, Err(TestError::Fail(..)))
    };
    assert!(!catches(rules()));
    assert!(catches(Command { expiry_ms: 25, ..rules() }), "commands live longer");
    assert!(catches(Command { future_ms: 10, ..rules() }), "commands from the future");
}
