"""A control file for tests, a lock-step robot, and the real process with its surroundings."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.controld.surroundings import read_control
from tests.controld.robots import BINARY, LockstepRobot, Process

SAMPLE = Path("runtime/controld/tests/data/osaka.control").resolve()


def write_control(path: Path, control: dict[str, object]) -> Path:
    line = json.dumps(control, sort_keys=True, separators=(",", ":")).encode()
    path.write_bytes(hashlib.sha256(line).hexdigest().encode() + b"\n" + line + b"\n")
    return path


@pytest.fixture
def shm_dir() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="bedplate-test-", dir="/dev/shm"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def control(tmp_path: Path) -> dict[str, object]:
    """The sample profile as an ordinary thread: a test must not take a CPU from its host."""
    control = read_control(SAMPLE)
    cycle = control["cycle"]
    assert isinstance(cycle, dict)
    cycle |= {"policy": "other", "cpu": None, "lock_memory": False, "miss_reaction": "report"}
    return control


@pytest.fixture
def control_path(tmp_path: Path, control: dict[str, object]) -> Path:
    return write_control(tmp_path / "control.json", control)


@pytest.fixture
def robot(shm_dir: Path, control_path: Path) -> LockstepRobot:
    return LockstepRobot(shm_dir, control_path)


@pytest.fixture
def process(shm_dir: Path, control_path: Path) -> Iterator[Process]:
    if not BINARY.exists():
        pytest.skip("controld is not built: run runtime/controld/build.sh")
    process = Process(shm_dir, control_path)
    yield process
    process.close()
