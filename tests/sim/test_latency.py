"""How old a picture is when Tier 1 first obeys it."""

from pathlib import Path

import pytest

from runtime.shm import Shm
from sim.bench.latency import PictureWatch

MS = 1_000_000


class Cell:
    def __init__(self, folder: Path) -> None:
        shm = Shm(folder)
        self.state, self.people = shm.writer("state"), shm.writer("people")
        self.watch = PictureWatch(shm)

    def cycle(self, now_ms: int, capture_ms: int, level: int) -> None:
        self.people.write(capture_ns=capture_ms * MS, level=level)
        self.state.write(created_ns=now_ms * MS, people_age_ns=(now_ms - capture_ms) * MS)
        self.watch.look()


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    return Cell(tmp_path)


def test_a_picture_counts_once_when_it_is_first_obeyed(cell: Cell) -> None:
    cell.cycle(1000, 960, level=1)  # may have been obeyed long before anybody looked
    for now_ms in (1040, 1041, 1042):
        cell.cycle(now_ms, 1000, level=1)
    found = cell.watch.figures()
    assert found["all"] == {"count": 1} | dict.fromkeys(
        ("p50_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms"), 40.0
    )


def test_levels_are_told_apart(cell: Cell) -> None:
    for index, level in enumerate((1, 1, 3)):
        cell.cycle(1000 + 100 * index + 30 * level, 1000 + 100 * index, level)
    by_level = cell.watch.figures()
    assert by_level["level_1"]["p50_ms"] == 30.0
    assert by_level["level_3"]["p50_ms"] == 90.0


def test_no_picture_gives_no_figure(cell: Cell) -> None:
    cell.watch.look()
    assert cell.watch.figures()["all"] == {"count": 0}
