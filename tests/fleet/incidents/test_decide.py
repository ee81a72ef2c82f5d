"""Which incident an alert belongs to, and when one may be closed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.schema.alerts import Severity
from fleet.alerts.alert import ActiveAlert
from fleet.incidents.decide import (
    NS_PER_S,
    Joins,
    Opens,
    place_alert,
    reasons_to_stay_open,
    recovered_at,
)
from fleet.incidents.model import Incident, Member, State, StepState
from tests.fleet.alerts.made import rule

NOW = 10_000 * NS_PER_S
RUNBOOK = "docs/runbooks/high_failure_rate.md"
RULE = rule(runbook=RUNBOOK, incident=True)


def incident(**changes) -> Incident:
    base = {
        "incident_id": 7,
        "title": "t",
        "severity": "alert",
        "subject": "osaka-01",
        "site": "osaka",
        "runbook": RUNBOOK,
        "opened_ns": NOW,
        "opened_by": "bedplate",
        "recovered_ns": None,
        "closed_ns": None,
        "closed_by": None,
        "cause": "",
        "prevention": "",
    }
    return Incident(**{**base, **changes})


def alert(subject: str = "osaka-02", site: str = "osaka", **changes) -> ActiveAlert:
    base = {
        "key": "robot_success",
        "name": "robot.success_low",
        "subject": subject,
        "site": site,
        "severity": Severity.ALERT,
        "summary": f"{subject} fails",
        "runbook": RUNBOOK,
        "since_ns": NOW,
        "value": 0.5,
    }
    return ActiveAlert(**{**base, **changes})


def member(ended_s: float | None) -> Member:
    ended_ns = None if ended_s is None else NOW - round(ended_s * NS_PER_S)
    return Member("osaka-01", "robot_success", 0, ended_ns, "osaka-01 fails")


@pytest.mark.parametrize(
    ("there", "who", "joins"),
    [
        ([], alert(), False),
        ([incident()], alert(), True),
        ([incident()], alert("gdansk-01", "gdansk"), False),
        ([incident(subject="fleet", site="fleet")], alert("gdansk-01", "gdansk"), True),
        ([incident()], alert("fleet", "fleet"), True),
        ([incident(runbook="docs/runbooks/stuck.md")], alert(), False),
        ([incident(closed_ns=NOW)], alert(), False),
        ([incident(recovered_ns=NOW)], alert(), True),
    ],
)
def test_alert_joins_what_is_open_about_the_same_and_else_opens(there, who, joins) -> None:
    placing = place_alert(there, RULE, who)
    assert isinstance(placing, Joins if joins else Opens)


def test_alert_of_a_rule_without_incidents_joins_and_never_opens() -> None:
    quiet = rule(runbook=RUNBOOK)
    assert place_alert([], quiet, alert()) is None
    assert isinstance(place_alert([incident()], quiet, alert()), Joins)


def test_incident_gets_worse_with_the_alert_that_joins_and_never_milder() -> None:
    worse = place_alert([incident()], RULE, alert(severity=Severity.CRITICAL))
    assert isinstance(worse, Joins)
    assert worse.is_worse
    milder = place_alert([incident()], RULE, alert(severity=Severity.INFO))
    assert isinstance(milder, Joins)
    assert not milder.is_worse


def why(found: Incident, cause: str = "a bad model", prevention: str = "a test") -> list[str]:
    return reasons_to_stay_open(found, NOW, 300, cause, prevention)


@pytest.mark.parametrize(
    ("changes", "words", "said"),
    [
        ({"members": (member(None),)}, {}, "still fires"),
        ({"members": (member(1000), member(None))}, {}, "still fires"),
        ({"members": (member(10),)}, {}, "calm for 10 s, of 300 s"),
        ({"steps": (StepState(1, "a", ()), StepState(2, "b", (), NOW, "ana"))}, {}, "steps 1 "),
        ({}, {"cause": "  "}, "cause"),
        ({}, {"prevention": ""}, "coming again"),
        ({"closed_ns": NOW}, {}, "closed already"),
    ],
)
def test_incident_stays_open_and_says_why(changes, words, said) -> None:
    assert any(said in reason for reason in why(incident(**changes), **words))


def test_recovered_incident_with_its_steps_and_its_note_may_be_closed() -> None:
    steps = (StepState(1, "a", (), NOW, "ana"), StepState(2, "b", (), NOW, "ben", needed=False))
    assert why(incident(members=(member(400), member(301)), steps=steps)) == []
    assert why(incident()) == []  # opened by hand: nothing fires that could be over


@given(st.lists(st.none() | st.floats(0, 10_000), max_size=6))
def test_nothing_that_fires_is_ever_recovered_or_closed(ends: list[float | None]) -> None:
    found = incident(members=tuple(member(end) for end in ends))
    if any(end is None for end in ends):
        assert recovered_at(found) is None
        assert why(found)
    elif ends:
        assert recovered_at(found) == max(m.ended_ns or 0 for m in found.members)
    assert replace(found, closed_ns=1).state is State.CLOSED
