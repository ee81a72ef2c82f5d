"""A double of a Jetson's firmware and its variables, and a robot on it. **It is a double**: how its
UEFI treats them is known from its documents and from others' reports only.
"""

from dataclasses import dataclass
from pathlib import Path

from ota.boot_env.request import Machine, asked, variables
from ota.boot_env.states import SLOT_A, SLOT_B
from ota.firmware_slots import (
    CHAIN_OF,
    NORMAL,
    STATUS,
    UNBOOTABLE,
    Firmware,
    FirmwareSlots,
    Variable,
    Write,
)

RETRIES = {SLOT_A: Variable.RETRIES_A, SLOT_B: Variable.RETRIES_B}
BUDGET = 3
SLOT_OF = {chain: slot for slot, chain in CHAIN_OF.items()}


class Cut(Exception):
    """The power went before this write."""


class Board(Firmware):
    """What UEFI does with its variables: counts starts, condemns, and fills up again."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        folder.mkdir(parents=True)
        self.cut_after: int | None = None
        for variable, value in (
            (Variable.REDUNDANCY, 1),
            (Variable.CURRENT, 0),
            *((STATUS[slot], NORMAL) for slot in CHAIN_OF),
            *((RETRIES[slot], BUDGET) for slot in CHAIN_OF),
        ):
            super().write(Write(variable, value))

    def write(self, write: Write) -> None:
        if self.cut_after is not None:
            if self.cut_after == 0:
                raise Cut
            self.cut_after -= 1
        super().write(write)
        for slot, status in STATUS.items():
            if write == Write(status, NORMAL):
                super().write(Write(RETRIES[slot], BUDGET))

    def lacks(self, variable: Variable) -> None:
        super().write(Write(variable, None))

    def power_on(self) -> int | None:
        """The slot that starts; None: both are condemned."""
        self.cut_after = None
        chain, following = self.read(Variable.CURRENT), self.read(Variable.NEXT)
        if self.read(Variable.REDUNDANCY) != 1:
            return SLOT_OF[chain or 0]
        super().write(Write(Variable.NEXT, None))
        first = SLOT_OF[following if following is not None else chain or 0]
        for slot in (first, SLOT_A + SLOT_B - first):
            left = self.read(RETRIES[slot]) or 0
            if self.read(STATUS[slot]) == NORMAL and not left:
                super().write(Write(STATUS[slot], UNBOOTABLE))
            if self.read(STATUS[slot]) == NORMAL:
                super().write(Write(RETRIES[slot], left - 1))
                super().write(Write(Variable.CURRENT, CHAIN_OF[slot]))
                return slot
        return None


@dataclass
class Robot:
    """A board, the note on its data, and what runs; the slots' contents are not in question."""

    home: Path
    boots: int = 0
    running: int | None = SLOT_A
    gate: str = "the commit gate has not spoken"

    def __post_init__(self) -> None:
        self.board = Board(self.home / "efivars")
        (self.home / "data").mkdir()
        self.start()

    @property
    def note(self) -> Path:
        return self.home / "data/trial.json"

    def slots(self) -> FirmwareSlots:
        """One call of the tool."""
        machine = Machine(self.running, "", self.gate)
        return FirmwareSlots(self.board, self.note, machine, f"boot-{self.boots}")

    def set(self, **wanted: object) -> None:
        slots = self.slots()
        words = {name: str(value) for name, value in wanted.items()}
        slots.change(asked(slots.state, slots.machine, words))

    def shown(self) -> dict[str, str]:
        return variables(self.slots().state)

    def start(self) -> None:
        """A restart, up to where the tool is called for the first time."""
        self.boots += 1
        self.gate = "the commit gate has not spoken"
        self.running = self.board.power_on()
        if self.running is not None:
            self.slots()

    def confirm(self) -> None:
        self.slots().confirm()

    def install(self) -> None:
        """As the client: asks whether it may, writes the slot, switches."""
        slots = self.slots()
        other = SLOT_A + SLOT_B - (self.running or 0)
        slots.prepare()
        self.set(upgrade_available=1, mender_boot_part=other, bootcount=0)

    def commit(self) -> None:
        self.set(upgrade_available=0)
