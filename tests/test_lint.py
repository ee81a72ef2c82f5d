"""The linters are tests, so that one command tells all."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


def run(*command: str) -> None:
    program = shutil.which(command[0], path=str(BIN)) or shutil.which(command[0])
    if program is None:
        pytest.skip(f"{command[0]} is not installed; try  uv sync")
    done = subprocess.run(
        [program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-8000:]}{done.stderr[-2000:]}"


def test_ruff_finds_nothing():
    run("ruff", "check", "--no-cache", ".")


def test_files_are_formatted():
    run("ruff", "format", "--check", "--no-cache", ".")


@pytest.mark.timeout(300)
def test_types_hold():
    run("basedpyright", "--level", "error")


def test_areas_import_only_what_they_may():
    run("lint-imports", "--no-cache")


IMPORT = re.compile(
    r"^\s*(?:from|import)\s+(conf|runtime|rt_kernel|sim|fleet|models|ota|records|bedplate)\b", re.M
)
MAY_IMPORT = {"records.py": {"conf"}, "bedplate.py": set()}


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_single_files_import_only_what_they_may(name):
    """import-linter sees packages; these two are files."""
    assert set(IMPORT.findall((ROOT / name).read_text())) <= MAY_IMPORT[name]


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git work tree")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [file for file in files if file.is_file()]


def test_python_files_are_of_readable_size():
    long = [f"{f.relative_to(ROOT)}: {count}" for f in tracked("*.py") if (count := lines(f)) > 400]
    assert long == [], "files of more than 400 lines"


def lines(file: Path) -> int:
    return file.read_text(encoding="utf-8").count("\n")


def test_no_folder_is_a_drawer_for_everything():
    names = {
        part for file in tracked("*.py") for part in file.relative_to(ROOT).with_suffix("").parts
    }
    assert not names & {"utils", "util", "helpers", "helper", "common", "misc"}


# Put together at run time, so that this file does not find itself.
UNFINISHED = re.compile(
    "|".join(("TO" + "DO", "FIX" + "ME", r"\bXX" + "X\\b", "NotImplemented" + "Error"))
)


def test_nothing_is_left_unfinished():
    found = [
        f"{file.relative_to(ROOT)}: {match.group()}"
        for file in tracked("*.py", "*.rs", "*.sh", "*.yaml", "*.html", "Makefile")
        if (match := UNFINISHED.search(file.read_text(encoding="utf-8", errors="replace")))
    ]
    assert found == []
