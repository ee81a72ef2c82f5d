"""What runs before a change lands: its stages, their times, and a sample of tests that exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def gate(folder: Path, make: str) -> subprocess.CompletedProcess[str]:
    """Runs .ci/run with a `make` of our own."""
    (folder / ".ci").mkdir()
    script = folder / ".ci" / "run"
    script.write_text((ROOT / ".ci" / "run").read_text(encoding="utf-8"), encoding="utf-8")
    program = folder / "bin" / "make"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{make}\n", encoding="utf-8")
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", script],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_gate_runs_every_stage_and_prints_its_time(tmp_path: Path) -> None:
    ran = gate(tmp_path, 'echo "made $1"')
    assert ran.returncode == 0, ran.stdout + ran.stderr
    made = re.findall(r"^made (.*)$", ran.stdout, re.M)
    assert made == ["test", "test-sample", "power-cut-sample", "test-image-sample"]
    times = re.findall(r"^== (.*): \d+ s$", ran.stdout, re.M)
    assert len(times) == 5
    assert times[-1] == "all stages"


def test_gate_ends_at_the_first_stage_that_fails_and_names_it(tmp_path: Path) -> None:
    ran = gate(tmp_path, "exit 2")
    assert ran.returncode == 2
    assert re.search(r"^== robot: install.*: FAILED \(2\) after \d+ s$", ran.stdout, re.M)
    assert "all stages" not in ran.stdout


def test_every_test_of_the_sample_exists_and_is_a_slow_one() -> None:
    found = re.search(r"^SAMPLE := \\\n((?:  \S+(?: \\)?\n)+)", MAKEFILE, re.M)
    assert found
    names = re.findall(r"tests/\S+", found[1])
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "slow", *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert listed.returncode == 0, listed.stdout + listed.stderr
    collected = {line.partition("[")[0] for line in listed.stdout.splitlines() if "::" in line}
    assert collected == set(names)
