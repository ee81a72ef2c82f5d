//! What the sensors say of the truth: encoder steps, noise from one seeded generator, winding temperatures, the battery.
//! Figures as in sim/sensors.py.

use decide::model::{J, Joints};

use crate::STEP_S;

const ENCODER_STEP_RAD: f64 = std::f64::consts::TAU / 1_048_576.0;
const ENCODER_NOISE_RAD: f64 = 2e-5;
const VELOCITY_NOISE_RAD_S: f64 = 0.004;
const TORQUE_NOISE_NM: f64 = 0.15;
const PRESSURE_NOISE_KPA: f64 = 0.3;
const TEMPERATURE_NOISE_C: f64 = 0.1;

const AMBIENT_C: f64 = 24.0;
const START_C: f64 = 31.0;
/// Of a motor that gives its full torque for ever.
const RATED_RISE_C: f64 = 38.0;
const THERMAL_CONSTANT_S: f64 = 420.0;
const TORQUE_FILTER: f64 = 0.02;
/// Temperatures and the battery are looked at once in so many steps.
const SLOW_EVERY: u64 = 50;

const BATTERY_START: f64 = 0.92;
const DRAIN_PER_S: f64 = 0.08 / 3600.0;
const CHARGE_PER_S: f64 = 0.60 / 3600.0;
const CHARGE_BELOW: f64 = 0.35;
const CHARGE_ABOVE: f64 = 0.95;

/// Numbers that look like a normal distribution up to 3.4 standard deviations, from four sixteen-bit ones at a time: cheap
/// where floating point is emulated.
pub struct Noise {
    state: u64,
}

impl Noise {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// SplitMix64.
    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Mean 0, standard deviation 1.
    pub fn draw(&mut self) -> f64 {
        // The sum of four uniform numbers has variance 4/12.
        const SCALE: f64 = 1.732_050_807_568_877_2 / 65_536.0;
        let bits = self.bits();
        let sum = (bits & 0xffff) + ((bits >> 16) & 0xffff) + ((bits >> 32) & 0xffff) + (bits >> 48);
        (f64::from(u32::try_from(sum).unwrap_or(0)) - 131_070.0) * SCALE
    }
}

pub struct Sensing {
    noise: Noise,
    torque_nm: Joints,
    temp_c: Joints,
    battery_ratio: f64,
    charging: bool,
    steps: u64,
}

/// One set of sensor values.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub q_rad: Joints,
    pub qd_rad_s: Joints,
    pub torque_nm: Joints,
    pub temp_c: Joints,
    pub pressure_kpa: f64,
    pub battery_ratio: f64,
}

impl Sensing {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            noise: Noise::new(seed),
            torque_nm: [0.0; J],
            temp_c: [START_C; J],
            battery_ratio: BATTERY_START,
            charging: false,
            steps: 0,
        }
    }

    pub fn measure(&mut self, arm: &crate::arm::Arm, pressure_kpa: f64) -> Reading {
        let n = arm.joints();
        for i in 0..n {
            self.torque_nm[i] += TORQUE_FILTER * (arm.torque_nm[i].abs() - self.torque_nm[i]);
        }
        if self.steps % SLOW_EVERY == 0 {
            self.grow_warm(arm.limits_nm(), n);
            self.drain();
        }
        self.steps += 1;
        let noise = &mut self.noise;
        let mut reading = Reading {
            q_rad: [0.0; J],
            qd_rad_s: [0.0; J],
            torque_nm: [0.0; J],
            temp_c: [0.0; J],
            pressure_kpa: (pressure_kpa + PRESSURE_NOISE_KPA * noise.draw()).max(0.0),
            battery_ratio: self.battery_ratio,
        };
        for i in 0..n {
            let seen_rad = arm.q_rad[i] + ENCODER_NOISE_RAD * noise.draw();
            reading.q_rad[i] = (seen_rad / ENCODER_STEP_RAD).round() * ENCODER_STEP_RAD;
            reading.qd_rad_s[i] = arm.qd_rad_s[i] + VELOCITY_NOISE_RAD_S * noise.draw();
            reading.torque_nm[i] = arm.torque_nm[i] + TORQUE_NOISE_NM * noise.draw();
            reading.temp_c[i] = self.temp_c[i] + TEMPERATURE_NOISE_C * noise.draw();
        }
        reading
    }

    fn grow_warm(&mut self, limits_nm: &Joints, n: usize) {
        #[allow(clippy::cast_precision_loss)]
        let gone = SLOW_EVERY as f64 * STEP_S / THERMAL_CONSTANT_S;
        for i in 0..n {
            let load = self.torque_nm[i] / limits_nm[i];
            self.temp_c[i] += (AMBIENT_C + RATED_RISE_C * load * load - self.temp_c[i]) * gone;
        }
    }

    fn drain(&mut self) {
        if self.battery_ratio <= CHARGE_BELOW {
            self.charging = true;
        } else if self.battery_ratio >= CHARGE_ABOVE {
            self.charging = false;
        }
        #[allow(clippy::cast_precision_loss)]
        let step_s = SLOW_EVERY as f64 * STEP_S;
        self.battery_ratio += step_s * if self.charging { CHARGE_PER_S } else { -DRAIN_PER_S };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_mean_nought_and_deviation_one() {
        let mut noise = Noise::new(7);
        let drawn: Vec<f64> = (0..100_000).map(|_| noise.draw()).collect();
        let mean = drawn.iter().sum::<f64>() / 1e5;
        let square = drawn.iter().map(|x| x * x).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (square - 1.0).abs() < 0.02, "mean {mean}, square {square}");
        assert!(drawn.iter().all(|x| x.abs() < 3.5));
    }
}
