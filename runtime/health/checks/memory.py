"""Memory that can still be had without swapping."""

import psutil

from runtime.health.check import Check, Measured, Probe, Sources


def make_probe() -> Probe:
    def probe(sources: Sources) -> Measured:
        return Measured(psutil.virtual_memory().available / 2**20, sources.clock.now_ns())

    return probe


CHECK = Check(name="memory", unit="MiB", make_probe=make_probe, of_machine=True)
