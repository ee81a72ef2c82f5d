"""What was seen of a real server, 19 to 28 and 35: deployments as a device has them."""

from datetime import UTC, datetime

import pytest

from tests.ota.mender_api.rig import (
    ARTIFACTS,
    DEPLOYMENTS,
    DEVICES,
    NEXT,
    Console,
    Device,
    identifier,
    unique,
)

NEXT_V2 = NEXT.replace("/v1/", "/v2/")


def offered(device: Device, artifact_name: str = "before") -> str | None:
    reply = device.poll(artifact_name)
    assert reply.status_code in (200, 204), reply.status_code
    return reply.json()["id"] if reply.status_code == 200 else None


def test_19_the_second_version_of_next_does_not_exist_and_the_first_works_both_ways(
    console: Console,
):
    device = console.device()
    deployment = console.deploy(console.artifact(), device)
    told = {"artifact_name": "before", "device_type": "qemu_arm64"}
    body = {"device_provides": told, "update_control_map": True}
    assert device.call("POST", NEXT_V2, json=body).status_code == 404
    for reply in (device.call("POST", NEXT, json=told), device.call("GET", NEXT, params=told)):
        assert (reply.status_code, reply.json()["id"]) == (200, deployment)
    for missing in told:
        rest = {key: value for key, value in told.items() if key != missing}
        assert device.call("POST", NEXT, json=rest).status_code == 400
        assert device.call("GET", NEXT, params=rest).status_code == 400


def test_20_polling_with_other_data_than_at_first_is_a_failure(console: Console):
    device = console.device()
    deployment = console.deploy(console.artifact(), device)
    assert device.poll("before").status_code == 200
    assert device.poll("before").status_code == 200
    assert device.poll("meanwhile").status_code == 409
    assert console.shown(deployment) == {device.id: "failure"}


def test_21_the_oldest_deployment_comes_first(console: Console):
    device = console.device()
    first, second = (console.deploy(console.artifact(), device) for _ in range(2))
    assert offered(device) == first
    assert device.report(first, "success") == 204
    assert offered(device) == second


def test_21_what_is_installed_by_name_and_what_does_not_fit_ends_at_once(console: Console):
    device = console.device()
    installed, foreign = console.artifact(), console.artifact("another_board")
    one, other = console.deploy(installed, device), console.deploy(foreign, device)
    assert offered(device, installed) is None
    assert offered(device, installed) is None
    assert console.shown(one) == {device.id: "already-installed"}
    assert console.shown(other) == {device.id: "noartifact"}
    assert {console.deployment(name)["status"] for name in (one, other)} == {"finished"}


def test_21_a_deployment_older_than_the_last_one_ended_does_not_count(console: Console):
    device, other = console.device(), console.device()
    older = console.deploy(console.artifact(), device, other)
    newer = console.deploy(console.artifact(), device)
    assert offered(device) == older
    assert device.report(older, "success") == 204
    assert offered(device) == newer
    assert device.report(newer, "failure") == 204
    assert offered(device) is None


def test_22_other_dependencies_than_the_device_type_are_not_enforced(console: Console):
    device = console.device()
    name = console.artifact(depends={"artifact_name": ["something else"]})
    assert offered(device) is None
    deployment = console.deploy(name, device)
    assert offered(device) == deployment


def test_23_a_forced_installation_is_offered_though_it_is_installed(console: Console):
    device, name = console.device(), console.artifact()
    deployment = console.deploy(name, device, force_installation=True)
    assert offered(device, name) == deployment


def test_24_links_live_a_day_for_devices_and_a_quarter_of_an_hour_for_operators(
    console: Console,
):
    device = console.device()
    reply = console.upload(name := unique("release"))
    console.deploy(name, device)
    source = device.poll().json()["artifact"]["source"]
    link = console.json("GET", f"{ARTIFACTS}/{identifier(reply)}/download")
    for found, wanted_s in ((source, 24 * 3600), (link, 15 * 60)):
        end = datetime.fromisoformat(found["expire"])
        left_s = (end - datetime.now(UTC)).total_seconds()
        assert abs(left_s - wanted_s) < 120  # the two clocks may differ
    assert console.http.get(source["uri"]).status_code == 200


def test_25_before_its_first_poll_a_device_is_only_a_number(console: Console):
    first, second = console.device(), console.device()
    deployment = console.deploy(console.artifact(), first, second)
    assert first.report(deployment, "downloading") == 404
    assert console.shown(deployment) == {}
    row = console.deployment(deployment)
    assert (row["device_count"], row["statistics"]["status"]["pending"]) == (0, 2)
    assert first.poll().status_code == 200
    assert console.deployment(deployment)["device_count"] == 1


def test_26_any_order_of_statuses_is_accepted_even_backwards(console: Console):
    device = console.device()
    deployment = console.deploy(console.artifact(), device)
    assert device.poll().status_code == 200
    for status in ("success", "failure", "success", "downloading", "failure"):
        assert device.report(deployment, status) == 204
        counts = console.statistics(deployment)
        assert {key for key, count in counts.items() if count} == {status}
        assert console.deployment(deployment)["status"] == "finished"


def test_26_only_an_aborted_device_is_locked(console: Console):
    device = console.device()
    deployment = console.deploy(console.artifact(), device)
    assert device.poll().status_code == 200
    assert console.call("DELETE", f"{DEPLOYMENTS}/devices/{device.id}").status_code == 204
    assert console.statistics(deployment)["aborted"] == 1
    assert device.report(deployment, "success") == 409


@pytest.mark.parametrize("status", ["pending", "noartifact", "aborted", "decommissioned", "fine"])
def test_27_words_that_are_not_a_devices_own_are_refused(console: Console, status: str):
    device = console.device()
    deployment = console.deploy(console.artifact(), device)
    assert device.poll().status_code == 200
    assert device.report(deployment, status) == 400


def test_27_reports_without_word_or_kind_or_with_too_much(console: Console):
    device = console.device()
    deployment = console.deploy(console.artifact(), device)
    assert device.poll().status_code == 200
    path = f"{DEVICES}/deployments/device/deployments/{deployment}/status"

    def put(content: bytes, kind: str | None) -> int:
        headers = {} if kind is None else {"Content-Type": kind}
        return device.call("PUT", path, content=content, headers=headers).status_code

    assert put(b"{}", "application/json") == 500
    assert put(b'{"status": "installing"}', None) == 400
    assert put(b'{"status": "installing"}', "text/plain") == 415
    assert device.report(deployment, "installing", substate="s" * 201) == 400
    assert device.report(deployment, "installing", substate="s" * 200) == 204


def test_28_repeats_are_taken_and_change_nothing(console: Console):
    device = console.device()
    deployment = console.deploy(console.artifact(), device)
    assert device.poll().status_code == 200
    sequence = ["downloading"] * 3 + ["installing"] * 2 + ["success"]
    counts = []
    for status in sequence:
        assert device.report(deployment, status) == 204
        counts.append({k: n for k, n in console.statistics(deployment).items() if n})
    assert counts == [{status: 1} for status in sequence]


def test_35_after_an_abort_a_device_is_told_twice_and_polls_on(console: Console):
    """The server's half; what the real client does is tests/ota/test_mender_client.py's."""
    device = console.device()
    deployment = console.deploy(console.artifact(), device)
    assert device.poll().status_code == 200
    assert device.report(deployment, "downloading") == 204
    assert console.abort(deployment) == 204
    assert device.report(deployment, "installing") == 409
    assert device.report(deployment, "failure") == 409
    assert offered(device) is None
    later = console.deploy(console.artifact(), device)
    assert offered(device) == later
