"""Temperature of the GPU; one that is not there is unknown, not cold."""

from runtime.health.check import Check, Measured, Probe, Sources


def make_probe() -> Probe:
    def probe(sources: Sources) -> Measured:
        gpu = sources.gpu()
        if gpu is None:
            return Measured(None, sources.clock.now_ns(), "no report from the GPU")
        at_ns = int(gpu["created_ns"])
        if not gpu["present"]:
            return Measured(None, at_ns, "the GPU does not answer")
        return Measured(float(gpu["temp_c"]), at_ns, f"load {float(gpu['load_ratio']):.2f}")

    return probe


CHECK = Check(name="gpu", unit="°C", make_probe=make_probe)
