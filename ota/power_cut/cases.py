"""What goes wrong beside power: a slot that cannot start, a clock that lies, a disk that is full.

Each case is the recorded robot at one moment, with one thing made wrong.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from ota.boot_env.states import SLOT_A, SLOT_B
from ota.power_cut import wrong
from ota.power_cut.boots import Replay, guest_of, look_at_robot, replaying
from ota.power_cut.firmware import Firmware, FirmwareError
from ota.power_cut.guest import GuestError, Running
from ota.power_cut.recording import Recording
from ota.power_cut.replay import copy_sparse
from ota.power_cut.rows import append_row, read_rows
from ota.power_cut.shares import in_shares
from ota.power_cut.story import BOOT_S, READY
from ota.power_cut.verdict import Say, said

OUTCOMES: Final = "cases.jsonl"
ON_TRIAL: Final = "restart and start of trial 1"  # installed, and not yet tried
AT_REST: Final = "install 2"  # committed, nothing under way
HANGS_S: Final = 240  # longer than any watchdog here waits
FREE: Final = "$(stat -f -c %f /data) * $(stat -f -c %S /data)"  # what is kept for root too
# Most of it at once, but for what ext4 lets nobody have (16 MiB); then all that is left: writing
# from an endless file only ends when no block is given any more.
FILL: Final = (
    f"sudo fallocate -l $(({FREE} - {20 << 20})) /data/cut/filled;"
    " ! sudo sh -c 'cat /dev/zero > /data/cut/last'"
)
UPDATE: Final = "/data/cut/third.mender"
INSTALL: Final = f"sudo bedplate ota install --no-reboot {UPDATE}"
# Without systemd: its answer takes longer than anybody waits where emulated processors are busy.
FIRST: Final = "/run/cut-first"
IN_BACKGROUND: Final = (
    f"sudo setsid --fork sh -c 'echo $$ >{FIRST}; exec {INSTALL.removeprefix('sudo ')}'"
    " </dev/null >/dev/null 2>&1"
)
KILL_FIRST: Final = f"sudo pkill -KILL --session $(cat {FIRST})"


@dataclass(frozen=True)
class Outcome:
    """What a case came to; `fault` is empty if it is what was wanted."""

    name: str
    wanted: str
    found: str
    fault: str
    took_s: float


Alter = Callable[[wrong.Slots], None]
Ask = Callable[[Running], str]


@dataclass(frozen=True)
class Case:
    """`alter` makes the disk wrong, `ask` what follows and returns what was found."""

    name: str
    moment: str
    wanted: str
    alter: Alter = lambda slots: None
    ask: Ask | None = None  # none: only the decision of the loader under the robot's firmware


def came_up(robot: Running) -> str:
    """Where it is once it answers, and that it works."""
    robot.wait("SSH", lambda: robot.holds("true"), BOOT_S)
    slot, choice = robot.slot_and_choice()
    artifact = {"a": "first", "b": "second"}[slot]
    faults = list(look_at_robot(robot, artifact))
    return "; ".join([f"{choice} {slot}", *faults])


def halts(robot: Running) -> str:
    """For each slot the kernel has its turns first: without its arguments it finds no root."""
    robot.wait("a halt", lambda: "bedplate: HALT" in robot.console(), BOOT_S)
    return "halt"


def hangs_then_reset(robot: Running) -> str:
    try:
        robot.wait("a restart", lambda: robot.console().count("bedplate: slot ") > 1, HANGS_S)
        return "restarted by itself; " + came_up(robot)
    except GuestError:
        robot.reset()
        return "hangs until it is reset; " + came_up(robot)


def with_date(robot: Running, year: int) -> str:
    """The emulated firmware keeps its clock to itself, so it is set by hand; data remembers it."""
    came_up(robot)
    before = robot.boot_id()
    robot.ssh(f"sudo date --set='{year}-06-01 12:00 UTC' && sync")
    robot.reset()
    robot.wait_for_another_start(before, BOOT_S)
    found = came_up(robot)
    robot.wait("the next may come", lambda: robot.holds(READY), BOOT_S)
    return f"{found}, ready for the next"


def full_disk(robot: Running) -> str:
    came_up(robot)
    robot.ssh(FILL)
    refused = robot.try_ssh(INSTALL, timeout_s=1800).returncode != 0
    robot.ssh("sudo rm -f /data/cut/filled /data/cut/last")
    ready = robot.holds(READY)
    said = "refused" if refused else "installed"
    return f"{said}, {'still ready for the next' if ready else 'an update is under way'}"


def two_installers(robot: Running) -> str:
    came_up(robot)
    robot.ssh(IN_BACKGROUND)
    robot.wait("the first writes", lambda: robot.holds("pgrep -x mender"), 300)
    second = robot.try_ssh(INSTALL, timeout_s=1800).returncode
    robot.ssh(KILL_FIRST)
    robot.wait("the next may come", lambda: robot.holds(READY), 300)
    return (
        f"the second is {'refused' if second else 'let in'}, the first killed, ready for the next"
    )


CASES: Final = (
    Case("kernel missing", ON_TRIAL, "rolled-back a", wrong.without_kernel),
    Case("kernel damaged", ON_TRIAL, "rolled-back a", wrong.with_damaged_kernel),
    Case("start script gone: a kernel without arguments", ON_TRIAL, "rolled-back a",
         lambda s: wrong.without_script(s, SLOT_B), came_up),
    Case("new slot all zeros", ON_TRIAL, "rolled-back a", wrong.all_zeros),
    Case("both slots bad", ON_TRIAL, "halt", wrong.both_bad, halts),
    Case("committed slot bad, the other whole", AT_REST, "other a",
         lambda s: wrong.without_script(s, SLOT_B), came_up),
    Case("one block of the root damaged: the kernel panics", ON_TRIAL, "rolled-back a",
         wrong.with_damaged_init, came_up),
    Case("init missing: the kernel panics", ON_TRIAL, "rolled-back a",
         lambda s: wrong.other_init(s, "/usr/bin/nothing"), came_up),
    Case("init hangs before systemd", ON_TRIAL, "hangs until it is reset; rolled-back a",
         lambda s: wrong.other_init(s, "/usr/bin/cat"), hangs_then_reset),
    Case("clock set to 1970, then power goes", AT_REST, "committed b, ready for the next",
         ask=lambda robot: with_date(robot, 1970)),
    Case("clock set to 2100, then power goes", AT_REST, "committed b, ready for the next",
         ask=lambda robot: with_date(robot, 2100)),
    Case("data partition full", AT_REST, "refused, still ready for the next", ask=full_disk),
    Case("two installers at once", AT_REST,
         "the second is refused, the first killed, ready for the next", ask=two_installers),
)  # fmt: skip


def go_through(recording: Recording, folder: Path, say: Say, jobs: int = 1) -> None:
    """Each case once, so many guests at once; what came out as wanted is not done again."""
    file = folder / OUTCOMES
    done = {one.name: one for one in read_outcomes(file)}
    left = [case for case in CASES if case.name not in done or done[case.name].fault]

    def work(worker: int, turns: Iterator[tuple[int, Case]]) -> None:
        with replaying(recording, folder / str(worker)) as replay:
            for _, case in turns:
                entry = next(mark.entry for mark in recording.marks if mark.phase == case.moment)
                made = _try(case, replay, entry - 1)
                append_row(file, asdict(made))
                say(f"{made.name}: {made.found}{' NOT AS WANTED' if made.fault else ''}")

    if left:
        in_shares(left, jobs, work)


def read_outcomes(file: Path) -> list[Outcome]:
    """The last of each case that there still is."""
    rows = {row["name"]: Outcome(**row) for row in read_rows(file)}
    return [rows[case.name] for case in CASES if case.name in rows]


def _try(case: Case, replay: Replay, entry: int) -> Outcome:
    began_s = time.monotonic()
    disk, copy = replay.to(entry), replay.folder / "wrong.img"
    copy_sparse(disk.path, copy)
    case.alter(wrong.Slots(copy, {SLOT_A: disk.starts[SLOT_A], SLOT_B: disk.starts[SLOT_B]}))
    found = _found(case, copy, replay)
    copy.unlink()
    fault = "" if found == case.wanted else f"wanted {case.wanted}"
    return Outcome(case.name, case.wanted, found, fault, round(time.monotonic() - began_s, 1))


def _found(case: Case, copy: Path, replay: Replay) -> str:
    folder = replay.folder / "guest"
    try:
        if case.ask is None:
            started = Firmware(copy, folder, None).start()
            return said(started, None)
        guest = guest_of(copy, folder)
        with Running(guest, replay.key, one_login=True) as robot:
            return case.ask(robot)
    except (FirmwareError, GuestError) as error:
        return str(error)[:500]
