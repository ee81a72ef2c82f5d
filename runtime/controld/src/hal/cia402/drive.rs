//! One drive: the state machine of CiA 402, as the status word shows it and the control word moves it.

use super::pdo::Status;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriveState {
    NotReady,
    SwitchOnDisabled,
    ReadyToSwitchOn,
    SwitchedOn,
    Enabled,
    QuickStop,
    FaultReaction,
    Fault,
}

impl DriveState {
    /// A status word that fits no state counts as a fault: nothing good can be concluded from it.
    #[must_use]
    pub const fn of(status_word: u16) -> Self {
        match (status_word & 0x4f, status_word & 0x6f) {
            (0x00, _) => Self::NotReady,
            (0x40, _) => Self::SwitchOnDisabled,
            (_, 0x21) => Self::ReadyToSwitchOn,
            (_, 0x23) => Self::SwitchedOn,
            (_, 0x27) => Self::Enabled,
            (_, 0x07) => Self::QuickStop,
            (0x0f, _) => Self::FaultReaction,
            _ => Self::Fault,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    NoPower,
    Power,
    /// Power, and faults that stand now shall be reset first: the first cycle after a re-arm.
    PowerAfterReset,
}

const DISABLE_VOLTAGE: u16 = 0x0000;
const SHUTDOWN: u16 = 0x0006;
const SWITCH_ON: u16 = 0x0007;
const ENABLE: u16 = 0x000f;
const FAULT_RESET: u16 = 0x0080;
/// The drive gave up following the target: position error beyond its window.
const FOLLOWING_ERROR: u16 = 1 << 13;

#[derive(Clone, Copy, Debug, Default)]
pub struct Drive {
    pub status: Status,
    pub reported_ns: i64,
    pub silent_cycles: u32,
    reported: bool,
    reset_pending: bool,
    reset_high: bool,
    last_target: i32,
}

impl Drive {
    pub fn report(&mut self, status: Status, now_ns: i64) {
        self.status = status;
        self.reported_ns = now_ns;
        self.silent_cycles = 0;
        self.reported = true;
    }

    #[must_use]
    pub const fn has_reported(&self) -> bool {
        self.reported
    }

    #[must_use]
    pub const fn state(&self) -> DriveState {
        DriveState::of(self.status.status_word)
    }

    #[must_use]
    pub fn is_faulty(&self) -> bool {
        let following = self.state() == DriveState::Enabled && self.status.status_word & FOLLOWING_ERROR != 0;
        // A fault that is being reset is on its way out; it counts again if it stays.
        following || (matches!(self.state(), DriveState::Fault | DriveState::FaultReaction) && !self.reset_pending)
    }

    /// The next step from where the drive is to where it is wanted.
    pub fn control_word(&mut self, want: Want) -> u16 {
        let state = self.state();
        if want == Want::PowerAfterReset && state == DriveState::Fault {
            self.reset_pending = true;
        }
        if want == Want::NoPower {
            self.reset_pending = false;
        }
        let word = match (state, want) {
            (DriveState::Fault, _) if self.reset_pending && !self.reset_high => FAULT_RESET,
            (DriveState::Fault | DriveState::FaultReaction | DriveState::NotReady, _) => DISABLE_VOLTAGE,
            // Ready to switch on keeps the brake applied and the power stage off.
            (_, Want::NoPower) => SHUTDOWN,
            (DriveState::SwitchOnDisabled, _) => SHUTDOWN,
            (DriveState::ReadyToSwitchOn, _) => SWITCH_ON,
            (DriveState::SwitchedOn | DriveState::Enabled, _) => ENABLE,
            // Leaving a quick stop goes through disabled.
            (DriveState::QuickStop, _) => DISABLE_VOLTAGE,
        };
        // The drive resets on the rising edge: one attempt a re-arm.
        if self.reset_high && state == DriveState::Fault {
            self.reset_pending = false;
        }
        if state != DriveState::Fault {
            self.reset_pending = false;
        }
        self.reset_high = word == FAULT_RESET;
        word
    }

    /// The target in counts; a drive that is not enabled gets its own position, so that enabling it moves nothing.
    #[allow(clippy::cast_possible_truncation)]
    pub fn target(&mut self, counts: f64) -> i32 {
        let wanted = counts.round();
        self.last_target = match self.state() {
            DriveState::Enabled if wanted.is_finite() && wanted.abs() < f64::from(i32::MAX) => wanted as i32,
            DriveState::Enabled => self.last_target,
            _ => self.status.position,
        };
        self.last_target
    }

    /// The torque offset in thousandths of the rated torque, bounded by what the word can say.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)]
    pub fn torque(&self, permille: f64) -> i16 {
        let usable = self.state() == DriveState::Enabled && permille.is_finite();
        if usable { permille.clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16 } else { 0 }
    }
}
