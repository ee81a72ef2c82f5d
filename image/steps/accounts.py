"""Users and groups: Debian's and the robot's own, with numbers that are the same in every slot.

Files on the data partition belong to numbers. Were those given out at install time, two slots
could disagree about whose a file is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from image.layers import Entry
from image.refusal import refused
from runtime.processes import PROCESSES, Area, ProcessSpec, find_process
from runtime.units import USER, user_of

GROUP_ID = 800
FIRST_ID = 801  # Debian gives out 100 to 999 from the top
FIRST_GUEST_ID = 861  # rows of the simulator: a new row of the runtime moves none of them
OPERATOR = "operator"
OPERATOR_ID = 1000
DEVICE_GROUPS = {"gpio": 890, "render": 891}
# Debian's dynamic numbers, fixed: these users own files in /var.
NOLOGIN = "/usr/sbin/nologin"


@dataclass(frozen=True)
class Account:
    name: str
    number: int
    home: str
    shell: str
    title: str


def robot_accounts(processes: Sequence[ProcessSpec]) -> list[Account]:
    """One user a row, by its place in the whole table, whether it runs on this board or not."""
    own = [spec for spec in processes if spec.area is Area.RUNTIME]
    guests = [spec for spec in processes if spec.area is not Area.RUNTIME]
    numbered = [*enumerate(own, FIRST_ID), *enumerate(guests, FIRST_GUEST_ID)]
    rows = [
        Account(user_of(spec), number, "/nonexistent", NOLOGIN, f"Bedplate {spec.name}")
        for number, spec in numbered
    ]
    return [*rows, Account(OPERATOR, OPERATOR_ID, "/home/operator", "/bin/bash", "Operator")]


def user_id(process: str) -> int:
    """The number of the user that a row of the table runs as."""
    name = user_of(find_process(process))
    return next(account.number for account in robot_accounts(PROCESSES) if account.name == name)


def account_entries(base: Mapping[str, str], processes: Sequence[ProcessSpec]) -> list[Entry]:
    """/etc/passwd, group, shadow and gshadow. Nobody has a password."""
    accounts = robot_accounts(processes)
    _refuse_repeated(base["passwd"], accounts)
    users = [f"{a.name}:x:{a.number}:{_group(a)}:{a.title}:{a.home}:{a.shell}" for a in accounts]
    groups = _groups(base["group"])
    return [
        Entry.file("etc/passwd", _joined(base["passwd"], users)),
        Entry.file("etc/group", _joined(base["group"], groups)),
        Entry.file(
            "etc/shadow",
            _joined(_without_passwords(base["shadow"]), [f"{a.name}:*:1::::::" for a in accounts]),
            mode=0o640,
            gid=42,
        ),
        Entry.file(
            "etc/gshadow",
            _joined(base["gshadow"], [f"{line.split(':')[0]}:*::" for line in groups]),
            mode=0o640,
            gid=42,
        ),
    ]


def _group(account: Account) -> int:
    return OPERATOR_ID if account.name == OPERATOR else GROUP_ID


def _groups(base: str) -> list[str]:
    there = {line.split(":")[0] for line in base.splitlines()}
    own = [f"{USER}:x:{GROUP_ID}:", f"{OPERATOR}:x:{OPERATOR_ID}:"]
    return [
        *(line for line in own if line.split(":")[0] not in there),
        *(f"{name}:x:{number}:" for name, number in DEVICE_GROUPS.items() if name not in there),
    ]


def _joined(text: str, lines: Iterable[str]) -> str:
    return text.rstrip("\n") + "\n" + "".join(f"{line}\n" for line in lines)


def _without_passwords(shadow: str) -> str:
    """Every account without a password that could match, and without the day it was made."""
    lines = []
    for line in shadow.splitlines():
        fields = line.split(":")
        fields[1] = "*" if fields[1] in ("", "*", "!", "!*", "!!") else _refuse_password(fields[0])
        fields[2] = "1"
        lines.append(":".join(fields))
    return "\n".join(lines)


def _refuse_password(name: str) -> str:
    raise refused(
        f"/etc/shadow: {name}",
        "a password",
        "every robot would have the same one",
        "find the package that sets it and leave it out",
    )


def _refuse_repeated(passwd: str, accounts: Sequence[Account]) -> None:
    taken = {int(line.split(":")[2]): line.split(":")[0] for line in passwd.splitlines() if line}
    for account in accounts:
        if account.number in taken:
            raise refused(
                f"user {account.name}",
                f"number {account.number} belongs to {taken[account.number]}",
                "the two could read each other's files",
                "move FIRST_ID in image/steps/accounts.py",
            )
