"""A timeline as it is shown: of many changes in a row, as of a mode that flaps, the middle is one.

Pure. Nothing is left out for good: what is folded is there to be unfolded, and a document has all.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from fleet.incidents.model import Entry, Kind

FIRST: Final = 3
LAST: Final = 2
LEAST: Final = 3  # fewer take no more room than the line that stands for them
_EVENT: Final = re.compile(r"\S+: (\w+\.[\w.]+)")


@dataclass(frozen=True)
class Folded:
    """Entries in a row of which the timeline shows a line; what they are called, the most first."""

    entries: tuple[Entry, ...]
    names: tuple[tuple[str, int], ...]

    @property
    def text(self) -> str:
        named = ", ".join(f"{name} {count}" for name, count in self.names)
        return f"{len(self.entries)} more changes: {named}"


def fold(timeline: Sequence[Entry]) -> list[Entry | Folded]:
    shown: list[Entry | Folded] = []
    for is_event, stretch in groupby(timeline, key=lambda entry: _name(entry) is not None):
        entries = tuple(stretch)
        middle = entries[FIRST : len(entries) - LAST]
        if not is_event or len(middle) < LEAST:
            shown += entries
            continue
        names = Counter(_name(entry) or "" for entry in middle)
        folded = Folded(middle, tuple(names.most_common()))
        shown += [*entries[:FIRST], folded, *entries[-LAST:]]
    return shown


def _name(entry: Entry) -> str | None:
    """Of the event that it tells of; None: it is something else, which is always shown."""
    found = _EVENT.match(entry.text) if entry.kind is Kind.CHANGED else None
    return None if found is None else found[1]
