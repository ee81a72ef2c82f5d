"""What GRUB does with the environment: the same decisions as in ota/grub/grub.cfg, as a function.

The script is what runs; this says what it must do, and the two are compared on every state.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from ota.boot_env.states import (
    SLOT_A,
    SLOT_B,
    STARTS_MAX,
    Bad,
    Copy,
    State,
    Write,
    agreed,
)


class Choice(StrEnum):
    """Why a slot was started; the kernel's command line says it too."""

    COMMITTED = "committed"
    TRIAL = "trial"
    ROLLED_BACK = "rolled-back"  # the trial boot was used, or the trial slot could not be loaded
    OTHER = "other"  # the slot that should have started did not load or is damaged
    RESTORED = "restored"  # both copies were lost; this slot's content is whole
    HALT = "halt"


@dataclass(frozen=True)
class Content:
    """What a slot's partition holds, as far as GRUB can tell."""

    loads: bool = True  # its start script is there and its kernel can be loaded
    intact: bool = True  # every byte of it is what was installed


@dataclass
class Disk:
    """Two copies and two slots; `write` is how a copy is written, and may fail."""

    first: Copy
    second: Copy
    slots: dict[int, Content]
    writable: tuple[bool, bool] = (True, True)
    writes: list[Write] = field(default_factory=list)
    write: Callable[["Disk", Write], None] = field(default=lambda disk, one: disk.put(one))

    def put(self, one: Write) -> None:
        """GRUB's save_env: a copy without its frame cannot be written by it."""
        copy = self.first if one.copy == 1 else self.second
        if copy is Bad.GARBAGE or not self.writable[one.copy - 1]:
            return
        self.writes.append(one)
        if one.copy == 1:
            self.first = one.state
        else:
            self.second = one.state

    def record(self, wanted: State) -> bool:
        """Whether the next boot will know it.

        GRUB cannot flush: whatever it writes may still be in the disk's memory when power goes. So
        it touches one copy only, and leaves the other as it is; the system's tool makes them one.
        Only where the second is bad does it write both, that one first.
        """
        now = agreed(self.first, self.second)
        if now is None:
            self.write(self, Write(1, wanted))
            self.write(self, Write(2, wanted))
        elif isinstance(self.first, Bad):
            self.write(self, Write(1, wanted))
            if isinstance(self.first, Bad) and wanted != now:
                self.write(self, Write(2, wanted))
        else:
            if isinstance(self.second, Bad):
                self.write(self, Write(2, now))
            if wanted != now:
                self.write(self, Write(1, wanted))
        return agreed(self.first, self.second) == wanted


@dataclass(frozen=True)
class Started:
    choice: Choice
    slot: int | None  # nothing starts: a message, then the machine is switched off


def boot(disk: Disk) -> Started:
    """One start of the machine, up to the kernel."""
    state = agreed(disk.first, disk.second)
    if state is None:
        return _without_environment(disk)
    if state.upgrade:
        return _trial(disk, state)
    starts = min(state.starts + 1, STARTS_MAX)
    disk.record(state._replace(starts=starts, canary=1))
    sound = state.starts < STARTS_MAX or disk.slots[state.part].intact
    if sound and disk.slots[state.part].loads:
        return Started(Choice.COMMITTED, state.part)
    return _other(disk, state.other)


def _trial(disk: Disk, state: State) -> Started:
    """Once, and only if the next boot will know that it was tried."""
    fresh = not state.tried
    if fresh and disk.record(state._replace(tried=1, canary=1)) and disk.slots[state.part].loads:
        return Started(Choice.TRIAL, state.part)
    disk.record(_standing(state.other))
    if disk.slots[state.other].loads:
        return Started(Choice.ROLLED_BACK, state.other)
    return _other(disk, state.part)


def _other(disk: Disk, slot: int) -> Started:
    """The last way out: only a slot that is whole, byte for byte."""
    if disk.slots[slot].intact:
        disk.record(_standing(slot))
        if disk.slots[slot].loads:
            return Started(Choice.OTHER, slot)
    return Started(Choice.HALT, None)


def _without_environment(disk: Disk) -> Started:
    for slot in (SLOT_A, SLOT_B):
        if disk.slots[slot].intact:
            disk.record(_standing(slot))
            if disk.slots[slot].loads:
                return Started(Choice.RESTORED, slot)
    return Started(Choice.HALT, None)


def _standing(slot: int) -> State:
    return State(slot, starts=1, canary=1)
