//! The execution state machine: what the robot is doing, as one exhaustive function of what it did and what is.

use layout::{ExecState, StopLevel};

/// What the next state depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// Valid sensors were seen at least once.
    pub sensed: bool,
    pub level: StopLevel,
    /// There is a fresh, allowed command.
    pub commanded: bool,
    /// The commanded trajectory stands.
    pub at_rest: bool,
}

/// The state after this one.
#[must_use]
pub fn next(state: ExecState, now: &Situation) -> ExecState {
    let started = match state {
        ExecState::Unknown | ExecState::Starting => now.sensed,
        ExecState::Holding | ExecState::Ready | ExecState::Executing | ExecState::Braking | ExecState::PoweredOff => true,
    };
    if !started {
        return ExecState::Starting;
    }
    match now.level {
        StopLevel::PowerOff => ExecState::PoweredOff,
        StopLevel::Hold => ExecState::Holding,
        StopLevel::Controlled if now.at_rest => ExecState::Holding,
        StopLevel::Controlled => ExecState::Braking,
        StopLevel::None => unstopped(state, now),
    }
}

/// Off the ladder. Whoever comes from a stop passes through `Ready`, where the first command must start at the present pose.
fn unstopped(state: ExecState, now: &Situation) -> ExecState {
    match state {
        ExecState::Unknown | ExecState::Starting | ExecState::Holding | ExecState::PoweredOff => ExecState::Ready,
        ExecState::Ready | ExecState::Executing | ExecState::Braking if now.commanded => ExecState::Executing,
        ExecState::Ready => ExecState::Ready,
        ExecState::Executing | ExecState::Braking if now.at_rest => ExecState::Ready,
        ExecState::Executing | ExecState::Braking => ExecState::Braking,
    }
}

/// Whether a command must start at the present pose.
#[must_use]
pub fn is_starting(state: ExecState) -> bool {
    match state {
        ExecState::Unknown | ExecState::Starting | ExecState::Holding | ExecState::Ready | ExecState::PoweredOff => true,
        ExecState::Executing | ExecState::Braking => false,
    }
}

/// Whether a command may be followed in this state.
#[must_use]
pub fn is_following(state: ExecState) -> bool {
    match state {
        ExecState::Executing => true,
        ExecState::Unknown
        | ExecState::Starting
        | ExecState::Holding
        | ExecState::Ready
        | ExecState::Braking
        | ExecState::PoweredOff => false,
    }
}
