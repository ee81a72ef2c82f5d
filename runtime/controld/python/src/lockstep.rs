//! The control cycle without a clock of its own: whoever calls says what time it is. Same code, same files, same decisions.

use std::path::PathBuf;

use controld::control;
use controld::cycle::{Cycle, Events, period_ns};
use controld::hal::{Hal, OpenError};
use controld::shm::StateWriter;
use layout::Realtime;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::os_error;

#[pyclass(module = "runtime.shm._native")]
pub struct Core {
    cycle: Cycle,
    period_ns: i64,
    stop_wanted: bool,
}

#[pymethods]
#[allow(clippy::needless_pass_by_value)]
impl Core {
    #[new]
    #[pyo3(signature = (control_path, shm_dir, epoch=1))]
    fn new(control_path: PathBuf, shm_dir: PathBuf, epoch: u64) -> PyResult<Self> {
        let control = control::load(&control_path).map_err(|e| PyValueError::new_err(e.to_string()))?;
        let mut state = StateWriter::open(&shm_dir).map_err(|e| os_error(&e))?;
        state.set_epoch(epoch);
        let hal = Hal::open(&control, &shm_dir).map_err(|e| match e {
            OpenError::Shm(e) => os_error(&e),
            OpenError::Schedule(e) => PyValueError::new_err(e),
            OpenError::Hardware(e) => PyOSError::new_err(e),
        })?;
        let mut cycle = Cycle::open(&control, &shm_dir, hal, state).map_err(|e| os_error(&e))?;
        cycle.set_realtime(Realtime::Lockstep);
        Ok(Self { cycle, period_ns: period_ns(&control), stop_wanted: false })
    }

    #[getter]
    fn period_ns(&self) -> i64 {
        self.period_ns
    }

    /// Runs one cycle as if it were this time; it takes no time itself.
    fn cycle(&mut self, now_ns: i64) {
        self.cycle.run(now_ns, Events { stop_wanted: self.stop_wanted }, || now_ns);
        self.cycle.account_untimed();
    }

    /// As SIGTERM does: the following cycles stop the arm.
    fn stop(&mut self) {
        self.stop_wanted = true;
    }

    #[getter]
    fn stopped(&self) -> bool {
        self.cycle.is_stopped()
    }
}
