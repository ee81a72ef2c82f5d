"""Sets of sequence numbers as inclusive ranges: what is stored, pending, thinned or missing."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

_RANGE_RULE = "a range is two whole numbers, the first 1 or more and not above the second"

Range = tuple[int, int]

SEQUENCE_MAX = 2**62  # far above what a robot can count, far below what SQLite and Influx hold


class SeqSet:
    """Ranges that neither overlap nor touch, in order. Small in practice: losses are rare."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def __iter__(self) -> Iterator[Range]:
        return iter(list(zip(self._firsts, self._lasts, strict=True)))

    def __len__(self) -> int:
        """How many sequence numbers, not how many ranges."""
        return sum(last - first + 1 for first, last in self)

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __contains__(self, seq: int) -> bool:
        at = bisect_right(self._firsts, seq) - 1
        return at >= 0 and seq <= self._lasts[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SeqSet) and list(self) == list(other)

    def __hash__(self) -> int:
        raise TypeError("a SeqSet changes; use ranges() where a key is needed")

    def __repr__(self) -> str:
        return f"SeqSet({list(self)})"

    def ranges(self) -> tuple[Range, ...]:
        return tuple(self)

    @property
    def span(self) -> Range | None:
        """From the first number to the last; None when there is none."""
        return (self._firsts[0], self._lasts[-1]) if self._firsts else None

    def meets(self, first: int, last: int) -> bool:
        """Whether any number from the first to the last is in it."""
        return bisect_left(self._lasts, first) < bisect_right(self._firsts, last)

    def add(self, first: int, last: int) -> None:
        low = bisect_left(self._lasts, first - 1)
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first = min(first, self._firsts[low])
            last = max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    def remove(self, first: int, last: int) -> None:
        low = bisect_left(self._lasts, first)
        high = bisect_right(self._firsts, last)
        if low >= high:
            return
        kept: list[Range] = []
        if self._firsts[low] < first:
            kept.append((self._firsts[low], first - 1))
        if self._lasts[high - 1] > last:
            kept.append((last + 1, self._lasts[high - 1]))
        self._firsts[low:high] = [item[0] for item in kept]
        self._lasts[low:high] = [item[1] for item in kept]

    def update(self, other: "SeqSet") -> None:
        for first, last in other:
            self.add(first, last)

    def minus(self, other: "SeqSet") -> "SeqSet":
        left = SeqSet(self)
        for first, last in other:
            left.remove(first, last)
        return left

    def within(self, first: int, last: int) -> "SeqSet":
        """The part between two numbers, both included."""
        cut = SeqSet()
        low = bisect_left(self._lasts, first)
        high = bisect_right(self._firsts, last)
        for at in range(low, high):
            cut.add(max(first, self._firsts[at]), min(last, self._lasts[at]))
        return cut


def fold(sequences: Iterable[int]) -> tuple[Range, ...]:
    """Ascending sequence numbers as ranges."""
    ranges: list[Range] = []
    for seq in sequences:
        if ranges and seq == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], seq)
        else:
            ranges.append((seq, seq))
    return tuple(ranges)


def expand(ranges: Iterable[Range]) -> Iterator[int]:
    for first, last in ranges:
        yield from range(first, last + 1)


def count(ranges: Iterable[Range]) -> int:
    return sum(last - first + 1 for first, last in ranges)


def parse_ranges(raw: object, *, most: int = 100_000) -> tuple[Range, ...]:
    """Ranges from a message; ascending, apart, plausible, or ValueError."""
    if not isinstance(raw, list) or len(raw) > most:
        raise ValueError(f"expected a list of at most {most} ranges, got {raw!r:.60}")
    parsed: list[Range] = []
    previous = 0
    for item in raw:  # type: ignore[reportUnknownVariableType]
        first, last = _parse_range(item)
        if first <= previous:
            raise ValueError(f"ranges must ascend without overlap, got {first} after {previous}")
        parsed.append((first, last))
        previous = last
    return tuple(parsed)


def _parse_range(item: object) -> Range:
    if not isinstance(item, list) or len(item) != 2:  # type: ignore[reportUnknownArgumentType]
        raise ValueError(f"{_RANGE_RULE}, got {item!r:.60}")
    first, last = item  # type: ignore[reportUnknownVariableType]
    if type(first) is not int or type(last) is not int:
        raise ValueError(f"{_RANGE_RULE}, got {item!r:.60}")
    if not 1 <= first <= last <= SEQUENCE_MAX:
        raise ValueError(f"{_RANGE_RULE}, got {item!r:.60}")
    return first, last
