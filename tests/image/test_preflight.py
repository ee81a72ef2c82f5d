"""What would stop a build later is found in seconds, all at once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from image.cache import Cache
from image.lockfile import read_lock
from image.plan import Request, plan
from image.progress import Progress
from image.refusal import BuildRefused
from image.steps import preflight as step
from image.steps.preflight import (
    clock_problems,
    emulation_problems,
    right_problems,
    space_problems,
    tool_problems,
)

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def test_missing_tools_are_one_message_with_the_packages_to_install():
    (problem,) = tool_problems({"no-such-tool": "its-package", "sh": "dash", "nor-this": "other"})
    assert problem.got == "no-such-tool, nor-this missing"
    assert "its-package other" in problem.suggestion


def test_disk_without_room_is_named_once(tmp_path):
    found = space_problems({"a": tmp_path, "b": tmp_path / "not/yet/there"}, 1 << 60)
    assert len(found) == 1
    assert "GiB free" in found[0].got
    assert space_problems({"a": tmp_path}, 1) == []


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("enabled\ninterpreter /q\nflags: PF\n", True),
        ("enabled\ninterpreter /q\nflags: P\n", False),
        ("disabled\nflags: PF\n", False),
        (None, False),
    ],
)
def test_emulation_must_be_enabled_and_open_its_interpreter_at_once(
    tmp_path, monkeypatch, text, fine
):
    monkeypatch.setattr(step.os, "uname", lambda: type("Uname", (), {"machine": "x86_64"}))
    if text is not None:
        (tmp_path / "qemu-aarch64").write_text(text)
    assert (emulation_problems(False, tmp_path) == []) is fine
    assert emulation_problems(True, tmp_path) == []  # the root is in the cache: nothing is run


def test_clock_before_the_lock_is_refused():
    assert clock_problems(NOW, NOW + timedelta(hours=1)) == []
    (problem,) = clock_problems(NOW, NOW - timedelta(days=20_000))
    assert "clock" in problem.where


def test_namespaces_that_cannot_be_made_are_told_before_the_build_not_in_the_middle():
    assert right_problems(["env"]) == []
    (problem,) = right_problems(["sh", "-c", "echo cannot change propagation >&2; exit 1"])
    assert problem.got == "cannot change propagation"
    assert "rights" in problem.where


def test_everything_is_said_at_once(tmp_path, monkeypatch):
    made = plan(Request(hardware="qemu_arm64", facility="osaka", cache=tmp_path), Progress(()))
    monkeypatch.setattr(step, "TOOLS", {"no-such-tool": "its-package"})
    monkeypatch.setattr(step, "UNPRIVILEGED_TOOLS", {})
    monkeypatch.setattr(step, "NEEDED_GIB", 1 << 30)
    monkeypatch.setattr(step, "BINFMT", tmp_path)
    monkeypatch.setattr(step, "right_problems", list)
    with pytest.raises(BuildRefused) as refusal:
        step.preflight(made, lambda text: None)
    assert len(refusal.value.problems) >= 2


def test_board_that_does_not_exist_is_refused_with_the_nearest_name():
    with pytest.raises(BuildRefused, match="qemu_arm64"):
        plan(Request(hardware="qemu_arm46", facility="osaka"), Progress(()))


def test_artifact_is_named_by_board_facility_and_profile():
    one = plan(Request(hardware="qemu_arm64", facility="osaka"), Progress(()))
    other = plan(Request(hardware="qemu_arm64", facility="gdansk"), Progress(()))
    assert one.config.artifact_name.startswith("qemu_arm64-osaka-")
    assert one.config.artifact_name != other.config.artifact_name
    assert one.epoch == int(read_lock().made_at.timestamp())


def test_empty_cache_makes_every_fetched_and_made_thing_cold(tmp_path):
    made = plan(Request(hardware="qemu_arm64", facility="osaka", cache=tmp_path), Progress(()))
    assert Cache(tmp_path).root == Path(tmp_path)
    assert "fetch what is locked" in step.cold_steps(made)
    assert "add this tree and the profile" not in step.cold_steps(made)
