"""Shared by the eyes' tests: the default profile, and a skip where nothing can be rendered."""

import pytest

from conf.load import compose
from conf.schema import Config
from sim.render import can_render


@pytest.fixture(scope="session")
def config() -> Config:
    return compose(hardware="sim_x86", facility="osaka").config


@pytest.fixture(scope="session")
def needs_gl() -> None:
    if not can_render():
        pytest.skip("no off-screen OpenGL (neither EGL nor OSMesa) on this machine")
