"""Shared by the simulator's tests: a profile, a run folder, a stand-in for Tier 1."""

from __future__ import annotations

from pathlib import Path

import pytest

from conf.load import compose
from conf.schema import Config
from runtime.daemon import Context
from runtime.hal.clock import VirtualClock
from runtime.paths import Paths
from runtime.shm import Shm
from runtime.telemetry.client import MemorySink, TelemetryClient
from sim.render import can_render


@pytest.fixture(scope="session")
def config() -> Config:
    return compose(hardware="sim_x86", facility="osaka").config


@pytest.fixture(scope="session")
def other_config() -> Config:
    return compose(hardware="sim_x86", facility="gdansk").config


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path / "run", tmp_path / "data")
    for folder in (made.run, made.data, made.run / "shm"):
        folder.mkdir(parents=True)
    return made


@pytest.fixture
def context(config: Config, paths: Paths) -> Context:
    clock = VirtualClock()
    client = TelemetryClient(MemorySink(), "test", clock)
    return Context(config, paths, clock, Shm(paths.shm), client)


@pytest.fixture
def needs_gl() -> None:
    if not can_render():
        pytest.skip("no off-screen OpenGL (neither EGL nor OSMesa) on this machine")
