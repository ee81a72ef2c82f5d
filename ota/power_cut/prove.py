"""A recorded update, cut everywhere: what GRUB makes of each state the disk can be left in.

    python -m ota.power_cut.prove DISK LOG FOLDER [--table FILE]

DISK is the disk as it was when the recording began; a sparse copy in FOLDER is what is cut. What
has been judged is kept there too: started again, the run goes on where it was.
"""

import argparse
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from ota.boot_env.decision import Choice, Started
from ota.boot_env.esp import EspError, locate
from ota.boot_env.states import SECTOR_BYTES, SLOT_A, SLOT_B, State, agreed, decode
from ota.power_cut.cuts import Cut, cuts, last_sector, pieces
from ota.power_cut.judge import Judge, is_whole, table_of
from ota.power_cut.write_log import Window, Wrote, entries, windows

ESP: Final = 1
DATA: Final = 4
SLOT_POINTS: Final = 200  # of the windows in which a slot is written, so many are judged
CHUNK_BYTES: Final = 1 << 20
SLOT_NAME: Final = {SLOT_A: "a", SLOT_B: "b"}


@dataclass(frozen=True)
class Verdict:
    """One state of the disk, judged."""

    key: str
    situation: str  # what the environment said before this window
    outcome: str
    fault: str  # empty: as it must be


class Disk:
    """The disk as it is replayed, and which bytes are whose."""

    def __init__(self, path: Path):
        self.path = path
        self._stream: IO[bytes] = path.open("r+b", buffering=0)
        self.starts = table_of(path)
        self.versions = {SLOT_A: 0, SLOT_B: 0}
        self._whole: dict[tuple[int, int], bool] = {}
        self.copies = self._find_copies()

    def close(self) -> None:
        self._stream.close()

    def read(self, at: int, size: int) -> bytes:
        self._stream.seek(at)
        return self._stream.read(size)

    def write(self, one: Wrote) -> None:
        self._stream.seek(one.at_bytes)
        self._stream.write(one.content)

    def owner(self, one: Wrote) -> int:
        """Number of the partition that a write begins in; 0 for the tables around them."""
        return max((n for n, at in self.starts.items() if at <= one.at_bytes), default=0)

    def environment(self) -> State | None:
        first, second = (decode(self.read(at, SECTOR_BYTES)) for at in self.copies)
        return agreed(first, second)

    def is_whole(self, slot: int) -> bool:
        key = slot, self.versions[slot]
        if key not in self._whole:
            self._whole[key] = is_whole(self.read, self.starts[slot])
        return self._whole[key]

    def _find_copies(self) -> tuple[int, int]:
        base = self.starts[ESP]

        def read(sector: int) -> bytes:
            return self.read(base + sector * SECTOR_BYTES, SECTOR_BYTES)

        try:
            first, second = (base + locate(read, copy) * SECTOR_BYTES for copy in (1, 2))
        except EspError as error:
            raise EspError(f"{self.path}: its EFI system partition: {error}") from error
        return first, second


def situation(state: State | None) -> str:
    if state is None:
        return "environment lost"
    if not state.upgrade:
        return f"slot {SLOT_NAME[state.part]} committed"
    return f"slot {SLOT_NAME[state.part]} on trial, {'tried' if state.tried else 'not yet tried'}"


def fault_of(first: Started, second: Started, whole: Callable[[int], bool]) -> str:
    """What must not be: of the start after the cut, and of the one after another cut."""
    for one in (first, second):
        if one.slot is None:
            return "nothing starts"
        if not whole(one.slot):
            return f"slot {SLOT_NAME[one.slot]} starts and is not whole"
    if first.choice is Choice.TRIAL and second.choice is Choice.TRIAL:
        return "the trial slot is started twice"
    if Choice.RESTORED in (first.choice, second.choice):
        return "both copies of the environment were lost"
    return ""


@dataclass
class Run:
    """The proof in progress: what is judged already is not judged again."""

    disk: Disk
    judge: Judge
    done: dict[str, Verdict]
    keep: Callable[[Verdict], None]
    say: Callable[[str], object]
    slot_windows: frozenset[int] = field(default_factory=frozenset)

    def go(self, found: list[Window]) -> None:
        for number, window in enumerate(found):
            small = tuple(one for one in window if self.disk.owner(one) in (0, ESP))
            if small:
                self._judge_window(number, small)
                self.say(f"window {number + 1} of {len(found)}: {len(self.done)} states judged")
            elif number in self.slot_windows:
                self._judge_slot(number, window)
            for one in window:
                self._apply(one)

    def _apply(self, one: Wrote) -> None:
        owner = self.disk.owner(one)
        if owner in self.disk.versions:
            self.disk.versions[owner] += 1
        self.disk.write(one)

    def _judge_window(self, number: int, window: Window) -> None:
        name = situation(self.disk.environment())
        for cut in cuts(window, number):
            key = f"{number}: {cut.name}"
            if key not in self.done:
                self._judge_cut(key, name, window, cut)

    def _judge_slot(self, number: int, window: Window) -> None:
        """A slot half written: all of the window there, or its first half."""
        key = f"{number}: slot"
        if key in self.done:
            return
        name = situation(self.disk.environment())
        kept = tuple(self._kept(window))
        for one in window[: len(window) // 2 + 1]:
            self._apply(one)
        self._decide(key, f"{name}, the other being written")
        for one in reversed(kept):
            self._apply(one)

    def _judge_cut(self, key: str, name: str, window: Window, cut: Cut) -> None:
        kept = tuple(self._kept(window))
        before = {at: self.disk.read(last_sector(window[at]), SECTOR_BYTES) for at, _ in cut.torn}
        for one in pieces(window, cut, before):
            self.disk.write(one)
        self._decide(key, name)
        for one in reversed(kept):
            self.disk.write(one)

    def _kept(self, window: Window) -> Iterator[Wrote]:
        """What these writes, and GRUB's own, will have changed."""
        for one in window:
            yield Wrote(one.at_bytes, self.disk.read(one.at_bytes, len(one.content)))

    def _decide(self, key: str, name: str) -> None:
        copies = [Wrote(at, self.disk.read(at, SECTOR_BYTES)) for at in self.disk.copies]
        first = self.judge.decide()
        second = self.judge.decide()
        for one in copies:
            self.disk.write(one)
        slot = "" if first.slot is None else f" {SLOT_NAME[first.slot]}"
        fault = fault_of(first, second, self.disk.is_whole)
        verdict = Verdict(key, name, f"{first.choice}{slot}, then {second.choice}", fault)
        self.done[key] = verdict
        self.keep(verdict)


def prove(disk: Path, log: Path, folder: Path, say: Callable[[str], object]) -> list[Verdict]:
    """Judge every cut of the recording; goes on where an earlier run ended."""
    folder.mkdir(parents=True, exist_ok=True)
    replayed_file = folder / "disk.img"  # anew each time: a run that was stopped left it half cut
    with disk.open("rb") as source, replayed_file.open("wb") as out:
        copy_sparse(source, out)
    progress = folder / "judged.jsonl"
    done: dict[str, Verdict] = {}
    if progress.exists():
        rows = [json.loads(line) for line in progress.read_text().splitlines()]
        done = {row["key"]: Verdict(**row) for row in rows}
    found = list(windows(entries(log)))
    with progress.open("a") as out:

        def keep(verdict: Verdict) -> None:
            out.write(json.dumps(verdict.__dict__) + "\n")
            out.flush()

        with closing(Disk(replayed_file)) as replayed:
            points = _points(found, replayed)
            run = Run(replayed, Judge(replayed_file, folder), done, keep, say, points)
            run.go(found)
    return list(run.done.values())


def copy_sparse(source: IO[bytes], out: IO[bytes]) -> None:
    """Holes stay holes, and are not even read."""
    end = os.fstat(source.fileno()).st_size
    out.truncate(end)
    at = 0
    while at < end:
        try:
            at = os.lseek(source.fileno(), at, os.SEEK_DATA)
        except OSError:  # nothing but a hole is left
            return
        stop = os.lseek(source.fileno(), at, os.SEEK_HOLE)
        while at < stop:
            chunk = os.pread(source.fileno(), min(CHUNK_BYTES, stop - at), at)
            out.seek(at)
            out.write(chunk)
            at += len(chunk)


def _points(found: list[Window], disk: Disk) -> frozenset[int]:
    """At which writes of a slot a state is judged: the ends, and some in between."""
    of_slots = [
        number
        for number, window in enumerate(found)
        if any(disk.owner(one) in (SLOT_A, SLOT_B) for one in window)
    ]
    if len(of_slots) <= SLOT_POINTS:
        return frozenset(of_slots)
    drawn = random.Random(len(of_slots)).sample(of_slots, SLOT_POINTS)
    return frozenset((of_slots[0], of_slots[-1], *drawn))


def table(verdicts: list[Verdict]) -> str:
    """The result as a page shows it."""
    counted = Counter((one.situation, one.outcome, one.fault) for one in verdicts)
    lines = ["| the environment said | GRUB starts, and after another cut | states | |"]
    lines.append("| --- | --- | --- | --- |")
    for (name, outcome, fault), count in sorted(counted.items()):
        lines.append(f"| {name} | {outcome} | {count} | {fault or 'whole'} |")
    bad = sum(1 for one in verdicts if one.fault)
    return "\n".join(lines) + f"\n\n{len(verdicts)} states, {bad} of them with a fault.\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Cut a recorded update everywhere.")
    parser.add_argument("disk", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--table", type=Path)
    given = parser.parse_args()
    verdicts = prove(
        given.disk, given.log, given.folder, lambda text: sys.stderr.write(text + "\n")
    )
    text = table(verdicts)
    sys.stdout.write(text)
    if given.table:
        given.table.write_text(text)
    return 1 if any(one.fault for one in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
