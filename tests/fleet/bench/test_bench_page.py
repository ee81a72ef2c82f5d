"""The figures' way into the page, and what is said where there is no peer."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from conf.schema.telemetry import Store
from fleet.bench import telegraf
from fleet.bench.disk import disk_of
from fleet.bench.live import Delay, Live, delay
from fleet.bench.page import FIRST, LAST, PageError, tables, write_page
from fleet.bench.peer import Pair, Side
from fleet.bench.recorded import recorded
from fleet.bench.told import AS_A_ROBOT
from fleet.from_source import NotBuiltError
from fleet.influxd import find_binary

OURS = Side("bedplate", 40, 10, 0, 40, 1234567.0, 0.1, 0.2, 0.3, 0.4, 99.5, 1.5, 7.0)


def figures() -> dict[str, list[dict[str, Any]]]:
    seen = Delay(10, 12.34, 56.78)
    cores = {"ingest1": 0.5, "broker": 0.1, "page": 0.2, "load": 0.9}
    row = Live(
        robots=100,
        samples=1,
        seconds=30.0,
        store="embedded",
        sent=12_345,
        stored=12_345,
        missing=0,
        settled=True,
        sent_to_stored=seen,
        made_to_stored=seen,
        to_page=Delay(0, None, None),
        cpu_ratio=cores,
        memory_mib={"ingest1": 130.0},
        disk_mib_robot_day=80.0,
        load_average=0.4,
    )
    return {
        "peer": [asdict(Pair(1, OURS, None, "Go is not installed", None))],
        "live": [asdict(row)],
    }


def test_tables_say_who_is_missing_what_was_busy_and_what_ten_thousand_would_take() -> None:
    text = tables(figures())
    assert "| 1 |  | no peer: Go is not installed |" in text
    assert "| 1 | 4 | bedplate | 1,234,567 |  | 1.5 | 0 | 40 |" in text
    assert "7.0 (busy)" in text
    assert "| 12.3 / 56.8 | - / - | 0.5, 0.1, 0.2, 0.9 |" in text
    assert "| embedded | 1 | 100 | 50 | 10 | 20 | 781 |" in text
    assert "Robots that come back" not in text
    assert "Chromium" not in text


def test_of_several_runs_the_middle_one_stands_there_and_how_far_they_lie_apart() -> None:
    peer = [
        asdict(Pair(0, replace(OURS, points_per_core_s=rate), OURS, "", ratio))
        for rate, ratio in ((30.0, 3.0), (10.0, 1.0), (20.0, 2.0))
    ]
    text = tables({"peer": peer})
    assert "| as a robot sends | 4 | bedplate | 20 | 2.00 (1.00 to 3.00 of 3) |" in text
    assert "1.00 to" not in tables({"peer": peer[:1]})


def test_who_fell_behind_says_nothing_of_ten_thousand() -> None:
    """It has done less than the work of so many robots."""
    (row,) = figures()["live"]
    behind = {**row, "robots": 1000, "made_to_stored": asdict(Delay(10, 9e4, 15e4))}
    text = tables({"live": [row, behind]})
    assert "| embedded | 1,000 | 1 |" in text
    assert text.endswith("| embedded | 1 | 100 | 50 | 10 | 20 | 781 |\n")


def test_disk_is_what_the_second_half_adds() -> None:
    """An empty database is not in it: half the telemetry takes as much a day."""
    small, large = (disk_of(4, samples=1, robot_seconds=seconds) for seconds in (160, 480))
    assert (small.half_s, large.half_s) == (20, 60)
    assert large.points > 2 * small.points
    assert large.series_mib_robot_day == pytest.approx(small.series_mib_robot_day, rel=0.5)
    assert large.store == "embedded"
    robot = disk_of(2, samples=AS_A_ROBOT, robot_seconds=40)
    assert robot.points == 2 * robot.half_s * len(recorded())
    assert robot.series_mib_robot_day > 2 * large.series_mib_robot_day


def test_disk_of_influxdb_is_what_it_keeps_when_it_has_compacted() -> None:
    if find_binary() is None:
        pytest.skip("no influxd: python -m fleet.influxd --build")
    one, other = (disk_of(4, 10, 400, kind) for kind in (Store.EMBEDDED, Store.INFLUXDB))
    assert other.points == pytest.approx(one.points, rel=0.02), "they begin at other moments"
    assert 0 < other.series_mib_robot_day < one.series_mib_robot_day


def test_table_of_the_page_has_its_machine_beside_it() -> None:
    spread = {"p50": 176, "p95": 364.4, "max": 504}
    empty = {"p50": 92, "p95": 112, "max": 128}
    paint = {
        "robots": 1000,
        "server": {"ms": {"p50": 34.4, "p95": 196.2, "max": 533.2}, "html_bytes": 40_960},
        "paint_ms": {"page": {"paint": spread}, "empty": {"paint": empty}},
        "update_ms": {"p50": 321.4, "p95": 559.5, "max": 972.1},
        "fleetd_cpu_ratio": 0.436,
        "load_average": 1.9,
    }
    text = tables({"paint": paint})
    assert "| 1,000 | 176 / 364 / 504 | 92 / 112 / 128 | 34.4 / 196 / 533 | " in text
    assert "| 321 / 560 / 972 | 0.436 | 40 | 1.9 (busy) |" in text


def test_page_is_written_between_its_marks_as_often_as_one_likes(tmp_path: Path) -> None:
    page = tmp_path / "scale.md"
    page.write_text(f"before\n{FIRST}\nold\n{LAST}\nafter\n")
    for _ in range(2):
        write_page(page, figures())
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert text.count("10,000 robots, on paper") == 1
    write_page(page, {"peer": [asdict(Pair(7, OURS, None, "Go is away", None))]})
    found = page.read_text()
    assert "Go is away" in found
    assert "Go is not installed" not in found
    assert found.count("on paper") == 1, "what was not measured now stays as it was"
    page.write_text("no marks")
    with pytest.raises(PageError, match="must stand"):
        write_page(page, figures())


def test_percentiles_are_of_samples_that_were_seen() -> None:
    assert delay(float(ms) for ms in range(100, 0, -1)) == Delay(100, 51.0, 100.0)
    assert delay([]) == Delay(0, None, None)


def test_without_go_the_peer_is_missing_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TELEGRAF", raising=False)
    monkeypatch.setattr("fleet.from_source.shutil.which", lambda *_, **__: None)
    with pytest.raises(NotBuiltError, match=r"Go .* is not installed"):
        telegraf.PROGRAM.ensure()
