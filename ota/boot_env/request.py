"""What the update client asks of the environment, and what it may not have.

The client knows variables; the environment is a closed record. Here the one becomes the other, and
here the gate holds: a slot on trial stays on trial until this boot of it has been found good.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from ota.boot_env.states import SLOT_A, SLOT_B, State

PART: Final = "mender_boot_part"
PART_HEX: Final = "mender_boot_part_hex"
UPGRADE: Final = "upgrade_available"
COUNT: Final = "bootcount"
CANARY_WANTED: Final = "mender_check_saveenv_canary"
CANARY: Final = "mender_saveenv_canary"
STARTS: Final = "bedplate_starts"
# The client writes this with a space to learn whether spaces work, and reads it back. It is taken
# and never kept, so the client goes on with `=`, and no sector is written for a question.
PROBE: Final = "mender_uboot_separator"


class Refused(Exception):
    """One line for the log of the update."""


class Machine(NamedTuple):
    """What runs, as the kernel was told; `gate` is empty if this boot of it may stay."""

    slot: int | None
    choice: str
    gate: str


def variables(state: State) -> dict[str, str]:
    """The environment as the client sees it."""
    found = {
        UPGRADE: str(state.upgrade),
        PART: str(state.part),
        PART_HEX: f"{state.part:X}",
        COUNT: str(state.tried),
        CANARY_WANTED: "1",
        STARTS: str(state.starts),
    }
    return found | ({CANARY: "1"} if state.canary else {})


def assignments(text: str) -> dict[str, str]:
    """Lines of `name=value`, or of `name value` as an older client writes them."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        at = min((i for i in (line.find("="), line.find(" ")) if i > 0), default=-1)
        if at < 0:
            raise Refused(f"line {number}: {line[:60]!r} is not name=value")
        found[line[:at]] = line[at + 1 :].strip()
    return found


def asked(now: State, machine: Machine, wanted: Mapping[str, str]) -> State:
    """The state that these assignments lead to, or why not."""
    _check_names(now, wanted)
    part = _one_of(wanted, PART, (SLOT_A, SLOT_B), now.part)
    if PART_HEX in wanted and wanted[PART_HEX] != f"{part:X}":
        raise Refused(f"{PART_HEX}={wanted[PART_HEX]} is not {PART}={part} in hexadecimal")
    upgrade = _one_of(wanted, UPGRADE, (0, 1), now.upgrade)
    tried = _one_of(wanted, COUNT, (0, 1), now.tried if upgrade else 0)
    if upgrade:
        return _installed(now, machine, part, tried)
    if part == now.committed:  # nothing new, or the way back: always free
        return State(part, starts=0 if now.upgrade else now.starts, canary=now.canary)
    return _committed(now, machine, part)


def _check_names(now: State, wanted: Mapping[str, str]) -> None:
    fixed = variables(now)
    for name, value in wanted.items():
        if name in (PART, PART_HEX, UPGRADE, COUNT, PROBE):
            continue
        if name not in fixed:
            raise Refused(
                f"{name}: the environment has no such variable; it is one closed record, "
                "so that each of its values can be checked byte for byte"
            )
        if value != fixed[name]:
            raise Refused(f"{name} is written by the boot loader and the system only")


def _one_of(wanted: Mapping[str, str], name: str, allowed: tuple[int, ...], now: int) -> int:
    if name not in wanted:
        return now
    for value in allowed:
        if wanted[name] == str(value):
            return value
    raise Refused(f"{name}={wanted[name]}: only {' or '.join(map(str, allowed))} can be acted on")


def _installed(now: State, machine: Machine, part: int, tried: int) -> State:
    if now.upgrade and part == now.part and tried == now.tried:
        return now
    if machine.slot is None:
        raise Refused("which slot runs is not known, so no other can be put on trial")
    if part in (machine.slot, now.committed):
        what = "runs now" if part == machine.slot else "is the slot to go back to"
        raise Refused(f"{PART}={part} {what}: it cannot be put on trial")
    if tried:
        raise Refused(f"{COUNT}=1 is the boot loader's to write")
    return State(part, 1, 0, 0, now.canary)


def _committed(now: State, machine: Machine, part: int) -> State:
    if not now.upgrade:
        raise Refused(f"{PART}={part} without a trial: a slot is committed after it has run")
    if machine.slot != part or not now.tried:
        raise Refused(f"{UPGRADE}=0: partition {part} is on trial and has not been started yet")
    if machine.gate:
        raise Refused(f"{UPGRADE}=0 is refused, this slot stays on trial: {machine.gate}")
    return State(part, canary=now.canary)


def restored(machine: Machine) -> State:
    """What both copies must have said, from what the boot loader told the kernel."""
    if machine.slot is None or not machine.choice:
        raise Refused("both copies are bad, and what the boot loader decided is not known")
    if machine.choice == "trial":
        return State(machine.slot, 1, 1, 0, 1)
    return State(machine.slot, canary=1)


def not_ready(now: State, machine: Machine) -> str:
    """Why no slot may be written now; empty if one may."""
    if now.upgrade:
        return "an update waits for its restart or its commit; finish or roll it back first"
    if machine.slot != now.part:
        return f"slot {machine.slot} runs, slot {now.part} is the committed one; restart first"
    return ""
