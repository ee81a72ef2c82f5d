"""The real mender-client 3.4 against the double: what it makes of the server's answers."""

import random
from pathlib import Path

import pytest

from tests.ota.cut_network import cutting
from tests.ota.mender_api.rig import Console, Device, unique
from tests.ota.mender_client import Client, eventually, make_client, why_not
from tests.ota.mender_double.serve import Served

pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "it can"),
    pytest.mark.xdist_group("mender-client"),
]


@pytest.fixture
def client(tmp_path: Path, served: Served) -> Client:
    identity = {"robot_id": unique("osaka")}
    return make_client(tmp_path, served.url, served.certificate, identity, "before")


def device_of(client: Client, console: Console) -> Device:
    """The same robot as its client, for what the client does not do by itself."""
    return Device(console.http, client.identity, client.key)


def admitted(client: Client, console: Console) -> Device:
    device = device_of(client, console)
    device.ask()
    device.id = console.find(client.identity)["id"]
    console.accept(device)
    return device


def asks(client: Client, console: Console) -> bool:
    rows = console.json("GET", "/api/management/v2/devauth/devices?per_page=500")
    return any(row["identity_data"] == client.identity for row in rows)


def test_it_asks_is_accepted_and_installs(client: Client, console: Console):
    name = console.artifact()
    with client.daemon():
        assert eventually(lambda: asks(client, console)), client.told()
        device = device_of(client, console)
        device.id = console.find(client.identity)["id"]
        console.accept(device)
        deployment = console.deploy(name, device)
        assert eventually(lambda: console.deployment(deployment)["status"] == "finished")
    assert console.shown(deployment) == {device.id: "success"}
    assert client.installed() == name
    calls = client.module_calls()
    assert [c for c in calls if c in ("ArtifactInstall", "ArtifactCommit")] == [
        "ArtifactInstall",
        "ArtifactCommit",
    ]
    assert console.search(device.id, "inventory")["artifact_name"] in ("before", name)


def test_35_it_learns_of_an_abort_at_its_next_report_and_polls_on(client: Client, console: Console):
    device = admitted(client, console)
    client.hold.touch()
    deployment = console.deploy(console.artifact(), device)
    with client.daemon():
        assert eventually(lambda: "ArtifactInstall" in client.module_calls()), client.told()
        assert console.abort(deployment) == 204
        client.hold.unlink()
        assert eventually(lambda: "Cleanup" in client.module_calls()), client.told()
        assert console.shown(deployment) == {device.id: "aborted"}
        later = console.deploy(name := console.artifact(), device)
        assert eventually(lambda: console.deployment(later)["status"] == "finished")
    assert "ArtifactRollback" in client.module_calls()
    assert console.shown(later) == {device.id: "success"}
    assert client.installed() == name


def test_21_what_it_has_by_name_is_not_installed(client: Client, console: Console):
    device = admitted(client, console)
    assert console.upload("before").status_code == 201
    deployment = console.deploy("before", device)
    with client.daemon():
        assert eventually(lambda: console.deployment(deployment)["status"] == "finished")
    assert console.shown(deployment) == {device.id: "already-installed"}
    assert "ArtifactInstall" not in client.module_calls()


def test_23_forced_it_still_says_already_installed(client: Client, console: Console):
    device = admitted(client, console)
    name = console.artifact()
    first = console.deploy(name, device)
    with client.daemon():
        assert eventually(lambda: console.deployment(first)["status"] == "finished")
        forced = console.deploy(name, device, force_installation=True)
        assert eventually(lambda: console.deployment(forced)["status"] == "finished")
    assert console.shown(forced) == {device.id: "already-installed"}


def test_20_data_unlike_those_of_its_first_poll_fail_it(client: Client, console: Console):
    device = admitted(client, console)
    deployment = console.deploy(console.artifact(), device)
    assert device.poll("what it never had").status_code == 200
    with client.daemon():
        assert eventually(lambda: console.deployment(deployment)["status"] == "finished")
    assert console.shown(deployment) == {device.id: "failure"}
    assert "ArtifactInstall" not in client.module_calls()


def test_22_other_dependencies_are_its_own_business(client: Client, console: Console):
    device = admitted(client, console)
    name = console.artifact(depends={"artifact_name": ["something else"]})
    deployment = console.deploy(name, device)
    with client.daemon():
        assert eventually(lambda: console.deployment(deployment)["status"] == "finished")
    assert console.shown(deployment) == {device.id: "failure"}
    assert client.installed() == "before"


@pytest.mark.slow  # the client pauses a minute before it asks for the rest
def test_a_download_that_is_cut_off_goes_on_where_it_was(
    tmp_path: Path, served: Served, console: Console
):
    size = 4 << 20
    identity = {"robot_id": unique("osaka")}
    with cutting(served.url, size // 2) as relay:
        client = make_client(tmp_path, relay.url, served.certificate, identity, "before")
        device = admitted(client, console)
        name = console.artifact(files={"payload": random.Random(1).randbytes(size)})
        deployment = console.deploy(name, device)
        with client.daemon():
            assert eventually(lambda: console.deployment(deployment)["status"] == "finished")
        assert relay.cuts == 1
    assert console.shown(deployment) == {device.id: "success"}
    assert client.installed() == name
