"""Batches into the books, held against a model that knows nothing but sets of numbers."""

import random
from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sql
from hypothesis import given
from hypothesis import strategies as st

from fleet.store import settle as module
from fleet.store.books import Books
from fleet.store.settle import Settlement
from fleet.store.tables import PROVENANCE, SETTLED, Outcome
from runtime.telemetry.ranges import SeqSet, fold

LAST = 40
numbers = st.frozensets(st.integers(1, LAST), max_size=8)
frames = st.tuples(
    st.sampled_from(["r-1", "r-2"]), st.integers(1, 2), numbers, numbers, numbers, st.booleans()
)
_names = count()
Frame = tuple[str, int, frozenset[int], frozenset[int], frozenset[int], bool]


def ranges(some: frozenset[int]) -> SeqSet:
    return SeqSet(fold(sorted(some)))


def settlement(frame: Frame) -> Settlement:
    robot, epoch, stored, refused, thinned, late = frame
    return Settlement(
        robot,
        epoch,
        "a" * 64,
        "v1",
        stored=ranges(stored - refused),
        refused=dict.fromkeys(refused, ("why", b"line")),
        thinned=ranges(thinned),
        replayed=ranges(stored | refused) if late else SeqSet(),
    )


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    books = Books(f"sqlite:///{tmp_path_factory.mktemp('books') / 'rows.sqlite'}")
    yield books
    books.close()


class Model:
    """One number at a time."""

    def __init__(self) -> None:
        self.sets: defaultdict[tuple[str, int, Outcome], set[int]] = defaultdict(set)

    def book(self, frame: Frame) -> set[int]:
        robot, epoch, stored, refused, thinned, late = frame
        known = self.sets[robot, epoch, Outcome.STORED]
        fresh = set(stored - refused) - known
        if late:
            self.sets[robot, epoch, Outcome.REPLAYED] |= (stored | refused) - known
        known |= stored - refused
        self.sets[robot, epoch, Outcome.REFUSED] |= refused
        self.sets[robot, epoch, Outcome.THINNED] |= thinned
        return fresh


def check(books: Books, batches: list[list[Frame]]) -> None:
    model = Model()
    mine = f"{next(_names)}-"  # one database for all: a new one costs more than the question
    for batch in ([(mine + frame[0], *frame[1:]) for frame in batch] for batch in batches):
        told: list[SeqSet] = []
        books.settle(
            [settlement(frame) for frame in batch], lambda _, fresh, to=told: to.extend(fresh)
        )
        assert told == [ranges(frozenset(model.book(frame))) for frame in batch]
    rows: defaultdict[tuple[str, int, Outcome], list[tuple[int, int]]] = defaultdict(list)
    query = sql.select(SETTLED).where(SETTLED.c.robot.startswith(mine)).order_by(SETTLED.c.first)
    for row in books.read(query):
        rows[row.robot, row.epoch, Outcome(row.outcome)].append((row.first, row.last))
    # Row for row: joined wherever they touch, so that the table stays small.
    assert dict(rows) == {
        key: list(ranges(frozenset(some))) for key, some in model.sets.items() if some
    }


@given(batches=st.lists(st.lists(frames, max_size=5), max_size=6))
def test_any_batches_are_booked_as_one_number_after_another_would_be(
    batches: list[list[Frame]], books: Books
) -> None:
    check(books, batches)


def test_either_database_books_what_one_number_after_another_would_be(rows_url: str) -> None:
    draw = random.Random(1)

    def some() -> frozenset[int]:
        return frozenset(draw.sample(range(1, LAST), draw.randint(0, 8)))

    books = Books(rows_url)
    batches = [
        [
            (draw.choice("ab"), draw.randint(1, 2), some(), some(), some(), draw.random() < 0.5)
            for _ in range(draw.randint(1, 6))
        ]
        for _ in range(30)
    ]
    check(books, batches)
    books.close()


def test_ranges_far_apart_in_one_batch_are_joined_where_they_touch(rows_url: str) -> None:
    books = Books(rows_url)
    far = 2**61
    item = settlement(("r-1", 1, frozenset(range(2, 60, 2)), frozenset(), frozenset(), False))
    books.settle([item])
    ends = Settlement("r-1", 1, "a" * 64, "v1", stored=SeqSet([(3, 3), (far, far + 5)]))
    books.settle([ends])
    stored = books.settled("r-1", 1, Outcome.STORED).ranges()
    assert stored[:3] == ((2, 4), (6, 6), (8, 8))
    assert stored[-1] == (far, far + 5)
    books.close()


def test_provenance_spans_what_was_stored_in_whatever_order(rows_url: str) -> None:
    books = Books(rows_url)
    for first, last in ((50, 60), (10, 20), (70, 71), (30, 31)):
        books.settle([Settlement("r-1", 1, "a" * 64, "v1", stored=SeqSet([(first, last)]))])
    (row,) = books.read(sql.select(PROVENANCE.c.first, PROVENANCE.c.last))
    assert tuple(row) == (10, 71)
    books.close()


def test_refused_points_are_kept_up_to_a_number_and_no_other_robot_loses_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFUSED_KEPT", 10)
    books = Books(f"sqlite:///{tmp_path / 'rows.sqlite'}")
    for robot, seqs in (("r-1", range(1, 5)), ("r-2", range(1, 9)), ("r-2", range(9, 21))):
        books.settle([settlement((robot, 1, frozenset(), frozenset(seqs), frozenset(), False))])
    assert len(books.refused("r-1")) == 4
    assert [row["seq"] for row in books.refused("r-2")] == list(range(15, 21))
    books.close()
