"""A recorded update, cut everywhere: what GRUB makes of each state the disk can be left in.

A sparse copy of the disk is what is cut. What has been judged is kept beside it: started again, the
run goes on where it was.
"""

import random
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from ota.boot_env.decision import Started
from ota.boot_env.states import SECTOR_BYTES
from ota.power_cut.cuts import Cut, cuts, last_sector, pieces
from ota.power_cut.damage import damages
from ota.power_cut.judge import Judge
from ota.power_cut.replay import SLOT_NAME, SMALL, Disk, copy_sparse, situation, windows_of
from ota.power_cut.verdict import (
    JUDGED,
    NO_TABLE,
    Kept,
    Kind,
    Known,
    Say,
    Verdict,
    fault_of,
    held,
    said,
)
from ota.power_cut.write_log import Window, Wrote, numbered, numbered_windows

SLOT_POINTS: Final = 200  # of the windows in which a slot is written, so many are judged


class Mark(NamedTuple):
    """From this entry of the log on, the robot was doing this."""

    entry: int
    phase: str


class Decides(Protocol):
    """GRUB, on the disk as it is; what it writes may stay."""

    def decide(self) -> Started: ...


@dataclass(frozen=True)
class Told:
    """What is known of a recording beside its writes."""

    marks: tuple[Mark, ...] = ()
    known: Known = field(default_factory=dict[str, str])
    cuts: bool = True
    damage: bool = False  # whether to ruin parts of the ESP, in each situation

    def phase(self, entry: int) -> str:
        passed = [mark.phase for mark in self.marks if mark.entry <= entry]
        return passed[-1] if passed else ""


class Place(NamedTuple):
    """Where in the recording: what every verdict from there says of itself."""

    entry: int
    phase: str
    situation: str


Naming = Callable[[str, Disk], str]


def itself(key: str, disk: Disk) -> str:
    """Each state on its own."""
    return key


@dataclass
class Run:
    """The proof in progress: what is judged already is not judged again."""

    disk: Disk
    judge: Decides
    told: Told
    kept: Kept
    slot_entries: frozenset[int] = frozenset()
    naming: Naming = itself  # states of one name are judged once
    twice: bool = True  # also the start after another cut
    _damaged: set[str] = field(default_factory=set[str])

    def go(self, log: Path) -> None:
        for entry, window in numbered_windows(numbered(log)):
            place = Place(entry, self.told.phase(entry), situation(self.disk.environment()))
            small = self.disk.sectors(tuple(one for one in window if self.disk.owner(one) in SMALL))
            if small and self.told.cuts:
                self._judge_small(place, small, window)
            elif self.told.cuts and entry in self.slot_entries:
                self._judge_slot(place, window)
            for one in window:
                self.disk.write(one)
            if small and self.told.damage:
                self._judge_damage(entry)

    def _judge_small(self, place: Place, small: Window, window: Window) -> None:
        """Without the slots' writes of the same window, and, where it has some, with all."""
        slots = tuple(one for one in window if self.disk.owner(one) in SLOT_NAME)
        self._judge_cuts(place, small, "")
        if slots:
            with self.disk.holding(slots):
                self._judge_cuts(place, small, " after its slot writes")

    def _judge_cuts(self, place: Place, small: Window, note: str) -> None:
        for cut in cuts(small, place.entry):
            self._judge_cut(f"{place.entry}: {cut.name}{note}", place, small, cut)

    def _judge_cut(self, key: str, place: Place, window: Window, cut: Cut) -> None:
        before = {at: self.disk.read(last_sector(window[at]), SECTOR_BYTES) for at, _ in cut.torn}
        with self.disk.holding(tuple(pieces(window, cut, before))):
            self._decide(key, Kind.TORN if cut.torn else Kind.SUBSET, place)

    def _judge_slot(self, place: Place, window: Window) -> None:
        """A slot half written."""
        with self.disk.holding(window[: len(window) // 2 + 1]):
            self._decide(f"{place.entry}: slot", Kind.SLOT, place)

    def _judge_damage(self, entry: int) -> None:
        """Once for each situation in which both copies say the same."""
        name = situation(self.disk.environment())
        if name in self._damaged or not self.disk.settled():
            return
        self._damaged.add(name)
        place = Place(entry, "damage, by no cut", name)
        before = self.disk.esp_digest()
        for damage in damages(self.disk):
            with self.disk.holding(damage.writes):
                self._decide(f"{entry}: {damage.name}", Kind.DAMAGE, place)
        if self.disk.esp_digest() != before:
            raise RuntimeError("a judged state left something behind: what follows proves nothing")

    def _decide(self, key: str, kind: Kind, place: Place) -> None:
        """As the firmware and then GRUB would; afterwards the disk is as it was."""
        key = self.naming(key, self.disk)
        if key in self.kept.done:
            return
        mended = self.disk.mended_table()
        if mended is None:
            verdict = Verdict(key, kind, place.phase, place.situation, "nothing", "", NO_TABLE)
        else:
            copies = [Wrote(at, self.disk.read(at, SECTOR_BYTES)) for at in self.disk.copies]
            with self.disk.holding((*copies, *mended)):  # GRUB writes the copies
                first = self.judge.decide()
                second = self.judge.decide() if self.twice else None
            verdict = self._verdict(key, kind, place, first, second)
        self.kept.add(verdict)

    def _verdict(
        self, key: str, kind: Kind, place: Place, first: Started, second: Started | None
    ) -> Verdict:
        slots, known = self.disk.slot, self.told.known
        fault = fault_of(first, second, slots, known, damaged=kind is Kind.DAMAGE)
        outcome, holds = said(first, second), held(first, slots, known)
        return Verdict(key, kind, place.phase, place.situation, outcome, holds, fault)


def prove(disk: Path, log: Path, folder: Path, say: Say, told: Told | None = None) -> list[Verdict]:
    """Judge every cut of the recording; goes on where an earlier run ended."""
    folder.mkdir(parents=True, exist_ok=True)
    replayed_file = folder / "disk.img"  # anew each time: a run that was stopped left it half cut
    copy_sparse(disk, replayed_file)
    kept = Kept(folder / JUDGED, say)
    with closing(Disk(replayed_file)) as replayed:
        points = slot_points(log, replayed)
        judge = Judge(replayed_file, folder)
        Run(replayed, judge, told or Told(), kept, points).go(log)
    return list(kept.done.values())


def slot_points(log: Path, disk: Disk, count: int = SLOT_POINTS) -> frozenset[int]:
    """At which windows of a slot's writes a state is judged: the ends, and some in between."""
    of_slots = windows_of(log, disk, SLOT_NAME)
    if len(of_slots) <= count:
        return frozenset(of_slots)
    drawn = random.Random(len(of_slots)).sample(of_slots, count)
    return frozenset((of_slots[0], of_slots[-1], *drawn))
