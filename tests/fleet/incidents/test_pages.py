"""Incidents by page and by API: who may do what, and that both say and refuse the same."""

import re
from collections.abc import Iterator

import pytest

from fleet.alerts.sample import ns
from fleet.incidents.evidence import event_line
from fleet.incidents.model import BY_ITSELF, Entry, Kind
from fleet.incidents.watch import Incidents
from fleet.page.incident_pages import worded
from fleet.people.roles import Role
from fleet.settings import FleetSettings
from fleet.store.rows import open_rows
from runtime.telemetry.line import Point
from tests.fleet.alerts.made import rule, rules
from tests.fleet.alerts.test_alertmanager import alert
from tests.fleet.fleet_of import hear, name_of
from tests.fleet.page_bench import Bench, Visitor, bench, token_in
from tests.fleet.people.conftest import People

API = "/api/v1/incidents"
RUNBOOK = "docs/runbooks/disk.md"
HOT = rule(incident=True, runbook=RUNBOOK)
SAID = {"cause": "a log that nobody turned", "prevention": "it is turned now"}


@pytest.fixture
def site(both_settings: FleetSettings) -> Iterator[Bench]:
    engine = open_rows(both_settings.rows_url)
    made_settings = both_settings.model_copy(update={"alerts": rules(HOT, calm_s=60.0)})
    with bench(made_settings, People(engine)) as made:
        hear(made.watch, 3, made.people.clock)
        yield made
    engine.dispose()


def fire(site: Bench) -> None:
    """An alert of a rule that opens an incident."""
    now_ns = site.people.clock.wall_ns()
    hot = alert("osaka-01", "rule_0", since_ns=now_ns)
    Incidents(site.settings.alerts, site.people.rows).react([hot], [], now_ns)


def end(site: Bench) -> None:
    incidents, now_ns = (
        Incidents(site.settings.alerts, site.people.rows),
        site.people.clock.wall_ns(),
    )
    ((member,),) = (one.members for one in incidents.book.open_ones())
    over = alert(member.subject, member.rule, since_ns=member.began_ns)
    incidents.react([], [(over, now_ns)], now_ns)


def form(client: Visitor, path: str, page: str, **fields: str):
    return client.post(path, data={"token": token_in(client.get(page).text), **fields})


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (
            "follow [high rate](high_rate.md).",
            'follow <a href="/runbooks/high_rate">high rate</a>.',
        ),
        ("`a.b` < `<c>`", "<code>a.b</code> &lt; <code>&lt;c&gt;</code>"),
        ("[x](https://a.example/y.md) [x](../y.md)", "[x](https://a.example/y.md) [x](../y.md)"),
        ('["><b>](y.md)', '<a href="/runbooks/y">&quot;&gt;&lt;b&gt;</a>'),
    ],
)
def test_step_leads_to_other_runbooks_and_nowhere_else(written: str, shown: str) -> None:
    assert worded(written) == shown


def test_event_in_a_timeline_has_no_more_digits_than_it_needs() -> None:
    fields = {"name": "task.done", "task_id": 4711.0, "duration_s": 7.4, "skill.text": "pick"}
    assert (
        event_line(Point("event", {}, fields, 0))
        == "task.done task_id=4711 duration_s=7.4 skill=pick"
    )


def test_changes_that_come_again_and_again_are_folded_on_the_page(site: Bench) -> None:
    fire(site)
    changes = [Entry(at, Kind.CHANGED, BY_ITSELF, f"r-1: mode.left n={at}") for at in range(30)]
    Incidents(site.settings.alerts, site.people.rows).book.note(1, changes)
    with site.logged_in(Role.OPERATOR) as client:
        page = client.get("/incidents/1").text
        document = client.get("/incidents/1/export").text
    assert "<summary>25 more changes: mode.left 25</summary>" in page
    assert page.count("mode.left n=") == document.count("mode.left n=") == 30


def test_incident_is_worked_through_by_its_page(site: Bench) -> None:
    fire(site)
    with site.logged_in(Role.OPERATOR) as client:
        assert "osaka-01 is hot: 75 °C" in client.get("/incidents").text
        page = client.get("/incidents/1").text
        steps = re.findall(r'action="(/incidents/1/steps/\d+)"', page)
        assert len(steps) >= 2
        noted = form(client, "/incidents/1/notes", "/incidents/1", text="it <b>smells</b>")
        assert (noted.status_code, noted.headers["location"]) == (303, "/incidents/1")
        for path in steps[:-1]:
            assert form(client, path, "/incidents/1", how="done").status_code == 303
        early = form(client, "/incidents/1/close", "/incidents/1", **SAID)
        assert early.status_code == 409
        assert "still fires" in early.text
        assert SAID["cause"] in early.text  # nobody writes it twice
        form(client, steps[-1], "/incidents/1", how="skip")
        site.people.clock.go(5)
        end(site)
        assert "calm" in form(client, "/incidents/1/close", "/incidents/1", **SAID).text
        site.people.clock.go(61)
        assert form(client, "/incidents/1/close", "/incidents/1", **SAID).status_code == 303
        page = client.get("/incidents/1").text
        document = client.get("/incidents/1/export")
    assert "it &lt;b&gt;smells&lt;/b&gt;" in page
    assert "the-operator" in page
    assert SAID["prevention"] in page
    assert document.headers["content-type"].startswith("text/markdown")
    assert 'filename="incident-1.md"' in document.headers["content-disposition"]
    assert "not needed: the-operator" in document.text


def test_same_by_the_api(site: Bench) -> None:
    fire(site)
    with site.logged_in(Role.OPERATOR) as client:
        found = client.get(f"{API}/1").json()
        assert (found["state"], found["firing"], found["about"]) == ("open", 1, ["osaka-01"])
        assert client.post(f"{API}/1/notes", json={"text": "seen\x00 it"}).status_code == 204
        refused = client.post(f"{API}/1/close", json=SAID)
        assert (refused.status_code, refused.json()["title"]) == (409, "refused")
        for step in found["steps"]:
            at = f"{API}/1/steps/{step['number']}"
            assert client.request("PUT", at, json={"needed": step["number"] > 1}).status_code == 204
            assert client.request("PUT", at, json={}).status_code == 409  # it is settled
        end(site)
        site.people.clock.go(61)
        assert client.post(f"{API}/1/close", json=SAID).status_code == 204
        found = client.get(f"{API}/1").json()
        document = client.get(f"{API}/1/export")
        gone = client.get(f"{API}/9")
    assert (found["state"], found["closed_by"], found["cause"]) == (
        "closed",
        "the-operator",
        SAID["cause"],
    )
    assert {step["done_by"] for step in found["steps"]} == {"the-operator"}
    assert [step["needed"] for step in found["steps"]][:2] == [False, True]
    assert "seen it" in {entry["text"] for entry in found["timeline"]}
    assert document.text.startswith("# Incident 1: osaka-01 is hot")
    assert (gone.status_code, gone.json()["title"]) == (404, "no such incident")


def test_list_is_paged_and_filtered_by_state(site: Bench) -> None:
    with site.logged_in(Role.OPERATOR) as client:
        for number in range(5):
            wish = {"title": f"noise {number}", "subject": name_of(number % 3)}
            assert client.post(API, json=wish).status_code == 201
        client.post(f"{API}/2/close", json=SAID)
        first = client.get(API, params={"limit": 3}).json()
        second = client.get(API, params={"limit": 3, "cursor": first["next"]}).json()
        closed = client.get(API, params={"state": "closed"}).json()
        opened = client.get(API, params={"state": "open"}).json()
    assert [one["incident_id"] for one in first["items"] + second["items"]] == [5, 4, 3, 2, 1]
    assert second["next"] is None
    assert [one["incident_id"] for one in closed["items"]] == [2]
    assert [one["incident_id"] for one in opened["items"]] == [5, 4, 3, 1]


def test_one_is_opened_by_hand_with_the_steps_of_its_runbook(site: Bench) -> None:
    with site.logged_in(Role.OPERATOR) as client:
        made = form(
            client,
            "/incidents",
            "/incidents",
            title="a strange noise",
            subject=name_of(1),
            runbook=RUNBOOK,
        )
        found = client.get(f"{API}/1").json()
        unknown = form(client, "/incidents", "/incidents", title="x", subject="nobody")
        nothing = form(client, "/incidents", "/incidents", title=" ")
        bent = form(client, "/incidents", "/incidents", title="x", runbook="../../etc/passwd")
    assert (made.status_code, made.headers["location"]) == (303, "/incidents/1")
    assert (found["opened_by"], found["runbook"]) == ("the-operator", RUNBOOK)
    assert found["steps"]
    assert [reply.status_code for reply in (unknown, nothing, bent)] == [409, 422, 422]
    assert "no robot" in unknown.text.lower()


def test_viewer_sees_and_changes_nothing_and_a_stranger_is_led_to_the_login(site: Bench) -> None:
    fire(site)
    with site.logged_in(Role.VIEWER) as client:
        page = client.get("/incidents/1")
        assert page.status_code == 200
        assert "<form" not in page.text
        token = token_in(client.get("/account").text)
        for path in ("/incidents", "/incidents/1/notes", "/incidents/1/steps/1"):
            assert client.post(path, data={"token": token, "text": "x"}).status_code == 403
        assert client.post(f"{API}/1/notes", json={"text": "x"}).status_code == 403
    with site.visitor() as client:
        assert client.get("/incidents/1").headers["location"] == "/login?next=/incidents/1"
        assert client.get(f"{API}/1").status_code == 401


def test_form_without_its_token_does_nothing(site: Bench) -> None:
    fire(site)
    with site.logged_in(Role.OPERATOR) as client:
        for path, fields in (
            ("/incidents", {"title": "x"}),
            ("/incidents/1/notes", {"text": "x"}),
            ("/incidents/1/steps/1", {"how": "done"}),
            ("/incidents/1/close", SAID),
        ):
            for token in ("", "0" * 64):
                reply = client.post(path, data={"token": token, **fields})
                assert reply.status_code == 403, path
                assert "too old" in reply.text
        found = client.get(f"{API}/1").json()
        assert len(client.get(API).json()["items"]) == 1
    assert all(step["done_s"] is None for step in found["steps"])
    assert "note" not in {entry["kind"] for entry in found["timeline"]}


def test_each_deed_is_in_the_audit(site: Bench) -> None:
    fire(site)
    with site.logged_in(Role.OPERATOR) as client:
        form(client, "/incidents/1/steps/1", "/incidents/1", how="done")
        client.post(f"{API}/1/notes", json={"text": "x"})
    actions = {row.action for row in site.people.audit.entries()}
    assert {
        "POST /incidents/{incident_id}/steps/{number}",
        "POST /api/v1/incidents/{incident_id}/notes",
    } <= actions


def test_times_are_those_of_the_fleet(site: Bench) -> None:
    fire(site)
    with site.logged_in(Role.VIEWER) as client:
        found = client.get(f"{API}/1").json()
    assert ns(found["opened_s"]) == pytest.approx(site.people.clock.wall_ns(), abs=10**6)
