"""Pages never wait for the rows; programs do, and nobody is told old numbers as those of now."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from fleet import numbers
from fleet.numbers import FRESH_NS, OLD_NS, Known, Numbers
from fleet.store.rows import open_rows
from tests.fleet.people.conftest import NS_PER_S, Clock


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Engine]:
    engine = open_rows(f"sqlite:///{tmp_path / 'rows.sqlite'}")
    yield engine
    engine.dispose()


class Slow:
    """The rows answer when they are let."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.go, self.asked = threading.Event(), 0
        self._ask = numbers.snapshot
        patch.setattr(numbers, "snapshot", self._snapshot)

    def _snapshot(self, *asked):
        self.asked += 1
        assert self.go.wait(20)
        return self._ask(*asked)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    return Slow(monkeypatch)


def test_page_does_not_wait_for_rows_and_has_them_when_they_come(rows: Engine, slow: Slow) -> None:
    async def play() -> tuple[Known, Known]:
        clock = Clock()
        made = Numbers(rows, clock)
        first = await made.get(patience_s=0.01)
        slow.go.set()
        return first, await made.get(patience_s=20)

    first, then = asyncio.run(play())
    assert (first.now, first.why) == (None, "the rows have not answered yet")
    assert then.now is not None
    assert slow.asked == 1  # whoever comes meanwhile asks nothing anew


def test_what_is_known_is_shown_while_it_is_asked_again(rows: Engine, slow: Slow) -> None:
    async def play() -> None:
        clock = Clock()
        made = Numbers(rows, clock)
        slow.go.set()
        before = await made.get(patience_s=20)
        slow.go.clear()
        clock.go(FRESH_NS / NS_PER_S)
        assert await made.get(patience_s=0) is before
        await asyncio.sleep(0.05)
        assert slow.asked == 2
        clock.go((OLD_NS - FRESH_NS) / NS_PER_S)
        assert (await made.get(patience_s=0)).now is None  # an hour-old number is none of now
        slow.go.set()
        assert (await made.get(patience_s=20)).now is not None

    asyncio.run(play())


def test_fresh_numbers_are_not_asked_for_again(rows: Engine, slow: Slow) -> None:
    async def play() -> None:
        clock = Clock()
        made = Numbers(rows, clock)
        slow.go.set()
        first = await made.get(patience_s=20)
        clock.go(FRESH_NS / NS_PER_S - 1)
        assert await made.get() is first

    asyncio.run(play())
    assert slow.asked == 1
