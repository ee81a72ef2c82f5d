"""The status file of the uplink: whole or not there."""

import pytest

from runtime.uplink import Uplink, read_uplink, write_uplink


def test_uplink_status_comes_back_as_it_was_written(tmp_path):
    path = tmp_path / "uplink.json"
    for uplink in (Uplink(True, 5, 9), Uplink(False, None, 11)):
        write_uplink(path, uplink)
        assert read_uplink(path) == uplink


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"connected": true}', b"\xff"])
def test_uplink_status_that_is_damaged_is_none(tmp_path, content):
    path = tmp_path / "uplink.json"
    path.write_bytes(content)
    assert read_uplink(path) is None


def test_uplink_status_that_is_not_there_is_none(tmp_path):
    assert read_uplink(tmp_path / "uplink.json") is None
