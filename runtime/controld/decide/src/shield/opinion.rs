//! The safety model's opinion: it can restrict and veto. Silence restricts; nothing it says allows more than full speed.

use layout::{SafetyVerdict, Verdict};

use crate::params;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Opinion {
    pub ratio: f64,
    pub veto: bool,
}

/// What the last verdict means now.
#[must_use]
pub fn judge(verdict: Option<&SafetyVerdict>, now_ns: i64, limits: &params::Verdict) -> Opinion {
    let restricted = Opinion { ratio: limits.restrict_ratio, veto: false };
    let Some(message) = verdict else { return restricted };
    let age_ns = now_ns.saturating_sub(message.created_ns);
    let stale_ns = i64::try_from(limits.stale_ms).unwrap_or(0).saturating_mul(1_000_000);
    let expired = message.expires_ns != 0 && now_ns > message.expires_ns;
    if !(-2_000_000..=stale_ns).contains(&age_ns) || expired {
        return restricted;
    }
    let scale = if message.speed_scale >= 0.0 { message.speed_scale.min(1.0) } else { limits.restrict_ratio };
    match message.verdict() {
        Some(Verdict::Ok) => Opinion { ratio: scale, veto: false },
        Some(Verdict::Restrict) => Opinion { ratio: scale.min(limits.restrict_ratio), veto: false },
        Some(Verdict::Veto) => Opinion { ratio: 0.0, veto: true },
        Some(Verdict::Unknown) | None => restricted,
    }
}
