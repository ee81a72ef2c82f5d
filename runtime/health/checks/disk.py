"""Room for data; a disk that went read-only has none."""

from runtime.health.check import Check, Measured, Probe, Sources
from runtime.paths import space_at


def make_probe() -> Probe:
    def probe(sources: Sources) -> Measured:
        now_ns = sources.clock.now_ns()
        try:
            found = space_at(sources.data_dir)
        except OSError as error:
            return Measured(None, now_ns, f"{sources.data_dir}: {error.strerror}")
        note = "mounted read-only" if found.is_read_only else ""
        return Measured(found.free_mib, now_ns, note)

    return probe


CHECK = Check(name="disk", unit="MiB", make_probe=make_probe, of_machine=True)
