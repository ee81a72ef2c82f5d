//! Any bytes in any message, for many cycles: nothing panics, and what goes to the drives stays within the limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::needless_range_loop)]

mod common;

use common::rig::Rig;
use common::{panda, ur5e};
use decide::Inputs;
use layout::{Directive, Message, MotionCommand, People, SafetyVerdict, Sensors, StopLevel};
use proptest::prelude::*;

/// Words as a broken writer leaves them: random bits, numbers, and zeros.
fn words<M: Message + std::fmt::Debug>() -> impl Strategy<Value = Option<M>> {
    let word = prop_oneof![
        2 => any::<u64>(),
        2 => common::any_number().prop_map(f64::to_bits),
        2 => 0..4_u64,
        1 => 0..3_000_000_000_u64,
    ];
    prop::option::weighted(0.5, prop::collection::vec(word, M::WORDS).prop_map(|words| M::decode(&words)))
}

type Scribble =
    (Option<Sensors>, Option<MotionCommand>, Option<MotionCommand>, Option<People>, Option<SafetyVerdict>, Option<Directive>);

fn scribbles() -> impl Strategy<Value = Vec<Scribble>> {
    prop::collection::vec((words(), words(), words(), words(), words(), words()), 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn scribbled_messages_never_lead_out_of_the_limits(scribbles in scribbles(), is_ur5e in any::<bool>(), moving in any::<bool>()) {
        let mut rig = Rig::armed(if is_ur5e { ur5e() } else { panda() });
        if moving {
            rig.swing(300, 0.3, 1.5, |_| {});
        }
        let joints = rig.control.limits.joints.clone();
        for (sensors, policy, fallback, people, verdict, directive) in &scribbles {
            rig.now_ns += 1_000_000;
            let inputs = Inputs {
                now_ns: rig.now_ns,
                sensors: sensors.as_ref().or(Some(&rig.sensors)),
                policy: policy.as_ref(),
                fallback: fallback.as_ref(),
                people: people.as_ref(),
                verdict: verdict.as_ref(),
                directive: directive.as_ref(),
                ..Inputs::default()
            };
            let before = rig.actuators;
            rig.controller.estimate(&inputs);
            rig.controller.shield(&inputs);
            rig.controller.choose(&inputs);
            rig.actuators = rig.controller.command(&inputs);
            rig.controller.report(&inputs, &mut rig.frame);
            let now = rig.actuators;
            prop_assert!((0.0..=1.0).contains(&now.gripper));
            for (i, limit) in joints.iter().enumerate() {
                prop_assert!(now.tau_ff[i].abs() <= limit.effort_nm);
                prop_assert!(now.qd_des[i].abs() <= limit.velocity_rad_s);
                if rig.controller.level() < StopLevel::Hold {
                    // A trajectory is one piece: within a cycle speed changes by no more than the acceleration allows.
                    let change = (now.qd_des[i] - before.qd_des[i]).abs();
                    prop_assert!(change <= limit.acceleration_rad_s2 * 1e-3 + 1e-9, "jump of joint {i} by {change}");
                    prop_assert!(now.q_des[i] >= limit.position_min_rad - 1e-9 && now.q_des[i] <= limit.position_max_rad + 1e-9);
                }
            }
        }
    }
}
