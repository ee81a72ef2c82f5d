//! The plant without a clock: commands from a file, joint positions to a stream.

use std::io::{BufRead, Write};

use decide::model::J;
use decide::params::Control;
use layout::Actuators;
use serde::Deserialize;

use crate::STEP_NS;
use crate::plant::Plant;

const START_NS: i64 = 1_000_000_000;

/// What the drives are told in one millisecond; without `power` they have none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    q_rad: Vec<f64>,
    qd_rad_s: Vec<f64>,
    tau_ff_nm: Vec<f64>,
    power: bool,
}

/// One line of joint positions for each line of commands.
///
/// # Errors
/// What is wrong with which line.
pub fn run(control: &Control, commands: impl BufRead, mut out: impl Write) -> Result<(), String> {
    let mut plant = Plant::new(control)?;
    let mut now_ns = START_NS;
    for (index, line) in commands.lines().enumerate() {
        let place = |problem: String| format!("line {}: {problem}", index + 1);
        let line = line.map_err(|e| place(e.to_string()))?;
        let told: Line = serde_json::from_str(&line).map_err(|e| place(e.to_string()))?;
        let joints = plant.arm.joints();
        let fixed = |values: &[f64]| -> Result<[f64; J], String> {
            let mut all = [0.0; J];
            if values.len() != joints {
                return Err(place(format!("{} values for {joints} joints", values.len())));
            }
            all.iter_mut().zip(values).for_each(|(to, from)| *to = *from);
            Ok(all)
        };
        let command = Actuators {
            created_ns: now_ns,
            q_des: fixed(&told.q_rad)?,
            qd_des: fixed(&told.qd_rad_s)?,
            tau_ff: fixed(&told.tau_ff_nm)?,
            power: u8::from(told.power),
            ..Actuators::default()
        };
        plant.step(Some(&command), None, now_ns);
        let q: Vec<String> = plant.arm.q_rad.iter().take(joints).map(|q| format!("{q:.9}")).collect();
        writeln!(out, "[{}]", q.join(",")).map_err(|e| e.to_string())?;
        now_ns += STEP_NS;
    }
    Ok(())
}
