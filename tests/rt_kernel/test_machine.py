"""What is missing is said at once and all together."""

import shutil
from pathlib import Path

import pytest

from rt_kernel import machine
from rt_kernel.machine import TOOLS, check_machine, clean_environment, find_missing, nearest_folder
from rt_kernel.problem import KernelError


def test_all_missing_tools_are_named_with_their_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(shutil, "which", lambda program: None if program == "bison" else "/bin/x")
    with pytest.raises(KernelError, match=r"no bison(.|\n)*apt-get install bison$"):
        check_machine(tmp_path)
    assert find_missing(TOOLS, lambda program: None) == TOOLS


def test_a_disk_too_small_is_refused_before_the_long_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(machine, "SPACE_NEEDED_GIB", 10.0**9)
    monkeypatch.setattr(shutil, "which", lambda program: "/bin/x")
    with pytest.raises(KernelError, match=r"GiB of free space(.|\n)*XDG_CACHE_HOME"):
        check_machine(tmp_path / "not/made/yet")


def test_the_disk_looked_at_is_the_one_that_will_be_written(tmp_path: Path):
    assert nearest_folder(tmp_path / "a/b") == tmp_path


def test_nothing_of_the_callers_environment_reaches_the_compiler(tmp_path: Path):
    outer = {"PATH": "/bin", "CFLAGS": "-O0", "MAKEFLAGS": "-j", "LANG": "de", "KCFLAGS": "-g"}
    inner = clean_environment(outer, tmp_path)
    assert inner == {"PATH": "/bin", "HOME": str(tmp_path), "LC_ALL": "C", "TZ": "UTC"}
