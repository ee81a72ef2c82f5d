"""Every state that a disk can be left in between two flushes.

Of the writes of a window any subset may have reached the disk, but for what was written with
force unit access: that is there before anything later. A sector may be torn in the middle. Where
there are too many subsets: all of up to two missing or extra writes, and some by a fixed seed.
"""

import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ota.power_cut.write_log import Window, Wrote

ALL_UP_TO: Final = 9  # writes: 512 subsets
ALL_TORN_UP_TO: Final = 4  # writes: 256 states
DRAWN: Final = 500
SECTOR_BYTES: Final = 512


@dataclass(frozen=True)
class Cut:
    """Which writes of a window are on the disk; of a torn one, one half of its last sector."""

    present: frozenset[int]
    torn: tuple[tuple[int, bool], ...] = ()  # which, and whether its first half is the new one

    @property
    def name(self) -> str:
        listed = ",".join(map(str, sorted(self.present))) or "none"
        halves = [f" torn {at}{'<' if first else '>'}" for at, first in self.torn]
        return listed + "".join(halves)


def cuts(window: Window, seed: int) -> Iterator[Cut]:
    """Each once: whole subsets, and each with its writes torn either way."""
    seen: set[Cut] = set()
    for present in _subsets(window, seed):
        for torn in _torn_ones(window, present):
            for halves in itertools.product((True, False), repeat=len(torn)):
                cut = Cut(present - set(torn), tuple(zip(torn, halves, strict=True)))
                if cut not in seen:
                    seen.add(cut)
                    yield cut


def _torn_ones(window: Window, present: frozenset[int]) -> Iterator[tuple[int, ...]]:
    """Which may be torn at once: any of a few writes; of many the last; none that was forced."""
    last = max(present, default=-1)
    open_ones = [at for at in sorted(present) if not (window[at].lasting and at < last)]
    if len(window) <= ALL_TORN_UP_TO:
        for count in range(len(open_ones) + 1):
            yield from itertools.combinations(open_ones, count)
    else:
        yield ()
        yield from ((at,) for at in open_ones if at == last)


def _subsets(window: Window, seed: int) -> Iterator[frozenset[int]]:
    everything = frozenset(range(len(window)))
    if len(window) <= ALL_UP_TO:
        sizes: Iterator[int] | range = range(len(window) + 1)
        chosen = (frozenset(c) for size in sizes for c in itertools.combinations(everything, size))
    else:
        few = [frozenset(c) for size in range(3) for c in itertools.combinations(everything, size)]
        chance = random.Random(seed)
        drawn = [frozenset(at for at in everything if chance.random() < 0.5) for _ in range(DRAWN)]
        prefixes = [frozenset(range(count)) for count in range(len(window))]
        chosen = iter([*few, *(everything - one for one in few), *prefixes, *drawn])
    for present in chosen:
        if _possible(window, present):
            yield present


def _possible(window: Window, present: frozenset[int]) -> bool:
    """What was forced to the disk is there if anything later is."""
    last = max(present, default=-1)
    return all(at in present for at in range(last) if window[at].lasting)


def pieces(window: Window, cut: Cut, before: Mapping[int, bytes]) -> Iterator[Wrote]:
    """The writes as the disk got them; `before`: what a torn write's last sector held."""
    torn = dict(cut.torn)
    for at, one in enumerate(window):
        if at in torn:
            yield _torn(one, before[at], torn[at])
        elif at in cut.present:
            yield one


def last_sector(one: Wrote) -> int:
    """Where the sector begins that a torn write leaves half done."""
    return one.end_bytes - SECTOR_BYTES


def _torn(one: Wrote, before: bytes, first_half: bool) -> Wrote:
    half = SECTOR_BYTES // 2
    new = one.content[-SECTOR_BYTES:]
    mixed = new[:half] + before[half:] if first_half else before[:half] + new[half:]
    return Wrote(one.at_bytes, one.content[:-SECTOR_BYTES] + mixed)
