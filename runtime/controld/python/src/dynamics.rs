//! The control process's own rigid-body model, for tests, planning and tools: `runtime.shm.dynamics`.

use decide::model::{J, Joints, RobotModel as Model};
use decide::params;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde::Deserialize;

/// What of a control file says how the arm is built; the rest of it is not looked at.
#[derive(Deserialize)]
struct Built {
    model: params::Model,
}

#[pyclass(module = "runtime.shm._native", frozen)]
pub struct RobotModel {
    model: Model,
}

impl RobotModel {
    fn joints_of(&self, values: &[f64]) -> PyResult<Joints> {
        let n = self.model.joints();
        if values.len() != n && values.len() != J {
            return Err(PyValueError::new_err(format!("{} values, where the arm has {n} joints", values.len())));
        }
        let mut joints = [0.0; J];
        joints.iter_mut().zip(values.iter().take(n)).for_each(|(to, from)| *to = *from);
        Ok(joints)
    }

    fn row(&self, joints: &Joints) -> Vec<f64> {
        joints.iter().take(self.model.joints()).copied().collect()
    }
}

#[pymethods]
#[allow(clippy::needless_pass_by_value)]
impl RobotModel {
    /// Takes a control file's bytes, or its JSON alone, or only that JSON's `model`.
    #[new]
    fn new(control: &[u8]) -> PyResult<Self> {
        let json = match control.get(..65) {
            Some(line) if line.ends_with(b"\n") => control.get(65..).unwrap_or_default(),
            _ => control,
        };
        let built = serde_json::from_slice::<Built>(json).map(|b| b.model).or_else(|_| serde_json::from_slice(json));
        let source = built.map_err(|e| PyValueError::new_err(format!("this is no robot model: {e}")))?;
        let model = Model::new(&source).map_err(|e| PyValueError::new_err(format!("the model cannot be: {e:?}")))?;
        Ok(Self { model })
    }

    #[getter]
    fn joints(&self) -> usize {
        self.model.joints()
    }

    /// Torques that give these accelerations, without contacts and Coulomb friction.
    fn inverse_dynamics(&self, q: Vec<f64>, qd: Vec<f64>, qdd: Vec<f64>) -> PyResult<Vec<f64>> {
        let tau = self.model.inverse_dynamics(&self.joints_of(&q)?, &self.joints_of(&qd)?, &self.joints_of(&qdd)?);
        Ok(self.row(&tau))
    }

    fn mass_matrix(&self, q: Vec<f64>) -> PyResult<Vec<Vec<f64>>> {
        let mass = self.model.mass_matrix(&self.joints_of(&q)?);
        Ok(mass.iter().take(self.model.joints()).map(|row| self.row(row)).collect())
    }

    /// The tool's place and direction in the base frame.
    fn forward_kinematics(&self, q: Vec<f64>) -> PyResult<([f64; 3], [f64; 4])> {
        let pose = self.model.forward_kinematics(&self.joints_of(&q)?);
        Ok((pose.pos, pose.quat_wxyz))
    }

    /// Six rows (linear, then angular velocity of the tool) by joint.
    fn jacobian(&self, q: Vec<f64>) -> PyResult<Vec<Vec<f64>>> {
        let columns = self.model.jacobian(&self.joints_of(&q)?);
        let columns = columns.get(..self.model.joints()).unwrap_or_default();
        Ok((0..6).map(|row| columns.iter().map(|c| c.get(row).copied().unwrap_or(f64::NAN)).collect()).collect())
    }

    /// Centre and radius of every sphere of the robot's volume.
    fn sphere_positions(&self, q: Vec<f64>) -> PyResult<Vec<([f64; 3], f64)>> {
        let frames = self.model.frames(&self.joints_of(&q)?);
        Ok(self.model.spheres(&frames).collect())
    }
}

/// The submodule `dynamics`.
pub fn add_to(parent: &Bound<'_, PyModule>) -> PyResult<()> {
    let module = PyModule::new(parent.py(), "dynamics")?;
    module.add_class::<RobotModel>()?;
    parent.add_submodule(&module)
}
