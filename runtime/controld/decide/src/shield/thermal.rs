//! Motor temperature: slower when hot, a stop when too hot.

use crate::params::Thermal;

/// Share of full speed while a motor does not tell its temperature.
pub const UNKNOWN_RATIO: f64 = 0.5;
/// Share of full speed just below the stop.
const HOT_RATIO: f64 = 0.2;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heat {
    pub ratio: f64,
    pub too_hot: bool,
}

/// What the hottest motor allows; an unknown temperature is neither cold nor too hot.
#[must_use]
pub fn judge(temps_c: &[f64], limits: &Thermal) -> Heat {
    let mut heat = Heat { ratio: 1.0, too_hot: false };
    for temp in temps_c {
        let ratio = if temp.is_nan() {
            UNKNOWN_RATIO
        } else if *temp <= limits.motor_limit_c {
            1.0
        } else {
            let way = (temp - limits.motor_limit_c) / (limits.motor_stop_c - limits.motor_limit_c).max(1e-3);
            1.0 - (1.0 - HOT_RATIO) * way.min(1.0)
        };
        heat.ratio = heat.ratio.min(ratio);
        heat.too_hot |= *temp >= limits.motor_stop_c;
    }
    heat
}
