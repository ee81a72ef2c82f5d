"""Vacuum of the suction tool."""

from runtime.health.check import Check, Measured, Probe, Sources


def make_probe() -> Probe:
    def probe(sources: Sources) -> Measured:
        state = sources.state()
        if state is None:
            return Measured(None, sources.clock.now_ns(), "no state from controld")
        holding = "holding" if state["gripper_holding"] else "empty"
        return Measured(float(state["gripper_pressure_kpa"]), int(state["created_ns"]), holding)

    return probe


CHECK = Check(name="gripper_pressure", unit="kPa", make_probe=make_probe)
