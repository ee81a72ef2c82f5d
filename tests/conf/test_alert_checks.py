"""Mistakes in alert rules are found with file and line, before anybody relies on them."""

import copy
from typing import Any

import pytest

from conf.checks.alerts import check_alert_routes, check_alert_rules, check_alert_tests
from conf.load import Composed
from conf.mistake import Mistake
from conf.profile import dump
from conf.sources import Origins
from conf.validate import COMPUTED, validate

RULES = "alerts/default.yaml"
GONE = object()


def mistakes(composed: Composed, **changes: Any) -> list[Mistake]:
    """What is wrong after the changes: `part__key__field` → value, GONE to take it away."""
    data = copy.deepcopy(dump(composed.config))
    for key in COMPUTED:
        data.pop(key)
    for path, value in changes.items():
        *parents, last = path.split("__")
        table: Any = data["alerts"]
        for key in parents:
            table = table[key]
        table.pop(last, None) if value is GONE else table.update({last: value})
    config, found = validate(data, Origins())
    if config is None:
        return found
    checks = (check_alert_rules, check_alert_tests, check_alert_routes)
    return [mistake for check in checks for mistake in check(config)]


@pytest.mark.parametrize(
    ("path", "value", "place", "said"),
    [
        ("rules__motor_hot__alert", "safety.estop_pressed", "motor_hot.alert", "its own"),
        ("rules__motor_hot__below", 10.0, "motor_hot", "exactly one of above"),
        ("rules__motor_hot__above", None, "motor_hot", "exactly one of above"),
        ("rules__motor_hot__above", 2e9, "motor_hot.above", "between"),
        ("rules__motor_hot__clear", 75.0, "motor_hot", "clear 75"),
        ("rules__fleet_success__clear", 0.8, "fleet_success", "clear 0.8"),
        ("rules__motor_hot__signal", "motor_temp", "motor_hot.signal", "one of"),
        ("rules__motor_hot__summary", "{value:q}", "motor_hot", "no format of value"),
        ("rules__motor_hot__summary", "{robot}", "motor_hot", "summary may hold"),
        ("rules__motor_hot__summary", "{value!r}", "motor_hot", "summary may hold"),
        ("rules__motor_hot__runbook", "docs/runbooks/../x.md", "motor_hot.runbook", "text like"),
        ("rules__motor_hot__first_actions", ["stop_robot"], "motor_hot", "opens none"),
        ("rules__fleet_success__first_actions", ["stop_robot"], "first_actions", "own books"),
        ("rules__fleet_success__unless", ["busy"], "fleet_success.unless", "left out"),
        ("rules__stuck__only", ["charging"], "stuck", "both only and unless"),
        ("tests__motor_gets_hot__rule", "motor_hut", "motor_gets_hot.rule", "a rule"),
        ("tests__motor_gets_hot__series", "40~60", "motor_gets_hot.series", "language"),
        ("tests__motor_gets_hot__expect", "fired x22", "motor_gets_hot.expect", "language"),
        ("tests__motor_gets_hot__expect", "firing x23", "motor_gets_hot.expect", "22"),
        ("lateness_s", 60.0, "alerts.lateness_s", "below alerts.gap_s"),
    ],
)
def test_mistake_in_a_rule_is_refused_at_its_place(composed, path, value, place, said) -> None:
    found = mistakes(composed, **{path: value})
    assert found
    assert found[0].path.endswith(place)
    assert said in found[0].allowed
    assert found[0].because
    assert found[0].suggestion


def test_shipped_rules_have_no_mistake(composed) -> None:
    assert mistakes(composed) == []


def test_rule_that_no_test_sees_firing_is_refused(composed) -> None:
    (mistake,) = mistakes(composed, tests__safety_model_vetoes=GONE)
    assert mistake.path == "alerts.rules.veto"
    assert "test in which it fires" in mistake.got


def test_mistake_is_found_at_its_line(tree) -> None:
    line = tree.replace(RULES, "series: 40~60x3 71x3", "series: 40~60x3 71y3")
    (mistake,) = tree.mistakes()
    assert (mistake.origin.file, mistake.origin.line) == (f"conf/{RULES}", line)
    assert "'71y3' is no value with a count" in str(mistake)


def notify(**changes: Any) -> dict[str, Any]:
    window = {"days": ["sunday"], "hours": ["02:00-04:00"], "zone": "Asia/Tokyo"}
    desk = {"kind": "webhook", "url": "http://127.0.0.1:9000/alerts"}
    night = {"match": {"severity": ["critical"]}, "receiver": "desk", "muted_in": ["sunday"]}
    silent = {"source": {"rule": ["silent"]}, "target": {"severity": ["warning"]}}
    return {
        "alertmanager": True,
        "default_receiver": "desk",
        "receivers": {"desk": desk | changes.get("desk", {})},
        "routes": {"night": night | changes.get("night", {})},
        "windows": {"sunday": window | changes.get("sunday", {})},
        "inhibitions": {"silent": silent | changes.get("silent", {})},
        **changes.get("top", {}),
    }


def test_receivers_routes_and_windows_that_fit_are_accepted(composed) -> None:
    assert mistakes(composed, notify=notify()) == []


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("night", {"receiver": "dosk"}, "no receiver"),
        ("night", {"muted_in": ["monday"]}, "no window"),
        ("night", {"match": {"severity": ["criticle"]}}, "a severity that there is"),
        ("night", {"match": {"site": ["a b"]}}, "no plain name"),
        ("top", {"default_receiver": "dosk"}, "no receiver"),
        ("top", {"hold_s": 40.0}, "three times resend_s"),
        ("sunday", {"hours": ["04:00-02:00"]}, "ends before it begins"),
        ("sunday", {"hours": ["2-4"]}, "list"),
        ("desk", {"kind": "pager"}, "needs secret_file"),
        ("desk", {"url": "http://me:secret@127.0.0.1/"}, "text like"),
        ("desk", {"user": "me"}, "goes with secret_file"),
        ("silent", {"source": {"rule": ["silence"]}}, "a rule that there is"),
        ("silent", {"target": {}}, "must each match"),
    ],
)
def test_notification_that_would_reach_nobody_is_refused(composed, part, change, said) -> None:
    found = mistakes(composed, notify=notify(**{part: change}))
    assert said in " ".join(mistake.allowed for mistake in found)
