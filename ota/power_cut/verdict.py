"""One state that a disk can be left in, judged; and the file that verdicts are kept in."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from ota.boot_env.decision import Choice, Started
from ota.power_cut.judge import Slot
from ota.power_cut.replay import SLOT_NAME
from ota.power_cut.rows import append_row, read_rows

LOST: Final = "both copies of the environment were lost"
NO_TABLE: Final = "neither partition table is right: the firmware finds nothing to start"
SAY_EVERY: Final = 50  # states
JUDGED: Final = "judged.jsonl"  # in the folder of each step that judges


class Kind(StrEnum):
    """How the disk came to be in this state."""

    SUBSET = "subset"  # of the writes between two flushes these are there, and not the others
    TORN = "torn"  # the same, one sector or more half written
    SLOT = "slot"  # a slot written in part
    DAMAGE = "damage"  # something else than a cut ruined a part of the ESP
    DATA = "data"  # the data partition, cut between two flushes


@dataclass(frozen=True)
class Verdict:
    key: str
    kind: str
    phase: str  # what the robot was doing
    situation: str  # what the environment said before
    outcome: str
    holds: str  # the artifact whose bytes the started slot holds, every one of them
    fault: str  # empty: as it must be


Slots = Callable[[int], Slot | None]
Known = Mapping[str, str]  # hash of a slot's content → name of the artifact


def held(started: Started, slots: Slots, known: Known) -> str:
    found = None if started.slot is None else slots(started.slot)
    return "" if found is None else known.get(found.digest, "")


def fault_of(
    first: Started, second: Started | None, slots: Slots, known: Known, *, damaged: bool = False
) -> str:
    """What must not be: of the start after the cut, and of the one after another cut.

    A disk that was damaged beside the cut may forget that a trial was made, or lose its
    environment; it may never start what is not whole.
    """
    starts = [first] if second is None else [first, second]
    for one in starts:
        if one.slot is None:
            return "nothing starts"
        found = slots(one.slot)
        if found is None:
            return f"slot {SLOT_NAME[one.slot]} starts and is not whole"
        if known and found.digest not in known:
            return f"slot {SLOT_NAME[one.slot]} starts and is no artifact that was installed"
    if damaged:
        return ""
    choices = [one.choice for one in starts]
    if choices == [Choice.TRIAL, Choice.TRIAL]:
        return "the trial slot is started twice"
    if Choice.RESTORED in choices:
        return LOST
    return ""


def said(first: Started, second: Started | None) -> str:
    """For a person: which slot and why, and what the start after another cut does."""
    slot = "" if first.slot is None else f" {SLOT_NAME[first.slot]}"
    return f"{first.choice}{slot}" + ("" if second is None else f", then {second.choice}")


def read_verdicts(file: Path) -> dict[str, Verdict]:
    """By their keys; none where nothing was judged."""
    return {row["key"]: Verdict(**row) for row in read_rows(file)}


Say = Callable[[str], object]


class Kept:
    """Verdicts of earlier runs and of this one."""

    def __init__(self, file: Path, say: Say):
        self.done = read_verdicts(file)
        self._file = file
        self._say = say

    def add(self, verdict: Verdict) -> None:
        """Tells of it if it has a fault, and how far the run is now and then."""
        self.done[verdict.key] = verdict
        append_row(self._file, asdict(verdict))
        if verdict.fault or len(self.done) % SAY_EVERY == 0:
            trouble = f": {verdict.fault}" if verdict.fault else ""
            self._say(f"{len(self.done)} states judged, now {verdict.phase}{trouble}")
