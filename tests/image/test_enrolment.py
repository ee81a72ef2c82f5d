"""What a robot is given when it is flashed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image.enrolment import check_name, entries, read_invitation, read_keys
from image.refusal import BuildRefused

INVITATION = {
    "version": 1,
    "robot_id": "osaka-02",
    "site": "osaka",
    "fleet_url": "http://10.0.2.2:8080",
    "broker": {"host": "10.0.2.2", "port": 8883},
    "token": "t" * 43,
    "ca_pem": "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== me"


def written(tmp_path, **changes):
    path = tmp_path / "invitation.json"
    path.write_text(json.dumps({**INVITATION, **changes}, indent=2))
    return path


def test_invitation_lands_on_one_line_that_only_the_robot_reads(tmp_path):
    given_to_it = read_invitation(written(tmp_path), "osaka-02")
    rows = {entry.path: entry for entry in entries(given_to_it, KEY + "\n")}
    document = rows["bedplate/enrolment.json"]
    assert document.data is not None
    assert json.loads(document.data) == INVITATION
    assert document.data.count(b"\n") == 1
    assert document.mode == 0o640
    assert rows["ssh/authorized_keys"].data == KEY.encode() + b"\n"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"robot_id": "gdansk-01"}, "an invitation of gdansk-01"),
        ({"token": "short"}, "token"),
        ({"version": 2}, "version"),
        ({"extra": 1}, "extra"),
        ({"fleet_url": "ftp://x"}, "fleet_url"),
        ({"broker": {"host": "h", "port": 0}}, "broker.port"),
        ({"ca_pem": "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----"}, "private key"),
    ],
)
def test_invitation_that_would_not_work_is_refused(tmp_path, changes, text):
    with pytest.raises(BuildRefused, match=text):
        read_invitation(written(tmp_path, **changes), "osaka-02")


@given(st.binary(max_size=200))
def test_garbage_is_refused(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("e") / "invitation.json"
    path.write_bytes(raw)
    with pytest.raises(BuildRefused):
        read_invitation(path, "osaka-02")


@pytest.mark.parametrize("name", ["", "Osaka", "a_b", "-a", "a-", "a--b", "a" * 49, "a\n", "../a"])
def test_name_that_is_no_host_name_is_refused(name):
    with pytest.raises(BuildRefused):
        check_name(name)


def test_private_key_by_mistake_is_refused(tmp_path):
    path = tmp_path / "id"
    path.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n")
    with pytest.raises(BuildRefused, match="no public key"):
        read_keys([path])
    path.write_text(f"# a comment\n\n{KEY}\n")
    assert read_keys([path]) == KEY + "\n"
