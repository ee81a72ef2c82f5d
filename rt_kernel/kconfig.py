"""Kconfig fragments and `.config` files: what was asked for, what came out, what was lost.

Pure functions on text. A fragment has one purpose, stated in its first line, and every option in
it stands under a comment that says why.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rt_kernel.problem import KernelError

OFF: Final = "n"
_SET: Final = re.compile(r"CONFIG_([A-Za-z0-9_]+)=(.*)")
_UNSET: Final = re.compile(r"# CONFIG_([A-Za-z0-9_]+) is not set")
_VALUE: Final = re.compile(r'y|-?[0-9]+|0x[0-9a-fA-F]+|"[^"\\]*"')


@dataclass(frozen=True)
class Text:
    """A file of the recipe, by its name there."""

    name: str
    text: str


@dataclass(frozen=True)
class Request:
    """One option that a fragment asks for."""

    option: str  # without CONFIG_
    value: str  # as in .config; "n" for "is not set"
    file: str
    line: int
    why: str

    def __str__(self) -> str:
        wanted = (
            f"# CONFIG_{self.option} is not set"
            if self.value == OFF
            else f"CONFIG_{self.option}={self.value}"
        )
        return f"{self.file}:{self.line}  {wanted}"


@dataclass(frozen=True)
class Lost:
    """A request that Kconfig did not grant."""

    request: Request
    found: str
    unmet: tuple[str, ...] = ()  # the dependencies that are not met, where Kconfig tells

    def __str__(self) -> str:
        lines = [str(self.request), f"  came out as {self.found}"]
        lines += [f"  needs {expression}" for expression in self.unmet]
        return "\n".join(lines)


def purpose_of(fragment: Text) -> str:
    """The first line of a fragment, without its mark."""
    first = fragment.text.partition("\n")[0]
    if not first.startswith("# ") or len(first) < len("# a purpose"):
        raise KernelError(
            f"{fragment.name}:1",
            repr(first[:60]),
            "a fragment has one purpose, and its first line says which",
            "# Real time: a wake-up is late by what hardware needs.",
        )
    return first[2:]


def parse_fragment(fragment: Text) -> tuple[Request, ...]:
    """The requests of one fragment, each with the comment it stands under."""
    purpose_of(fragment)
    requests: list[Request] = []
    why: list[str] = []
    in_comment = False
    for number, raw in enumerate(fragment.text.splitlines(), start=1):
        line = raw.strip()
        place = f"{fragment.name}:{number}"
        request = _request_of(line, place)
        if request is not None:
            option, value = request
            if not why:
                raise _without_why(place, option)
            requests.append(Request(option, value, fragment.name, number, " ".join(why)))
            in_comment = False
        elif line.startswith("#"):
            why = [*why, line[1:].strip()] if in_comment else [line[1:].strip()]
            in_comment = number > 1  # the first line is about the whole fragment
            why = why if in_comment else []
        elif line:
            raise _not_understood(place, line)
        else:
            in_comment = False
    return tuple(requests)


def _request_of(line: str, place: str) -> tuple[str, str] | None:
    """Option and value of a line that asks for something."""
    if unset := _UNSET.fullmatch(line):
        return unset[1], OFF
    if wanted := _SET.fullmatch(line):
        if not _VALUE.fullmatch(wanted[2]):
            raise _not_understood(place, line)
        return wanted[1], wanted[2]
    return None


def _not_understood(place: str, line: str) -> KernelError:
    return KernelError(
        place,
        repr(line[:80]),
        "a line that Kconfig passes over in silence would be an option that nobody has",
        'CONFIG_NAME=y, CONFIG_NAME=16, CONFIG_NAME="text", or "# CONFIG_NAME is not set";'
        " modules (=m) are not built",
    )


def _without_why(place: str, option: str) -> KernelError:
    return KernelError(
        place,
        f"CONFIG_{option} without a reason",
        "an option whose reason nobody knows is never taken out again",
        "write a comment above it, or above its group",
    )


def parse_fragments(fragments: Iterable[Text]) -> tuple[Request, ...]:
    """All requests; two fragments may agree on an option, they may not contradict each other."""
    known: dict[str, Request] = {}
    for fragment in fragments:
        for request in parse_fragment(fragment):
            earlier = known.setdefault(request.option, request)
            if earlier.value != request.value:
                raise KernelError(
                    f"{request.file}:{request.line}",
                    f"CONFIG_{request.option}={request.value}, and"
                    f" {earlier.value} in {earlier.file}:{earlier.line}",
                    "which of the two the kernel gets would depend on the order of files",
                    "keep it in the fragment whose purpose it serves",
                )
    return tuple(known.values())


def render_request(requests: Iterable[Request]) -> str:
    """What Kconfig is given to start from."""
    lines = [
        f"# CONFIG_{r.option} is not set" if r.value == OFF else f"CONFIG_{r.option}={r.value}"
        for r in requests
    ]
    return "\n".join(lines) + "\n"


def parse_config(text: str) -> dict[str, str]:
    """A `.config`: option → value, with "n" for those that are named as not set."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if unset := _UNSET.fullmatch(line):
            found[unset[1]] = OFF
        elif wanted := _SET.fullmatch(line):
            found[wanted[1]] = wanted[2]
    return found


def find_lost(requests: Iterable[Request], config: dict[str, str]) -> tuple[Lost, ...]:
    """The requests that did not survive. An option that is absent is one that is off."""
    lost = []
    for request in requests:
        found = config.get(request.option)
        if (found or OFF) != request.value:
            lost.append(Lost(request, "absent" if found is None else found))
    return tuple(lost)
