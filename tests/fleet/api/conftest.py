"""Rows of people for the API's tests, as those of people have them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.store.rows import open_rows
from tests.fleet.people.conftest import People


@pytest.fixture
def people(tmp_path: Path) -> Iterator[People]:
    engine = open_rows(f"sqlite:///{tmp_path / 'rows.sqlite'}")
    yield People(engine)
    engine.dispose()
