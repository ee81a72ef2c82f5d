"""The bench says what it measured, and names what it could not measure."""

import pytest

from runtime.controld.bench import count_instructions, read_state, spread_of


def test_reads_are_given_as_a_spread_in_rising_order() -> None:
    spread = read_state(200)
    assert list(spread) == ["p50_us", "p99_us", "p999_us", "max_us"]
    assert 0 < spread["p50_us"] <= spread["p99_us"] <= spread["p999_us"] <= spread["max_us"]


def test_a_spread_is_in_microseconds() -> None:
    assert spread_of([1000, 2000, 3000])["p50_us"] == 2.0


def test_missing_tools_are_named_with_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert count_instructions(10) == "valgrind is not installed (valgrind)"
