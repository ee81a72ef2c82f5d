"""Prometheus Alertmanager: its configuration from our YAML, and its API.

Secrets are never in what is written here: the configuration names the files that hold them.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from conf.schema.notify import Inhibition, Match, Notify, Receiver, ReceiverKind, Route, Window
from fleet.alerts.alert import ActiveAlert
from fleet.alerts.sample import FLEET

PROGRAMS: Final = ("prometheus-alertmanager", "alertmanager")
PATH: Final = "/usr/bin:/usr/local/bin"
NOBODY: Final = "nobody"
LOOPBACK: Final = "127.0.0.1"
TIMEOUT_S: Final = 5.0
NS_PER_S: Final = 1_000_000_000


class AlertmanagerError(RuntimeError):
    """It did not take what it was told; the text says what it answered."""


def program() -> str | None:
    return next((found for name in PROGRAMS if (found := shutil.which(name, path=PATH))), None)


def configuration(notify: Notify) -> dict[str, Any]:
    """What Alertmanager reads."""
    return {
        "global": {"resolve_timeout": _duration(notify.hold_s)},
        "route": {
            "receiver": notify.default_receiver,
            "group_by": ["alertname", "site"],
            "group_wait": "10s",
            "group_interval": "5m",
            "repeat_interval": "4h",
            "routes": [_route(row) for row in notify.routes.values()],
        },
        "inhibit_rules": [_inhibition(row) for row in notify.inhibitions.values()],
        "mute_time_intervals": [_window(name, row) for name, row in notify.windows.items()],
        "receivers": [
            {"name": NOBODY},
            *(_receiver(name, row) for name, row in notify.receivers.items()),
        ],
    }


def write_configuration(notify: Notify, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "alertmanager.yml"
    partial = path.with_suffix(".part")
    text = yaml.safe_dump(configuration(notify), sort_keys=False, allow_unicode=True)
    head = "# Written by Bedplate from conf/alerts: change it there.\n"
    partial.write_text(head + text, encoding="utf-8")
    partial.replace(path)
    return path


def command(notify: Notify, folder: Path, page_url: str) -> list[str]:
    """What to start; it listens on loopback alone, and has no peers. AlertmanagerError.

    Links in its messages lead to our page: nobody reaches its own from elsewhere.
    """
    found = program()
    if found is None:
        raise AlertmanagerError(
            "alerts.notify.alertmanager is true, and there is no prometheus-alertmanager;"
            " alerts would reach nobody but the page;"
            " try  apt-get install prometheus-alertmanager"
        )
    path = write_configuration(notify, folder)
    return [
        found,
        f"--config.file={path}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={LOOPBACK}:{notify.alertmanager_port}",
        f"--web.external-url={page_url}",
        "--web.route-prefix=/",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]


@dataclass(frozen=True)
class Silence:
    silence_id: str
    matchers: Mapping[str, str]
    until: str
    author: str
    comment: str


class Alertmanager:
    """Its API, version 2."""

    def __init__(self, notify: Notify, page_url: str) -> None:
        self._notify = notify
        self._page_url = page_url
        base_url = f"http://{LOOPBACK}:{notify.alertmanager_port}/api/v2"
        self._client = httpx.Client(base_url=base_url, timeout=TIMEOUT_S, trust_env=False)

    def send(
        self, active: Sequence[ActiveAlert], ended: Sequence[tuple[ActiveAlert, int]], now_ns: int
    ) -> None:
        """What fires is said again and again; what is not heard of for `hold_s` ends there."""
        hold_ns = round(self._notify.hold_s * NS_PER_S)
        body = [self._posted(alert, now_ns + hold_ns) for alert in active]
        body += [self._posted(alert, ended_ns) for alert, ended_ns in ended]
        if body:
            self._ask("POST", "/alerts", body)

    def alerts(self) -> list[dict[str, Any]]:
        return self._ask("GET", "/alerts")

    def silence(
        self, matchers: Mapping[str, str], hours: float, author: str, comment: str, now_ns: int
    ) -> str:
        """Nobody is told of what matches, for so long; returns its id."""
        row = {
            "matchers": [
                {"name": name, "value": value, "isRegex": False, "isEqual": True}
                for name, value in matchers.items()
            ],
            "startsAt": _time(now_ns),
            "endsAt": _time(now_ns + round(hours * 3600 * NS_PER_S)),
            "createdBy": author,
            "comment": comment,
        }
        return str(self._ask("POST", "/silences", row)["silenceID"])

    def silences(self) -> list[Silence]:
        rows = self._ask("GET", "/silences")
        return [
            Silence(
                row["id"],
                {one["name"]: one["value"] for one in row["matchers"]},
                row["endsAt"],
                row["createdBy"],
                row["comment"],
            )
            for row in rows
            if row["status"]["state"] != "expired"
        ]

    def end_silence(self, silence_id: str) -> None:
        self._ask("DELETE", f"/silence/{silence_id}")

    def is_ready(self) -> bool:
        try:
            self._ask("GET", "/status")
        except AlertmanagerError:
            return False
        return True

    def close(self) -> None:
        self._client.close()

    def _posted(self, alert: ActiveAlert, ends_ns: int) -> dict[str, Any]:
        labels = {
            "alertname": alert.name,
            "rule": alert.key,
            "subject": alert.subject,
            "severity": alert.severity.value,
            "site": alert.site,
        }
        notes = {"summary": alert.summary, "runbook": alert.runbook}
        if alert.value is not None:
            notes["value"] = f"{alert.value:g}"
        if alert.flapping:
            notes["flapping"] = "it comes and goes, and is held as one alert until it is calm"
        where = "fleet" if alert.subject == FLEET else f"robots/{alert.subject}"
        return {
            "labels": {name: value for name, value in labels.items() if value},
            "annotations": notes,
            "startsAt": _time(alert.since_ns),
            "endsAt": _time(max(ends_ns, alert.since_ns + 1)),
            "generatorURL": f"{self._page_url}{where}",
        }

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        try:
            reply = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise AlertmanagerError(f"Alertmanager does not answer ({error!r:.200})") from error
        if reply.status_code >= 300:
            raise AlertmanagerError(
                f"Alertmanager refuses {method} {path}: {reply.status_code} {reply.text[:300]}"
            )
        return reply.json() if reply.content else None


def _route(row: Route) -> dict[str, Any]:
    return {
        "receiver": row.receiver,
        "matchers": _matchers(row.match),
        "group_by": [label.value for label in row.group_by],
        "group_wait": _duration(row.group_wait_s),
        "group_interval": _duration(row.group_interval_s),
        "repeat_interval": _duration(row.repeat_interval_s),
        "mute_time_intervals": list(row.muted_in),
        "continue": True,  # whoever else asked for it is told as well
    }


def _matchers(match: Match) -> list[str]:
    """Values are plain names, as the schema has it; only the dot means something to a pattern."""
    found: list[str] = []
    for label, values in match.given.items():
        pattern = "|".join(value.replace(".", "[.]") for value in values)
        found.append(f'{label.value}=~"{pattern}"')
    return found


def _inhibition(row: Inhibition) -> dict[str, Any]:
    return {
        "source_matchers": _matchers(row.source),
        "target_matchers": _matchers(row.target),
        "equal": [label.value for label in row.equal],
    }


def _window(name: str, row: Window) -> dict[str, Any]:
    spans = [hours.partition("-") for hours in row.hours]
    interval: dict[str, Any] = {
        "times": [{"start_time": first, "end_time": last} for first, _, last in spans],
        "location": row.zone,
    }
    if row.days:
        interval["weekdays"] = [day.value for day in row.days]
    return {"name": name, "time_intervals": [interval]}


def _receiver(name: str, row: Receiver) -> dict[str, Any]:
    secret = None if row.secret_file is None else str(row.secret_file)
    ours: dict[str, Any] = {"send_resolved": row.send_resolved}
    match row.kind:
        case ReceiverKind.WEBHOOK:
            return {"name": name, "webhook_configs": [{"url": row.url, **ours}]}
        case ReceiverKind.EMAIL:
            mail = {"to": row.to, "from": row.sender, "smarthost": row.smarthost, **ours}
            mail["require_tls"] = row.tls
            if row.ca_file is not None:
                mail["tls_config"] = {"ca_file": str(row.ca_file)}
            if row.user:
                mail |= {"auth_username": row.user, "auth_password_file": secret}
            return {"name": name, "email_configs": [mail]}
        case ReceiverKind.CHAT:
            chat = {"api_url_file": secret, "channel": row.channel, **ours}
            return {"name": name, "slack_configs": [chat]}
        case ReceiverKind.PAGER:
            pager = {"routing_key_file": secret, **({"url": row.url} if row.url else {}), **ours}
            return {"name": name, "pagerduty_configs": [pager]}


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _time(at_ns: int) -> str:
    seconds, rest = divmod(at_ns, NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"
