import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.shm import Shm


@pytest.fixture
def shm() -> Iterator[Shm]:
    """An empty folder in real shared memory."""
    directory = Path(tempfile.mkdtemp(prefix="bedplate-test-", dir="/dev/shm"))
    yield Shm(directory)
    shutil.rmtree(directory)
