"""Shared by the simulator's tests: a profile, a run folder, a stand-in for Tier 1."""

from __future__ import annotations

from pathlib import Path

import pytest

from conf.load import compose
from conf.schema import Config
from runtime.daemon import Context
from runtime.paths import Paths
from sim.render import can_render
from tests.sim.cores import make_context


@pytest.fixture(scope="session")
def config() -> Config:
    return compose(hardware="sim_x86", facility="osaka").config


@pytest.fixture(scope="session")
def other_config() -> Config:
    return compose(hardware="sim_x86", facility="gdansk").config


@pytest.fixture
def context(config: Config, tmp_path: Path) -> Context:
    return make_context(config, tmp_path)


@pytest.fixture
def paths(context: Context) -> Paths:
    return context.paths


@pytest.fixture
def needs_gl() -> None:
    if not can_render():
        pytest.skip("no off-screen OpenGL (neither EGL nor OSMesa) on this machine")
