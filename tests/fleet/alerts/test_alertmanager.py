"""A real Alertmanager, told by us, and what reaches a real receiver behind it."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conf.schema.alerts import Alerts, Severity
from conf.schema.notify import Notify
from fleet.alerts.alert import ActiveAlert
from fleet.alerts.alertmanager import (
    PATH,
    Alertmanager,
    AlertmanagerError,
    command,
    program,
    write_configuration,
)
from fleet.alerts.tell import AlertmanagerTeller
from fleet.settings import FleetSettings, write_settings
from tests.fleet.alerts.test_service import Hook
from tests.fleet.conftest import wait_for
from tests.fleet.ports import own_port

PAGE = "http://127.0.0.1:8080/"
ROUTES = {
    "all": {
        "receiver": "desk",
        "group_by": ["subject"],
        "group_wait_s": 1,
        "group_interval_s": 1,
    },
    "muted": {
        "receiver": "muted",
        "group_wait_s": 1,
        "group_interval_s": 1,
        "muted_in": ["always"],
    },
    "pager": {
        "match": {"severity": ["critical"], "site": ["osaka"]},
        "receiver": "pager",
        "group_wait_s": 1,
        "group_interval_s": 1,
    },
}
SILENT_EXPLAINS = {"source": {"rule": ["silent"]}, "target": {"severity": ["warning"]}}


@pytest.fixture(scope="module")
def has_alertmanager() -> None:
    if program() is None:
        pytest.skip("no Alertmanager (apt-get install prometheus-alertmanager)")


class Site:
    """Alertmanager, and three receivers behind it."""

    def __init__(self, folder: Path) -> None:
        self.desk, self.pager, self.muted = Hook(), Hook(), Hook()
        raw = {
            "alertmanager": True,
            "alertmanager_port": own_port(39_093),
            "receivers": {
                name: {"kind": "webhook", "url": hook.url}
                for name, hook in (
                    ("desk", self.desk),
                    ("pager", self.pager),
                    ("muted", self.muted),
                )
            },
            "routes": ROUTES,
            "windows": {"always": {"hours": ["00:00-24:00"]}},
            "inhibitions": {"silent": SILENT_EXPLAINS},
        }
        self.notify = parsed(raw)
        self.client = Alertmanager(self.notify, PAGE)
        with (folder / "alertmanager.log").open("ab") as log:
            self.process = subprocess.Popen(command(self.notify, folder, PAGE), stderr=log)
        wait_for(self.client.is_ready, 60)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.client.close()
        for hook in (self.desk, self.pager, self.muted):
            hook.close()


def parsed(raw: dict) -> Notify:
    return Notify.model_validate_json(json.dumps(raw))


@pytest.fixture(scope="module")
def site(has_alertmanager: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("alertmanager"))
    yield made
    made.close()


def alert(subject: str, key: str = "motor_hot", **changes) -> ActiveAlert:
    base = {
        "key": key,
        "name": f"test.{key}",
        "subject": subject,
        "site": "osaka",
        "severity": Severity.WARNING,
        "summary": f"{subject} is hot: 75 °C",
        "runbook": "docs/runbooks/motor_hot.md",
        "since_ns": time.time_ns(),
        "value": 75.0,
    }
    return ActiveAlert(**{**base, **changes})


def got(hook: Hook, subject: str) -> list[tuple[str, str]]:
    return [
        (row["status"], row["labels"]["rule"])
        for message in list(hook.taken)
        for row in message["alerts"]
        if row["labels"]["subject"] == subject
    ]


def test_alert_and_its_end_reach_the_receiver(site: Site) -> None:
    teller = AlertmanagerTeller(site.client, 10**9)
    hot = alert("osaka-01")
    assert teller.tell([hot], [], time.time_ns())
    wait_for(lambda: ("firing", "motor_hot") in got(site.desk, "osaka-01"), 60)
    (message, *_) = [m for m in site.desk.taken if m["groupLabels"]["subject"] == "osaka-01"]
    assert message["alerts"][0]["annotations"]["summary"] == "osaka-01 is hot: 75 °C"
    assert message["alerts"][0]["annotations"]["runbook"] == hot.runbook
    assert teller.tell([], [(hot, time.time_ns())], time.time_ns())
    wait_for(lambda: ("resolved", "motor_hot") in got(site.desk, "osaka-01"), 60)


def test_routes_go_by_severity_and_site_and_a_window_mutes(site: Site) -> None:
    stop = alert("osaka-02", "stop_entered", severity=Severity.CRITICAL)
    far = alert("gdansk-01", "stop_entered", severity=Severity.CRITICAL, site="gdansk")
    site.client.send([stop, far], [], time.time_ns())
    wait_for(lambda: got(site.pager, "osaka-02") != [], 60)
    wait_for(lambda: got(site.desk, "gdansk-01") != [], 60)
    assert got(site.pager, "gdansk-01") == []
    assert site.muted.taken == []


def test_silent_robot_explains_what_else_fires_of_it(site: Site) -> None:
    both = [alert("osaka-03", "silent", severity=Severity.ALERT), alert("osaka-03")]
    site.client.send([*both, alert("osaka-04")], [], time.time_ns())
    wait_for(lambda: got(site.desk, "osaka-04") != [], 60)
    wait_for(lambda: ("firing", "silent") in got(site.desk, "osaka-03"), 60)
    assert ("firing", "motor_hot") not in got(site.desk, "osaka-03")


def test_silence_keeps_it_quiet_and_can_be_ended(site: Site) -> None:
    now_ns = time.time_ns()
    made = site.client.silence({"subject": "osaka-05"}, 1.0, "ana", "new gripper", now_ns)
    (silence,) = site.client.silences()
    assert (silence.silence_id, silence.author) == (made, "ana")
    assert silence.matchers == {"subject": "osaka-05"}
    site.client.send([alert("osaka-05"), alert("osaka-06")], [], now_ns)
    wait_for(lambda: got(site.desk, "osaka-06") != [], 60)
    assert got(site.desk, "osaka-05") == []
    states = {row["labels"]["subject"]: row["status"]["state"] for row in site.client.alerts()}
    assert states["osaka-05"] == "suppressed"
    site.client.end_silence(made)
    assert site.client.silences() == []
    wait_for(lambda: got(site.desk, "osaka-05") != [], 60)


def test_alertmanager_listens_on_loopback_alone(site: Site) -> None:
    listening = subprocess.run(
        ["ss", "-ltnpH"], capture_output=True, text=True, check=False
    ).stdout.splitlines()
    ours = [line.split()[3] for line in listening if f"pid={site.process.pid}," in line]
    assert ours == [f"127.0.0.1:{site.notify.alertmanager_port}"]


def test_process_of_the_development_supervisor_becomes_alertmanager(
    has_alertmanager: None, settings: FleetSettings
) -> None:
    notify = parsed({"alertmanager": True, "alertmanager_port": own_port(39_193)})
    alerts = settings.alerts.model_copy(update={"notify": notify})
    write_settings(settings.model_copy(update={"alerts": alerts}))
    words = [sys.executable, "-m", "fleet.alerts.alertmanagerd", "--fleet-dir", str(settings.root)]
    client = Alertmanager(notify, PAGE)
    with (settings.root / "alertmanager.log").open("ab") as log:
        process = subprocess.Popen(words, stderr=log)
    try:
        wait_for(client.is_ready, 60)
        assert "alertmanager" in Path(f"/proc/{process.pid}/exe").resolve().name
    finally:
        client.close()
        process.terminate()
        process.wait(30)


def test_what_is_refused_is_said_and_told_again(has_alertmanager: None) -> None:
    notify = parsed({"alertmanager": True, "alertmanager_port": own_port(39_193)})
    client = Alertmanager(notify, PAGE)
    with pytest.raises(AlertmanagerError, match="does not answer"):
        client.send([alert("osaka-01")], [], time.time_ns())
    teller = AlertmanagerTeller(client, 10**9)
    assert not teller.tell([alert("osaka-01")], [], time.time_ns())
    client.close()


EVERY_KIND = {
    "default_receiver": "mail",
    "receivers": {
        "mail": {
            "kind": "email",
            "to": "oncall@example.org",
            "sender": "fleet@example.org",
            "smarthost": "mail.example.org:587",
            "user": "fleet",
            "secret_file": "/run/secrets/mail",
        },
        "chat": {"kind": "chat", "channel": "#robots", "secret_file": "/run/secrets/chat"},
        "pager": {"kind": "pager", "secret_file": "/run/secrets/pager"},
        "hook": {"kind": "webhook", "url": "https://example.org/hook"},
    },
    "routes": {
        "night": {
            "match": {"severity": ["critical"], "alertname": ["safety.estop_pressed"]},
            "receiver": "pager",
            "muted_in": ["sunday"],
        },
        "chat": {"receiver": "chat"},
    },
    "windows": {
        "sunday": {"days": ["saturday", "sunday"], "hours": ["02:00-04:00"], "zone": "Asia/Tokyo"}
    },
    "inhibitions": {"silent": SILENT_EXPLAINS},
}


def test_configuration_of_every_kind_is_accepted_by_its_own_tool(tmp_path: Path) -> None:
    tool = shutil.which("amtool", path=PATH)
    if tool is None:
        pytest.skip("no amtool (apt-get install prometheus-alertmanager)")
    path = write_configuration(parsed(EVERY_KIND), tmp_path)
    done = subprocess.run(
        [tool, "check-config", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 receivers" in done.stdout or "5 receivers" in done.stdout


def test_secrets_are_files_and_never_text(tmp_path: Path) -> None:
    text = write_configuration(parsed(EVERY_KIND), tmp_path).read_text()
    assert "/run/secrets/mail" in text
    for word in ("auth_password:", "routing_key:", "api_url:"):
        assert word not in text


def test_shipped_configuration_tells_nobody_until_somebody_is_named(shipped: Alerts) -> None:
    assert shipped.notify.receivers == {}
    assert not shipped.notify.alertmanager
