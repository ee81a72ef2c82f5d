"""The real control process is measured for a moment. How late it wakes here proves nothing."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conf.load import compose
from conf.profile import write_profile
from conf.schema import Config
from conf.schema.hardware import Load, SimActuation
from runtime.acceptance import measure as measuring
from runtime.acceptance.cli import app
from runtime.acceptance.judge import Part, Verdict, conclude, judge
from runtime.acceptance.measure import AcceptanceError, measure, prepare, run_peer, without_metal

HAS_LOOP = measuring.BUILT_CONTROLD.is_file()
needs_loop = pytest.mark.skipif(not HAS_LOOP, reason="controld is not built: make setup")


@pytest.fixture(scope="module")
def config() -> Config:
    return compose(hardware="sim_x86").config


def test_no_real_arm_is_ever_driven():
    real = compose(hardware="jetson_agx_orin").config
    assert real.hardware.actuation.kind == "cia402"
    assert without_metal(real).hardware.actuation == SimActuation(kind="sim")
    slow = compose(hardware="qemu_arm64").config
    assert without_metal(slow).hardware.actuation == SimActuation(kind="sim")


@needs_loop
@pytest.mark.parametrize("drives", ["compiled", "python"])
def test_both_parts_are_measured_beside_their_load(config: Config, drives: str):
    said: list[str] = []
    with prepare(config) as bench:
        folder = bench.folder
        if drives == "python":
            bench = replace(bench, dynamics=None)
        elif bench.dynamics is None:
            pytest.skip("dynamics is not built: make setup")
        parts = measure(bench, said.append, shortened_to=300)
    assert not folder.exists()
    assert [measured.part for measured in parts] == [Part.QUIET, Part.LOADED]
    for measured in parts:
        assert measured.cycles >= 300
        assert measured.wakeup is not None
        assert measured.wakeup.count >= 300
        assert measured.problem == "" or "cyclictest" in measured.problem
        assert measured.load_died == ()
    assert any("beside disk, memory, network, python" in text for text in said)
    assert judge(config.hardware.acceptance, parts, shortened_to=300)


@needs_loop
def test_a_loop_that_does_not_start_leaves_the_part_unknown(config: Config, tmp_path: Path):
    broken = tmp_path / "controld"
    broken.write_text("#!/bin/sh\nexit 7\n")
    broken.chmod(0o755)
    with prepare(config) as bench:
        parts = measure(replace(bench, controld=broken, cyclictest=None), print, shortened_to=100)
    assert "controld did not start (exit 7)" in parts[0].problem
    assert conclude(judge(config.hardware.acceptance, parts)) is Verdict.UNKNOWN


@needs_loop
def test_a_plant_that_ends_leaves_the_part_unknown(config: Config):
    broken = Path(shutil.which("false") or "")
    with prepare(config) as bench:
        parts = measure(replace(bench, dynamics=broken, cyclictest=None), print, shortened_to=100)
    assert "the arm did not move (plant exit" in parts[1].problem
    assert conclude(judge(config.hardware.acceptance, parts)) is Verdict.UNKNOWN


@needs_loop
def test_without_cyclictest_there_is_no_peer_and_it_is_said(config: Config):
    with prepare(config) as bench:
        peer, problem = run_peer(replace(bench, cyclictest=None), 100)
        assert (peer, problem) == (None, "cyclictest is not installed (Debian: rt-tests)")
        peer, problem = run_peer(replace(bench, cyclictest=shutil.which("false")), 100)
        assert peer is None
        assert problem.startswith("cyclictest ended with 1")


def test_without_a_control_process_nothing_is_measured(
    config: Config, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(measuring, "BUILT_CONTROLD", Path("/nowhere"))
    monkeypatch.setattr(measuring, "ROBOT_CONTROLD", Path("/nowhere"))
    with pytest.raises(AcceptanceError, match="no control process"), prepare(config):
        pass


@pytest.mark.parametrize("kind", list(Load))
def test_each_load_says_that_it_is_ready_and_works(kind: Load, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "runtime.acceptance.load", kind.value, "--turns", "2"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ready\n", "")
    assert list(tmp_path.iterdir()) == []


@needs_loop
def test_the_command_prints_a_verdict_and_keeps_the_document(config: Config, tmp_path: Path):
    write_profile(config, tmp_path / "profile.json")
    out = tmp_path / "kept/acceptance.json"
    words = ["--profile", str(tmp_path / "profile.json"), "--cycles", "200", "--out", str(out)]
    result = CliRunner().invoke(app, ["accept", *words])
    assert result.exit_code in (0, 1, 3), result.output
    assert "verdict: " in result.output
    assert "a look, not the acceptance" in result.output
    assert out.is_file()


def test_a_profile_that_is_none_is_refused(tmp_path: Path):
    (tmp_path / "profile.json").write_text("{}")
    result = CliRunner().invoke(app, ["accept", "--profile", str(tmp_path / "profile.json")])
    assert result.exit_code == 2
