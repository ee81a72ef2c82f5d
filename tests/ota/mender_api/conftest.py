"""The same tests against the double, or against a server: MENDER_URL, MENDER_USER, MENDER_PASSWORD.

MENDER_CA names the authority of a server whose certificate the system does not trust.
"""

import os
import ssl
from collections.abc import Iterator

import pytest

from tests.ota.mender_api.rig import Console, connect
from tests.ota.mender_double.serve import serve


@pytest.fixture(scope="session")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    url = os.environ.get("MENDER_URL", "").rstrip("/")
    if url:
        user, password = os.environ["MENDER_USER"], os.environ["MENDER_PASSWORD"]
        authority = os.environ.get("MENDER_CA") or None
        made = connect(url, ssl.create_default_context(cafile=authority), user, password)
        yield made
        made.http.close()
        return
    with serve(tmp_path_factory.mktemp("mender")) as served:
        made = connect(served.url, served.trust(), served.user, served.password)
        yield made
        made.http.close()
