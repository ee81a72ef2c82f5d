"""Alert rules, their tests, and the routes that name them fit each other."""

from collections.abc import Iterator

from conf.mistake import Mistake, unplaced
from conf.schema import Config
from conf.schema.alerts import SIGNALS, Alerts, FirstAction, Rule, Scope, Severity
from conf.schema.notify import Label, Match
from conf.series import SeriesError, parse_phases, parse_series
from conf.shape import nearest

FIRES = frozenset({"firing", "flapping"})


def check_alert_rules(config: Config) -> Iterator[Mistake]:
    alerts = config.alerts
    names: dict[str, str] = {}
    for key, rule in alerts.rules.items():
        if rule.alert in names:
            yield unplaced(
                f"alerts.rules.{key}.alert",
                rule.alert,
                f"a name of its own: {names[rule.alert]} has this one",
                "an incident or a silence could not tell the two rules apart",
                f"alert: {rule.alert}_{key}",
            )
        names[rule.alert] = key
        yield from _of_fleet(key, rule)
    if alerts.lateness_s >= alerts.gap_s:
        yield unplaced(
            "alerts.lateness_s",
            f"{alerts.lateness_s:g}",
            f"below alerts.gap_s, {alerts.gap_s:g}",
            "what is merely late would be taken for the past",
            f"lateness_s: {alerts.gap_s / 2:g}",
        )


def _of_fleet(key: str, rule: Rule) -> Iterator[Mistake]:
    if SIGNALS[rule.signal].scope is Scope.ROBOT:
        return
    if rule.only or rule.unless:
        yield unplaced(
            f"alerts.rules.{key}.{'only' if rule.only else 'unless'}",
            ", ".join(mode.value for mode in rule.only or rule.unless),
            "left out",
            f"{rule.signal.value} is of the whole fleet, which has no mode",
            "remove the key",
        )
    if FirstAction.STOP_ROBOT in rule.first_actions:
        yield unplaced(
            f"alerts.rules.{key}.first_actions",
            FirstAction.STOP_ROBOT.value,
            "an action on the fleet's own books",
            f"{rule.signal.value} is of the whole fleet, and names no robot to be stopped",
            f"first_actions: [{FirstAction.GATHER_VERSIONS.value}]",
        )


def check_alert_tests(config: Config) -> Iterator[Mistake]:
    """Every rule has a test in which it fires, and every test can be run."""
    alerts, tried = config.alerts, set[str]()
    for key, test in alerts.tests.items():
        path = f"alerts.tests.{key}"
        if test.rule not in alerts.rules:
            near = nearest(test.rule, list(alerts.rules)) or next(iter(alerts.rules), "…")
            because = "a test of a rule that does not exist proves nothing"
            yield unplaced(f"{path}.rule", test.rule, "a rule", because, f"rule: {near}")
        try:
            steps = parse_series(test.series)
        except SeriesError as error:
            yield _unreadable(f"{path}.series", error, "40x5 71x10")
            continue
        try:
            phases = parse_phases(test.expect)
        except SeriesError as error:
            yield _unreadable(f"{path}.expect", error, "inactive x5 firing x10")
            continue
        if len(steps) != len(phases):
            yield unplaced(
                f"{path}.expect",
                f"{len(phases)} phases",
                f"{len(steps)}, one for each step of the series",
                "a step that nobody looks at is not tested",
                f"make the counts add up to {len(steps)}",
            )
        if FIRES & set(phases):
            tried.add(test.rule)
    yield from _untried(alerts, tried)


def _untried(alerts: Alerts, tried: set[str]) -> Iterator[Mistake]:
    for key in alerts.rules:
        if key not in tried:
            yield unplaced(
                f"alerts.rules.{key}",
                "a rule without a test in which it fires",
                "tried by at least one row of alerts.tests",
                "a rule that nobody has seen fire may never fire",
                f"alerts: tests: {key}_fires: {{rule: {key}, series: …, expect: …}}",
            )


def _unreadable(path: str, error: SeriesError, example: str) -> Mistake:
    because = "the test cannot be run"
    return unplaced(path, str(error), "in the language of docs/alerts.md", because, f"'{example}'")


def check_alert_routes(config: Config) -> Iterator[Mistake]:
    """What a route or an inhibition matches can come at all."""
    alerts, notify = config.alerts, config.alerts.notify
    known = {
        Label.RULE: set(alerts.rules),
        Label.ALERTNAME: {rule.alert for rule in alerts.rules.values()},
        Label.SEVERITY: {severity.value for severity in Severity},
    }
    places: list[tuple[str, Match]] = [
        (f"alerts.notify.routes.{key}.match", route.match) for key, route in notify.routes.items()
    ]
    for key, row in notify.inhibitions.items():
        places.append((f"alerts.notify.inhibitions.{key}.source", row.source))
        places.append((f"alerts.notify.inhibitions.{key}.target", row.target))
    for path, match in places:
        for label, values in match.given.items():
            for value in values:
                if label in known and value not in known[label]:
                    near = nearest(value, sorted(known[label]))
                    yield unplaced(
                        f"{path}.{label.value}",
                        value,
                        f"a {label.value} that there is",
                        "nothing would ever match it, and nobody would be told",
                        f"{label.value}: [{near}]" if near else "bedplate alerts list",
                    )
