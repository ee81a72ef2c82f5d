"""Disks that a cut left, started to the end: does a working robot come up, and the right one?

The disk is as after so many writes of the recording: one write of the environment more or less at
each place where the decision could differ, and random places of a slot half written, and of what
the robot keeps on its data partition. One start stands for every cut that leaves it the same disk:
what it reads is looked at while it runs.
"""

import json
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from image.qemu import Guest, prepare
from image.ssh import free_port
from ota.boot_env import decision
from ota.boot_env.decision import Content, Started
from ota.boot_env.states import SECTOR_BYTES, SLOT_A, SLOT_B, decode
from ota.power_cut.guest import GuestError, Running
from ota.power_cut.prove import SLOT_POINTS
from ota.power_cut.reads import Stretch, found_by, same_for, traced
from ota.power_cut.recording import Recording
from ota.power_cut.replay import DATA, SLOT_NAME, SMALL, Disk, copy_sparse, situation
from ota.power_cut.rows import append_row, read_rows
from ota.power_cut.shares import in_shares
from ota.power_cut.story import BOOT_S, KEEPSAKE, KEEPSAKE_SHA256, READY
from ota.power_cut.verdict import Say
from ota.power_cut.write_log import Wrote, numbered

BOOTS: Final = "boots.jsonl"
DATA_POINTS: Final = 40  # nearly each is a start of its own: a journal, and all start by reading it
MIB: Final = 1 << 20
AT_WORK: Final = "systemctl is-active --quiet bedplate-controld bedplate-policyd bedplate-agentd"
DATA_IS_THERE: Final = "test ! -e /run/bedplate/data-volatile"
STATUS: Final = "sudo bedplate ota status --json"
ASKED_S: Final = 900
CPUS: Final = 4  # control keeps one; on the others a dozen processes start at once


class Place(StrEnum):
    """What was being written when the power went."""

    BOUNDARY = "boundary"  # ESP or table: the decision could differ there
    DATA = "data"
    SLOT = "slot"


@dataclass(frozen=True)
class Point:
    """Power goes after this entry of the log."""

    entry: int
    place: Place


@dataclass(frozen=True)
class Boot:
    """What came of one."""

    entry: int
    place: Place
    phase: str
    situation: str
    outcome: str
    artifact: str
    faults: tuple[str, ...]
    took_s: float
    same: Stretch  # power that goes anywhere there comes to this start

    def stands_for(self, point: Point) -> bool:
        """One with a fault for its own disk alone: what it missed may be the guest's, not its."""
        if self.faults:
            return self.entry == point.entry
        return self.same.first <= point.entry <= self.same.last


def points(recording: Recording) -> tuple[Point, ...]:
    """The boundaries, then the random ones; of each some from every phase come first."""
    with closing(Disk(recording.disk)) as disk:
        owners = [
            (entry, disk.owner(one))
            for entry, one in numbered(recording.log)
            if one is not None
        ]  # fmt: skip
    small = [entry for entry, owner in owners if owner in SMALL]
    slots = [entry for entry, owner in owners if owner in SLOT_NAME]
    data = [entry for entry, owner in owners if owner == DATA]
    around = sorted({max(at, 0) for entry in small for at in (entry - 1, entry)})
    chance = random.Random(len(slots))
    chance.shuffle(around)
    chosen = {
        Place.BOUNDARY: around,
        Place.SLOT: chance.sample(slots, min(SLOT_POINTS, len(slots))),
        Place.DATA: chance.sample(data, min(DATA_POINTS, len(data))),
    }
    return tuple(Point(at, place) for place, entries in chosen.items() for at in entries)


class Replay:
    """The disk after so many entries of the log; going back begins anew."""

    def __init__(self, recording: Recording, folder: Path):
        self._recording = recording
        self.folder = folder
        self._file = folder / "disk.img"
        self._entry = -1
        self._log: Iterator[tuple[int, Wrote | None]] = iter(())
        self.disk = self._anew()

    def _anew(self) -> Disk:
        self._entry = -1
        copy_sparse(self._recording.disk, self._file)
        self._log = numbered(self._recording.log)
        return Disk(self._file)

    @property
    def key(self) -> Path:
        """Of the robot's operator."""
        return self._recording.key

    def close(self) -> None:
        self.disk.close()

    def to(self, entry: int) -> Disk:
        if entry < self._entry:
            self.disk.close()
            self.disk = self._anew()
        while self._entry < entry:
            found = next(self._log, None)
            if found is None:
                break
            self._entry, one = found
            if one is not None:
                self.disk.write(one)
        return self.disk


@contextmanager
def replaying(recording: Recording, folder: Path) -> Iterator[Replay]:
    """A folder of its own for the disk and its guest; gone when that ends."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with closing(Replay(recording, folder)) as replay:
            yield replay
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def start_each(
    recording: Recording, folder: Path, say: Say, most: int | None = None, jobs: int = 1
) -> None:
    """`most` starts, or as many as it takes until one stands for each point; `jobs` guests at
    once."""
    file, wanted = folder / BOOTS, points(recording)
    before = read_boots(file)

    def work(worker: int, turns: Iterator[tuple[int, Point]]) -> None:
        with replaying(recording, folder / str(worker)) as replay:
            for _, point in turns:
                made = read_boots(file)
                if most is not None and len(made) - len(before) >= most:
                    return
                if stood_for(made, point):
                    continue
                one = _start(recording, replay.to(point.entry), point, replay.folder)
                append_row(file, asdict(one))
                covered = len(all_stood_for(read_boots(file), wanted))
                trouble = "; ".join(one.faults) or "works"
                say(f"{covered} of {len(wanted)}: {one.phase}, {one.outcome}: {trouble}")

    left = [one for one in wanted if not stood_for(before, one)]
    if left:
        in_shares(left, jobs, work)


def stood_for(made: Sequence[Boot], point: Point) -> Boot | None:
    """The start that a cut there would come to, if it has been made."""
    return next((one for one in made if one.stands_for(point)), None)


def all_stood_for(made: Sequence[Boot], wanted: Sequence[Point]) -> list[tuple[Point, Boot]]:
    found = ((point, stood_for(made, point)) for point in wanted)
    return [(point, start) for point, start in found if start is not None]


def read_boots(file: Path) -> list[Boot]:
    return [_boot(**row) for row in read_rows(file)]


def _boot(place: str, faults: list[str], same: tuple[int, int], **rest: Any) -> Boot:
    return Boot(place=Place(place), faults=tuple(faults), same=Stretch(*same), **rest)


def expected(disk: Disk) -> Started:
    """What the loader must do with this disk, by the function that it is compared with."""
    first, second = (decode(disk.read(at, SECTOR_BYTES)) for at in disk.copies)
    slots = {number: disk.slot(number) is not None for number in (SLOT_A, SLOT_B)}
    contents = {number: Content(loads=whole, intact=whole) for number, whole in slots.items()}
    return decision.boot(decision.Disk(first, second, contents))


def _start(recording: Recording, disk: Disk, point: Point, folder: Path) -> Boot:
    began_s = time.monotonic()
    told = recording.told()
    wanted = expected(disk)
    name = situation(disk.environment())
    faults: list[str] = []
    artifact = ""
    same = Stretch(point.entry, point.entry)
    if wanted.slot is None:
        faults.append("nothing would start")
    else:
        found = disk.slot(wanted.slot)
        artifact = "" if found is None else told.known.get(found.digest, "")
        if not artifact:
            faults.append("the slot that starts holds no artifact that was installed")
        trace = folder / "trace"
        trace.unlink(missing_ok=True)  # of the start before
        faults += _watch(recording, disk, wanted, artifact, folder, trace)
        same = _same(recording, disk, wanted.slot, point.entry, trace)
    slot = "" if wanted.slot is None else f" {SLOT_NAME[wanted.slot]}"
    return Boot(
        entry=point.entry,
        place=point.place,
        phase=told.phase(point.entry),
        situation=name,
        outcome=f"{wanted.choice}{slot}",
        artifact=artifact,
        faults=tuple(faults),
        took_s=round(time.monotonic() - began_s, 1),
        same=same,
    )


def _same(recording: Recording, disk: Disk, slot: int, entry: int, trace: Path) -> Stretch:
    """The slot that runs must be an artifact's to its last byte, whether that was read or not."""
    if not trace.exists():  # nor was there a guest, then
        return Stretch(entry, entry)
    with trace.open() as lines:
        found = found_by(lines, disk.size_bytes)
    if found.any():
        sectors = (at // SECTOR_BYTES for at in disk.extent(slot))
        found[slice(*sectors)] = True
    return same_for(found, entry, numbered(recording.log))


def _watch(
    recording: Recording, disk: Disk, wanted: Started, artifact: str, folder: Path, trace: Path
) -> list[str]:
    """Everything that is not as it must be."""
    guest = guest_of(disk.path, folder / "guest", traced(trace))
    with Running(guest, recording.key, one_login=True) as robot:
        try:
            robot.wait("SSH", lambda: robot.holds("true"), BOOT_S)
            return list(_looks(robot, wanted, artifact))
        except GuestError as error:
            return [str(error)[:500]]


def guest_of(disk: Path, folder: Path, extra: tuple[str, ...] = ()) -> Guest:
    """A guest on a copy of that disk which is thrown away."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("disk.qcow2", "console", "qmp"):
        (folder / name).unlink(missing_ok=True)
    guest = Guest(
        image=disk,
        folder=folder,
        disk_mib=disk.stat().st_size // MIB,
        ssh_port=free_port(),
        serial=f"file:{folder / 'console'}",
        cpus=CPUS,
        extra=extra,
    )
    prepare(guest)
    return guest


def _looks(robot: Running, wanted: Started, artifact: str) -> Iterator[str]:
    assert wanted.slot is not None
    slot, choice = robot.slot_and_choice()
    if (slot, choice) != (SLOT_NAME[wanted.slot], wanted.choice.value):
        yield f"slot {slot} ({choice}) runs"
    yield from look_at_robot(robot, artifact)
    if wanted.choice is not decision.Choice.TRIAL:
        try:
            robot.wait("a slot may be written", lambda: robot.holds(READY), BOOT_S)
        except GuestError:
            yield "it would not take the next update"


def look_at_robot(robot: Running, artifact: str) -> Iterator[str]:
    """What must hold of every robot that came up."""
    robot.wait("its processes are at work", lambda: robot.holds(AT_WORK), BOOT_S)
    told = json.loads(robot.ssh(STATUS, timeout_s=ASKED_S)).get("artifact_name")
    if told != artifact:
        yield f"it says that it runs {told!r}, and runs {artifact!r}"
    if not robot.holds(DATA_IS_THERE):
        yield "its data partition is not there"
    printed = robot.ssh(f"sudo sha256sum /data/{KEEPSAKE}").split()[0]
    if printed != KEEPSAKE_SHA256:
        yield "a file on its data partition is not what it was"
