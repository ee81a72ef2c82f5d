"""grub-mender-grubenv-print and -set, as mender-client calls them, and a few words of our own.

    print [NAME …]    name=value lines; 1 if a name is not defined, 2 if there is no environment
    set -s FILE|-     assignments, all or none; `set NAME VALUE` sets one; 1 if refused
    ready             0 if a slot may be written now: both copies agree, and no update is under way
    confirmed         this start came up
    show              everything, as one line of JSON

Every call repairs the copies first. Standard library only, and little of it: in an emulated guest
an import takes twenty times as long.
"""

import os
import sys
from typing import Any, Final, NamedTuple, Protocol

from ota.boot_env.esp import Esp, EspError, locate
from ota.boot_env.request import (
    PROBE,
    Machine,
    Refused,
    asked,
    assignments,
    not_ready,
    restored,
    variables,
)
from ota.boot_env.states import SLOT_A, SLOT_B, Copy, State, agreed, decode, encode, orders
from ota.boot_env.writer import claim

DONE: Final = 0
REFUSED: Final = 1
NO_ENVIRONMENT: Final = 2
BY_UUID: Final = "/dev/disk/by-partuuid/"
USAGE: Final = "print [NAME …] | set -s FILE|- | set NAME VALUE | ready | confirmed | show"


class Options(NamedTuple):
    """Where things are; a test has them elsewhere."""

    esp: str = ""  # empty: the partition that the kernel's command line names
    offset: str = "0"
    cmdline: str = "/proc/cmdline"
    boot_id: str = "/proc/sys/kernel/random/boot_id"
    gate: str = "/run/bedplate/gate.json"
    writer: str = "/run/bedplate/slot-writer"


def main(words: list[str]) -> int:
    """`words` begin with the command; its options come next."""
    try:
        command, options, rest = parse(words)
        path = options.esp or _device(_facts(options))
        with Esp(path, int(options.offset)) as esp:
            done = answer(command, rest, Environment(esp, machine_of(options)))
        if command == "ready":
            claim(options.writer, os.getppid())
        return done
    except Refused as error:
        tell(str(error))
        return REFUSED
    except (EspError, OSError) as error:
        tell(f"the boot environment: {error}")
        return NO_ENVIRONMENT


def tell(line: str) -> None:
    """On the update's log."""
    sys.stderr.write(f"bedplate: {line}\n")


def parse(words: list[str]) -> tuple[str, Options, list[str]]:
    if not words:
        raise Refused(f"usage: {USAGE}")
    options, rest = Options(), list(words[1:])
    while rest and rest[0].startswith("--"):
        name = rest[0][2:].replace("-", "_")
        if name not in Options._fields or len(rest) < 2:
            raise Refused(f"{rest[0]} is not an option, or has no value; usage: {USAGE}")
        options = options._replace(**{name: rest[1]})
        del rest[:2]
    return words[0], options, rest


class Environment:
    """The two copies on the disk, repaired before anything else."""

    def __init__(self, esp: Esp, machine: Machine):
        self._esp = esp
        self.machine = machine
        # What a tool that was killed left on its way must be on the disk before it is relied on.
        esp.settle()
        self._sectors = [self._find(copy) for copy in (1, 2)]
        found = self._copies()
        now = agreed(*found)
        self.state = restored(machine) if now is None else now
        self._write(self.state)

    def _find(self, copy: int) -> int | None:
        try:
            return locate(self._esp.read, copy)
        except EspError as error:
            tell(f"copy {copy} of the boot environment: {error}")
            return None

    def _copies(self) -> tuple[Copy, Copy]:
        first, second = (
            decode(None if sector is None else self._esp.read(sector)) for sector in self._sectors
        )
        return first, second

    def _write(self, wanted: State) -> None:
        """In order, each on the disk before the next; then what the disk says counts."""
        for one in orders(*self._copies(), wanted):
            sector = self._sectors[one.copy - 1]
            if sector is not None:
                self._esp.write(sector, encode(one.state))
        if agreed(*self._copies()) != wanted:
            raise EspError("what was written is not what is there now; the disk is failing")

    def change(self, wanted: State) -> None:
        if wanted != self.state:
            self._write(wanted)
            self.state = wanted

    def prepare(self) -> None:
        reason = not_ready(self.state, self.machine)
        if reason:
            raise Refused(f"no slot may be written now: {reason}")

    def confirm(self) -> None:
        self.change(self.state._replace(starts=0))

    def facts(self) -> dict[str, Any]:
        return {}


class Slots(Protocol):
    """What the words act on: GRUB's environment, or a firmware's (ota/firmware_slots.py)."""

    state: State
    machine: Machine

    def change(self, wanted: State) -> None: ...

    def prepare(self) -> None:
        """Refused if no slot may be written now."""
        ...

    def confirm(self) -> None: ...

    def facts(self) -> dict[str, Any]: ...


def answer(command: str, words: list[str], environment: Slots) -> int:
    match command:
        case "print":
            return _print(words, variables(environment.state))
        case "set":
            wanted = _wanted(words)
            environment.change(asked(environment.state, environment.machine, wanted))
        case "ready":
            environment.prepare()
        case "confirmed":
            environment.confirm()
        case "show":
            _show(environment)
        case _:
            raise Refused(f"{command} is not a command; usage: {USAGE}")
    return DONE


def _print(names: list[str], known: dict[str, str]) -> int:
    answer = DONE
    for name in names or known:
        if name in known or name == PROBE:
            sys.stdout.write(f"{name}={known.get(name, '')}\n")
        else:
            tell(f"{name} is not defined")
            answer = REFUSED
    return answer


def _wanted(words: list[str]) -> dict[str, str]:
    if len(words) == 2 and words[0] == "-s":
        if words[1] == "-":
            return assignments(sys.stdin.read())
        text = _text(words[1])
        if text is None:
            raise Refused(f"{words[1]} cannot be read")
        return assignments(text)
    if words and not words[0].startswith("-"):
        return {words[0]: " ".join(words[1:])}
    raise Refused(f"usage: {USAGE}")


def _show(environment: Slots) -> None:
    import json

    machine = environment.machine
    facts = {"running": machine.slot, "choice": machine.choice, "gate": machine.gate}
    facts |= environment.facts()
    sys.stdout.write(json.dumps({**environment.state._asdict(), **facts}) + "\n")


def _cmdline(text: str) -> dict[str, str]:
    words = (word.partition("=") for word in text.split() if word.startswith("bedplate."))
    return {name.removeprefix("bedplate."): value for name, _, value in words}


def _facts(options: Options) -> dict[str, str]:
    return _cmdline(_text(options.cmdline) or "")


def machine_of(options: Options) -> Machine:
    facts = _facts(options)
    slot = {"a": SLOT_A, "b": SLOT_B}.get(facts.get("slot", ""))
    return Machine(slot, facts.get("choice", ""), _gate(facts.get("slot", ""), options))


def _gate(slot: str, options: Options) -> str:
    """Why this boot of this slot may not stay; empty if it may."""
    text = _text(options.gate)
    if text is None:
        return "the commit gate has not spoken since this start"
    import json

    try:
        said = json.loads(text)
        verdict, reasons = said["verdict"], said.get("reasons") or []
        of_this_boot = said["boot_id"] == (_text(options.boot_id) or "").strip() != ""
        of_this_slot = said["slot"] == slot != ""
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return f"{options.gate} cannot be understood ({error})"
    if not (of_this_boot and of_this_slot):
        return "what the commit gate said is of another start or of the other slot"
    if verdict == "pass":
        return ""
    listed = "; ".join(str(reason) for reason in reasons) if isinstance(reasons, list) else ""
    return f"the commit gate says {verdict}: {listed}".replace("\n", " ")


def _device(facts: dict[str, str]) -> str:
    kind, _, uuid = facts.get("esp", "").partition("=")
    if kind != "PARTUUID" or not uuid:
        raise EspError("the kernel's command line names no bedplate.esp=PARTUUID=…")
    return BY_UUID + uuid.lower()


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:  # noqa: PTH123  pathlib is slow to import
            return stream.read()
    except OSError:
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
