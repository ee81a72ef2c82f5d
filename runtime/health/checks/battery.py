"""Charge of the battery."""

from runtime.health.check import Check, Measured, Probe, Sources


def make_probe() -> Probe:
    def probe(sources: Sources) -> Measured:
        state = sources.state()
        if state is None:
            return Measured(None, sources.clock.now_ns(), "no state from controld")
        return Measured(float(state["battery_ratio"]), int(state["created_ns"]))

    return probe


CHECK = Check(name="battery", unit="ratio", make_probe=make_probe)
