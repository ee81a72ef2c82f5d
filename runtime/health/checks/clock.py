"""How far the wall clock jumped against the monotonic one since the last look."""

from runtime.health.check import Check, Measured, Probe, Sources


def make_probe() -> Probe:
    last_offset_ns: int | None = None

    def probe(sources: Sources) -> Measured:
        nonlocal last_offset_ns
        now_ns = sources.clock.now_ns()
        offset_ns = sources.clock.wall_ns() - now_ns
        jump_ns = 0 if last_offset_ns is None else offset_ns - last_offset_ns
        last_offset_ns = offset_ns
        direction = "back" if jump_ns < 0 else "ahead"
        return Measured(abs(jump_ns) / 1e9, now_ns, direction if jump_ns else "")

    return probe


CHECK = Check(name="clock", unit="s", make_probe=make_probe)
