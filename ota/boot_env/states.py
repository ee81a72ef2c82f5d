"""The boot environment: a closed record, and the one sector of bytes that each of its values is.

Every value has exactly one sector. GRUB knows the sha256 of each, this file the bytes: whatever
else is found on the disk is bad for both. The value stands in each half of the sector, so that a
sector of which one half is new and one stale is either of the two values, or bad.
"""

import zlib
from enum import Enum
from typing import Final, NamedTuple

SECTOR_BYTES: Final = 512
HALF_BYTES: Final = SECTOR_BYTES // 2
SLOT_A: Final = 2  # the number of its partition
SLOT_B: Final = 3
STARTS_MAX: Final = 3  # so many starts that nobody confirmed, and the slot's content is checked
HEADER: Final = b"# GRUB Environment Block\n"
NOTE: Final = b"# Which slot boots. Written in place by GRUB and grub-mender-grubenv-set only.\n"
FIRST: Final = b"bedplate_state="
AGAIN: Final = b"bedplate_state_again="


class State(NamedTuple):
    """What both the boot loader and the update client know of the slots."""

    part: int = SLOT_A  # 2 or 3: the slot that boots
    upgrade: int = 0  # 1: that slot is on trial
    tried: int = 0  # 1: and its one trial boot has been used
    starts: int = 0  # 0 to 3, of a committed slot: in succession, and nobody said it came up
    canary: int = 0  # 1: GRUB has written here, so it and this system mean the same sectors

    @property
    def name(self) -> str:
        """Five digits, as GRUB's script and the files beside it spell it."""
        return "".join(str(value) for value in self)

    @property
    def other(self) -> int:
        return SLOT_A + SLOT_B - self.part

    @property
    def committed(self) -> int:
        """The slot that may be relied on: while one is on trial, the other."""
        return self.other if self.upgrade else self.part


def _values() -> tuple[State, ...]:
    found = []
    for part in (SLOT_A, SLOT_B):
        for canary in (0, 1):
            found += [State(part, 0, 0, starts, canary) for starts in range(STARTS_MAX + 1)]
            found += [State(part, 1, tried, 0, canary) for tried in (0, 1)]
    return tuple(found)


STATES: Final = _values()
INITIAL: Final = State()


def code(state: State) -> bytes:
    """The value as it stands in the sector: readable, always of one length, far from any other."""
    text = (
        f"slot{state.part}.upgrade{state.upgrade}.tried{state.tried}"
        f".starts{state.starts}.canary{state.canary}"
    ).encode()
    check = b"".join(b"%08x" % zlib.crc32(b"%d %s" % (turn, text)) for turn in range(4))
    return text + b"." + check


def _filled(text: bytes, size: int) -> bytes:
    """With a comment up to its size; GRUB wants the last byte of all to be a '#'."""
    return text + b"#" * (size - len(text))


CODE_BYTES: Final = len(code(INITIAL))
CODE_AT: Final = (len(HEADER) + len(FIRST), HALF_BYTES + len(AGAIN))


def encode(state: State) -> bytes:
    """The sector of a value; GRUB's own save_env makes the same bytes."""
    first = HEADER + FIRST + code(state) + b"\n" + NOTE
    return _filled(first, HALF_BYTES - 1) + b"\n" + _filled(AGAIN + code(state) + b"\n", HALF_BYTES)


SECTORS: Final = {encode(state): state for state in STATES}


class Bad(Enum):
    """A copy that is no value. One that is only torn can be written by GRUB too."""

    TORN = "torn"
    GARBAGE = "garbage"


Copy = State | Bad


def _is_one_line(value: bytes) -> bool:
    """As GRUB reads a value: to the end of the line, two bytes at a time after a backslash."""
    at = 0
    while at < len(value):
        if value[at] == ord("\n"):
            return False
        at += 2 if value[at] == ord("\\") else 1
    return at == len(value)


def decode(sector: bytes | None) -> Copy:
    """What a copy says; `None` stands for one that could not be found or read."""
    if sector is None:
        return Bad.GARBAGE
    found = SECTORS.get(sector)
    if found is not None:
        return found
    frame = bytearray(sector)
    for at in CODE_AT:
        if not _is_one_line(sector[at : at + CODE_BYTES]):
            return Bad.GARBAGE
        frame[at : at + CODE_BYTES] = code(INITIAL)
    return Bad.TORN if bytes(frame) in SECTORS else Bad.GARBAGE


def agreed(first: Copy, second: Copy) -> State | None:
    """The first copy counts, the second where the first is bad; `None`: both are lost."""
    if isinstance(first, State):
        return first
    return second if isinstance(second, State) else None


class Write(NamedTuple):
    """One sector, then a flush: the next write begins when this one has reached the disk."""

    copy: int  # 1 or 2
    state: State


def orders(first: Copy, second: Copy, wanted: State) -> tuple[Write, ...]:
    """What makes both copies say `wanted`, whatever they say now, safe to cut anywhere.

    A copy that is bad or stale is made like the good one before that is touched: from then on
    there is always one good copy, and never one that says what had been given up.
    """
    now = agreed(first, second)
    found: list[Write] = []
    if now is not None:
        found += [Write(at, now) for at, copy in ((1, first), (2, second)) if copy != now]
    if wanted != now:
        found += [Write(1, wanted), Write(2, wanted)]
    return tuple(found)
