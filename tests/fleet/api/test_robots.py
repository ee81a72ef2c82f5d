"""What the API says of robots, and what an operator may change with it."""

from collections.abc import Iterator

import pytest

from conf.schema.alerts import Severity
from fleet.alerts import ActiveAlert
from fleet.people.roles import Role
from fleet.settings import FleetSettings
from tests.fleet.fleet_of import hear, name_of, tell
from tests.fleet.page_bench import Bench, bench
from tests.fleet.people.conftest import PASSWORD, People

ROOT = "/api/v1"


@pytest.fixture
def site(settings: FleetSettings, people: People) -> Iterator[Bench]:
    people.accounts.add("owner", Role.ADMIN, PASSWORD)
    with bench(settings, people) as made:
        made.watch.boards.clear()
        hear(made.watch, 30, people.clock)
        yield made


def test_pages_go_on_where_they_ended(site: Bench) -> None:
    with site.logged_in(Role.VIEWER) as client:
        first = client.get(f"{ROOT}/robots?limit=20&sort=done&descending=true").json()
        after = {"cursor": first["next"], "limit": 20, "sort": "done", "descending": True}
        second = client.get(f"{ROOT}/robots", params=after).json()
        wrong = client.get(f"{ROOT}/robots", params={**after, "sort": "site"})
    names = [robot["robot_id"] for robot in first["items"] + second["items"]]
    assert names == [name_of(number) for number in reversed(range(30))]
    assert second["next"] is None
    assert (wrong.status_code, wrong.json()["title"]) == (400, "wrong cursor")
    assert wrong.headers["content-type"] == "application/problem+json"


def test_fleet_counts_its_robots_and_says_null_where_nothing_is_known(site: Bench) -> None:
    with site.logged_in(Role.VIEWER) as client:
        fleet = client.get(f"{ROOT}/fleet").json()
        week = client.get(f"{ROOT}/fleet/week").json()
    assert fleet["counts"]["robots"] == sum(fleet["counts"]["by_duty"].values()) == 30
    assert fleet["numbers"]["tally"]["done"] == 0
    assert fleet["numbers"]["tally"]["success_ratio"] is None
    assert len(week) == 7
    assert sum(version["robots"] for version in fleet["versions"]) == 30


def test_robot_tells_its_newest_and_silence_takes_nothing_but_its_freshness(site: Bench) -> None:
    at = f"{ROOT}/robots/{name_of(4)}"
    with site.logged_in(Role.VIEWER) as client:
        live = client.get(at).json()
        site.people.clock.go(5)
        stale = client.get(at).json()
        site.people.clock.go(30)
        offline = client.get(at).json()
        assert client.get(f"{ROOT}/robots/nobody").status_code == 404
    assert [one["robot"]["duty"] for one in (live, stale, offline)] == ["busy", "stale", "offline"]
    assert [one["robot"]["healthy"] for one in (live, stale, offline)] == [True, False, False]
    assert live["live"] == offline["live"]


def test_alerts_of_a_robot_in_maintenance_ask_for_nobody_and_are_told_apart(site: Bench) -> None:
    hot = made_alert(name_of(4))
    site.watch.attend(lambda: [hot])
    site.watch.look_at_alerts()
    with site.logged_in(Role.OPERATOR) as client:
        assert "motor is hot" in client.get("/fleet").text
        new = {"reason": "new gripper", "hours": 1}
        client.request("PUT", f"{ROOT}/robots/{name_of(4)}/maintenance", json=new)
        site.people.clock.go(0.5)
        page = client.get("/fleet").text
        told = client.get(f"{ROOT}/alerts").json()
        site.people.clock.go(3600)
        site.watch.look_at_alerts()
        later = client.get(f"{ROOT}/alerts").json()
    assert "motor is hot" not in page
    assert [(one["subject"], one["silenced"]) for one in told["items"]] == [(name_of(4), True)]
    assert [one["silenced"] for one in later["items"]] == [False]


def made_alert(robot_id: str) -> ActiveAlert:
    return ActiveAlert(
        key="motor_hot",
        name="arm.motor_hot",
        subject=robot_id,
        site="gdansk",
        severity=Severity.WARNING,
        summary="motor is hot",
        runbook="docs/runbooks/motor_hot.md",
        since_ns=10**18,
        value=75.0,
    )


def test_maintenance_is_begun_by_an_operator_kept_and_ended(site: Bench) -> None:
    at = f"{ROOT}/robots/{name_of(4)}"
    with site.logged_in(Role.VIEWER) as viewer:
        assert viewer.request("PUT", f"{at}/maintenance", json={}).status_code == 403
    with site.logged_in(Role.OPERATOR) as client:
        assert client.request("PUT", f"{at}/maintenance", json={}).status_code == 422
        new = {"reason": "new gripper", "hours": 2}
        begun = client.request("PUT", f"{at}/maintenance", json=new).json()
        assert (begun["who"], begun["until_s"] - begun["since_s"]) == ("the-operator", 7200)
        tell(site.watch, 4, site.people.clock)
        told = client.get(at).json()
        assert told["robot"]["duty"] == "maintenance"
        assert told["maintenance"]["reason"] == "new gripper"
        assert not told["robot"]["healthy"]
        assert client.request("DELETE", f"{at}/maintenance").status_code == 204
        assert client.get(at).json()["robot"]["duty"] == "busy"


def test_own_tokens_are_made_by_a_person_and_not_by_a_token(site: Bench) -> None:
    with site.logged_in(Role.OPERATOR) as client:
        above = client.post(f"{ROOT}/me/tokens", json={"role": "admin"})
        assert above.status_code == 409
        made = client.post(f"{ROOT}/me/tokens", json={"role": "operator", "label": "wms"}).json()
    with site.visitor() as program:
        program.headers["authorization"] = f"Bearer {made['secret']}"
        assert program.get(f"{ROOT}/me").json() == {
            "name": "the-operator",
            "role": "operator",
            "via": "token",
        }
        assert program.post(f"{ROOT}/me/tokens", json={}).status_code == 403
        gone = program.request("DELETE", f"{ROOT}/me/tokens/{made['token']['id']}")
        assert gone.status_code == 204
        assert program.get(f"{ROOT}/me").status_code == 401


def test_admin_makes_changes_and_ends_accounts_and_the_audit_tells(site: Bench) -> None:
    with site.logged_in(Role.ADMIN) as client:
        new = {"name": "bert", "role": "viewer", "password": PASSWORD}
        assert client.post(f"{ROOT}/people", json=new).status_code == 201
        assert client.post(f"{ROOT}/people", json=new).status_code == 409
        changed = client.request("PATCH", f"{ROOT}/people/bert", json={"role": "engineer"})
        assert changed.json()["role"] == "engineer"
        ended = client.request("PATCH", f"{ROOT}/people/bert", json={"disabled": True})
        assert ended.json()["disabled"]
        told = client.get(f"{ROOT}/audit?limit=2").json()
        more = client.get(f"{ROOT}/audit?limit=2&cursor={told['next']}").json()
    actions = [(entry["action"], entry["outcome"]) for entry in told["items"] + more["items"]]
    assert actions[:2] == [("PATCH /api/v1/people/{name}", "200")] * 2
    assert ("POST /api/v1/people", "409") in actions
    assert PASSWORD not in str(told) + str(more)


def test_filter_that_makes_no_sense_is_told_why(site: Bench) -> None:
    with site.logged_in(Role.VIEWER) as client:
        wrong = client.get(f"{ROOT}/events", params={"where": "latency_ms >"})
        good = client.get(f"{ROOT}/events", params={"where": "latency_ms > 200", "words": "slip"})
    assert (wrong.status_code, wrong.json()["title"]) == (400, "wrong filter")
    assert good.json() == {"items": [], "next": None}
