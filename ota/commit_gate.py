"""Whether what is on trial may stay: a pure function of readings and time.

A reading that could not be taken is `unknown`, and unknown never passes. What may still get well is
waited for until the deadline; what no waiting changes fails at once. The deadline itself fails.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from records import Certainty


class Item(StrEnum):
    """Everything the gate asks; a reading that is missing counts as unknown."""

    SLOT = "gate.slot"
    BOOT = "gate.boot"
    PROCESSES = "gate.processes"
    LATENCY = "gate.latency"
    PERCEPTION = "gate.perception"
    POLICY = "gate.policy"
    FLEET = "gate.fleet"
    SERVER = "gate.server"
    DISK = "gate.disk"


class Verdict(StrEnum):
    """From best to worst."""

    PASS = "pass"
    WAITING = "waiting"
    UNKNOWN = "unknown"
    FAIL = "fail"


GRACE_S: Final = 120.0  # for the client to roll back by itself, and to tell its server why
RANK: Final[Mapping[Verdict, int]] = {verdict: rank for rank, verdict in enumerate(Verdict)}


@dataclass(frozen=True)
class Reading:
    """What one look found. `lasting`: no waiting changes it."""

    item: Item
    certainty: Certainty
    wanted: str
    found: str
    lasting: bool = False

    def sentence(self) -> str:
        return f"{self.item.value} is {self.certainty.value}: {self.found}, wanted {self.wanted}"


@dataclass(frozen=True)
class Decision:
    verdict: Verdict
    reasons: tuple[str, ...]  # of a pass: none

    @property
    def is_final(self) -> bool:
        match self.verdict:
            case Verdict.PASS | Verdict.FAIL:
                return True
            case Verdict.WAITING | Verdict.UNKNOWN:
                return False


def decide(readings: Iterable[Reading], elapsed_s: float, timeout_s: float) -> Decision:
    """The verdict now. Making a reading worse, or time pass, never makes it better."""
    known = worst_of_each(readings)
    all_of_them = tuple(known.get(item) or _missing(item) for item in Item)
    bad = tuple(row for row in all_of_them if row.certainty is not Certainty.OK)
    lasting = tuple(row for row in bad if row.certainty is Certainty.WRONG and row.lasting)
    reasons = tuple(row.sentence() for row in bad)
    if lasting:
        return Decision(Verdict.FAIL, tuple(row.sentence() for row in lasting))
    if not math.isfinite(elapsed_s) or elapsed_s < 0:
        return Decision(Verdict.UNKNOWN, (f"the clock says {elapsed_s} s", *reasons))
    if not bad:  # the deadline ends waiting: what is seen to be good needs none
        return Decision(Verdict.PASS, ())
    if elapsed_s >= timeout_s:
        late = f"not decided within {timeout_s:g} s ({elapsed_s:.0f} s have passed)"
        return Decision(Verdict.FAIL, (late, *reasons))
    known_nothing = all(row.certainty is Certainty.UNKNOWN for row in all_of_them)
    return Decision(Verdict.UNKNOWN if known_nothing else Verdict.WAITING, reasons)


def worst_of_each(readings: Iterable[Reading]) -> dict[Item, Reading]:
    """Two readings of one item: the worse one counts."""
    known: dict[Item, Reading] = {}
    for row in readings:
        before = known.get(row.item)
        if before is None or badness(row) > badness(before):
            known[row.item] = row
    return known


def badness(row: Reading) -> int:
    match row.certainty:
        case Certainty.OK:
            return 0
        case Certainty.UNKNOWN:
            return 1
        case Certainty.WRONG:
            return 3 if row.lasting else 2


def _missing(item: Item) -> Reading:
    return Reading(item, Certainty.UNKNOWN, "a reading", "nothing read it")


@dataclass(frozen=True)
class Wakeups:
    """How late Tier 1 woke up while it was watched."""

    p999_us: float
    max_us: float
    cycles: int


@dataclass(frozen=True)
class LatencyLimits:
    """`decides` False: the machine's clock is not the robot's, so latency is only reported."""

    limit_us: float
    margin_ratio: float
    cycles: int
    decides: bool
    why_not: str = ""


def judge_latency(
    measured: Wakeups | None, committed_p999_us: float | None, limits: LatencyLimits
) -> Reading:
    """Within the profile's limit, and no worse than the last committed one by more than a ratio."""
    bound = _bound(committed_p999_us, limits)
    wanted = f"at most {bound:.1f} µs at 99.9 %"
    if committed_p999_us is not None:
        wanted += f" (last committed {committed_p999_us:.1f} µs × {limits.margin_ratio:g})"
    if measured is None or measured.cycles < limits.cycles:
        seen = 0 if measured is None else measured.cycles
        found = f"{seen} of {limits.cycles} cycles watched"
        return Reading(Item.LATENCY, Certainty.UNKNOWN, wanted, found)
    found = f"{measured.p999_us:.1f} µs, latest {measured.max_us:.1f} µs, {measured.cycles} cycles"
    if not limits.decides:
        told = f"{found}; only told: {limits.why_not}"
        return Reading(Item.LATENCY, Certainty.OK, wanted, told)
    held = measured.p999_us <= bound  # NaN is not held
    certainty = Certainty.OK if held else Certainty.WRONG
    return Reading(Item.LATENCY, certainty, wanted, found, lasting=not held)


def _bound(committed_us: float | None, limits: LatencyLimits) -> float:
    """A committed value that is no number is none."""
    if committed_us is None or not math.isfinite(committed_us) or committed_us <= 0:
        return limits.limit_us
    return min(limits.limit_us, committed_us * limits.margin_ratio)


def judge_slot(wanted: str | None, booted: str | None) -> Reading:
    """The slot that the boot environment names, beside the one the kernel was started from."""
    if wanted is None or booted is None:
        return Reading(
            Item.SLOT, Certainty.UNKNOWN, f"slot {wanted or '?'}", f"slot {booted or 'unstated'}"
        )
    same = wanted == booted
    certainty = Certainty.OK if same else Certainty.WRONG
    return Reading(Item.SLOT, certainty, f"slot {wanted}", f"slot {booted}", lasting=not same)


def judge_absence(item: Item, wanted: str, reached: bool | None, excuse: str | None) -> Reading:
    """Something far away: reached, or its absence excused. Silence may end, so it never lasts."""
    match reached:
        case True:
            return Reading(item, Certainty.OK, wanted, "reached")
        case False | None if excuse is not None:
            return Reading(item, Certainty.OK, wanted, f"not reached; {excuse}")
        case False:
            return Reading(item, Certainty.WRONG, wanted, "not reached")
        case None:
            return Reading(item, Certainty.UNKNOWN, wanted, "nothing heard of it")


@dataclass(frozen=True)
class ProcessState:
    """What the service manager says of one process; `since_s`: how long it has been active."""

    name: str
    active: bool
    failed: bool
    since_s: float | None


def judge_processes(
    wanted: Iterable[str], found: Mapping[str, ProcessState], observe_s: float
) -> Reading:
    """All of them active without a restart for the declared time. One that the service manager has
    given up stays down; one that it starts again and again may still get well."""
    rows = {name: found.get(name) for name in wanted}
    text = f"all {len(rows)} active for {observe_s:g} s"
    failed = sorted(name for name, row in rows.items() if row is not None and row.failed)
    if failed:
        given_up = f"given up after many starts: {', '.join(failed)}"
        return Reading(Item.PROCESSES, Certainty.WRONG, text, given_up, lasting=True)
    unknown = sorted(name for name, row in rows.items() if row is None or row.since_s is None)
    down = sorted(name for name, row in rows.items() if row is not None and not row.active)
    if down:
        return Reading(Item.PROCESSES, Certainty.WRONG, text, f"not active: {', '.join(down)}")
    if unknown or not rows:
        found_text = f"not known: {', '.join(unknown) or 'any process'}"
        return Reading(Item.PROCESSES, Certainty.UNKNOWN, text, found_text)
    ages = {name: row.since_s for name, row in rows.items() if row and row.since_s is not None}
    youngest = min(ages, key=lambda name: ages[name])
    if not ages[youngest] >= observe_s:
        young = f"{youngest} only for {ages[youngest]:.0f} s"
        return Reading(Item.PROCESSES, Certainty.UNKNOWN, text, young)
    return Reading(Item.PROCESSES, Certainty.OK, text, f"the youngest for {ages[youngest]:.0f} s")


def judge_disk(free_mib: float | None, wanted_mib: int) -> Reading:
    text = f"{wanted_mib} MiB free for data"
    if free_mib is None or not math.isfinite(free_mib):
        return Reading(Item.DISK, Certainty.UNKNOWN, text, "not to be read")
    certainty = Certainty.OK if free_mib >= wanted_mib else Certainty.WRONG
    return Reading(Item.DISK, certainty, text, f"{free_mib:.0f} MiB")
