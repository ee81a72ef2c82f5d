"""Time since the fleet was last heard."""

from runtime.health.check import Check, Measured, Probe, Sources


def make_probe() -> Probe:
    def probe(sources: Sources) -> Measured:
        now_ns = sources.clock.now_ns()
        uplink = sources.uplink()
        if uplink is None:
            return Measured(None, now_ns, "telemetryd says nothing about its uplink")
        if uplink.last_heard_ns is None:
            return Measured(None, uplink.at_ns, "the fleet was not heard since start")
        note = "" if uplink.connected else "not connected"
        return Measured((now_ns - uplink.last_heard_ns) / 1e9, uplink.at_ns, note)

    return probe


CHECK = Check(name="network", unit="s", make_probe=make_probe)
