"""The acceptance at first boot: the wish is read carefully, and outlives a cut but not an end."""

import subprocess
import sys

import pytest

from runtime.acceptance.once import cycles_of, main
from runtime.units import ACCEPTANCE_WISH


@pytest.mark.parametrize(
    ("wish", "cycles"),
    [("5000\n", 5000), ("", None), ("\n", None), ("-5", None), ("0", None), ("many", None)],
)
def test_wish_is_a_number_of_cycles_or_all_of_them(wish, cycles):
    assert cycles_of(wish) == cycles


@pytest.mark.parametrize("status", [0, 1, 2, 3])
def test_wish_is_taken_back_whatever_was_found(tmp_path, monkeypatch, capsys, status):
    asked = []

    def run(words, **_):
        asked.extend(words)
        return subprocess.CompletedProcess(words, status)

    (tmp_path / ACCEPTANCE_WISH).write_text("7")
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["once", "--data-dir", str(tmp_path)])
    main()
    assert asked[-2:] == ["--cycles", "7"]
    assert not (tmp_path / ACCEPTANCE_WISH).exists()
    assert f"acceptance ended with {status}" in capsys.readouterr().out


def test_interrupted_measurement_leaves_the_wish(tmp_path, monkeypatch):
    def run(words, **_):
        raise KeyboardInterrupt

    (tmp_path / ACCEPTANCE_WISH).write_text("")
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["once", "--data-dir", str(tmp_path)])
    with pytest.raises(KeyboardInterrupt):
        main()
    assert (tmp_path / ACCEPTANCE_WISH).exists()
