"""Share of all CPUs in use since the last look."""

import psutil

from runtime.health.check import Check, Measured, Probe, Sources


def make_probe() -> Probe:
    psutil.cpu_percent()  # the first call only starts the measurement

    def probe(sources: Sources) -> Measured:
        return Measured(psutil.cpu_percent() / 100.0, sources.clock.now_ns())

    return probe


CHECK = Check(name="cpu", unit="ratio", make_probe=make_probe, of_machine=True)
