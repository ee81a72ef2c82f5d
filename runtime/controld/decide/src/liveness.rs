//! Liveness: whoever directs the robot must answer challenges, so that a frozen writer, or old memory, does not count as alive.

use layout::CHALLENGE_KEY;

/// A new challenge every 100 ms.
const CHALLENGE_NS: i64 = 100_000_000;
/// How many challenges an answer may lag behind.
const REMEMBERED: usize = 8;

/// The challenges of the recent past, and the last good answer.
#[derive(Clone, Debug)]
pub struct Liveness {
    epoch: u64,
    timeout_ns: i64,
    issued: u64,
    /// Number, value and time of the recent challenges; number 0 was never issued.
    recent: [(u64, u64, i64); REMEMBERED],
    next_ns: i64,
    answered: u64,
    answered_ns: Option<i64>,
}

impl Liveness {
    #[must_use]
    pub fn new(epoch: u64, timeout_ns: i64) -> Self {
        Self { epoch, timeout_ns, issued: 0, recent: [(0, 0, 0); REMEMBERED], next_ns: i64::MIN, answered: 0, answered_ns: None }
    }

    /// The challenge to publish now.
    pub fn challenge(&mut self, now_ns: i64) -> u64 {
        if now_ns >= self.next_ns {
            self.issued += 1;
            self.recent.rotate_right(1);
            self.recent[0] = (self.issued, scramble(self.epoch, self.issued), now_ns);
            self.next_ns = now_ns.saturating_add(CHALLENGE_NS);
        }
        self.recent[0].1
    }

    /// Takes an answer; good is one to a recent challenge that is newer than the last one answered.
    pub fn hear(&mut self, response: u64, now_ns: i64) {
        let value = response ^ CHALLENGE_KEY;
        let fresh = |(number, challenge, issued_ns): &&(u64, u64, i64)| {
            *number > self.answered && *challenge == value && now_ns.saturating_sub(*issued_ns) <= self.timeout_ns
        };
        if let Some((number, _, _)) = self.recent.iter().find(fresh) {
            self.answered = *number;
            self.answered_ns = Some(now_ns);
        }
    }

    #[must_use]
    pub fn is_alive(&self, now_ns: i64) -> bool {
        self.answered_ns.is_some_and(|at| now_ns.saturating_sub(at) <= self.timeout_ns)
    }
}

/// A number that tells nothing about the next one (splitmix64); not a secret, only never a repetition.
fn scramble(epoch: u64, number: u64) -> u64 {
    let mut z = (epoch << 32 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}
