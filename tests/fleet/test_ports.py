"""Two runs of the tests side by side share no port, and a port is had again when its user ended."""

import subprocess
import sys
from pathlib import Path

from tests.fleet.ports import BLOCK, own_port

ROOT = Path(__file__).resolve().parents[2]
WANTED = 33_016
OTHER = """
from pathlib import Path
from tests.fleet.ports import own_port
print(own_port(int({wanted}), Path({folder!r})), flush=True)
input()
"""


def test_two_runs_side_by_side_get_ports_of_their_own(tmp_path: Path) -> None:
    program = OTHER.format(wanted=WANTED, folder=str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        theirs = int(other.stdout.readline())
        ours = own_port(WANTED, tmp_path)
        other.communicate("\n")
    assert abs(ours - theirs) >= BLOCK
    assert own_port(WANTED, tmp_path) in (ours, theirs)


def test_two_uses_of_one_run_get_ports_of_their_own(tmp_path: Path) -> None:
    assert abs(own_port(WANTED + 400, tmp_path) - own_port(WANTED + 401, tmp_path)) >= BLOCK - 1
