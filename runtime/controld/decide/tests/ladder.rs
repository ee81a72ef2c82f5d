//! The stop ladder, the state machine and liveness: walked through completely.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::needless_range_loop)]

mod common;

use common::{fixed_rng, panda};
use decide::exec::{self, Situation};
use decide::ladder::{Causes, Ladder, Motion, REARM_WINDOW_NS};
use decide::liveness::Liveness;
use layout::{CHALLENGE_KEY, ExecState, StopLevel, StopReason};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

const MS: i64 = 1_000_000;
const STANDING: Motion = Motion { now_ns: 0, at_rest: true, slow: true };

fn ladder() -> Ladder {
    Ladder::new(&panda().stop)
}

fn armed() -> Ladder {
    let mut ladder = ladder();
    assert!(ladder.rearm(1, &Causes::default(), &STANDING));
    ladder
}

fn one(reason: StopReason) -> Causes {
    let mut causes = Causes::default();
    match reason {
        StopReason::Requested => causes.request(StopLevel::Hold),
        StopReason::Deadline => causes.deadline(decide::params::MissReaction::ControlledStop),
        StopReason::None => {}
        other => causes.add(other),
    }
    causes
}

#[test]
fn every_reason_leads_up_from_every_level_and_never_down() {
    let levels: [(StopLevel, StopReason); 4] = [
        (StopLevel::None, StopReason::None),
        (StopLevel::Controlled, StopReason::Veto),
        (StopLevel::Hold, StopReason::StaleCommand),
        (StopLevel::PowerOff, StopReason::DriveFault),
    ];
    for (start, first) in levels {
        for reason in StopReason::ALL {
            for (at_rest, slow) in [(false, false), (false, true), (true, false), (true, true)] {
                let mut ladder = armed();
                ladder.update(&one(first), &STANDING);
                assert_eq!(ladder.level(), start, "from {first:?}");
                let causes = one(*reason);
                ladder.update(&causes, &Motion { now_ns: MS, at_rest, slow });
                assert!(ladder.level() >= start, "{reason:?} led down from {start:?}");
                let wanted = causes.level_of(*reason);
                let least = if wanted == StopLevel::None { StopLevel::None } else { StopLevel::Controlled };
                assert!(ladder.level() >= least.max(start), "{reason:?} was ignored at {start:?}");
                if at_rest && slow {
                    assert!(ladder.level() >= wanted, "{reason:?} at rest reaches {wanted:?}");
                }
            }
        }
    }
}

#[test]
fn power_goes_when_slow_or_when_time_is_over_but_at_once_where_drives_are_not_to_be_trusted() {
    let moving = |now_ns| Motion { now_ns, at_rest: false, slow: false };
    let mut ladder = armed();
    ladder.update(&one(StopReason::Estop), &moving(0));
    assert_eq!(ladder.level(), StopLevel::Controlled);
    ladder.update(&Causes::default(), &moving(999 * MS));
    assert_eq!(ladder.level(), StopLevel::Controlled, "a released button does not call it off");
    ladder.update(&Causes::default(), &moving(1_000 * MS));
    assert_eq!((ladder.level(), ladder.reason()), (StopLevel::PowerOff, StopReason::Estop));
    for reason in [StopReason::DriveFault, StopReason::PowerLost] {
        let mut ladder = armed();
        ladder.update(&one(reason), &moving(0));
        assert_eq!(ladder.level(), StopLevel::PowerOff);
    }
}

#[test]
fn controlled_stop_becomes_hold_after_standing() {
    let mut ladder = armed();
    ladder.update(&one(StopReason::Veto), &Motion { now_ns: 0, at_rest: false, slow: false });
    ladder.update(&Causes::default(), &Motion { now_ns: 100 * MS, at_rest: true, slow: true });
    ladder.update(&Causes::default(), &Motion { now_ns: 299 * MS, at_rest: true, slow: true });
    assert_eq!(ladder.level(), StopLevel::Controlled);
    ladder.update(&Causes::default(), &Motion { now_ns: 300 * MS, at_rest: true, slow: true });
    assert_eq!((ladder.level(), ladder.reason()), (StopLevel::Hold, StopReason::Veto));
}

#[test]
fn rearm_works_once_lapses_while_a_cause_is_active_and_is_used_up_when_not_needed() {
    let at = |now_ns| Motion { now_ns, ..STANDING };
    let mut ladder = armed();
    ladder.update(&one(StopReason::Veto), &at(0));
    assert!(!ladder.rearm(1, &Causes::default(), &at(MS)), "the count that was accepted before");
    assert!(!ladder.rearm(2, &one(StopReason::Veto), &at(2 * MS)), "the cause is active");
    assert!(!ladder.rearm(2, &Causes::default(), &at(3 * MS + REARM_WINDOW_NS)), "lapsed");
    assert!(ladder.rearm(3, &Causes::default(), &at(4 * MS + REARM_WINDOW_NS)));
    assert!(!ladder.rearm(4, &Causes::default(), &at(5 * MS + REARM_WINDOW_NS)), "nothing to leave");
    ladder.update(&one(StopReason::Veto), &at(6 * MS + REARM_WINDOW_NS));
    assert!(!ladder.rearm(4, &Causes::default(), &at(7 * MS + REARM_WINDOW_NS)), "used up");
    assert_eq!(ladder.rearm_accepted(), 4);
}

#[test]
fn moving_arm_is_not_rearmed() {
    let mut ladder = armed();
    ladder.update(&one(StopReason::Veto), &STANDING);
    assert!(!ladder.rearm(2, &Causes::default(), &Motion { at_rest: false, ..STANDING }));
    assert!(ladder.rearm(2, &Causes::default(), &STANDING));
}

/// Causes as bits, motion, time that passes, and a re-arm count that sometimes rises.
type Event = (u32, bool, bool, i64, u64);

/// Plays events into a ladder; `lower` may tamper with the level that is seen afterwards.
fn never_falls_without_rearm(events: &[Event], lower: impl Fn(usize, StopLevel) -> StopLevel) -> Result<(), TestCaseError> {
    let mut ladder = ladder();
    let (mut now_ns, mut before) = (0, ladder.level());
    for (i, (bits, at_rest, slow, passed_ns, count)) in events.iter().enumerate() {
        now_ns += passed_ns;
        let mut causes = Causes::default();
        for reason in StopReason::ALL {
            causes.add_if(bits >> reason.raw() & 1 == 1 && one(*reason) != Causes::default(), *reason);
        }
        let motion = Motion { now_ns, at_rest: *at_rest, slow: *slow };
        ladder.update(&causes, &motion);
        prop_assert!(lower(i, ladder.level()) >= before, "fell from {before:?}");
        let accepted = ladder.rearm_accepted();
        before = ladder.level();
        if ladder.rearm(*count, &causes, &motion) {
            prop_assert!(*count > accepted && causes.is_empty() && *at_rest, "left without right");
            before = ladder.level();
        }
        prop_assert!(ladder.level() == before, "the level changed without saying so");
        prop_assert!((ladder.level() == StopLevel::None) == (ladder.reason() == StopReason::None));
    }
    Ok(())
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let bits = prop_oneof![3 => Just(0_u32), 2 => any::<u32>(), 3 => (0..18_u32).prop_map(|b| 1 << b)];
    prop::collection::vec((bits, any::<bool>(), any::<bool>(), 0..400 * MS, 0..12_u64), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn ladder_never_falls_without_a_rearm(events in events()) {
        never_falls_without_rearm(&events, |_, level| level)?;
    }
}

#[test]
fn planted_fall_is_caught() {
    let config = ProptestConfig { cases: 500, failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() };
    let result = TestRunner::new_with_rng(config, fixed_rng())
        .run(&events(), |events| never_falls_without_rearm(&events, |i, level| if i == 20 { StopLevel::None } else { level }));
    assert!(matches!(result, Err(TestError::Fail(..))));
}

#[test]
fn state_machine_from_every_state_in_every_situation() {
    for state in ExecState::ALL {
        for level in StopLevel::ALL {
            for bits in 0..8 {
                let (sensed, commanded, at_rest) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
                let now = Situation { sensed, level: *level, commanded, at_rest };
                let next = exec::next(*state, &now);
                assert_eq!(next, expected(*state, &now), "{state:?} in {now:?}");
            }
        }
    }
}

/// The same machine said the other way round: for each next state, what it takes.
fn expected(state: ExecState, now: &Situation) -> ExecState {
    use ExecState::{Braking, Executing, Holding, PoweredOff, Ready, Starting, Unknown};
    let before_sensors = matches!(state, Unknown | Starting) && !now.sensed;
    let from_stop = matches!(state, Unknown | Starting | Holding | PoweredOff);
    let table = [
        (Starting, before_sensors),
        (PoweredOff, now.level == StopLevel::PowerOff),
        (Holding, now.level == StopLevel::Hold || (now.level == StopLevel::Controlled && now.at_rest)),
        (Braking, now.level == StopLevel::Controlled),
        (Ready, from_stop),
        (Executing, now.commanded),
        (Ready, state == Ready || now.at_rest),
        (Braking, true),
    ];
    table.iter().find(|(_, holds)| *holds).map(|(next, _)| *next).unwrap()
}

#[test]
fn only_executing_follows_commands() {
    for state in ExecState::ALL {
        assert_eq!(exec::is_following(*state), *state == ExecState::Executing);
    }
}

#[test]
fn frozen_writer_does_not_count_as_alive() {
    let mut liveness = Liveness::new(9, 500 * MS);
    assert!(!liveness.is_alive(0), "nobody has answered yet");
    let first = liveness.challenge(0);
    liveness.hear(first ^ CHALLENGE_KEY, 10 * MS);
    assert!(liveness.is_alive(400 * MS));
    for ms in 11..1_000 {
        liveness.challenge(ms * MS);
        liveness.hear(first ^ CHALLENGE_KEY, ms * MS); // the same answer, again and again
    }
    assert!(!liveness.is_alive(511 * MS) && !liveness.is_alive(999 * MS));
}

#[test]
fn late_wrong_and_guessed_answers_do_not_count() {
    let mut liveness = Liveness::new(9, 500 * MS);
    let first = liveness.challenge(0);
    liveness.hear(first, MS);
    liveness.hear(0, MS);
    liveness.hear(u64::MAX, MS);
    assert!(!liveness.is_alive(MS));
    for ms in 1..=600 {
        liveness.challenge(ms * MS);
    }
    liveness.hear(first ^ CHALLENGE_KEY, 600 * MS);
    assert!(!liveness.is_alive(600 * MS), "answered after the time-out");
    let mut other = Liveness::new(10, 500 * MS);
    assert_ne!(other.challenge(0), first, "another start asks other questions");
}

#[test]
fn one_answer_in_five_keeps_it_alive() {
    let mut liveness = Liveness::new(9, 500 * MS);
    let mut dead = 0;
    for ms in 0..5_000 {
        let challenge = liveness.challenge(ms * MS);
        if ms % 400 == 0 {
            liveness.hear(challenge ^ CHALLENGE_KEY, ms * MS);
        }
        dead += i32::from(!liveness.is_alive(ms * MS));
    }
    assert_eq!(dead, 0);
}
