"""What was seen of a real server, 9 to 13: inventory, groups, artifacts."""

import pytest

from tests.ota.mender_api.rig import (
    ARTIFACTS,
    DEPLOYMENTS,
    UNKNOWN,
    V1,
    Console,
    eventually,
    identifier,
    unique,
)
from tests.ota.mender_double.artifact_file import make_artifact


def test_09_patch_adds_and_put_replaces_the_whole_inventory_scope(console: Console):
    device = console.device()

    def told() -> dict:
        return {
            k: v for k, v in console.search(device.id, "inventory").items() if k in ("a", "b", "c")
        }

    assert device.tell("PATCH", {"name": "a", "value": "1"}, {"name": "b", "value": 2}) == 200
    assert eventually(lambda: told() == {"a": "1", "b": 2})
    assert device.tell("PATCH", {"name": "b", "value": ["x", "y"]}) == 200
    assert eventually(lambda: told() == {"a": "1", "b": ["x", "y"]})
    assert device.tell("PUT", {"name": "c", "value": "3"}) == 200
    assert eventually(lambda: told() == {"c": "3"})


@pytest.mark.parametrize("value", [True, {"x": 1}, [1, "x"]], ids=["boolean", "object", "mixed"])
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_09_booleans_objects_and_mixed_lists_are_refused(console: Console, method: str, value):
    assert console.device().tell(method, {"name": "a", "value": value}) == 400


def test_09_a_hundred_and_fifty_attributes_are_too_many(console: Console):
    many = [{"name": f"a{index}", "value": "x"} for index in range(150)]
    assert console.device().tell("PUT", *many) == 400


def test_10_groups_of_unknown_devices(console: Console):
    group = unique("group")
    reply = console.call("PATCH", f"{V1}/inventory/groups/{group}/devices", json=[UNKNOWN])
    assert (reply.status_code, reply.json()) == (200, {})
    assert console.call("GET", f"{V1}/inventory/groups/{group}/devices").status_code == 404
    device = console.device()
    reply = console.call("PATCH", f"{V1}/inventory/groups/{group}/devices", json=[device.id])
    assert reply.json() == {"matched_count": 1, "updated_count": 1}
    assert console.json("GET", f"{V1}/inventory/groups/{group}/devices") == [device.id]


def test_11_the_same_name_for_the_same_board_is_a_conflict_and_for_another_is_not(
    console: Console,
):
    name = console.artifact()
    assert console.upload(name, files={"payload": b"other"}).status_code == 409
    assert console.upload(name, "jetson_agx_orin").status_code == 201
    (release,) = [
        r for r in console.json("GET", f"{DEPLOYMENTS}/releases?name={name}") if r["Name"] == name
    ]
    assert len(release["Artifacts"]) == 2


def test_11_a_late_upload_joins_deployments_that_exist(console: Console):
    name = console.artifact("another_board")
    device = console.device()
    deployment = console.deploy(name, device)
    assert console.upload(name).status_code == 201
    assert device.poll().json()["id"] == deployment


def test_12_the_size_of_an_upload_is_optional_and_may_come_last(console: Console):
    data = make_artifact(unique("release"), "qemu_arm64")
    fields = {"artifact": ("a.mender", data), "size": (None, str(len(data)))}
    assert console.call("POST", ARTIFACTS, files=fields).status_code == 201
    without = {"artifact": ("a.mender", make_artifact(unique("release"), "qemu_arm64"))}
    assert console.call("POST", ARTIFACTS, files=without).status_code == 201


def test_12_an_upload_that_is_no_form_is_of_the_wrong_kind(console: Console):
    data = make_artifact(unique("release"), "qemu_arm64")
    headers = {"Content-Type": "application/octet-stream"}
    assert console.call("POST", ARTIFACTS, content=data, headers=headers).status_code == 415
    broken = {"artifact": ("a.mender", b"no artifact")}
    assert console.call("POST", ARTIFACTS, files=broken).status_code == 400


def test_13_an_artifact_in_use_cannot_be_deleted(console: Console):
    reply = console.upload(name := unique("release"))
    path = f"{ARTIFACTS}/{identifier(reply)}"
    deployment = console.deploy(name, console.device())
    assert console.call("DELETE", path).status_code == 409
    assert console.abort(deployment) == 204
    assert [console.call("DELETE", path).status_code for _ in range(2)] == [204, 404]


def test_13_the_description_of_a_used_artifact_cannot_be_edited(console: Console):
    reply = console.upload(name := unique("release"))
    path = f"{ARTIFACTS}/{identifier(reply)}"
    assert console.call("PUT", path, json={"description": "before"}).status_code == 204
    console.deploy(name, console.device())
    assert console.call("PUT", path, json={"description": "after"}).status_code == 422
    assert console.json("GET", path)["description"] == "before"
