"""The hottest motor. One sensor that fails makes the maximum unknown: it could be that one."""

import numpy as np

from runtime.health.check import Check, Measured, Probe, Sources


def make_probe() -> Probe:
    def probe(sources: Sources) -> Measured:
        state = sources.state()
        if state is None:
            return Measured(None, sources.clock.now_ns(), "no state from controld")
        at_ns = int(state["created_ns"])
        temperatures = np.asarray(state["motor_temp_c"][: int(state["joints"])], dtype=float)
        if temperatures.size == 0 or not np.isfinite(temperatures).all():
            missing = [f"j{i + 1}" for i in np.flatnonzero(~np.isfinite(temperatures))]
            return Measured(None, at_ns, f"no temperature from {', '.join(missing) or 'any motor'}")
        hottest = int(temperatures.argmax())
        return Measured(float(temperatures[hottest]), at_ns, f"j{hottest + 1}")

    return probe


CHECK = Check(name="motor_temperature", unit="°C", make_probe=make_probe)
