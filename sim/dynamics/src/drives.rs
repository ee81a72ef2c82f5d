//! What the motor controllers and brakes of each arm are; compiled from sim/robot_model.py by `python -m sim.compile_drives`.

use std::collections::BTreeMap;

use decide::model::{J, Joints};
use serde::Deserialize;

const TABLE: &str = include_str!("../drives.json");

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    stiffness_nm_rad: Vec<f64>,
    damping_nms_rad: Vec<f64>,
    brake_nm: Vec<f64>,
    limit_nm: Vec<f64>,
}

/// One value per joint.
#[derive(Clone, Copy, Debug)]
pub struct Drives {
    pub stiffness_nm_rad: Joints,
    pub damping_nms_rad: Joints,
    pub brake_nm: Joints,
    pub limit_nm: Joints,
}

/// The drives of an arm, by the name of its rigid-body model.
///
/// # Errors
/// Where there is no such arm, or it has another number of joints.
pub fn drives_of(arm: &str, joints: usize) -> Result<Drives, String> {
    let table: BTreeMap<String, Row> = serde_json::from_str(TABLE).map_err(|e| format!("drives.json: {e}"))?;
    let row = table.get(arm).ok_or_else(|| {
        let known: Vec<&str> = table.keys().map(String::as_str).collect();
        format!(
            "the drives of arm {arm} are not known, only those of {}; compile them with  python -m sim.compile_drives",
            known.join(", ")
        )
    })?;
    let fixed = |values: &[f64]| -> Result<Joints, String> {
        if values.len() != joints || joints > J {
            return Err(format!("drives.json: arm {arm} has {} drives, its model {joints} joints", values.len()));
        }
        let mut all = [0.0; J];
        all.iter_mut().zip(values).for_each(|(to, from)| *to = *from);
        Ok(all)
    };
    Ok(Drives {
        stiffness_nm_rad: fixed(&row.stiffness_nm_rad)?,
        damping_nms_rad: fixed(&row.damping_nms_rad)?,
        brake_nm: fixed(&row.brake_nm)?,
        limit_nm: fixed(&row.limit_nm)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arm_without_drives_is_named_with_those_that_have_some() {
        assert!((drives_of("panda", 7).unwrap().limit_nm[6] - 12.0).abs() < 1e-12);
        let problem = drives_of("pandas", 7).unwrap_err();
        assert!(problem.contains("pandas") && problem.contains("panda, ur5e"), "{problem}");
        assert!(drives_of("ur5e", 7).unwrap_err().contains("6 drives, its model 7 joints"));
    }
}
