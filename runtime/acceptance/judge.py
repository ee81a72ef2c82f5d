"""Whether a board holds its deadlines. Pure: what was measured and declared in, a verdict out.

Missing is not zero: a part that was not measured is `unknown`, and unknown is never `passed`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from conf.schema.hardware import Acceptance
from runtime.acceptance.latency import Latencies


class Part(StrEnum):
    QUIET = "quiet"
    LOADED = "loaded"


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Measured:
    """One part: the loop's cycles, and cyclictest's right before them under the same load."""

    part: Part
    cycles: int
    missed: int
    wakeup: Latencies | None
    peer: Latencies | None
    realtime: bool | None  # the loop had the scheduling that the profile asks for
    problem: str = ""  # why something is missing
    load_died: tuple[str, ...] = ()  # what of the load had ended before the part did


@dataclass(frozen=True)
class Finding:
    item: str
    wanted: str
    found: str
    verdict: Verdict


def judge(
    limits: Acceptance, parts: Iterable[Measured], *, shortened_to: int | None = None
) -> tuple[Finding, ...]:
    """A finding for each limit of each part; a part that is missing is one as well."""
    known = {measured.part: measured for measured in parts}
    findings: list[Finding] = []
    for part in Part:
        wanted = wanted_cycles(limits, part, shortened_to)
        measured = known.get(part)
        if measured is None:
            findings.append(Finding(part.value, f"{wanted} cycles", "nothing", Verdict.UNKNOWN))
        else:
            findings.extend(_judge_part(limits, measured, wanted))
    return tuple(findings)


def wanted_cycles(limits: Acceptance, part: Part, shortened_to: int | None) -> int:
    match part:
        case Part.QUIET:
            declared = limits.quiet_cycles
        case Part.LOADED:
            declared = limits.loaded_cycles
    return declared if shortened_to is None else min(declared, shortened_to)


def _judge_part(limits: Acceptance, measured: Measured, wanted: int) -> Iterator[Finding]:
    name = measured.part.value
    enough = measured.cycles >= wanted
    yield Finding(
        f"{name}.cycles",
        f"at least {wanted}",
        f"{measured.cycles}" + (f": {measured.problem}" if measured.problem else ""),
        Verdict.PASSED if enough else Verdict.UNKNOWN,
    )
    missed = Finding(
        f"{name}.missed", f"at most {limits.missed_max}", str(measured.missed), Verdict.PASSED
    )
    yield _with(missed, measured.cycles > 0, measured.missed <= limits.missed_max)
    yield _judge_realtime(name, measured.realtime)
    yield _judge_wakeup(f"{name}.wakeup", limits.wakeup_max_us, measured.wakeup)
    yield _judge_ratio(f"{name}.peer_ratio", limits.peer_ratio_max, measured)
    if measured.load_died:
        died = ", ".join(measured.load_died)
        yield Finding(f"{name}.load", "at work to the end", f"ended: {died}", Verdict.UNKNOWN)


def _with(finding: Finding, is_known: bool, is_held: bool) -> Finding:
    verdict = Verdict.FAILED if not is_held else Verdict.PASSED if is_known else Verdict.UNKNOWN
    return Finding(finding.item, finding.wanted, finding.found, verdict)


def _judge_realtime(name: str, realtime: bool | None) -> Finding:
    wanted, item = "real-time scheduling", f"{name}.scheduling"
    match realtime:
        case True:
            return Finding(item, wanted, "obtained", Verdict.PASSED)
        case False:
            return Finding(item, wanted, "best effort", Verdict.FAILED)
        case None:
            return Finding(item, wanted, "not reported", Verdict.UNKNOWN)


def _judge_wakeup(item: str, most_us: float, wakeup: Latencies | None) -> Finding:
    wanted = f"at most {most_us:g} µs"
    if wakeup is None or not wakeup.count:
        return Finding(item, wanted, "not measured", Verdict.UNKNOWN)
    verdict = Verdict.PASSED if wakeup.max_us <= most_us else Verdict.FAILED
    return Finding(item, wanted, f"{wakeup.max_us:.1f} µs", verdict)


def _judge_ratio(item: str, most: float, measured: Measured) -> Finding:
    """A peer that never woke late by a whole microsecond counts as one: it cannot tell less."""
    wanted = f"at most {most:g} × cyclictest's"
    mine, peer = measured.wakeup, measured.peer
    if mine is None or peer is None or not mine.count or not peer.count:
        return Finding(item, wanted, measured.problem or "not measured", Verdict.UNKNOWN)
    ratio = mine.max_us / max(1.0, peer.max_us)
    found = f"{ratio:.2f} ({mine.max_us:.1f} µs to {peer.max_us:.0f} µs)"
    return Finding(item, wanted, found, Verdict.PASSED if ratio <= most else Verdict.FAILED)


def conclude(findings: Iterable[Finding]) -> Verdict:
    """The worst of them; with nothing found, nothing is known."""
    verdicts = {finding.verdict for finding in findings}
    if Verdict.FAILED in verdicts:
        return Verdict.FAILED
    if Verdict.UNKNOWN in verdicts or not verdicts:
        return Verdict.UNKNOWN
    return Verdict.PASSED
