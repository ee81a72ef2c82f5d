"""What was seen of a real server, 14 to 18 and 29 to 34: deployments as an operator has them."""

import uuid

import pytest

from tests.ota.mender_api.rig import (
    DEPLOYMENTS,
    UNKNOWN,
    V1,
    V2,
    Console,
    eventually,
    identifier,
    unique,
)

STATUSES = {
    "success", "pending", "downloading", "rebooting", "installing", "failure", "noartifact",
    "already-installed", "aborted", "pause_before_installing", "pause_before_rebooting",
    "pause_before_committing", "decommissioned",
}  # fmt: skip


def test_14_a_deployment_is_created_with_an_empty_body_and_a_relative_location(console: Console):
    reply = console.create(console.device().id, artifact_name=console.artifact())
    assert (reply.status_code, reply.content) == (201, b"")
    assert not reply.headers["location"].startswith(("http", "/"))
    assert console.deployment(identifier(reply))["id"] == identifier(reply)


def test_14_an_unknown_artifact_is_unprocessable(console: Console):
    assert console.create(UNKNOWN, artifact_name=unique("nothing")).status_code == 422


def test_14_missing_fields_empty_groups_and_long_names_are_refused(console: Console):
    name, device = console.artifact(), console.device()
    assert console.create(device.id).status_code == 400
    assert console.create(artifact_name=name).status_code == 400
    group = console.call(
        "POST", f"{DEPLOYMENTS}/group/{unique('empty')}", json={"name": "x", "artifact_name": name}
    )
    assert group.status_code == 400
    assert console.create(device.id, artifact_name=name, name="n" * 257).status_code == 400
    assert console.create(device.id, artifact_name=name, name="n" * 256).status_code == 201


def test_15_unknown_devices_and_unknown_fields_are_accepted_silently(console: Console):
    phases = [{"batch_size": 10}]
    reply = console.create(UNKNOWN, artifact_name=console.artifact(), phases=phases, retries=3)
    assert reply.status_code == 201
    row = console.deployment(identifier(reply))
    assert row["statistics"]["status"]["pending"] == 1
    assert len(row.get("phases") or []) <= 1


def test_15_a_duplicate_identifier_makes_a_deployment_that_never_finishes(console: Console):
    device = console.device()
    deployment = console.deploy(console.artifact(), device, device)
    assert device.poll().status_code == 200
    assert device.report(deployment, "success") == 204
    row = console.deployment(deployment)
    assert (row["status"], row["statistics"]["status"]["success"]) == ("inprogress", 1)
    assert row["statistics"]["status"]["pending"] == 1


def test_16_an_exact_duplicate_conflicts_while_it_is_active(console: Console):
    first, second = console.device(), console.device()
    wish = {"name": unique("rollout"), "artifact_name": console.artifact()}
    made = console.create(first.id, second.id, **wish)
    assert made.status_code == 201
    assert console.create(first.id, second.id, **wish).status_code == 409
    assert console.create(second.id, first.id, **wish).status_code == 201
    assert console.create(first.id, second.id, **{**wish, "name": unique("x")}).status_code == 201
    assert console.abort(identifier(made)) == 204
    assert console.create(first.id, second.id, **wish).status_code == 201


def test_17_twenty_thousand_identifiers_pass_and_thirty_thousand_are_too_large(console: Console):
    name = console.artifact()
    ids = [str(uuid.UUID(int=index + (4 << 76) + (8 << 60))) for index in range(30_000)]
    made = console.create(*ids[:20_000], artifact_name=name)
    assert made.status_code == 201
    terms = console.deployment(identifier(made))["filter"]["terms"]
    assert [name for term in terms for name in term["value"]] == ids[:20_000]
    assert console.create(*ids, artifact_name=name).status_code == 413
    assert console.abort(identifier(made)) == 204


def test_18_a_group_is_taken_as_it_is_when_the_deployment_is_made(console: Console):
    group, name = unique("group"), console.artifact()
    early, late = console.device(), console.device()
    for device in (early, late):
        path = f"{V1}/inventory/devices/{device.id}/group"
        assert console.call("PUT", path, json={"group": group}).status_code == 204
        if device is early:
            wish = {"name": unique("d"), "artifact_name": name}
            reply = console.call("POST", f"{DEPLOYMENTS}/group/{group}", json=wish)
            assert reply.status_code == 201
    assert early.poll().json()["id"] == identifier(reply)
    assert late.poll().status_code == 204


def test_18_all_devices_are_those_of_that_moment(console: Console):
    early = console.device()
    reply = console.create(artifact_name=console.artifact(), all_devices=True)
    assert reply.status_code == 201
    late = console.device()
    assert early.poll().json()["id"] == identifier(reply)
    assert late.poll().status_code == 204
    assert console.abort(identifier(reply)) == 204


def test_29_statistics_have_all_thirteen_counts_zeros_included(console: Console):
    deployment = console.deploy(console.artifact(), console.device())
    flat = console.statistics(deployment)
    assert flat == dict.fromkeys(STATUSES, 0) | {"pending": 1}
    assert console.call("GET", f"{DEPLOYMENTS}/{UNKNOWN}/statistics").status_code == 404
    nested = console.deployment(deployment)["statistics"]
    assert nested["status"] == flat
    assert isinstance(nested["total_size"], int)


def test_30_the_list_takes_aborted_for_finished_and_ignores_name_and_id(console: Console):
    name = console.artifact()
    ended = console.deploy(name, device := console.device())
    assert device.poll().status_code == 200
    assert device.report(ended, "success") == 204
    active = console.deploy(name, console.device())

    def listed(query: str) -> set[str]:
        rows = console.json("GET", f"{DEPLOYMENTS}?per_page=500&{query}")
        return {row["id"] for row in rows}

    assert ended in listed("status=aborted")
    assert active not in listed("status=aborted")
    assert {ended, active} <= listed("name=nobody") & listed(f"id={UNKNOWN}")


def test_31_a_deployment_is_aborted_once(console: Console):
    deployment = console.deploy(console.artifact(), console.device())
    assert [console.abort(deployment) for _ in range(2)] == [204, 422]
    assert console.abort(UNKNOWN) == 422
    assert console.abort("no-uuid") == 400


def test_32_an_abort_forgets_who_never_polled_and_spares_who_has_finished(console: Console):
    finished, active, silent = (console.device() for _ in range(3))
    deployment = console.deploy(console.artifact(), finished, active, silent)
    for device in (finished, active):
        assert device.poll().status_code == 200
    assert finished.report(deployment, "success") == 204
    assert active.report(deployment, "installing") == 204
    assert console.abort(deployment) == 204
    row = console.deployment(deployment)
    counts = row["statistics"]["status"]
    assert (counts["success"], counts["aborted"], counts["pending"]) == (1, 1, 0)
    assert sum(counts.values()) < row["max_devices"]
    reports = [device.report(deployment, "failure") for device in (silent, active, finished)]
    assert reports == [404, 409, 204]
    assert active.send_log(deployment) == 204


def test_33_another_word_than_aborted_is_refused_and_aborts(console: Console):
    deployment = console.deploy(console.artifact(), console.device())
    assert console.abort(deployment, "success") == 400
    assert console.deployment(deployment)["status"] == "finished"
    assert console.abort(deployment) == 422


@pytest.mark.parametrize("way", ["decommission", "abort"])
def test_34_one_silent_device_less_leaves_a_deployment_that_never_finishes(
    console: Console, way: str
):
    silent, other = console.device(), console.device()
    deployment = console.deploy(console.artifact(), silent, other)
    paths = {
        "decommission": f"{V2}/devauth/devices/{silent.id}",
        "abort": f"{DEPLOYMENTS}/devices/{silent.id}",
    }
    assert console.call("DELETE", paths[way]).status_code == 204
    assert other.poll().status_code == 200
    assert other.report(deployment, "success") == 204
    assert eventually(lambda: console.statistics(deployment)["pending"] == 1)
    assert console.deployment(deployment)["status"] == "inprogress"
