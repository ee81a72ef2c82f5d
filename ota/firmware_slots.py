"""NVIDIA's firmware slots behind the words of ota/boot_env/tool.py. **Never run on hardware.**

    python -m ota.firmware_slots print|set|ready|confirmed|show …   as the tools for GRUB

The firmware of a Jetson chooses the slot by EFI variables, and knows no trial: it starts a slot as
often as its retry count lasts, and then marks it 0xFF for good. So the trial is a note on data that
names the slot; from both the same closed record is made as for GRUB (`State`), the same function
decides what may be asked (`request.asked`: no commit without this boot's pass), and here that
becomes writes of variables, each order such that a cut leaves a slot that is whole.
"""

import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from ota.boot_env.request import Machine, Refused, not_ready
from ota.boot_env.states import SLOT_A, SLOT_B, State
from ota.boot_env.tool import NO_ENVIRONMENT, REFUSED, Options, answer, machine_of, parse, tell
from ota.boot_env.writer import claim
from ota.looking import read_table, read_text

VENDOR: Final = "781e084c-a330-417c-b678-38e696380cb9"
EFIVARS: Final = Path("/sys/firmware/efi/efivars")
NOTE: Final = Path("/data/bedplate/ota/firmware-trial.json")
ATTRIBUTES: Final = bytes((7, 0, 0, 0))  # non-volatile, boot services, runtime
IMMUTABLE: Final = 0x10
GET_FLAGS: Final = 0x80086601
SET_FLAGS: Final = 0x40086602
ARMED: Final = 1
NORMAL: Final = 0x00
UNBOOTABLE: Final = 0xFF
CHAIN_OF: Final[Mapping[int, int]] = {SLOT_A: 0, SLOT_B: 1}


class Variable(StrEnum):
    REDUNDANCY = "RootfsRedundancyLevel"
    CURRENT = "BootChainFwCurrent"
    NEXT = "BootChainFwNext"
    STATUS_A = "RootfsStatusSlotA"
    STATUS_B = "RootfsStatusSlotB"
    RETRIES_A = "RootfsRetryCountA"
    RETRIES_B = "RootfsRetryCountB"


STATUS: Final[Mapping[int, Variable]] = {SLOT_A: Variable.STATUS_A, SLOT_B: Variable.STATUS_B}


class FirmwareError(Exception):
    """The variables cannot be read or written; one line, for a person."""


class Trial(NamedTuple):
    """The note: which slot is on trial, since which boot, and the one boot that tries it."""

    target: int
    asked_in: str
    tried_in: str = ""


class Write(NamedTuple):
    """One variable; `value` None removes it."""

    variable: Variable
    value: int | None


Values = Mapping[Variable, int | None]


def unfit(values: Values, running: int | None) -> str:
    """Why nothing may be written here, now; empty if it may. Asked before every write."""
    level = values.get(Variable.REDUNDANCY)
    if level != ARMED:
        said = "is not there" if level is None else f"is {level}"
        return (
            f"{Variable.REDUNDANCY} {said}, must be {ARMED}: the firmware would ignore every switch"
            " of slots in silence; it is set when the board is flashed, see docs/jetson.md"
        )
    if running is None:
        return "which slot runs is not known"
    current = values.get(Variable.CURRENT)
    if current != CHAIN_OF[running]:
        return (
            f"{Variable.CURRENT} is {current}, but the root that runs is slot"
            f" {'ab'[CHAIN_OF[running]]}: an update would be written over the running root"
        )
    for variable in STATUS.values():
        if values.get(variable) not in (NORMAL, UNBOOTABLE):
            return f"{variable} is {values.get(variable)}, must be {NORMAL} or {UNBOOTABLE}"
    return ""


def state_of(trial: Trial | None, running: int, boot_id: str) -> State:
    """The record that the update client sees. A trial that is over is no trial."""
    standing = State(running, canary=1)
    if trial is None:
        return standing
    if trial.asked_in == boot_id:
        return State(trial.target, 1, 0, 0, 1)
    if running == trial.target and trial.tried_in in ("", boot_id):
        return State(trial.target, 1, 1, 0, 1)
    # Went back by the firmware, or never left; or started a second time without a commit.
    return State(standing.other, canary=1) if running == trial.target else standing


def writes_of(now: State, wanted: State, running: int) -> tuple[Write, ...]:
    """From one record to another, in order. What starts next is always a slot that is whole."""
    if wanted == now:
        return ()
    if wanted.upgrade:  # its budget of starts is filled before anything leads to it
        return (
            Write(STATUS[wanted.part], NORMAL),
            Write(Variable.NEXT, CHAIN_OF[wanted.part]),
        )
    if wanted.part == running and now.part == running:  # committed
        return (Write(STATUS[running], NORMAL), Write(Variable.NEXT, None))
    if wanted.part == running:  # given up before its restart
        return (Write(Variable.NEXT, None), Write(STATUS[now.part], UNBOOTABLE))
    return (Write(Variable.NEXT, CHAIN_OF[wanted.part]), Write(STATUS[running], UNBOOTABLE))


class Firmware:
    """The variables, as files of efivarfs or of a folder that stands for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def values(self) -> dict[Variable, int | None]:
        return {variable: self.read(variable) for variable in Variable}

    def read(self, variable: Variable) -> int | None:
        """None where there is none, or it is no number of the firmware's."""
        try:
            raw = self._file(variable).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FirmwareError(f"{variable}: {error}") from error
        return int.from_bytes(raw[4:8], "little") if len(raw) == 8 else None

    def write(self, write: Write) -> None:
        """Then what the firmware says counts: some variables it takes, and leaves as they were."""
        file = self._file(write.variable)
        try:
            _unlock(file)
            if write.value is None:
                file.unlink(missing_ok=True)
            else:
                raw = ATTRIBUTES + write.value.to_bytes(4, "little")
                handle = os.open(file, os.O_WRONLY | os.O_CREAT, 0o644)
                try:
                    os.write(handle, raw)  # in one call, or the firmware sees a half
                finally:
                    os.close(handle)
        except OSError as error:
            raise FirmwareError(f"{write.variable}: {error}; nothing that follows it") from error
        if self.read(write.variable) != write.value:
            raise FirmwareError(f"{write.variable} was written and is not {write.value}")

    def _file(self, variable: Variable) -> Path:
        return self._folder / f"{variable}-{VENDOR}"


def _unlock(file: Path) -> None:
    """efivarfs marks its files as not to be changed, against a careless rm."""
    with contextlib.suppress(FileNotFoundError):
        handle = os.open(file, os.O_RDONLY)
        try:
            raw = fcntl.ioctl(handle, GET_FLAGS, bytes(8))
            flags = int.from_bytes(raw, "little")
            if flags & IMMUTABLE:
                fcntl.ioctl(handle, SET_FLAGS, (flags & ~IMMUTABLE).to_bytes(8, "little"))
        except OSError:
            pass  # a file system without such marks
        finally:
            os.close(handle)


class FirmwareSlots:
    """What the words of the tool act on; `boot_env.tool.Environment` is its twin for GRUB."""

    def __init__(self, firmware: Firmware, note: Path, machine: Machine, boot_id: str) -> None:
        self._firmware, self._note = firmware, note
        self.machine = machine
        self._boot_id = boot_id
        if machine.slot is None or not boot_id:
            raise Refused("which slot runs, or which boot this is, is not known")
        self._running = machine.slot
        self._trial = read_trial(note)
        self.state = state_of(self._trial, self._running, boot_id)
        self._settle()

    def _settle(self) -> None:
        """Each call finds the trial where it is; the one that tries it is written down."""
        trial = self._trial
        if trial is None or (self.state.upgrade and not self.state.tried):
            return
        if self.state.upgrade and not trial.tried_in:
            self._remember(trial._replace(tried_in=self._boot_id))
        elif not self.state.upgrade and self.state.part != self._running:
            tell("the trial boot was used, nothing was committed: the next restart goes back")
            self._go_back(self.state.part)
        elif not self.state.upgrade:
            tell(f"slot {'ab'[CHAIN_OF[trial.target]]} was on trial, and the firmware left it")
            self._remember(None)

    def prepare(self) -> None:
        """A slot may be written now, and from now on the firmware will not fall back into it."""
        reason = not_ready(self.state, self.machine) or unfit(
            self._firmware.values(), self._running
        )
        if not reason and self._firmware.read(Variable.NEXT) is not None:
            reason = (
                f"{Variable.NEXT} is set by somebody else: another update waits for its restart"
            )
        if reason:
            raise Refused(f"no slot may be written now: {reason}")
        self._apply((Write(STATUS[self.state.other], UNBOOTABLE),))

    def confirm(self) -> None:
        """This start came up. Not on trial: then only the gate's pass, by a commit, may say so."""
        if not self.state.upgrade and self.state.part == self._running:
            self._apply((Write(STATUS[self._running], NORMAL),))

    def _go_back(self, part: int) -> None:
        values = self._firmware.values()
        if values[STATUS[part]] == UNBOOTABLE:
            raise Refused(
                f"slot {'ab'[CHAIN_OF[part]]} is marked {UNBOOTABLE:#x}: there is no way back into"
                " it, so this one stays; install a sound artifact"
            )
        writes = writes_of(State(self._running, 1, 1), State(part), self._running)
        self._apply(tuple(one for one in writes if values[one.variable] != one.value))

    def change(self, wanted: State) -> None:
        if not wanted.upgrade and wanted.part != self._running:
            self._go_back(wanted.part)
            self._remember(None)
            self.state = wanted
            return
        writes = writes_of(self.state, wanted, self._running)
        if wanted.upgrade and writes:
            self._remember(Trial(wanted.part, self._boot_id))
        self._apply(writes)
        if not wanted.upgrade and self._trial is not None:
            self._remember(None)
        self.state = wanted

    def facts(self) -> dict[str, Any]:
        return {variable.value: value for variable, value in self._firmware.values().items()}

    def _apply(self, writes: tuple[Write, ...]) -> None:
        reason = unfit(self._firmware.values(), self._running)
        if reason and writes:
            raise Refused(reason)
        for write in writes:
            self._firmware.write(write)

    def _remember(self, trial: Trial | None) -> None:
        self._trial = trial
        self._note.parent.mkdir(parents=True, exist_ok=True)
        if trial is None:
            self._note.unlink(missing_ok=True)
        else:
            _write_synced(self._note, json.dumps(trial._asdict()).encode() + b"\n")
        _sync(self._note.parent)


def _write_synced(path: Path, content: bytes) -> None:
    """Old or new after a power cut. Standard library only, as all that waits for the client."""
    beside = path.with_name(f".incoming-{path.name}")
    beside.write_bytes(content)
    _sync(beside)
    beside.replace(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_trial(note: Path) -> Trial | None:
    """A note that says nothing sound is none: the firmware's own count ends such a trial."""
    table = read_table(note) or {}
    target, asked, tried = (table.get(key) for key in Trial._fields)
    sound = target in CHAIN_OF and isinstance(asked, str) and isinstance(tried, str)
    return Trial(int(str(target)), str(asked), str(tried)) if sound else None


def main(words: list[str], efivars: Path = EFIVARS, note: Path = NOTE) -> int:
    """As ota.boot_env.tool: 0 done, 1 refused, 2 no variables to act on."""
    try:
        command, options, rest = parse(words)
        if not efivars.is_dir() or not any(efivars.iterdir()):
            raise FirmwareError(
                f"{efivars}: no variables; a PREEMPT_RT kernel shows them only with efi=runtime"
            )
        slots = FirmwareSlots(Firmware(efivars), note, machine_of(options), _boot_id(options))
        done = answer(command, rest, slots)
        if command == "ready":
            claim(options.writer, os.getppid())
        return done
    except Refused as error:
        tell(str(error))
        return REFUSED
    except (FirmwareError, OSError) as error:
        tell(f"the firmware's slots: {error}")
        return NO_ENVIRONMENT


def _boot_id(options: Options) -> str:
    return read_text(Path(options.boot_id)) or ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
