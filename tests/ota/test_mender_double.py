"""The double itself: that the suite is whole, and that its artifacts are real ones."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ota.mender_double.artifact_file import NoArtifactError, make_artifact, read_artifact

SUITE = Path(__file__).parent / "mender_api"
BEHAVIOURS = 35


def test_every_observed_behaviour_has_a_test_of_its_number():
    text = "".join(file.read_text() for file in SUITE.glob("test_*.py"))
    numbers = {int(number) for number in re.findall(r"^def test_(\d\d)_", text, re.M)}
    assert numbers == set(range(1, BEHAVIOURS + 1))


def test_the_suite_looks_at_nothing_but_the_api():
    """So that it means the same against a real server: no state of the double is in reach."""
    for file in SUITE.glob("*.py"):
        imports = re.findall(r"from tests\.ota\.mender_double\.(\w+) import", file.read_text())
        allowed = {"artifact_file", "serve"} if file.name == "conftest.py" else {"artifact_file"}
        assert set(imports) <= allowed, file.name


@pytest.mark.skipif(shutil.which("mender-artifact") is None, reason="no mender-artifact here")
def test_artifacts_of_the_double_are_valid_for_menders_own_tool(tmp_path: Path):
    path = tmp_path / "a.mender"
    path.write_bytes(make_artifact("release-1", "qemu_arm64", files={"a": b"x" * 5000, "b": b""}))
    done = subprocess.run(
        ["mender-artifact", "validate", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_was_written_is_read_again(tmp_path: Path):
    path = tmp_path / "a.mender"
    path.write_bytes(make_artifact("r", "board", depends={"artifact_group": ["g"]}))
    contents = read_artifact(path)
    assert (contents.name, contents.device_types, contents.version) == ("r", ["board"], 3)
    assert contents.depends == {"device_type": ["board"], "artifact_group": ["g"]}
    assert not contents.signed


@given(st.data())
def test_a_damaged_artifact_is_refused_or_read_never_a_crash(tmp_path: Path, data: st.DataObject):
    whole = bytearray(make_artifact("r", "board"))
    for _ in range(data.draw(st.integers(0, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "a.mender"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        read_artifact(path)
    except NoArtifactError:
        return
