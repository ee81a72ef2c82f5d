"""A Mender server of its own for each module of tests, and somebody logged in at it."""

from collections.abc import Iterator

import pytest

from tests.ota.mender_api.rig import Console, connect
from tests.ota.mender_double.serve import Served, serve


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("mender")) as running:
        yield running


@pytest.fixture(scope="module")
def console(served: Served) -> Iterator[Console]:
    made = connect(served.url, served.trust(), served.user, served.password)
    yield made
    made.http.close()
