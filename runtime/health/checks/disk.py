"""Room for data; a disk that went read-only has none."""

import os

from runtime.health.check import Check, Measured, Probe, Sources


def make_probe() -> Probe:
    def probe(sources: Sources) -> Measured:
        now_ns = sources.clock.now_ns()
        try:
            found = os.statvfs(sources.data_dir)
        except OSError as error:
            return Measured(None, now_ns, f"{sources.data_dir}: {error.strerror}")
        if found.f_flag & os.ST_RDONLY:
            return Measured(0.0, now_ns, "mounted read-only")
        return Measured(found.f_bavail * found.f_frsize / 2**20, now_ns)

    return probe


CHECK = Check(name="disk", unit="MiB", make_probe=make_probe, of_machine=True)
